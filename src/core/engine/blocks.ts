/**
 * Records too many for the cache, and for one thread, block by block: a block is a range of entity codes. Entities know
 * nothing of each other, so blocks are swept in any order, by any number of threads, with the same values.
 * Scanned rows come as batches (lanes of plain bytes, so that a batch can be shared and written to a file as it is);
 * a batch is arranged by block; a block is gathered from all batches and swept.
 */
import type { Value, ValueType } from '../schema/types.js';
import { ColumnBuilder } from './columns.js';
import { sweep } from './sweep.js';
import type {
  Column,
  ObservationColumns,
  RecordColumns,
  SweepColumn,
  SweepFeature,
  SweepLookup,
} from './types.js';

/**
 * `double`: 8 bytes, NaN is null. `word`: 8 bytes of a 64-bit integer, null by its own `byte` lane. `code`: 4 bytes, -1
 * is null. `byte`: 1. `object`: values outside of the bytes.
 */
export type LaneKind = 'double' | 'word' | 'code' | 'byte' | 'object';

/** `place` counts the lanes of one width; 8-byte lanes stand first, then 4-byte lanes, then bytes. */
export interface Lane {
  readonly kind: LaneKind;
  readonly place: number;
}

export interface ValueLane {
  readonly name: string;
  readonly type: ValueType;
  readonly lane: Lane;
  /** Of a `word`: 0 where it is null. */
  readonly valid: Lane | null;
}

/** How the records of one scan stand in batches. Plain data: it goes to other threads as it is. */
export interface BatchShape {
  readonly entities: number;
  /** Block of an entity: code >>> shift. */
  readonly shift: number;
  readonly blocks: number;
  readonly sequenced: boolean;
  readonly lanes: readonly Lane[];
  /** Lanes of 8, 4 and 1 bytes. */
  readonly widths: readonly [number, number, number];
  /** Bytes of one row, a multiple of 8. */
  readonly stride: number;
  readonly entity: Lane;
  readonly eventTime: Lane;
  /** Null: the event time. */
  readonly availableAt: Lane | null;
  readonly seq: Lane;
  /** Null: the order of `seq` is that of the log. */
  readonly append: Lane | null;
  readonly until: Lane | null;
  readonly masks: readonly { readonly name: string; readonly lane: Lane }[];
  readonly values: readonly ValueLane[];
}

/** Blocks are few enough to write to all of them at once. */
const MOST_BLOCKS = 512;
/** A few columns of one block fit the cache. */
const BLOCK_ROWS = 1 << 15;

/** Lanes are given out in order of need; `finish` puts the shape together. */
export class ShapeBuilder {
  private readonly lanes: Lane[] = [];
  private readonly widths: [number, number, number] = [0, 0, 0];
  private objects = 0;

  lane(kind: LaneKind): Lane {
    const width = kind === 'code' ? 1 : kind === 'byte' ? 2 : 0;
    const lane: Lane = { kind, place: kind === 'object' ? this.objects++ : this.widths[width]++ };
    this.lanes.push(lane);
    return lane;
  }

  /** `rows`: about how many records there are at most. */
  finish(
    rows: number,
    entities: number,
    roles: Pick<
      BatchShape,
      'sequenced' | 'entity' | 'eventTime' | 'availableAt' | 'seq' | 'append' | 'until' | 'masks' | 'values'
    >,
  ): BatchShape {
    const { lanes, widths } = this;
    const wanted = Math.min(MOST_BLOCKS, Math.max(1, Math.ceil(rows / BLOCK_ROWS)));
    let shift = 0;
    while ((Math.max(entities, 1) - 1) >>> shift >= wanted) shift++;
    const bytes = 8 * widths[0] + 4 * widths[1] + widths[2];
    const blocks = ((Math.max(entities, 1) - 1) >>> shift) + 1;
    return { ...roles, entities, shift, blocks, lanes, widths, stride: Math.ceil(bytes / 8) * 8 };
  }
}

type LaneArray = Float64Array | Int32Array | Uint8Array;

