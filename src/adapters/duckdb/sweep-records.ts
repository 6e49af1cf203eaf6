/** A scan of the log, swept: chunks → batches → blocks → columns by observation. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  arrangeObservations,
  type BatchShape,
  collect,
  type Lane,
  type LaneKind,
  laneArray,
  ShapeBuilder,
  slotsFor,
  textsRead,
  type ValueLane,
  type Wanted,
} from '../../core/engine/blocks.js';
import type { SweepColumn, SweepFeature } from '../../core/engine/types.js';
import { type Expression, printSql } from '../../core/expression/index.js';
import type { Value, ValueType } from '../../core/schema/types.js';
import type { ObservationTable, RecordScan } from '../../ports/offline-store.js';
import type { LogState } from '../../ports/record-log.js';
import type { Column } from './columns.js';
import type { DuckDb } from './connection.js';
import type { SweepJob } from './sweep-blocks.js';
import { inlineSweeper, type Sweeper, threadedSweeper } from './sweeper.js';
import { quoteName } from './text.js';

export interface SweepLimits {
  /** 1: no other threads. */
  readonly threads: number;
  /** What the whole process may take, bytes. */
  readonly memoryBytes: number;
  /** Records from which on threads are worth their start. */
  readonly threadsFrom?: number;
  /** Where records go that do not fit into memory. */
  readonly temporaryDirectory: string;
}

/** A value, whether there is one, and its status. */
export const RESULT_BYTES = 10;
const THREADS_FROM = 2_000_000;
const BATCH_ROWS = 1 << 17;
/** Larger batches are read back from a file in fewer pieces. */
const FILE_BATCH_ROWS = 1 << 18;
const CHUNK_ROWS = 2_048;
const MOST_INTEGER = 2 ** 31 - 1;
export const ONE_THREAD: SweepLimits = {
  threads: 1,
  memoryBytes: Number.POSITIVE_INFINITY,
  temporaryDirectory: tmpdir(),
};
/** Measured: Node, our modules, DuckDB's library, batches under way; then what each thread has of its own. */
const PROCESS_BYTES = 320 * 2 ** 20;
const THREAD_BYTES = 128 * 2 ** 20;
/** Beside records in memory DuckDB gets this share of the limit; in any case what it needs to work at all. */
const DUCKDB_SHARE = 0.2;
const DUCKDB_BYTES = 128 * 2 ** 20;

/** A column of the scan's result and how its chunks are copied into a lane. */
interface Read {
  readonly sql: string;
  readonly lane: Lane;
  readonly valid: Lane | null;
  copy(column: Column, rows: number, batch: Batch, at: number): void;
}

/** A batch that is being filled: an array for each lane. */
interface Batch {
  readonly buffer: ArrayBufferLike;
  readonly lanes: ReadonlyMap<Lane, Float64Array | Int32Array | Uint8Array>;
  readonly objects: Value[][];
  rows: number;
}

/** Texts of one column as codes in the order of their first appearance. */
class Texts {
  readonly dictionary: string[] = [];
  private readonly codes = new Map<string, number>();

  code(text: string): number {
    let code = this.codes.get(text);
    if (code === undefined) {
      code = this.dictionary.length;
      this.codes.set(text, code);
      this.dictionary.push(text);
    }
    return code;
  }
}

const laneKind = ({ kind }: ValueType): LaneKind => {
  if (kind === 'string') return 'code';
  if (kind === 'int64' || kind === 'decimal') return 'word';
  return kind === 'float64_vector' || kind === 'list' || kind === 'map' ? 'object' : 'double';
};

function valueSql(type: ValueType, column: string): string {
  return type.kind === 'timestamp' ? `CAST(epoch_us(${column}) AS DOUBLE)` : column;
}

const copyNumbers: Read['copy'] = function (this: Read, column, rows, batch, at) {
  const target = batch.lanes.get(this.lane)!;
  target.set(column.data as Float64Array, at);
  if (column.valid === null) return;
  const none = this.lane.kind === 'code' ? -1 : Number.NaN;
  for (let i = 0; i < rows; i++) if (column.valid[i] === 0) target[at + i] = none;
};

const copyWords: Read['copy'] = function (this: Read, column, rows, batch, at) {
  const words = column.data as BigInt64Array;
  // Bytes are copied, not numbers: a bit pattern that is no number in doubles must come through.
  const target = batch.lanes.get(this.lane)!;
  new Int32Array(target.buffer, target.byteOffset + 8 * at, 2 * rows).set(
    new Int32Array(words.buffer, words.byteOffset, 2 * rows),
  );
  const valid = batch.lanes.get(this.valid!) as Uint8Array;
  if (column.valid === null) valid.fill(1, at, at + rows);
  else valid.set(column.valid.subarray(0, rows), at);
};

const copyObjects: Read['copy'] = function (this: Read, column, rows, batch, at) {
  const target = batch.objects[this.lane.place]!;
  for (let i = 0; i < rows; i++) target[at + i] = (column.data[i] as readonly number[] | null) ?? null;
};

