import type { Span } from './ast.js';

export type Token = Span & {
  readonly kind: 'number' | 'string' | 'word' | 'quoted' | 'symbol' | 'end';
  readonly text: string;
};

/** What is wrong in an expression, and where: UTF-16 offset and length in its text. */
export interface ExpressionProblem extends Span {
  readonly message: string;
  readonly hint?: string;
  readonly nearest?: string;
}

/** Carries a problem from deep in the reader to `parseExpression`; never leaves this folder. */
export class ProblemSignal extends Error {
  readonly problem: ExpressionProblem;
  constructor(problem: ExpressionProblem) {
    super(problem.message);
    this.problem = problem;
  }
}

export function fail(span: Span, message: string, hint?: string, nearest?: string): never {
  throw new ProblemSignal({
    message,
    offset: span.offset,
    length: span.length,
    ...(hint === undefined ? {} : { hint }),
    ...(nearest === undefined ? {} : { nearest }),
  });
}

const SYMBOLS = [
  '<=',
  '>=',
  '<>',
  '!=',
  '||',
  '//',
  '+',
  '-',
  '*',
  '/',
  '%',
  '=',
  '<',
  '>',
  '(',
  ')',
  ',',
  '.',
];
const WRONG_SYMBOLS: Readonly<Record<string, string>> = {
  '==': 'Write = to compare.',
  '&&': 'Write AND.',
  '::': 'Write CAST(value AS type).',
  '=>': 'Write >= for "greater or equal".',
};

function quoted(text: string, offset: number, mark: string): { value: string; end: number } {
  let value = '';
  let at = offset + 1;
  for (;;) {
    const close = text.indexOf(mark, at);
    if (close < 0) {
      fail(
        { offset, length: text.length - offset },
        mark === "'" ? 'a text literal is not closed' : 'a quoted name is not closed',
        `Add ${mark} at its end; inside it, write ${mark}${mark} for one ${mark}.`,
      );
    }
    value += text.slice(at, close);
    if (text[close + 1] !== mark) return { value, end: close + 1 };
    value += mark;
    at = close + 2;
  }
}

export function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (/\s/.test(char)) {
      at++;
      continue;
    }
    if (char === "'" || char === '"') {
      const { value, end } = quoted(text, at, char);
      const span = { offset: at, length: end - at };
      if (value.includes('\0') || /\p{Surrogate}/u.test(value))
        fail(span, 'a text may not hold NUL or half a surrogate pair');
      if (char === '"' && value === '') fail(span, 'a quoted name is empty');
      tokens.push({ kind: char === "'" ? 'string' : 'quoted', text: value, ...span });
      at = end;
      continue;
    }
    const number = /^(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/.exec(text.slice(at, at + 400));
    if (number) {
      const length = number[0].length;
      if (/[A-Za-z_]/.test(text[at + length] ?? '')) {
        fail(
          { offset: at, length: length + 1 },
          `a number runs into a letter: ${text.slice(at, at + length + 1)}`,
          'Put a space or an operator between them.',
        );
      }
      tokens.push({ kind: 'number', text: number[0], offset: at, length });
      at += length;
      continue;
    }
    const word = /^[\p{L}_][\p{L}\p{M}\p{N}_]*/u.exec(text.slice(at, at + 400));
    if (word) {
      tokens.push({ kind: 'word', text: word[0], offset: at, length: word[0].length });
      at += word[0].length;
      continue;
    }
    const pair = text.slice(at, at + 2);
    if (WRONG_SYMBOLS[pair] !== undefined)
      fail({ offset: at, length: 2 }, `there is no operator ${pair}`, WRONG_SYMBOLS[pair]);
    const symbol = SYMBOLS.find((candidate) => text.startsWith(candidate, at));
    if (symbol === undefined) {
      const shown = String.fromCodePoint(text.codePointAt(at)!);
      fail({ offset: at, length: shown.length }, `the character ${shown} has no meaning here`);
    }
    tokens.push({ kind: 'symbol', text: symbol === '!=' ? '<>' : symbol, offset: at, length: symbol.length });
    at += symbol.length;
  }
  tokens.push({ kind: 'end', text: 'the end of the expression', offset: text.length, length: 0 });
  return tokens;
}
