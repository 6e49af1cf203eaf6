import {
  BOOLEAN,
  FLOAT64,
  INT64,
  isNumeric,
  printType,
  STRING,
  TIMESTAMP,
  type ValueType,
} from '../schema/types.js';
import type { Ast } from './ast.js';

import { fail } from './lex.js';
import { JAVASCRIPT_ONLY, type Op, type Parameters, type Typed } from './typed.js';
import type { Checked, Typing } from './typing.js';
import { knownZone } from './zone.js';

/** A function as the reference shows it. */
export interface FunctionDoc {
  readonly name: string;
  readonly group: 'number' | 'text' | 'time' | 'null and choice' | 'vector';
  readonly signature: string;
  readonly doc: string;
  /** False: computed in JavaScript only. */
  readonly sql: boolean;
}

export interface FunctionEntry extends FunctionDoc {
  readonly least: number;
  readonly most: number;
  check(typing: Typing, span: Ast, args: readonly Checked[]): Checked;
}

type Check = FunctionEntry['check'];
const MANY = 1_000;

const plain =
  (name: string, op: Op, parameters: readonly ValueType[], result: ValueType): Check =>
  (typing, span, args) =>
    typing.apply(
      span,
      op,
      result,
      args.map((arg, i) => typing.to(arg, parameters[Math.min(i, parameters.length - 1)]!, name)),
    );

function numeric(typing: Typing, node: Checked, name: string): { type: ValueType; typed: Typed } {
  if (node.kind.kind === 'unknown' || node.kind.kind === 'null')
    return { type: FLOAT64, typed: typing.to(node, FLOAT64, name) };
  if (!isNumeric(node.kind)) fail(node.span, `${name} takes a number, not ${printType(node.kind)}`);
  return { type: node.kind, typed: node.typed };
}

const abs: Check = (typing, span, args) => {
  const { type, typed } = numeric(typing, args[0]!, 'abs');
  if (type.kind === 'decimal') return typing.apply(span, 'abs_decimal', type, [typed], { scale: type.scale });
  return typing.apply(span, type.kind === 'int64' ? 'abs_int' : 'abs_float', type, [typed]);
};

function literalInteger(node: Checked, what: string, least: number, most: number): number {
  const literal = node.literal;
  if (
    literal?.kind !== 'int64' ||
    typeof literal.value !== 'number' ||
    literal.value < least ||
    literal.value > most
  ) {
    fail(node.span, `${what} is a whole number written out, ${least} to ${most}`);
  }
  return literal.value;
}

const rounding =
  (name: 'round' | 'floor' | 'ceil' | 'trunc'): Check =>
  (typing, span, args) => {
    const { type, typed } = numeric(typing, args[0]!, name);
    const places = args[1] && literalInteger(args[1], 'the number of places', 0, 15);
    if (type.kind === 'int64') return typing.done(span, type, typed);
    if (type.kind === 'decimal') {
      if (places === undefined)
        return typing.apply(span, `${name}_decimal`, INT64, [typed], { from: type.scale });
      if (places >= type.scale) return typing.done(span, type, typed);
      return typing.apply(span, 'rescale', { kind: 'decimal', scale: places }, [typed], {
        from: type.scale,
        scale: places,
      });
    }
    if (places === undefined || places === 0) return typing.apply(span, `${name}_float`, FLOAT64, [typed]);
    return typing.apply(span, 'round_float_to', FLOAT64, [typed], { scale: places });
  };

const sign: Check = (typing, span, args) =>
  typing.apply(span, 'sign', INT64, [numeric(typing, args[0]!, 'sign').typed]);

const choice =
  (op: 'coalesce' | 'greatest' | 'least'): Check =>
  (typing, span, args) => {
    const node = typing.merged(span, op, args, (typed) => typed, `mix in one ${op}`);
    if (op !== 'coalesce' && ['float64_vector', 'list', 'map'].includes(node.kind.kind))
      fail(span, `${op} takes values that can be compared`);
    return node;
  };

const nullif: Check = (typing, span, args) => {
  const [left, right] = args as readonly [Checked, Checked];
  const compared = typing.comparable([left, right]);
  if (left.kind.kind === 'null') return left;
  const typed: Typed = {
    node: 'operation',
    op: 'nullif',
    type: left.typed.type,
    args: [left.typed, ...compared],
    parameters: {},
  };
  return { ...left, typed, span, literal: undefined };
};

const PARTS: Readonly<Record<string, string>> = {
  year: 'year',
  quarter: 'quarter, 1 to 4',
  month: 'month, 1 to 12',
  week: 'ISO week, 1 to 53',
  day: 'day of the month, 1 to 31',
  doy: 'day of the year, 1 to 366',
  dow: 'day of the week, Sunday = 0',
  isodow: 'day of the week, Monday = 1 to Sunday = 7',
  hour: 'hour, 0 to 23',
  minute: 'minute, 0 to 59',
  second: 'whole second, 0 to 59',
};
const CLOCK_PARTS: ReadonlySet<string> = new Set(['hour', 'minute', 'second']);

