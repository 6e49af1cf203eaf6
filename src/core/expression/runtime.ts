import {
  civilFromDays,
  dateToDays,
  daysFromCivil,
  MICROS_PER_DAY,
  MICROS_PER_SECOND,
  parseInstant,
  printDate,
} from '../base/time.js';
import type { Integer } from '../schema/types.js';
import { printDecimal } from './ast.js';

/**
 * What the compiled JavaScript calls. Arguments are never null; results are null where SEMANTICS gives null
 * (overflow, division by zero, values that are not finite, texts that cannot be read).
 */

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const DECIMAL_LIMIT = 10n ** 18n;
const TWO_63 = 2 ** 63;
const MAX_SAFE = Number.MAX_SAFE_INTEGER;

const POWERS = Array.from({ length: 40 }, (_, n) => 10n ** BigInt(n));

function normal(value: bigint): Integer {
  const number = Number(value);
  return number >= -MAX_SAFE && number <= MAX_SAFE ? number : value;
}
const int64 = (value: bigint): Integer | null =>
  value < INT64_MIN || value > INT64_MAX ? null : normal(value);
const decimal18 = (value: bigint): Integer | null =>
  value <= -DECIMAL_LIMIT || value >= DECIMAL_LIMIT ? null : normal(value);

const safe = (value: number): boolean => value >= -MAX_SAFE && value <= MAX_SAFE;

export const finite = (x: number): number | null => (x - x === 0 ? x + 0 : null);
export const toFloat = (x: Integer | boolean): number => Number(x);

export function addInt(a: Integer, b: Integer): Integer | null {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (safe(sum)) return sum;
  }
  return int64(BigInt(a) + BigInt(b));
}
export function subInt(a: Integer, b: Integer): Integer | null {
  if (typeof a === 'number' && typeof b === 'number') {
    const difference = a - b;
    if (safe(difference)) return difference;
  }
  return int64(BigInt(a) - BigInt(b));
}
export function mulInt(a: Integer, b: Integer): Integer | null {
  if (typeof a === 'number' && typeof b === 'number') {
    const product = a * b;
    if (safe(product)) return product + 0;
  }
  return int64(BigInt(a) * BigInt(b));
}
export function idivInt(a: Integer, b: Integer): Integer | null {
  if (b === 0) return null;
  if (typeof a === 'number' && typeof b === 'number') return (a - (a % b)) / b + 0;
  return int64(BigInt(a) / BigInt(b));
}
export function modInt(a: Integer, b: Integer): Integer | null {
  if (b === 0) return null;
  if (typeof a === 'number' && typeof b === 'number') return (a % b) + 0;
  return normal(BigInt(a) % BigInt(b));
}
export const negInt = (a: Integer): Integer | null => (typeof a === 'number' ? 0 - a : int64(-a));
export const absInt = (a: Integer): Integer | null =>
  typeof a === 'number' ? Math.abs(a) : a < 0n ? int64(-a) : a;
export const sign = (a: Integer): number => (a > 0 ? 1 : a < 0 ? -1 : 0);

const LIMIT = 1e15;
const small = (value: number): boolean => value > -LIMIT && value < LIMIT;

export function addDecimal(a: Integer, b: Integer): Integer | null {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (small(sum)) return sum;
  }
  return decimal18(BigInt(a) + BigInt(b));
}
export function subDecimal(a: Integer, b: Integer): Integer | null {
  if (typeof a === 'number' && typeof b === 'number') {
    const difference = a - b;
    if (small(difference)) return difference;
  }
  return decimal18(BigInt(a) - BigInt(b));
}
export function mulDecimal(a: Integer, b: Integer): Integer | null {
  if (typeof a === 'number' && typeof b === 'number') {
    const product = a * b;
    if (small(product)) return product + 0;
  }
  return decimal18(BigInt(a) * BigInt(b));
}
export function modDecimal(a: Integer, b: Integer): Integer | null {
  if (b === 0) return null;
  if (typeof a === 'number' && typeof b === 'number') return (a % b) + 0;
  return decimal18(BigInt(a) % BigInt(b));
}
export const negDecimal = (a: Integer): Integer | null => (typeof a === 'number' ? 0 - a : decimal18(-a));
export const absDecimal = (a: Integer): Integer | null =>
  typeof a === 'number' ? Math.abs(a) : decimal18(a < 0n ? -a : a);

export const floorFloat = (x: number): number => Math.floor(x) + 0;
export const ceilFloat = (x: number): number => Math.ceil(x) + 0;
export const truncFloat = (x: number): number => Math.trunc(x) + 0;

