import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openProject } from '../../src/open.js';
import { rowReader } from '../../src/services/read-rows.js';
import { runTransform } from '../../src/services/transform.js';
import { call, makeFolder, open, removeFolder, start } from '../http/support.js';
import { random } from '../world.js';

const FIELDS =
  'id: int64, n: int64, x: float64, price: decimal(2), s: string, b: boolean, day: date, ts: timestamp';

/** Transforms that TypeScript reads, as SELECT lists with a condition. */
const READ: readonly [select: string, fields: string][] = [
  ['SELECT * FROM events', FIELDS],
  [
    'SELECT id, n + 2 * n - 7 AS n, -x AS x, ts FROM events WHERE n > 3 AND NOT b',
    'id: int64, n: int64, x: float64, ts: timestamp',
  ],
  [
    "SELECT e.id, e.ts, CASE WHEN e.s IN ('a', 'b') THEN e.s WHEN e.n IS NULL THEN 'none' ELSE 'other' END AS kind, coalesce(e.x * e.x, e.n) AS y FROM events e WHERE e.price >= 10",
    'id: int64, kind: string, y: float64, ts: timestamp',
  ],
  [
    "SELECT id, ts, n BETWEEN 2 AND 6 OR b AS flag, s IS NOT DISTINCT FROM 'b' AS is_b, price, day FROM events WHERE n <> 4 OR s = ''",
    'id: int64, flag: boolean, is_b: boolean, price: decimal(2), day: date, ts: timestamp',
  ],
  [
    "SELECT * EXCLUDE (x, price) REPLACE (n * 3 AS n) FROM events WHERE s < 'c' OR s IS NULL",
    'id: int64, n: int64, s: string, b: boolean, day: date, ts: timestamp',
  ],
];

/** Transforms that wait for SQL. */
const WAITING: readonly [select: string, fields: string][] = [
  ['SELECT id, ts, n / 2 AS half FROM events', 'id: int64, half: float64, ts: timestamp'],
  ['SELECT id, ts, lower(s) AS s FROM events', 'id: int64, s: string, ts: timestamp'],
  ['SELECT id, ts, price * 2 AS p FROM events', 'id: int64, p: decimal(2), ts: timestamp'],
  ['SELECT id, ts, n AS x FROM events', 'id: int64, x: float64, ts: timestamp'],
  ['WITH e AS (SELECT * FROM events) SELECT id, ts FROM e', 'id: int64, ts: timestamp'],
  ["SELECT id, date_trunc('day', ts) AS ts FROM events", 'id: int64, ts: timestamp'],
];

function definitions(transforms: readonly [string, string][]): string {
  return `
entities: [{ name: thing, join_key: id }]
sources:
  - { name: events, read: push, record_key: id, event_time: ts, fields: { ${FIELDS} } }
transforms:
${transforms
  .map(
    ([sql, fields], i) =>
      `  - { name: t${i}, sql: ${JSON.stringify(sql)}, record_key: id, event_time: ts, fields: { ${fields} } }`,
  )
  .join('\n')}
`;
}