function instant(typing: Typing, node: Checked, name: string): Typed {
  if (node.kind.kind === 'date') return typing.cast(node.span, node, TIMESTAMP).typed;
  return typing.to(node, TIMESTAMP, name);
}

const part =
  (unit: string): Check =>
  (typing, span, args) => {
    const [value, zone] = args as readonly [Checked, Checked | undefined];
    if (value.kind.kind === 'date' && (zone || CLOCK_PARTS.has(unit))) {
      fail(value.span, zone ? 'a date has no time zone' : `a date has no ${unit}`, 'Pass a timestamp.');
    }
    let parameters: Parameters = { unit };
    if (zone) {
      const literal = zone.literal;
      if (literal?.kind !== 'string') fail(zone.span, "the time zone is written out, as 'Europe/Berlin'");
      if (!knownZone(literal.value))
        fail(
          zone.span,
          `there is no time zone ${literal.value}`,
          "Write an IANA name, such as 'Europe/Berlin' or 'UTC'.",
        );
      parameters = { unit, zone: literal.value };
    }
    return typing.apply(span, 'part', INT64, [instant(typing, value, unit)], parameters);
  };

const TRUNC_UNITS = ['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'] as const;

function unitOf(node: Checked): string {
  const literal = node.literal;
  const unit = literal?.kind === 'string' ? literal.value.toLowerCase() : undefined;
  if (unit === undefined || !(TRUNC_UNITS as readonly string[]).includes(unit))
    fail(node.span, `the unit is one of '${TRUNC_UNITS.join("', '")}'`);
  return unit;
}

const vectors =
  (op: 'cosine_similarity' | 'dot_product' | 'euclidean_distance'): Check =>
  (typing, span, args) => {
    const VECTOR: ValueType = { kind: 'float64_vector' };
    const typed = args.map((arg) => typing.to(arg, VECTOR, op));
    const [a, b] = args.map((arg) => (arg.kind.kind === 'float64_vector' ? arg.kind.dimension : undefined));
    if (a !== undefined && b !== undefined && a !== b)
      fail(span, `${op} takes vectors of one length, not ${a} and ${b}`);
    return typing.apply(span, op, FLOAT64, typed);
  };

function entry(
  group: FunctionDoc['group'],
  signature: string,
  doc: string,
  arity: readonly [number, number],
  check: Check,
): FunctionEntry {
  const name = signature.slice(0, signature.indexOf('('));
  return Object.freeze({
    name,
    group,
    signature,
    doc,
    sql: !JAVASCRIPT_ONLY.has(name as Op),
    least: arity[0],
    most: arity[1],
    check,
  });
}

const math = (name: Op, signature: string, doc: string, arity = 1): FunctionEntry =>
  entry('number', signature, doc, [arity, arity], plain(name, name, [FLOAT64], FLOAT64));
const text = (
  op: Op,
  signature: string,
  doc: string,
  parameters: readonly ValueType[],
  result: ValueType,
  arity?: readonly [number, number],
): FunctionEntry =>
  entry(
    'text',
    signature,
    doc,
    arity ?? [parameters.length, parameters.length],
    plain(op, op, parameters, result),
  );