const copyTexts = (texts: Texts): Read['copy'] =>
  function (this: Read, column, rows, batch, at) {
    const target = batch.lanes.get(this.lane)!;
    const found = column.data as (string | null)[];
    for (let i = 0; i < rows; i++) target[at + i] = found[i] === null ? -1 : texts.code(found[i]!);
  };

/** An expression's place in the sweep is its canonical text. Its tree stays here: threads get data only. */
const named = (expression: Expression | null): Expression | null =>
  expression && ({ canonical: expression.canonical } as Expression);

const portable = ({ features, lookups }: Wanted): Wanted => ({
  features: features.map(
    ({ name, aggregation, inputType, byType, outputType }): SweepFeature => ({
      name,
      aggregation: {
        ...aggregation,
        where: named(aggregation.where),
        ratioWhere: named(aggregation.ratioWhere),
      },
      inputType,
      byType,
      outputType,
    }),
  ),
  lookups: lookups.map((lookup) => ({ ...lookup })),
});

export interface SweepContext {
  readonly db: DuckDb;
  readonly limits: SweepLimits;
  readonly state: LogState;
  /** Versions of the scan's records as intervals. */
  readonly known: string;
  /** The texts of a column as an ENUM type, so that codes come from the scan; null when they are many. */
  texts(field: string): Promise<{ readonly type: string; readonly dictionary: readonly string[] } | null>;
  /** Bytes of results that are held already. */
  readonly heldBytes: number;
}

interface Planned {
  readonly shape: BatchShape;
  readonly reads: readonly Read[];
  readonly dictionaries: ReadonlyMap<string, readonly Value[]>;
  readonly types: readonly string[];
}

/** Which columns the scan gives, and where each goes. */
async function plan({ state, texts: textsOf }: SweepContext, scan: RecordScan): Promise<Planned> {
  const { source } = scan;
  const builder = new ShapeBuilder();
  const reads: Read[] = [];
  const read = (
    sql: string,
    kind: LaneKind,
    copy: Read['copy'] = copyNumbers,
    valid: Lane | null = null,
  ): Lane => {
    const lane = builder.lane(kind);
    reads.push({ sql, lane, valid, copy });
    return lane;
  };
  const hindsight = scan.knowledge === 'hindsight';
  // Times and positions as doubles: they are safe integers, and DuckDB's threads convert them.
  const entity = read('e._e', 'code');
  const eventTime = read('CAST(r."_event_time" AS DOUBLE)', 'double');
  const availableAt =
    source.availableAt.kind === 'event_time' ? null : read('CAST(r."_available_at" AS DOUBLE)', 'double');
  const sequenced = source.sequence !== undefined;
  const position = (): Lane =>
    state.lastSeq <= MOST_INTEGER
      ? read('CAST(r."_seq" AS INTEGER)', 'code')
      : read('CAST(r."_seq" AS DOUBLE)', 'double');
  const seq = sequenced ? read('CAST(r."_order" AS DOUBLE)', 'double') : position();
  const append = sequenced ? position() : null;
  const until =
    !hindsight && state.hasVersions
      ? read(`coalesce(CAST(r."_until" AS DOUBLE), CAST('inf' AS DOUBLE))`, 'double')
      : null;
  const masks = [...scan.predicates].map(([text, expression]) => ({
    name: text,
    lane: read(
      `CAST(coalesce(CAST((${printSql(expression, { dialect: 'duckdb', column: (slot) => `r.${quoteName(slot)}` })}) AS INTEGER), 2) AS TINYINT)`,
      'byte',
    ),
  }));
  const dictionaries = new Map<string, readonly Value[]>();
  const types: string[] = [];
  const values: ValueLane[] = [];
  for (const fieldName of scan.fields) {
    const { type } = source.fields.find((field) => field.name === fieldName)!;
    const column = `r.${quoteName(fieldName)}`;
    const kind = laneKind(type);
    const valid = kind === 'word' ? builder.lane('byte') : null;
    if (kind === 'code') {
      const known = await textsOf(fieldName);
      const texts = new Texts();
      dictionaries.set(fieldName, known?.dictionary ?? texts.dictionary);
      if (known) types.push(known.type);
      const lane = known
        ? read(`CAST(enum_code(CAST(${column} AS ${known.type})) AS INTEGER)`, 'code')
        : read(column, 'code', copyTexts(texts));
      values.push({ name: fieldName, type, lane, valid });
      continue;
    }
    const copy = kind === 'word' ? copyWords : kind === 'object' ? copyObjects : copyNumbers;
    values.push({ name: fieldName, type, lane: read(valueSql(type, column), kind, copy, valid), valid });
  }
  const shape = builder.finish(state.lastSeq, scan.entities.entities, {
    sequenced,
    entity,
    eventTime,
    availableAt,
    seq,
    append,
    until,
    masks,
    values,
  });
  return { shape, reads, dictionaries, types };
}

