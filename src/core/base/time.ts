/**
 * Instants and durations.
 *
 * An instant is a signed count of microseconds since 1970-01-01T00:00:00Z held in a JavaScript number. Only
 * safe integers are instants (years 1684 to 2255): every comparison and difference is then exact.
 * Durations are fixed lengths in microseconds.
 */
export type Instant = number;
export type Duration = number;

export const MICROS_PER_SECOND = 1_000_000;
export const MICROS_PER_DAY = 86_400 * MICROS_PER_SECOND;
export const MIN_INSTANT: Instant = -9_007_199_254_740_991;
export const MAX_INSTANT: Instant = 9_007_199_254_740_991;

const UNIT_MICROS: Readonly<Record<string, number>> = {
  us: 1,
  ms: 1_000,
  s: MICROS_PER_SECOND,
  m: 60 * MICROS_PER_SECOND,
  h: 3_600 * MICROS_PER_SECOND,
  d: MICROS_PER_DAY,
  w: 7 * MICROS_PER_DAY,
};

/** `30s 5m 1h 1d 4w 500ms`, optionally negative or compound (`1d12h`); undefined when the text is no duration. */
export function parseDuration(text: string): Duration | undefined {
  const sign = text.startsWith('-') ? -1 : 1;
  const body = sign < 0 ? text.slice(1) : text;
  if (!/^(\d+(us|ms|s|m|h|d|w))+$/.test(body)) return undefined;
  let total = 0;
  for (const [, count, unit] of body.matchAll(/(\d+)(us|ms|s|m|h|d|w)/g))
    total += Number(count) * UNIT_MICROS[unit!]!;
  return Number.isSafeInteger(total) ? sign * total : undefined;
}

/** The shortest text that `parseDuration` reads back: `86400000000` → `1d`. */
export function printDuration(micros: Duration): string {
  if (micros === 0) return '0s';
  const size = Math.abs(micros);
  for (const unit of ['d', 'h', 'm', 's', 'ms', 'us']) {
    const unitMicros = UNIT_MICROS[unit]!;
    if (size % unitMicros === 0) return `${micros < 0 ? '-' : ''}${size / unitMicros}${unit}`;
  }
  return `${micros}us`;
}

/** Days since 1970-01-01 of a proleptic Gregorian date (Hinnant, "chrono-compatible low-level date algorithms"). */
export function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yoe = y - era * 400;
  const doy = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return era * 146_097 + yoe * 365 + Math.floor(yoe / 4) - Math.floor(yoe / 100) + doy - 719_468;
}

export function civilFromDays(days: number): { year: number; month: number; day: number } {
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const doe = z - era * 146_097;
  const yoe = Math.floor(
    (doe - Math.floor(doe / 1_460) + Math.floor(doe / 36_524) - Math.floor(doe / 146_096)) / 365,
  );
  const doy = doe - (365 * yoe + Math.floor(yoe / 4) - Math.floor(yoe / 100));
  const mp = Math.floor((5 * doy + 2) / 153);
  const month = mp < 10 ? mp + 3 : mp - 9;
  return {
    year: yoe + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: doy - Math.floor((153 * mp + 2) / 5) + 1,
  };
}

const DAYS_IN_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Days since the epoch, or undefined for a date that does not exist. */
export function dateToDays(year: number, month: number, day: number): number | undefined {
  if (month < 1 || month > 12 || day < 1) return undefined;
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  if (day > DAYS_IN_MONTH[month - 1]! + (month === 2 && leap ? 1 : 0)) return undefined;
  return daysFromCivil(year, month, day);
}

const ISO =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)? ?([Zz]|UTC|[+-]\d{2}(?::?\d{2})?)?)?$/;

export interface ParsedInstant {
  /** Microseconds as if the text were UTC, before any offset is applied. */
  readonly localMicros: number;
  /** Offset east of UTC in microseconds, undefined when the text names none. */
  readonly offsetMicros: number | undefined;
}

/**
 * ISO 8601 / RFC 3339 timestamps with a date, an optional time and an optional offset. A date that does not
 * exist, hour 24, minute 60 or a leap second is refused (undefined). Digits beyond the microsecond are cut off.
 */
