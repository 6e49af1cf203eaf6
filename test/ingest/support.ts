import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { openDuckDb } from '../../src/adapters/duckdb/connection.js';
import { type LakeLog, openRecordLog } from '../../src/adapters/lake/record-log.js';
import { openDatabase } from '../../src/adapters/sqlite/database.js';
import { LOG_MIGRATIONS } from '../../src/adapters/sqlite/log-tables.js';
import { fingerprint } from '../../src/core/base/fingerprint.js';
import type { BatchRule, FieldDefinition, RowRule, Source } from '../../src/core/define/types.js';
import { parseType } from '../../src/core/schema/types.js';

/** A source from a short description: fields as `name: type` or `name: type < column`. */
export function source(
  name: string,
  fields: Readonly<Record<string, string>>,
  rest: Partial<Omit<Source, 'fields' | 'name' | 'contract'>> & {
    readonly rows?: readonly RowRule[];
    readonly batch?: readonly BatchRule[];
  } = {},
): Source {
  const { rows = [], batch = [], ...others } = rest;
  const definitions = Object.entries(fields).map(([field, text]): FieldDefinition => {
    const [type, from] = text.split('<').map((part) => part.trim());
    return { name: field, type: parseType(type!)!, ...(from ? { from } : {}) };
  });
  const made: Omit<Source, 'records' | 'fingerprint'> = {
    name,
    kind: 'events',
    tags: [],
    read: { kind: 'files', patterns: [] },
    recordKey: [definitions[0]!.name],
    eventTime: 'at',
    availableAt: { kind: 'event_time' },
    timezone: 'UTC',
    ambiguousTime: 'refuse',
    fields: definitions,
    keys: {},
    contract: { rows, batch },
    ...others,
  };
  const print = fingerprint(JSON.parse(JSON.stringify(made)));
  return { ...made, records: print, fingerprint: print };
}

export interface Place {
  readonly folder: string;
  /** Writes a file below the folder; its path. */
  write(name: string, content: string | Uint8Array): string;
  /** `memoryLimitBytes`: what the log may hold of a batch is a share of it. */
  open(sources: readonly Source[], command?: string, memoryLimitBytes?: number): Promise<Opened>;
}

export interface Opened {
  readonly log: LakeLog;
  query<Row = Record<string, unknown>>(sql: string): Promise<Row[]>;
  close(): Promise<void>;
}

export async function openAt(
  folder: string,
  sources: readonly Source[],
  command = 'test',
  memoryLimitBytes = 2 ** 31,
): Promise<Opened> {
  const state = join(folder, '.millrace');
  const db = await openDuckDb({
    temporaryDirectory: join(state, 'tmp'),
    threads: 2,
    memoryLimitBytes: 2 ** 31,
  });
  const registry = openDatabase(join(state, 'registry.db'), LOG_MIGRATIONS);
  const log = await openRecordLog({
    db,
    registry,
    lake: join(state, 'lake'),
    stateFolder: state,
    projectFolder: folder,
    sources: new Map(sources.map((item) => [item.name, item])),
    command,
    memoryLimitBytes,
  });
  let closed = false;
  return {
    log,
    query: (sql) => db.rows(sql),
    close: async () => {
      if (closed) return;
      closed = true;
      await log.close();
      registry.close();
      db.close();
    },
  };
}

/** A fresh folder for each test, and everything that was opened in it closed afterwards. */
export function temporaryPlaces(onEnd: (work: () => Promise<void>) => void): () => Place {
  const undo: (() => Promise<void> | void)[] = [];
  onEnd(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });
  return () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-ingest-'));
    undo.push(() => rmSync(folder, { recursive: true, force: true }));
    return {
      folder,
      write: (name, content) => {
        const file = join(folder, name);
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, content);
        return file;
      },
      open: async (sources, command, memoryLimitBytes) => {
        const opened = await openAt(folder, sources, command, memoryLimitBytes);
        undo.push(opened.close);
        return opened;
      },
    };
  };
}

/** The records of the log as plain rows in seq order: fields and clocks. */
export async function contents(opened: Opened, from: Source): Promise<readonly Record<string, unknown>[]> {
  const out: Record<string, unknown>[] = [];
  for await (const chunk of opened.log.read(from, 0, Number.MAX_SAFE_INTEGER)) {
    for (const record of chunk)
      out.push({
        ...record.fields,
        _seq: record.seq,
        _event: record.eventTime,
        _available: record.availableAt,
        _deleted: record.deleted,
      });
  }
  return out;
}
