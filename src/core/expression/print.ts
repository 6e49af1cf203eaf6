import { invariant, MillraceError } from '../base/error.js';
import { printDate, printInstant } from '../base/time.js';
import type { Integer } from '../schema/types.js';
import { printDecimal, printFloat } from './ast.js';
import { type Dialect, type DialectName, dialectOf } from './dialect.js';
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
const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;

const infix =
  (operator: string): Print =>
  ([a, b]) =>
    `(${a} ${operator} ${b})`;
/** In 128 bits, then null where the result does not fit in 64. */
const int128 =
  (operator: string): Print =>
  ([a, b], _, { d }) =>
    d.tryCast(`CAST(${a} AS ${d.int128}) ${operator} CAST(${b} AS ${d.int128})`, d.int64);
const decimals =
  (operator: string): Print =>
  (args, { parameters: { scale } }, { d }) =>
    d.tryCast(
      args.map((arg) => `CAST(${arg} AS ${d.decimal(38, scale!)})`).join(` ${operator} `),
      d.decimal(18, scale!),
    );
const wholeOf =
  (name: string): Print =>
  ([a], { parameters }, { d }) =>
    d.tryCast(`${name}(CAST(${a} AS ${d.decimal(38, parameters.from!)}))`, d.int64);
const instant = (micros: string, d: Dialect): string => {
  // 2^53 * 1024 is the end of int64, so a cast finds what is no safe integer, all but -2^53
  const shifted = d.tryCast(`CAST(${micros} AS ${d.int128}) * 1024`, d.int64);
  return d.time.fromMicros(`nullif(${d.integerDivide(shifted, '1024')}, -9007199254740992)`);
};
const named =
  (name: string): Print =>
  (args) =>
    `${name}(${args.join(', ')})`;