const ENTRIES: readonly FunctionEntry[] = [
  entry(
    'number',
    'abs(x) → type of x',
    'The size of x; null where it does not fit in the type.',
    [1, 1],
    abs,
  ),
  entry('number', 'sign(x) → int64', '-1, 0 or 1.', [1, 1], sign),
  entry(
    'number',
    'floor(x) → float64, or int64 of a decimal',
    'The greatest whole number not above x.',
    [1, 1],
    rounding('floor'),
  ),
  entry(
    'number',
    'ceil(x) → float64, or int64 of a decimal',
    'The least whole number not below x.',
    [1, 1],
    rounding('ceil'),
  ),
  entry(
    'number',
    'trunc(x) → float64, or int64 of a decimal',
    'x without its fraction.',
    [1, 1],
    rounding('trunc'),
  ),
  entry(
    'number',
    'round(x [, places]) → float64, int64 or decimal(places)',
    'Half away from zero. Places, 0 to 15, are written out. A float64 is multiplied by 10^places, rounded and divided.',
    [1, 2],
    rounding('round'),
  ),
  math('sqrt', 'sqrt(x) → float64', 'Square root; null below zero.'),
  math('exp', 'exp(x) → float64', 'e to the x.'),
  math('ln', 'ln(x) → float64', 'Natural logarithm; null at and below zero.'),
  math('log10', 'log10(x) → float64', 'Logarithm of base 10; null at and below zero.'),
  math('log2', 'log2(x) → float64', 'Logarithm of base 2; null at and below zero.'),
  math('power', 'power(x, y) → float64', 'x to the y.', 2),
  math('sin', 'sin(x) → float64', 'Sine of x radians.'),
  math('cos', 'cos(x) → float64', 'Cosine of x radians.'),
  math('tan', 'tan(x) → float64', 'Tangent of x radians.'),
  math('atan2', 'atan2(y, x) → float64', 'Angle of the point (x, y), in radians.', 2),

  entry(
    'null and choice',
    'coalesce(a, b, ...) → common type',
    'The first that is not null.',
    [1, MANY],
    choice('coalesce'),
  ),
  entry('null and choice', 'nullif(a, b) → type of a', 'Null where a = b, else a.', [2, 2], nullif),
  entry(
    'null and choice',
    'greatest(a, b, ...) → common type',
    'The greatest of those that are not null; null when all are.',
    [1, MANY],
    choice('greatest'),
  ),
  entry(
    'null and choice',
    'least(a, b, ...) → common type',
    'The least of those that are not null; null when all are.',
    [1, MANY],
    choice('least'),
  ),

  text(
    'lower',
    'lower(text) → string',
    'A to Z become a to z; every other character stays.',
    [STRING],
    STRING,
  ),
  text(
    'upper',
    'upper(text) → string',
    'a to z become A to Z; every other character stays.',
    [STRING],
    STRING,
  ),
  text('length', 'length(text) → int64', 'Number of Unicode code points.', [STRING], INT64),
  text('trim', 'trim(text) → string', 'Without spaces (U+0020 only) at both ends.', [STRING], STRING),
  text('ltrim', 'ltrim(text) → string', 'Without spaces at the start.', [STRING], STRING),
  text('rtrim', 'rtrim(text) → string', 'Without spaces at the end.', [STRING], STRING),
  text(
    'substr',
    'substr(text, start [, count]) → string',
    'Code points from start (1 is the first) on. Positions before 1 count but hold nothing; a negative count gives an empty text. Beyond ±10^9 both are taken as that.',
    [STRING, INT64, INT64],
    STRING,
    [2, 3],
  ),
  text(
    'replace',
    'replace(text, from, to) → string',
    'Every from becomes to; an empty from changes nothing.',
    [STRING, STRING, STRING],
    STRING,
  ),
  text(
    'concat',
    'concat(a, b, ...) → string',
    'Joined, nulls left out. The operator || gives null instead.',
    [STRING],
    STRING,
    [1, MANY],
  ),
  text(
    'starts_with',
    'starts_with(text, part) → boolean',
    'Whether text begins with part.',
    [STRING, STRING],
    BOOLEAN,
  ),
  text(
    'ends_with',
    'ends_with(text, part) → boolean',
    'Whether text ends with part.',
    [STRING, STRING],
    BOOLEAN,
  ),
  text('contains', 'contains(text, part) → boolean', 'Whether part is in text.', [STRING, STRING], BOOLEAN),
  text(
    'strpos',
    'strpos(text, part) → int64',
    'Place of the first part, in code points from 1; 0 when absent.',
    [STRING, STRING],
    INT64,
  ),

  ...Object.entries(PARTS).map(([unit, doc]) =>
    entry(
      'time',
      `${unit}(ts [, zone]) → int64`,
      `The ${doc}, in UTC or in the named time zone.${CLOCK_PARTS.has(unit) ? '' : ' Takes a date too.'}`,
      [1, 2],
      part(unit),
    ),
  ),
  entry('time', 'epoch(ts) → float64', 'Seconds since 1970-01-01T00:00:00Z.', [1, 1], (typing, span, args) =>
    typing.apply(span, 'epoch', FLOAT64, [instant(typing, args[0]!, 'epoch')]),
  ),
  entry(
    'time',
    'date_trunc(unit, ts) → timestamp',
    `The start (UTC) of the ${TRUNC_UNITS.join(', ')}; weeks start on Monday.`,
    [2, 2],
    (typing, span, args) =>
      typing.apply(span, 'date_trunc', TIMESTAMP, [instant(typing, args[1]!, 'date_trunc')], {
        unit: unitOf(args[0]!),
      }),
  ),
  entry(
    'time',
    'date_diff(unit, a, b) → int64',
    'How many starts of the unit lie in (a, b]; negative when b is before a.',
    [3, 3],
    (typing, span, args) =>
      typing.apply(
        span,
        'date_diff',
        INT64,
        [instant(typing, args[1]!, 'date_diff'), instant(typing, args[2]!, 'date_diff')],
        { unit: unitOf(args[0]!) },
      ),
  ),

  entry(
    'vector',
    'cosine_similarity(a, b) → float64',
    'Null when the length of a vector, as a float64, is zero or not finite. Sums run from left to right.',
    [2, 2],
    vectors('cosine_similarity'),
  ),
  entry(
    'vector',
    'dot_product(a, b) → float64',
    'Sum of the products, from left to right.',
    [2, 2],
    vectors('dot_product'),
  ),
  entry(
    'vector',
    'euclidean_distance(a, b) → float64',
    'Root of the sum of squared differences, from left to right.',
    [2, 2],
    vectors('euclidean_distance'),
  ),
];

const BY_NAME: ReadonlyMap<string, FunctionEntry> = new Map(ENTRIES.map((item) => [item.name, item]));

export const findFunction = (name: string): FunctionEntry | undefined => BY_NAME.get(name);
export const FUNCTION_NAMES: readonly string[] = ENTRIES.map((item) => item.name);

/** Every function, for the reference. */
export const FUNCTIONS: readonly FunctionDoc[] = ENTRIES;
