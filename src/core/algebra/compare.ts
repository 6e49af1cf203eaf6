/** The order of values: numbers and instants by size, texts by code point, false before true. */
import { printValue } from '../schema/coerce-print.js';
import type { Value, ValueType } from '../schema/types.js';

/** Text in code point order; `<` would compare UTF-16 units, which differs beyond U+FFFF. */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    let left = a.charCodeAt(i);
    let right = b.charCodeAt(i);
    if (left === right) continue;
    // Surrogates stand for code points above every other unit.
    if (left >= 0xd800 && left < 0xe000) left += 0x10000;
    if (right >= 0xd800 && right < 0xe000) right += 0x10000;
    return left - right;
  }
  return a.length - b.length;
}

/** Negative, zero or positive; neither value is null and both have one type. */
export function compareValues(a: Value, b: Value): number {
  if (typeof a === 'string') return compareText(a, b as string);
  if (Array.isArray(a)) {
    const other = b as readonly Value[];
    for (let i = 0; i < Math.min(a.length, other.length); i++) {
      const order = compareValues(a[i] as Value, other[i]!);
      if (order !== 0) return order;
    }
    return a.length - other.length;
  }
  return (a as number) < (b as number) ? -1 : (a as number) > (b as number) ? 1 : 0;
}

/** A key under which equal values of one type, and no others, meet. */
export const keyOf = (value: Value): number | string | boolean => {
  switch (typeof value) {
    case 'number':
    case 'string':
    case 'boolean':
      return value;
    case 'bigint':
      return `n${value}`;
    default:
      return JSON.stringify(value);
  }
};

/** A category of `group_by` or `histogram` as text: what a CSV field would say. */
export const categoryText = (type: ValueType, value: Value): string => printValue(type, value);

/** JSON cannot hold a bigint: `n` and its digits. Strings get `s`. */
export const encodeValue = (value: Value): unknown =>
  typeof value === 'bigint' ? `n${value}` : typeof value === 'string' ? `s${value}` : value;

export const decodeValue = (encoded: unknown): Value =>
  typeof encoded !== 'string'
    ? (encoded as Value)
    : encoded.startsWith('n')
      ? BigInt(encoded.slice(1))
      : encoded.slice(1);
