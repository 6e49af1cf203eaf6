import { DuckDBInstance } from '@duckdb/node-api';
import { expect, it } from 'vitest';
import { createSqlParser } from '../../src/adapters/sql-parser/polyglot.js';
import type { Term } from '../../src/core/lineage/query.js';

it("knows every aggregate and every volatile function that DuckDB has, as the library's tree holds them", async () => {
  const instance = await DuckDBInstance.create();
  const db = await instance.connect();
  const names = async (where: string): Promise<string[]> =>
    (
      await db.runAndReadAll(
        `SELECT DISTINCT function_name FROM duckdb_functions() WHERE regexp_full_match(function_name, '[a-z_0-9]+') AND (${where}) ORDER BY 1`,
      )
    )
      .getRows()
      .map(([name]) => String(name));
  const parser = await createSqlParser();
  const term = (sql: string): Term | undefined => {
    const parsed = parser.parse(sql);
    const item = parsed.ok && parsed.query.kind === 'select' ? parsed.query.items[0] : undefined;
    return item?.kind === 'term' ? item.term : undefined;
  };
  const aggregates = await names("function_type = 'aggregate'");
  expect(aggregates.length).toBeGreaterThan(80);
  const forms = (name: string): (Term | undefined)[] =>
    ['a', 'a, b', 'a, b, 0.5', ''].map((args) => term(`SELECT ${name}(${args}) FROM t`));
  const missed = aggregates.filter((name) => {
    const read = forms(name).filter((item) => item !== undefined);
    return read.length === 0 || read.some((item) => !item.aggregates);
  });
  expect(missed).toEqual([]);
  const volatile = await names("function_type = 'scalar' AND stability <> 'CONSISTENT'");
  expect(volatile.length).toBeGreaterThan(20);
  expect(volatile.filter((name) => term(`SELECT ${name}() FROM t`)?.volatile.length === 0)).toEqual([]);
  for (const word of ['current_timestamp', 'current_date', 'localtimestamp', 'current_time'])
    expect(term(`SELECT ${word} FROM t`)?.volatile, word).not.toEqual([]);
  db.closeSync();
  instance.closeSync();
});
