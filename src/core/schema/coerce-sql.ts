/**
 * The SQL reading of `coerceText` and `coerceJson`: DuckDB expressions that accept exactly the same inputs and
 * give exactly the same values. No expression here can raise an error; NULL is the answer to what is refused.
 */
import { MAX_INSTANT, MICROS_PER_SECOND, printDate } from '../base/time.js';
import type { CoerceOptions } from './coerce.js';
import { printDecimal } from './coerce-print.js';
import { resolveLocalSql } from './coerce-zone.js';
import { printType, type Value, type ValueType } from './types.js';

export interface CoerceSql {
  /** The value in `duckDbType(type)`, NULL when the input is null or refused. */
  readonly value: string;
  /** BOOLEAN, never NULL: the input means null. */
  readonly blank: string;
  /** BOOLEAN, never NULL: the input is refused. `NEVER` where no input is. */
  readonly bad: string;
  /** `bad` again, for a caller that has already computed `value` into a column. */
  readonly badOf: (valueSql: string) => string;
}

const result = (value: string, blank: string): CoerceSql => {
  // CASE, because only it leaves the test for blanks out where there is a value.
  const badOf = (valueSql: string): string =>
    `CASE WHEN (${valueSql}) IS NULL THEN NOT ${blank} ELSE false END`;
  return { value, blank, bad: badOf(value), badOf };
};

/** SQL of what cannot be. */
export const NEVER = 'false';

/** Every input that does not mean null has a value. */
const lossless = (value: string, blank: string): CoerceSql => ({
  value,
  blank,
  bad: NEVER,
  badOf: () => NEVER,
});

