import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';

/** Two tables that every query of these tests may read, in the order of their columns. */
export const TABLES = [
  { name: 't', columns: ['k', 'a', 'b', 's', 'f', 'l'] },
  { name: 'u', columns: ['k', 'c', 'd', 's2'] },
] as const;

const RANDOM: Readonly<Record<string, string>> = {
  k: 'CAST(floor(random() * 20) AS INTEGER)',
  a: 'CAST(floor(random() * 10) AS INTEGER)',
  b: 'CAST(floor(random() * 10) AS INTEGER)',
  s: 'chr(97 + CAST(floor(random() * 5) AS INTEGER)) || chr(97 + CAST(floor(random() * 5) AS INTEGER))',
  f: 'random() < 0.5',
  l: '[CAST(floor(random() * 5) AS INTEGER), CAST(floor(random() * 5) AS INTEGER)]',
  c: 'CAST(floor(random() * 30) AS INTEGER)',
  d: 'CAST(floor(random() * 10) AS INTEGER)',
  s2: 'chr(97 + CAST(floor(random() * 5) AS INTEGER)) || chr(97 + CAST(floor(random() * 5) AS INTEGER))',
};

export interface Lab {
  fill(): Promise<void>;
  /** Other values in one column, everything else as it is. */
  shake(table: string, column: string): Promise<void>;
  restore(): Promise<void>;
  /** Output column → its values, sorted as texts: equal lists are equal columns without regard to order. */
  columns(sql: string): Promise<ReadonlyMap<string, string>>;
  rows(sql: string): Promise<readonly Record<string, unknown>[]>;
  close(): void;
}

export async function openLab(): Promise<Lab> {
  const instance = await DuckDBInstance.create();
  const db: DuckDBConnection = await instance.connect();
  // The same draws in every run: a query that seldom shows a field would else fail now and then.
  await db.run('SELECT setseed(0.25)');
  const rows = async (sql: string): Promise<Record<string, unknown>[]> =>
    (await db.runAndReadAll(sql)).getRowObjectsJson() as Record<string, unknown>[];
  return {
    fill: async () => {
      for (const { name, columns } of TABLES) {
        const select = columns.map((column) => `${RANDOM[column]} AS ${column}`).join(', ');
        await db.run(
          `CREATE OR REPLACE TABLE ${name}_first AS SELECT ${select} FROM range(${name === 't' ? 40 : 12})`,
        );
        await db.run(`CREATE OR REPLACE TABLE ${name} AS FROM ${name}_first`);
      }
    },
    shake: async (table, column) => {
      await db.run(
        `CREATE OR REPLACE TABLE ${table} AS SELECT * REPLACE (${RANDOM[column]} AS ${column}) FROM ${table}_first`,
      );
    },
    restore: async () => {
      for (const { name } of TABLES) await db.run(`CREATE OR REPLACE TABLE ${name} AS FROM ${name}_first`);
    },
    columns: async (sql) => {
      const names = (await rows(`DESCRIBE ${sql}`)).map((row) => String(row['column_name']));
      const found = await rows(sql);
      return new Map(
        names.map((name) => [name, JSON.stringify(found.map((row) => JSON.stringify(row[name])).sort())]),
      );
    },
    rows,
    close: () => {
      db.closeSync();
      instance.closeSync();
    },
  };
}
