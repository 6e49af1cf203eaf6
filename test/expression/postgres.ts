import { postgres } from '../../src/core/expression/dialects/postgres.js';
import type { Value, ValueType } from '../../src/core/schema/types.js';
import { startPostgres } from '../postgres.js';
import { type Engine, literal, normal } from './engine.js';
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

/** A PostgreSQL whose database sorts text by language and whose clock is elsewhere: neither may show. */
export async function openPostgres(rows: readonly Readonly<Record<string, Value>>[]): Promise<Engine> {
  const server = await startPostgres({
    timezone: 'Asia/Tokyo',
    datestyle: 'SQL, DMY',
    intervalstyle: 'sql_standard',
  });
  const client = await server.connect();
  const columns = Object.entries(COLUMNS).map(([name, type]) => ({
    name,
    type,
    sql: postgres.typeName(type),
  }));
  await client.query(
    `CREATE COLLATION words (provider = icu, locale = 'en-US-u-ks-level2', deterministic = false)`,
  );
  await client.query(
    `CREATE TABLE rows (n INTEGER, ${columns.map(({ name, type, sql }) => `${name} ${sql}${type.kind === 'string' ? ' COLLATE words' : ''}`).join(', ')})`,
  );
  const values = rows.map(
    (row, n) => `(${n}, ${columns.map(({ name, type, sql }) => literal(row[name]!, type, sql)).join(', ')})`,
  );
  await client.query(`INSERT INTO rows VALUES ${values.join(', ')}`);
  return {
    dialect: 'postgres',
    async evaluate(expressions) {
      const { rows: found } = await client.query({
        text: `SELECT ${expressions.map(({ sql, type }, i) => `${selected(sql, type)} AS e${i}`).join(', ')} FROM rows ORDER BY n`,
        rowMode: 'array',
      });
      return expressions.map(({ type }, i) => (found as unknown[][]).map((row) => read(row[i], type)));
    },
    async types(expressions) {
      const { rows: found } = await client.query({
        text: `SELECT ${expressions.map((sql) => `format_type(pg_typeof(${sql}), NULL)`).join(', ')} FROM rows LIMIT 1`,
        rowMode: 'array',
      });
      return (found as string[][])[0]!;
    },
    async kept(expression) {
      const { rows: found } = await client.query(`SELECT count(*) AS n FROM rows WHERE ${expression}`);
      return Number(found[0].n);
    },
    close: () => server.stop(),
  };
}
