import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { invariant, MillraceError } from '../../core/base/error.js';
import type { Instant } from '../../core/base/time.js';
import type { Source } from '../../core/define/types.js';
import type { LogRecord, LogState, QuarantinedRow, RecordLog } from '../../ports/record-log.js';
import type { DuckDb, DuckDbConnection } from '../duckdb/connection.js';
import { makeFolder } from '../files/durable.js';
import { acquireLock, type Lock } from '../files/lock.js';
import type { Database } from '../sqlite/database.js';
import { ingestFiles } from './ingest-files.js';
import { type BatchRecord, createLedger, type QuarantineFilter } from './ledger.js';
import { readRecords } from './records.js';
import { type KnownOptions, knownSql, type LakeSegment, relationSql } from './relation.js';

export interface RecordLogOptions {
  readonly db: DuckDb;
  /** registry.db, opened with LOG_MIGRATIONS. */
  readonly registry: Database;
  /** Folder of the segments. */
  readonly lake: string;
  /** `.millrace`: lock, temporary files. */
  readonly stateFolder: string;
  /** Relative file patterns start here. */
  readonly projectFolder: string;
  readonly sources: ReadonlyMap<string, Source>;
  /** Stands in the lock, so that a second process can say who works. */
  readonly command: string;
}

/** The record log with what only this adapter offers. */
export interface LakeLog extends RecordLog {
  ingestFiles(
    source: Source,
    files: readonly string[],
    options?: { readonly now?: Instant; readonly signal?: AbortSignal },
  ): ReturnType<RecordLog['ingestFiles']>;
  /** A SELECT over exactly the rows of a snapshot (see `relationSql`). */
  relation(state: LogState): string;
  /** A SELECT over the versions as intervals of knowledge (see `knownSql`). */
  knownSql(source: Source, state: LogState, options: KnownOptions): string;
  quarantine(filter?: QuarantineFilter): Promise<readonly QuarantinedRow[]>;
  quarantineCount(filter?: QuarantineFilter): Promise<number>;
  markQuarantined(ids: readonly number[], status: QuarantinedRow['status']): Promise<void>;
  batches(source?: string): Promise<readonly BatchRecord[]>;
  /** The path of a source's folder in the lake. */
  folder(source: string): string;
}

export async function openRecordLog(options: RecordLogOptions): Promise<LakeLog> {
  const { db, lake } = options;
  const ledger = createLedger(options.registry, lake);
  const temporaryFolder = join(options.stateFolder, 'tmp');
  const folder = (source: string): string => join(lake, encodeURIComponent(source));
  let writer: DuckDbConnection | undefined;
  let lock: Lock | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  let closed = false;

  const sourceOf = (name: string): Source => {
    const source = options.sources.get(name);
    invariant(source, `there is no source ${name}`);
    return source;
  };
  const stateOf = (name: string): LogState => ledger.state(name);
  const relation = (state: LogState): string => relationSql(sourceOf(state.source), state.segments as readonly LakeSegment[]);

  /** Takes the project's lock at the first write and sweeps away what a killed writer left. */
  const beginWriting = (source: string): void => {
    if (closed) throw new MillraceError('INTERNAL', 'The record log is closed');
    lock ??= acquireLock(join(options.stateFolder, 'lock'), options.command);
    makeFolder(temporaryFolder);
    makeFolder(folder(source));
    const committed = new Set(stateOf(source).segments.map((segment) => segment.file));
    for (const name of readdirSync(folder(source))) {
      const file = join(folder(source), name);
      if ((name.endsWith('.parquet') || name.endsWith('.tmp')) && !committed.has(file)) rmSync(file, { force: true });
    }
  };

  /** One write at a time. */
  const exclusively = <T>(work: () => Promise<T>): Promise<T> => {
    const next = queue.then(work, work);
    queue = next.catch(() => undefined);
    return next;
  };

  return {
    state: async (source) => stateOf(source.name),
    relation,
    knownSql: (source, state, known) => knownSql(source, state, relation(state), known),
    ingestFiles: (source, files, { now = Date.now() * 1000, signal } = {}) =>
      exclusively(async () => {
        beginWriting(source.name);
        writer ??= await db.connect();
        const state = stateOf(source.name);
        return ingestFiles(
          {
            db: writer,
            ledger,
            folder: folder(source.name),
            temporaryFolder,
            projectFolder: options.projectFolder,
            lastSeq: state.lastSeq,
            relation: relation(state),
            known: async (name) => {
              const other = stateOf(name);
              return knownSql(sourceOf(name), other, relation(other), { horizonSeq: other.lastSeq, hindsight: true });
            },
          },
          source,
          files,
          { now, ...(signal ? { signal } : {}) },
        );
      }),
    ingestRows: () => Promise.reject(new MillraceError('INTERNAL', 'not yet')),
    read: (source, after, through) => readLog(db, source, relation(stateOf(source.name)), after, through),
    quarantine: async (filter = {}) => ledger.quarantine(filter),
    quarantineCount: async (filter = {}) => ledger.quarantineCount(filter),
    markQuarantined: async (ids, status) => ledger.mark(ids, status),
    batches: async (source) => ledger.batches(source),
    folder,
    close: async () => {
      if (closed) return;
      await queue;
      closed = true;
      writer?.close();
      lock?.release();
    },
  };
}

async function* readLog(db: DuckDb, source: Source, relation: string, after: number, through: number): AsyncGenerator<readonly LogRecord[]> {
  const step = 65_536;
  const from = Math.max(0, after);
  const last = (await db.rows<{ last: number | null }>(`SELECT max("_seq") AS last FROM (${relation})`))[0]!.last ?? 0;
  for (let start = from; start < Math.min(through, last); start += step) {
    const end = Math.min(start + step, through, last);
    const out: LogRecord[] = [];
    const sql = `SELECT * FROM (${relation}) WHERE "_seq" > ${start} AND "_seq" <= ${end} ORDER BY "_seq"`;
    await readRecords(db, source.fields, sql, (rows) => void out.push(...rows), '"_order"');
    if (out.length > 0) yield out;
  }
}
