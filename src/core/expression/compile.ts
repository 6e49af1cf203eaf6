import { invariant } from '../base/error.js';
import { MICROS_PER_SECOND } from '../base/time.js';
import type { Value } from '../schema/types.js';
import * as runtime from './runtime.js';
import type { Expression, Op, Typed } from './typed.js';
import * as vectors from './vectors.js';
import { zoneOffset } from './zone.js';

type Operation = Typed & { readonly node: 'operation' };
/** JavaScript of a result, given atoms (names or literals) of the arguments, none of them null at run time. */
type Strict = (args: readonly string[], node: Operation, writer: Writer) => string;

const call =
  (name: keyof typeof HELPERS): Strict =>
  (args) =>
    `h.${name}(${args.join(', ')})`;
const float =
  (operator: string): Strict =>
  ([a, b]) =>
    `h.finite(${a} ${operator} ${b})`;
const scaled =
  (name: keyof typeof runtime): Strict =>
  ([a], { parameters }) =>
    `h.${name}(${a}, ${parameters.from ?? parameters.scale})`;
const math =
  (name: string): Strict =>
  (args) =>
    `h.finite(Math.${name}(${args.join(', ')}))`;
const isText = (node: Operation): boolean => node.args[0]!.type.kind === 'string';
const compare =
  (operator: string): Strict =>
  ([a, b], node) =>
    isText(node) && operator !== '===' && operator !== '!=='
      ? `(h.compareText(${a}, ${b}) ${operator} 0)`
      : `(${a} ${operator} ${b})`;

const STRICT: Partial<Record<Op, Strict>> = {
  neg_int: call('negInt'),
  abs_int: call('absInt'),
  add_int: call('addInt'),
  sub_int: call('subInt'),
  mul_int: call('mulInt'),
  idiv_int: call('idivInt'),
  mod_int: call('modInt'),
  sign: call('sign'),
  neg_float: ([a]) => `(0 - ${a})`,
  abs_float: ([a]) => `Math.abs(${a})`,
  add_float: float('+'),
  sub_float: float('-'),
  mul_float: float('*'),
  div_float: float('/'),
  mod_float: float('%'),
  neg_decimal: call('negDecimal'),
  abs_decimal: call('absDecimal'),
  add_decimal: call('addDecimal'),
  sub_decimal: call('subDecimal'),
  mul_decimal: call('mulDecimal'),
  mod_decimal: call('modDecimal'),
  floor_float: call('floorFloat'),
  ceil_float: call('ceilFloat'),
  trunc_float: call('truncFloat'),
  round_float: call('roundFloat'),
  round_float_to: ([a], { parameters }) => `h.roundFloatTo(${a}, ${10 ** parameters.scale!})`,
  floor_decimal: scaled('floorDecimal'),
  ceil_decimal: scaled('ceilDecimal'),
  trunc_decimal: scaled('truncDecimal'),
  round_decimal: scaled('roundDecimal'),
  rescale: ([a], { parameters }) => `h.rescale(${a}, ${parameters.from}, ${parameters.scale})`,
  rescale_wide: ([a], { parameters }) => `h.rescaleWide(${a}, ${parameters.from}, ${parameters.scale})`,
  int_to_float: ([a]) => `Number(${a})`,
  unscaled: ([a]) => `Number(${a})`,
  decimal_to_float: ([a], { parameters }) => `(Number(${a}) / ${10 ** parameters.from!})`,
  float_to_int: call('floatToInt'),
  float_to_decimal: scaled('floatToDecimal'),
  boolean_to_int: ([a]) => `(${a} ? 1 : 0)`,
  int_to_string: ([a]) => `String(${a})`,
  boolean_to_string: ([a]) => `String(${a})`,
  decimal_to_string: scaled('decimalToString'),
  date_to_string: call('dateToString'),
  timestamp_to_string: call('timestampToString'),
  string_to_int: call('stringToInt'),
  string_to_float: call('stringToFloat'),
  string_to_decimal: scaled('stringToDecimal'),
  string_to_boolean: call('stringToBoolean'),
  string_to_date: call('stringToDate'),
  string_to_timestamp: call('stringToTimestamp'),
  date_to_timestamp: call('dateToTimestamp'),
  timestamp_to_date: call('timestampToDate'),
  sqrt: math('sqrt'),
  exp: math('exp'),
  ln: math('log'),
  log10: math('log10'),
  log2: math('log2'),
  power: math('pow'),
  sin: math('sin'),
  cos: math('cos'),
  tan: math('tan'),
  atan2: math('atan2'),
  eq: compare('==='),
  ne: compare('!=='),
  lt: compare('<'),
  le: compare('<='),
  gt: compare('>'),
  ge: compare('>='),
  not: ([a]) => `!${a}`,
  like: ([a], { parameters }, writer) =>
    `${writer.constant(runtime.likeMatcher(parameters.pattern!, parameters.escape))}(${a})`,
  join_text: ([a, b]) => `(${a} + ${b})`,
  lower: call('lower'),
  upper: call('upper'),
  length: call('textLength'),
  trim: call('trim'),
  ltrim: call('ltrim'),
  rtrim: call('rtrim'),
  substr: call('substr'),
  replace: call('replace'),
  starts_with: call('startsWith'),
  ends_with: call('endsWith'),
  contains: call('contains'),
  strpos: call('strpos'),
  part: ([a], { parameters }, writer) => {
    const part = writer.constant(runtime.partOf(parameters.unit!));
    if (parameters.zone === undefined) return `${part}(${a})`;
    return `${part}(${a} + ${writer.constant(zoneOffset(parameters.zone))}(${a}))`;
  },
  epoch: ([a]) => `(${a} / ${MICROS_PER_SECOND})`,
  date_trunc: ([a], { parameters }, writer) => `${writer.constant(runtime.truncTo(parameters.unit!))}(${a})`,
  date_diff: ([a, b], { parameters }, writer) => {
    const index = writer.constant(runtime.unitIndex(parameters.unit!));
    return `(${index}(${b}) - ${index}(${a}))`;
  },
  add_duration: ([a], { parameters }) => `h.addDuration(${a}, ${parameters.micros})`,
  sub_timestamp: ([a, b]) => `((${a} - ${b}) / ${MICROS_PER_SECOND})`,
  sub_date: ([a, b]) => `(${a} - ${b})`,
  cosine_similarity: call('cosineSimilarity'),
  dot_product: call('dotProduct'),
  euclidean_distance: call('euclideanDistance'),
};