/** Half away from zero. */
export function roundFloat(x: number): number {
  const whole = Math.trunc(x);
  const rest = x - whole;
  return (rest >= 0.5 ? whole + 1 : rest <= -0.5 ? whole - 1 : whole) + 0;
}

/** round(x * 10^places) / 10^places; x itself where the product is not finite. */
export function roundFloatTo(x: number, factor: number): number {
  const rounded = roundFloat(x * factor) / factor;
  return rounded - rounded === 0 ? rounded + 0 : x;
}

/** To a smaller scale: half away from zero (`round`), down, up or towards zero. */
function shrink(value: bigint, places: number, how: 'round' | 'floor' | 'ceil' | 'trunc'): bigint {
  const unit = POWERS[places]!;
  const whole = value / unit;
  const rest = value % unit;
  if (rest === 0n || how === 'trunc') return whole;
  if (how === 'floor') return rest < 0n ? whole - 1n : whole;
  if (how === 'ceil') return rest > 0n ? whole + 1n : whole;
  if (rest * 2n >= unit) return whole + 1n;
  return rest * -2n >= unit ? whole - 1n : whole;
}
function shrunk(value: Integer, places: number, how: 'round' | 'floor' | 'ceil' | 'trunc'): Integer {
  if (places === 0) return value;
  if (typeof value === 'number') {
    const unit = 10 ** places;
    const rest = value % unit;
    const whole = (value - rest) / unit;
    if (how === 'round') return (rest * 2 >= unit ? whole + 1 : rest * -2 >= unit ? whole - 1 : whole) + 0;
    if (how === 'floor') return (rest < 0 ? whole - 1 : whole) + 0;
    return (how === 'ceil' && rest > 0 ? whole + 1 : whole) + 0;
  }
  return normal(shrink(value, places, how));
}
export const roundDecimal = (value: Integer, scale: number): Integer => shrunk(value, scale, 'round');
export const floorDecimal = (value: Integer, scale: number): Integer => shrunk(value, scale, 'floor');
export const ceilDecimal = (value: Integer, scale: number): Integer => shrunk(value, scale, 'ceil');
export const truncDecimal = (value: Integer, scale: number): Integer => shrunk(value, scale, 'trunc');

export function rescaleWide(value: Integer, from: number, to: number): Integer {
  if (to < from) return shrunk(value, from - to, 'round');
  if (typeof value === 'number') {
    const moved = value * 10 ** (to - from);
    if (safe(moved)) return moved;
  }
  return normal(BigInt(value) * POWERS[to - from]!);
}
/** A decimal at another scale: half away from zero; null beyond 18 digits. */
export function rescale(value: Integer, from: number, to: number): Integer | null {
  const moved = rescaleWide(value, from, to);
  return typeof moved === 'number' ? moved : decimal18(moved);
}

/** The unscaled integer as float64, divided by 10^scale: correctly rounded up to 2^53. */
export const decimalToFloat = (value: Integer, scale: number): number => Number(value) / 10 ** scale;

export function floatToInt(x: number): Integer | null {
  const rounded = roundFloat(x);
  if (safe(rounded)) return rounded;
  return rounded >= -TWO_63 && rounded < TWO_63 ? BigInt(rounded) : null;
}
export function floatToDecimal(x: number, scale: number): Integer | null {
  const unscaled = floatToInt(x * 10 ** scale);
  return typeof unscaled === 'bigint' ? decimal18(unscaled) : unscaled;
}

export const INT_PATTERN = '^[+-]?[0-9]{1,30}$';
export const FLOAT_PATTERN = '^[+-]?([0-9]{1,255}(\\.[0-9]{0,255})?|\\.[0-9]{1,255})([eE][+-]?[0-9]{1,4})?$';
export const DECIMAL_PATTERN = '^[+-]?[0-9]{1,30}(\\.[0-9]{0,30})?$';
export const DATE_PATTERN = '^(1[6-9]|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}$';
export const TIMESTAMP_PATTERN =
  '^(1[6-9]|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?)?$';

const INT = new RegExp(INT_PATTERN);
const FLOAT = new RegExp(FLOAT_PATTERN);
const DECIMAL = new RegExp(DECIMAL_PATTERN);
const DATE = new RegExp(DATE_PATTERN);
const TIMESTAMP = new RegExp(TIMESTAMP_PATTERN);

export const stringToInt = (text: string): Integer | null =>
  INT.test(text) ? int64(text.charCodeAt(0) === 43 ? BigInt(text.slice(1)) : BigInt(text)) : null;
export const stringToFloat = (text: string): number | null =>
  FLOAT.test(text) ? finite(Number(text)) : null;
