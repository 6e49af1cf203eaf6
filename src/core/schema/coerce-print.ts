/** Values as text: for CSV and JSON output and for messages. */
import { printDate, printInstant } from '../base/time.js';
import type { Value, ValueType } from './types.js';

/** A decimal exactly, with all of its fraction digits: 1250 at scale 2 is `12.50`. */
export function printDecimal(unscaled: number | bigint, scale: number): string {
  const digits = `${unscaled}`.replace('-', '').padStart(scale + 1, '0');
  const sign = unscaled < 0 ? '-' : '';
  return scale === 0 ? `${sign}${digits}` : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** One line of text, null as `null`. Doubles are the shortest text that reads back. */
export function printValue(type: ValueType, value: Value): string {
  return value === null ? 'null' : toCsv(type, value);
}

/** The field of a CSV line before quoting; null is the empty text. Lists, maps and vectors are JSON. */
export function toCsv(type: ValueType, value: Value): string {
  if (value === null) return '';
  switch (type.kind) {
    case 'decimal':
      return printDecimal(value as number | bigint, type.scale);
    case 'timestamp':
      return printInstant(value as number);
    case 'date':
      return printDate(value as number);
    case 'float64_vector':
    case 'list':
    case 'map':
      return JSON.stringify(toJson(type, value));
    default:
      return String(value);
  }
}

/**
 * A value for `JSON.stringify`: timestamps and dates as ISO text; an int64 beyond 2^53 as text, since JSON
 * readers round such numbers; decimals as number when the number prints the same digits back, else as text.
 */
export function toJson(type: ValueType, value: Value): unknown {
  if (value === null) return null;
  switch (type.kind) {
    case 'int64':
      return typeof value === 'bigint' ? value.toString() : value;
    case 'decimal': {
      if (typeof value === 'bigint') return printDecimal(value, type.scale);
      const number = Number(printDecimal(value as number, type.scale));
      return Math.abs(value as number) < 1e15 ? number : printDecimal(value as number, type.scale);
    }
    case 'timestamp':
      return printInstant(value as number);
    case 'date':
      return printDate(value as number);
    case 'list':
      return (value as readonly Value[]).map((item) => toJson(type.of, item));
    case 'map':
      return Object.fromEntries(
        [...(value as ReadonlyMap<string, Value>)].map(([key, item]) => [key, toJson(type.of, item)]),
      );
    default:
      return value;
  }
}
