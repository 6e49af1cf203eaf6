import { invariant, MillraceError } from '../base/error.js';
import { printDate, printInstant } from '../base/time.js';
import { INT64, type Integer, STRING } from '../schema/types.js';
import { printDecimal, printFloat } from './ast.js';
import type { Bind, Dialect } from './dialect.js';
import { type DialectName, dialectOf } from './dialects/index.js';
import { DATE_PATTERN, DECIMAL_PATTERN, FLOAT_PATTERN, INT_PATTERN, TIMESTAMP_PATTERN } from './runtime.js';
import { type Expression, JAVASCRIPT_ONLY, type Op, type Typed } from './typed.js';

export interface PrintOptions {
  readonly dialect: DialectName | Dialect;
  /** SQL of a slot's column; a complete operand, such as `"s"."amount"`. */
  readonly column: (slot: string) => string;
}

type Operation = Typed & { readonly node: 'operation' };
type Print = (args: readonly string[], node: Operation, printer: Printer) => string;

const SHORT = 120;
const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

const infix =
  (operator: string): Print =>
  ([a, b]) =>
    `(${a} ${operator} ${b})`;
const wideInts =
  (operator: string): Print =>
  ([a, b], _, { d, bind }) =>
    d.fitInt(`${d.wideInt(a!)} ${operator} ${d.wideInt(b!)}`, bind);
const decimals =
  (operator: string): Print =>
  ([a, b], { parameters: { scale } }, { d, bind }) =>
    d.fitDecimal(`${d.wide(a!, scale!)} ${operator} ${d.wide(b!, scale!)}`, scale!, bind);
const wholeOf =
  (how: 'floor' | 'ceil' | 'trunc' | 'round'): Print =>
  ([a], { parameters: { from } }, { d, bind }) =>
    d.fitInt(d.whole(how, d.wide(a!, from!), bind), bind);
const wholeFloat =
  (how: 'floor' | 'ceil' | 'trunc'): Print =>
  ([a], _, { d, bind }) =>
    `(${d.wholeFloat(how, a!, bind)} + 0.0)`;
const instant = (micros: string, { d, bind }: Printer): string => {
  // 2^53 * 1024 is the end of int64, so fitting finds what is no safe integer, all but -2^53
  const shifted = d.fitInt(`${d.wideInt(micros)} * 1024`, bind);
  return d.time.fromMicros(`nullif(${d.divide(shifted, '1024')}, -9007199254740992)`);
};
const named =
  (name: string): Print =>
  (args) =>
    `${name}(${args.join(', ')})`;