/** The rows of a lane in `rows` rows that stand at `offset`. */
export function laneArray(
  shape: BatchShape,
  lane: Lane,
  buffer: ArrayBufferLike,
  offset: number,
  rows: number,
): LaneArray {
  const [eights, fours] = shape.widths;
  if (lane.kind === 'code')
    return new Int32Array(buffer, offset + (8 * eights + 4 * lane.place) * rows, rows);
  if (lane.kind === 'byte')
    return new Uint8Array(buffer, offset + (8 * eights + 4 * fours + lane.place) * rows, rows);
  return new Float64Array(buffer, offset + 8 * lane.place * rows, rows);
}

export interface Arranged {
  /** First row of each block, and the number of rows. Block b stands at byte starts[b] * stride. */
  readonly starts: Int32Array;
  /** Lanes of objects, block after block. */
  readonly objects: readonly (readonly Value[])[];
}

let rowOrder = new Int32Array(0);

function reserveOrder(rows: number): Int32Array {
  if (rowOrder.length < rows) rowOrder = new Int32Array(rows);
  return rowOrder;
}

/** The rows of block `b`, in `order`, to `at` and after. */
function pick8(
  from: Float64Array,
  to: Float64Array,
  order: Int32Array,
  starts: Int32Array,
  b: number,
  at: number,
): void {
  const end = starts[b + 1]!;
  for (let i = starts[b]!, out = at; i < end; i++, out++) to[out] = from[order[i]!]!;
}

function pick4(
  from: Int32Array,
  to: Int32Array,
  order: Int32Array,
  starts: Int32Array,
  b: number,
  at: number,
): void {
  const end = starts[b + 1]!;
  for (let i = starts[b]!, out = at; i < end; i++, out++) to[out] = from[order[i]!]!;
}

function pick1(
  from: Uint8Array,
  to: Uint8Array,
  order: Int32Array,
  starts: Int32Array,
  b: number,
  at: number,
): void {
  const end = starts[b + 1]!;
  for (let i = starts[b]!, out = at; i < end; i++, out++) to[out] = from[order[i]!]!;
}

/** Copies the rows of a batch of `capacity` rows into `target`, block after block, in their order inside each. */
export function arrange(
  shape: BatchShape,
  batch: ArrayBufferLike,
  capacity: number,
  rows: number,
  objects: readonly (readonly Value[])[],
  target: ArrayBufferLike,
): Arranged {
  const { blocks, shift, stride } = shape;
  const entity = laneArray(shape, shape.entity, batch, 0, capacity) as Int32Array;
  const starts = new Int32Array(blocks + 1);
  for (let i = 0; i < rows; i++) {
    const block = (entity[i]! >>> shift) + 1;
    starts[block] = starts[block]! + 1;
  }
  for (let b = 0; b < blocks; b++) starts[b + 1] = starts[b + 1]! + starts[b]!;
  // The order of rows is found once; then every lane is written from first to last.
  const order = reserveOrder(rows);
  const next = starts.slice(0, blocks);
  for (let i = 0; i < rows; i++) {
    const block = entity[i]! >>> shift;
    const at = next[block]!;
    order[at] = i;
    next[block] = at + 1;
  }
  const kept: Value[][] = [];
  const [eights, fours] = shape.widths;
  for (const lane of shape.lanes) {
    if (lane.kind === 'object') {
      const values = objects[lane.place]!;
      kept.push(Array.from({ length: rows }, (_, i) => values[order[i]!]!));
      continue;
    }
    const width = lane.kind === 'code' ? 4 : lane.kind === 'byte' ? 1 : 8;
    const before =
      width === 8
        ? 8 * lane.place
        : width === 4
          ? 8 * eights + 4 * lane.place
          : 8 * eights + 4 * fours + lane.place;
    const place = (b: number): number =>
      (starts[b]! * stride + before * (starts[b + 1]! - starts[b]!)) / width;
    const from = laneArray(shape, lane, batch, 0, capacity);
    // One loop for each type of array: one for all would ask for the type at every element.
    if (width === 8) {
      const to = new Float64Array(target, 0, (rows * stride) / 8);
      for (let b = 0; b < blocks; b++) pick8(from as Float64Array, to, order, starts, b, place(b));
    } else if (width === 4) {
      const to = new Int32Array(target, 0, (rows * stride) / 4);
      for (let b = 0; b < blocks; b++) pick4(from as Int32Array, to, order, starts, b, place(b));
    } else {
      const to = new Uint8Array(target, 0, rows * stride);
      for (let b = 0; b < blocks; b++) pick1(from as Uint8Array, to, order, starts, b, place(b));
    }
  }
  return { starts, objects: kept };
}

