/** Blocks of events in memory: columns in the order of members, and how they change. */

import type { Value } from '../../schema/types.js';
import { holdsNumbers } from './layout.js';
import type { OnlineGroup } from './plan.js';

export const EVENT = 0;
export const FROM = 1;
export const UNTIL = 2;
export const ORDER = 3;
export const SEQ = 4;
/** Columns before the fields. */
export const CORE = 5;

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

/** Which columns follow the event time in a key. */
export const tieColumns = (group: OnlineGroup): { readonly second: number; readonly third: number } =>
  group.sequenced ? { second: ORDER, third: FROM } : { second: FROM, third: ORDER };

/** Room for the events of a segment and as many new ones; columns of this size are used again. */
const ROOM = 640;
const spareColumns: Float64Array[] = [];
const spareMasks: Uint8Array[] = [];
const MAX_SPARE = 256;

export const freshColumn = (n: number): Float64Array =>
  n <= ROOM ? (spareColumns.pop() ?? new Float64Array(ROOM)) : new Float64Array(n + ROOM);
export const freshMask = (n: number): Uint8Array =>
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
