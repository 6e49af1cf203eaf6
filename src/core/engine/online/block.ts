/**
 * Blocks of events: the head of an entity and its sealed segments share one layout of little-endian doubles.
 *
 * Words: format, events n, flags, directory rows m, ghosts g, live ghosts, least from, greatest from, least until, byte
 * offset of the tail, number of int64 and decimal columns that hold indexes; then g ghost instants, the columns, the
 * predicates (one byte an event, padded to words), the directory rows unless they stand apart; then the tail: for each
 * field a dictionary, and the entity's key tuple where the store key is a hash.
 *
 * Columns: event_time, seq, then `from` unless it is the event time throughout, `until` unless all are known for ever,
 * `order` unless it is the seq throughout, then the fields. A segment's columns are n words long; those of a head have
 * room to spare (`capacityOf`), zero behind n, so that an event is appended in place.
 *
 * A column of numbers holds the values themselves, NaN for null. Where a value is no double (texts, vectors, int64
 * beyond 2^53), the column holds indexes into the block's dictionary. Little-endian machines only, like all that
 * Node.js is built for.
 */
import { addSquares } from '../../algebra/quick-spread.js';
import { invariant } from '../../base/error.js';
import type { Value } from '../../schema/types.js';
import { decodeTuple, encodeTuple, isLong, itemEnd } from './key.js';
import { atomWords, COLUMN, DIRECTORY_BASE, ROW } from './lanes.js';
import { directoryStride, ONLINE_FORMAT, type OnlineGroup } from './plan.js';

export const WORD = {
  format: 0,
  events: 1,
  flags: 2,
  rows: 3,
  ghosts: 4,
  liveGhosts: 5,
  minFrom: 6,
  maxFrom: 7,
  minUntil: 8,
  tail: 9,
  indexed: 10,
  header: 11,
} as const;

/** Which optional columns there are; `head`: columns have room to spare; `apart`: the directory is a value of its own. */
export const FLAG = { from: 1, until: 2, order: 4, head: 8, apart: 16 } as const;

/** Directories of more rows are values of their own, so that an event does not write them anew. */
const INLINE_ROWS = 6;

/** Tail of a field without a dictionary. */
export const NO_DICTIONARY = 0xffff_ffff;

/** Events that a head's columns have room for. */
export const capacityOf = (n: number): number => (n > 8 ? (n + 7) & ~7 : n > 4 ? 8 : n > 2 ? 4 : n);

export const EVENT = 0;
export const FROM = 1;
export const UNTIL = 2;
export const ORDER = 3;
export const SEQ = 4;
/** Columns before the fields. */
const CORE = 5;

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

export const holdsNumbers = (kind: string): boolean =>
  kind === 'int64' ||
  kind === 'float64' ||
  kind === 'decimal' ||
  kind === 'timestamp' ||
  kind === 'date' ||
  kind === 'boolean';

/** Which columns follow the event time in a key. */
const tieColumns = (group: OnlineGroup): { readonly second: number; readonly third: number } =>
  group.sequenced ? { second: ORDER, third: FROM } : { second: FROM, third: ORDER };

/** Room for the events of a segment and as many new ones; columns of this size are used again. */
const ROOM = 640;
const spareColumns: Float64Array[] = [];
const spareMasks: Uint8Array[] = [];
const MAX_SPARE = 256;

const freshColumn = (n: number): Float64Array =>
  n <= ROOM ? (spareColumns.pop() ?? new Float64Array(ROOM)) : new Float64Array(n + ROOM);
const freshMask = (n: number): Uint8Array =>
  n <= ROOM ? (spareMasks.pop() ?? new Uint8Array(ROOM)) : new Uint8Array(n + ROOM);

/** Nobody looks at this block, nor at a slice of it, any more. */
export function releaseBlock({ columns, masks }: Block): void {
  for (const column of columns)
    if (column.length === ROOM && spareColumns.length < MAX_SPARE) spareColumns.push(column);
  for (const mask of masks) if (mask.length === ROOM && spareMasks.length < MAX_SPARE) spareMasks.push(mask);
}

