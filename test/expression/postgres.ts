import type { Value, ValueType } from '../../src/core/schema/types.js';
import { startPostgres } from '../postgres.js';
import { type Engine, engineOver, normal, type Session } from './engine.js';
import { COLUMNS } from './hostile.js';

/** What to select so that the text protocol gives the value as JavaScript holds it. */
function selected(sql: string, type: ValueType): string {
  switch (type.kind) {
    case 'timestamp':
      return `CAST(extract(epoch FROM ${sql}) * 1000000 AS BIGINT)`;
    case 'date':
      return `(${sql} - DATE '1970-01-01')`;
    default:
      return sql;
  }
}

function read(value: unknown, type: ValueType): Value {
  if (value === null) return null;
  if (type.kind === 'decimal') {
    const [whole, fraction = ''] = String(value).split('.');
    return normal(BigInt(`${whole}${fraction.padEnd(type.scale, '0')}`));
  }
  if (type.kind === 'int64' || type.kind === 'timestamp') return normal(BigInt(value as string));
  return value as Value;
}

/** A PostgreSQL whose clock and whose words for dates are others. */
export async function postgresSession(): Promise<Session> {
  const server = await startPostgres({
    timezone: 'Asia/Tokyo',
    datestyle: 'SQL, DMY',
    intervalstyle: 'sql_standard',
  });
  const client = await server.connect();
  return {
    dialect: 'postgres',
    async run(sql) {
      await client.query(sql);
    },
    async query(sql, columns) {
      const { rows } = await client.query({
        text: `SELECT ${columns.map(({ name, type }) => selected(name, type)).join(', ')} FROM (${sql}) AS result`,
        rowMode: 'array',
      });
      return (rows as unknown[][]).map((row) => row.map((value, i) => read(value, columns[i]!.type)));
    },
    async types(expressions, from) {
      const { rows } = await client.query({
        text: `SELECT ${expressions.map((sql) => `format_type(pg_typeof(${sql}), NULL)`).join(', ')} FROM ${from} LIMIT 1`,
        rowMode: 'array',
      });
      return (rows as string[][])[0]!;
    },
    close: () => server.stop(),
  };
}

/** Text columns compare by a language, without case: it may not show. */
export async function openPostgres(rows: readonly Readonly<Record<string, Value>>[]): Promise<Engine> {
  const session = await postgresSession();
  await session.run(
    `CREATE COLLATION words (provider = icu, locale = 'en-US-u-ks-level2', deterministic = false)`,
  );
  return engineOver(session, COLUMNS, rows, ' COLLATE words');
}