export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`;
export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** A value as SQL of type `duckDbType(type)`. */
export function literalSql(type: ValueType, value: Value): string {
  if (value === null) return `NULL::${duckDbType(type)}`;
  switch (type.kind) {
    case 'decimal':
      return `'${printDecimal(value as number | bigint, type.scale)}'::${duckDbType(type)}`;
    case 'timestamp':
      return `make_timestamptz(${value as number})`;
    case 'date':
      return `DATE '${printDate(value as number)}'`;
    case 'float64_vector':
      return `[${(value as readonly number[]).join(', ')}]::DOUBLE[]`;
    case 'string':
      // SQL text ends at a NUL.
      return `(${(value as string).split('\0').map(quoteText).join(' || chr(0) || ')})`;
    default:
      return `'${value as number | bigint | boolean}'::${duckDbType(type)}`;
  }
}

/** How a field is stored in the lake. */
export function duckDbType(type: ValueType): string {
  switch (type.kind) {
    case 'int64':
      return 'BIGINT';
    case 'float64':
      return 'DOUBLE';
    case 'decimal':
      return `DECIMAL(18,${type.scale})`;
    case 'string':
      return 'VARCHAR';
    case 'boolean':
      return 'BOOLEAN';
    case 'timestamp':
      return 'TIMESTAMP WITH TIME ZONE';
    case 'date':
      return 'DATE';
    case 'float64_vector':
      return 'DOUBLE[]';
    case 'list':
      return `${duckDbType(type.of)}[]`;
    case 'map':
      return `MAP(VARCHAR, ${duckDbType(type.of)})`;
  }
}

const INTEGERS = /^(TINYINT|SMALLINT|INTEGER|BIGINT|UTINYINT|USMALLINT|UINTEGER|UBIGINT|HUGEINT|UHUGEINT)$/;
const LOCAL_TIMES = /^(TIMESTAMP|TIMESTAMP_S|TIMESTAMP_MS|TIMESTAMP_NS)$/;
const decimalOf = (name: string): { readonly width: number; readonly scale: number } | undefined => {
  const found = /^DECIMAL\((\d+),\s*(\d+)\)$/.exec(name);
  return found ? { width: Number(found[1]), scale: Number(found[2]) } : undefined;
};

/** No list of them. */
const isEnum = (name: string): boolean => /^ENUM\(.*\)$/.test(name);

const ZONED_TIMES = /^(TIMESTAMP WITH TIME ZONE|TIMESTAMPTZ)$/;

/** The value type that holds a DuckDB column best; undefined when no source field can (structs, blobs, ...). */
export function typeOfDuckDb(name: string): ValueType | undefined {
  const upper = name.trim().toUpperCase();
  if (INTEGERS.test(upper)) return { kind: 'int64' };
  if (upper === 'DOUBLE' || upper === 'FLOAT') return { kind: 'float64' };
  const scale = /^DECIMAL\(\d+,\s*(\d+)\)$/.exec(upper);
  if (scale)
    return Number(scale[1]) <= 15 ? { kind: 'decimal', scale: Number(scale[1]) } : { kind: 'float64' };
  if (upper === 'VARCHAR' || upper === 'UUID' || isEnum(upper)) return { kind: 'string' };
  if (upper === 'BOOLEAN') return { kind: 'boolean' };
  if (LOCAL_TIMES.test(upper) || ZONED_TIMES.test(upper)) return { kind: 'timestamp' };
  if (upper === 'DATE') return { kind: 'date' };
  const list = /^(.*)\[(\d*)\]$/.exec(upper);
  const element = list ? typeOfDuckDb(list[1]!) : undefined;
  if (list && element && ['int64', 'float64', 'decimal'].includes(element.kind))
    return list[2] ? { kind: 'float64_vector', dimension: Number(list[2]) } : { kind: 'float64_vector' };
  return undefined;
}

const NUMBER = '[+-]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([eE][+-]?[0-9]+)?';
/** Of these none is -0, and of up to 300 characters none is infinite. */
const PLAIN_NUMBER = '[0-9]+(\\.[0-9]+)?|-[1-9][0-9]*(\\.[0-9]+)?|-0\\.[1-9][0-9]*';
const SPACE = '[ \\t\\n\\r\\f\\v]*';
const VECTOR = `\\[${SPACE}(${NUMBER}${SPACE}(,${SPACE}${NUMBER}${SPACE})*)?\\]`;
const OFFSET = '[Zz]|UTC|[+-][0-9]{2}(:?[0-9]{2})?';
const DAY = '[0-9]{4}-[0-9]{2}-[0-9]{2}';
const HOUR = '([01][0-9]|2[0-3])';
const COMMON_TIME = `${DAY}[T ]${HOUR}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,9})?)?`;
const UTC_TIME = `${DAY}[T ]${HOUR}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?Z`;
const ANY_TIME = `${DAY}([Tt ]${HOUR}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)? ?(${OFFSET})?)?`;

const full = (textSql: string, pattern: string): string =>
  `regexp_full_match(${textSql}, ${quoteText(pattern)})`;
const trimmed = (rawSql: string): string =>
  `trim(${rawSql}, chr(32) || chr(9) || chr(10) || chr(11) || chr(12) || chr(13))`;

function blankSql(type: ValueType, rawSql: string, options: CoerceOptions): string {
  if (type.kind === 'string') {
    const nulls = options.nulls.map(quoteText);
    return nulls.length === 0
      ? `(${rawSql} IS NULL)`
      : `(${rawSql} IS NULL OR ${rawSql} IN (${nulls.join(', ')}))`;
  }
  const text = trimmed(rawSql);
  return `(${rawSql} IS NULL OR ${text} IN (${['', ...options.nulls].map(quoteText).join(', ')}))`;
}

/** Finite and never -0: adding zero makes 0 of it. */
const finiteSql = (doubleSql: string): string =>
  `CASE WHEN isfinite(${doubleSql}) THEN ${doubleSql} + 0::DOUBLE END`;

/** Microseconds → TIMESTAMPTZ, NULL outside of the instants (see base/time). */
const instantSql = (microsSql: string): string =>
  `CASE WHEN ${microsSql} BETWEEN -${MAX_INSTANT} AND ${MAX_INSTANT} THEN make_timestamptz(${microsSql}) END`;

const epochSql = (textSql: string): string => `epoch_us(TRY_CAST(${textSql} AS TIMESTAMP))`;

const localSql = (microsSql: string, options: CoerceOptions): string =>
  resolveLocalSql(microsSql, options.timezone, options.ambiguousTime);

/** A text that ends in `+hh`, `+hhmm` or `+hh:mm`: the microseconds to take from the local time; NULL when refused. */
function offsetMicrosSql(offset: string): string {
  const clock = `CAST(rpad(replace(substr(${offset}, 2), ':', ''), 4, '0') AS INTEGER)`;
  return (
    `CASE WHEN ${clock} <= 2359 AND ${clock} % 100 <= 59 THEN (CASE WHEN ${offset}[1] = '-' THEN -1 ELSE 1 END)` +
    ` * ((${clock} // 100) * 60 + ${clock} % 100) * ${60 * MICROS_PER_SECOND}::BIGINT END`
  );
}

