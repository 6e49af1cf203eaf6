import { nearest } from '../base/nearest.js';
import { dateToDays, MICROS_PER_SECOND, parseDuration, parseInstant } from '../base/time.js';
import { type Integer, parseType, TYPE_NAMES } from '../schema/types.js';
import {
  type Ast,
  type BinaryOperator,
  type LiteralValue,
  type ParsedExpression,
  RESERVED,
  type Span,
} from './ast.js';
import { type ExpressionProblem, fail, ProblemSignal, type Token, tokenize } from './lex.js';

export type ParseResult =
  | { readonly ok: true; readonly ast: ParsedExpression }
  | { readonly ok: false; readonly problem: ExpressionProblem };

const MAX_DEPTH = 200;
const MAX_SCALE = 15;
const MAX_DIGITS = 18;
const COMPARISONS: ReadonlySet<string> = new Set(['=', '<>', '<', '<=', '>', '>=']);
const INT64_MAX = 9_223_372_036_854_775_807n;

const UNITS: Readonly<Record<string, string>> = {
  microsecond: 'us',
  millisecond: 'ms',
  second: 's',
  minute: 'm',
  hour: 'h',
  day: 'd',
  week: 'w',
};

export function toInteger(value: bigint): Integer {
  return value >= -9_007_199_254_740_991n && value <= 9_007_199_254_740_991n ? Number(value) : value;
}

/** `YYYY-MM-DD` as days since 1970-01-01. */
export function parseDateText(text: string): number | undefined {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  return match ? dateToDays(Number(match[1]), Number(match[2]), Number(match[3])) : undefined;
}

/** `1h`, `1d12h`, and the words `1 hour`, `2 days 3 hours`; microseconds. */
function parseDurationText(text: string): number | undefined {
  const compact = text
    .trim()
    .toLowerCase()
    .replaceAll(
      /(\d+)\s*(microsecond|millisecond|second|minute|hour|day|week)s?\b\s*/g,
      (_, n: string, unit: string) => n + UNITS[unit]!,
    );
  return parseDuration(compact);
}

function numberLiteral(token: Token, negative: boolean): LiteralValue {
  const sign = negative ? -1n : 1n;
  if (/^\d+$/.test(token.text)) {
    const value = sign * BigInt(token.text);
    if (value > INT64_MAX || value < -INT64_MAX - 1n) {
      fail(
        token,
        `${negative ? '-' : ''}${token.text} does not fit in int64`,
        `Write ${token.text}e0 for a float64.`,
      );
    }
    return { kind: 'int64', value: toInteger(value) };
  }
  const decimal = /^(\d*)\.(\d*)$/.exec(token.text);
  if (decimal) {
    const digits = (decimal[1]! + decimal[2]!).replace(/^0+/, '');
    const scale = decimal[2]!.length;
    if (scale <= MAX_SCALE && digits.length <= MAX_DIGITS) {
      return { kind: 'decimal', value: toInteger(sign * BigInt(digits || '0')), scale };
    }
  }
  const value = Number(token.text);
  if (!Number.isFinite(value)) fail(token, `${token.text} is too large for float64`);
  return { kind: 'float64', value: value === 0 ? 0 : negative ? -value : value };
}

class Reader {
  private at = 0;
  private depth = 0;
  private readonly text: string;
  private readonly tokens: readonly Token[];

  constructor(text: string) {
    this.text = text;
    this.tokens = tokenize(text);
  }

  private get token(): Token {
    return this.tokens[this.at]!;
  }

  private peek(distance: number): Token {
    return this.tokens[Math.min(this.at + distance, this.tokens.length - 1)]!;
  }

  private isWord(word: string, distance = 0): boolean {
    const token = this.peek(distance);
    return token.kind === 'word' && token.text.toLowerCase() === word;
  }

  private takeWord(word: string): boolean {
    if (!this.isWord(word)) return false;
    this.at++;
    return true;
  }

  private takeSymbol(symbol: string): boolean {
    if (this.token.kind !== 'symbol' || this.token.text !== symbol) return false;
    this.at++;
    return true;
  }

  private shown(token: Token): string {
    return token.kind === 'end'
      ? token.text
      : `"${this.text.slice(token.offset, token.offset + token.length)}"`;
  }