const PRINT: Partial<Record<Op, Print>> = {
  neg_int: ([a], _, { d }) => d.tryCast(`-CAST(${a} AS ${d.int128})`, d.int64),
  abs_int: ([a], _, { d }) => d.tryCast(`abs(CAST(${a} AS ${d.int128}))`, d.int64),
  add_int: int128('+'),
  sub_int: int128('-'),
  mul_int: int128('*'),
  idiv_int: int128('//'),
  mod_int: int128('%'),
  sign: ([a], _, p) =>
    p.bind(
      a!,
      (v) => `CAST(CASE WHEN ${v} > 0 THEN 1 WHEN ${v} < 0 THEN -1 WHEN ${v} = 0 THEN 0 END AS ${p.d.int64})`,
    ),
  neg_decimal: ([a], { parameters: { scale } }, { d }) =>
    d.tryCast(`-CAST(${a} AS ${d.decimal(38, scale!)})`, d.decimal(18, scale!)),
  abs_decimal: ([a], { parameters: { scale } }, { d }) =>
    d.tryCast(`abs(CAST(${a} AS ${d.decimal(38, scale!)}))`, d.decimal(18, scale!)),
  add_decimal: decimals('+'),
  sub_decimal: decimals('-'),
  mod_decimal: decimals('%'),
  mul_decimal: ([a, b], { parameters: { scale, from } }, { d }) =>
    d.tryCast(
      `CAST(${a} AS ${d.decimal(38, from!)}) * CAST(${b} AS ${d.decimal(38, scale! - from!)})`,
      d.decimal(18, scale!),
    ),
  floor_float: ([a]) => `(floor(${a}) + 0.0)`,
  ceil_float: ([a]) => `(ceil(${a}) + 0.0)`,
  trunc_float: ([a], _, { d }) => `(${d.truncate(a!)} + 0.0)`,
  round_float: ([a]) => `(round(${a}) + 0.0)`,
  round_float_to: ([a], { parameters: { scale } }) => `(round(${a}, ${scale}) + 0.0)`,
  floor_decimal: wholeOf('floor'),
  ceil_decimal: wholeOf('ceil'),
  trunc_decimal: wholeOf('trunc'),
  round_decimal: wholeOf('round'),
  rescale: ([a], { parameters }, { d }) => {
    const { from, scale } = parameters as { from: number; scale: number };
    const moved =
      scale >= from
        ? `CAST(${a} AS ${d.decimal(38, scale)})`
        : `round(CAST(${a} AS ${d.decimal(38, from)}), ${scale})`;
    return d.tryCast(moved, d.decimal(18, scale));
  },
  rescale_wide: ([a], { parameters: { scale } }, { d }) => `CAST(${a} AS ${d.decimal(38, scale!)})`,
  int_to_float: ([a], _, { d }) => d.float(a!),
  unscaled: ([a], { parameters: { from } }, p) => p.d.float(p.unscaled(a!, from!)),
  decimal_to_float: ([a], { parameters: { from } }, p) =>
    `(${p.d.float(p.unscaled(a!, from!))} / ${printFloat(10 ** from!)})`,
  float_to_int: ([a], _, { d }) => d.tryCast(`round(${a})`, d.int64),
  float_to_decimal: ([a], { parameters: { scale } }, { d }) => {
    const unscaled = `CAST(${d.tryCast(`round(${a} * ${printFloat(10 ** scale!)})`, d.int64)} AS ${d.decimal(38, 0)})`;
    return d.tryCast(
      scale === 0
        ? unscaled
        : `${unscaled} * CAST('${printDecimal(1, scale!)}' AS ${d.decimal(scale! + 1, scale!)})`,
      d.decimal(18, scale!),
    );
  },
  boolean_to_int: ([a], _, { d }) => `CAST(${a} AS ${d.int64})`,
  int_to_string: ([a], _, p) => p.asText(a!),
  boolean_to_string: ([a], _, p) => p.asText(a!),
  decimal_to_string: ([a], { parameters: { from } }, p) =>
    p.asText(`CAST(${a} AS ${p.d.decimal(38, from!)})`),
  date_to_string: ([a], _, { d }) => d.time.dateText(a!),
  timestamp_to_string: ([a], _, { d }) => d.time.isoText(d.time.utc(a!)),
  string_to_int: ([a], _, { d }) => d.tryCast(d.extract(a!, INT_PATTERN), d.int64),
  string_to_float: ([a], _, p) => p.finite(p.d.tryCast(p.d.extract(a!, FLOAT_PATTERN), p.d.float64)),
  string_to_decimal: ([a], { parameters: { scale } }, { d }) =>
    d.tryCast(d.extract(a!, DECIMAL_PATTERN), d.decimal(18, scale!)),
  string_to_boolean: ([a], _, { d }) =>
    `CASE ${d.text.translate(a!, UPPER, UPPER.toLowerCase())} WHEN 'true' THEN true WHEN 'false' THEN false END`,
  string_to_date: ([a], { type }, { d }) => d.tryCast(d.extract(a!, DATE_PATTERN), d.typeName(type)),
  string_to_timestamp: ([a], _, p) =>
    p.bind(p.d.extract(a!, TIMESTAMP_PATTERN), (v) => instant(p.d.time.micros(p.d.time.parse(v)), p.d)),
  date_to_timestamp: ([a], _, { d }) => instant(`CAST(${d.time.daysOf(a!)} AS ${d.int128}) * 86400000000`, d),
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
  concat: named('concat'),
  lower: ([a], _, { d }) => d.text.translate(a!, UPPER, UPPER.toLowerCase()),
  upper: ([a], _, { d }) => d.text.translate(a!, UPPER.toLowerCase(), UPPER),
  length: named('length'),
  replace: named('replace'),
  trim: ([a], _, { d }) => d.text.trim('both', a!),
  ltrim: ([a], _, { d }) => d.text.trim('left', a!),
  rtrim: ([a], _, { d }) => d.text.trim('right', a!),
  substr: ([text, start, count], _, p) => {
    const clamp = (v: string, low: number): string =>
      `CASE WHEN ${v} < ${low} THEN ${low} WHEN ${v} > 1000000000 THEN 1000000000 ELSE ${v} END`;
    if (count === undefined) return `substring(${text}, ${p.bind(start!, (s) => clamp(s, 1))})`;
    return p.bind(
      p.bind(start!, (s) => `CAST(${clamp(s, -1_000_000_000)} AS ${p.d.int64})`),
      (s) => {
        const taken = `${p.bind(count, (c) => `CAST(${clamp(c, 0)} AS ${p.d.int64})`)} + CASE WHEN ${s} < 1 THEN ${s} - 1 ELSE 0 END`;
        return `substring(${text}, ${clamp(s, 1)}, ${p.bind(`(${taken})`, (t) => `CASE WHEN ${t} < 0 THEN 0 ELSE ${t} END`)})`;
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
  date_trunc: ([a], { parameters: { unit } }, { d }) =>
    instant(d.time.localMicros(d.time.truncate(unit!, d.time.utc(a!))), d),
  date_diff: ([a, b], { parameters: { unit } }, p) => {
    const count = (v: string): string => p.unitIndex(unit!, v);
    return `(${p.bind(b!, count)} - ${p.bind(a!, count)})`;
  },
  add_duration: ([a], { parameters: { micros } }, { d }) =>
    instant(`(${d.time.micros(a!)} + (${micros}))`, d),
  sub_timestamp: ([a, b], _, { d }) => `(${d.float(`${d.time.micros(a!)} - ${d.time.micros(b!)}`)} / 1e6)`,
  sub_date: infix('-'),
};

/** Float operations that carry NaN and infinities on; the check for them is made once, where the chain ends. */
const CHAIN: Partial<Record<Op, { readonly print: Print; readonly through: readonly boolean[] }>> = {
  add_float: { print: infix('+'), through: [true, true] },
  sub_float: { print: infix('-'), through: [true, true] },
  mul_float: { print: infix('*'), through: [true, true] },
  div_float: { print: infix('/'), through: [true, false] },
  mod_float: { print: ([a, b], _, { d }) => d.modulo(a!, b!), through: [true, false] },
  neg_float: { print: ([a]) => `(-${a})`, through: [true] },
  abs_float: { print: named('abs'), through: [true] },
};

class Printer {
  readonly d: Dialect;
  private readonly column: (slot: string) => string;
  private names = 0;

  constructor(options: PrintOptions) {
    this.d = dialectOf(options.dialect);
    this.column = options.column;
  }

  /** `body` over the value: written out again where it is short, else bound to a name. */
  bind(value: string, body: (name: string) => string): string {
    if (value.length <= SHORT && !value.includes('lambda')) return body(value);
    const name = `v${++this.names}`;
    return this.d.bind(value, name, body(name));
  }

  finite(value: string): string {
    return this.bind(value, (v) => `CASE WHEN ${this.d.isFinite(v)} THEN ${v} + 0.0 END`);
  }

  unscaled(value: string, scale: number): string {
    const { d } = this;
    return `CAST(CAST(${value} AS ${d.decimal(38, scale)}) * CAST(${10 ** scale} AS ${d.decimal(scale + 1, 0)}) AS ${d.int64})`;
  }

  asText(value: string): string {
    return `CAST(${value} AS ${this.d.typeName({ kind: 'string' })})`;
  }

  unitIndex(unit: string, timestamp: string): string {
    const { d } = this;
    const micros = d.time.micros(timestamp);
    const utc = d.time.utc(timestamp);
    const year = d.time.part('year', utc);
    const floor = (size: number): string =>
      `CAST(floor_div AS ${d.int64})`.replace(
        'floor_div',
        `(${micros} - ((${micros} % ${size}) + ${size}) % ${size}) // ${size}`,
      );
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
        return `((${d.time.localMicros(d.time.truncate('week', utc))} + 259200000000) // 604800000000)`;
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
    if (CHAIN[node.op]) return this.finite(this.chain(node));
    const print = PRINT[node.op];
    if (JAVASCRIPT_ONLY.has(node.op)) {
      throw new MillraceError(
        'DEF_EXPRESSION',
        `${node.op} is not expressible in SQL: engines do not agree on its last bit`,
        {
          hint: 'Use it in an on-demand feature, which is computed in JavaScript.',
          data: { function: node.op },
        },
      );
    }
    invariant(print !== undefined, `no SQL for ${node.op}`);
    const text = print(
      node.args.map((arg) => this.print(arg)),
      node,
      this,
    );
    return text.startsWith('CASE') ? `(${text})` : text;
  }

  private chain(node: Operation): string {
    const { print, through } = CHAIN[node.op]!;
    const args = node.args.map((arg, i) =>
      through[i] && arg.node === 'operation' && CHAIN[arg.op] ? this.chain(arg) : this.print(arg),
    );
    return print(args, node, this);
  }

  private leaf(node: Exclude<Typed, Operation>): string {
    const { d } = this;
    if (node.node === 'column') return this.column(node.slot);
    const { type, value } = node;
    if (value === null) return `CAST(NULL AS ${d.typeName(type)})`;
    switch (type.kind) {
      case 'int64':
        return `CAST(${value} AS ${d.int64})`;
      case 'float64':
        return `CAST(${printFloat(value as number)} AS ${d.float64})`;
      case 'decimal':
        return `CAST(${printDecimal(value as Integer, type.scale)} AS ${d.decimal(38, type.scale)})`;
      case 'boolean':
        return String(value);
      case 'timestamp':
        return `${d.typeName(type)} ${quote(printInstant(value as number))}`;
      case 'date':
        return `${d.typeName(type)} ${quote(printDate(value as number))}`;
      default:
        return quote(value as string);
    }
  }
}

/**
 * SQL of one scalar expression. It does not depend on the session's time zone, and it raises no error on any row.
 * Throws DEF_EXPRESSION when `isSqlExpressible` is false.
 */
export function printSql(expression: Expression, options: PrintOptions): string {
  return new Printer(options).print(expression.ast);
}

/** Whether SQL can compute the expression with the same bits; otherwise it runs in JavaScript only. */
export function isSqlExpressible(expression: Expression): boolean {
  const expressible = (node: Typed): boolean =>
    node.node !== 'operation' || (!JAVASCRIPT_ONLY.has(node.op) && node.args.every(expressible));
  return expressible(expression.ast);
}