const PRINT: Partial<Record<Op, Print>> = {
  neg_int: ([a], _, { d, bind }) => d.fitInt(`-${d.wideInt(a!)}`, bind),
  abs_int: ([a], _, { d, bind }) => d.fitInt(`abs(${d.wideInt(a!)})`, bind),
  add_int: wideInts('+'),
  sub_int: wideInts('-'),
  mul_int: wideInts('*'),
  idiv_int: ([a, b], _, { d, bind }) => d.fitInt(d.divideWide(d.wideInt(a!), d.wideInt(b!), bind), bind),
  mod_int: ([a, b], _, { d, bind }) => d.fitInt(d.moduloWide(d.wideInt(a!), d.wideInt(b!)), bind),
  sign: ([a], _, { d, bind }) =>
    bind(
      a!,
      (v) =>
        `CAST(CASE WHEN ${v} > 0 THEN 1 WHEN ${v} < 0 THEN -1 WHEN ${v} = 0 THEN 0 END AS ${d.typeName(INT64)})`,
    ),
  neg_decimal: ([a], { parameters: { scale } }, { d, bind }) =>
    d.fitDecimal(`-${d.wide(a!, scale!)}`, scale!, bind),
  abs_decimal: ([a], { parameters: { scale } }, { d, bind }) =>
    d.fitDecimal(`abs(${d.wide(a!, scale!)})`, scale!, bind),
  add_decimal: decimals('+'),
  sub_decimal: decimals('-'),
  mod_decimal: ([a, b], { parameters: { scale } }, { d, bind }) =>
    d.fitDecimal(d.moduloWide(d.wide(a!, scale!), d.wide(b!, scale!)), scale!, bind),
  mul_decimal: ([a, b], { parameters: { scale, from } }, { d, bind }) =>
    d.fitDecimal(`${d.factor(a!, from!)} * ${d.factor(b!, scale! - from!)}`, scale!, bind),
  floor_float: wholeFloat('floor'),
  ceil_float: wholeFloat('ceil'),
  trunc_float: wholeFloat('trunc'),
  round_float: ([a], _, { d, bind }) => `(${d.roundFloat(a!, bind)} + 0.0)`,
  // where the product is not finite, x itself
  round_float_to: ([a], { parameters: { scale } }, p) => {
    if (p.d.roundFloatTo) return `(${p.d.roundFloatTo(a!, scale!)} + 0.0)`;
    const factor = p.d.float(printFloat(10 ** scale!));
    return p.bind(a!, (v) => {
      const rounded = p.d.roundFloat(p.finite(p.times(v, factor)), p.bind);
      return `(coalesce(${p.finite(`(${rounded}) / ${factor}`)}, ${v}) + 0.0)`;
    });
  },
  floor_decimal: wholeOf('floor'),
  ceil_decimal: wholeOf('ceil'),
  trunc_decimal: wholeOf('trunc'),
  round_decimal: wholeOf('round'),
  rescale: ([a], { parameters }, { d, bind }) => {
    const { from, scale } = parameters as { from: number; scale: number };
    const moved = scale >= from ? d.wide(a!, scale) : `round(${d.wide(a!, from)}, ${scale})`;
    return d.fitDecimal(moved, scale, bind);
  },
  rescale_wide: ([a], { parameters: { scale } }, { d }) => d.wide(a!, scale!),
  int_to_float: ([a], _, { d }) => d.float(a!),
  unscaled: ([a], { parameters: { from } }, p) => p.d.float(p.unscaled(a!, from!)),
  decimal_to_float: ([a], { parameters: { from } }, p) =>
    `(${p.d.float(p.unscaled(a!, from!))} / ${printFloat(10 ** from!)})`,
  float_to_int: ([a], _, { d, bind }) => d.floatToInt(d.roundFloat(a!, bind), bind),
  float_to_decimal: ([a], { parameters: { scale } }, p) => {
    const { d, bind } = p;
    const unscaled = d.floatToInt(d.roundFloat(p.times(a!, d.float(printFloat(10 ** scale!))), bind), bind);
    return d.fitDecimal(
      scale === 0
        ? d.wideInt(unscaled)
        : `${d.wideInt(unscaled)} * CAST('${printDecimal(1, scale!)}' AS DECIMAL(${scale! + 1}, ${scale}))`,
      scale!,
      bind,
    );
  },
  boolean_to_int: ([a], _, { d }) => d.booleanToInt(a!),
  int_to_string: ([a], _, p) => p.asText(a!),
  boolean_to_string: ([a], _, p) => p.asText(a!),
  decimal_to_string: ([a], { parameters: { from } }, { d, bind }) => d.decimalText(a!, from!, bind),
  date_to_string: ([a], _, { d }) => d.textLeaf(d.time.dateText(a!)),
  timestamp_to_string: ([a], _, { d }) => d.textLeaf(d.time.isoText(d.time.utc(a!))),
  string_to_int: ([a], _, { d, bind }) => d.textToInt(a!, INT_PATTERN, bind),
  string_to_float: ([a], _, p) => p.finite(p.d.textToFloat(a!, FLOAT_PATTERN, p.bind)),
  string_to_decimal: ([a], { parameters: { scale } }, { d, bind }) =>
    d.textToDecimal(a!, DECIMAL_PATTERN, scale!, bind),
  string_to_boolean: ([a], _, { d }) =>
    `CASE ${d.text.translate(a!, UPPER, UPPER.toLowerCase())} WHEN 'true' THEN true WHEN 'false' THEN false END`,
  string_to_date: ([a], _, { d, bind }) => d.textToDate(a!, DATE_PATTERN, bind),
  string_to_timestamp: ([a], _, p) => instant(p.d.textToMicros(a!, TIMESTAMP_PATTERN, p.bind), p),
  date_to_timestamp: ([a], _, p) =>
    instant(`${p.d.wideInt(p.d.time.subtractDates(a!, "DATE '1970-01-01'"))} * 86400000000`, p),
  timestamp_to_date: ([a], { type }, { d }) => `CAST(${d.time.utc(a!)} AS ${d.typeName(type)})`,
  sqrt: ([a], _, p) => p.bind(a!, (v) => `CASE WHEN ${v} >= 0 THEN sqrt(${v}) END`),
  eq: infix('='),
  ne: infix('<>'),
  lt: infix('<'),
  le: infix('<='),
  gt: infix('>'),
  ge: infix('>='),
  distinct: infix('IS DISTINCT FROM'),
  not_distinct: infix('IS NOT DISTINCT FROM'),
  between: ([a, low, high]) => `(${a} BETWEEN ${low} AND ${high})`,
  in: ([a, ...items]) => `(${a} IN (${items.join(', ')}))`,
  and: infix('AND'),
  or: infix('OR'),
  not: ([a]) => `(NOT ${a})`,
  is_null: ([a]) => `(${a} IS NULL)`,
  is_not_null: ([a]) => `(${a} IS NOT NULL)`,
  case: (args) => {
    const parts: string[] = [];
    let at = 0;
    for (; at + 1 < args.length; at += 2) parts.push(`WHEN ${args[at]} THEN ${args[at + 1]}`);
    if (at < args.length) parts.push(`ELSE ${args[at]}`);
    return `CASE ${parts.join(' ')} END`;
  },
  coalesce: named('coalesce'),
  greatest: named('greatest'),
  least: named('least'),
  nullif: ([value, left, right]) => `CASE WHEN ${left} = ${right} THEN NULL ELSE ${value} END`,
  like: ([a], { parameters }, { d }) => d.text.like(a!, parameters.pattern!, parameters.escape),
  join_text: infix('||'),
  concat: (args, _, { d }) => d.text.concat(args),
  lower: ([a], _, { d }) => d.text.translate(a!, UPPER, UPPER.toLowerCase()),
  upper: ([a], _, { d }) => d.text.translate(a!, UPPER.toLowerCase(), UPPER),
  length: ([a], _, { d }) => d.text.length(a!),
  replace: ([a, from, to], _, { d }) => d.text.replace(a!, from!, to!),
  trim: ([a], _, { d }) => d.text.trim('both', a!),
  ltrim: ([a], _, { d }) => d.text.trim('left', a!),
  rtrim: ([a], _, { d }) => d.text.trim('right', a!),
  substr: ([text, start, count], _, { d, bind }) => {
    const int = (v: string): string => `CAST(${v} AS ${d.typeName(INT64)})`;
    const clamp = (v: string, low: number): string =>
      `CASE WHEN ${v} < ${low} THEN ${low} WHEN ${v} > 1000000000 THEN 1000000000 ELSE ${v} END`;
    if (count === undefined)
      return d.text.substring(
        text!,
        bind(start!, (s) => clamp(s, 1)),
      );
    return bind(
      bind(start!, (s) => int(clamp(s, -1_000_000_000))),
      (s) => {
        const taken = `${bind(count, (c) => int(clamp(c, 0)))} + CASE WHEN ${s} < 1 THEN ${s} - 1 ELSE 0 END`;
        return d.text.substring(
          text!,
          clamp(s, 1),
          bind(`(${taken})`, (t) => `CASE WHEN ${t} < 0 THEN 0 ELSE ${t} END`),
        );
      },
    );
  },
  starts_with: ([a, b], _, { d }) => d.text.startsWith(a!, b!),
  ends_with: ([a, b], _, { d }) => d.text.endsWith(a!, b!),
  contains: ([a, b], _, { d }) => d.text.contains(a!, b!),
  strpos: ([a, b], _, { d }) => d.text.position(a!, b!),
  part: ([a], { parameters: { unit, zone } }, { d: { time } }) =>
    time.part(unit!, zone === undefined ? time.utc(a!) : time.local(a!, zone)),
  epoch: ([a], _, { d }) => `(${d.float(d.time.micros(a!))} / 1e6)`,
  date_trunc: ([a], { parameters: { unit } }, p) =>
    instant(p.d.time.localMicros(p.d.time.truncate(unit!, p.d.time.utc(a!))), p),
  date_diff: ([a, b], { parameters: { unit } }, p) => {
    const count = (v: string): string => p.unitIndex(unit!, v);
    return `(${p.bind(b!, count)} - ${p.bind(a!, count)})`;
  },
  add_duration: ([a], { parameters: { micros } }, p) => instant(`(${p.d.time.micros(a!)} + (${micros}))`, p),
  sub_timestamp: ([a, b], _, { d }) => `(${d.float(`${d.time.micros(a!)} - ${d.time.micros(b!)}`)} / 1e6)`,
  sub_date: ([a, b], _, { d }) => d.time.subtractDates(a!, b!),
};