/** The usual forms in the years that are instants in every zone. */
function commonTimestampSql(
  text: string,
  options: CoerceOptions,
): readonly (readonly [test: string, value: string])[] {
  const years = `${text} >= '1685' AND ${text} < '2255' AND `;
  const micros = epochSql(text);
  const offset = `regexp_extract(substr(${text}, 17), '[+-].*$')`;
  const local = epochSql(`left(${text}, length(${text}) - length(${offset}))`);
  return [
    [`suffix(${text}, 'Z') AND ${years}${full(text, UTC_TIME)}`, `make_timestamptz(${micros})`],
    [years + full(text, `${COMMON_TIME}|${DAY}`), `make_timestamptz(${localSql(micros, options)})`],
    [
      years + full(text, `${COMMON_TIME}[+-][0-9]{2}(:?[0-9]{2})?`),
      `make_timestamptz(${local} - (${offsetMicrosSql(offset)}))`,
    ],
  ];
}

function timestampSql(text: string, options: CoerceOptions): string {
  const tail = `substr(${text}, 17)`;
  const clockMicros = epochSql(
    `substr(${text}, 1, 10) || ' ' || coalesce(nullif(substr(${text}, 12, 5), ''), '00:00')` +
      ` || coalesce(nullif(regexp_extract(${tail}, '^:[0-9]{2}'), ''), ':00')` +
      ` || replace(regexp_extract(${tail}, '^:[0-9]{2}([.,][0-9]+)', 1), ',', '.')`,
  );
  const offset = `regexp_extract(${tail}, '(${OFFSET})$')`;
  const east = `CASE WHEN upper(${offset}) IN ('Z', 'UTC') THEN 0 ELSE ${offsetMicrosSql(offset)} END`;
  const micros =
    `CASE WHEN ${full(text, ANY_TIME)} THEN CASE WHEN ${offset} = '' THEN ${localSql(clockMicros, options)}` +
    ` ELSE ${clockMicros} - (${east}) END END`;
  return `list_transform([${micros}], lambda m: ${instantSql('m')})[1]`;
}

/** An exact decimal from its digits: refused when a fraction digit beyond the scale is not zero. */
function decimalSql(text: string, scale: number): string {
  const fraction = scale === 0 ? '(\\.0*)?' : `(\\.[0-9]{0,${scale}}0*)?`;
  const tiny = scale === 0 ? '\\.0+' : `\\.([0-9]{1,${scale}}0*)`;
  // Zeros that say nothing are cut off before the cast, which has a limit on digits.
  const headed = `regexp_replace(regexp_replace(${text}, '^([+-]?)\\.', '\\10.'), '^([+-]?)0+([0-9])', '\\1\\2')`;
  const plain = `regexp_replace(${headed}, '^([^.]*\\.[0-9]{0,${scale}}).*$', '\\1')`;
  return `CASE WHEN ${full(text, `[+-]?([0-9]+${fraction}|${tiny})`)} THEN TRY_CAST(${plain} AS DECIMAL(18,${scale})) END`;
}

/** A decimal or whole number of a column as a decimal of this scale: refused when digits would be lost. */
function decimalOfNumberSql(raw: string, name: string, scale: number): string {
  const cast = `TRY_CAST(${raw} AS DECIMAL(18,${scale}))`;
  const { scale: from } = decimalOf(name) ?? { scale: 0 };
  return from <= scale ? cast : `CASE WHEN TRY_CAST(${cast} AS ${name}) = ${raw} THEN ${cast} END`;
}

