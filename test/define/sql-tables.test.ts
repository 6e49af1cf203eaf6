import type { DuckDBConnection } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sqlTables } from '../../src/core/define/sql-tables.js';
import { CORPUS } from '../lineage/corpus.js';
import { connect } from '../quality/duck.js';
import { BASE, fromYaml, show } from './check.js';

const TABLES: Readonly<Record<string, string>> = {
  t: '(k INT, a INT, b INT, s VARCHAR, f BOOLEAN, l INT[], d DATE)',
  u: '(k INT, c INT, d INT, s2 VARCHAR)',
  'my table': '(k INT, u INT)',
};

/** By table: an engine that has all the others. */
const without = new Map<string, DuckDBConnection>();
beforeAll(async () => {
  for (const absent of ['none', ...Object.keys(TABLES)]) {
    const duck = await connect();
    for (const [name, columns] of Object.entries(TABLES))
      if (name !== absent) await duck.run(`CREATE TABLE "${name}" ${columns}`);
    without.set(absent, duck);
  }
});
afterAll(() => {
  for (const duck of without.values()) duck.closeSync();
});

/** What the engine says of the query where a table is absent; undefined when it goes without it. */
const fault = (absent: string, sql: string): Promise<string | undefined> =>
  without
    .get(absent)!
    .run(sql)
    .then(() => undefined)
    .catch((error: Error) => error.message);

const HARD: readonly string[] = [
  'SELECT k AS u FROM t',
  'SELECT u.k, u.u FROM "My Table" AS u',
  'WITH u AS (SELECT k FROM t) SELECT u.k FROM u',
  'WITH u AS (SELECT k FROM u), w AS (SELECT k FROM u) SELECT * FROM w',
  'WITH u AS MATERIALIZED (SELECT k FROM t) SELECT (SELECT max(k) FROM u) AS m',
  'WITH RECURSIVE u(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM u WHERE k < 3) SELECT * FROM u',
  'SELECT * FROM (WITH u AS (SELECT 1 AS k) SELECT * FROM u) JOIN u USING (k)',
  'SELECT extract(day FROM d) AS u FROM t',
  'SELECT trim(BOTH FROM s) AS u, substring(s FROM 2) FROM t',
  'SELECT k IS DISTINCT FROM a AS u FROM t',
  'SELECT k IS NOT DISTINCT FROM a, b AS u FROM t',
  "SELECT 'FROM u' AS x, $$ FROM u $$ AS y FROM t -- FROM u\n /* JOIN u */",
  'SELECT * FROM ((t JOIN u USING (k)))',
  'SELECT t.k FROM t JOIN u ON t.k = u.k, "My Table" m',
  'SELECT k FROM t WHERE k IN ((SELECT max(c) FROM u), a)',
  'SELECT k FROM t WHERE (k, a) IN (SELECT (k, c) FROM u)',
  '(SELECT k FROM t) UNION ALL (SELECT k FROM u)',
  'SELECT k FROM t TABLESAMPLE 50%',
  'SELECT a // 2 AS x, a ** 2 AS y FROM t',
  'SELECT * FROM t ASOF JOIN u ON t.k = u.k AND t.a >= u.c',
  'SELECT * FROM t POSITIONAL JOIN u',
  'PIVOT t ON k USING sum(a)',
  'SELECT * FROM (PIVOT t ON k USING sum(a) GROUP BY b)',
  'FROM (UNPIVOT u ON c, d INTO NAME n VALUE v)',
  'SELECT k FROM t ORDER BY a, b',
  'FROM t, u SELECT t.k, u.c',
  'SELECT * FROM t, LATERAL (SELECT u.c FROM u WHERE u.k = t.k) x, unnest(t.l) g(y)',
  'SELECT ARRAY(SELECT c FROM u) AS x, list_transform(l, lambda u: u + 1) AS y FROM T',
  'SELECT sum(a) FILTER (WHERE f) OVER (PARTITION BY k ORDER BY a, b) AS u FROM t',
];

describe('the tables of a query', () => {
  it.each([...CORPUS, ...HARD])('are those without which the engine cannot run it: %s', async (sql) => {
    const found = new Set(sqlTables(sql).map(({ text }) => text.toLowerCase()));
    expect(await fault('none', sql)).toBe(undefined);
    for (const name of Object.keys(TABLES))
      expect([name, /Table with name|Circular reference/.test((await fault(name, sql)) ?? '')]).toEqual([
        name,
        found.has(name),
      ]);
  });

  it('stand where they are said to', () => {
    const sql = 'SELECT 1 FROM "My Table" x JOIN t ON true';
    expect(sqlTables(sql).map(({ text, offset }) => sql.slice(offset, offset + text.length))).toEqual([
      'My Table',
      't',
    ]);
  });
});

it('a transform may call its columns, aliases and WITH queries as sources are called, even as itself', () => {
  const transform = (sql: string) => {
    const { definitions, diagnostics } = fromYaml(`${BASE}transforms:
  - name: sold
    sql: ${JSON.stringify(sql)}
    record_key: order_id
    event_time: moment
    fields: { order_id: string, moment: timestamp }
  - name: other
    sql: SELECT order_id, moment FROM sold
    record_key: order_id
    event_time: moment
    fields: { order_id: string, moment: timestamp }
`);
    expect(diagnostics.map((diagnostic) => show(diagnostic))).toEqual([]);
    const { read } = definitions.sources.get('sold')!;
    return read.kind === 'transform' ? read.parents : [];
  };
  expect(
    transform(
      'WITH sold AS (SELECT *, 1 AS other FROM Orders other) SELECT order_id, "at" AS moment FROM sold',
    ),
  ).toEqual(['orders']);
});

it('a misspelt source of a transform is named, and so is a source in SQL over files', () => {
  const found = (read: string) =>
    fromYaml(`${BASE}  - name: sold
    read: ${read}
    record_key: order_id
    event_time: moment
    fields: { order_id: string, moment: timestamp }
`).diagnostics.map(({ message, hint }) => `${message}; ${hint}`);
  expect(found('{ transform: { sql: SELECT * FROM ordres } }')).toEqual([
    'the SQL of source `sold` names no source; Did you mean `orders`?',
  ]);
  expect(found('{ sql: SELECT * FROM Orders }')[0]).toContain('reads files, and `orders` is a source');
  expect(found("{ sql: WITH orders AS (FROM 'x.csv') SELECT * FROM orders }")).toEqual([]);
});