interface FloatOperation {
  readonly print: (args: readonly string[], printer: Printer) => string;
  /** Arguments that may be NaN or infinite without a change of the result's being finite. */
  readonly through: readonly boolean[];
}

/**
 * Where the engine carries NaN and infinities on, the check for them is made once, where a chain of these ends.
 * Elsewhere each one is checked.
 */
const FLOATS: Partial<Record<Op, FloatOperation>> = {
  add_float: {
    print: ([a, b], { d, bind }) => d.checked?.add(a!, b!, bind) ?? `(${a} + ${b})`,
    through: [true, true],
  },
  sub_float: {
    print: ([a, b], { d, bind }) => d.checked?.sub(a!, b!, bind) ?? `(${a} - ${b})`,
    through: [true, true],
  },
  mul_float: { print: ([a, b], p) => p.times(a!, b!), through: [true, true] },
  div_float: {
    print: ([a, b], { d, bind }) => d.checked?.div(a!, b!, bind) ?? d.divideFloat(a!, b!),
    through: [true, false],
  },
  mod_float: { print: ([a, b], { d }) => d.moduloFloat(a!, b!), through: [true, false] },
  neg_float: { print: ([a]) => `(-${a})`, through: [true] },
  abs_float: { print: ([a]) => `abs(${a})`, through: [true] },
};