/** The rows of one block in one batch. */
export interface Segment {
  readonly buffer: ArrayBufferLike;
  readonly offset: number;
  readonly rows: number;
  readonly objects: readonly (readonly Value[])[];
}

const TWO_32 = 4_294_967_296;

/** Puts a block's segments together. The columns are good until the next block is gathered. */
export class Gatherer {
  private readonly scratch = new Map<string, LaneArray>();

  constructor(
    private readonly shape: BatchShape,
    /** Texts of each coded column; of the right length even where the texts themselves are elsewhere. */
    private readonly dictionaries: ReadonlyMap<string, readonly Value[]>,
  ) {}

  records(block: number, segments: readonly Segment[]): RecordColumns {
    const { shape } = this;
    let rows = 0;
    for (const segment of segments) rows += segment.rows;
    const entity = this.gather(shape.entity, segments, rows) as Int32Array;
    const first = block << shape.shift;
    if (first > 0) for (let i = 0; i < rows; i++) entity[i] = entity[i]! - first;
    const doubles = (lane: Lane): Float64Array => this.gather(lane, segments, rows) as Float64Array;
    const positions = (lane: Lane): Float64Array | Int32Array =>
      this.gather(lane, segments, rows) as Float64Array | Int32Array;
    const eventTime = doubles(shape.eventTime);
    return {
      rows,
      sequenced: shape.sequenced,
      entity,
      eventTime,
      availableAt: shape.availableAt === null ? eventTime : doubles(shape.availableAt),
      seq: positions(shape.seq),
      ...(shape.append === null ? {} : { append: positions(shape.append) }),
      until: shape.until && doubles(shape.until),
      columns: new Map(shape.values.map((value) => [value.name, this.column(value, segments, rows)])),
      masks: new Map(
        shape.masks.map(({ name, lane }) => [name, this.gather(lane, segments, rows) as Uint8Array]),
      ),
    };
  }

  private column(value: ValueLane, segments: readonly Segment[], rows: number): Column {
    const { type, lane, name } = value;
    if (lane.kind === 'object')
      return { type, kind: 'values', values: segments.flatMap(({ objects }) => objects[lane.place]!) };
    if (lane.kind === 'code')
      return {
        type,
        kind: 'codes',
        codes: this.gather(lane, segments, rows) as Int32Array,
        dictionary: this.dictionaries.get(name) ?? [],
      };
    const values = this.gather(lane, segments, rows) as Float64Array;
    if (lane.kind === 'word')
      return integers(type, values, this.gather(value.valid!, segments, rows) as Uint8Array, rows);
    let valid: Uint8Array | null = null;
    for (let i = 0; i < rows; i++) {
      const x = values[i]!;
      if (!Number.isNaN(x)) continue;
      valid ??= this.reserve(`valid ${name}`, rows, 'byte').fill(1, 0, rows) as Uint8Array;
      valid[i] = 0;
      values[i] = 0;
    }
    return { type, kind: 'numbers', values, valid };
  }

  private gather(lane: Lane, segments: readonly Segment[], rows: number): LaneArray {
    const target = this.reserve(`${lane.kind} ${lane.place}`, rows, lane.kind);
    let at = 0;
    for (const segment of segments) {
      if (segment.rows === 0) continue;
      target.set(laneArray(this.shape, lane, segment.buffer, segment.offset, segment.rows), at);
      at += segment.rows;
    }
    return target;
  }

  /** An array of exactly so many rows over memory that is kept for the next block. */
  private reserve(key: string, rows: number, kind: LaneKind): LaneArray {
    let held = this.scratch.get(key);
    if (!held || held.length < rows) {
      const length = Math.max(1024, rows + (rows >> 2));
      held =
        kind === 'code'
          ? new Int32Array(length)
          : kind === 'byte'
            ? new Uint8Array(length)
            : new Float64Array(length);
      this.scratch.set(key, held);
    }
    return held.subarray(0, rows);
  }
}

