/**
 * From what a file or a request says to a value of a declared type: the TypeScript reading. `coerce-sql.ts` is the
 * same in DuckDB. Nothing is guessed and nothing is rounded away: what a type cannot hold is refused with a
 * message. The accepted forms are listed in docs/reference/contracts.md.
 */
import { dateToDays, MAX_INSTANT, MIN_INSTANT, parseTimestampParts } from '../base/time.js';
import { type AmbiguousTime, resolveLocal } from './coerce-zone.js';
import { printType, type Value, type ValueType } from './types.js';

export interface CoerceOptions {
  /** IANA zone of timestamps without an offset. */
  readonly timezone: string;
  readonly ambiguousTime: AmbiguousTime;
  /** Texts that mean null, besides the empty text (which is null for every type but string). */
  readonly nulls: readonly string[];
}

export type Coerced =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly message: string; readonly expected: string };

const MIN_INT64 = -(2n ** 63n);
const MAX_INT64 = 2n ** 63n - 1n;
/** decimal(s): |unscaled| is below this, as in DECIMAL(18,s). */
export const DECIMAL_LIMIT = 10n ** 18n;

const INTEGER = /^[+-]?[0-9]+(\.0*)?$/;
const NUMBER = /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$/;
const DECIMAL = /^([+-]?)([0-9]*)(?:\.([0-9]*))?$/;
const DAY = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/;
const EDGES = /^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g;
const TRUE = new Set(['true', 't', 'yes', '1']);
const FALSE = new Set(['false', 'f', 'no', '0']);

const given = (value: Value): Coerced => ({ ok: true, value });
const NULL: Coerced = { ok: true, value: null };

/** What the type accepts, for messages. */
export function expectedOf(type: ValueType): string {
  switch (type.kind) {
    case 'int64':
      return 'a whole number between -9223372036854775808 and 9223372036854775807';
    case 'float64':
      return 'a finite number such as -12.5 or 1e3';
    case 'decimal':
      return `a number with at most ${type.scale} decimals and ${18 - type.scale} digits before the point`;
    case 'string':
      return 'a text';
    case 'boolean':
      return 'true, false, t, f, yes, no, 1 or 0';
    case 'timestamp':
      return 'a timestamp such as 2024-03-01T12:00:00Z or 2024-03-01 12:00:00';
    case 'date':
      return 'a date such as 2024-03-01';
    case 'float64_vector':
      return type.dimension === undefined
        ? 'a list of finite numbers'
        : `a list of ${type.dimension} finite numbers`;
    case 'list':
    case 'map':
      return printType(type);
  }
}