/** Writes straight-line code: each node is one local variable; CASE, AND, OR and COALESCE are nested blocks. */
class Writer {
  readonly lines: string[] = [];
  readonly constants: unknown[] = [];
  private count = 0;

  constant(value: unknown): string {
    this.constants.push(value);
    return `k${this.constants.length - 1}`;
  }

  private local(initial: string): string {
    const name = `v${this.count++}`;
    this.lines.push(`let ${name} = ${initial};`);
    return name;
  }

  write(node: Typed): string {
    if (node.node === 'column') return `c${node.index}`;
    if (node.node === 'literal') {
      if (typeof node.value === 'bigint') return `${node.value}n`;
      return typeof node.value === 'string' ? JSON.stringify(node.value) : `(${String(node.value)})`;
    }
    const special = SPECIAL[node.op];
    if (special) return special(this, node);
    const strict = STRICT[node.op];
    invariant(strict !== undefined, `no JavaScript for ${node.op}`);
    const args = node.args.map((arg) => this.write(arg));
    const nullable = args.filter((_, i) => !this.isSolid(node.args[i]!));
    if (args.includes('(null)')) return '(null)';
    const result = strict(args, node, this);
    return this.local(
      nullable.length === 0
        ? result
        : `${nullable.map((a) => `${a} === null`).join(' || ')} ? null : ${result}`,
    );
  }

  private isSolid(node: Typed): boolean {
    return node.node === 'literal' && node.value !== null;
  }

  /** AND (`decisive` false) and OR (`decisive` true): the right side runs only where it matters. */
  junction(node: Operation, decisive: boolean): string {
    const result = this.local(this.write(node.args[0]!));
    this.lines.push(`if (${result} !== ${decisive}) {`);
    const right = this.write(node.args[1]!);
    this.lines.push(`if (${right} !== ${!decisive}) ${result} = ${right};`, '}');
    return result;
  }

  coalesce(node: Operation): string {
    const result = this.local(this.write(node.args[0]!));
    for (const arg of node.args.slice(1)) {
      this.lines.push(`if (${result} === null) {`);
      const value = this.write(arg);
      this.lines.push(`${result} = ${value};`);
    }
    this.lines.push('}'.repeat(node.args.length - 1));
    return result;
  }

  choose(node: Operation): string {
    const result = this.local('null');
    let depth = 0;
    let at = 0;
    for (; at + 1 < node.args.length; at += 2) {
      const condition = this.write(node.args[at]!);
      this.lines.push(`if (${condition} === true) {`);
      const value = this.write(node.args[at + 1]!);
      this.lines.push(`${result} = ${value};`, '} else {');
      depth++;
    }
    if (at < node.args.length) {
      const value = this.write(node.args[at]!);
      this.lines.push(`${result} = ${value};`);
    }
    this.lines.push('}'.repeat(depth));
    return result;
  }

