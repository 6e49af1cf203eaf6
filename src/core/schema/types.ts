/**
 * Value types and how JavaScript holds them.
 *
 * | type | JavaScript | DuckDB |
 * |---|---|---|
 * | int64 | number when safe, else bigint | BIGINT |
 * | float64 | number, finite, never -0 | DOUBLE |
 * | decimal(s) | the unscaled integer, as int64 | DECIMAL(38,s) in SQL expressions, DECIMAL(18,s) in the lake |
 * | string | string | VARCHAR |
 * | boolean | boolean | BOOLEAN |
 * | timestamp | microseconds since the epoch | TIMESTAMPTZ (UTC) |
 * | date | days since the epoch | DATE |
 * | float64_vector(n) | readonly number[] of length n | DOUBLE[] |
 * | list(of), map(of) | array, plain Map | LIST, MAP(VARCHAR, of): results only, not source fields |
 *
 * Null is null in every type.
 */
export type ValueType =
  | { readonly kind: 'int64' }
  | { readonly kind: 'float64' }
  | { readonly kind: 'decimal'; readonly scale: number }
  | { readonly kind: 'string' }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'timestamp' }
  | { readonly kind: 'date' }
  | { readonly kind: 'float64_vector'; readonly dimension?: number }
  | { readonly kind: 'list'; readonly of: ValueType }
  | { readonly kind: 'map'; readonly of: ValueType };

export type Integer = number | bigint;
export type Scalar = null | number | bigint | string | boolean;
/** A value as JavaScript holds it: see `ValueType`. Null is null in every type. */
export type Value = Scalar | readonly number[] | readonly Value[] | ReadonlyMap<string, Value>;

export const INT64: ValueType = { kind: 'int64' };
export const FLOAT64: ValueType = { kind: 'float64' };
export const STRING: ValueType = { kind: 'string' };
export const BOOLEAN: ValueType = { kind: 'boolean' };
export const TIMESTAMP: ValueType = { kind: 'timestamp' };
export const DATE: ValueType = { kind: 'date' };
export const decimal = (scale: number): ValueType => ({ kind: 'decimal', scale });

const ALIASES: Readonly<Record<string, ValueType>> = {
  int64: INT64,
  int: INT64,
  integer: INT64,
  int32: INT64,
  long: INT64,
  bigint: INT64,
  float64: FLOAT64,
  float: FLOAT64,
  double: FLOAT64,
  float32: FLOAT64,
  number: FLOAT64,
  string: STRING,
  text: STRING,
  varchar: STRING,
  boolean: BOOLEAN,
  bool: BOOLEAN,
  timestamp: TIMESTAMP,
  datetime: TIMESTAMP,
  timestamptz: TIMESTAMP,
  date: DATE,
  float64_vector: { kind: 'float64_vector' },
};

export const TYPE_NAMES = [
  'int64',
  'float64',
  'decimal(2)',
  'string',
  'boolean',
  'timestamp',
  'date',
  'float64_vector(n)',
];

/** `int64`, `decimal(2)`, `float64_vector(128)`, `list(string)`, and the usual aliases; undefined when unknown. */
export function parseType(text: string): ValueType | undefined {
  const match = /^\s*([a-z0-9_]+)\s*(?:\(\s*(.+?)\s*\))?\s*$/i.exec(text);
  if (!match) return undefined;
  const name = match[1]!.toLowerCase();
  const argument = match[2];
  if (name === 'decimal' || name === 'numeric') {
    const parts = (argument ?? '').split(',').map((part) => part.trim());
    const scale = Number(parts.length === 2 ? parts[1] : parts[0]);
    return argument && Number.isInteger(scale) && scale >= 0 && scale <= 15 ? decimal(scale) : undefined;
  }
  if (name === 'float64_vector' || name === 'vector') {
    if (argument === undefined) return { kind: 'float64_vector' };
    const dimension = Number(argument);
    return Number.isInteger(dimension) && dimension > 0 ? { kind: 'float64_vector', dimension } : undefined;
  }
  if (name === 'list' || name === 'map') {
    const of = argument === undefined ? undefined : parseType(argument);
    return of && { kind: name, of };
  }
  return argument === undefined ? ALIASES[name] : undefined;
}

export function printType(type: ValueType): string {
  switch (type.kind) {
    case 'decimal':
      return `decimal(${type.scale})`;
    case 'float64_vector':
      return type.dimension === undefined ? 'float64_vector' : `float64_vector(${type.dimension})`;
    case 'list':
    case 'map':
      return `${type.kind}(${printType(type.of)})`;
    default:
      return type.kind;
  }
}

export const sameType = (a: ValueType, b: ValueType): boolean => printType(a) === printType(b);
export const isNumeric = (type: ValueType): boolean =>
  type.kind === 'int64' || type.kind === 'float64' || type.kind === 'decimal';
