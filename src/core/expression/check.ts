import { nearest } from '../base/nearest.js';
import { parseInstant } from '../base/time.js';
import {
  BOOLEAN,
  DATE,
  decimal,
  FLOAT64,
  INT64,
  type Integer,
  isNumeric,
  printType,
  type Scalar,
  STRING,
  sameType,
  TIMESTAMP,
  type ValueType,
} from '../schema/types.js';
import { type Ast, canonicalText, type LiteralValue, type ParsedExpression, type Span } from './ast.js';
import { FUNCTION_NAMES, findFunction } from './functions.js';
import { type ExpressionProblem, fail, ProblemSignal } from './lex.js';
import { durationSeconds, parseDateText } from './parse.js';
import { decimalToFloat, floatToDecimal, rescale, rescaleWide, toFloat } from './runtime.js';
import type { Expression, Op, Parameters, Slot, Typed } from './typed.js';

/** What names mean. `type: undefined`: the name exists, its type is to be found from its use. */
export interface Scope {
  resolve(
    path: readonly string[],
  ): { readonly type: ValueType | undefined; readonly slot: string } | undefined;
  /** All names, for hints. */
  names(): Iterable<string>;
}

export type CheckResult =
  | { readonly ok: true; readonly expression: Expression }
  | { readonly ok: false; readonly problems: readonly ExpressionProblem[] };

/** `null`: the bare NULL, which fits every type. `unknown`: a name not yet typed. */
export type Kind = ValueType | { readonly kind: 'null' } | { readonly kind: 'unknown' };

/** A checked node, with what the checker still needs to know about it. */
export interface Checked {
  readonly kind: Kind;
  readonly typed: Typed;
  readonly span: Span;
  /** Slots whose type is found when this node's type is. */
  readonly open: readonly string[];
  readonly literal: LiteralValue | undefined;
}

const MAX_SCALE = 15;
const NULL_KIND: Kind = { kind: 'null' };
const UNKNOWN: Kind = { kind: 'unknown' };

const showKind = (kind: Kind): string =>
  kind.kind === 'null' || kind.kind === 'unknown' ? kind.kind : printType(kind);
const isType = (kind: Kind): kind is ValueType => kind.kind !== 'null' && kind.kind !== 'unknown';
const literalOf = (type: ValueType, value: Scalar): Typed => ({ node: 'literal', type, value });
export const operation = (
  op: Op,
  type: ValueType,
  args: readonly Typed[],
  parameters: Parameters = {},
): Typed => ({
  node: 'operation',
  op,
  type,
  args,
  parameters,
});

const scaleOf = (type: ValueType): number => (type.kind === 'decimal' ? type.scale : 0);

/** Literal and column types of one check pass. */
export class Checker {
  readonly problems: ExpressionProblem[] = [];
  readonly slots = new Map<string, Slot>();
  changed = false;
  private readonly scope: Scope;
  private readonly inferred: Map<string, ValueType>;
  private readonly last: boolean;

  constructor(scope: Scope, inferred: Map<string, ValueType>, last: boolean) {
    this.scope = scope;
    this.inferred = inferred;
    this.last = last;
  }

  done(span: Span, type: ValueType, typed: Typed): Checked {
    return { kind: type, typed, span, open: [], literal: undefined };
  }

  apply(span: Span, op: Op, type: ValueType, args: readonly Typed[], parameters: Parameters = {}): Checked {
    return this.done(span, type, operation(op, type, args, parameters));
  }

  adopt(node: Checked, type: ValueType): void {
    for (const slot of node.open) {
      if (this.inferred.has(slot)) continue;
      this.inferred.set(slot, type);
      this.changed = true;
    }
  }

  /** Numeric widening without loss of place: int64 → decimal → float64. */
  private widen(typed: Typed, from: ValueType, to: ValueType, wide: boolean): Typed {
    if (sameType(from, to)) return typed;
    if (typed.node === 'literal' && typed.value === null) return literalOf(to, null);
    const value = typed.node === 'literal' ? (typed.value as Integer) : undefined;
    if (to.kind === 'float64') {
      if (value !== undefined) {
        return literalOf(
          FLOAT64,
          from.kind === 'decimal' ? decimalToFloat(value, from.scale) : toFloat(value),
        );
      }
      return from.kind === 'decimal'
        ? operation('decimal_to_float', FLOAT64, [typed], { from: from.scale })
        : operation('int_to_float', FLOAT64, [typed]);
    }
    const scale = scaleOf(to);
    if (value !== undefined) {
      const moved = wide ? rescaleWide(value, scaleOf(from), scale) : rescale(value, scaleOf(from), scale);
      if (moved === null || BigInt.asIntN(64, BigInt(moved)) === BigInt(moved)) return literalOf(to, moved);
    }
    return operation(wide ? 'rescale_wide' : 'rescale', to, [typed], { from: scaleOf(from), scale });
  }

