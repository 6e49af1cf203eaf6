import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import type { Instant } from '../../core/base/time.js';
import type { Source } from '../../core/define/types.js';
import type {
  LogRecord,
  LogState,
  QuarantinedRow,
  QuarantineFilter,
  RecordLog,
} from '../../ports/record-log.js';
import type { DuckDb, DuckDbConnection } from '../duckdb/connection.js';
import { splitRecord } from '../files/delimited.js';
import { makeFolder } from '../files/durable.js';
import { expandFiles, matchFiles } from '../files/inputs.js';
import { acquireLock, type Lock } from '../files/lock.js';
import type { Database } from '../sqlite/database.js';
import type { IngestContext } from './file-batch/batch.js';
import type { Decision, RowFate, RowsOptions, RowsOutcome, RowWriter } from './ingest-rows.js';
import { createLedger } from './ledger/create-ledger.js';
import { type Ledger, withoutWriting } from './ledger.js';
import { readFlagged, readRepairs } from './marked-records.js';
import { readRecords } from './records.js';
import {
  entitySql,
  type KnownOptions,
  knownAtSql,
  knownSql,
  type LakeSegment,
  relationSql,
} from './relation.js';
import { readTails, tailFiles, tailSegment } from './tail.js';

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
  /** What the process may hold; without it, no batch is too large for memory. */
  readonly memoryLimitBytes?: number;
}

/** The record log with what only this adapter offers. */
export interface LakeLog extends RecordLog {
  /** A SELECT over exactly the rows of a snapshot (see `relationSql`). */
  relation(state: LogState, source?: Source): string;
  /** A SELECT over the versions as intervals of knowledge (see `knownSql`). */
  knownSql(source: Source, state: LogState, options: KnownOptions): string;
  quarantine(filter?: QuarantineFilter): Promise<readonly QuarantinedRow[]>;
  quarantineCount(filter?: QuarantineFilter): Promise<number>;
  /** The path of a source's folder in the lake. */
  folder(source: string): string;
}

/** A tail of this many rows or bytes becomes a Parquet segment. */
const SEAL_ROWS = 200_000;
const SEAL_BYTES = 64 * 2 ** 20;
/** Of the memory limit, and at most, bytes, for the rows of a batch of files. */
const HELD_SHARE = 0.25;
const HELD_MOST = 512 * 2 ** 20;

