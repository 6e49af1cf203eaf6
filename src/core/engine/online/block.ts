/**
 * Blocks of events: the head of an entity and its sealed segments share one layout of little-endian doubles.
 *
 * Words: version, events n, directory rows m, next segment id, floor key (event_time, from, order, seq), live ghosts,
 * finite ghosts g, least from, greatest from, least until, byte offset of the tail, number of int64 and decimal columns that hold indexes; then g ghost instants, n words of
 * each column (event_time, from, until, order, seq, fields), n bytes of each predicate (padded to words), m directory
 * rows; then the tail: for each field a dictionary, and the entity's key tuple.
 *
 * A column of numbers holds the values themselves, NaN for null. Where a value is no double (texts, vectors, int64
 * beyond 2^53), the column holds indexes into the block's dictionary. Little-endian machines only, like all that
 * Node.js is built for.
 */
import { invariant } from '../../base/error.js';
import type { Value } from '../../schema/types.js';
import { decodeTuple, encodeTuple } from './key.js';
import { ATOM_WORDS, DIRECTORY_BASE, directoryStride, ONLINE_FORMAT, type OnlineGroup } from './plan.js';

export const WORD = {
  version: 0,
  events: 1,
  rows: 2,
  nextSegment: 3,
  floor: 4,
  liveGhosts: 8,
  ghosts: 9,
  minFrom: 10,
  maxFrom: 11,
  minUntil: 12,
  tail: 13,
  indexed: 14,
  header: 15,
} as const;

export const EVENT = 0;
export const FROM = 1;
export const UNTIL = 2;
export const ORDER = 3;
export const SEQ = 4;
/** Columns before the fields. */
export const CORE = 5;

/** Words of a directory row. */
export const ROW = { id: 0, events: 1, key: 2, maxEvent: 6, minFrom: 7, maxFrom: 8, minUntil: 9 } as const;

/**
 * The order of members: (event_time, from, order, seq), or (event_time, order, from, seq) where the source declares a
 * sequence. `second` and `third` of a block name the columns in between.
 */
export type EventKey = readonly [number, number, number, number];

export interface Block {
  n: number;
  readonly second: number;
  readonly third: number;
  /** Core columns, then fields; longer than n. */
  columns: Float64Array[];
  masks: Uint8Array[];
  /** For each field: values that its column's indexes name, or null when the column holds the values. */
  dictionaries: (Value[] | null)[];
  /** Text → index, built when needed. */
  indexes: (Map<Value, number> | null)[];
}

const holdsNumbers = (kind: string): boolean =>
  kind === 'int64' ||
  kind === 'float64' ||
  kind === 'decimal' ||
  kind === 'timestamp' ||
  kind === 'date' ||
  kind === 'boolean';

/** Which columns follow the event time in a key. */
export const tieColumns = (group: OnlineGroup): { readonly second: number; readonly third: number } =>
  group.sequenced ? { second: ORDER, third: FROM } : { second: FROM, third: ORDER };

export function emptyBlock(group: OnlineGroup, capacity = 16): Block {
  return {
    n: 0,
    ...tieColumns(group),
    columns: Array.from({ length: CORE + group.fields.length }, () => new Float64Array(capacity)),
    masks: group.predicates.map(() => new Uint8Array(capacity)),
    dictionaries: group.fields.map((field) => (holdsNumbers(field.type.kind) ? null : [])),
    indexes: group.fields.map(() => null),
  };
}

function grow(block: Block): void {
  const capacity = Math.max(16, block.columns[0]!.length * 2);
  const larger = <T extends Float64Array | Uint8Array>(column: T, fresh: T): T => {
    fresh.set(column.subarray(0, block.n));
    return fresh;
  };
  block.columns = block.columns.map((column) => larger(column, new Float64Array(capacity)));
  block.masks = block.masks.map((mask) => larger(mask, new Uint8Array(capacity)));
}

/** Sign of key(block, i) - key. */
export function compareAt(block: Block, i: number, key: EventKey): number {
  const { columns } = block;
  return (
    columns[EVENT]![i]! - key[0] ||
    columns[block.second]![i]! - key[1] ||
    columns[block.third]![i]! - key[2] ||
    columns[SEQ]![i]! - key[3]
  );
}