  private fits(node: Checked, to: ValueType): boolean {
    const from = node.kind;
    if (!isType(from) || sameType(from, to)) return true;
    if (isNumeric(from) && isNumeric(to)) {
      if (to.kind === 'float64') return true;
      return (
        to.kind === 'decimal' &&
        (from.kind === 'int64' || (from.kind === 'decimal' && from.scale <= to.scale))
      );
    }
    if (from.kind === 'float64_vector' && to.kind === 'float64_vector')
      return to.dimension === undefined || from.dimension === to.dimension;
    return (
      from.kind === 'string' &&
      node.literal?.kind === 'string' &&
      (to.kind === 'timestamp' || to.kind === 'date')
    );
  }

  /** The node as a value of the type, or a problem. */
  to(node: Checked, to: ValueType, what: string, wide = false): Typed {
    const from = node.kind;
    if (from.kind === 'null') return literalOf(to, null);
    if (from.kind === 'unknown') {
      this.adopt(node, to);
      return node.typed;
    }
    if (!this.fits(node, to)) {
      const hint =
        isNumeric(to) || ['string', 'boolean', 'timestamp', 'date'].includes(to.kind)
          ? `Write CAST(... AS ${printType(to)}).`
          : undefined;
      fail(node.span, `${what} takes ${printType(to)}, not ${printType(from)}`, hint);
    }
    if (isNumeric(from)) return this.widen(node.typed, from, to, wide);
    if (from.kind === 'string' && to.kind !== 'string') {
      const text = (node.literal as { value: string }).value;
      const value = to.kind === 'date' ? parseDateText(text) : parseInstant(text);
      if (value === undefined)
        fail(
          node.span,
          `'${text}' is no ${to.kind}`,
          to.kind === 'date' ? "Write '2024-03-01'." : "Write '2024-03-01T12:30:00Z'.",
        );
      return literalOf(to, value);
    }
    return node.typed;
  }

  /** The type that all nodes can be brought to; undefined when none of them has one yet. */
  common(nodes: readonly Checked[], what: string): ValueType | undefined {
    let type: ValueType | undefined;
    let literals = true;
    for (const node of nodes) {
      const kind = node.kind;
      if (!isType(kind)) continue;
      if (!node.literal) literals = false;
      if (type === undefined) type = kind;
      else if (isNumeric(type) && isNumeric(kind)) {
        if (type.kind === 'float64' || kind.kind === 'float64') type = FLOAT64;
        else if (type.kind === 'decimal' || kind.kind === 'decimal')
          type = decimal(Math.max(scaleOf(type), scaleOf(kind)));
      } else if (!sameType(type, kind)) {
        const settled: ValueType = type;
        const first = nodes.find((other) => isType(other.kind) && sameType(other.kind, settled))!;
        if (this.fits(node, type)) continue;
        if (
          this.fits(first, kind) &&
          nodes.every((other) => other === node || !isType(other.kind) || this.fits(other, kind))
        )
          type = kind;
        else {
          const target = isNumeric(type) || type.kind === 'string' ? printType(type) : printType(kind);
          fail(
            node.span,
            `cannot ${what} ${printType(type)} with ${printType(kind)}`,
            `Write CAST(... AS ${target}) where the conversion is meant.`,
          );
        }
      }
    }
    if (
      type !== undefined &&
      literals &&
      isNumeric(type) &&
      nodes.some((node) => node.kind.kind === 'unknown')
    )
      return FLOAT64;
    return type;
  }

  /** All nodes at their common type. Decimals for comparison only (`wide`) are not held to 18 digits. */
  unify(
    nodes: readonly Checked[],
    what: string,
    wide: boolean,
  ): { type: ValueType | undefined; args: Typed[] } {
    const type = this.common(nodes, what);
    return {
      type,
      args: nodes.map((node) => (type === undefined ? node.typed : this.to(node, type, what, wide))),
    };
  }

