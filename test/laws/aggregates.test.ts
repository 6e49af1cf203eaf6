import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { foldFor, outputTypeOf } from '../../src/core/algebra/catalogue.js';
import type { FoldContext, Member } from '../../src/core/algebra/fold.js';
import { FUNCTION_NAMES, type FunctionArguments } from '../../src/core/define/types.js';
import { decimal, FLOAT64, INT64, STRING, type Value, type ValueType } from '../../src/core/schema/types.js';
import { aggregateSql } from './aggregates.js';

interface Row {
  readonly group: number;
  readonly eventTime: number;
  readonly seq: number;
  readonly by: number | null;
  readonly predicate: boolean | null;
  readonly values: Readonly<Record<string, Value>>;
}

const TYPES: Readonly<Record<string, readonly [ValueType, string]>> = {
  amount: [FLOAT64, 'DOUBLE'],
  price: [decimal(2), 'DECIMAL(18,2)'],
  quantity: [INT64, 'BIGINT'],
  label: [STRING, 'VARCHAR'],
};
const LABELS = ['a', 'b', 'B', 'é', 'e\u0301', '\u{1F600}', '\uFFFD', '', '007', '7'];
const AT = 1_000_000_000;
const GROUPS = 150;

function rows(): Row[] {
  let state = 7;
  const next = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) / 2 ** 24;
  };
  const maybe = <T>(value: T): T | null => (next() < 0.15 ? null : value);
  const result: Row[] = [];
  for (let group = 0; group < GROUPS; group++) {
    const size = Math.floor(next() ** 2 * 40) + 1;
    for (let i = 0; i < size; i++)
      result.push({
        group,
        eventTime: Math.floor(next() * 20) * 1_000_003,
        seq: result.length,
        by: maybe(Math.floor(next() * 4)),
        predicate: maybe(next() < 0.4),
        values: {
          amount: maybe(Math.round(next() * 10_000) / 100),
          price: maybe(Math.round(next() * 100_000) - 50_000),
          quantity: maybe(Math.floor(next() * 9) - 4),
          label: maybe(LABELS[Math.floor(next() * LABELS.length)]!),
        },
      });
  }
  return result;
}

const data = rows();
const sqlText = (value: Value): string =>
  value === null ? 'NULL' : typeof value === 'string' ? `'${value}'` : String(value);
const amountText = (type: ValueType, value: Value): string =>
  value !== null && type.kind === 'decimal' ? `${Number(value) / 100}` : sqlText(value);

let instance: DuckDBInstance;
let connection: DuckDBConnection;
beforeAll(async () => {
  instance = await DuckDBInstance.create(':memory:');
  connection = await instance.connect();
  const columns = Object.entries(TYPES).map(([name, [, type]]) => `${name} ${type}`);
  await connection.run(
    `CREATE TABLE t (g INTEGER, event_time BIGINT, seq BIGINT, b BIGINT, p BOOLEAN, ${columns.join(', ')})`,
  );
  const lines = data.map(
    (row) =>
      `(${row.group}, ${row.eventTime}, ${row.seq}, ${sqlText(row.by)}, ${row.predicate}, ${Object.entries(
        TYPES,
      )
        .map(([name, [type]]) => amountText(type, row.values[name]!))
        .join(', ')})`,
  );
  await connection.run(`INSERT INTO t VALUES ${lines.join(',')}`);
});
afterAll(() => {
  connection.closeSync();
  instance.closeSync();
});

/** DuckDB's JSON of a result, in JavaScript's reading of the type. */
function read(type: ValueType, json: unknown): Value {
  if (json === null) return null;
  if (type.kind === 'list') return (json as unknown[]).map((item) => read(type.of, item));
  if (type.kind === 'decimal') return Math.round(Number(json) * 100);
  return type.kind === 'string' ? (json as string) : Number(json);
}

const ARGUMENTS: readonly FunctionArguments[] = [
  { ignoreNulls: false, k: 2, q: 0.25 },
  { ignoreNulls: true, k: 1, q: 0.9 },
  { ignoreNulls: true, q: 1 },
];

describe('folds equal the aggregates of DuckDB', () => {
  for (const name of FUNCTION_NAMES) {
    for (const [field, [type]] of Object.entries(TYPES)) {
      const probe: FoldContext = { inputType: type, byType: INT64, arguments: ARGUMENTS[0]! };
      const numbersOnly =
        outputTypeOf(name, probe).kind === 'float64' &&
        name !== 'entropy' &&
        name !== 'ratio' &&
        !name.startsWith('seconds');
      if ((numbersOnly || name === 'sum') && type.kind === 'string') continue;
      const parts = {
        value: field,
        by: 'b',
        predicate: 'p',
        eventTime: 'event_time',
        order: ['event_time', 'seq'],
        at: String(AT),
      };
      if (aggregateSql(name, probe, parts, 'duckdb') === undefined) continue;

      it(`${name} of ${field}`, async () => {
        for (const args of ARGUMENTS) {
          const context: FoldContext = { inputType: type, byType: INT64, arguments: args };
          const aggregate = aggregateSql(name, context, parts, 'duckdb');
          if (aggregate === undefined) continue;
          const output = outputTypeOf(name, context);
          const result = await connection.runAndReadAll(
            `SELECT g, ${aggregate.sql} AS v FROM t GROUP BY g ORDER BY g`,
          );
          const actual = result.getRowsJson().map((row) => row[1]);
          const fold = foldFor(name, context);
          for (let group = 0; group < GROUPS; group++) {
            const members = data
              .filter((row) => row.group === group)
              .sort((a, b) => a.eventTime - b.eventTime || a.seq - b.seq)
              .map(
                (row): Member => ({
                  eventTime: row.eventTime,
                  value: row.values[field]!,
                  by: name === 'ratio' ? row.predicate : row.by,
                }),
              );
            const state = fold.init();
            for (const member of members) fold.add(state, member);
            const expected = fold.finish(state, AT);
            const found = read(output, actual[group]);
            if (aggregate.agreement === 'near' && typeof expected === 'number' && typeof found === 'number') {
              // The engine rounds after every addition and division; n is below 50, so 1e-9 is ample and still tells.
              const size = Math.max(Math.abs(expected), 1e-4);
              expect(Math.abs(found - expected)).toBeLessThanOrEqual(1e-9 * size);
            } else expect([group, found]).toEqual([group, expected]);
          }
        }
      });
    }
  }
});
