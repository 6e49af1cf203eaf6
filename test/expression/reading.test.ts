import { describe, expect, it } from 'vitest';
import { canonicalText } from '../../src/core/expression/ast.js';
import { parseExpression } from '../../src/core/expression/index.js';
import { random } from '../world.js';
import { anyKind, generate } from './hostile.js';

function canonical(text: string): string {
  const parsed = parseExpression(text);
  return parsed.ok
    ? canonicalText(parsed.ast.root)
    : `${parsed.problem.offset}+${parsed.problem.length}: ${parsed.problem.message}`;
}

describe('reading', () => {
  const check = (input: string, expected: string): void => {
    it(`${JSON.stringify(input)} reads as ${expected}`, () => expect(canonical(input)).toBe(expected));
  };
  check('a + b * c', '(a + (b * c))');
  check('a - b - c', '((a - b) - c)');
  check('a / b // c % d', '(((a / b) // c) % d)');
  check('- a * b', '((- a) * b)');
  check('-5', '-5');
  check('- -5', '(- (-5))');
  check('-(5)', '(- (5))');
  check('-9223372036854775808', '-9223372036854775808');
  check('+a', 'a');
  check('NOT a AND b OR c', '(((not a) and b) or c)');
  check('NOT a = b', '(not (a = b))');
  check('a OR b AND c', '(a or (b and c))');
  check('a || b = c', '((a || b) = c)');
  check("a + b || 'x'", "((a + b) || 'x')");
  check('a != b', '(a <> b)');
  check('a BETWEEN 1 AND 2 AND b', '((a between 1 and 2) and b)');
  check('a NOT IN (1, 2)', '(a not in (1, 2))');
  check("a NOT LIKE 'x!%' ESCAPE '!'", "(a not like 'x!%' escape '!')");
  check('a IS NOT NULL IS NULL', '((a is not null) is null)');
  check('a IS NOT DISTINCT FROM b', '(a is not distinct from b)');
  check('CASE a WHEN 1 THEN 2 ELSE 3 END', 'case a when 1 then 2 else 3 end');
  check('case when a then b end', 'case when a then b end');
  check('TRY_CAST(a AS Decimal( 2 ))', 'cast(a as decimal(2))');
  check('CAST(a AS double)', 'cast(a as float64)');
  check('1.50', '1.50');
  check('.5', '0.5');
  check('1e3', '1000e0');
  check('0.1234567890123456', '0.1234567890123456e0');
  check("'it''s'", "'it''s'");
  check('"my ""col""".x', '"my ""col""".x');
  check('"case"', '"case"');
  check('request . amount', 'request.amount');
  check("date + timestamp + date '2024-01-01'", "((date + timestamp) + date '2024-01-01')");
  check("INTERVAL '1 hour 30 minutes'", "duration('1 hour 30 minutes')");
  check('Round(X,2)', 'round(X, 2)');
  check('größe > 1', '("größe" > 1)');

  check('', '0+0: the expression is empty');
  check('a +', '3+0: expected a value but the expression ends');
  check('a b', '2+1: expected an operator or the end but found "b"');
  check('(a', '2+0: expected ) but found the end of the expression');
  check('a == b', '2+2: there is no operator ==');
  check('a::int', '1+2: there is no operator ::');
  check('a < b < c', '6+1: comparisons do not chain');
  check("'abc", '0+4: a text literal is not closed');
  check('12abc', '0+3: a number runs into a letter: 12a');
  check('9223372036854775808', '0+19: 9223372036854775808 does not fit in int64');
  check("timestamp '2024-13-01'", "10+12: '2024-13-01' is no timestamp");
  check("date '2023-02-29'", "5+12: '2023-02-29' is no date");
  check("duration('1 month')", "9+9: '1 month' is no duration");
  check('cast(a as strnig)', '10+6: there is no type strnig');
  check('a like b', '7+1: LIKE takes a pattern written as a text literal, not "b"');
  check("a like 'x!' escape '!'", '19+3: the pattern ends in its escape character');
  check('case else 1 end', '5+4: expected a value but found the word ELSE');
  check('a IS 5', '5+1: expected NULL or DISTINCT FROM after IS but found "5"');
  check('a # b', '2+1: the character # has no meaning here');
  check('1e999', '0+5: 1e999 is too large for float64');

  it('names the nearest type', () => {
    const parsed = parseExpression('cast(a as strng)');
    expect(!parsed.ok && parsed.problem.nearest).toBe('string');
  });

  it('refuses nesting that would exhaust the stack', () => {
    for (const text of [
      `${'('.repeat(5000)}1`,
      'not '.repeat(5000),
      '- '.repeat(5000),
      Array(3000).fill('1').join('+'),
    ]) {
      expect(parseExpression(text).ok).toBe(false);
    }
  });

  it('prints a canonical text that reads back to itself', () => {
    const next = random(7);
    for (let i = 0; i < 400; i++) {
      const once = canonical(generate(next, anyKind(next), 4));
      expect(canonical(once)).toBe(once);
    }
  });
});
