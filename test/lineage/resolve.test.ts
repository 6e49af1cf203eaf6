import { beforeAll, describe, expect, it } from 'vitest';
import { createSqlParser } from '../../src/adapters/sql-parser/polyglot.js';
import { type QueryLineage, resolveQuery } from '../../src/core/lineage/resolve.js';
import type { SqlParser } from '../../src/ports/sql-parser.js';
import { CORPUS } from './corpus.js';
import { type Lab, openLab, TABLES } from './support.js';

let parser: SqlParser;
/** By query: its columns, and which fields were seen to change each when their values were drawn again. */
const shaken = new Map<string, { names: string[]; changes: Set<string>[] }>();

beforeAll(async () => {
  parser = await createSqlParser();
  const lab = await openLab();
  try {
    for (let trial = 0; trial < 3; trial++) await shake(lab);
  } finally {
    lab.close();
  }
}, 60_000);

async function shake(lab: Lab): Promise<void> {
  await lab.fill();
  const before = new Map<string, ReadonlyMap<string, string>>();
  for (const sql of CORPUS) before.set(sql, await lab.columns(sql));
  for (const { name: table, columns } of TABLES)
    for (const column of columns) {
      await lab.shake(table, column);
      for (const [sql, was] of before) {
        const names = [...was.keys()];
        const held = shaken.get(sql) ?? { names, changes: names.map(() => new Set<string>()) };
        shaken.set(sql, held);
        for (const [name, values] of await lab.columns(sql))
          if (values !== was.get(name)) held.changes[names.indexOf(name)]!.add(`${table}.${column}`);
      }
      await lab.restore();
    }
}

function lineage(sql: string): QueryLineage {
  const parsed = parser.parse(sql);
  if (!parsed.ok) throw new Error(`${sql}: ${parsed.message}`);
  return resolveQuery(parsed.query, TABLES);
}

/** `x ← t.a transformation, t.f conditional; rows ← ...` */
const print = (found: QueryLineage): string => {
  const uses = (list: QueryLineage['rows']): string =>
    list.map((use) => `${use.source}.${use.field} ${use.roles.join('+')}`).join(', ');
  return [
    ...found.outputs.map((output) => `${output.name} ← ${uses(output.uses)}`),
    ...(found.rows.length > 0 ? [`rows ← ${uses(found.rows)}`] : []),
    ...found.unresolved.map((what) => `? ${what}`),
  ].join('\n');
};

describe('lineage of queries', () => {
  it('says which fields make a value and which decide', () => {
    expect(print(lineage('SELECT k, CASE WHEN f THEN a ELSE b END AS x FROM t WHERE s = 1'))).toBe(
      'k ← t.k identity\nx ← t.a transformation, t.b transformation, t.f conditional\nrows ← t.s filter',
    );
    expect(print(lineage('SELECT k, sum(a) FILTER (WHERE f) AS x, count(*) AS n FROM t GROUP BY k'))).toBe(
      'k ← t.k identity\nx ← t.a aggregation, t.f filter\nn ← t.* aggregation\nrows ← t.k group_by',
    );
    expect(print(lineage('SELECT a, lag(b) OVER (PARTITION BY k ORDER BY s) AS x FROM t'))).toBe(
      'a ← t.a identity\nx ← t.b transformation, t.k window, t.s window',
    );
    expect(print(lineage('SELECT x.a AS b, c FROM t x JOIN u USING (k)'))).toBe(
      'b ← t.a identity\nc ← u.c identity\nrows ← t.k join, u.k join',
    );
    expect(
      print(lineage('WITH x AS (SELECT *, a + 1 AS y FROM t) SELECT k, sum(y) AS z FROM x GROUP BY ALL')),
    ).toBe('k ← t.k identity\nz ← t.a aggregation\nrows ← t.k group_by');
  });

  it('says what it cannot follow instead of guessing', () => {
    const pivot = lineage('SELECT * FROM (PIVOT t ON s USING sum(a))');
    expect(pivot.complete).toBe(false);
    expect(pivot.unresolved.join()).toContain('PIVOT of t');
    expect(lineage("SELECT * FROM read_csv('x.csv')").unresolved.join()).toContain('read_csv(...)');
    expect(lineage('SELECT q FROM t').outputs[0]).toEqual({
      name: 'q',
      constant: null,
      uses: [],
      unresolved: ['`q` is no column here'],
    });
    expect(lineage('SELECT a FROM elsewhere').unresolved.join()).toContain('`elsewhere`');
    expect(
      lineage('SELECT v FROM (UNPIVOT t ON a, b INTO NAME n VALUE v)').outputs[0]!.unresolved,
    ).toHaveLength(1);
  });

  it('refuses what is no query, with the place', () => {
    const parsed = parser.parse('SELECT a,\n  FROM FROM t');
    expect(parsed).toMatchObject({ ok: false, line: 2 });
    expect(parser.parse('SELECT 1; SELECT 2')).toMatchObject({ ok: false });
  });

  it.each(CORPUS)('misses no field and invents none: %s', (sql) => {
    const found = lineage(sql);
    expect(found.unresolved).toEqual([]);
    expect(found.complete).toBe(true);
    const { names, changes } = shaken.get(sql)!;
    expect(found.outputs.map((output) => output.name.toLowerCase())).toEqual(
      names.map((name) => name.toLowerCase()),
    );
    const rows = new Set(found.rows.map((use) => `${use.source}.${use.field}`));
    for (const [i, output] of found.outputs.entries()) {
      const uses = new Set(output.uses.map((use) => `${use.source}.${use.field}`));
      const missed = [...changes[i]!].filter((field) => !uses.has(field) && !rows.has(field));
      expect(missed, `fields that change ${output.name} and its lineage lacks`).toEqual([]);
      // The other way: what is said to be the value is seen to change it.
      const copied = output.uses.filter((use) => use.roles.includes('identity'));
      for (const use of copied) expect(changes[i], output.name).toContain(`${use.source}.${use.field}`);
    }
  });
});