  /** A node that takes the type of its parts (CASE, COALESCE, ...). */
  merged(
    span: Span,
    op: Op,
    parts: readonly Checked[],
    build: (args: readonly Typed[]) => readonly Typed[],
    what: string,
  ): Checked {
    const { type, args } = this.unify(parts, what, false);
    const open = parts.filter((part) => part.kind.kind === 'unknown').flatMap((part) => part.open);
    if (type !== undefined) return this.apply(span, op, type, build(args));
    const kind = open.length > 0 ? UNKNOWN : NULL_KIND;
    return { kind, typed: operation(op, FLOAT64, build(args)), span, open, literal: undefined };
  }

  settle(node: Checked): Checked {
    if (node.kind.kind === 'null') return this.done(node.span, STRING, literalOf(STRING, null));
    return node;
  }

  check(ast: Ast): Checked {
    switch (ast.node) {
      case 'literal':
        return this.literal(ast, ast.literal);
      case 'name':
        return this.name(ast, ast.path);
      case 'unary':
        if (ast.operator === 'not')
          return this.apply(ast, 'not', BOOLEAN, [this.to(this.check(ast.operand), BOOLEAN, 'NOT')]);
        return this.negate(ast, this.check(ast.operand));
      case 'binary':
        return this.binary(ast);
      case 'is null': {
        const operand = this.check(ast.operand);
        return this.apply(ast, ast.negated ? 'is_not_null' : 'is_null', BOOLEAN, [
          this.settle(operand).typed,
        ]);
      }
      case 'between':
        return this.negated(ast, 'between', [ast.operand, ast.low, ast.high], ast.negated);
      case 'in':
        return this.negated(ast, 'in', [ast.operand, ...ast.items], ast.negated);
      case 'like': {
        const operand = this.to(this.check(ast.operand), STRING, 'LIKE');
        const like = operation('like', BOOLEAN, [operand], { pattern: ast.pattern, escape: ast.escape });
        return this.done(ast, BOOLEAN, ast.negated ? operation('not', BOOLEAN, [like]) : like);
      }
      case 'case':
        return this.caseOf(ast);
      case 'cast':
        return this.cast(ast, this.check(ast.operand), ast.type);
      case 'call': {
        const entry = findFunction(ast.name);
        if (entry === undefined) {
          const near = nearest(ast.name, FUNCTION_NAMES);
          fail(
            { offset: ast.offset, length: ast.nameLength },
            `there is no function ${ast.name}`,
            near && `Did you mean ${near}?`,
            near,
          );
        }
        if (ast.args.length < entry.least || ast.args.length > entry.most) {
          fail(
            ast,
            `${ast.name} takes ${entry.signature.slice(entry.signature.indexOf('('), entry.signature.indexOf(')') + 1)}, not ${ast.args.length} arguments`,
          );
        }
        return entry.check(
          this,
          ast,
          ast.args.map((arg) => this.check(arg)),
        );
      }
    }
  }

  private literal(span: Ast, literal: LiteralValue): Checked {
    const as = (type: ValueType, value: Scalar): Checked => ({
      ...this.done(span, type, literalOf(type, value)),
      literal,
    });
    switch (literal.kind) {
      case 'null':
        return { kind: NULL_KIND, typed: literalOf(STRING, null), span, open: [], literal };
      case 'decimal':
        return as(decimal(literal.scale), literal.value);
      case 'duration':
        return as(FLOAT64, durationSeconds(literal.value));
      case 'boolean':
        return as(BOOLEAN, literal.value);
      case 'string':
        return as(STRING, literal.value);
      default:
        return as({ kind: literal.kind }, literal.value);
    }
  }

  private name(span: Ast, path: readonly string[]): Checked {
    const found = this.scope.resolve(path);
    const text = path.join('.');
    if (found === undefined) {
      const near = nearest(text, this.scope.names());
      this.problems.push({
        message: `there is no ${text} here`,
        offset: span.offset,
        length: span.length,
        ...(near === undefined ? {} : { nearest: near, hint: `Did you mean ${near}?` }),
      });
      return { kind: UNKNOWN, typed: literalOf(FLOAT64, null), span, open: [], literal: undefined };
    }
    const type = found.type ?? this.inferred.get(found.slot);
    if (!this.slots.has(found.slot)) {
      this.slots.set(
        found.slot,
        Object.freeze({ slot: found.slot, path: Object.freeze([...path]), type: type ?? FLOAT64 }),
      );
    }
    const index = [...this.slots.keys()].indexOf(found.slot);
    const typed: Typed = { node: 'column', type: type ?? FLOAT64, slot: found.slot, index };
    if (type !== undefined) return this.done(span, type, typed);
    if (this.last)
      this.adopt({ kind: UNKNOWN, typed, span, open: [found.slot], literal: undefined }, FLOAT64);
    return { kind: UNKNOWN, typed, span, open: [found.slot], literal: undefined };
  }

