/**
 * The usual case in place: new events of one entity, none before its newest and none of which seals a segment, are
 * written behind the others into a copy of the stored head. The bytes are those that decoding, inserting and encoding
 * give; what this does not do is left to that.
 */
import type { AppliedRecord } from './applied.js';
import { isLong, itemEnd, spellItem } from './key.js';
import { capacityOf, FLAG, holdsNumbers, maskWords, NO_DICTIONARY, WORD } from './layout.js';
import { ONLINE_FORMAT, type OnlineGroup } from './plan.js';
import { cutsAt } from './segments.js';

let words = new Float64Array(1 << 13);
let bytes = new Uint8Array(words.buffer);
let buffer = Buffer.from(words.buffer);
/** Bytes in use. */
let size = 0;

function reserve(total: number): void {
  if (total <= bytes.length) return;
  const larger = new Float64Array(Math.ceil(Math.max(total, bytes.length * 2) / 8));
  larger.set(words);
  words = larger;
  bytes = new Uint8Array(words.buffer);
  buffer = Buffer.from(words.buffer);
}

let template: { readonly group: OnlineGroup; readonly bytes: Uint8Array } | null = null;

/** A head without events. */
function emptyHead(group: OnlineGroup, tuple: Uint8Array): void {
  if (template?.group !== group) {
    const tail = 4 * group.fields.length;
    const out = Buffer.alloc(WORD.header * 8 + tail);
    const header = new Float64Array(WORD.header);
    header[WORD.format] = ONLINE_FORMAT;
    header[WORD.flags] = FLAG.head;
    header[WORD.minFrom] = Infinity;
    header[WORD.maxFrom] = -Infinity;
    header[WORD.minUntil] = Infinity;
    header[WORD.tail] = WORD.header * 8;
    out.set(new Uint8Array(header.buffer));
    group.fields.forEach((field, i) => {
      out.writeUInt32BE(holdsNumbers(field.type.kind) ? NO_DICTIONARY : 0, WORD.header * 8 + 4 * i);
    });
    template = { group, bytes: new Uint8Array(out) };
  }
  const long = isLong(tuple) ? tuple.length : 0;
  size = template.bytes.length + long;
  reserve(size);
  bytes.set(template.bytes);
  if (long > 0) bytes.set(tuple, template.bytes.length);
}

/** Gives every column room for `capacity` events, from the last column on; what is new is zero. */
function widen(group: OnlineGroup, columns: number, from: number, to: number): void {
  const start = WORD.header + words[WORD.ghosts]!;
  const masks = group.predicates.length;
  const stride = maskWords(from);
  const wider = maskWords(to);
  const end = start + from * columns + stride * masks;
  const moved = start + to * columns + wider * masks;
  const shift = (moved - end) * 8;
  reserve(size + shift);
  bytes.copyWithin(moved * 8, end * 8, size);
  for (let mask = masks - 1; mask >= 0; mask--) {
    const source = start + from * columns + stride * mask;
    const target = start + to * columns + wider * mask;
    words.copyWithin(target, source, source + stride);
    words.fill(0, target + stride, target + wider);
  }
  for (let column = columns - 1; column >= 0; column--) {
    const source = start + from * column;
    const target = start + to * column;
    words.copyWithin(target, source, source + from);
    words.fill(0, target + from, target + to);
  }
  size += shift;
  words[WORD.tail] = words[WORD.tail]! + shift;
}

/** The index of a value in the dictionary of a field whose size stands at `at`; it joins the dictionary when it is new. */
function indexOf(at: number, value: AppliedRecord['fields'][string], searched: boolean): number {
  const item = spellItem(value);
  const { length } = item;
  const held = buffer.readUInt32BE(at);
  const end = at + 4 + held;
  let index = 0;
  for (let place = at + 4; place < end; index++) {
    const next = itemEnd(bytes, place);
    if (searched && next - place === length) {
      let i = 0;
      while (i < length && bytes[place + i] === item.bytes[i]) i++;
      if (i === length) return index;
    }
    place = next;
  }
  reserve(size + length);
  bytes.copyWithin(end + length, end, size);
  for (let i = 0; i < length; i++) bytes[end + i] = item.bytes[i]!;
  size += length;
  buffer.writeUInt32BE(held + length, at);
  return index;
}

