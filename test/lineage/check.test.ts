import { expect, it } from 'vitest';
import { withSqlReader } from '../../src/open.js';
import { checkSql } from '../../src/services/check-sql.js';
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
  const found = await withSqlReader((parser, describe) => checkSql(definitions, parser, describe));
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
  ).toMatch(/^DEF_EXPRESSION the SQL of transform `sold` does not run: .*tota.* \(total\)$/);
  expect(
    (await check('SELECT order_id, "at" AS moment, o.tota FROM orders o', 'tota: decimal(2)')).said[0],
  ).toMatch(/\(total\)$/);
  expect(
    (await check('SELECT order_id, "at" AS moment, [total] AS totals FROM orders', 'totals: decimal(2)'))
      .said,
  ).toEqual([
    'DEF_TYPE the column `totals` of transform `sold` is DECIMAL(18,2)[], and the field is decimal(2)',
  ]);
});

it('a field that DuckDB takes for a word of its own is named with its quotes', async () => {
  const { hints } = await check('SELECT order_id, at, total FROM orders', 'total: decimal(2)');
  expect(hints).toEqual(['at is a word of SQL: as a name it stands in double quotes, as "at".']);
});

it('a rule in SQL is tried over a batch without rows before there is one', async () => {
  const { definitions, diagnostics } = fromYaml(`${BASE}  - name: parts
    read: push
    record_key: id
    event_time: at
    fields: { id: int64, at: timestamp, price: float64 }
    contract:
      rules:
        - { name: fine, sql: "SELECT _row FROM {batch} QUALIFY count(*) OVER (PARTITION BY price) > 5" }
        - { name: misspelt, sql: "SELECT _row FROM {batch} WHERE prize > 5" }
        - { name: no_row, sql: "SELECT id, '_row' AS name FROM {batch}" }
        - { name: absent_file, sql: "SELECT _row FROM {batch} JOIN 'nowhere.csv' USING (id)" }
      batch:
        rules:
          - { name: share, sql: "SELECT avg((price > 5)::INT) FROM {batch}", max: 0.5 }
          - { name: text, sql: "SELECT max(id::VARCHAR) FROM {batch}", max: 3 }
          - { name: clocked, sql: "SELECT * FROM {batch} WHERE _event_time > _availableat" }
`);
  expect(diagnostics).toEqual([]);
  const found = await withSqlReader((parser, describe) => checkSql(definitions, parser, describe));
  expect(
    found.diagnostics.map(({ message }) =>
      message.replace(/(does not run: ).*(prize|_availableat).*/, '$1$2'),
    ),
  ).toEqual([
    'the SQL of rule `misspelt` of source `parts` does not run: prize',
    'the SQL of rule `no_row` of source `parts` gives no `_row`',
    'the SQL of rule `text` of source `parts` gives max(CAST(id AS VARCHAR)) VARCHAR: a rule with a limit gives one number',
    'the SQL of rule `clocked` of source `parts` does not run: _availableat',
  ]);
  expect(found.diagnostics[0]!.place?.line).toBe(15);
});
