import { duckDbType } from '../../schema/coerce-sql.js';
import type { Dialect } from '../dialect.js';

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;
const PARTS: Readonly<Record<string, string>> = { dow: 'dayofweek', doy: 'dayofyear' };
// greatest(x) is x: without it DuckDB 1.5 compares the uncast number with a constant, `TRY_CAST(h AS BIGINT) > 5`
// being true, not null, for an h that does not fit
const tryCast = (value: string, type: string): string => `greatest(TRY_CAST(${value} AS ${type}))`;
const match = (text: string, pattern: string): string => `regexp_extract(${text}, ${quote(pattern)})`;

export const duckdb: Dialect = {
  name: 'duckdb',
  refuses: new Map(),
  typeName: duckDbType,
  quote,
  textLeaf: (sql) => sql,
  let: (value, name, body) => `list_transform([${value}], lambda ${name}: ${body})[1]`,
  letMark: 'lambda',

  wideInt: (value) => `CAST(${value} AS HUGEINT)`,
  divideWide: (a, b) => `${a} // ${b}`,
  moduloWide: (a, b) => `${a} % ${b}`,
  fitInt: (value) => tryCast(value, 'BIGINT'),
  divide: (a, b) => `(${a} // ${b})`,

  wide: (value, scale) => `CAST(${value} AS DECIMAL(38, ${scale}))`,
  factor: (value, scale) => `CAST(${value} AS DECIMAL(38, ${scale}))`,
  fitDecimal: (value, scale) => tryCast(value, `DECIMAL(18, ${scale})`),
  whole: (how, value) => `${how}(${value})`,

  float: (value) => `CAST(${value} AS DOUBLE)`,
  isFinite: (value) => `isfinite(${value})`,
  divideFloat: (a, b) => `(${a} / ${b})`,
  moduloFloat: (a, b) => `(${a} % ${b})`,
  wholeFloat: (how, value) => `${how}(${value})`,
  roundFloat: (value) => `round(${value})`,
  roundFloatTo: (value, places) => `round(${value}, ${places})`,
  floatToInt: (value) => tryCast(value, 'BIGINT'),
  booleanToInt: (value) => `CAST(${value} AS BIGINT)`,
  decimalText: (value, scale) => `CAST(CAST(${value} AS DECIMAL(38, ${scale})) AS VARCHAR)`,

  textToInt: (text, pattern) => tryCast(match(text, pattern), 'BIGINT'),
  textToFloat: (text, pattern) => tryCast(match(text, pattern), 'DOUBLE'),
  textToDecimal: (text, pattern, scale) => tryCast(match(text, pattern), `DECIMAL(18, ${scale})`),
  textToDate: (text, pattern) => tryCast(match(text, pattern), 'DATE'),
  textToMicros: (text, pattern, bind) =>
    bind(
      match(text, pattern),
      (v) =>
        `epoch_us(TRY_CAST(CASE WHEN length(${v}) = 10 THEN ${v} || ' 00:00:00+00:00' ` +
        `WHEN regexp_matches(${v}, '(Z|[+-][0-9][0-9]:[0-9][0-9])$') THEN ${v} ELSE ${v} || '+00:00' END AS TIMESTAMPTZ))`,
    ),

  text: {
    translate: (text, from, to) => `translate(${text}, '${from}', '${to}')`,
    endsWith: (text, part) => `suffix(${text}, ${part})`,
    startsWith: (text, part) => `prefix(${text}, ${part})`,
    contains: (text, part) => `contains(${text}, ${part})`,
    position: (text, part) => `strpos(${text}, ${part})`,
    length: (text) => `length(${text})`,
    replace: (text, from, to) => `replace(${text}, ${from}, ${to})`,
    concat: (parts) => `concat(${parts.join(', ')})`,
    trim: (side, text) => `${{ both: 'trim', left: 'ltrim', right: 'rtrim' }[side]}(${text}, ' ')`,
    substring: (text, start, count) =>
      `substring(${text}, ${start}${count === undefined ? '' : `, ${count}`})`,
    like: (text, pattern, mark) =>
      `(${text} LIKE ${quote(pattern)}${mark === undefined ? '' : ` ESCAPE ${quote(mark)}`})`,
  },
  time: {
    micros: (timestamp) => `epoch_us(${timestamp})`,
    fromMicros: (micros) => `make_timestamptz(${micros})`,
    utc: (timestamp) => `make_timestamp(epoch_us(${timestamp}))`,
    local: (timestamp, zone) => `timezone(${quote(zone)}, ${timestamp})`,
    part: (unit, local) => `${PARTS[unit] ?? unit}(${local})`,
    truncate: (unit, local) => `date_trunc('${unit}', ${local})`,
    localMicros: (local) => `epoch_us(${local})`,
    subtractDates: (a, b) => `(${a} - ${b})`,
    isoText: (utc) => `strftime(${utc}, '%Y-%m-%dT%H:%M:%S.%fZ')`,
    dateText: (date) => `strftime(${date}, '%Y-%m-%d')`,
  },
};
