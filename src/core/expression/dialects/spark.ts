/**
 * Spark SQL 3.5 and up, with `spark.sql.session.timeZone=UTC` and text literals with escapes (the default). Right in
 * ANSI mode and out of it: what could raise is `try_` or guarded.
 */
import type { ValueType } from '../../schema/types.js';
import type { Bind, Dialect } from '../dialect.js';

const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
const tryCast = (value: string, type: string): string => `try_cast(${value} AS ${type})`;
const WIDE = 36;

function typeName(type: ValueType): string {
  switch (type.kind) {
    case 'int64':
      return 'BIGINT';
    case 'float64':
      return 'DOUBLE';
    case 'decimal':
      return `DECIMAL(18, ${type.scale})`;
    case 'boolean':
      return 'BOOLEAN';
    case 'timestamp':
      return 'TIMESTAMP';
    case 'date':
      return 'DATE';
    case 'string':
      return 'STRING';
    case 'float64_vector':
      return 'ARRAY<DOUBLE>';
    case 'list':
      return `ARRAY<${typeName(type.of)}>`;
    case 'map':
      return `MAP<STRING, ${typeName(type.of)}>`;
  }
}

/** The text where all of it matches: Java's `$` would let a last newline pass. */
const match = (text: string, pattern: string, bind: Bind): string =>
  bind(text, (v) => `CASE WHEN regexp_extract(${v}, ${quote(pattern)}, 0) = ${v} THEN ${v} END`);

const ESCAPES = ['!', '#', '~', '^', '|', '@', '`'];
/** The pattern with an escape character that stands only where Spark allows one. */
function likePattern(pattern: string, mark: string | undefined): readonly [string, string] {
  const chars = [...pattern];
  const sign = ESCAPES.find((candidate) => !chars.includes(candidate)) ?? '\u0001';
  let written = '';
  for (let i = 0; i < chars.length; i++) {
    if (chars[i] !== mark) written += chars[i];
    else {
      const next = chars[++i]!;
      written += next === '%' || next === '_' ? `${sign}${next}` : next;
    }
  }
  return [written, sign];
}