  private expectSymbol(symbol: string, opening?: Token): void {
    if (this.takeSymbol(symbol)) return;
    const hint = opening && `It closes the ( at character ${opening.offset + 1}.`;
    fail(this.token, `expected ${symbol} but found ${this.shown(this.token)}`, hint);
  }

  private expectWord(word: string): void {
    if (!this.takeWord(word))
      fail(this.token, `expected ${word.toUpperCase()} but found ${this.shown(this.token)}`);
  }

  private span(start: Span): Span {
    const last = this.tokens[this.at - 1] ?? this.token;
    return { offset: start.offset, length: last.offset + last.length - start.offset };
  }

  read(): Ast {
    if (this.tokens.length === 1) fail(this.token, 'the expression is empty');
    const ast = this.expression();
    if (this.token.kind !== 'end') {
      const hint =
        this.token.kind === 'word' || this.token.kind === 'quoted' || this.token.kind === 'string'
          ? 'Put an operator between the two, or quote a name with spaces as "my name".'
          : undefined;
      fail(this.token, `expected an operator or the end but found ${this.shown(this.token)}`, hint);
    }
    return ast;
  }

  private expression(): Ast {
    if (++this.depth > MAX_DEPTH)
      fail(this.token, `the expression is nested deeper than ${MAX_DEPTH} levels`);
    const ast = this.disjunction();
    this.depth--;
    return ast;
  }

  private chain(next: () => Ast, operators: () => BinaryOperator | undefined): Ast {
    const start = this.token;
    let left = next();
    let links = 0;
    for (;;) {
      const operator = operators();
      if (operator === undefined) return left;
      if (++links > MAX_DEPTH * 5) fail(this.token, `more than ${MAX_DEPTH * 5} operators in a row`);
      this.at++;
      const right = next();
      left = { node: 'binary', operator, left, right, ...this.span(start) };
    }
  }

  private symbolOf(symbols: readonly string[]): BinaryOperator | undefined {
    const token = this.token;
    return token.kind === 'symbol' && symbols.includes(token.text)
      ? (token.text as BinaryOperator)
      : undefined;
  }

  private disjunction(): Ast {
    return this.chain(
      () => this.conjunction(),
      () => (this.isWord('or') ? 'or' : undefined),
    );
  }

  private conjunction(): Ast {
    return this.chain(
      () => this.negation(),
      () => (this.isWord('and') ? 'and' : undefined),
    );
  }

  private negation(): Ast {
    const start = this.token;
    if (!this.takeWord('not')) return this.comparison();
    if (++this.depth > MAX_DEPTH) fail(start, `the expression is nested deeper than ${MAX_DEPTH} levels`);
    const operand = this.negation();
    this.depth--;
    return { node: 'unary', operator: 'not', operand, ...this.span(start) };
  }

  private comparison(): Ast {
    const start = this.token;
    let left = this.concatenation();
    let compared = false;
    for (;;) {
      const token = this.token;
      if (token.kind === 'symbol' && COMPARISONS.has(token.text)) {
        if (compared) fail(token, 'comparisons do not chain', 'Write a < b AND b < c.');
        compared = true;
        this.at++;
        const right = this.concatenation();
        left = { node: 'binary', operator: token.text as BinaryOperator, left, right, ...this.span(start) };
        continue;
      }
      if (this.isWord('is')) {
        left = this.isTest(left, start);
        continue;
      }
      const negated = this.isWord('not') && ['in', 'like', 'between'].some((word) => this.isWord(word, 1));
      if (negated) this.at++;
      if (this.takeWord('in')) left = this.inList(left, start, negated);
      else if (this.takeWord('between')) {
        const low = this.concatenation();
        this.expectWord('and');
        const high = this.concatenation();
        left = { node: 'between', operand: left, low, high, negated, ...this.span(start) };
      } else if (this.takeWord('like')) left = this.like(left, start, negated);
      else return left;
    }
  }

  private isTest(left: Ast, start: Token): Ast {
    this.at++;
    const negated = this.takeWord('not');
    if (this.takeWord('null')) return { node: 'is null', operand: left, negated, ...this.span(start) };
    if (this.takeWord('distinct')) {
      this.expectWord('from');
      const right = this.concatenation();
      const operator = negated ? 'is not distinct from' : 'is distinct from';
      return { node: 'binary', operator, left, right, ...this.span(start) };
    }
    return fail(this.token, `expected NULL or DISTINCT FROM after IS but found ${this.shown(this.token)}`);
  }