export function stringToDecimal(text: string, scale: number): Integer | null {
  if (!DECIMAL.test(text)) return null;
  const negative = text.startsWith('-');
  const [whole = '', fraction = ''] = text.replace(/^[+-]/, '').split('.');
  const digits = BigInt(whole + fraction);
  const places = fraction.length;
  const value = places <= scale ? digits * POWERS[scale - places]! : shrink(digits, places - scale, 'round');
  return decimal18(negative ? -value : value);
}
export function stringToBoolean(text: string): boolean | null {
  const folded = lower(text);
  return folded === 'true' ? true : folded === 'false' ? false : null;
}
export const stringToDate = (text: string): number | null =>
  DATE.test(text)
    ? (dateToDays(Number(text.slice(0, 4)), Number(text.slice(5, 7)), Number(text.slice(8))) ?? null)
    : null;
export const stringToTimestamp = (text: string): number | null =>
  TIMESTAMP.test(text) ? (parseInstant(text) ?? null) : null;

export const decimalToString = (value: Integer, scale: number): string => printDecimal(value, scale);
export const dateToString = (days: number): string => printDate(days);
export function timestampToString(instant: number): string {
  const days = Math.floor(instant / MICROS_PER_DAY);
  const rest = instant - days * MICROS_PER_DAY;
  const two = (value: number): string => String(value).padStart(2, '0');
  const seconds = Math.floor(rest / MICROS_PER_SECOND);
  const clock = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return `${printDate(days)}T${clock}.${String(rest % MICROS_PER_SECOND).padStart(6, '0')}Z`;
}

const instantOrNull = (micros: number): number | null => (safe(micros) ? micros : null);
export const dateToTimestamp = (days: number): number | null => instantOrNull(days * MICROS_PER_DAY);
export const timestampToDate = (instant: number): number => Math.floor(instant / MICROS_PER_DAY);
export const addDuration = (instant: number, micros: number): number | null =>
  instantOrNull(instant + micros);

