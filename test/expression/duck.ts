import {
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBInstance,
  DuckDBTimestampTZValue,
} from '@duckdb/node-api';
import { duckDbType } from '../../src/core/schema/coerce-sql.js';
import type { Value } from '../../src/core/schema/types.js';
import { type Engine, literal, normal } from './engine.js';
import { COLUMNS } from './hostile.js';

/** A value of the driver as SEMANTICS holds it in JavaScript. */
function read(value: unknown): Value {
  if (value instanceof DuckDBDecimalValue) return read(value.value);
  if (value instanceof DuckDBTimestampTZValue) return read(value.micros);
  if (value instanceof DuckDBDateValue) return value.days;
  return typeof value === 'bigint' ? normal(value) : (value as Value);
}

export async function openDuck(rows: readonly Readonly<Record<string, Value>>[]): Promise<Engine> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  await connection.run("SET TimeZone = 'Asia/Tokyo'");
  const columns = Object.entries(COLUMNS).map(([name, type]) => ({ name, type, sql: duckDbType(type) }));
  await connection.run(
    `CREATE TABLE rows (n INTEGER, ${columns.map(({ name, sql }) => `${name} ${sql}`).join(', ')})`,
  );
  const values = rows.map(
    (row, n) => `(${n}, ${columns.map(({ name, type, sql }) => literal(row[name]!, type, sql)).join(', ')})`,
  );
  await connection.run(`INSERT INTO rows VALUES ${values.join(', ')}`);
  const run = (expressions: readonly string[]) =>
    connection.runAndReadAll(
      `SELECT ${expressions.map((sql, i) => `${sql} AS e${i}`).join(', ')} FROM rows ORDER BY n`,
    );
  return {
    dialect: 'duckdb',
    async evaluate(expressions) {
      const reader = await run(expressions.map(({ sql }) => sql));
      return reader.getColumns().map((column) => column.map(read));
    },
    types: async (expressions) => (await run(expressions)).columnTypes().map(String),
    async kept(expression) {
      const reader = await connection.runAndReadAll(`SELECT count(*) FROM rows WHERE ${expression}`);
      return Number(reader.getRows()[0]![0]);
    },
    async close() {
      connection.closeSync();
      instance.closeSync();
    },
  };
}