class Printer {
  readonly d: Dialect;
  private readonly column: (slot: string) => string;
  private names = 0;

  constructor(options: PrintOptions) {
    this.d = dialectOf(options.dialect);
    this.column = options.column;
  }

  readonly bind: Bind = (value, body) => {
    if (value.length <= SHORT && !value.includes(this.d.letMark)) return body(value);
    const name = `_v${++this.names}`;
    return this.d.let(value, name, body(name));
  };

  finite(value: string): string {
    if (this.d.checked) return `(${value} + 0.0)`;
    return this.bind(value, (v) => `CASE WHEN ${this.d.isFinite(v)} THEN ${v} + 0.0 END`);
  }

  times(a: string, b: string): string {
    return `(${this.d.checked?.mul(a, b, this.bind) ?? `${a} * ${b}`})`;
  }

  unscaled(value: string, scale: number): string {
    const { d } = this;
    return `CAST(${d.factor(value, scale)} * CAST(${10 ** scale} AS DECIMAL(${scale + 1}, 0)) AS ${d.typeName(INT64)})`;
  }

  asText(value: string): string {
    return this.d.textLeaf(`CAST(${value} AS ${this.d.typeName(STRING)})`);
  }

  unitIndex(unit: string, timestamp: string): string {
    const { d } = this;
    const micros = d.time.micros(timestamp);
    const utc = d.time.utc(timestamp);
    const year = d.time.part('year', utc);
    const floor = (size: number): string =>
      `CAST(${d.divide(`(${micros} - ((${micros} % ${size}) + ${size}) % ${size})`, String(size))} AS ${d.typeName(INT64)})`;
    switch (unit) {
      case 'second':
        return floor(1e6);
      case 'minute':
        return floor(6e7);
      case 'hour':
        return floor(3.6e9);
      case 'day':
        return floor(8.64e10);
      case 'week':
        return d.divide(
          `(${d.time.localMicros(d.time.truncate('week', utc))} + 259200000000)`,
          '604800000000',
        );
      case 'month':
        return `(${year} * 12 + ${d.time.part('month', utc)})`;
      case 'quarter':
        return `(${year} * 4 + ${d.time.part('quarter', utc)})`;
      default:
        return year;
    }
  }