/** A value as it stands in a message: quoted text, at most 60 characters. */
export function show(value: unknown): string {
  let text: string;
  try {
    text = typeof value === 'bigint' ? `${value}` : (JSON.stringify(value, plainBigint) ?? String(value));
  } catch {
    return Array.isArray(value) ? 'an array nested too deep' : 'an object nested too deep';
  }
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

const plainBigint = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? `${value}` : value;

const refuse = (type: ValueType, message: string): Coerced => ({
  ok: false,
  message,
  expected: expectedOf(type),
});
const isNot = (type: ValueType, value: unknown, why = ''): Coerced =>
  refuse(type, `${show(value)} is not a valid ${printType(type)}${why === '' ? '' : `: ${why}`}`);

/** The narrowest JavaScript form of an integer (see schema/types). */
export const integerValue = (value: bigint): number | bigint =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : value;

/** Text from a delimited file, or a JSON text. */
export function coerceText(type: ValueType, text: string, options: CoerceOptions): Coerced {
  if (type.kind === 'string') return options.nulls.includes(text) ? NULL : given(text);
  const trimmed = text.replace(EDGES, '');
  if (trimmed === '' || options.nulls.includes(trimmed)) return NULL;
  switch (type.kind) {
    case 'int64':
      return integerFromText(type, trimmed);
    case 'float64': {
      if (!NUMBER.test(trimmed)) return isNot(type, text);
      const number = Number(trimmed);
      return Number.isFinite(number)
        ? given(number + 0)
        : isNot(type, text, 'it is beyond the range of a double');
    }
    case 'decimal':
      return decimalFromText(type, trimmed);
    case 'boolean': {
      // Only ASCII letters fold: no other letter is equal to one of these when it is lowered.
      const word = /^[A-Za-z01]{1,5}$/.test(trimmed) ? trimmed.toLowerCase() : '';
      return TRUE.has(word) ? given(true) : FALSE.has(word) ? given(false) : isNot(type, text);
    }
    case 'timestamp':
      return timestampFromText(type, trimmed, options);
    case 'date': {
      const match = DAY.exec(trimmed);
      if (!match) return isNot(type, text);
      const days = dateToDays(Number(match[1]), Number(match[2]), Number(match[3]));
      return days === undefined ? isNot(type, text, 'this day does not exist') : given(days);
    }
    case 'float64_vector':
      return vectorFromText(type, trimmed);
    case 'list':
    case 'map':
      return isNot(type, text, 'a source field cannot have this type');
  }
}

function integerFromText(type: ValueType, text: string): Coerced {
  if (!INTEGER.test(text))
    return isNot(type, text, NUMBER.test(text) ? 'it is not written as a whole number' : '');
  const value = BigInt(text.replace(/^\+/, '').replace(/\.0*$/, ''));
  return value < MIN_INT64 || value > MAX_INT64
    ? isNot(type, text, 'it needs more than 64 bits')
    : given(integerValue(value));
}

function decimalFromText(type: ValueType & { readonly kind: 'decimal' }, text: string): Coerced {
  const match = DECIMAL.exec(text);
  const whole = match?.[2] ?? '';
  const fraction = match?.[3] ?? '';
  if (!match || (whole === '' && fraction === '')) return isNot(type, text);
  const digits = fraction.replace(/0+$/, '');
  if (digits.length > type.scale) {
    return refuse(
      type,
      `${show(text)} has ${digits.length} decimals, ${printType(type)} holds ${type.scale}`,
    );
  }
  const size = BigInt(`${whole}${digits.padEnd(type.scale, '0')}` || '0');
  if (size >= DECIMAL_LIMIT) return isNot(type, text, 'it has more than 18 digits');
  return given(integerValue(match[1] === '-' ? -size : size));
}

function timestampFromText(type: ValueType, text: string, options: CoerceOptions): Coerced {
  const parts = parseTimestampParts(text);
  if (!parts) {
    const day = DAY.exec(text.slice(0, 10));
    const exists = !day || dateToDays(Number(day[1]), Number(day[2]), Number(day[3])) !== undefined;
    return isNot(type, text, exists ? '' : 'this day does not exist');
  }
  if (parts.offsetMicros !== undefined) return instant(type, text, parts.localMicros - parts.offsetMicros);
  return localInstant(type, text, parts.localMicros, options);
}

function localInstant(type: ValueType, raw: unknown, localMicros: number, options: CoerceOptions): Coerced {
  const resolved = resolveLocal(localMicros, options.timezone, options.ambiguousTime);
  if (resolved.ok) return instant(type, raw, resolved.instant);
  const what = resolved.reason === 'gap' ? 'does not exist' : 'exists twice';
  return refuse(
    type,
    `${show(raw)} ${what} in ${options.timezone} (clocks were changed): give an offset, or set ambiguous_time`,
  );
}

const instant = (type: ValueType, raw: unknown, micros: number): Coerced =>
  micros >= MIN_INSTANT && micros <= MAX_INSTANT
    ? given(micros)
    : isNot(type, raw, 'it is outside of the years 1684 to 2255');

function vectorFromText(type: ValueType & { readonly kind: 'float64_vector' }, text: string): Coerced {
  if (!text.startsWith('[') || !text.endsWith(']')) return isNot(type, text);
  const body = text.slice(1, -1).replace(EDGES, '');
  const items = body === '' ? [] : body.split(',').map((item) => item.replace(EDGES, ''));
  const wrong = items.find((item) => !NUMBER.test(item));
  if (wrong !== undefined) return isNot(type, text, `${show(wrong)} is no number`);
  return vector(type, items.map(Number), text);
}

function vector(
  type: ValueType & { readonly kind: 'float64_vector' },
  values: readonly number[],
  raw: unknown,
): Coerced {
  if (!values.every(Number.isFinite)) return isNot(type, raw, 'every element must be finite');
  if (type.dimension !== undefined && values.length !== type.dimension)
    return isNot(type, raw, `it has ${values.length} elements, not ${type.dimension}`);
  return given(values.map((value) => value + 0));
}

/**
 * A JSON value that `JSON.parse` gave (bigint allowed). Texts go through `coerceText`, except that the empty
 * text is a value of type string. A number that a double has already rounded (beyond 2^53) is refused: send it
 * as text.
 */
export function coerceJson(type: ValueType, json: unknown, options: CoerceOptions): Coerced {
  if (json === null || json === undefined) return NULL;
  if (typeof json === 'string') {
    return /[\ud800-\udfff]/u.test(json)
      ? isNot(type, json, 'it has half of a surrogate pair')
      : coerceText(type, json, options);
  }
  if (typeof json === 'bigint') return bigintValue(type, json);
  if (typeof json === 'number') return numberValue(type, json);
  if (typeof json === 'boolean' && type.kind === 'boolean') return given(json);
  if (Array.isArray(json) && type.kind === 'float64_vector') {
    const wrong = json.find((item) => typeof item !== 'number');
    return wrong === undefined && !json.includes(undefined)
      ? vector(type, json as number[], json)
      : isNot(type, json, `${show(wrong)} is no number`);
  }
  return isNot(type, json);
}

function bigintValue(type: ValueType, value: bigint): Coerced {
  if (type.kind === 'int64' || type.kind === 'decimal') return coerceText(type, `${value}`, NO_NULLS);
  return type.kind === 'float64' ? given(Number(value)) : isNot(type, value);
}

const NO_NULLS: CoerceOptions = { timezone: 'UTC', ambiguousTime: 'refuse', nulls: [] };

function numberValue(type: ValueType, value: number): Coerced {
  switch (type.kind) {
    case 'int64':
      if (!Number.isInteger(value)) return isNot(type, value, 'it is not a whole number');
      return Number.isSafeInteger(value)
        ? given(value + 0)
        : isNot(type, value, 'send whole numbers beyond 2^53 as text');
    case 'float64':
      return Number.isFinite(value) ? given(value + 0) : isNot(type, value);
    case 'decimal':
      return decimalOfDouble(type, value);
    case 'boolean':
      return value === 1 ? given(true) : value === 0 ? given(false) : isNot(type, value);
    case 'string':
      return isNot(type, value, 'numbers are not read as texts; quote it, or declare a number type');
    case 'timestamp':
      return isNot(type, value, 'a number does not say its unit; send the text 2024-03-01T12:00:00Z');
    default:
      return isNot(type, value);
  }
}

/** The decimal of this scale that reads back as the same double; at most 2^53 units. */
function decimalOfDouble(type: ValueType & { readonly kind: 'decimal' }, value: number): Coerced {
  if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER / 10 ** type.scale)) {
    return isNot(type, value, Number.isFinite(value) ? 'send decimals of more than 15 digits as text' : '');
  }
  const text = value.toFixed(type.scale);
  if (Number(text) === value) return decimalFromText(type, text);
  return refuse(
    type,
    `${show(value)} has more than ${type.scale} decimals, ${printType(type)} holds ${type.scale}`,
  );
}
