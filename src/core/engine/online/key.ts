/**
 * Typed key tuples as bytes. Every item is a type tag and a fixed-length or length-prefixed body, so no two different
 * tuples share an encoding: `'007'` is not `7`, NFC is not NFD, `['a', 'b']` is not `['ab']`.
 */
import { createHash } from 'node:crypto';
import type { Value } from '../../schema/types.js';

const TAG = { null: 1, number: 2, bigint: 3, string: 4, utf16: 5, false: 6, true: 7, vector: 8 } as const;
/** First byte of a stored key that is a hash: no tuple starts with it. */
const HASHED = 0xff;
/** Longer keys are stored under their SHA-256. LMDB itself takes up to 1978 bytes. */
const LONGEST_PLAIN_KEY = 400;

let scratch = Buffer.allocUnsafe(1024);
let length = 0;

function reserve(bytes: number): void {
  if (length + bytes <= scratch.length) return;
  const larger = Buffer.allocUnsafe(Math.max(scratch.length * 2, length + bytes));
  scratch.copy(larger, 0, 0, length);
  scratch = larger;
}

function writeText(text: string): void {
  const { length: units } = text;
  reserve(5 + units * 3);
  let ascii = units < 64;
  for (let i = 0; ascii && i < units; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 127) ascii = false;
    else scratch[length + 5 + i] = unit;
  }
  const size = ascii ? units : scratch.write(text, length + 5, 'utf8');
  if (ascii || scratch.toString('utf8', length + 5, length + 5 + size) === text) {
    scratch[length] = TAG.string;
    scratch.writeUInt32BE(size, length + 1);
    length += 5 + size;
    return;
  }
  // A lone surrogate has no UTF-8 form.
  scratch[length] = TAG.utf16;
  const wide = scratch.write(text, length + 5, 'utf16le');
  scratch.writeUInt32BE(wide, length + 1);
  length += 5 + wide;
}

function writeItem(value: Value): void {
  if (typeof value === 'bigint' && value <= 9_007_199_254_740_991n && value >= -9_007_199_254_740_991n)
    value = Number(value);
  if (typeof value === 'string') writeText(value);
  else if (typeof value === 'number') {
    reserve(9);
    scratch[length] = TAG.number;
    scratch.writeDoubleBE(value + 0, length + 1);
    length += 9;
  } else if (typeof value === 'bigint') {
    const digits = String(value);
    reserve(5 + digits.length);
    scratch[length] = TAG.bigint;
    scratch.writeUInt32BE(digits.length, length + 1);
    scratch.write(digits, length + 5, 'latin1');
    length += 5 + digits.length;
  } else if (typeof value === 'boolean' || value === null) {
    reserve(1);
    scratch[length++] = value === null ? TAG.null : value ? TAG.true : TAG.false;
  } else {
    const items = value as readonly Value[];
    reserve(5);
    scratch[length] = TAG.vector;
    scratch.writeUInt32BE(items.length, length + 1);
    length += 5;
    for (const item of items) writeItem(item);
  }
}

function taken(): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = scratch[i]!;
  return bytes;
}

/** The bytes of a tuple; fresh memory. */
export function encodeTuple(values: readonly Value[]): Buffer {
  length = 0;
  for (const value of values) writeItem(value);
  return taken();
}

/** A tuple's bytes in memory that the next tuple overwrites. */
export interface Spelled {
  bytes: Buffer;
  length: number;
}
const spelled: Spelled = { bytes: scratch, length: 0 };

/** The tuple of a record's fields, or null when `whole` and one of them is null. */
export function spellTuple(
  fields: Readonly<Record<string, Value>>,
  names: readonly string[],
  whole: boolean,
): Spelled | null {
  length = 0;
  for (let i = 0; i < names.length; i++) {
    const value = fields[names[i]!] ?? null;
    if (whole && value === null) return null;
    writeItem(value);
  }
  spelled.bytes = scratch;
  spelled.length = length;
  return spelled;
}

/** The item of one value, as in a tuple. */
export function spellItem(value: Value): Spelled {
  length = 0;
  writeItem(value);
  spelled.bytes = scratch;
  spelled.length = length;
  return spelled;
}

/** Where the item that begins at `at` ends. */
export function itemEnd(bytes: Uint8Array, at: number): number {
  const tag = bytes[at]!;
  if (tag === TAG.null || tag === TAG.true || tag === TAG.false) return at + 1;
  if (tag === TAG.number) return at + 9;
  const size = bytes[at + 1]! * 0x1000000 + ((bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!);
  if (tag !== TAG.vector) return at + 5 + size;
  let end = at + 5;
  for (let i = 0; i < size; i++) end = itemEnd(bytes, end);
  return end;
}

export function decodeTuple(bytes: Uint8Array): readonly Value[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const item = (): Value => {
    const tag = buffer[at++];
    if (tag === TAG.null) return null;
    if (tag === TAG.true || tag === TAG.false) return tag === TAG.true;
    if (tag === TAG.number) {
      at += 8;
      return buffer.readDoubleBE(at - 8);
    }
    const size = buffer.readUInt32BE(at);
    at += 4;
    if (tag === TAG.vector) return Array.from({ length: size }, item);
    at += size;
    if (tag === TAG.bigint) return BigInt(buffer.toString('latin1', at - size, at));
    return buffer.toString(tag === TAG.string ? 'utf8' : 'utf16le', at - size, at);
  };
  const values: Value[] = [];
  while (at < buffer.length) values.push(item());
  return values;
}

export const isHashed = (key: Uint8Array): boolean => key[5] === HASHED;

/** Will the store key of this tuple be its hash? */
export const isLong = (tuple: Uint8Array): boolean => tuple.length > LONGEST_PLAIN_KEY;

/** What a store may hold of one group. */
export const KIND = { entity: 1, segment: 2, directory: 3, versions: 4, run: 5 } as const;

const SUFFIX = 6;

/** `[group][kind][tuple or its hash][suffix]`: a key of the store. A suffix is an integer from 0 to 2^48. */
export function storeKey(group: number, kind: number, tuple: Uint8Array, suffix?: number): Buffer {
  const plain = tuple.length <= LONGEST_PLAIN_KEY;
  const size = plain ? tuple.length : 33;
  const key = Buffer.allocUnsafe(5 + size + (suffix === undefined ? 0 : SUFFIX));
  key.writeUInt32BE(group, 0);
  key[4] = kind;
  if (plain) {
    for (let i = 0; i < size; i++) key[5 + i] = tuple[i]!;
  } else {
    key[5] = HASHED;
    key.set(createHash('sha256').update(tuple).digest(), 6);
  }
  if (suffix !== undefined) key.writeUIntBE(suffix, 5 + size, SUFFIX);
  return key;
}

/** `[group][kind][level][number][chunk]`. */
export function runKey(group: number, kind: number, level: number, run: number, chunk: number): Buffer {
  const key = Buffer.allocUnsafe(14);
  key.writeUInt32BE(group, 0);
  key[4] = kind;
  key[5] = level;
  key.writeUIntBE(run, 6, SUFFIX);
  key.writeUInt16BE(chunk, 12);
  return key;
}

/** The store key of an entity of a group from the caller's values; null when a value is null (it matches nothing). */
export function entityKey(group: number, values: readonly Value[]): Buffer | null {
  length = 5;
  scratch.writeUInt32BE(group, 0);
  scratch[4] = KIND.entity;
  for (const value of values) {
    if (value === null) return null;
    writeItem(value);
  }
  if (length - 5 > LONGEST_PLAIN_KEY) return storeKey(group, KIND.entity, scratch.subarray(5, length));
  return taken();
}
