/** Stored bytes, read in place. */

import { invariant } from '../../base/error.js';
import type { Value } from '../../schema/types.js';
import { decodeTuple, itemEnd } from './key.js';
import { capacityOf, FLAG, maskWords, NO_DICTIONARY, WORD } from './layout.js';
import { ONLINE_FORMAT, type OnlineGroup } from './plan.js';

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