  print(node: Typed): string {
    if (node.node !== 'operation') return this.leaf(node);
    const why = refusal(node.op, this.d);
    if (why !== undefined) {
      throw new MillraceError('DEF_EXPRESSION', `${node.op} is not expressible in SQL: ${why}`, {
        hint: 'Use it in an on-demand feature, which is computed in JavaScript.',
        data: { function: node.op, dialect: this.d.name },
      });
    }
    if (FLOATS[node.op]) return this.finite(this.float(node));
    const print = PRINT[node.op];
    invariant(print !== undefined, `no SQL for ${node.op}`);
    const text = print(
      node.args.map((arg) => this.print(arg)),
      node,
      this,
    );
    return text.startsWith('CASE') ? `(${text})` : text;
  }

  private float(node: Operation): string {
    const { print, through } = FLOATS[node.op]!;
    const chains = this.d.checked === undefined;
    const args = node.args.map((arg, i) =>
      chains && through[i] && arg.node === 'operation' && FLOATS[arg.op] ? this.float(arg) : this.print(arg),
    );
    const text = print(args, this);
    return text.startsWith('CASE') ? `(${text})` : text;
  }

  private leaf(node: Exclude<Typed, Operation>): string {
    const { d } = this;
    const isText = node.type.kind === 'string';
    if (node.node === 'column') return isText ? d.textLeaf(this.column(node.slot)) : this.column(node.slot);
    const { type, value } = node;
    const name = d.typeName(type);
    if (value === null) return isText ? d.textLeaf(`CAST(NULL AS ${name})`) : `CAST(NULL AS ${name})`;
    switch (type.kind) {
      case 'int64':
        return `CAST(${value} AS ${name})`;
      case 'float64':
        return d.float(printFloat(value as number));
      case 'decimal':
        return d.wide(printDecimal(value as Integer, type.scale), type.scale);
      case 'boolean':
        return String(value);
      case 'timestamp':
        return `${name} ${d.quote(printInstant(value as number))}`;
      case 'date':
        return `${name} ${d.quote(printDate(value as number))}`;
      default:
        return d.textLeaf(d.quote(value as string));
    }
  }
}

/** Why an engine cannot compute an operation with the same bits; undefined where it can. */
const refusal = (op: Op, dialect: Dialect): string | undefined =>
  JAVASCRIPT_ONLY.has(op) ? 'engines do not agree on its last bit' : dialect.refuses.get(op);

/**
 * SQL of one scalar expression. It does not depend on the session's time zone (Spark's has to be UTC), and it raises
 * no error on any row. Throws DEF_EXPRESSION when `isSqlExpressible` is false.
 */
export function printSql(expression: Expression, options: PrintOptions): string {
  return new Printer(options).print(expression.ast);
}

/** Whether the engine can compute the expression with the same bits; otherwise it runs in JavaScript only. */
export function isSqlExpressible(expression: Expression, dialect: DialectName | Dialect = 'duckdb'): boolean {
  const d = dialectOf(dialect);
  const expressible = (node: Typed): boolean =>
    node.node !== 'operation' || (refusal(node.op, d) === undefined && node.args.every(expressible));
  return expressible(expression.ast);
}