/** A double as the decimal of this scale that reads back as the same double; at most 2^53 units. */
function decimalOfDoubleSql(doubleSql: string, scale: number): string {
  const text = `format('{:.${scale}f}', d)`;
  return (
    `list_transform([${doubleSql}], lambda d: CASE WHEN isfinite(d) AND abs(d) <= ${2 ** 53 - 1}::DOUBLE / ${10 ** scale}::DOUBLE` +
    ` AND TRY_CAST(${text} AS DOUBLE) = d THEN TRY_CAST(${text} AS DECIMAL(18,${scale})) END)[1]`
  );
}

const integerOfDoubleSql = (doubleSql: string): string =>
  `CASE WHEN abs(${doubleSql}) <= ${2 ** 53 - 1} AND trunc(${doubleSql}) = ${doubleSql} THEN TRY_CAST(${doubleSql} AS BIGINT) END`;

const vectorSql = (listSql: string, dimension: number | undefined): string =>
  `list_transform([${listSql}], lambda v: CASE WHEN len(v) = len(list_filter(v, lambda x: isfinite(x)))` +
  `${dimension === undefined ? '' : ` AND len(v) = ${dimension}`}` +
  ` THEN list_transform(v, lambda x: CASE WHEN x = 0 THEN 0::DOUBLE ELSE x END) END)[1]`;

const dateSql = (dateExpression: string): string =>
  `CASE WHEN ${dateExpression} BETWEEN DATE '0000-01-01' AND DATE '9999-12-31' THEN ${dateExpression} END`;

/** The usual forms of a type: a cheap test of the text as it stands, and the value for those that pass. */
function commonSql(
  type: ValueType,
  raw: string,
  options: CoerceOptions,
): readonly (readonly [test: string, value: string])[] {
  switch (type.kind) {
    case 'int64':
      return [[`TRY_CAST(${raw} AS BIGINT)::VARCHAR = ${raw}`, `TRY_CAST(${raw} AS BIGINT)`]];
    case 'float64':
      return [
        [`strlen(${raw}) <= 300 AND ${full(raw, PLAIN_NUMBER)}`, `TRY_CAST(${raw} AS DOUBLE)`],
        [full(raw, NUMBER), finiteSql(`TRY_CAST(${raw} AS DOUBLE)`)],
      ];
    case 'decimal': {
      const fraction = type.scale === 0 ? '' : `(\\.[0-9]{1,${type.scale}})?`;
      return [
        [full(raw, `[+-]?[0-9]{1,${18 - type.scale}}${fraction}`), `TRY_CAST(${raw} AS ${duckDbType(type)})`],
      ];
    }
    case 'boolean':
      return [
        [`${raw} IN ('true', 't', '1')`, 'true'],
        [`${raw} IN ('false', 'f', '0')`, 'false'],
      ];
    case 'timestamp':
      return commonTimestampSql(raw, options);
    case 'date':
      return [[full(raw, DAY), `TRY_CAST(${raw} AS DATE)`]];
    default:
      return [];
  }
}

/** Every form of a type, in text without spaces around it. */
function anySql(type: ValueType, text: string, options: CoerceOptions): string {
  switch (type.kind) {
    case 'int64':
      return (
        `CASE WHEN ${full(text, '[+-]?[0-9]+(\\.0*)?')}` +
        ` THEN TRY_CAST(regexp_replace(regexp_replace(${text}, '\\.0*$', ''), '^([+-]?)0+([0-9])', '\\1\\2') AS BIGINT) END`
      );
    case 'float64':
      return `CASE WHEN ${full(text, NUMBER)} THEN ${finiteSql(`TRY_CAST(${text} AS DOUBLE)`)} END`;
    case 'decimal':
      return decimalSql(text, type.scale);
    case 'boolean':
      return (
        `CASE lower(${text}) WHEN 'true' THEN true WHEN 't' THEN true WHEN 'yes' THEN true WHEN '1' THEN true` +
        ` WHEN 'false' THEN false WHEN 'f' THEN false WHEN 'no' THEN false WHEN '0' THEN false END`
      );
    case 'timestamp':
      return timestampSql(text, options);
    case 'date':
      return `CASE WHEN ${full(text, DAY)} THEN TRY_CAST(${text} AS DATE) END`;
    case 'float64_vector':
      return `CASE WHEN ${full(text, VECTOR)} THEN ${vectorSql(`TRY_CAST(${text} AS DOUBLE[])`, type.dimension)} END`;
    case 'string':
    case 'list':
    case 'map':
      throw new Error(`millrace invariant broken: ${printType(type)} has no text form`);
  }
}