/** 64-bit integers in the bytes of doubles: doubles in place when all are safe, else numbers and bigints. */
function integers(type: ValueType, words: Float64Array, valid: Uint8Array, rows: number): Column {
  const halves = new Int32Array(words.buffer, words.byteOffset, 2 * rows);
  let nulls = false;
  let safe = true;
  for (let i = 0; i < rows && safe; i++) {
    const value = halves[2 * i + 1]! * TWO_32 + (halves[2 * i]! >>> 0);
    if (valid[i] === 0) nulls = true;
    else if (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER) safe = false;
  }
  if (!safe) {
    const wide = new BigInt64Array(words.buffer, words.byteOffset, rows);
    const values = Array.from(wide, (value, i) => {
      if (valid[i] === 0) return null;
      const number = Number(value);
      return Number.isSafeInteger(number) ? number : value;
    });
    return { type, kind: 'values', values };
  }
  for (let i = 0; i < rows; i++)
    words[i] = valid[i] === 0 ? 0 : halves[2 * i + 1]! * TWO_32 + (halves[2 * i]! >>> 0);
  return { type, kind: 'numbers', values: words, valid: nulls ? valid : null };
}

/** The observations, arranged by block as records are. */
export interface BlockObservations {
  /** Of every observation; rows whose entity is -1 belong to block 0. */
  readonly entity: Int32Array;
  readonly at: Float64Array;
  /** Rows of observations, block after block, and where each block begins. */
  readonly rows: Int32Array;
  readonly starts: Int32Array;
  readonly hindsight: boolean;
}

/** `rows` is filled: of the length of `entity`, in memory of the caller's choice. */
export function arrangeObservations(shape: BatchShape, entity: Int32Array, rows: Int32Array): Int32Array {
  const starts = new Int32Array(shape.blocks + 1);
  const blockOf = (code: number): number => (code < 0 ? 0 : code >>> shape.shift);
  for (let i = 0; i < entity.length; i++) {
    const block = blockOf(entity[i]!) + 1;
    starts[block] = starts[block]! + 1;
  }
  for (let b = 0; b < shape.blocks; b++) starts[b + 1] = starts[b + 1]! + starts[b]!;
  const next = starts.slice(0, shape.blocks);
  for (let i = 0; i < entity.length; i++) rows[next[blockOf(entity[i]!)]!++] = i;
  return starts;
}

/** Where one feature's values and statuses go, by observation. Arrays that threads may share. */
export interface Slot {
  readonly status: Uint8Array;
  readonly numbers: { readonly values: Float64Array; readonly valid: Uint8Array } | null;
  /** For texts copied from a coded column: its codes. */
  readonly codes: Int32Array | null;
}

/** Values that have no place in a slot: integers beyond 2^53, lists, maps, new texts. */
export interface Leftover {
  /** Place of the feature among features, then lookups. */
  readonly feature: number;
  readonly rows: readonly number[];
  readonly values: readonly Value[];
}

export interface Wanted {
  readonly features: readonly SweepFeature[];
  readonly lookups: readonly SweepLookup[];
}

const NUMBER_KINDS: readonly string[] = ['int64', 'float64', 'decimal', 'timestamp', 'date', 'boolean'];

/** Empty slots for all that is wanted; `allocate` gives zeroed memory of so many bytes. */
export function slotsFor(
  { features, lookups }: Wanted,
  rows: number,
  allocate: (bytes: number) => ArrayBufferLike,
): Slot[] {
  return [...features, ...lookups].map(({ outputType: { kind } }) => ({
    status: new Uint8Array(allocate(rows)),
    numbers: NUMBER_KINDS.includes(kind)
      ? { values: new Float64Array(allocate(8 * rows)), valid: new Uint8Array(allocate(rows)) }
      : null,
    codes: kind === 'string' ? new Int32Array(allocate(4 * rows)).fill(-1) : null,
  }));
}

/** Sweeps one block into the slots; what has no place there is returned. */
export function sweepBlock(
  shape: BatchShape,
  block: number,
  records: RecordColumns,
  observations: BlockObservations,
  wanted: Wanted,
  slots: readonly Slot[],
): Leftover[] {
  const start = observations.starts[block]!;
  const end = observations.starts[block + 1]!;
  if (start === end) return [];
  const rows = observations.rows.subarray(start, end);
  const first = block << shape.shift;
  const local: ObservationColumns = {
    rows: rows.length,
    entity: new Int32Array(rows.length),
    at: new Float64Array(rows.length),
    knowledge: observations.hindsight ? new Float64Array(rows.length).fill(Number.POSITIVE_INFINITY) : null,
  };
  for (let i = 0; i < rows.length; i++) {
    const code = observations.entity[rows[i]!]!;
    local.entity[i] = code < 0 ? -1 : code - first;
    local.at[i] = observations.at[rows[i]!]!;
  }
  const entities = Math.min(1 << shape.shift, shape.entities - first);
  const swept = sweep({ entities, records, observations: local, ...wanted });
  return swept.flatMap((column, feature) => deliver(column, feature, rows, slots[feature]!, records));
}