/**
 * The head with the records appended, in memory that the next call overwrites, or null when they are not a case for
 * this. `records` are first versions, alive, in the order of their keys.
 */
export function appendToHead(
  group: OnlineGroup,
  tuple: Uint8Array,
  stored: Uint8Array | undefined,
  records: readonly AppliedRecord[],
): Uint8Array | null {
  if (stored) {
    size = stored.length;
    reserve(size);
    bytes.set(new Uint8Array(stored.buffer, stored.byteOffset, size));
    if (words[WORD.indexed] !== 0) return null;
  } else emptyHead(group, tuple);
  const { fields, predicates, sequenced } = group;
  let n = words[WORD.events]!;
  const total = n + records.length;
  if (total >= group.seal.segment + group.seal.slack) return null;
  let flags = words[WORD.flags]!;
  if (n === 0) {
    const [record] = records as readonly [AppliedRecord];
    flags &= ~(FLAG.from | FLAG.until | FLAG.order);
    if (record.availableAt !== record.eventTime) flags |= FLAG.from;
    if (record.order !== record.seq) flags |= FLAG.order;
    words[WORD.flags] = flags;
  }
  const hasFrom = (flags & FLAG.from) !== 0;
  const hasOrder = (flags & FLAG.order) !== 0;
  const hasUntil = (flags & FLAG.until) !== 0;
  const extra = 2 + (hasFrom ? 1 : 0) + (hasUntil ? 1 : 0) + (hasOrder ? 1 : 0);
  const columns = extra + fields.length;
  const before = capacityOf(n);
  const capacity = capacityOf(total);
  if (capacity > before) widen(group, columns, before, capacity);
  const start = WORD.header + words[WORD.ghosts]!;
  const seqs = start + capacity;
  const froms = hasFrom ? start + 2 * capacity : start;
  const untils = start + (hasFrom ? 3 : 2) * capacity;
  const orders = hasOrder ? start + (extra - 1) * capacity : seqs;
  const values = start + extra * capacity;
  const masks = (start + columns * capacity) * 8;
  const maskStride = maskWords(capacity) * 8;
  let minFrom = words[WORD.minFrom]!;
  let maxFrom = words[WORD.maxFrom]!;
  for (let r = 0; r < records.length; r++) {
    const { fields: row, eventTime, availableAt, order, seq } = records[r]!;
    if ((!hasFrom && availableAt !== eventTime) || (!hasOrder && order !== seq)) return null;
    if (n > 0) {
      const last = n - 1;
      const later =
        eventTime - words[start + last]! ||
        (sequenced
          ? order - words[orders + last]! || availableAt - words[froms + last]!
          : availableAt - words[froms + last]! || order - words[orders + last]!) ||
        seq - words[seqs + last]!;
      if (later <= 0) return null;
    }
    words[start + n] = eventTime;
    words[seqs + n] = seq;
    if (hasFrom) words[froms + n] = availableAt;
    if (hasUntil) words[untils + n] = Infinity;
    if (hasOrder) words[orders + n] = order;
    if (availableAt < minFrom) minFrom = availableAt;
    if (availableAt > maxFrom) maxFrom = availableAt;
    let tail = words[WORD.tail]!;
    for (let field = 0; field < fields.length; field++) {
      const value = row[fields[field]!.name] ?? null;
      const held = buffer.readUInt32BE(tail);
      let word = Number.NaN;
      if (held === NO_DICTIONARY) {
        if (typeof value === 'number') word = value + 0;
        else if (typeof value === 'boolean') word = value ? 1 : 0;
        else if (value !== null) return null;
      } else if (value !== null) word = indexOf(tail, value, typeof value !== 'object');
      words[values + field * capacity + n] = word;
      tail += 4 + (held === NO_DICTIONARY ? 0 : buffer.readUInt32BE(tail));
    }
    for (let mask = 0; mask < predicates.length; mask++) {
      const truth = predicates[mask]!.evaluate(row);
      bytes[masks + mask * maskStride + n] = truth === null ? 2 : truth === true ? 1 : 0;
    }
    n++;
    const behind = n - group.seal.slack;
    if (behind > 0 && cutsAt(group.seal, behind, words[seqs + behind]!)) return null;
  }
  words[WORD.events] = n;
  words[WORD.minFrom] = minFrom;
  words[WORD.maxFrom] = maxFrom;
  return bytes.subarray(0, size);
}
