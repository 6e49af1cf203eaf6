import { Dialect, parse } from '@polyglot-sql/sdk';
import { describe, expect, it } from 'vitest';
import {
  checkExpression,
  isSqlExpressible,
  parseExpression,
  printSql,
} from '../../src/core/expression/index.js';
import { random } from '../world.js';
import { anyKind, COLUMNS, generate } from './hostile.js';

const SCOPE = {
  resolve: (path: readonly string[]) => {
    const type = COLUMNS[path.join('.')];
    return type && { type, slot: path.join('.') };
  },
  names: () => Object.keys(COLUMNS),
};

function spark(text: string): string | undefined {
  const parsed = parseExpression(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.problem.message}`);
  const checked = checkExpression(parsed.ast, SCOPE);
  if (!checked.ok || !isSqlExpressible(checked.expression, 'spark')) return undefined;
  return printSql(checked.expression, { dialect: 'spark', column: (slot) => `\`${slot}\`` });
}

/** One expression for each thing that Spark says in its own words. */
const SAID = [
  "s1 = 'it''s \\ ok' and s2 like '100!%' escape '!'",
  "s1 like '%a\\b_'",
  'i1 + i2 * -3',
  'i1 // i2',
  'i1 % i2',
  'd1 * d2 + 1.5',
  'round(d2, 2)',
  'trunc(d2)',
  'f1 / f2 % 3e0',
  'trunc(f1) + round(f2, 2)',
  'cast(f1 as int64)',
  'cast(f1 as decimal(2))',
  'cast(s1 as int64)',
  'cast(s1 as float64)',
  'cast(s1 as decimal(3))',
  'cast(s1 as date)',
  'cast(s1 as timestamp)',
  'cast(d2 as string)',
  'cast(t1 as string)',
  "concat(s1, null, 'x') || lower(s2)",
  'substr(s1, i1, 3)',
  "trim(s1) = rtrim(s2) or contains(s1, s2) or ends_with(s1, 'z') or strpos(s1, s2) > 0",
  "hour(t1, 'Europe/Amsterdam') + dow(t1) + isodow(a1) + second(t2)",
  "date_diff('week', t1, a1) + date_diff('minute', t1, t2)",
  "date_trunc('month', t1) + duration('90m')",
  "t1 - timestamp '2024-03-10T02:30:00Z'",
  'a1 - a2',
  'greatest(i1, i2, null) is distinct from nullif(i1, 0)',
];

describe('Spark SQL', () => {
  it('is written as it was agreed', async () => {
    await expect(SAID.map((text) => `-- ${text}\n${spark(text)}\n`).join('\n')).toMatchFileSnapshot(
      'spark.sql',
    );
  });

  it('is read by a parser of its grammar, for random typed expressions', () => {
    const next = random(5);
    let read = 0;
    const problems: string[] = [];
    while (read < 400) {
      const text =
        read < SAID.length ? SAID[read]! : generate(next, anyKind(next), 1 + Math.floor(next() * 3));
      const sql = spark(text);
      if (sql === undefined) continue;
      read++;
      const result = parse(`SELECT ${sql} AS e FROM rows`, Dialect.Spark);
      if (!result.success) problems.push(`${text}\n  ${sql}\n  ${result.error}`);
    }
    expect(problems.slice(0, 5).join('\n\n'), `${problems.length} are not read`).toBe('');
  });

  it('is not read where it is broken', () => {
    expect(parse('SELECT (1 + FROM rows', Dialect.Spark).success).toBe(false);
  });
});
