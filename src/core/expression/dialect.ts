import { invariant } from '../base/error.js';
import { duckDbType } from '../schema/coerce-sql.js';
import type { ValueType } from '../schema/types.js';

/**
 * What an engine says differently. The printer holds the meaning; a dialect is only words: another engine is
 * another record of this shape.
 */
export interface Dialect {
  readonly name: string;
  typeName(type: ValueType): string;
  readonly int64: string;
  readonly int128: string;
  readonly float64: string;
  decimal(precision: number, scale: number): string;
  /** Null where the cast fails. */
  tryCast(value: string, type: string): string;
  /** `body` over a name for `value`, which is written once. */
  bind(value: string, name: string, body: string): string;
  isFinite(value: string): string;
  truncate(value: string): string;
  modulo(a: string, b: string): string;
  /** Whole-number division towards zero; null by zero. */
  integerDivide(a: string, b: string): string;
  /** The match of a regular expression, or the empty text. */
  extract(text: string, pattern: string): string;
  text: {
    translate(text: string, from: string, to: string): string;
    endsWith(text: string, part: string): string;
    startsWith(text: string, part: string): string;
    contains(text: string, part: string): string;
    position(text: string, part: string): string;
    trim(side: 'both' | 'left' | 'right', text: string): string;
    like(text: string, pattern: string, mark: string | undefined): string;
  };
  time: {
    micros(timestamp: string): string;
    fromMicros(micros: string): string;
    /** The clock of UTC as a timestamp without zone, whatever the session's time zone. */
    utc(timestamp: string): string;
    local(timestamp: string, zone: string): string;
    part(unit: string, local: string): string;
    truncate(unit: string, local: string): string;
    /** Microseconds of a timestamp without zone. */
    localMicros(local: string): string;
    daysOf(date: string): string;
    isoText(utc: string): string;
    dateText(date: string): string;
    parse(text: string): string;
  };
  float(value: string): string;
}

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;
const DUCKDB_PARTS: Readonly<Record<string, string>> = { dow: 'dayofweek', doy: 'dayofyear' };

export const duckdb: Dialect = {
  name: 'duckdb',
  int64: 'BIGINT',
  int128: 'HUGEINT',
  float64: 'DOUBLE',
  decimal: (precision, scale) => `DECIMAL(${precision}, ${scale})`,
  typeName: duckDbType,
  // greatest(x) is x: without it DuckDB 1.5 compares the uncast number with a constant, `TRY_CAST(h AS BIGINT) > 5`
  // being true, not null, for an h that does not fit
  tryCast: (value, type) => `greatest(TRY_CAST(${value} AS ${type}))`,
  bind: (value, name, body) => `list_transform([${value}], lambda ${name}: ${body})[1]`,
  isFinite: (value) => `isfinite(${value})`,
  truncate: (value) => `trunc(${value})`,
  modulo: (a, b) => `(${a} % ${b})`,
  integerDivide: (a, b) => `(${a} // ${b})`,
  extract: (text, pattern) => `regexp_extract(${text}, ${quote(pattern)})`,
  text: {
    translate: (text, from, to) => `translate(${text}, '${from}', '${to}')`,
    endsWith: (text, part) => `suffix(${text}, ${part})`,
    startsWith: (text, part) => `prefix(${text}, ${part})`,
    contains: (text, part) => `contains(${text}, ${part})`,
    position: (text, part) => `strpos(${text}, ${part})`,
    trim: (side, text) => `${{ both: 'trim', left: 'ltrim', right: 'rtrim' }[side]}(${text}, ' ')`,
    like: (text, pattern, mark) =>
      `(${text} LIKE ${quote(pattern)}${mark === undefined ? '' : ` ESCAPE ${quote(mark)}`})`,
  },
  time: {
    micros: (timestamp) => `epoch_us(${timestamp})`,
    fromMicros: (micros) => `make_timestamptz(${micros})`,
    utc: (timestamp) => `make_timestamp(epoch_us(${timestamp}))`,
    local: (timestamp, zone) => `timezone(${quote(zone)}, ${timestamp})`,
    part: (unit, local) => `${DUCKDB_PARTS[unit] ?? unit}(${local})`,
    truncate: (unit, local) => `date_trunc('${unit}', ${local})`,
    localMicros: (local) => `epoch_us(${local})`,
    daysOf: (date) => `(${date} - DATE '1970-01-01')`,
    isoText: (utc) => `strftime(${utc}, '%Y-%m-%dT%H:%M:%S.%fZ')`,
    dateText: (date) => `strftime(${date}, '%Y-%m-%d')`,
    parse: (text) =>
      `TRY_CAST(CASE WHEN length(${text}) = 10 THEN ${text} || ' 00:00:00+00:00' ` +
      `WHEN regexp_matches(${text}, '(Z|[+-][0-9][0-9]:[0-9][0-9])$') THEN ${text} ELSE ${text} || '+00:00' END AS TIMESTAMPTZ)`,
  },
  float: (value) => `CAST(${value} AS DOUBLE)`,
};

const DIALECTS: Readonly<Record<string, Dialect>> = { duckdb };

export type DialectName = 'duckdb';

export function dialectOf(dialect: DialectName | Dialect): Dialect {
  const found = typeof dialect === 'string' ? DIALECTS[dialect] : dialect;
  invariant(found !== undefined, `there is no dialect ${String(dialect)}`);
  return found;
}
