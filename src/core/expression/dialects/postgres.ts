/**
 * PostgreSQL 14 and up. Its numbers raise errors where the language gives null, so every operation is guarded by a
 * CASE over the very values it takes (PostgreSQL folds constants early, but never in a branch that constants exclude).
 */
import type { ValueType } from '../../schema/types.js';
import type { Bind, Dialect } from '../dialect.js';
import { VALID_DATE } from './dates.js';

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;
const float = (value: number | string): string => `CAST(${value} AS DOUBLE PRECISION)`;

function typeName(type: ValueType): string {
  switch (type.kind) {
    case 'int64':
      return 'BIGINT';
    case 'float64':
      return 'DOUBLE PRECISION';
    case 'decimal':
      return `NUMERIC(18, ${type.scale})`;
    case 'string':
      return 'TEXT';
    case 'boolean':
      return 'BOOLEAN';
    case 'timestamp':
      return 'TIMESTAMPTZ';
    case 'date':
      return 'DATE';
    case 'float64_vector':
      return 'DOUBLE PRECISION[]';
    case 'list':
    case 'map':
      return 'JSONB';
  }
}

const fitInt = (value: string, bind: Bind): string =>
  bind(
    value,
    (v) =>
      `CASE WHEN ${v} BETWEEN -9223372036854775808 AND 9223372036854775807 THEN CAST(${v} AS BIGINT) END`,
  );
const fitDecimal = (value: string, scale: number, bind: Bind): string =>
  bind(
    `round(${value}, ${scale})`,
    (v) => `CASE WHEN abs(${v}) < 1e${18 - scale} THEN CAST(${v} AS NUMERIC(18, ${scale})) END`,
  );
const numeric = (text: string, pattern: string, bind: Bind): string =>
  bind(text, (v) => `CASE WHEN ${v} ~ ${quote(pattern)} THEN CAST(${v} AS NUMERIC) END`);

/** 2^exponent as a literal. */
const two = (exponent: number): string => float(2 ** exponent);
const both = (a: string, b: string, bind: Bind, body: (x: string, y: string) => string): string =>
  bind(a, (x) => bind(b, (y) => body(x, y)));

/** Halves cannot overflow, and round as the sum does; what is below 1 does not matter beside what is near the limit. */
const added = (a: string, b: string, sign: '+' | '-', bind: Bind): string =>
  both(
    a,
    b,
    bind,
    (x, y) =>
      `CASE WHEN abs(${x}) < 8e307 AND abs(${y}) < 8e307 OR (${x} > 0) ${sign === '+' ? '<>' : '='} (${y} > 0) ` +
      `OR greatest(abs(${x}), 1) * 0.5 + greatest(abs(${y}), 1) * 0.5 < ${two(1023)} THEN ${x} ${sign} ${y} + 0.0 END`,
  );
/** Overflow only where both are 1 or more, underflow (to 0, silently) only where both are less. */
const multiplied = (a: string, b: string, bind: Bind): string =>
  both(
    a,
    b,
    bind,
    (x, y) =>
      `CASE WHEN ${x} = 0 OR ${y} = 0 THEN ${x} * ${y} ` +
      `WHEN abs(${x}) >= 1 AND abs(${y}) >= 1 THEN CASE WHEN abs(${x}) * ${two(-512)} * (abs(${y}) * ${two(-512)}) < 1 THEN ${x} * ${y} END ` +
      `WHEN abs(${x}) < 1 AND abs(${y}) < 1 AND least(abs(${x}), abs(${y})) < ${two(-500)} ` +
      `THEN CASE WHEN abs(${x}) * ${two(537)} * (abs(${y}) * ${two(537)}) > 0.5 THEN ${x} * ${y} ELSE ${float(0)} END ` +
      `ELSE ${x} * ${y} END`,
  );
const divided = (a: string, b: string, bind: Bind): string =>
  both(
    a,
    b,
    bind,
    (x, y) =>
      `CASE WHEN ${y} = 0 THEN NULL WHEN ${x} = 0 THEN ${x} / ${y} ` +
      `WHEN abs(${x}) >= 1 AND abs(${y}) < 1 THEN CASE WHEN abs(${x}) * ${two(-537)} / (abs(${y}) * ${two(537)}) < ${two(-50)} THEN ${x} / ${y} END ` +
      `WHEN abs(${x}) < 1 AND abs(${y}) < ${two(-1000)} THEN CASE WHEN abs(${x}) / (abs(${y}) * ${two(537)}) < ${two(487)} THEN ${x} / ${y} END ` +
      `WHEN abs(${x}) < 1 AND abs(${y}) >= 1 AND (abs(${x}) < ${two(-500)} OR abs(${y}) > ${two(500)}) ` +
      `THEN CASE WHEN abs(${x}) * ${two(537)} / (abs(${y}) * ${two(-537)}) > 0.5 THEN ${x} / ${y} ELSE ${float(0)} END ` +
      `ELSE ${x} / ${y} END`,
  );

/** Texts from here on are read as infinite, and up to there as 0: both ends exactly. */
const INFINITE = String(2n ** 1024n - 2n ** 970n);
const NOTHING = `${5n ** 1075n}e-1075`;

const integer = (value: string): string => `CAST(${value} AS INTEGER)`;