  private number(node: Checked, what: string): ValueType {
    if (node.kind.kind === 'unknown') {
      this.adopt(node, FLOAT64);
      return FLOAT64;
    }
    if (node.kind.kind === 'null') return INT64;
    if (!isNumeric(node.kind))
      fail(
        node.span,
        `${what} takes numbers, not ${showKind(node.kind)}`,
        node.kind.kind === 'string' ? 'Write CAST(... AS float64).' : undefined,
      );
    return node.kind;
  }

  negate(span: Span, node: Checked): Checked {
    const type = this.number(node, 'unary -');
    const operand = this.to(node, type, 'unary -');
    if (type.kind === 'decimal')
      return this.apply(span, 'neg_decimal', type, [operand], { scale: type.scale });
    return this.apply(span, type.kind === 'int64' ? 'neg_int' : 'neg_float', type, [operand]);
  }

  private binary(ast: Ast & { node: 'binary' }): Checked {
    const left = this.check(ast.left);
    const right = this.check(ast.right);
    switch (ast.operator) {
      case 'and':
      case 'or': {
        const word = ast.operator.toUpperCase();
        return this.apply(ast, ast.operator, BOOLEAN, [
          this.to(left, BOOLEAN, word),
          this.to(right, BOOLEAN, word),
        ]);
      }
      case '||':
        return this.apply(ast, 'join_text', STRING, [
          this.to(left, STRING, '||'),
          this.to(right, STRING, '||'),
        ]);
      case '+':
      case '-':
      case '*':
      case '/':
      case '//':
      case '%':
        return this.arithmetic(ast, ast.operator, left, right);
      default: {
        const ops = {
          '=': 'eq',
          '<>': 'ne',
          '<': 'lt',
          '<=': 'le',
          '>': 'gt',
          '>=': 'ge',
          'is distinct from': 'distinct',
          'is not distinct from': 'not_distinct',
        } as const;
        return this.apply(ast, ops[ast.operator], BOOLEAN, this.comparable([left, right]));
      }
    }
  }

  /** Operands of a comparison at their common type. */
  comparable(nodes: readonly Checked[]): Typed[] {
    const { type, args } = this.unify(nodes, 'compare', true);
    if (type === undefined) {
      for (const node of nodes) if (this.last) this.adopt(node, FLOAT64);
      return nodes.map((node) =>
        node.kind.kind === 'null' ? literalOf(this.last ? FLOAT64 : STRING, null) : node.typed,
      );
    }
    if (['float64_vector', 'list', 'map'].includes(type.kind))
      fail(nodes[0]!.span, `${printType(type)} values cannot be compared`);
    return args;
  }

  private arithmetic(
    span: Ast,
    operator: '+' | '-' | '*' | '/' | '//' | '%',
    left: Checked,
    right: Checked,
  ): Checked {
    const times = this.timeArithmetic(span, operator, left, right);
    if (times) return times;
    const l = this.number(left, operator);
    const r = this.number(right, operator);
    if (operator === '/') return this.divide(span, left, l, right, r);
    const ops = { '+': 'add', '-': 'sub', '*': 'mul', '%': 'mod' } as const;
    if (operator === '//') {
      if (l.kind !== 'int64' || r.kind !== 'int64') {
        fail(
          span,
          `// divides int64 by int64, not ${printType(l)} by ${printType(r)}`,
          'Write trunc(a / b) for the whole part of a quotient.',
        );
      }
      return this.apply(span, 'idiv_int', INT64, [this.to(left, INT64, '//'), this.to(right, INT64, '//')]);
    }
    if (l.kind === 'float64' || r.kind === 'float64') {
      return this.apply(span, `${ops[operator]}_float`, FLOAT64, [
        this.to(left, FLOAT64, operator),
        this.to(right, FLOAT64, operator),
      ]);
    }
    if (l.kind === 'int64' && r.kind === 'int64') {
      return this.apply(span, `${ops[operator]}_int`, INT64, [
        this.to(left, INT64, operator),
        this.to(right, INT64, operator),
      ]);
    }
    if (operator === '*') {
      const scale = scaleOf(l) + scaleOf(r);
      if (scale > MAX_SCALE) {
        fail(
          span,
          `the product of ${printType(l)} and ${printType(r)} has ${scale} decimal places, more than ${MAX_SCALE}`,
          'Round an operand, or CAST it AS float64.',
        );
      }
      return this.apply(
        span,
        'mul_decimal',
        decimal(scale),
        [this.to(left, l, '*'), this.to(right, r, '*')],
        { scale, from: scaleOf(l) },
      );
    }
    const type = decimal(Math.max(scaleOf(l), scaleOf(r)));
    const args = [this.to(left, type, operator, true), this.to(right, type, operator, true)];
    return this.apply(span, `${ops[operator]}_decimal`, type, args, { scale: scaleOf(type) });
  }

