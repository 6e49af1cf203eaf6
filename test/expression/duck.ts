import {
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBInstance,
  DuckDBTimestampTZValue,
} from '@duckdb/node-api';
import type { Value } from '../../src/core/schema/types.js';
import { type Engine, engineOver, normal, type Session } from './engine.js';
import { COLUMNS } from './hostile.js';

/** A value of the driver as SEMANTICS holds it in JavaScript. */
function read(value: unknown): Value {
  if (value instanceof DuckDBDecimalValue) return read(value.value);
  if (value instanceof DuckDBTimestampTZValue) return read(value.micros);
  if (value instanceof DuckDBDateValue) return value.days;
  return typeof value === 'bigint' ? normal(value) : (value as Value);
}

export async function duckSession(): Promise<Session> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  await connection.run("SET TimeZone = 'Asia/Tokyo'");
  return {
    dialect: 'duckdb',
    async run(sql) {
      await connection.run(sql);
    },
    async query(sql, columns) {
      const reader = await connection.runAndReadAll(
        `SELECT ${columns.map(({ name }) => name).join(', ')} FROM (${sql}) AS result`,
      );
      return reader.getRows().map((row) => row.map(read));
    },
    async types(expressions, from) {
      const reader = await connection.runAndReadAll(`SELECT ${expressions.join(', ')} FROM ${from}`);
      return reader.columnTypes().map(String);
    },
    async close() {
      connection.closeSync();
      instance.closeSync();
    },
  };
}

export const openDuck = async (rows: readonly Readonly<Record<string, Value>>[]): Promise<Engine> =>
  engineOver(await duckSession(), COLUMNS, rows);