/** The first index whose key is at or after `key`. */
export function lowerBound(block: Block, key: EventKey): number {
  let low = 0;
  let high = block.n;
  if (high > 0 && compareAt(block, high - 1, key) < 0) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareAt(block, middle, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

export const keyAt = (block: Block, i: number): EventKey => [
  block.columns[EVENT]![i]!,
  block.columns[block.second]![i]!,
  block.columns[block.third]![i]!,
  block.columns[SEQ]![i]!,
];

/** A field's value as its column's double. */
function toWord(block: Block, field: number, value: Value): number {
  if (value === null || value === undefined) return Number.NaN;
  let dictionary = block.dictionaries[field]!;
  if (!dictionary) {
    if (typeof value === 'number') return value + 0;
    if (typeof value === 'boolean') return value ? 1 : 0;
    // An int64 beyond 2^53: from here on this block's column is indexes.
    const column = block.columns[CORE + field]!;
    dictionary = [];
    block.dictionaries[field] = dictionary;
    for (let i = 0; i < block.n; i++)
      if (!Number.isNaN(column[i])) column[i] = dictionary.push(column[i]!) - 1;
  }
  if (typeof value === 'object') return dictionary.push(value) - 1;
  let index = block.indexes[field];
  if (!index) {
    index = new Map(dictionary.map((item, i) => [item, i]));
    block.indexes[field] = index;
  }
  let code = index.get(value);
  if (code === undefined) {
    code = dictionary.push(value) - 1;
    index.set(value, code);
  }
  return code;
}

export interface OnlineEvent {
  readonly key: EventKey;
  readonly until: number;
  readonly values: readonly Value[];
  readonly masks: readonly number[];
}

export function insertAt(block: Block, position: number, event: OnlineEvent): void {
  if (block.n === block.columns[0]!.length) grow(block);
  const words = event.values.map((value, field) => toWord(block, field, value));
  if (position < block.n) {
    for (const column of block.columns) column.copyWithin(position + 1, position, block.n);
    for (const mask of block.masks) mask.copyWithin(position + 1, position, block.n);
  }
  const { columns, masks } = block;
  columns[EVENT]![position] = event.key[0];
  columns[block.second]![position] = event.key[1];
  columns[UNTIL]![position] = event.until;
  columns[block.third]![position] = event.key[2];
  columns[SEQ]![position] = event.key[3];
  for (let field = 0; field < words.length; field++) columns[CORE + field]![position] = words[field]!;
  for (let mask = 0; mask < masks.length; mask++) masks[mask]![position] = event.masks[mask]!;
  block.n++;
}

export function removeAt(block: Block, position: number): void {
  for (const column of block.columns) column.copyWithin(position, position + 1, block.n);
  for (const mask of block.masks) mask.copyWithin(position, position + 1, block.n);
  block.n--;
}

/** Events [start, end) as a block of their own. */
export function sliceBlock(block: Block, start: number, end: number): Block {
  return {
    n: end - start,
    second: block.second,
    third: block.third,
    columns: block.columns.map((column) => column.slice(start, end)),
    masks: block.masks.map((mask) => mask.slice(start, end)),
    dictionaries: block.dictionaries.map((dictionary) => dictionary && [...dictionary]),
    indexes: block.indexes.map(() => null),
  };
}

export function fieldValue(
  group: OnlineGroup,
  dictionary: readonly Value[] | null,
  field: number,
  word: number,
): Value {
  if (Number.isNaN(word)) return null;
  if (dictionary) return dictionary[word]!;
  return group.fields[field]!.type.kind === 'boolean' ? word !== 0 : word;
}

/** What one entity holds besides its events. */
export interface Entity {
  /** Key tuple bytes. */
  readonly tuple: Uint8Array;
  readonly head: Block;
  floor: EventKey;
  nextSegment: number;
  /** Records forgotten by retention that stay known for ever. */
  liveGhosts: number;
  /** For the forgotten records that end: when, ascending. */
  ghosts: number[];
  directory: Float64Array[];
}

export const NO_FLOOR: EventKey = [-Infinity, -Infinity, -Infinity, -Infinity];

export const emptyEntity = (group: OnlineGroup, tuple: Uint8Array): Entity => ({
  tuple,
  head: emptyBlock(group),
  floor: NO_FLOOR,
  nextSegment: 0,
  liveGhosts: 0,
  ghosts: [],
  directory: [],
});

const maskWords = (n: number): number => (n + 7) >>> 3;

/** Values in use, in order of first use, and the column that names them. */
function compact(
  column: Float64Array,
  dictionary: readonly Value[],
  n: number,
): { column: Float64Array; values: Value[] } {
  const moved = new Map<number, number>();
  const fresh = new Float64Array(n);
  const values: Value[] = [];
  for (let i = 0; i < n; i++) {
    const code = column[i]!;
    if (Number.isNaN(code)) {
      fresh[i] = code;
      continue;
    }
    let place = moved.get(code);
    if (place === undefined) {
      place = values.push(dictionary[code]!) - 1;
      moved.set(code, place);
    }
    fresh[i] = place;
  }
  return { column: fresh, values };
}

function encode(group: OnlineGroup, block: Block, entity: Entity | null): Uint8Array {
  const { n } = block;
  const ghosts = entity?.ghosts ?? [];
  const directory = entity?.directory ?? [];
  const stride = directoryStride(group);
  const words =
    WORD.header +
    ghosts.length +
    n * block.columns.length +
    maskWords(n) * block.masks.length +
    directory.length * stride;
  const columns: Float64Array[] = block.columns.slice(0, CORE);
  const parts: Buffer[] = [];
  let indexed = 0;
  for (let field = 0; field < group.fields.length; field++) {
    const held = block.columns[CORE + field]!;
    const dictionary = block.dictionaries[field]!;
    const plain =
      dictionary && holdsNumbers(group.fields[field]!.type.kind) && allDoubles(held, dictionary, n);
    const compacted = !dictionary || plain ? null : compact(held, dictionary, n);
    columns.push(compacted ? compacted.column : plain ? backToDoubles(held, dictionary!, n) : held);
    if (compacted && holdsNumbers(group.fields[field]!.type.kind)) indexed++;
    const size = Buffer.alloc(4);
    const tuple = compacted ? encodeTuple(compacted.values) : null;
    size.writeUInt32BE(tuple ? tuple.length : 0xffff_ffff);
    parts.push(size);
    if (tuple) parts.push(tuple);
  }
  parts.push(Buffer.from(entity?.tuple ?? []));
  const tail = Buffer.concat(parts);
  const bytes = new Uint8Array(words * 8 + tail.length);
  const out = new Float64Array(bytes.buffer, 0, words);
  let minFrom = Infinity;
  let maxFrom = -Infinity;
  let minUntil = Infinity;
  for (let i = 0; i < n; i++) {
    const from = columns[FROM]![i]!;
    const until = columns[UNTIL]![i]!;
    if (from < minFrom) minFrom = from;
    if (from > maxFrom) maxFrom = from;
    if (until < minUntil) minUntil = until;
  }
  out.set([ONLINE_FORMAT, n, directory.length, entity?.nextSegment ?? 0], 0);
  out.set(entity?.floor ?? NO_FLOOR, WORD.floor);
  out.set(
    [entity?.liveGhosts ?? 0, ghosts.length, minFrom, maxFrom, minUntil, words * 8, indexed],
    WORD.liveGhosts,
  );
  let at: number = WORD.header;
  out.set(ghosts, at);
  at += ghosts.length;
  for (const column of columns) {
    out.set(column.length === n ? column : column.subarray(0, n), at);
    at += n;
  }
  for (const mask of block.masks) {
    bytes.set(mask.subarray(0, n), at * 8);
    at += maskWords(n);
  }
  for (const row of directory) {
    out.set(row, at);
    at += stride;
  }
  bytes.set(tail, words * 8);
  return bytes;
}

const allDoubles = (column: Float64Array, dictionary: readonly Value[], n: number): boolean => {
  for (let i = 0; i < n; i++) if (typeof dictionary[column[i]!] === 'bigint') return false;
  return true;
};
const backToDoubles = (column: Float64Array, dictionary: readonly Value[], n: number): Float64Array =>
  column.slice(0, n).map((code) => (Number.isNaN(code) ? code : (dictionary[code] as number)));

export const encodeEntity = (group: OnlineGroup, entity: Entity): Uint8Array =>
  encode(group, entity.head, entity);
export const encodeSegment = (group: OnlineGroup, block: Block): Uint8Array => encode(group, block, null);

/** A copy of bytes whose `length` may be less than the memory they stand in (LMDB's reused buffer). */
export const owned = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.prototype.slice.call(bytes, 0, bytes.length);

/** Views into stored bytes; valid as long as the bytes are. */
export interface View {
  readonly words: Float64Array;
  readonly bytes: Uint8Array;
  /** Word index of word 0. */
  readonly base: number;
  readonly n: number;
  /** Word index of column 0; column c begins n * c words later. */
  readonly columns: number;
  /** Byte index in `bytes` of mask 0, and bytes from one to the next. */
  readonly masks: number;
  readonly maskStride: number;
  readonly rows: number;
  /** Word index of directory row 0. */
  readonly directory: number;
  /** Byte index in `bytes` of the tail. */
  readonly tail: number;
}

let lastBuffer: ArrayBufferLike | null = null;
let lastWords: Float64Array = new Float64Array(0);

export function viewOf(group: OnlineGroup, bytes: Uint8Array): View {
  let words: Float64Array;
  let base = 0;
  if ((bytes.byteOffset & 7) === 0) {
    if (bytes.buffer !== lastBuffer) {
      lastBuffer = bytes.buffer;
      lastWords = new Float64Array(bytes.buffer, 0, bytes.buffer.byteLength >>> 3);
    }
    words = lastWords;
    base = bytes.byteOffset >>> 3;
  } else {
    const copy = owned(bytes);
    words = new Float64Array(copy.buffer, 0, copy.length >>> 3);
    bytes = copy;
  }
  invariant(words[base] === ONLINE_FORMAT, `an online block of an unknown format ${words[base]}`);
  const n = words[base + WORD.events]!;
  const columns = base + WORD.header + words[base + WORD.ghosts]!;
  const masks = columns + n * (CORE + group.fields.length);
  const maskStride = maskWords(n) * 8;
  const directory = masks + maskWords(n) * group.predicates.length;
  return {
    words,
    bytes,
    base,
    n,
    columns,
    masks: (masks - base) * 8,
    maskStride,
    rows: words[base + WORD.rows]!,
    directory,
    tail: words[base + WORD.tail]!,
  };
}

/** Dictionaries of all fields and the key tuple, copied out of a view. */
export function readTail(
  group: OnlineGroup,
  view: View,
): { dictionaries: (Value[] | null)[]; tuple: Uint8Array } {
  const { bytes } = view;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = view.tail;
  const dictionaries: (Value[] | null)[] = [];
  for (let field = 0; field < group.fields.length; field++) {
    const size = buffer.readUInt32BE(at);
    at += 4;
    if (size === 0xffff_ffff) dictionaries.push(null);
    else {
      dictionaries.push([...decodeTuple(buffer.subarray(at, at + size))]);
      at += size;
    }
  }
  return { dictionaries, tuple: Uint8Array.prototype.slice.call(buffer, at) };
}

/** A mutable copy. */
function blockOf(group: OnlineGroup, view: View, dictionaries: (Value[] | null)[]): Block {
  const capacity = view.n + 16;
  const column = (index: number): Float64Array => {
    const copy = new Float64Array(capacity);
    const start = view.columns + index * view.n;
    copy.set(view.words.subarray(start, start + view.n));
    return copy;
  };
  return {
    n: view.n,
    ...tieColumns(group),
    columns: Array.from({ length: CORE + group.fields.length }, (_, index) => column(index)),
    masks: group.predicates.map((_, index) => {
      const copy = new Uint8Array(capacity);
      const start = view.masks + index * view.maskStride;
      copy.set(view.bytes.subarray(start, start + view.n));
      return copy;
    }),
    dictionaries,
    indexes: group.fields.map(() => null),
  };
}

export function decodeSegment(group: OnlineGroup, bytes: Uint8Array): Block {
  const view = viewOf(group, bytes);
  return blockOf(group, view, readTail(group, view).dictionaries);
}

export function decodeEntity(group: OnlineGroup, bytes: Uint8Array): Entity {
  const view = viewOf(group, bytes);
  const { words, base } = view;
  const { dictionaries, tuple } = readTail(group, view);
  const stride = directoryStride(group);
  const floor = words.subarray(base + WORD.floor, base + WORD.floor + 4);
  return {
    tuple,
    head: blockOf(group, view, dictionaries),
    floor: [floor[0]!, floor[1]!, floor[2]!, floor[3]!],
    nextSegment: words[base + WORD.nextSegment]!,
    liveGhosts: words[base + WORD.liveGhosts]!,
    ghosts: [...words.subarray(base + WORD.header, base + WORD.header + words[base + WORD.ghosts]!)],
    directory: Array.from({ length: view.rows }, (_, row) =>
      words.slice(view.directory + row * stride, view.directory + (row + 1) * stride),
    ),
  };
}

/** An exact running sum: high + low, as long as no low part was rounded; then low is NaN. */
export interface Pair {
  high: number;
  low: number;
}

/** Adds x: an error-free transformation of both additions (Knuth's two-sum), or NaN when the second rounds. */
export function addPair(pair: Pair, x: number): void {
  const { high } = pair;
  const sum = high + x;
  const part = sum - high;
  const error = high - (sum - part) + (x - part);
  pair.high = sum;
  if (error !== 0) {
    const { low } = pair;
    const total = low + error;
    const second = total - low;
    pair.low = low - (total - second) + (error - second) === 0 ? total : Number.NaN;
  }
}

/** The directory row of a sealed block: bounds, then the group's summaries. */
export function summarise(group: OnlineGroup, block: Block, id: number): Float64Array {
  const row = new Float64Array(directoryStride(group));
  const { n, columns, masks } = block;
  row[ROW.id] = id;
  row[ROW.events] = n;
  row.set(keyAt(block, 0), ROW.key);
  row[ROW.maxEvent] = columns[EVENT]![n - 1]!;
  let minFrom = Infinity;
  let maxFrom = -Infinity;
  let minUntil = Infinity;
  for (let i = 0; i < n; i++) {
    minFrom = Math.min(minFrom, columns[FROM]![i]!);
    maxFrom = Math.max(maxFrom, columns[FROM]![i]!);
    minUntil = Math.min(minUntil, columns[UNTIL]![i]!);
  }
  row[ROW.minFrom] = minFrom;
  row[ROW.maxFrom] = maxFrom;
  row[ROW.minUntil] = minUntil;
  group.rowAtoms.forEach((mask, index) => {
    let rows = 0;
    for (let i = 0; i < n; i++) if (mask < 0 || masks[mask]![i] === 1) rows++;
    row[DIRECTORY_BASE + index] = rows;
  });
  group.fieldAtoms.forEach(({ field, mask }, index) => {
    const at = DIRECTORY_BASE + group.rowAtoms.length + ATOM_WORDS * index;
    const column = columns[CORE + field]!;
    const pair: Pair = { high: 0, low: 0 };
    let values = 0;
    let least = Infinity;
    let greatest = -Infinity;
    for (let i = 0; i < n; i++) {
      if (mask >= 0 && masks[mask]![i] !== 1) continue;
      const x = column[i]!;
      if (Number.isNaN(x)) continue;
      values++;
      addPair(pair, x);
      if (x < least) least = x;
      if (x > greatest) greatest = x;
    }
    const indexed = block.dictionaries[field] !== null && values > 0;
    row.set(
      [
        values,
        pair.high,
        indexed ? Number.NaN : pair.low,
        indexed ? Number.NaN : least,
        indexed ? Number.NaN : greatest,
      ],
      at,
    );
  });
  return row;
}