export const spark: Dialect = {
  name: 'spark',
  refuses: new Map(),
  typeName,
  quote,
  textLeaf: (sql) => sql,
  let: (value, name, body) => `transform(array(${value}), ${name} -> ${body})[0]`,
  letMark: '->',

  wideInt: (value) => `CAST(${value} AS DECIMAL(38, 0))`,
  // div gives BIGINT, which the least one by -1 leaves.
  divideWide: (a, b, bind) =>
    bind(
      b,
      (v) => `CASE WHEN ${v} = -1 THEN -${a} ELSE CAST(${a} div nullif(${v}, 0) AS DECIMAL(38, 0)) END`,
    ),
  moduloWide: (a, b) => `${a} % nullif(${b}, 0)`,
  fitInt: (value) => tryCast(value, 'BIGINT'),
  divide: (a, b) => `(${a} div ${b})`,

  wide: (value, scale) => `CAST(${value} AS DECIMAL(${WIDE}, ${scale}))`,
  // 38 digits in all, or Spark takes places away.
  factor: (value, scale) => `CAST(${value} AS DECIMAL(${scale === 0 ? 19 : 18}, ${scale}))`,
  fitDecimal: (value, scale) => tryCast(value, `DECIMAL(18, ${scale})`),
  whole: (how, value, bind) =>
    how === 'trunc'
      ? bind(value, (v) => `CASE WHEN ${v} < 0 THEN ceil(${v}) ELSE floor(${v}) END`)
      : `${how}(${value})`,

  float: (value) => `CAST(${value} AS DOUBLE)`,
  isFinite: (value) => `abs(${value}) <= 1.7976931348623157E308D`,
  divideFloat: (a, b) => `(${a} / nullif(${b}, 0D))`,
  moduloFloat: (a, b) => `(${a} % nullif(${b}, 0D))`,
  // floor and ceil give BIGINT; from 2^52 up every double is whole.
  wholeFloat: (how, value, bind) =>
    bind(
      value,
      (v) =>
        `CASE WHEN abs(${v}) < 4503599627370496D THEN CAST(${how === 'trunc' ? `CAST(${v} AS BIGINT)` : `${how}(${v})`} AS DOUBLE) ELSE ${v} END`,
    ),
  roundFloat: (value) => `round(${value})`,
  floatToInt: (value, bind) =>
    bind(
      value,
      (v) =>
        `CASE WHEN ${v} >= -9223372036854775808D AND ${v} < 9223372036854775808D THEN CAST(${v} AS BIGINT) END`,
    ),
  booleanToInt: (value) => `CAST(${value} AS BIGINT)`,
  // A cast to STRING writes 1E-7.
  decimalText: (value, scale, bind) =>
    scale === 0
      ? `CAST(CAST(${value} AS DECIMAL(19, 0)) AS STRING)`
      : bind(
          `CAST(${value} AS DECIMAL(18, ${scale}))`,
          (v) =>
            `concat(CASE WHEN ${v} < 0 THEN '-' ELSE '' END, CAST(floor(abs(${v})) AS STRING), '.', ` +
            `lpad(CAST(CAST((abs(${v}) - floor(abs(${v}))) * ${10 ** scale} AS BIGINT) AS STRING), ${scale}, '0'))`,
        ),

  textToInt: (text, pattern, bind) =>
    tryCast(`CAST(${match(text, pattern, bind)} AS DECIMAL(38, 0))`, 'BIGINT'),
  textToFloat: (text, pattern, bind) => tryCast(match(text, pattern, bind), 'DOUBLE'),
  textToDecimal: (text, pattern, scale, bind) => tryCast(match(text, pattern, bind), `DECIMAL(18, ${scale})`),
  textToDate: (text, pattern, bind) => tryCast(match(text, pattern, bind), 'DATE'),
  textToMicros: (text, pattern, bind) =>
    bind(
      match(text, pattern, bind),
      (v) =>
        `unix_micros(try_cast(CASE WHEN length(${v}) = 10 THEN concat(${v}, ' 00:00:00+00:00') ` +
        `WHEN ${v} RLIKE '(Z|[+-][0-9][0-9]:[0-9][0-9])$' THEN ${v} ELSE concat(${v}, '+00:00') END AS TIMESTAMP))`,
    ),

  text: {
    translate: (text, from, to) => `translate(${text}, '${from}', '${to}')`,
    endsWith: (text, part) => `endswith(${text}, ${part})`,
    startsWith: (text, part) => `startswith(${text}, ${part})`,
    contains: (text, part) => `contains(${text}, ${part})`,
    position: (text, part) => `CAST(instr(${text}, ${part}) AS BIGINT)`,
    length: (text) => `CAST(length(${text}) AS BIGINT)`,
    replace: (text, from, to) => `replace(${text}, ${from}, ${to})`,
    // concat_ws leaves nulls out, concat does not.
    concat: (parts) => `concat_ws('', ${parts.join(', ')})`,
    trim: (side, text) =>
      `trim(${{ both: 'BOTH', left: 'LEADING', right: 'TRAILING' }[side]} ' ' FROM ${text})`,
    substring: (text, start, count) =>
      `substring(${text}, CAST(${start} AS INT)${count === undefined ? '' : `, CAST(${count} AS INT)`})`,
    like: (text, pattern, mark) => {
      const [written, sign] = likePattern(pattern, mark);
      return `(${text} LIKE ${quote(written)} ESCAPE ${quote(sign)})`;
    },
  },
  time: {
    micros: (timestamp) => `unix_micros(${timestamp})`,
    fromMicros: (micros) => `timestamp_micros(${micros})`,
    utc: (timestamp) => timestamp,
    local: (timestamp, zone) => `from_utc_timestamp(${timestamp}, ${quote(zone)})`,
    part: (unit, local) => {
      const field = { dow: 'dow', isodow: 'dow_iso' }[unit] ?? unit;
      const part = `CAST(floor(extract(${field.toUpperCase()} FROM ${local})) AS BIGINT)`;
      return unit === 'dow' ? `(${part} - 1)` : part;
    },
    truncate: (unit, local) => `date_trunc('${unit.toUpperCase()}', ${local})`,
    localMicros: (local) => `unix_micros(${local})`,
    subtractDates: (a, b) => `CAST(datediff(${a}, ${b}) AS BIGINT)`,
    isoText: (utc) => `date_format(${utc}, ${quote("yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'")})`,
    dateText: (date) => `date_format(${date}, 'yyyy-MM-dd')`,
  },
};