/** Order by Unicode code points, which is the byte order of UTF-8. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    let x = a.charCodeAt(i);
    let y = b.charCodeAt(i);
    if (x === y) continue;
    if (x >= 0xd800 && y >= 0xd800) {
      // surrogates stand for code points above every other unit
      x = x >= 0xe000 ? x - 0x800 : x + 0x2000;
      y = y >= 0xe000 ? y - 0x800 : y + 0x2000;
    }
    return x - y;
  }
  return a.length - b.length;
}

export const lower = (text: string): string =>
  /[A-Z]/.test(text) ? text.replace(/[A-Z]+/g, (run) => run.toLowerCase()) : text;
export const upper = (text: string): string =>
  /[a-z]/.test(text) ? text.replace(/[a-z]+/g, (run) => run.toUpperCase()) : text;

const isLow = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;
export function textLength(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) if (!isLow(text.charCodeAt(i))) count++;
  return count;
}
export const ltrim = (text: string): string => {
  let at = 0;
  while (text.charCodeAt(at) === 32) at++;
  return text.slice(at);
};
export const rtrim = (text: string): string => {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 32) end--;
  return text.slice(0, end);
};
export const trim = (text: string): string => ltrim(rtrim(text));

const CLAMP = 1_000_000_000;
const clamp = (value: Integer): number => (value > CLAMP ? CLAMP : value < -CLAMP ? -CLAMP : Number(value));
export function substr(text: string, start: Integer, count?: Integer): string {
  const from = clamp(start);
  const first = Math.max(from, 1) - 1;
  const taken = count === undefined ? Number.POSITIVE_INFINITY : clamp(count) + Math.min(from - 1, 0);
  if (taken <= 0) return '';
  let at = 0;
  const step = (): void => {
    at += text.codePointAt(at)! > 0xffff ? 2 : 1;
  };
  for (let i = 0; i < first && at < text.length; i++) step();
  const begin = at;
  if (taken >= text.length) return text.slice(begin);
  for (let i = 0; i < taken && at < text.length; i++) step();
  return text.slice(begin, at);
}
export const replace = (text: string, from: string, to: string): string =>
  from === '' ? text : text.replaceAll(from, () => to);
export const startsWith = (text: string, part: string): boolean => text.startsWith(part);
export const endsWith = (text: string, part: string): boolean => text.endsWith(part);
export const contains = (text: string, part: string): boolean => text.includes(part);
export function strpos(text: string, part: string): number {
  const at = text.indexOf(part);
  return at < 0 ? 0 : textLength(text.slice(0, at)) + 1;
}

/** A LIKE pattern as segments between the `%`; a segment matches in place, `_` is one code point. */
export function likeMatcher(pattern: string, mark: string | undefined): (text: string) => boolean {
  const segments: string[] = [''];
  const chars = [...pattern];
  let fixed = true;
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i]!;
    if (char === mark) segments[segments.length - 1] += quoteRegex(chars[++i]!);
    else if (char === '%') segments.push('');
    else if (char === '_') {
      segments[segments.length - 1] += '[^]';
      fixed = false;
    } else segments[segments.length - 1] += quoteRegex(char);
  }
  if (segments.length === 1) {
    const whole = new RegExp(`^${segments[0]}$`, 'u');
    return (text) => whole.test(text);
  }
  const head = new RegExp(`^${segments[0]}`, 'u');
  const tail = new RegExp(`${segments.at(-1)}$`, 'u');
  const middle = segments
    .slice(1, -1)
    .filter((segment) => segment !== '')
    .map((segment) => new RegExp(segment, 'gu'));
  const tailPoints = fixed ? undefined : pointsOf(segments.at(-1)!);
  return (text) => {
    const start = head.exec(text);
    if (start === null) return false;
    let at = start[0].length;
    for (const segment of middle) {
      segment.lastIndex = at;
      if (!segment.test(text)) return false;
      at = segment.lastIndex;
    }
    if (segments.at(-1) === '') return true;
    const rest = text.slice(at);
    return tailPoints !== undefined && textLength(rest) < tailPoints ? false : tail.test(rest);
  };
}
const quoteRegex = (char: string): string => (/[\\^$.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char);
const pointsOf = (segment: string): number =>
  [...segment.replaceAll('[^]', '_').replaceAll(/\\(.)/gu, '$1')].length;

/** Day parts of microseconds of local time. */
export function partOf(unit: string): (local: number) => number {
  const days = (local: number): number => Math.floor(local / MICROS_PER_DAY);
  const clock = (local: number, size: number, count: number): number => {
    const whole = Math.floor(local / (size * MICROS_PER_SECOND));
    return whole - Math.floor(whole / count) * count;
  };
  const dow = (day: number): number => (((day + 4) % 7) + 7) % 7;
  switch (unit) {
    case 'hour':
      return (local) => clock(local, 3600, 24);
    case 'minute':
      return (local) => clock(local, 60, 60);
    case 'second':
      return (local) => clock(local, 1, 60);
    case 'dow':
      return (local) => dow(days(local));
    case 'isodow':
      return (local) => dow(days(local)) || 7;
    case 'day':
      return (local) => civilFromDays(days(local)).day;
    case 'month':
      return (local) => civilFromDays(days(local)).month;
    case 'quarter':
      return (local) => Math.ceil(civilFromDays(days(local)).month / 3);
    case 'year':
      return (local) => civilFromDays(days(local)).year;
    case 'doy':
      return (local) => {
        const day = days(local);
        return day - daysFromCivil(civilFromDays(day).year, 1, 1) + 1;
      };
    default:
      return (local) => {
        const thursday = days(local) - (dow(days(local)) || 7) + 4;
        return Math.floor((thursday - daysFromCivil(civilFromDays(thursday).year, 1, 1)) / 7) + 1;
      };
  }
}

const FIXED: Readonly<Record<string, number>> = {
  second: 1e6,
  minute: 6e7,
  hour: 3.6e9,
  day: MICROS_PER_DAY,
};
const WEEK_SHIFT = 3;

export function truncTo(unit: string): (instant: number) => number | null {
  const fixed = FIXED[unit];
  if (fixed !== undefined) return (instant) => instantOrNull(Math.floor(instant / fixed) * fixed);
  return (instant) => {
    const day = Math.floor(instant / MICROS_PER_DAY);
    if (unit === 'week')
      return instantOrNull((Math.floor((day + WEEK_SHIFT) / 7) * 7 - WEEK_SHIFT) * MICROS_PER_DAY);
    const { year, month } = civilFromDays(day);
    const first = unit === 'year' ? 1 : unit === 'quarter' ? month - ((month - 1) % 3) : month;
    return instantOrNull(daysFromCivil(year, first, 1) * MICROS_PER_DAY);
  };
}

/** The number of the unit an instant lies in; differences of it count starts of the unit. */
export function unitIndex(unit: string): (instant: number) => number {
  const fixed = FIXED[unit];
  if (fixed !== undefined) return (instant) => Math.floor(instant / fixed);
  return (instant) => {
    const day = Math.floor(instant / MICROS_PER_DAY);
    if (unit === 'week') return Math.floor((day + WEEK_SHIFT) / 7);
    const { year, month } = civilFromDays(day);
    return unit === 'year'
      ? year
      : unit === 'quarter'
        ? year * 4 + Math.floor((month - 1) / 3)
        : year * 12 + month;
  };
}
