/**
 * Times that are not written as ISO 8601: a declared form turns the text into ISO text before its type reads it, by one
 * regular expression in both readings. What does not have the form stays as it is, so ISO text is always read too.
 */
import { MAX_INSTANT, MIN_INSTANT, printInstant } from '../base/time.js';
import { quoteText } from './coerce-sql.js';
import type { ValueType } from './types.js';

/** Microseconds of one unit. */
const EPOCHS: Readonly<Record<string, number>> = { epoch_s: 1_000_000, epoch_ms: 1_000, epoch_us: 1 };
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

/** As in strftime, with English month names; numbers may lack their leading zero. */
const DIRECTIVES: Readonly<Record<string, string>> = {
  Y: '([0-9]{4})',
  y: '([0-9]{2})',
  m: '([0-9]{1,2})',
  b: `(${MONTHS.join('|')})`,
  d: '([0-9]{1,2})',
  H: '([0-9]{1,2})',
  I: '(0?[1-9]|1[0-2])',
  M: '([0-9]{1,2})',
  S: '([0-9]{1,2})',
  f: '([0-9]{1,6})',
  p: '(am|pm)',
  z: '(z|[-+][0-9]{2}:?[0-9]{2})',
};

interface Clock {
  /** Matches the whole text, in lower case. */
  readonly pattern: string;
  /** Group of each directive, from 1. */
  readonly groups: ReadonlyMap<string, number>;
}

const compiled = new Map<string, Clock | undefined>();

function clockOf(format: string): Clock | undefined {
  if (!compiled.has(format)) compiled.set(format, compile(format));
  return compiled.get(format);
}

function compile(format: string): Clock | undefined {
  let pattern = '';
  const groups = new Map<string, number>();
  for (let i = 0; i < format.length; i++) {
    const char = format[i]!;
    if (char !== '%') pattern += char.toLowerCase().replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
    else {
      const directive = format[++i] ?? '';
      if (directive === '%') pattern += '%';
      else if (!DIRECTIVES[directive] || groups.has(directive)) return undefined;
      else {
        groups.set(directive, groups.size + 1);
        pattern += DIRECTIVES[directive];
      }
    }
  }
  const has = (...names: readonly string[]): number => names.filter((name) => groups.has(name)).length;
  const whole = has('Y', 'y') === 1 && has('m', 'b') === 1 && groups.has('d');
  const hours = has('H', 'I') < 2 && groups.has('I') === groups.has('p');
  return whole && hours ? { pattern: `^ *${pattern} *$`, groups } : undefined;
}

/** A form this version reads: `epoch_s`, `epoch_ms`, `epoch_us`, or a pattern with year, month and day. */
export const isTimeFormat = (format: string): boolean =>
  Object.hasOwn(EPOCHS, format) || clockOf(format) !== undefined;

/** How a field's times are written; absent: as ISO 8601. */
export interface TimeField {
  readonly type: ValueType;
  readonly format?: string;
}

/** The value as its type reads it: ISO text where the text, or the whole number of an epoch, has the form. */
export function inTimeFormat({ type, format }: TimeField, given: unknown): unknown {
  if (format === undefined || (typeof given !== 'string' && typeof given !== 'number')) return given;
  const text = String(given);
  const unit = EPOCHS[format];
  if (unit !== undefined) {
    if (!/^ *-?[0-9]{1,16} *$/.test(text)) return given;
    const micros = Number(text) * unit;
    if (micros < MIN_INSTANT || micros > MAX_INSTANT) return given;
    return type.kind === 'date' ? printInstant(micros).slice(0, 10) : printInstant(micros);
  }
  const clock = clockOf(format)!;
  const found = new RegExp(clock.pattern).exec(text.toLowerCase());
  if (!found) return given;
  const part = (name: string): string | undefined =>
    clock.groups.has(name) ? found[clock.groups.get(name)!] : undefined;
  const two = (digits: string): string => digits.padStart(2, '0');
  const short = part('y');
  const year = part('Y') ?? `${Number(short) < 69 ? '20' : '19'}${short}`;
  const named = part('b');
  const month = named === undefined ? two(part('m')!) : two(String(MONTHS.indexOf(named) + 1));
  const day = `${year}-${month}-${two(part('d')!)}`;
  if (type.kind === 'date') return day;
  const half = part('I');
  const hour =
    half === undefined
      ? two(part('H') ?? '0')
      : two(String((Number(half) % 12) + (part('p') === 'pm' ? 12 : 0)));
  const fraction = part('f');
  return `${day}T${hour}:${two(part('M') ?? '0')}:${two(part('S') ?? '0')}${fraction === undefined ? '' : `.${fraction}`}${(part('z') ?? '').toUpperCase()}`;
}

/** The same over a column of texts. */
export function inTimeFormatSql({ type, format }: TimeField, text: string): string {
  if (format === undefined) return text;
  const unit = EPOCHS[format];
  if (unit !== undefined) {
    const number = `TRY_CAST(${text} AS BIGINT)`;
    const [least, most] = [Math.ceil(MIN_INSTANT / unit), Math.floor(MAX_INSTANT / unit)];
    return `CASE WHEN regexp_full_match(${text}, ' *-?[0-9]{1,16} *') AND ${number} BETWEEN ${least} AND ${most} THEN strftime(make_timestamp(${number} * ${unit}), '${type.kind === 'date' ? '%Y-%m-%d' : '%Y-%m-%dT%H:%M:%S.%fZ'}') ELSE ${text} END`;
  }
  const { pattern, groups } = clockOf(format)!;
  const part = (name: string): string | undefined =>
    groups.has(name)
      ? `regexp_extract(lower(${text}), ${quoteText(pattern)}, ${groups.get(name)})`
      : undefined;
  const two = (digits: string): string => `lpad(${digits}, 2, '0')`;
  const short = part('y');
  const year = part('Y') ?? `(CASE WHEN ${short} < '69' THEN '20' ELSE '19' END || ${short})`;
  const named = part('b');
  const month =
    named === undefined
      ? two(part('m')!)
      : two(`CAST(list_position([${MONTHS.map(quoteText).join(', ')}], ${named}) AS VARCHAR)`);
  const half = part('I');
  const hour =
    half === undefined
      ? two(part('H') ?? "'0'")
      : two(
          `CAST(TRY_CAST(${half} AS INTEGER) % 12 + CASE ${part('p')} WHEN 'pm' THEN 12 ELSE 0 END AS VARCHAR)`,
        );
  const fraction = part('f');
  const day = `${year} || '-' || ${month} || '-' || ${two(part('d')!)}`;
  const clock = [
    `'T' || ${hour}`,
    `':' || ${two(part('M') ?? "'0'")} || ':' || ${two(part('S') ?? "'0'")}`,
    ...(fraction === undefined ? [] : [`'.' || ${fraction}`]),
    ...(groups.has('z') ? [`upper(${part('z')})`] : []),
  ];
  return `CASE WHEN regexp_matches(lower(${text}), ${quoteText(pattern)}) THEN ${type.kind === 'date' ? day : [day, ...clock].join(' || ')} ELSE ${text} END`;
}