/** Text in a VARCHAR column (CSV). Value and refusal are those of `coerceText`. */
export function coerceSql(type: ValueType, rawTextSql: string, options: CoerceOptions): CoerceSql {
  const raw = /^\w+$|^"[^"]+"$/.test(rawTextSql) ? rawTextSql : `(${rawTextSql})`;
  const blank = blankSql(type, raw, options);
  const hasNulls = options.nulls.length > 0;
  if (type.kind === 'string')
    return lossless(hasNulls ? `CASE WHEN NOT ${blank} THEN ${raw} END` : raw, blank);
  // Text that passes a cheap test has no spaces around it, so a declared null text is found as it stands.
  const named = hasNulls ? `${raw} NOT IN (${options.nulls.map(quoteText).join(', ')}) AND ` : '';
  const common = commonSql(type, raw, options).map(([test, value]) => ` WHEN ${named}${test} THEN ${value}`);
  const rest = `list_transform([${trimmed(raw)}], lambda t: ${anySql(type, 't', options)})[1]`;
  const otherwise = hasNulls ? ` WHEN NOT ${blank} THEN ${rest}` : ` WHEN ${raw} IS NOT NULL THEN ${rest}`;
  return result(`CASE${common.join('')}${otherwise} END`, blank);
}

/**
 * A column that already has a type (Parquet), or a column of JSON values (`duckDbTypeName` is `JSON`). A native
 * value that its type cannot give without loss is refused, as `coerceJson` refuses it.
 */
export function coerceNativeSql(
  type: ValueType,
  rawSql: string,
  duckDbTypeName: string,
  options: CoerceOptions,
): CoerceSql {
  const name = duckDbTypeName.trim().toUpperCase();
  const raw = `(${rawSql})`;
  if (name === 'JSON') return coerceJsonSql(type, raw, options);
  if (name === 'VARCHAR' || name === 'UUID' || isEnum(name))
    return coerceSql(type, `${raw}::VARCHAR`, options);
  const value = nativeValueSql(type, raw, name, options);
  return (losesNothing(type, name) ? lossless : result)(value, `(${raw} IS NULL)`);
}

/** Whole numbers that fit into 64 bits with a sign. */
const SMALL_INTEGERS = /^(TINYINT|SMALLINT|INTEGER|BIGINT|UTINYINT|USMALLINT|UINTEGER)$/;

/** Whether the type has every value that a DuckDB column can hold. */
function losesNothing(type: ValueType, name: string): boolean {
  switch (type.kind) {
    case 'int64':
      return SMALL_INTEGERS.test(name);
    case 'boolean':
      return name === 'BOOLEAN';
    case 'decimal': {
      const given = decimalOf(name);
      return given !== undefined && given.scale <= type.scale && given.width - given.scale <= 18 - type.scale;
    }
    default:
      return false;
  }
}

/** Local times that are instants in every zone. */
const USUAL_TIMES = "TIMESTAMP '1685-01-01' AND TIMESTAMP '2254-12-31'";

/** Microseconds on the clock; nanoseconds are cut off towards the past, as digits of a text are. */
const localMicrosSql = (raw: string, name: string): string =>
  name === 'TIMESTAMP_NS'
    ? `((epoch_ns(${raw}) - (epoch_ns(${raw}) % 1000 + 1000) % 1000) // 1000)`
    : `epoch_us(TRY_CAST(${raw} AS TIMESTAMP))`;