function deliver(
  { column, status }: SweepColumn,
  feature: number,
  rows: Int32Array,
  slot: Slot,
  records: RecordColumns,
): Leftover[] {
  for (let i = 0; i < rows.length; i++) slot.status[rows[i]!] = status[i]!;
  if (column.kind === 'numbers') {
    const { values, valid } = slot.numbers!;
    for (let i = 0; i < rows.length; i++) {
      values[rows[i]!] = column.values[i]!;
      valid[rows[i]!] = column.valid === null ? 1 : column.valid[i]!;
    }
    return [];
  }
  const left: { rows: number[]; values: Value[] } = { rows: [], values: [] };
  if (column.kind === 'codes') {
    let copied = false;
    for (const held of records.columns.values())
      if (held.kind === 'codes' && held.dictionary === column.dictionary) copied = true;
    for (let i = 0; i < rows.length; i++) {
      const code = column.codes[i]!;
      if (copied) slot.codes![rows[i]!] = code;
      else if (code >= 0) {
        left.rows.push(rows[i]!);
        left.values.push(column.dictionary[code]!);
      }
    }
  } else {
    for (let i = 0; i < rows.length; i++) {
      const value = column.values[i]!;
      if (value === null) continue;
      if (slot.numbers !== null && typeof value === 'number') {
        slot.numbers.values[rows[i]!] = value;
        slot.numbers.valid[rows[i]!] = 1;
        continue;
      }
      left.rows.push(rows[i]!);
      left.values.push(value);
    }
  }
  return left.rows.length === 0 ? [] : [{ feature, ...left }];
}

/** The columns of all blocks. */
export function collect(
  { features, lookups }: Wanted,
  slots: readonly Slot[],
  leftovers: readonly Leftover[],
  dictionaries: ReadonlyMap<string, readonly Value[]>,
): SweepColumn[] {
  const fields = [
    ...features.map(({ aggregation }) => aggregation.field),
    ...lookups.map(({ field }) => field),
  ];
  return [...features, ...lookups].map(({ name, outputType: type }, feature) => {
    const { status, numbers, codes } = slots[feature]!;
    const left = leftovers.filter((item) => item.feature === feature);
    const values = (): Value[] => {
      const all = new Array<Value>(status.length).fill(null);
      for (const item of left) for (const [i, row] of item.rows.entries()) all[row] = item.values[i]!;
      return all;
    };
    if (numbers !== null) {
      if (left.length === 0) return { name, status, column: { type, kind: 'numbers', ...numbers } };
      const all = values();
      for (let row = 0; row < all.length; row++)
        if (all[row] === null && numbers.valid[row] === 1) all[row] = numbers.values[row]!;
      return { name, status, column: { type, kind: 'values', values: all } };
    }
    if (codes !== null && left.length === 0)
      return {
        name,
        status,
        column: { type, kind: 'codes', codes, dictionary: dictionaries.get(fields[feature] ?? '') ?? [] },
      };
    const builder = new ColumnBuilder(type, status.length);
    for (const item of left) for (const [i, row] of item.rows.entries()) builder.set(row, item.values[i]!);
    return { name, status, column: builder.finish() };
  });
}

const COPYING: readonly string[] = ['first', 'last', 'count', 'count_distinct'];

/** Coded columns whose texts the sweep itself reads; of the others codes are enough. */
export function textsRead({ features }: Wanted): Set<string> {
  const read = new Set<string>();
  for (const { aggregation } of features) {
    const { function: fn, field, groupBy, arguments: given } = aggregation;
    if (field !== null && (groupBy !== null || !COPYING.includes(fn))) read.add(field);
    if (groupBy !== null) read.add(groupBy);
    if (given.by !== undefined) read.add(given.by);
  }
  return read;
}