function emptyBlock(group: OnlineGroup): Block {
  return {
    n: 0,
    ...tieColumns(group),
    columns: Array.from({ length: CORE + group.fields.length }, () => freshColumn(0)),
    masks: group.predicates.map(() => freshMask(0)),
    dictionaries: group.fields.map((field) => (holdsNumbers(field.type.kind) ? null : [])),
    indexes: group.fields.map(() => null),
  };
}

function grow(block: Block, room: number): void {
  const capacity = Math.max(room, block.columns[0]!.length * 2);
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

/** An event that a block does not hold yet, known for ever: as a record says it. */
export interface NewEvent {
  readonly fields: Readonly<Record<string, Value>>;
  readonly eventTime: number;
  readonly availableAt: number;
  readonly order: number;
  readonly seq: number;
}

export const eventKey = (
  group: OnlineGroup,
  eventTime: number,
  from: number,
  order: number,
  seq: number,
): EventKey => (group.sequenced ? [eventTime, order, from, seq] : [eventTime, from, order, seq]);

let places = new Int32Array(256);

/** Opens gaps behind so many elements of a column: `places` ascending, the i-th new one then stands at places[i] + i. */
function openGaps(column: Float64Array | Uint8Array, n: number, count: number): void {
  let end = n;
  for (let i = count - 1; i >= 0; i--) {
    const place = places[i]!;
    if (place < end) column.copyWithin(place + i + 1, place, end);
    end = place;
  }
}

/** Adds events [start, end), which are in the order of their keys, each to its place. */
export function mergeEvents(
  group: OnlineGroup,
  block: Block,
  events: readonly NewEvent[],
  start: number,
  end: number,
): void {
  const { n } = block;
  const count = end - start;
  if (n + count > block.columns[0]!.length) grow(block, n + count);
  if (places.length < count) places = new Int32Array(count * 2);
  for (let i = 0; i < count; i++) {
    const { eventTime, availableAt, order, seq } = events[start + i]!;
    places[i] = lowerBound(block, eventKey(group, eventTime, availableAt, order, seq));
  }
  const { columns, masks } = block;
  if (places[0]! < n) {
    for (let column = 0; column < CORE; column++) openGaps(columns[column]!, n, count);
    for (const mask of masks) openGaps(mask, n, count);
  }
  const [event, from, until, order, seq] = columns as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  for (let i = 0; i < count; i++) {
    const added = events[start + i]!;
    const at = places[i]! + i;
    event[at] = added.eventTime;
    from[at] = added.availableAt;
    until[at] = Infinity;
    order[at] = added.order;
    seq[at] = added.seq;
    for (let mask = 0; mask < masks.length; mask++) {
      const truth = group.predicates[mask]!.evaluate(added.fields);
      masks[mask]![at] = truth === null ? 2 : truth === true ? 1 : 0;
    }
  }
  for (let field = 0; field < group.fields.length; field++) {
    const { name } = group.fields[field]!;
    const words = addedWords(count);
    const toWords = (): void => {
      for (let i = 0; i < count; i++)
        words[i] = toWord(block, field, events[start + i]!.fields[name] ?? null);
    };
    const held = block.dictionaries[field];
    toWords();
    // A value that is no double has turned the column into indexes.
    if (held !== block.dictionaries[field]) toWords();
    const column = columns[CORE + field]!;
    if (places[0]! < n) openGaps(column, n, count);
    for (let i = 0; i < count; i++) column[places[i]! + i] = words[i]!;
  }
  block.n = n + count;
}

let added = new Float64Array(256);
function addedWords(count: number): Float64Array {
  if (added.length < count) added = new Float64Array(count * 2);
  return added;
}

export function removeAt(block: Block, position: number): void {
  for (const column of block.columns) column.copyWithin(position, position + 1, block.n);
  for (const mask of block.masks) mask.copyWithin(position, position + 1, block.n);
  block.n--;
}

/** Events [start, end), to be stored: over the memory of the block, which is not changed before. */
export function sliceBlock(block: Block, start: number, end: number): Block {
  return {
    n: end - start,
    second: block.second,
    third: block.third,
    columns: block.columns.map((column) => column.subarray(start, end)),
    masks: block.masks.map((mask) => mask.subarray(start, end)),
    dictionaries: [...block.dictionaries],
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

/** What one entity holds. */
export interface Entity {
  /** Key tuple bytes. */
  readonly tuple: Uint8Array;
  head: Block;
  /** Records forgotten by retention that stay known for ever. */
  liveGhosts: number;
  /** For the forgotten records that end: when, ascending. */
  ghosts: number[];
  directory: Float64Array[];
}

export const emptyEntity = (group: OnlineGroup, tuple: Uint8Array): Entity => ({
  tuple,
  head: emptyBlock(group),
  liveGhosts: 0,
  ghosts: [],
  directory: [],
});

export const maskWords = (n: number): number => (n + 7) >>> 3;

/** Values in use, in order of first use, and the column that names them. */
function compact(
  column: Float64Array,
  dictionary: readonly Value[],
  n: number,
): { column: Float64Array; values: Value[] } {
  const moved = new Map<Value, number>();
  const fresh = new Float64Array(n);
  const values: Value[] = [];
  for (let i = 0; i < n; i++) {
    const code = column[i]!;
    if (Number.isNaN(code)) {
      fresh[i] = code;
      continue;
    }
    const value = dictionary[code]!;
    let place = typeof value === 'object' ? undefined : moved.get(value);
    if (place === undefined) {
      place = values.push(value) - 1;
      if (typeof value !== 'object') moved.set(value, place);
    }
    fresh[i] = place;
  }
  return { column: fresh, values };
}

const NO_VALUES = Buffer.alloc(4, 0xff);

function encode(group: OnlineGroup, block: Block, entity: Entity | null): Uint8Array {
  settle(group, block);
  const { n } = block;
  const [event, from, until, order, seq] = block.columns as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const ghosts = entity?.ghosts ?? [];
  const rows = entity?.directory.length ?? 0;
  const inline = rows > INLINE_ROWS ? [] : (entity?.directory ?? []);
  let flags = (entity ? FLAG.head : 0) | (rows > INLINE_ROWS ? FLAG.apart : 0);
  let minFrom = Infinity;
  let maxFrom = -Infinity;
  let minUntil = Infinity;
  for (let i = 0; i < n; i++) {
    const known = from[i]!;
    const end = until[i]!;
    if (known !== event[i]!) flags |= FLAG.from;
    if (end !== Infinity) flags |= FLAG.until;
    if (order[i]! !== seq[i]!) flags |= FLAG.order;
    if (known < minFrom) minFrom = known;
    if (known > maxFrom) maxFrom = known;
    if (end < minUntil) minUntil = end;
  }
  const columns: Float64Array[] = [event, seq];
  if (flags & FLAG.from) columns.push(from);
  if (flags & FLAG.until) columns.push(until);
  if (flags & FLAG.order) columns.push(order);
  const parts: Buffer[] = [];
  let indexed = 0;
  for (let field = 0; field < group.fields.length; field++) {
    const held = block.columns[CORE + field]!;
    const dictionary = block.dictionaries[field]!;
    const compacted = dictionary && compact(held, dictionary, n);
    columns.push(compacted ? compacted.column : held);
    if (compacted && holdsNumbers(group.fields[field]!.type.kind)) indexed++;
    if (!compacted) {
      parts.push(NO_VALUES);
      continue;
    }
    const size = Buffer.alloc(4);
    const tuple = encodeTuple(compacted.values);
    size.writeUInt32BE(tuple.length);
    parts.push(size, tuple);
  }
  if (entity && isLong(entity.tuple)) parts.push(Buffer.from(entity.tuple));
  const tail = Buffer.concat(parts);
  const capacity = entity ? capacityOf(n) : n;
  const stride = directoryStride(group);
  const words =
    WORD.header +
    ghosts.length +
    capacity * columns.length +
    maskWords(capacity) * block.masks.length +
    inline.length * stride;
  const bytes = new Uint8Array(words * 8 + tail.length);
  const out = new Float64Array(bytes.buffer, 0, words);
  out[WORD.format] = ONLINE_FORMAT;
  out[WORD.events] = n;
  out[WORD.flags] = flags;
  out[WORD.rows] = rows;
  out[WORD.ghosts] = ghosts.length;
  out[WORD.liveGhosts] = entity?.liveGhosts ?? 0;
  out[WORD.minFrom] = minFrom;
  out[WORD.maxFrom] = maxFrom;
  out[WORD.minUntil] = minUntil;
  out[WORD.tail] = words * 8;
  out[WORD.indexed] = indexed;
  let at: number = WORD.header;
  out.set(ghosts, at);
  at += ghosts.length;
  for (const column of columns) {
    out.set(column.length === n ? column : column.subarray(0, n), at);
    at += capacity;
  }
  for (const mask of block.masks) {
    bytes.set(mask.subarray(0, n), at * 8);
    at += maskWords(capacity);
  }
  for (const row of inline) {
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
  column.map((code, i) => (i >= n || Number.isNaN(code) ? code : (dictionary[code] as number)));

export const encodeEntity = (group: OnlineGroup, entity: Entity): Uint8Array =>
  encode(group, entity.head, entity);
export const encodeSegment = (group: OnlineGroup, block: Block): Uint8Array => encode(group, block, null);

/** The directory as a value of its own, or null when it stands in the head. */
export function encodeDirectory(group: OnlineGroup, directory: readonly Float64Array[]): Uint8Array | null {
  if (directory.length <= INLINE_ROWS) return null;
  const stride = directoryStride(group);
  const out = new Float64Array(directory.length * stride);
  directory.forEach((row, i) => {
    out.set(row, i * stride);
  });
  return new Uint8Array(out.buffer);
}

/** A copy of bytes whose `length` may be less than the memory they stand in (LMDB's reused buffer). */
export const owned = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.prototype.slice.call(bytes, 0, bytes.length);

/** Views into stored bytes; valid as long as the bytes are. Columns begin at the word indexes, -1: there is none. */
export interface View {
  readonly words: Float64Array;
  readonly bytes: Uint8Array;
  /** Word index of word 0. */
  readonly base: number;
  readonly n: number;
  /** Words from one column to the next. */
  readonly capacity: number;
  readonly event: number;
  readonly seq: number;
  /** The event times where all are known from then on. */
  readonly from: number;
  /** -1: all are known for ever. */
  readonly until: number;
  /** The seqs where they are the order. */
  readonly order: number;
  readonly fields: number;
  /** Byte index in `bytes` of mask 0, and bytes from one to the next. */
  readonly masks: number;
  readonly maskStride: number;
  readonly rows: number;
  /** Word index of directory row 0 when the directory stands here. */
  readonly directory: number;
  readonly apart: boolean;
  /** Byte index in `bytes` of the tail. */
  readonly tail: number;
}

let lastBuffer: ArrayBufferLike | null = null;
let lastWords: Float64Array = new Float64Array(0);

/** Words over bytes that begin at a multiple of 8. */
function wordsOf(bytes: Uint8Array): Float64Array {
  if (bytes.buffer !== lastBuffer) {
    lastBuffer = bytes.buffer;
    lastWords = new Float64Array(bytes.buffer, 0, bytes.buffer.byteLength >>> 3);
  }
  return lastWords;
}

export function viewOf(group: OnlineGroup, stored: Uint8Array): View {
  const bytes = (stored.byteOffset & 7) === 0 ? stored : owned(stored);
  const words = wordsOf(bytes);
  const base = bytes.byteOffset >>> 3;
  invariant(words[base] === ONLINE_FORMAT, `an online block of an unknown format ${words[base]}`);
  const n = words[base + WORD.events]!;
  const flags = words[base + WORD.flags]!;
  const capacity = flags & FLAG.head ? capacityOf(n) : n;
  const event = base + WORD.header + words[base + WORD.ghosts]!;
  const seq = event + capacity;
  let next = seq + capacity;
  let from = event;
  let until = -1;
  let order = seq;
  if (flags & FLAG.from) {
    from = next;
    next += capacity;
  }
  if (flags & FLAG.until) {
    until = next;
    next += capacity;
  }
  if (flags & FLAG.order) {
    order = next;
    next += capacity;
  }
  const masks = next + capacity * group.fields.length;
  const maskStride = maskWords(capacity);
  return {
    words,
    bytes,
    base,
    n,
    capacity,
    event,
    seq,
    from,
    until,
    order,
    fields: next,
    masks: (masks - base) * 8,
    maskStride: maskStride * 8,
    rows: words[base + WORD.rows]!,
    directory: masks + maskStride * group.predicates.length,
    apart: (flags & FLAG.apart) !== 0,
    tail: words[base + WORD.tail]!,
  };
}

/** Rows of a directory: the words they stand in and where they begin. */
export interface Directory {
  readonly words: Float64Array;
  readonly start: number;
  readonly rows: number;
}

/** `fetch` gives the directory that stands apart. */
export function directoryOf(view: View, fetch: () => Uint8Array): Directory {
  const { rows } = view;
  if (!view.apart) return { words: view.words, start: view.directory, rows };
  const stored = fetch();
  const bytes = (stored.byteOffset & 7) === 0 ? stored : owned(stored);
  return { words: wordsOf(bytes), start: bytes.byteOffset >>> 3, rows };
}

/** Dictionaries of all fields, and the key tuple where the store key is a hash, copied out of a view. */
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
    if (size === NO_DICTIONARY) dictionaries.push(null);
    else {
      dictionaries.push([...decodeTuple(buffer.subarray(at, at + size))]);
      at += size;
    }
  }
  return { dictionaries, tuple: Uint8Array.prototype.slice.call(buffer, at) };
}

/** One value of a view, without the rest of its dictionary. */
export function valueAt(group: OnlineGroup, view: View, field: number, index: number): Value {
  const word = view.words[view.fields + field * view.capacity + index]!;
  if (Number.isNaN(word)) return null;
  const { bytes } = view;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = view.tail;
  let size = buffer.readUInt32BE(at);
  for (let before = 0; before < field; before++) {
    at += 4 + (size === NO_DICTIONARY ? 0 : size);
    size = buffer.readUInt32BE(at);
  }
  if (size === NO_DICTIONARY) return fieldValue(group, null, field, word);
  at += 4;
  for (let i = 0; i < word; i++) at = itemEnd(buffer, at);
  return decodeTuple(buffer.subarray(at, itemEnd(buffer, at)))[0]!;
}

/** A mutable copy. */
function blockOf(group: OnlineGroup, view: View, dictionaries: (Value[] | null)[]): Block {
  const { n, words } = view;
  const copy = (start: number): Float64Array => {
    const column = freshColumn(n);
    if (n < 32) for (let i = 0; i < n; i++) column[i] = words[start + i]!;
    else column.set(words.subarray(start, start + n));
    return column;
  };
  const columns: Float64Array[] = new Array(CORE + group.fields.length);
  columns[EVENT] = copy(view.event);
  columns[FROM] = copy(view.from);
  columns[UNTIL] = view.until < 0 ? freshColumn(n).fill(Infinity, 0, n) : copy(view.until);
  columns[ORDER] = copy(view.order);
  columns[SEQ] = copy(view.seq);
  for (let field = 0; field < group.fields.length; field++)
    columns[CORE + field] = copy(view.fields + field * view.capacity);
  return {
    n,
    ...tieColumns(group),
    columns,
    masks: group.predicates.map((_, index) => {
      const mask = freshMask(n);
      const start = view.masks + index * view.maskStride;
      for (let i = 0; i < n; i++) mask[i] = view.bytes[start + i]!;
      return mask;
    }),
    dictionaries,
    indexes: group.fields.map(() => null),
  };
}

export function decodeSegment(group: OnlineGroup, bytes: Uint8Array): Block {
  const view = viewOf(group, bytes);
  return blockOf(group, view, readTail(group, view).dictionaries);
}

/** An entity from its stored bytes; `fetch` gives the directory that stands apart. */
export function decodeEntity(
  group: OnlineGroup,
  tuple: Uint8Array,
  bytes: Uint8Array,
  fetch: () => Uint8Array,
): Entity {
  const view = viewOf(group, bytes);
  const { words, base } = view;
  const { dictionaries } = readTail(group, view);
  const ghosts = words[base + WORD.ghosts]!;
  const head = blockOf(group, view, dictionaries);
  const liveGhosts = words[base + WORD.liveGhosts]!;
  const forgotten = [...words.subarray(base + WORD.header, base + WORD.header + ghosts)];
  const directory = directoryOf(view, fetch);
  const stride = directoryStride(group);
  return {
    tuple,
    head,
    liveGhosts,
    ghosts: forgotten,
    directory: Array.from({ length: directory.rows }, (_, row) =>
      directory.words.slice(directory.start + row * stride, directory.start + (row + 1) * stride),
    ),
  };
}

/** Appends the events of `other`, all of which follow those of `block`. */
export function appendBlock(block: Block, other: Block): void {
  const { n } = block;
  if (block.columns[0]!.length < n + other.n) grow(block, n + other.n);
  for (let column = 0; column < CORE; column++)
    block.columns[column]!.set(other.columns[column]!.subarray(0, other.n), n);
  block.masks.forEach((mask, index) => {
    mask.set(other.masks[index]!.subarray(0, other.n), n);
  });
  block.dictionaries.forEach((_, field) => {
    const theirs = other.dictionaries[field]!;
    const source = other.columns[CORE + field]!;
    if (!theirs && !block.dictionaries[field]) {
      block.columns[CORE + field]!.set(source.subarray(0, other.n), n);
      return;
    }
    for (let i = 0; i < other.n; i++) {
      const word = source[i]!;
      block.n = n + i;
      const code = toWord(block, field, Number.isNaN(word) ? null : theirs ? theirs[word]! : word);
      block.columns[CORE + field]![n + i] = code;
    }
    block.n = n;
  });
  block.n = n + other.n;
}

/** Numbers that need no dictionary any more lose it, so that what is stored depends on the events alone. */
function settle(group: OnlineGroup, block: Block): void {
  group.fields.forEach((field, index) => {
    const dictionary = block.dictionaries[index];
    const column = block.columns[CORE + index]!;
    if (!dictionary || !holdsNumbers(field.type.kind) || !allDoubles(column, dictionary, block.n)) return;
    block.columns[CORE + index] = backToDoubles(column, dictionary, block.n);
    block.dictionaries[index] = null;
    block.indexes[index] = null;
  });
}

/** An exact running sum: high + low, as long as no low part was rounded; then low is NaN. */
export interface Pair {
  high: number;
  low: number;
}

/** Adds x: an error-free transformation of both additions (Knuth's two-sum), or NaN when the second rounds. */
function addPair(pair: Pair, x: number): void {
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

/** The directory row of a sealed block, stored in so many bytes: bounds, then the group's summaries. */
export function summarise(group: OnlineGroup, block: Block, bytes: number): Float64Array {
  const row = new Float64Array(directoryStride(group));
  const { n, columns, masks } = block;
  row[ROW.bytes] = bytes;
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
  group.rowAtoms.forEach(({ mask, also }, index) => {
    let rows = 0;
    for (let i = 0; i < n; i++) {
      if ((mask < 0 || masks[mask]![i] === 1) && (also < 0 || masks[also]![i] === 1)) rows++;
    }
    row[DIRECTORY_BASE + index] = rows;
  });
  let at = DIRECTORY_BASE + group.rowAtoms.length;
  for (const atom of group.fieldAtoms) {
    const { field, mask, squares } = atom;
    const column = columns[CORE + field]!;
    const pair: Pair = { high: 0, low: 0 };
    let values = 0;
    let least = Infinity;
    let greatest = -Infinity;
    const indexed = block.dictionaries[field] !== null;
    for (let i = 0; i < n; i++) {
      if (mask >= 0 && masks[mask]![i] !== 1) continue;
      const x = column[i]!;
      if (Number.isNaN(x)) continue;
      values++;
      if (indexed) continue;
      addPair(pair, x);
      if (squares) addSquares(row, at + COLUMN.squares, column, i, i + 1);
      if (x < least) least = x;
      if (x > greatest) greatest = x;
    }
    row[at + COLUMN.values] = values;
    const known = values === 0 || !indexed;
    row[at + COLUMN.high] = known ? pair.high : Number.NaN;
    row[at + COLUMN.low] = known ? pair.low : Number.NaN;
    row[at + COLUMN.least] = known ? least : Number.NaN;
    row[at + COLUMN.greatest] = known ? greatest : Number.NaN;
    if (squares) {
      if (!known || !Number.isFinite(row[at + COLUMN.squares]))
        row.fill(Number.NaN, at + COLUMN.squares, at + COLUMN.squares + 2);
    }
    at += atomWords(atom);
  }
  return row;
}