export async function openRecordLog(options: RecordLogOptions): Promise<LakeLog> {
  const { db, lake } = options;
  const ledger = createLedger(options.registry, lake);
  const temporaryFolder = join(options.stateFolder, 'tmp');
  const folder = (source: string): string => join(lake, encodeURIComponent(source));
  const writers = new Map<string, RowWriter>();
  const listeners = new Set<(source: string, records: readonly LogRecord[]) => void>();
  const swept = new Set<string>();
  let connection: DuckDbConnection | undefined;
  let lock: Lock | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  let queued = 0;
  let closed = false;

  const sourceOf = (name: string): Source => {
    const source = options.sources.get(name);
    if (!source) throw new MillraceError('UNKNOWN_NAME', `There is no source ${name}`);
    return source;
  };

  const stateOf = (name: string): LogState => {
    // The tails first: rows that are sealed in between are then counted once, from the segment.
    const own = writers.get(name)?.tails;
    let committed = ledger.state(name);
    let tails = own ?? readTails(folder(name), committed.lastSeq);
    for (let attempt = 0; tails === undefined; attempt++) {
      if (attempt === 5)
        throw new MillraceError(
          'STORE_CORRUPT',
          `The log of ${name} lacks its records after ${committed.lastSeq}`,
        );
      committed = ledger.state(name);
      tails = readTails(folder(name), committed.lastSeq);
    }
    const first = tails[0];
    const last = tails.at(-1);
    if (first === undefined || last === undefined) return committed;
    const extreme = (
      of: (...values: number[]) => number,
      key: 'maxAvailableAt' | 'minEventTime' | 'maxEventTime',
    ): number => of(...tails.map((tail) => tail[key]!), committed[key] ?? first[key]!);
    return {
      ...committed,
      rows: committed.rows + tails.reduce((sum, tail) => sum + tail.rows, 0),
      lastSeq: last.lastSeq,
      maxAvailableAt: extreme(Math.max, 'maxAvailableAt'),
      minEventTime: extreme(Math.min, 'minEventTime'),
      maxEventTime: extreme(Math.max, 'maxEventTime'),
      hasVersions: committed.hasVersions || tails.some((tail) => tail.hasVersions),
      segments: [...committed.segments, ...tails.map(tailSegment)],
    };
  };

  const relation = (state: LogState, source = sourceOf(state.source)): string =>
    relationSql(source, state.segments as readonly LakeSegment[]);
  const known: IngestContext['known'] = (name, known = { hindsight: true }) => {
    const state = stateOf(name);
    return knownSql(sourceOf(name), state, relation(state), { horizonSeq: state.lastSeq, ...known });
  };

  /** Takes the project's lock at the first write and sweeps away what a killed writer left. */
  const beginWriting = async (source: Source): Promise<DuckDbConnection> => {
    if (closed) throw new MillraceError('INTERNAL', 'The record log is closed');
    lock ??= acquireLock(join(options.stateFolder, 'lock'), options.command);
    if (!swept.has(source.name)) {
      makeFolder(temporaryFolder);
      makeFolder(folder(source.name));
      const committed = new Set(ledger.state(source.name).segments.map((segment) => segment.file));
      for (const name of readdirSync(folder(source.name))) {
        const file = join(folder(source.name), name);
        if ((name.endsWith('.parquet') || name.endsWith('.tmp')) && !committed.has(file))
          rmSync(file, { force: true });
      }
      if (swept.size === 0) {
        for (const name of readdirSync(temporaryFolder)) {
          if (name.startsWith('stage-')) rmSync(join(temporaryFolder, name), { force: true });
        }
      }
      swept.add(source.name);
    }
    connection ??= await db.connect();
    return connection;
  };

  const noted = new Map<string, Source>();
  const noteContract = (source: Source, now: Instant): void => {
    if (noted.get(source.name) === source) return;
    ledger.recordContract(source, now);
    noted.set(source.name, source);
  };

  const fileContext = (source: Source, connection: DuckDbConnection, book: Ledger): IngestContext => {
    const state = stateOf(source.name);
    return {
      db: connection,
      ledger: book,
      folder: folder(source.name),
      temporaryFolder,
      projectFolder: options.projectFolder,
      lastSeq: state.lastSeq,
      relation: relation(state),
      known,
      heldBytes: Math.min((options.memoryLimitBytes ?? Number.POSITIVE_INFINITY) * HELD_SHARE, HELD_MOST),
    };
  };

  /** As for pushes: an append never becomes known before an earlier one. */
  const appendedAt = (source: Source, now: Instant): Instant =>
    source.availableAt.kind === 'append' ? Math.max(now, stateOf(source.name).maxAvailableAt ?? now) : now;

  const rowWriter = async (source: Source): Promise<RowWriter> => {
    const writing = await beginWriting(source);
    const present = writers.get(source.name);
    if (present?.source === source) return present;
    if (present) await retire(present);
    const [{ RowWriter }, { VersionIndex }] = await Promise.all([
      import('./ingest-rows.js'),
      import('./dedupe.js'),
    ]);
    const context = {
      db: writing,
      ledger,
      folder: folder(source.name),
      connect: () => db.connect(),
      known,
      projectFolder: options.projectFolder,
      settled: async () => {
        for (const writer of writers.values()) await writer.tail.drain();
      },
    };
    const index = VersionIndex.open(
      join(options.stateFolder, 'dedupe', encodeURIComponent(source.name)),
      source,
    );
    const writer = RowWriter.open(source, context, index);
    writers.set(source.name, writer);
    return writer;
  };

  /** Seals and lets go of a writer. */
  const retire = async (writer: RowWriter): Promise<void> => {
    await writer.close();
    writers.delete(writer.source.name);
  };

  const isFull = ({ tail }: RowWriter): boolean =>
    tail.summary.rows >= SEAL_ROWS || tail.summary.bytes >= SEAL_BYTES;
  /** Sources whose full tail is about to be closed. */
  const turning = new Set<string>();

  /** One decision at a time; what waits for the disk does not hold up the next. */
  const exclusively = <T>(work: () => Promise<T>): Promise<T> => {
    queued++;
    const next = queue.then(work).finally(() => {
      queued--;
    });
    queue = next.catch(() => undefined);
    return next;
  };

  const decide = (
    source: Source,
    rows: readonly Readonly<Record<string, unknown>>[],
    rowOptions: RowsOptions,
  ): Decision | Promise<Decision> => {
    const writer = writers.get(source.name);
    if (queued === 0 && !closed && writer?.source === source && writer.ready)
      return writer.decide(rows, rowOptions);
    return exclusively(async () => {
      const opened = await rowWriter(source);
      noteContract(source, rowOptions.now);
      await opened.prepare();
      return opened.decide(rows, rowOptions);
    });
  };

  const feed = async (
    source: Source,
    rows: readonly Readonly<Record<string, unknown>>[],
    rowOptions: RowsOptions,
  ): Promise<RowsOutcome> => {
    const decided = decide(source, rows, rowOptions);
    const { outcome, durable } = decided instanceof Promise ? await decided : decided;
    await durable;
    if (outcome.records.length > 0) for (const listener of listeners) listener(source.name, outcome.records);
    const writer = writers.get(source.name);
    if (writer && isFull(writer) && !turning.has(source.name)) {
      turning.add(source.name);
      void exclusively(async () => {
        turning.delete(source.name);
        if (writers.get(source.name) !== writer || !isFull(writer)) return;
        await writer.turn();
        // A failure leaves the tail as it is: durable, read as it stands, sealed with the next one.
        void writer.seal().catch(() => undefined);
      }).catch(() => undefined);
    }
    return outcome;
  };

  const closeWindows = async (now: Instant): Promise<void> => {
    for (const writer of writers.values()) {
      if (!writer.windowIsOver(now)) continue;
      await exclusively(async () => {
        if (writers.get(writer.source.name) === writer && writer.windowIsOver(now)) await writer.turn(true);
      });
      await writer.seal();
    }
  };

  return {
    state: async (source) => stateOf(source.name),
    relation,
    expand: (source) =>
      source.read.kind === 'files' ? expandFiles(source.read.patterns, options.projectFolder) : [],
    match: (pattern) => matchFiles(pattern, options.projectFolder),
    knownSql: (source, state, known) => knownSql(source, state, relation(state, source), known),
    ingestFiles: (source, files, { now = Date.now() * 1000, signal, state: scope, facts } = {}) =>
      exclusively(async () => {
        const { ingestFiles } = await import('./ingest-files.js');
        const writing = await beginWriting(source);
        if (tailFiles(folder(source.name)).length > 0) await retire(await rowWriter(source));
        noteContract(source, now);
        const at = appendedAt(source, now);
        return ingestFiles(fileContext(source, writing, ledger), source, files, {
          now: at,
          ...(signal ? { signal } : {}),
          ...(scope ? { state: scope } : {}),
          ...(facts ? { facts } : {}),
        });
      }),
    checkFiles: (source, files, { now, show, signal }) =>
      exclusively(async () => {
        const { checkFiles } = await import('./ingest-files.js');
        makeFolder(temporaryFolder);
        const own = await db.connect();
        try {
          return await checkFiles(fileContext(source, own, withoutWriting(ledger)), source, files, {
            now: appendedAt(source, now),
            show,
            ...(signal ? { signal } : {}),
          });
        } finally {
          own.close();
        }
      }),
    ingestRows: async (source, rows, { now }) => {
      if (writers.get(source.name)?.windowIsOver(now)) await closeWindows(now);
      return (await feed(source, rows, { now })).result;
    },
    closeWindows,
    onAppend: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    read: (source, after, through) => readLog(db, source, relation(stateOf(source.name)), after, through),
    entity: (source, state, keys) => {
      const narrow = (whole: string): string => entitySql(source, state, whole, keys);
      return {
        versions: () => readLog(db, source, narrow(relation(state, source)), 0, state.lastSeq),
        knownSql: (at) =>
          knownAtSql(
            knownSql(source, state, relation(state, source), {
              horizonSeq: state.lastSeq,
              hindsight: false,
              narrow,
            }),
            source,
            keys,
            at,
          ),
      };
    },
    quarantine: async (filter = {}) => ledger.quarantine(filter),
    quarantineCount: async (filter = {}) => ledger.quarantineCount(filter),
    markQuarantined: async (ids, status, note) => ledger.mark(ids, status, note),
    markBatch: async (batch, mark) => ledger.markBatch(batch, mark),
    replay: async (source, rows, { now }) => {
      const open = rows.filter((row) => row.source === source.name && row.status === 'open');
      const { result, fates, reasons, drops } = await feed(
        source,
        open.map((row) => replayable(source, row)),
        { now, record: false },
      );
      const settled = (wanted: readonly RowFate[]): number[] =>
        open.flatMap((row, index) => (wanted.includes(fates[index]!) ? [row.id] : []));
      ledger.mark(settled(['accepted', 'duplicate']), 'replayed');
      ledger.mark(settled(['dropped']), 'dropped', { reason: 'a rule of today drops it', at: now });
      ledger.explain(
        [...reasons, ...drops].map(([index, why]) => ({
          id: open[index]!.id,
          reasons: why.map(({ rule, field, value, message }) => ({ rule, field, value, message })),
        })),
      );
      const { batch: _batch, source: _source, warnings: _warnings, ...counts } = result;
      return { ...counts, rows: open.length };
    },
    batches: async (source, limit) => ledger.batches(source, limit),
    profiles: async (source, limit) => ledger.profiles(source, limit),
    repairs: async (source, filter = {}) => readRepairs(db, source, relation(stateOf(source.name)), filter),
    flagged: async (source, filter = {}) => readFlagged(db, source, relation(stateOf(source.name)), filter),
    contracts: async (source) => ledger.contracts(source),
    lastContracts: async () => ledger.lastContracts(),
    folder,
    close: async () => {
      if (closed) return;
      await queue;
      closed = true;
      try {
        for (const writer of [...writers.values()]) await retire(writer);
      } finally {
        connection?.close();
        lock?.release();
      }
    },
  };
}