async function inProject(
  transforms: readonly [string, string][],
  work: (project: Awaited<ReturnType<typeof openProject>>) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-rows-'));
  mkdirSync(join(folder, 'definitions'));
  writeFileSync(join(folder, 'millrace.yaml'), 'project: rows\n');
  writeFileSync(join(folder, 'definitions/all.yaml'), definitions(transforms));
  const project = await openProject(folder);
  try {
    await work(project);
  } finally {
    await project.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('a stateless transform in TypeScript', () => {
  it('gives the rows that SQL gives: SQL finds nothing to add, to take back or to correct', () =>
    inProject(READ, async (project) => {
      const draw = random(77);
      const pick = <T>(...values: readonly T[]): T => values[Math.floor(draw() * values.length)]!;
      const rows = Array.from({ length: 400 }, (_, id) => ({
        id,
        n: pick<unknown>(null, 0, 1, 2, 3, 4, 5, 6, 7, -3, '900000000000000', 12),
        x: pick<unknown>(null, 0, 1.5, -2.25, 1e100, 3, 0.1),
        price: pick<unknown>(null, '9.99', '10.00', 10, 250.5),
        s: pick<unknown>(null, '', 'a', 'b', 'c', ' ', 'é', 'B', 'a b'),
        b: pick<unknown>(null, true, false),
        day: pick<unknown>(null, '2024-02-29', '1999-12-31'),
        ts: pick('2024-01-01T00:00:00Z', '2024-01-01T00:00:00.000001Z', '2030-05-05T05:05:05.5Z'),
      }));
      const log = await project.log();
      const pushed: Parameters<Parameters<typeof log.onAppend>[0]>[1][] = [];
      log.onAppend((source, records) => {
        if (source === 'events') pushed.push(records);
      });
      const { accepted } = await log.ingestRows(project.definitions.sources.get('events')!, rows, {
        now: 1e15,
      });
      expect(accepted).toBe(400);
      for (let i = 0; i < READ.length; i++) {
        const transform = project.definitions.sources.get(`t${i}`)!;
        const reader = await rowReader(project, transform);
        if (typeof reader === 'string') throw new Error(`${READ[i]![0]}: ${reader}`);
        const read = reader.rows(pushed.flat());
        expect(read.length).toBeGreaterThan(20);
        const preview = await log.ingestRows(transform, read, { now: 1e15 });
        const bySql = await runTransform(project, transform.name, { full: true });
        expect(bySql, READ[i]![0]).toMatchObject({
          rows: read.length,
          accepted: 0,
          duplicates: preview.accepted,
          quarantined: preview.quarantined,
        });
      }
    }));

  it('waits for SQL where DuckDB may mean something else', () =>
    inProject(WAITING, async (project) => {
      for (let i = 0; i < WAITING.length; i++)
        expect(
          typeof (await rowReader(project, project.definitions.sources.get(`t${i}`)!)),
          WAITING[i]![0],
        ).toBe('string');
    }));
});

it('a feature over a stateless transform is fresh when the push is answered, and SQL agrees afterwards', async () => {
  const folder = makeFolder(5);
  writeFileSync(
    join(folder, 'definitions/large.yaml'),
    `
transforms:
  - name: large
    sql: SELECT purchase_id, user_id, amount, bought_at FROM purchases WHERE amount > 10
    record_key: purchase_id
    event_time: bought_at
    fields: { purchase_id: string, user_id: int64, amount: decimal(2), bought_at: timestamp }
  - name: larger
    sql: SELECT * FROM large WHERE amount > 100
    record_key: purchase_id
    event_time: bought_at
    fields: { purchase_id: string, user_id: int64, amount: decimal(2), bought_at: timestamp }
features:
  - { name: large_amount, entity: user, aggregation: { function: sum, source: large.amount, window: 30d } }
  - { name: larger_amount, entity: user, aggregation: { function: sum, source: larger.amount, window: 30d } }
`,
  );
  const project = await open(folder);
  const server = await start(project);
  try {
    const read = async (): Promise<unknown[]> =>
      (
        await call(server, 'POST', '/v1/features/large_amount', { entities: [{ user_id: 77 }] })
      ).body.rows[0].values.concat(
        (await call(server, 'POST', '/v1/features/larger_amount', { entities: [{ user_id: 77 }] })).body
          .rows[0].values,
      );
    const purchase = {
      purchase_id: 'n1',
      user_id: 77,
      amount: 250.5,
      status: 'paid',
      bought_at: '2024-01-30T12:00:00Z',
    };
    await call(server, 'POST', '/v1/sources/purchases/records', [
      purchase,
      { ...purchase, purchase_id: 'n2', amount: 5 },
    ]);
    // The SQL turn comes a quarter of a second later: what is read here came through TypeScript.
    expect(await read()).toEqual([250.5, 250.5]);
    const log = await project.log();
    const large = project.definitions.sources.get('large')!;
    const { lastSeq } = await log.state(large);
    expect(lastSeq).toBe(1);
    // A correction below the limits takes the records back, by SQL.
    await call(server, 'POST', '/v1/sources/purchases/records', [{ ...purchase, amount: 50 }]);
    for (let i = 0; i < 100 && (await read())[1] !== null; i++)
      await new Promise((done) => setTimeout(done, 100));
    expect(await read()).toEqual([50, null]);
    expect((await runTransform(project, 'large', { full: true })).accepted).toBe(0);
    expect((await runTransform(project, 'larger', { full: true })).accepted).toBe(0);
  } finally {
    await server.close();
    await project.close();
    removeFolder(folder);
  }
});