function nativeValueSql(type: ValueType, raw: string, name: string, options: CoerceOptions): string {
  const never = `NULL::${duckDbType(type)}`;
  const isInteger = INTEGERS.test(name);
  const isDouble = name === 'DOUBLE' || name === 'FLOAT';
  const isDecimal = decimalOf(name) !== undefined;
  const text = `${raw}::VARCHAR`;
  switch (type.kind) {
    case 'int64':
      if (isInteger) return `TRY_CAST(${raw} AS BIGINT)`;
      if (isDouble) return integerOfDoubleSql(`${raw}::DOUBLE`);
      return isDecimal ? coerceSql(type, text, options).value : never;
    case 'float64':
      if (isDouble) return finiteSql(`${raw}::DOUBLE`);
      return isInteger || isDecimal ? `TRY_CAST(${text} AS DOUBLE)` : never;
    case 'decimal':
      if (isDouble)
        return decimalOfDoubleSql(name === 'FLOAT' ? `TRY_CAST(${text} AS DOUBLE)` : raw, type.scale);
      return isInteger || isDecimal ? decimalOfNumberSql(raw, name, type.scale) : never;
    case 'boolean':
      if (name === 'BOOLEAN') return raw;
      return isInteger ? `CASE ${raw} WHEN 1 THEN true WHEN 0 THEN false END` : never;
    case 'timestamp': {
      // An instant as it is: nothing to compute, only to see that it is in range.
      if (ZONED_TIMES.test(name))
        return `CASE WHEN ${raw} BETWEEN make_timestamptz(-${MAX_INSTANT}) AND make_timestamptz(${MAX_INSTANT}) THEN ${raw} END`;
      if (!LOCAL_TIMES.test(name) && name !== 'DATE') return never;
      const micros = resolveLocalSql(localMicrosSql(raw, name), options.timezone, options.ambiguousTime);
      const finite = `CASE WHEN isfinite(${raw}) THEN ${micros} END`;
      return (
        `CASE WHEN TRY_CAST(${raw} AS TIMESTAMP) BETWEEN ${USUAL_TIMES} THEN make_timestamptz(${micros})` +
        ` WHEN ${raw} IS NOT NULL THEN list_transform([${finite}], lambda m: ${instantSql('m')})[1] END`
      );
    }
    case 'date':
      return name === 'DATE' ? dateSql(raw) : never;
    case 'float64_vector':
      return typeOfDuckDb(name)?.kind === 'float64_vector'
        ? vectorSql(`TRY_CAST(${raw} AS DOUBLE[])`, type.dimension)
        : never;
    default:
      return never;
  }
}

function coerceJsonSql(type: ValueType, raw: string, options: CoerceOptions): CoerceSql {
  const kind = `json_type(${raw})`;
  const text = `(${raw} ->> '$')`;
  const asText = coerceSql(type, text, options);
  const isNull = `(${raw} IS NULL OR ${kind} = 'NULL')`;
  const blank = `(${isNull} OR (${kind} = 'VARCHAR' AND ${asText.blank}))`;
  const plainInteger = full(`${raw}::VARCHAR`, '-?[0-9]+');
  const double = `TRY_CAST(${raw}::VARCHAR AS DOUBLE)`;
  const number = ((): string | undefined => {
    switch (type.kind) {
      case 'int64':
        return `CASE WHEN ${plainInteger} THEN TRY_CAST(${raw}::VARCHAR AS BIGINT) ELSE ${integerOfDoubleSql(double)} END`;
      case 'float64':
        return finiteSql(double);
      case 'decimal':
        return `CASE WHEN ${plainInteger} THEN ${decimalSql(`${raw}::VARCHAR`, type.scale)} ELSE ${decimalOfDoubleSql(double, type.scale)} END`;
      case 'boolean':
        return `CASE ${double} WHEN 1 THEN true WHEN 0 THEN false END`;
      default:
        return undefined;
    }
  })();
  const other =
    type.kind === 'boolean'
      ? ` WHEN ${kind} = 'BOOLEAN' THEN ${text} = 'true'`
      : type.kind === 'float64_vector'
        ? ` WHEN ${kind} = 'ARRAY' AND len(json_extract(${raw}, '$[*]')) = len(list_filter(json_extract(${raw}, '$[*]'),` +
          ` lambda e: json_type(e) IN ('BIGINT', 'UBIGINT', 'DOUBLE', 'HUGEINT'))) THEN ${vectorSql(`TRY_CAST(${raw} AS DOUBLE[])`, type.dimension)}`
        : '';
  const numeric =
    number === undefined ? '' : ` WHEN ${kind} IN ('BIGINT', 'UBIGINT', 'DOUBLE', 'HUGEINT') THEN ${number}`;
  return result(`CASE WHEN ${kind} = 'VARCHAR' THEN ${asText.value}${numeric}${other} END`, blank);
}
