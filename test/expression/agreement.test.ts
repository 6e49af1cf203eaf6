import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  checkExpression,
  compileJs,
  type Expression,
  isSqlExpressible,
  parseExpression,
  printSql,
} from '../../src/core/expression/index.js';
import type { Value, ValueType } from '../../src/core/schema/types.js';
import { random } from '../world.js';
import { openDuck } from './duck.js';
import { type Engine, slotsOf } from './engine.js';
import { anyKind, COLUMNS, generate, hostileRows } from './hostile.js';
import { openPostgres } from './postgres.js';

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

/** The engine's names of a type, as an expression's result may carry it. */
const TYPES: Readonly<Record<Engine['dialect'], (type: ValueType) => readonly string[]>> = {
  duckdb: (type) => {
    const plain = { int64: ['BIGINT'], float64: ['DOUBLE'], string: ['VARCHAR'], boolean: ['BOOLEAN'] };
    const wide = { timestamp: ['TIMESTAMP WITH TIME ZONE'], date: ['DATE'] };
    return type.kind === 'decimal'
      ? [18, 38].map((digits) => `DECIMAL(${digits},${type.scale})`)
      : ((plain as Record<string, string[]>)[type.kind] ?? (wide as Record<string, string[]>)[type.kind]!);
  },
  postgres: (type) => [
    {
      int64: 'bigint',
      float64: 'double precision',
      decimal: 'numeric',
      string: 'text',
      boolean: 'boolean',
      timestamp: 'timestamp with time zone',
      date: 'date',
    }[type.kind as 'int64'],
  ],
};

const ENGINES = { DuckDB: openDuck, PostgreSQL: openPostgres } as const;

for (const [name, open] of Object.entries(ENGINES)) {
  describe(`JavaScript and ${name}`, () => {
    const rows = hostileRows(160, SEED);
    let engine: Engine;
    beforeAll(async () => {
      engine = await open(rows);
    });
    afterAll(() => engine?.close());

    it('give the same bits for random typed expressions over hostile rows', async () => {
      const next = random(SEED);
      const problems: string[] = [];
      let compared = 0;
      for (let done = 0; done < COUNT; done += BATCH) {
        const batch: Expression[] = [];
        while (batch.length < BATCH) {
          const expression = read(generate(next, anyKind(next), 1 + Math.floor(next() * 4)));
          if (expression && isSqlExpressible(expression, engine.dialect)) batch.push(expression);
        }
        const sql = batch.map((expression) =>
          printSql(expression, { dialect: engine.dialect, column: (slot) => slot }),
        );
        const wanted = batch.map(({ type }, i) => ({ sql: sql[i]!, type }));
        let result: Awaited<ReturnType<Engine['evaluate']>>;
        let types: readonly string[];
        try {
          result = await engine.evaluate(wanted);
          types = await engine.types(sql);
        } catch (error) {
          for (const [i, one] of wanted.entries()) {
            await engine
              .evaluate([one])
              .catch((single: Error) => problems.push(`${batch[i]!.text}\n  ${sql[i]}\n  ${single.message}`));
          }
          if (problems.length === 0) problems.push(String(error));
          continue;
        }
        for (const [i, expression] of batch.entries()) {
          const run = compileJs(expression);
          for (const [n, row] of rows.entries()) {
            const js = run(slotsOf(expression, row));
            const other = result[i]![n]!;
            compared++;
            if (Object.is(js, other)) continue;
            const inputs = expression.slots.map(({ slot }) => `${slot}=${show(row[slot]!)}`).join(' ');
            problems.push(
              `${expression.text}\n  ${inputs}\n  js ${show(js)}  sql ${show(other)}\n  ${sql[i]}`,
            );
            break;
          }
          const type = expression.type;
          if (type.kind === 'boolean') {
            const expected = rows.filter((row) => run(slotsOf(expression, row)) === true).length;
            const kept = await engine.kept(sql[i]!);
            if (kept !== expected)
              problems.push(`where ${expression.text}\n  js ${expected} rows  sql ${kept} rows\n  ${sql[i]}`);
          }
          if (!TYPES[engine.dialect](type).includes(types[i]!))
            problems.push(`${expression.text}: ${types[i]}`);
        }
      }
      expect(problems.slice(0, 8).join('\n\n'), `${problems.length} expressions differ`).toBe('');
      expect(compared).toBeGreaterThanOrEqual(COUNT * rows.length);
    });
  });
}