  private inList(left: Ast, start: Token, negated: boolean): Ast {
    const opening = this.token;
    this.expectSymbol('(');
    const items = [this.expression()];
    while (this.takeSymbol(',')) items.push(this.expression());
    this.expectSymbol(')', opening);
    return { node: 'in', operand: left, items, negated, ...this.span(start) };
  }

  private like(left: Ast, start: Token, negated: boolean): Ast {
    const pattern = this.literalText('LIKE takes a pattern written as a text literal');
    let mark: string | undefined;
    if (this.takeWord('escape')) {
      const token = this.token;
      mark = this.literalText('ESCAPE takes one character in quotes');
      if (!/^[\x21-\x7e]$/.test(mark) || mark === '%' || mark === '_') {
        fail(token, 'ESCAPE takes one printable ASCII character other than % and _');
      }
      let at = 0;
      while (at < pattern.length) at += pattern[at] === mark ? 2 : 1;
      if (at > pattern.length) fail(token, 'the pattern ends in its escape character');
    }
    return { node: 'like', operand: left, pattern, escape: mark, negated, ...this.span(start) };
  }

  private literalText(message: string): string {
    const token = this.token;
    if (token.kind !== 'string') fail(token, `${message}, not ${this.shown(token)}`);
    this.at++;
    return token.text;
  }

  private concatenation(): Ast {
    return this.chain(
      () => this.sum(),
      () => this.symbolOf(['||']),
    );
  }

  private sum(): Ast {
    return this.chain(
      () => this.product(),
      () => this.symbolOf(['+', '-']),
    );
  }

  private product(): Ast {
    return this.chain(
      () => this.signed(),
      () => this.symbolOf(['*', '/', '//', '%']),
    );
  }

  private signed(): Ast {
    const start = this.token;
    if (this.takeSymbol('+')) return this.signed();
    if (!this.takeSymbol('-')) return this.primary();
    if (this.token.kind === 'number') {
      const token = this.token;
      this.at++;
      return { node: 'literal', literal: numberLiteral(token, true), ...this.span(start) };
    }
    if (++this.depth > MAX_DEPTH) fail(start, `the expression is nested deeper than ${MAX_DEPTH} levels`);
    const operand = this.signed();
    this.depth--;
    return { node: 'unary', operator: '-', operand, ...this.span(start) };
  }

  private literal(literal: LiteralValue, start: Token): Ast {
    return { node: 'literal', literal, ...this.span(start) };
  }

  private primary(): Ast {
    const start = this.token;
    switch (start.kind) {
      case 'number':
        this.at++;
        return this.literal(numberLiteral(start, false), start);
      case 'string':
        this.at++;
        return this.literal({ kind: 'string', value: start.text }, start);
      case 'quoted':
        return this.name();
      case 'symbol':
        if (this.takeSymbol('(')) {
          const inner = this.expression();
          this.expectSymbol(')', start);
          return inner;
        }
        return fail(start, `expected a value but found ${this.shown(start)}`);
      case 'end':
        return fail(start, 'expected a value but the expression ends');
      case 'word':
        return this.word(start);
    }
  }

  private word(start: Token): Ast {
    const word = start.text.toLowerCase();
    if (word === 'true' || word === 'false') {
      this.at++;
      return this.literal({ kind: 'boolean', value: word === 'true' }, start);
    }
    if (word === 'null') {
      this.at++;
      return this.literal({ kind: 'null' }, start);
    }
    if (word === 'case') return this.caseOf(start);
    if (word === 'cast' || word === 'try_cast') return this.cast(start);
    const next = this.peek(1);
    if (next.kind === 'string' && ['timestamp', 'timestamptz', 'date', 'interval'].includes(word)) {
      this.at += 2;
      return this.timeLiteral(word, next, start);
    }
    const call = next.kind === 'symbol' && next.text === '(';
    if (RESERVED.has(word)) {
      fail(
        start,
        `expected a value but found the word ${word.toUpperCase()}`,
        `A column of this name is written "${start.text}".`,
      );
    }
    return call ? this.call(start) : this.name();
  }