  extreme(node: Operation, operator: '<' | '>'): string {
    const [first, ...rest] = node.args.map((arg) => this.write(arg));
    const result = this.local(first!);
    for (const item of rest) {
      const better = isText(node)
        ? `h.compareText(${item}, ${result}) ${operator} 0`
        : `${item} ${operator} ${result}`;
      this.lines.push(`if (${item} !== null && (${result} === null || ${better})) ${result} = ${item};`);
    }
    return result;
  }

  membership(node: Operation): string {
    const [operand, ...items] = node.args.map((arg) => this.write(arg));
    const tests = items.filter((item) => item !== '(null)').map((item) => `${operand} === ${item}`);
    const nulls = items.filter((_, i) => !this.isSolid(node.args[i + 1]!)).map((item) => `${item} === null`);
    const missed = nulls.length === 0 ? 'false' : `(${nulls.join(' || ')}) ? null : false`;
    return this.local(`${operand} === null ? null : (${tests.join(' || ') || 'false'}) ? true : ${missed}`);
  }

  between(node: Operation): string {
    const [value, low, high] = node.args.map((arg) => this.write(arg)) as [string, string, string];
    const test = (bound: string, operator: string): string => {
      const order = isText(node)
        ? `h.compareText(${value}, ${bound}) ${operator} 0`
        : `${value} ${operator} ${bound}`;
      return `${value} === null || ${bound} === null ? null : ${order}`;
    };
    const above = this.local(test(low, '>='));
    const below = this.local(test(high, '<='));
    return this.local(
      `${above} === false || ${below} === false ? false : ${above} === null || ${below} === null ? null : true`,
    );
  }

  single(expression: string): string {
    return this.local(expression);
  }
}

const SPECIAL: Partial<Record<Op, (writer: Writer, node: Operation) => string>> = {
  and: (writer, node) => writer.junction(node, false),
  or: (writer, node) => writer.junction(node, true),
  case: (writer, node) => writer.choose(node),
  coalesce: (writer, node) => writer.coalesce(node),
  greatest: (writer, node) => writer.extreme(node, '>'),
  least: (writer, node) => writer.extreme(node, '<'),
  in: (writer, node) => writer.membership(node),
  between: (writer, node) => writer.between(node),
  is_null: (writer, node) => writer.single(`${writer.write(node.args[0]!)} === null`),
  is_not_null: (writer, node) => writer.single(`${writer.write(node.args[0]!)} !== null`),
  distinct: (writer, node) =>
    writer.single(`${writer.write(node.args[0]!)} !== ${writer.write(node.args[1]!)}`),
  not_distinct: (writer, node) =>
    writer.single(`${writer.write(node.args[0]!)} === ${writer.write(node.args[1]!)}`),
  nullif: (writer, node) => {
    const [value, left, right] = node.args.map((arg) => writer.write(arg));
    return writer.single(`${left} !== null && ${left} === ${right} ? null : ${value}`);
  },
  concat: (writer, node) => {
    const parts = node.args.map((arg) => writer.write(arg)).filter((part) => part !== '(null)');
    return writer.single(
      parts.length === 0 ? '""' : `"" + ${parts.map((part) => `(${part} ?? "")`).join(' + ')}`,
    );
  },
};

/** A plain object: V8 inlines calls through it, and not through a module namespace. */
const HELPERS = { ...runtime, ...vectors };

function compile<T>(expression: Expression, parameter: string, read: (index: number) => string): T {
  const writer = new Writer();
  const result = writer.write(expression.ast);
  const columns = expression.slots.map((_, i) => `const c${i} = ${read(i)} ?? null;`);
  const names = writer.constants.map((_, i) => `k${i}`);
  const body = `'use strict';\nreturn function (${parameter}) {\n${[...columns, ...writer.lines].join('\n')}\nreturn ${result};\n};`;
  return new Function('h', ...names, body)(HELPERS, ...writer.constants) as T;
}

/** A function of the values in the order of `expression.slots`. A missing value is null. Never throws. */
export function compileJs(expression: Expression): (values: readonly Value[]) => Value {
  return compile(expression, 'row', (i) => `row[${i}]`);
}

/** A function of a record that holds each value under its slot. A missing value is null. Never throws. */
export function compileJsRow(expression: Expression): (row: Readonly<Record<string, Value>>) => Value {
  return compile(expression, 'row', (i) => `row[${JSON.stringify(expression.slots[i]!.slot)}]`);
}