/** A row that could not be split when it came is split by the rules of today; others are fed as they were. */
function replayable(source: Source, { row }: QuarantinedRow): Readonly<Record<string, unknown>> {
  const text = row['_text'];
  const columns = row['_columns'] as readonly string[] | undefined;
  if (typeof text !== 'string' || columns === undefined) return row;
  if (text.trimStart().startsWith('{')) {
    try {
      return JSON.parse(text) as Record<string, unknown>;
    } catch {
      return row;
    }
  }
  const delimiter = source.read.kind === 'files' ? (source.read.delimiter ?? ',') : ',';
  const cells = splitRecord(text, delimiter);
  return cells.length === columns.length
    ? Object.fromEntries(columns.map((name, index) => [name, cells[index]]))
    : row;
}

async function* readLog(
  db: DuckDb,
  source: Source,
  relation: string,
  after: number,
  through: number,
): AsyncGenerator<readonly LogRecord[]> {
  const step = 65_536;
  const from = Math.max(0, after);
  const last =
    (await db.rows<{ last: number | null }>(`SELECT max("_seq") AS last FROM (${relation})`))[0]!.last ?? 0;
  for (let start = from; start < Math.min(through, last); start += step) {
    const end = Math.min(start + step, through, last);
    const out: LogRecord[] = [];
    const sql = `SELECT * FROM (${relation}) WHERE "_seq" > ${start} AND "_seq" <= ${end} ORDER BY "_seq"`;
    await readRecords(db, source.fields, sql, (rows) => void out.push(...rows), { order: '"_order"' });
    if (out.length > 0) yield out;
  }
}