  private timeLiteral(word: string, token: Token, start: Token): Ast {
    if (word === 'interval') return this.duration(token, start);
    if (word === 'date') {
      const value = parseDateText(token.text);
      if (value === undefined) fail(token, `'${token.text}' is no date`, "Write date '2024-03-01'.");
      return this.literal({ kind: 'date', value, text: token.text }, start);
    }
    const value = parseInstant(token.text);
    if (value === undefined)
      fail(
        token,
        `'${token.text}' is no timestamp`,
        "Write timestamp '2024-03-01 12:30:00Z'; without an offset it is UTC.",
      );
    return this.literal({ kind: 'timestamp', value, text: token.text }, start);
  }

  private duration(token: Token, start: Token): Ast {
    const micros = parseDurationText(token.text);
    if (micros === undefined) {
      fail(
        token,
        `'${token.text}' is no duration`,
        "Write duration('1h30m') with the units us ms s m h d w; months and years have no fixed length.",
      );
    }
    return this.literal({ kind: 'duration', value: micros, text: token.text }, start);
  }

  private call(start: Token): Ast {
    const name = start.text.toLowerCase();
    this.at++;
    const opening = this.token;
    this.at++;
    if (name === 'duration') {
      const token = this.token;
      this.literalText('duration() takes a text literal');
      this.expectSymbol(')', opening);
      return this.duration(token, start);
    }
    const args: Ast[] = [];
    if (!this.takeSymbol(')')) {
      args.push(this.expression());
      while (this.takeSymbol(',')) args.push(this.expression());
      this.expectSymbol(')', opening);
    }
    return { node: 'call', name, nameLength: start.length, args, ...this.span(start) };
  }

  private name(): Ast {
    const start = this.token;
    const path = [start.text];
    this.at++;
    while (this.takeSymbol('.')) {
      const part = this.token;
      if (part.kind !== 'word' && part.kind !== 'quoted')
        fail(part, `expected a name after . but found ${this.shown(part)}`);
      path.push(part.text);
      this.at++;
    }
    return { node: 'name', path, ...this.span(start) };
  }

  private caseOf(start: Token): Ast {
    this.at++;
    const operand = this.isWord('when') ? undefined : this.expression();
    const branches: { when: Ast; value: Ast }[] = [];
    while (this.takeWord('when')) {
      const when = this.expression();
      this.expectWord('then');
      branches.push({ when, value: this.expression() });
    }
    if (branches.length === 0) fail(this.token, `expected WHEN but found ${this.shown(this.token)}`);
    const otherwise = this.takeWord('else') ? this.expression() : undefined;
    this.expectWord('end');
    return { node: 'case', operand, branches, otherwise, ...this.span(start) };
  }

  private cast(start: Token): Ast {
    this.at++;
    const opening = this.token;
    this.expectSymbol('(');
    const operand = this.expression();
    this.expectWord('as');
    const first = this.token;
    let nesting = 0;
    while (this.token.kind !== 'end') {
      if (this.token.text === '(' && this.token.kind === 'symbol') nesting++;
      if (this.token.text === ')' && this.token.kind === 'symbol' && nesting-- === 0) break;
      this.at++;
    }
    const text = this.text.slice(first.offset, this.token.offset).trim();
    const type = parseType(text);
    if (type === undefined) {
      const near = nearest(text, TYPE_NAMES);
      fail(
        { offset: first.offset, length: text.length },
        `there is no type ${text || '(nothing)'}`,
        `The types are ${TYPE_NAMES.join(', ')}.`,
        near,
      );
    }
    this.expectSymbol(')', opening);
    return { node: 'cast', operand, type, ...this.span(start) };
  }
}

/** Reads one expression. The first problem is reported with its place in the text. */
export function parseExpression(text: string): ParseResult {
  try {
    return { ok: true, ast: { text, root: new Reader(text).read() } };
  } catch (error) {
    if (error instanceof ProblemSignal) return { ok: false, problem: error.problem };
    throw error;
  }
}

/** Seconds of a duration literal, its value outside of timestamp arithmetic. */
export const durationSeconds = (micros: number): number => micros / MICROS_PER_SECOND;
