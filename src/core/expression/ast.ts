import type { Integer, ValueType } from '../schema/types.js';
import { printType } from '../schema/types.js';

/** Where a node stands in the text: UTF-16 offset and length. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

export type BinaryOperator =
  | '+'
  | '-'
  | '*'
  | '/'
  | '//'
  | '%'
  | '||'
  | '='
  | '<>'
  | '<'
  | '<='
  | '>'
  | '>='
  | 'and'
  | 'or'
  | 'is distinct from'
  | 'is not distinct from';

export type LiteralValue =
  | { readonly kind: 'null' }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'int64'; readonly value: Integer }
  | { readonly kind: 'decimal'; readonly value: Integer; readonly scale: number }
  | { readonly kind: 'float64'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'timestamp'; readonly value: number; readonly text: string }
  | { readonly kind: 'date'; readonly value: number; readonly text: string }
  | { readonly kind: 'duration'; readonly value: number; readonly text: string };

export type Ast = Span &
  (
    | { readonly node: 'literal'; readonly literal: LiteralValue }
    | { readonly node: 'name'; readonly path: readonly string[] }
    | { readonly node: 'unary'; readonly operator: '-' | 'not'; readonly operand: Ast }
    | { readonly node: 'binary'; readonly operator: BinaryOperator; readonly left: Ast; readonly right: Ast }
    | { readonly node: 'is null'; readonly operand: Ast; readonly negated: boolean }
    | {
        readonly node: 'between';
        readonly operand: Ast;
        readonly low: Ast;
        readonly high: Ast;
        readonly negated: boolean;
      }
    | {
        readonly node: 'in';
        readonly operand: Ast;
        readonly items: readonly Ast[];
        readonly negated: boolean;
      }
    | {
        readonly node: 'like';
        readonly operand: Ast;
        readonly pattern: string;
        readonly escape: string | undefined;
        readonly negated: boolean;
      }
    | {
        readonly node: 'case';
        readonly operand: Ast | undefined;
        readonly branches: readonly { readonly when: Ast; readonly value: Ast }[];
        readonly otherwise: Ast | undefined;
      }
    | { readonly node: 'cast'; readonly operand: Ast; readonly type: ValueType }
    | {
        readonly node: 'call';
        readonly name: string;
        readonly nameLength: number;
        readonly args: readonly Ast[];
      }
  );

/** A read expression: its text and its tree. Names and types are not looked at yet. */
export interface ParsedExpression {
  readonly text: string;
  readonly root: Ast;
}

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;

export const RESERVED: ReadonlySet<string> = new Set([
  'and',
  'or',
  'not',
  'is',
  'null',
  'in',
  'like',
  'between',
  'case',
  'when',
  'then',
  'else',
  'end',
  'true',
  'false',
  'cast',
  'try_cast',
  'distinct',
  'from',
  'escape',
]);

const printName = (part: string): string =>
  /^[A-Za-z_][A-Za-z0-9_]*$/.test(part) && !RESERVED.has(part.toLowerCase())
    ? part
    : `"${part.replaceAll('"', '""')}"`;

/** The text of a decimal: 150 at scale 2 → `1.50`. */
export function printDecimal(unscaled: Integer, scale: number): string {
  const negative = unscaled < 0;
  const digits = String(negative ? -BigInt(unscaled) : unscaled).padStart(scale + 1, '0');
  const whole = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  return negative ? `-${whole}` : whole;
}

export function printFloat(value: number): string {
  const text = String(value);
  return /e/.test(text) ? text.replace('e+', 'e') : `${text}e0`;
}

function printLiteral(literal: LiteralValue): string {
  switch (literal.kind) {
    case 'null':
      return 'null';
    case 'boolean':
      return String(literal.value);
    case 'int64':
      return String(literal.value);
    case 'decimal':
      return printDecimal(literal.value, literal.scale);
    case 'float64':
      return printFloat(literal.value);
    case 'string':
      return quote(literal.value);
    case 'timestamp':
    case 'date':
    case 'duration':
      return literal.kind === 'duration'
        ? `duration(${quote(literal.text)})`
        : `${literal.kind} ${quote(literal.text)}`;
  }
}

/**
 * One text for all spellings of one tree: lower-case words, one space, every operator in parentheses. It reads
 * back to the same tree.
 */
export function canonicalText(ast: Ast): string {
  const not = (negated: boolean): string => (negated ? 'not ' : '');
  switch (ast.node) {
    case 'literal':
      return printLiteral(ast.literal);
    case 'name':
      return ast.path.map(printName).join('.');
    case 'unary':
      if (ast.operator === 'not') return `(not ${canonicalText(ast.operand)})`;
      // a sign before a bare number would be read as part of it
      return ast.operand.node === 'literal'
        ? `(- (${canonicalText(ast.operand)}))`
        : `(- ${canonicalText(ast.operand)})`;
    case 'binary':
      return `(${canonicalText(ast.left)} ${ast.operator} ${canonicalText(ast.right)})`;
    case 'is null':
      return `(${canonicalText(ast.operand)} is ${not(ast.negated)}null)`;
    case 'between':
      return `(${canonicalText(ast.operand)} ${not(ast.negated)}between ${canonicalText(ast.low)} and ${canonicalText(ast.high)})`;
    case 'in':
      return `(${canonicalText(ast.operand)} ${not(ast.negated)}in (${ast.items.map(canonicalText).join(', ')}))`;
    case 'like': {
      const escaping = ast.escape === undefined ? '' : ` escape ${quote(ast.escape)}`;
      return `(${canonicalText(ast.operand)} ${not(ast.negated)}like ${quote(ast.pattern)}${escaping})`;
    }
    case 'case': {
      const parts = ['case'];
      if (ast.operand) parts.push(canonicalText(ast.operand));
      for (const { when, value } of ast.branches)
        parts.push(`when ${canonicalText(when)} then ${canonicalText(value)}`);
      if (ast.otherwise) parts.push(`else ${canonicalText(ast.otherwise)}`);
      return `${parts.join(' ')} end`;
    }
    case 'cast':
      return `cast(${canonicalText(ast.operand)} as ${printType(ast.type)})`;
    case 'call':
      return `${ast.name}(${ast.args.map(canonicalText).join(', ')})`;
  }
}