export function parseTimestampParts(text: string): ParsedInstant | undefined {
  const match = ISO.exec(text);
  if (!match) return undefined;
  const days = dateToDays(Number(match[1]), Number(match[2]), Number(match[3]));
  if (days === undefined) return undefined;
  const hour = Number(match[4] ?? 0);
  const minute = Number(match[5] ?? 0);
  const second = Number(match[6] ?? 0);
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const fraction = match[7] ? Number(match[7].slice(0, 6).padEnd(6, '0')) : 0;
  const localMicros =
    days * MICROS_PER_DAY + ((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + fraction;
  const zone = match[8];
  if (zone === undefined) return { localMicros, offsetMicros: undefined };
  if (zone === 'Z' || zone === 'z' || zone === 'UTC') return { localMicros, offsetMicros: 0 };
  const digits = zone.slice(1).replace(':', '').padEnd(4, '0');
  const offsetHour = Number(digits.slice(0, 2));
  const offsetMinute = Number(digits.slice(2));
  if (offsetHour > 23 || offsetMinute > 59) return undefined;
  const offset = (offsetHour * 60 + offsetMinute) * 60 * MICROS_PER_SECOND;
  return { localMicros, offsetMicros: zone[0] === '-' ? -offset : offset };
}

/**
 * The instant of a text in exactly the form `2024-03-01T12:00:00Z`, with a space for the T and with one to six fraction
 * digits allowed; NaN for every other text. What `parseInstant` gives for these, several times as fast.
 */
export function parsePlainInstant(text: string): number {
  const { length } = text;
  if (length < 20 || length > 27 || text.charCodeAt(length - 1) !== 90) return Number.NaN;
  const pair = (at: number): number => {
    const tens = text.charCodeAt(at) - 48;
    const units = text.charCodeAt(at + 1) - 48;
    return tens >= 0 && tens <= 9 && units >= 0 && units <= 9 ? tens * 10 + units : Number.NaN;
  };
  const joint = text.charCodeAt(10);
  if (
    text.charCodeAt(4) !== 45 ||
    text.charCodeAt(7) !== 45 ||
    (joint !== 84 && joint !== 32) ||
    text.charCodeAt(13) !== 58 ||
    text.charCodeAt(16) !== 58
  )
    return Number.NaN;
  const hour = pair(11);
  const minute = pair(14);
  const second = pair(17);
  if (!(hour <= 23 && minute <= 59 && second <= 59)) return Number.NaN;
  let fraction = 0;
  if (length > 20) {
    if (length === 21 || text.charCodeAt(19) !== 46) return Number.NaN;
    let unit = 100_000;
    for (let at = 20; at < length - 1; at++) {
      const digit = text.charCodeAt(at) - 48;
      if (!(digit >= 0 && digit <= 9)) return Number.NaN;
      fraction += digit * unit;
      unit /= 10;
    }
  }
  const year = pair(0) * 100 + pair(2);
  const month = pair(5);
  const day = pair(8);
  const days = year >= 0 && month >= 0 && day >= 0 ? dateToDays(year, month, day) : undefined;
  if (days === undefined) return Number.NaN;
  const micros = days * MICROS_PER_DAY + ((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + fraction;
  return Number.isSafeInteger(micros) ? micros : Number.NaN;
}

/** An instant from text with an offset, or from text without one read as UTC. Undefined when it is no instant. */
export function parseInstant(text: string): Instant | undefined {
  const parts = parseTimestampParts(text);
  if (!parts) return undefined;
  const micros = parts.localMicros - (parts.offsetMicros ?? 0);
  return Number.isSafeInteger(micros) ? micros : undefined;
}

const pad = (value: number, width: number): string => String(value).padStart(width, '0');

/** `2024-03-01T12:00:00Z`, with as many fraction digits (0, 3 or 6) as the instant needs. */
export function printInstant(micros: Instant): string {
  const days = Math.floor(micros / MICROS_PER_DAY);
  const rest = micros - days * MICROS_PER_DAY;
  const { year, month, day } = civilFromDays(days);
  const seconds = Math.floor(rest / MICROS_PER_SECOND);
  const fraction = rest - seconds * MICROS_PER_SECOND;
  const clock = `${pad(Math.floor(seconds / 3600), 2)}:${pad(Math.floor(seconds / 60) % 60, 2)}:${pad(seconds % 60, 2)}`;
  const tail =
    fraction === 0 ? '' : fraction % 1000 === 0 ? `.${pad(fraction / 1000, 3)}` : `.${pad(fraction, 6)}`;
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T${clock}${tail}Z`;
}

/** The same where there may be none. */
export const printOptionalInstant = (instant: Instant | null): string | null =>
  instant === null ? null : printInstant(instant);

export function printDate(days: number): string {
  const { year, month, day } = civilFromDays(days);
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}`;
}