  private divide(span: Ast, left: Checked, l: ValueType, right: Checked, r: ValueType): Checked {
    if ((l.kind !== 'decimal' && r.kind !== 'decimal') || l.kind === 'float64' || r.kind === 'float64') {
      return this.apply(span, 'div_float', FLOAT64, [
        this.to(left, FLOAT64, '/'),
        this.to(right, FLOAT64, '/'),
      ]);
    }
    const float = (node: Checked, type: ValueType): Typed =>
      type.kind === 'decimal'
        ? operation('unscaled', FLOAT64, [node.typed], { from: type.scale })
        : this.to(node, FLOAT64, '/');
    const quotient = this.apply(span, 'div_float', FLOAT64, [float(left, l), float(right, r)]);
    const shift = scaleOf(r) - scaleOf(l);
    if (shift === 0) return quotient;
    return this.apply(span, shift > 0 ? 'mul_float' : 'div_float', FLOAT64, [
      quotient.typed,
      literalOf(FLOAT64, 10 ** Math.abs(shift)),
    ]);
  }

  private timeArithmetic(span: Ast, operator: string, left: Checked, right: Checked): Checked | undefined {
    const l = left.kind.kind;
    const r = right.kind.kind;
    const duration = [left, right].find((node) => node.literal?.kind === 'duration');
    const micros = duration?.literal?.kind === 'duration' ? duration.literal.value : undefined;
    if (
      l === 'timestamp' &&
      duration === right &&
      micros !== undefined &&
      (operator === '+' || operator === '-')
    ) {
      return this.apply(span, 'add_duration', TIMESTAMP, [left.typed], {
        micros: operator === '+' ? micros : -micros,
      });
    }
    if (r === 'timestamp' && duration === left && micros !== undefined && operator === '+') {
      return this.apply(span, 'add_duration', TIMESTAMP, [right.typed], { micros });
    }
    if (l !== 'timestamp' && r !== 'timestamp' && l !== 'date' && r !== 'date') return undefined;
    if (
      operator === '-' &&
      (l === 'timestamp' || l === 'date' || l === 'unknown' || left.literal) &&
      (r === l ||
        r === 'unknown' ||
        l === 'unknown' ||
        right.literal?.kind === 'string' ||
        left.literal?.kind === 'string')
    ) {
      const type = l === 'timestamp' || r === 'timestamp' ? TIMESTAMP : DATE;
      const args = [this.to(left, type, '-'), this.to(right, type, '-')];
      return type === DATE
        ? this.apply(span, 'sub_date', INT64, args)
        : this.apply(span, 'sub_timestamp', FLOAT64, args);
    }
    return fail(
      span,
      `cannot compute ${showKind(left.kind)} ${operator} ${showKind(right.kind)}`,
      "Differences are timestamp - timestamp (seconds) and date - date (days); a timestamp moves by a literal, ts + duration('1h').",
    );
  }

  private negated(span: Ast, op: 'between' | 'in', operands: readonly Ast[], negated: boolean): Checked {
    const typed = operation(op, BOOLEAN, this.comparable(operands.map((operand) => this.check(operand))));
    return this.done(span, BOOLEAN, negated ? operation('not', BOOLEAN, [typed]) : typed);
  }

  private caseOf(ast: Ast & { node: 'case' }): Checked {
    const operand = ast.operand && this.check(ast.operand);
    const conditions = ast.branches.map(({ when }) => {
      const condition = this.check(when);
      if (operand === undefined) return this.to(condition, BOOLEAN, 'WHEN');
      return operation('eq', BOOLEAN, this.comparable([operand, condition]));
    });
    const values = ast.branches.map(({ value }) => this.check(value));
    if (ast.otherwise) values.push(this.check(ast.otherwise));
    return this.merged(
      ast,
      'case',
      values,
      (args) => [
        ...conditions.flatMap((condition, i) => [condition, args[i]!]),
        ...(ast.otherwise ? [args.at(-1)!] : []),
      ],
      'mix in one CASE',
    );
  }

