import { beforeAll, expect, it } from 'vitest';
import { createSqlParser } from '../../src/adapters/sql-parser/polyglot.js';
import { classifyTransform } from '../../src/core/lineage/classify.js';
import type { SqlParser } from '../../src/ports/sql-parser.js';
import { BASE, fromYaml } from '../define/check.js';

let parser: SqlParser;
beforeAll(async () => {
  parser = await createSqlParser();
});

function kind(
  sql: string,
  key = 'order_id',
  fields = 'order_id: string, user_id: int64, total: float64, at: timestamp',
): string {
  const { definitions, diagnostics } = fromYaml(`${BASE}
transforms:
  - name: sold
    sql: ${JSON.stringify(sql)}
    record_key: [${key}]
    event_time: at
    fields: { ${fields} }
`);
  expect(diagnostics).toEqual([]);
  const source = definitions.sources.get('sold')!;
  const parsed = parser.parse(sql);
  if (!parsed.ok) throw new Error(parsed.message);
  const found = classifyTransform(definitions, source, parsed.query);
  return `${found.kind}${found.reason ? `: ${found.reason}` : ''}`;
}

it('tells what goes row by row from what needs more, and says why', () => {
  expect(kind('SELECT order_id, user_id, total * 2 AS total, at FROM orders WHERE paid')).toBe('stateless');
  expect(
    kind(
      'WITH x AS (SELECT * FROM orders WHERE paid) SELECT * EXCLUDE (status) FROM (SELECT * FROM x) ORDER BY at',
    ),
  ).toBe('stateless');
  expect(
    kind('SELECT order_id, user_id, sum(total) AS total, max(at) AS at FROM orders GROUP BY ALL'),
  ).toMatch(/^full: GROUP BY/);
  expect(kind('SELECT order_id, user_id, sum(total) OVER (ORDER BY at) AS total, at FROM orders')).toMatch(
    /^full: .* window of rows/,
  );
  expect(
    kind('SELECT o.order_id, o.user_id, o.total, o.at FROM orders o JOIN users u USING (user_id)'),
  ).toMatch(/^full: a join/);
  expect(kind('SELECT DISTINCT order_id, user_id, total, at FROM orders')).toMatch(/^full: DISTINCT/);
  expect(kind('SELECT order_id, user_id, total, at FROM orders LIMIT 5')).toMatch(/^full: LIMIT/);
  expect(kind('SELECT order_id, user_id, total, at FROM orders WHERE at > now()')).toMatch(
    /^full: now gives/,
  );
  expect(
    kind('SELECT order_id, user_id, total, at FROM orders WHERE user_id IN (SELECT user_id FROM users)'),
  ).toMatch(/^full: a subquery/);
  expect(kind('SELECT order_id, unnest([user_id, 1]) AS user_id, total, at FROM orders')).toMatch(
    /several rows/,
  );
  // Two orders could become one record, and one of them vanish without the other.
  expect(kind('SELECT order_id, user_id, total, at FROM orders', 'user_id')).toMatch(/^full: its record key/);
  expect(kind('SELECT lower(order_id) AS order_id, user_id, total, at FROM orders')).toMatch(
    /^full: its record key/,
  );
});

it('takes a UNION ALL for incremental only when its branches cannot meet in one record', () => {
  const fields = 'kind: string, order_id: string, total: float64, at: timestamp';
  const union = (a: string, b: string) =>
    `SELECT ${a} AS kind, order_id, total, at FROM orders WHERE paid UNION ALL SELECT ${b}, order_id, -total, at FROM orders WHERE NOT paid`;
  expect(kind(union("'paid'", "'open'"), 'kind, order_id', fields)).toMatch(/^incremental/);
  expect(kind(union("'paid'", "'paid'"), 'kind, order_id', fields)).toMatch(/^full: no literal/);
  expect(kind(union("'paid'", 'status'), 'kind, order_id', fields)).toMatch(/^full: no literal/);
  expect(kind(union("'paid'", "'open'").replace(' ALL', ''), 'kind, order_id', fields)).toMatch(
    /^full: only UNION ALL/,
  );
});
