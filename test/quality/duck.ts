import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { Coerced } from '../../src/core/schema/coerce.js';
import { printDecimal } from '../../src/core/schema/coerce-print.js';
import type { CoerceSql } from '../../src/core/schema/coerce-sql.js';
import type { Value, ValueType } from '../../src/core/schema/types.js';

export async function connect(): Promise<DuckDBConnection> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  return instance.connect();
}

export async function rowsOf(connection: DuckDBConnection, sql: string): Promise<unknown[][]> {
  return (await connection.runAndReadAll(sql)).getRowsJS() as unknown[][];
}

/** A value as text in which two readings can be compared bit for bit. */
export function canonical(type: ValueType, value: Value): string {
  if (value === null) return 'null';
  switch (type.kind) {
    case 'float64':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'decimal':
      return printDecimal(value as number | bigint, type.scale);
    case 'float64_vector':
      return `[${(value as readonly number[]).map((item) => (Object.is(item, -0) ? '-0' : String(item))).join(',')}]`;
    default:
      return String(value);
  }
}

function canonicalSql(type: ValueType, valueSql: string): string {
  switch (type.kind) {
    case 'float64':
    case 'float64_vector':
      return valueSql;
    case 'timestamp':
      return `epoch_us(${valueSql})::VARCHAR`;
    case 'date':
      return `(${valueSql} - DATE '1970-01-01')::VARCHAR`;
    default:
      return `(${valueSql})::VARCHAR`;
  }
}

const fromDuck = (type: ValueType, value: unknown): string =>
  value === null || typeof value === 'string' ? String(value) : canonical(type, value as Value);

export async function loadTexts(
  connection: DuckDBConnection,
  table: string,
  texts: readonly (string | null)[],
): Promise<void> {
  await connection.run(`CREATE OR REPLACE TABLE ${table} (i INTEGER, raw VARCHAR)`);
  const appender = await connection.createAppender(table);
  texts.forEach((text, index) => {
    appender.appendInteger(index);
    if (text === null) appender.appendNull();
    else appender.appendVarchar(text);
    appender.endRow();
  });
  appender.closeSync();
}

/** What SQL makes of `raw` of each row of `table`, in the form of `readingOf`. */
export async function sqlReadings(
  connection: DuckDBConnection,
  table: string,
  type: ValueType,
  sql: CoerceSql,
): Promise<string[]> {
  const rows = await rowsOf(
    connection,
    `SELECT ${canonicalSql(type, sql.value)}, ${sql.bad}, ${sql.blank} FROM ${table} ORDER BY i`,
  );
  return rows.map(([value, bad, blank]) => {
    if (bad === null || blank === null || (bad && blank)) return `inconsistent: bad ${bad} blank ${blank}`;
    return bad ? 'refused' : fromDuck(type, value);
  });
}

export const readingOf = (type: ValueType, coerced: Coerced): string =>
  coerced.ok ? canonical(type, coerced.value) : 'refused';
