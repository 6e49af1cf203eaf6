import { nearest } from '../base/nearest.js';
import { BOOLEAN, decimal, FLOAT64, type Scalar, STRING, type ValueType } from '../schema/types.js';
import { arithmetic, negate } from './arithmetic.js';
import { type Ast, canonicalText, type LiteralValue, type ParsedExpression } from './ast.js';
import { FUNCTION_NAMES, findFunction } from './functions.js';
import { type ExpressionProblem, fail, ProblemSignal } from './lex.js';
import { durationSeconds } from './parse.js';
import type { Expression, Slot, Typed } from './typed.js';
import { type Checked, isType, literalOf, NULL_KIND, operation, Typing, UNKNOWN } from './typing.js';

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

/** One pass over the tree: what each node is, and the slots that names stand for. */
class Checker {
  readonly problems: ExpressionProblem[] = [];
  readonly slots = new Map<string, Slot>();
  readonly typing: Typing;
  private readonly scope: Scope;

  constructor(scope: Scope, typing: Typing) {
    this.scope = scope;
    this.typing = typing;
  }

  check(ast: Ast): Checked {
    switch (ast.node) {
      case 'literal':
        return this.literal(ast, ast.literal);
      case 'name':
        return this.name(ast, ast.path);
      case 'unary':
        if (ast.operator === 'not')
          return this.typing.apply(ast, 'not', BOOLEAN, [
            this.typing.to(this.check(ast.operand), BOOLEAN, 'NOT'),
          ]);
        return negate(this.typing, ast, this.check(ast.operand));
      case 'binary':
        return this.binary(ast);
      case 'is null': {
        const operand = this.check(ast.operand);
        return this.typing.apply(ast, ast.negated ? 'is_not_null' : 'is_null', BOOLEAN, [
          this.typing.settle(operand).typed,
        ]);
      }
      case 'between':
        return this.negated(ast, 'between', [ast.operand, ast.low, ast.high], ast.negated);
      case 'in':
        return this.negated(ast, 'in', [ast.operand, ...ast.items], ast.negated);
      case 'like': {
        const operand = this.typing.to(this.check(ast.operand), STRING, 'LIKE');
        const like = operation('like', BOOLEAN, [operand], { pattern: ast.pattern, escape: ast.escape });
        return this.typing.done(ast, BOOLEAN, ast.negated ? operation('not', BOOLEAN, [like]) : like);
      }
      case 'case':
        return this.caseOf(ast);
      case 'cast':
        return this.typing.cast(ast, this.check(ast.operand), ast.type);
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
          this.typing,
          ast,
          ast.args.map((arg) => this.check(arg)),
        );
      }
    }
  }

  private literal(span: Ast, literal: LiteralValue): Checked {
    const as = (type: ValueType, value: Scalar): Checked => ({
      ...this.typing.done(span, type, literalOf(type, value)),
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
    const type = found.type ?? this.typing.inferredType(found.slot);
    if (!this.slots.has(found.slot)) {
      this.slots.set(
        found.slot,
        Object.freeze({ slot: found.slot, path: Object.freeze([...path]), type: type ?? FLOAT64 }),
      );
    }
    const index = [...this.slots.keys()].indexOf(found.slot);
    const typed: Typed = { node: 'column', type: type ?? FLOAT64, slot: found.slot, index };
    if (type !== undefined) return this.typing.done(span, type, typed);
    if (this.typing.last)
      this.typing.adopt({ kind: UNKNOWN, typed, span, open: [found.slot], literal: undefined }, FLOAT64);
    return { kind: UNKNOWN, typed, span, open: [found.slot], literal: undefined };
  }

  private binary(ast: Ast & { node: 'binary' }): Checked {
    const left = this.check(ast.left);
    const right = this.check(ast.right);
    switch (ast.operator) {
      case 'and':
      case 'or': {
        const word = ast.operator.toUpperCase();
        return this.typing.apply(ast, ast.operator, BOOLEAN, [
          this.typing.to(left, BOOLEAN, word),
          this.typing.to(right, BOOLEAN, word),
        ]);
      }
      case '||':
        return this.typing.apply(ast, 'join_text', STRING, [
          this.typing.to(left, STRING, '||'),
          this.typing.to(right, STRING, '||'),
        ]);
      case '+':
      case '-':
      case '*':
      case '/':
      case '//':
      case '%':
        return arithmetic(this.typing, ast, ast.operator, left, right);
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
        return this.typing.apply(ast, ops[ast.operator], BOOLEAN, this.typing.comparable([left, right]));
      }
    }
  }

  private negated(span: Ast, op: 'between' | 'in', operands: readonly Ast[], negated: boolean): Checked {
    const typed = operation(
      op,
      BOOLEAN,
      this.typing.comparable(operands.map((operand) => this.check(operand))),
    );
    return this.typing.done(span, BOOLEAN, negated ? operation('not', BOOLEAN, [typed]) : typed);
  }

  private caseOf(ast: Ast & { node: 'case' }): Checked {
    const operand = ast.operand && this.check(ast.operand);
    const conditions = ast.branches.map(({ when }) => {
      const condition = this.check(when);
      if (operand === undefined) return this.typing.to(condition, BOOLEAN, 'WHEN');
      return operation('eq', BOOLEAN, this.typing.comparable([operand, condition]));
    });
    const values = ast.branches.map(({ value }) => this.check(value));
    if (ast.otherwise) values.push(this.check(ast.otherwise));
    return this.typing.merged(
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
    const checker = new Checker(scope, new Typing(inferred, last));
    try {
      return { checker, root: checker.typing.settle(checker.check(ast.root)) };
    } catch (error) {
      if (!(error instanceof ProblemSignal)) throw error;
      checker.problems.push(error.problem);
      return { checker, root: undefined };
    }
  };
  let changed = true;
  while (changed) changed = pass(false).checker.typing.changed;
  changed = true;
  while (changed) changed = pass(true).checker.typing.changed;
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