  cast(span: Span, node: Checked, to: ValueType): Checked {
    if (node.kind.kind === 'null') return this.done(span, to, literalOf(to, null));
    if (node.kind.kind === 'unknown') {
      this.adopt(node, to);
      return this.done(span, to, node.typed);
    }
    const from = node.kind;
    if (sameType(from, to)) return this.done(span, to, node.typed);
    const apply = (op: Op, parameters: Parameters = {}, arg = node.typed): Checked =>
      this.apply(span, op, to, [arg], parameters);
    const path = `${from.kind} ${to.kind}`;
    switch (path) {
      case 'int64 float64':
      case 'int64 decimal':
      case 'decimal float64':
        return this.done(span, to, this.widen(node.typed, from, to, false));
      case 'decimal decimal':
        return apply('rescale', { from: scaleOf(from), scale: scaleOf(to) });
      case 'decimal int64':
        return apply('round_decimal', { from: scaleOf(from) });
      case 'float64 int64':
        return apply('float_to_int');
      case 'float64 decimal': {
        const scale = scaleOf(to);
        if (node.typed.node === 'literal' && node.typed.value !== null)
          return this.done(span, to, literalOf(to, floatToDecimal(node.typed.value as number, scale)));
        return apply('float_to_decimal', { scale });
      }
      case 'boolean int64':
        return apply('boolean_to_int');
      case 'boolean float64':
        return apply('int_to_float', {}, operation('boolean_to_int', INT64, [node.typed]));
      case 'int64 string':
        return apply('int_to_string');
      case 'decimal string':
        return apply('decimal_to_string', { from: scaleOf(from) });
      case 'boolean string':
        return apply('boolean_to_string');
      case 'date string':
        return apply('date_to_string');
      case 'timestamp string':
        return apply('timestamp_to_string');
      case 'string int64':
        return apply('string_to_int');
      case 'string float64':
        return apply('string_to_float');
      case 'string decimal':
        return apply('string_to_decimal', { scale: scaleOf(to) });
      case 'string boolean':
        return apply('string_to_boolean');
      case 'string date':
        return apply('string_to_date');
      case 'string timestamp':
        return apply('string_to_timestamp');
      case 'date timestamp':
        return apply('date_to_timestamp');
      case 'timestamp date':
        return apply('timestamp_to_date');
      default:
        return fail(
          span,
          `there is no cast from ${printType(from)} to ${printType(to)}`,
          path === 'float64 string'
            ? 'Engines print float64 differently; CAST it AS decimal(n) first.'
            : undefined,
        );
    }
  }
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) freeze(inner);
  }
  return value;
}

const frozenMap = (entries: ReadonlyMap<string, ValueType>): ReadonlyMap<string, ValueType> => {
  const map = new Map(entries);
  const refuse = (): never => {
    throw new TypeError('the map is frozen');
  };
  return Object.freeze(Object.assign(map, { set: refuse, delete: refuse, clear: refuse }));
};

/**
 * Types an expression against a scope. Names of unknown type take the type of what they are compared with or
 * passed to; float64 in arithmetic, beside number literals and where nothing tells.
 */
export function checkExpression(ast: ParsedExpression, scope: Scope): CheckResult {
  const inferred = new Map<string, ValueType>();
  const pass = (last: boolean): { checker: Checker; root: Checked | undefined } => {
    const checker = new Checker(scope, inferred, last);
    try {
      return { checker, root: checker.settle(checker.check(ast.root)) };
    } catch (error) {
      if (!(error instanceof ProblemSignal)) throw error;
      checker.problems.push(error.problem);
      return { checker, root: undefined };
    }
  };
  let changed = true;
  while (changed) changed = pass(false).checker.changed;
  changed = true;
  while (changed) changed = pass(true).checker.changed;
  const { checker, root } = pass(true);
  if (checker.problems.length > 0 || root === undefined || !isType(root.kind)) {
    return { ok: false, problems: Object.freeze(checker.problems) };
  }
  return {
    ok: true,
    expression: Object.freeze({
      type: freeze(root.kind),
      ast: freeze(root.typed),
      slots: Object.freeze([...checker.slots.values()]),
      inferred: frozenMap(inferred),
      text: ast.text,
      canonical: canonicalText(ast.root),
    }),
  };
}
