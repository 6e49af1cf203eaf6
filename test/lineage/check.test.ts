import { expect, it } from 'vitest';
import { withSqlReader } from '../../src/open.js';
import { checkTransforms } from '../../src/services/check-transforms.js';
import { BASE, fromYaml, show } from '../define/check.js';

async function check(
  sql: string,
  fields: string,
): Promise<{ hints: unknown[]; said: string[]; transforms: object[]; lines: unknown[] }> {
  const { definitions, diagnostics } = fromYaml(`${BASE}transforms:
  - name: sold
    sql: ${JSON.stringify(sql)}
    record_key: order_id
    event_time: moment
    fields: { order_id: string, moment: timestamp, ${fields} }
`);
  expect(diagnostics).toEqual([]);
  const found = await withSqlReader((parser, describe) => checkTransforms(definitions, parser, describe));
  return {
    hints: found.diagnostics.map(({ hint }) => hint),
    said: found.diagnostics.map((diagnostic) => show(diagnostic)),
    transforms: [...found.transforms],
    lines: found.diagnostics.map((diagnostic) => diagnostic.place?.line),
  };
}

it('a transform is judged before there is a record: columns, types, whether it runs, how it goes', async () => {
  expect(
    await check('SELECT order_id, "at" AS moment, total * 2 AS twice FROM orders', 'twice: decimal(2)'),
  ).toEqual({
    hints: [],
    said: [],
    transforms: [{ name: 'sold', kind: 'stateless', reason: '' }],
    lines: [],
  });
  const missing = await check(
    'SELECT order_id, "at" AS moment, total AS twise FROM orders',
    'twice: decimal(2)',
  );
  expect(missing.said).toEqual([
    'DEF_UNKNOWN_NAME the SQL of transform `sold` gives no column `twice` (twise)',
  ]);
  expect(missing.lines).toEqual([16]);
  expect(
    (await check('SELECT order_id, user_id AS moment, status FROM orders', 'status: string')).said,
  ).toEqual(['DEF_TYPE the column `moment` of transform `sold` is BIGINT, and the field is timestamp']);
  expect(
    (
      await check(
        'SELECT user_id AS order_id, "at" AS moment FROM orders',
        'moment2: { type: timestamp, from: moment }',
      )
    ).said,
  ).toEqual(['DEF_TYPE the column `order_id` of transform `sold` is BIGINT, and the field is string']);
  expect(
    (await check('SELECT order_id, "at" AS moment, tota FROM orders', 'tota: decimal(2)')).said[0],
  ).toMatch(/^DEF_EXPRESSION the SQL of transform `sold` does not run: .*tota/);
});

it('a field that DuckDB takes for a word of its own is named with its quotes', async () => {
  const { hints } = await check('SELECT order_id, at, total FROM orders', 'total: decimal(2)');
  expect(hints).toEqual(['at is a word of SQL: as a name it stands in double quotes, as "at".']);
});
