import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  checkExpression,
  compileJs,
  type Expression,
  parseExpression,
  printSql,
} from '../../src/core/expression/index.js';
import type { Value } from '../../src/core/schema/types.js';
import { type Duck, openDuck } from './duck.js';
import { anyKind, COLUMNS, generate, hostileRows, random } from './hostile.js';

const COUNT = Number(process.env['MILLRACE_EXPRESSIONS'] ?? 320);
const SEED = Number(process.env['MILLRACE_SEED'] ?? 20_240_310);
const BATCH = 40;

const SCOPE = {
  resolve: (path: readonly string[]) => {
    const type = COLUMNS[path.join('.')];
    return type && { type, slot: path.join('.') };
  },
  names: () => Object.keys(COLUMNS),
};

function read(text: string): Expression | undefined {
  const parsed = parseExpression(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.problem.message}`);
  const checked = checkExpression(parsed.ast, SCOPE);
  if (checked.ok) return checked.expression;
  // the generator does not count decimal places
  if (checked.problems.every(({ message }) => message.includes('decimal places'))) return undefined;
  throw new Error(`${text}: ${checked.problems[0]!.message}`);
}

const show = (value: Value): string =>
  Object.is(value, -0) ? '-0' : typeof value === 'bigint' ? `${value}n` : JSON.stringify(value);

describe('JavaScript and DuckDB', () => {
  const rows = hostileRows(160, SEED);
  let duck: Duck;
  beforeAll(async () => {
    duck = await openDuck(rows);
  });
  afterAll(() => duck.close());

  it('give the same bits for random typed expressions over hostile rows', async () => {
    const next = random(SEED);
    const problems: string[] = [];
    let compared = 0;
    for (let done = 0; done < COUNT; done += BATCH) {
      const batch: Expression[] = [];
      while (batch.length < BATCH) {
        const expression = read(generate(next, anyKind(next), 1 + Math.floor(next() * 4)));
        if (expression) batch.push(expression);
      }
      const sql = batch.map((expression) =>
        printSql(expression, { dialect: 'duckdb', column: (slot) => slot }),
      );
      let result: Awaited<ReturnType<Duck['evaluate']>>;
      try {
        result = await duck.evaluate(sql);
      } catch (error) {
        for (const [i, one] of sql.entries()) {
          await duck
            .evaluate([one])
            .catch((single: Error) => problems.push(`${batch[i]!.text}\n  ${one}\n  ${single.message}`));
        }
        if (problems.length === 0) problems.push(String(error));
        continue;
      }
      for (const [i, expression] of batch.entries()) {
        const run = compileJs(expression);
        for (const [n, row] of rows.entries()) {
          const js = run(expression.slots.map(({ slot }) => row[slot]!));
          const other = result.columns[i]![n]!;
          compared++;
          if (Object.is(js, other)) continue;
          const inputs = expression.slots.map(({ slot }) => `${slot}=${show(row[slot]!)}`).join(' ');
          problems.push(`${expression.text}\n  ${inputs}\n  js ${show(js)}  sql ${show(other)}\n  ${sql[i]}`);
          break;
        }
        const type = expression.type;
        if (type.kind === 'boolean') {
          const wanted = rows.filter(
            (row) => run(expression.slots.map(({ slot }) => row[slot]!)) === true,
          ).length;
          const kept = await duck.kept(sql[i]!);
          if (kept !== wanted)
            problems.push(`where ${expression.text}\n  js ${wanted} rows  sql ${kept} rows\n  ${sql[i]}`);
        }
        if (type.kind === 'decimal' && !result.types[i]!.endsWith(`,${type.scale})`))
          problems.push(`${expression.text}: ${result.types[i]}`);
      }
    }
    expect(problems.slice(0, 8).join('\n\n'), `${problems.length} expressions differ`).toBe('');
    expect(compared).toBeGreaterThanOrEqual(COUNT * rows.length);
  });
});
