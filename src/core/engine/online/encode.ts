/** Blocks and entities as bytes. */
import type { Value } from '../../schema/types.js';
import { type Block, CORE, type Entity } from './block.js';
import { encodeTuple, isLong } from './key.js';
import { capacityOf, FLAG, holdsNumbers, INLINE_ROWS, maskWords, WORD } from './layout.js';
import { directoryStride, ONLINE_FORMAT, type OnlineGroup } from './plan.js';

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
