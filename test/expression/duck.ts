import {
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBInstance,
  DuckDBTimestampTZValue,
} from '@duckdb/node-api';
import { printDate, printInstant } from '../../src/core/base/time.js';
import type { Value, ValueType } from '../../src/core/schema/types.js';
import { COLUMNS } from './hostile.js';

const SQL_TYPES: Readonly<Record<string, string>> = {
  int64: 'BIGINT',
  float64: 'DOUBLE',
  string: 'VARCHAR',
  boolean: 'BOOLEAN',
  timestamp: 'TIMESTAMPTZ',
  date: 'DATE',
};
const sqlType = (type: ValueType): string =>
  type.kind === 'decimal' ? `DECIMAL(18, ${type.scale})` : SQL_TYPES[type.kind]!;

function literal(value: Value, type: ValueType): string {
  if (value === null) return 'NULL';
  switch (type.kind) {
    case 'string':
      return `'${String(value).replaceAll("'", "''")}'`;
    case 'timestamp':
      return `TIMESTAMPTZ '${printInstant(value as number)}'`;
    case 'date':
      return `DATE '${printDate(value as number)}'`;
    case 'decimal': {
      const digits = String(value)
        .replace('-', '')
        .padStart(type.scale + 1, '0');
      return `'${(value as number) < 0 ? '-' : ''}${digits.slice(0, -type.scale)}.${digits.slice(-type.scale)}'::${sqlType(type)}`;
    }
    default:
      return `'${value}'::${sqlType(type)}`;
  }
}

/** A value of the driver as SEMANTICS holds it in JavaScript. */
function read(value: unknown): Value {
  if (value instanceof DuckDBDecimalValue) return read(value.value);
  if (value instanceof DuckDBTimestampTZValue) return read(value.micros);
  if (value instanceof DuckDBDateValue) return value.days;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  return value as Value;
}

export interface Duck {
  /** The values of each SQL expression over all rows, and the type name of each. */
  evaluate(
    expressions: readonly string[],
  ): Promise<{ readonly columns: readonly (readonly Value[])[]; readonly types: readonly string[] }>;
  /** How many rows a WHERE of the expression keeps. */
  kept(expression: string): Promise<number>;
  close(): void;
}

export async function openDuck(rows: readonly Readonly<Record<string, Value>>[]): Promise<Duck> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  await connection.run("SET TimeZone = 'Asia/Tokyo'");
  const names = Object.keys(COLUMNS);
  await connection.run(
    `CREATE TABLE rows (n INTEGER, ${names.map((name) => `${name} ${sqlType(COLUMNS[name]!)}`).join(', ')})`,
  );
  const values = rows.map(
    (row, n) => `(${n}, ${names.map((name) => literal(row[name]!, COLUMNS[name]!)).join(', ')})`,
  );
  await connection.run(`INSERT INTO rows VALUES ${values.join(', ')}`);
  return {
    async evaluate(expressions) {
      const reader = await connection.runAndReadAll(
        `SELECT ${expressions.map((sql, i) => `${sql} AS e${i}`).join(', ')} FROM rows ORDER BY n`,
      );
      const columns = reader.getColumns().map((column) => column.map(read));
      return { columns, types: reader.columnTypes().map(String) };
    },
    async kept(expression) {
      const reader = await connection.runAndReadAll(`SELECT count(*) FROM rows WHERE ${expression}`);
      return Number(reader.getRows()[0]![0]);
    },
    close() {
      connection.closeSync();
      instance.closeSync();
    },
  };
}