/** How memory is divided: whether records go to a file, and what DuckDB may take meanwhile. */
function divide(
  limits: SweepLimits,
  threads: number,
  records: number,
  results: number,
): { readonly spill: boolean; readonly duckDbBytes: number } {
  const least = Math.max(limits.memoryBytes * DUCKDB_SHARE, DUCKDB_BYTES);
  const used = PROCESS_BYTES + threads * THREAD_BYTES + results;
  const spill = used + records + least > limits.memoryBytes;
  return spill
    ? { spill, duckDbBytes: Math.max(DUCKDB_BYTES, limits.memoryBytes - used) }
    : { spill, duckDbBytes: Math.max(least, limits.memoryBytes - used - records) };
}

/**
 * The columns of all that is wanted, by observation. The same for any number of threads, in memory and through a file.
 * @throws MillraceError INTERRUPTED when the scan's signal aborts.
 */
export async function sweepRecords(
  context: SweepContext,
  scan: RecordScan,
  table: ObservationTable,
  asked: Wanted,
): Promise<SweepColumn[]> {
  const { db, limits, state } = context;
  const { shape, reads, dictionaries, types } = await plan(context, scan);
  const wanted = portable(asked);
  const records = state.lastSeq;
  const threads =
    records < (limits.threadsFrom ?? THREADS_FROM) ? 1 : Math.max(1, Math.min(limits.threads, shape.blocks));
  const rowsHeld = table.rows * (8 + 4 + 4);
  const results =
    context.heldBytes + rowsHeld + table.rows * RESULT_BYTES * (asked.features.length + asked.lookups.length);
  const { spill, duckDbBytes } = divide(limits, threads, records * shape.stride, results);
  if (Number.isFinite(duckDbBytes)) await db.limitMemory(duckDbBytes);

  const shared = (bytes: number): ArrayBufferLike =>
    threads > 1 ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
  const entity = new Int32Array(shared(4 * table.rows));
  entity.set(scan.entities.codes);
  const at = new Float64Array(shared(8 * table.rows));
  at.set(table.at);
  const rows = new Int32Array(shared(4 * table.rows));
  const starts = arrangeObservations(shape, entity, rows);
  const slots = slotsFor(wanted, table.rows, shared);
  const folder = spill ? mkdtempSync(path.join(limits.temporaryDirectory, `sweep-${process.pid}-`)) : null;
  const jobs = Array.from(
    { length: threads },
    (_, i): SweepJob => ({
      shape,
      observations: { entity, at, rows, starts, hindsight: scan.knowledge === 'hindsight' },
      wanted,
      slots,
      file: folder && path.join(folder, `${i}.rows`),
    }),
  );
  const capacity = Math.max(
    CHUNK_ROWS,
    Math.min(spill ? FILE_BATCH_ROWS : BATCH_ROWS, Math.ceil(records / CHUNK_ROWS) * CHUNK_ROWS),
  );
  const sweeper =
    threads === 1
      ? inlineSweeper(jobs[0]!, capacity, scan.signal)
      : threadedSweeper(jobs, capacity, scan.signal);
  try {
    await fill(context, scan, shape, reads, capacity, sweeper);
    for (const type of types) await db.run(`DROP TYPE ${type}`);
    const read = threads > 1 ? textsRead(wanted) : null;
    const sent = new Map(
      [...dictionaries].map(([field, texts]) => [
        field,
        read === null || read.has(field) ? texts : new Array<Value>(texts.length),
      ]),
    );
    return collect(wanted, slots, await sweeper.finish(sent), dictionaries);
  } finally {
    await sweeper.close();
    if (folder !== null) rmSync(folder, { recursive: true, force: true });
  }
}

/** Streams the scan into batches. */
async function fill(
  { db, known }: SweepContext,
  scan: RecordScan,
  shape: BatchShape,
  reads: readonly Read[],
  capacity: number,
  sweeper: Sweeper,
): Promise<void> {
  const on = scan.keyFields.map((field, i) => `r.${quoteName(field)} = e.k${i}`).join(' AND ');
  const objectLanes = shape.lanes.filter(({ kind }) => kind === 'object').length;
  const begin = async (): Promise<Batch> => {
    const buffer = await sweeper.take();
    const lanes = shape.lanes
      .filter(({ kind }) => kind !== 'object')
      .map((lane) => [lane, laneArray(shape, lane, buffer, 0, capacity)] as const);
    return { buffer, lanes: new Map(lanes), objects: Array.from({ length: objectLanes }, () => []), rows: 0 };
  };
  let batch = await begin();
  const give = (): void => sweeper.give(batch.buffer, batch.rows, batch.objects);
  const copy = (columns: readonly Column[], rows: number): void => {
    for (const [i, read] of reads.entries()) read.copy(columns[i]!, rows, batch, batch.rows);
    batch.rows += rows;
  };
  await db.stream(
    `SELECT ${reads.map(({ sql }) => sql).join(', ')} FROM (${known}) r JOIN ${scan.entities.id} e ON ${on}`,
    ({ rows, columns }) => {
      if (batch.rows + rows <= capacity) return copy(columns, rows);
      give();
      return begin().then((next) => {
        batch = next;
        copy(columns, rows);
      });
    },
  );
  if (batch.rows > 0) give();
}