export const postgres: Dialect = {
  name: 'postgres',
  refuses: new Map([['mod_float', 'PostgreSQL has no remainder of float64']]),
  typeName,
  quote,
  // Of an untyped literal a cast reads the text while it parses, before any CASE.
  textLeaf: (sql) => `(${sql.startsWith("'") ? `TEXT ${sql}` : sql} COLLATE "C")`,
  // OFFSET 0 keeps the planner from writing the value out wherever its name stands.
  let: (value, name, body) => `(SELECT ${body} FROM (SELECT ${value} AS ${name} OFFSET 0) AS of${name})`,
  letMark: 'SELECT',

  wideInt: (value) => `CAST(${value} AS NUMERIC)`,
  divideWide: (a, b) => `div(${a}, nullif(${b}, 0))`,
  moduloWide: (a, b) => `${a} % nullif(${b}, 0)`,
  fitInt,
  divide: (a, b) => `(${a} / ${b})`,

  wide: (value, scale) => `CAST(${value} AS NUMERIC(38, ${scale}))`,
  factor: (value, scale) => `CAST(${value} AS NUMERIC(38, ${scale}))`,
  fitDecimal,
  whole: (how, value) => `${how}(${value})`,

  float,
  isFinite: (value) => `${value} IS NOT NULL`,
  checked: {
    add: (a, b, bind) => added(a, b, '+', bind),
    sub: (a, b, bind) => added(a, b, '-', bind),
    mul: multiplied,
    div: divided,
  },
  divideFloat: (a, b) => `(${a} / ${b})`,
  moduloFloat: (a, b) => `mod(${a}, ${b})`,
  wholeFloat: (how, value) => `${how}(${value})`,
  roundFloat: (value, bind) =>
    bind(
      value,
      (v) => `CASE WHEN abs(${v} - trunc(${v})) >= 0.5 THEN trunc(${v}) + sign(${v}) ELSE trunc(${v}) END`,
    ),
  floatToInt: (value, bind) =>
    bind(
      value,
      (v) => `CASE WHEN ${v} >= ${two(63)} * -1 AND ${v} < ${two(63)} THEN CAST(${v} AS BIGINT) END`,
    ),
  booleanToInt: (value) => `CAST(CAST(${value} AS INTEGER) AS BIGINT)`,
  decimalText: (value, scale) => `(CAST(CAST(${value} AS NUMERIC(38, ${scale})) AS TEXT) COLLATE "C")`,

  textToInt: (text, pattern, bind) => fitInt(numeric(text, pattern, bind), bind),
  textToFloat: (text, pattern, bind) =>
    bind(
      numeric(text, pattern, bind),
      (v) =>
        `CASE WHEN abs(${v}) >= ${INFINITE} THEN NULL WHEN abs(${v}) <= ${NOTHING} THEN ${float(0)} ELSE ${float(v)} END`,
    ),
  textToDecimal: (text, pattern, scale, bind) => fitDecimal(numeric(text, pattern, bind), scale, bind),
  textToDate: (text, pattern, bind) =>
    bind(
      text,
      (v) => `CASE WHEN ${v} ~ ${quote(pattern)} AND ${v} ~ ${quote(VALID_DATE)} THEN CAST(${v} AS DATE) END`,
    ),
  textToMicros: (text, pattern, bind) =>
    bind(
      text,
      (v) =>
        `CASE WHEN ${v} ~ ${quote(pattern)} AND ${v} ~ ${quote(VALID_DATE)} THEN CAST(extract(epoch FROM CAST(` +
        `CASE WHEN length(${v}) = 10 THEN ${v} || ' 00:00:00+00:00' WHEN ${v} ~ '(Z|[+-][0-9][0-9]:[0-9][0-9])$' THEN ${v} ELSE ${v} || '+00:00' END` +
        ` AS TIMESTAMPTZ)) * 1000000 AS BIGINT) END`,
    ),

  text: {
    translate: (text, from, to) => `translate(${text}, '${from}', '${to}')`,
    endsWith: (text, part) => `(right(${text}, length(${part})) = ${part})`,
    startsWith: (text, part) => `starts_with(${text}, ${part})`,
    contains: (text, part) => `(strpos(${text}, ${part}) > 0)`,
    position: (text, part) => `CAST(strpos(${text}, ${part}) AS BIGINT)`,
    length: (text) => `CAST(length(${text}) AS BIGINT)`,
    replace: (text, from, to) => `replace(${text}, ${from}, ${to})`,
    concat: (parts) => `concat(${parts.join(', ')})`,
    trim: (side, text) => `${{ both: 'btrim', left: 'ltrim', right: 'rtrim' }[side]}(${text}, ' ')`,
    substring: (text, start, count) =>
      `substring(${text}, ${integer(start)}${count === undefined ? '' : `, ${integer(count)}`})`,
    like: (text, pattern, mark) => `(${text} LIKE ${quote(pattern)} ESCAPE ${quote(mark ?? '')})`,
  },
  time: {
    micros: (timestamp) => `CAST(extract(epoch FROM ${timestamp}) * 1000000 AS BIGINT)`,
    fromMicros: (micros) =>
      `(TIMESTAMPTZ '1970-01-01T00:00:00Z' + ${float(micros)} * INTERVAL '1 microsecond')`,
    utc: (timestamp) => `timezone('UTC', ${timestamp})`,
    local: (timestamp, zone) => `timezone(${quote(zone)}, ${timestamp})`,
    part: (unit, local) => `CAST(floor(extract(${unit} FROM ${local})) AS BIGINT)`,
    truncate: (unit, local) => `date_trunc('${unit}', ${local})`,
    localMicros: (local) => `CAST(extract(epoch FROM ${local}) * 1000000 AS BIGINT)`,
    subtractDates: (a, b) => `CAST(${a} - ${b} AS BIGINT)`,
    isoText: (utc) => `to_char(${utc}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
    dateText: (date) => `to_char(${date}, 'YYYY-MM-DD')`,
  },
};
