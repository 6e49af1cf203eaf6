import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { expect, it } from 'vitest';
import { printInstant } from '../../src/core/base/time.js';
import { openProject } from '../../src/open.js';
import { explainFeature } from '../../src/services/explain.js';
import { pickFrom, random } from '../world.js';
import { closing, csv, projectFolder } from './support.js';

const SECOND = 1_000_000;
const START = Date.UTC(2024, 0, 1) * 1000;

/** Function → further keys of the aggregation. */
const FUNCTIONS: Readonly<Record<string, string>> = {
  count: '',
  count_distinct: '',
  sum: '',
  mean: '',
  min: '',
  max: '',
  std: '',
  var: '',
  std_pop: '',
  var_pop: '',
  first: '',
  last: ', ignore_nulls: true',
  median: '',
  quantile: ', q: 0.3',
  ratio: ', of: "amount > 2"',
  seconds_since_last: '',
  seconds_since_first: '',
};

const DEFINITIONS = `
entities: [{ name: user, join_key: user_id }]
sources:
  - name: orders
    kind: events
    read: { files: 'orders-*.csv' }
    record_key: id
    event_time: at
    available_at: known
    deleted: gone
    fields: { id: string, user_id: string, amount: decimal(1), kind: string, at: timestamp, known: timestamp, gone: boolean }
  - name: users
    kind: states
    read: { files: 'orders-*.csv' }
    record_key: id
    event_time: at
    available_at: known
    deleted: gone
    fields: { id: string, user_id: string, amount: decimal(1), kind: string, at: timestamp, known: timestamp, gone: boolean }
features:
${Object.entries(FUNCTIONS)
  .map(([name, more]) => {
    const rows = name === 'ratio' || name.startsWith('seconds');
    return `  - { name: f_${name}, entity: user, aggregation: { function: ${name}, source: ${rows ? 'orders' : 'orders.amount'}, window: 40s, offset: 2s, where: "kind <> 'x'"${more} } }`;
  })
  .join('\n')}
  - { name: f_here, entity: user, aggregation: { function: count, source: orders, include_current: true } }
  - { name: f_grouped, entity: user, aggregation: { function: sum, source: orders.amount, group_by: kind } }
  - { name: f_looked, entity: user, lookup: { source: users.amount } }
  - { name: f_derived, entity: user, expression: 'f_sum / f_count' }
`;

/** Corrections that move in time and to other entities, tombstones, late records, ties. */
function rows(seed: number): string[][] {
  const next = random(seed);
  const out: string[][] = [];
  for (let i = 0; i < 80; i++)
    for (let version = next() < 0.4 ? 3 : 1; version > 0; version--) {
      const at = START + Math.floor(next() * 90) * SECOND;
      out.push([
        `r${i}`,
        pickFrom(next, ["o'u", 'v']),
        pickFrom(next, ['', '1.5', '2', '-3', '4.1']),
        pickFrom(next, ['a', 'b', 'x', '']),
        printInstant(at),
        printInstant(at + pickFrom(next, [0, 0, 5, 30]) * SECOND),
        String(next() < 0.1),
      ]);
    }
  return out;
}

it.each([1, 2])('the SQL that is shown gives the value that is explained (seed %i)', async (seed) => {
  const header = ['id', 'user_id', 'amount', 'kind', 'at', 'known', 'gone'];
  const all = rows(seed);
  const folder = projectFolder({
    'definitions/all.yaml': DEFINITIONS,
    'orders-1.csv': csv([header, ...all.slice(0, 70)]),
    'orders-2.csv': csv([header, ...all.slice(70)]),
  });
  const project = closing(await openProject(folder));
  const log = await project.log();
  for (const name of ['orders', 'users'])
    for (const file of ['orders-1.csv', 'orders-2.csv'])
      await log.ingestFiles(project.definitions.sources.get(name)!, [path.join(folder, file)]);

  const duck = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await duck.connect();
  try {
    await connection.run(`SET file_search_path = '${folder}'`);
    let values = 0;
    for (const entity of ["o'u", 'v', 'nobody'])
      for (const second of [10, 60, 95])
        for (const name of [...Object.keys(FUNCTIONS), 'here', 'grouped', 'looked']) {
          const explained = await explainFeature(
            project,
            `f_${name}`,
            { entity: { user_id: entity }, request: {}, at: START + second * SECOND },
            'explain',
          );
          const [part] = explained.parts;
          const answer = (await connection.runAndReadAll(part!.sql!)).getRowsJson() as (
            | string
            | number
            | null
          )[][];
          const where = `${name} of ${entity} at ${second} s: ${part!.arithmetic}`;
          if (name === 'grouped') {
            const groups = Object.fromEntries(
              answer.map(([group, sum]) => [group, sum === null ? null : Number(sum)]),
            );
            const given = (part!.value ?? {}) as Record<string, unknown>;
            expect(
              Object.fromEntries(Object.entries(given).map(([k, v]) => [k, v === null ? null : Number(v)])),
              where,
            ).toEqual(
              Object.fromEntries(Object.entries(groups).filter(([k]) => k in given || groups[k] !== null)),
            );
            continue;
          }
          const sql = answer[0]?.[0] ?? null;
          if (part!.value === null) expect(sql, where).toBeNull();
          else {
            expect(Number(sql), where).toBeCloseTo(Number(part!.value), 9);
            values++;
          }
          expect(
            part!.segments.reduce((sum, { records }) => sum + records, 0),
            where,
          ).toBe(part!.members);
        }
    expect(values).toBeGreaterThan(100);
  } finally {
    connection.closeSync();
    duck.closeSync();
  }
});

it('the arithmetic is that of the numbers', async () => {
  const folder = projectFolder({
    'definitions/all.yaml': DEFINITIONS,
    'orders-1.csv': csv([
      ['id', 'user_id', 'amount', 'kind', 'at', 'known', 'gone'],
      ...['1.5', '2', null, '4.1'].map((amount, i) => [
        `r${i}`,
        'u',
        amount,
        'a',
        printInstant(START + i * SECOND),
        printInstant(START + i * SECOND),
        'false',
      ]),
    ]),
  });
  const project = closing(await openProject(folder));
  const log = await project.log();
  await log.ingestFiles(project.definitions.sources.get('orders')!, [path.join(folder, 'orders-1.csv')]);
  const arithmetic = async (name: string): Promise<string> => {
    const given = { entity: { user_id: 'u' }, request: {}, at: START + 10 * SECOND };
    return (await explainFeature(project, name, given, 'explain')).parts
      .map((part) => part.arithmetic)
      .join('\n');
  };
  expect(await arithmetic('f_sum')).toBe('1.5 + 2.0 + 4.1 = 7.6; 1 null value skipped');
  expect(await arithmetic('f_mean')).toBe(
    '(1.5 + 2.0 + 4.1) / 3 = 7.6 / 3 = 2.533333333333333; 1 null value skipped',
  );
  expect(await arithmetic('f_ratio')).toBe('1 / 4 = 0.25');
  expect(await arithmetic('f_var')).toMatch(/^Σ\(x - mean\)² \/ \(n - 1\) = 1\.90\d+, n = 3, mean = 2\.533/);
  expect(await arithmetic('f_derived')).toContain('1.5 + 2.0 + 4.1 = 7.6');
});

it('an expression, a similarity and a map show the numbers that their values come from', async () => {
  const folder = projectFolder({
    'definitions/all.yaml': `
entities: [{ name: user, join_key: user_id }]
sources:
  - name: orders
    read: { files: orders.csv }
    record_key: id
    event_time: at
    fields: { id: string, user_id: string, amount: decimal(1), kind: string, vector: float64_vector(2), at: timestamp }
features:
  - { name: spent, entity: user, aggregation: { function: sum, source: orders.amount } }
  - { name: by_kind, entity: user, aggregation: { function: mean, source: orders.amount, group_by: kind } }
  - { name: newest, entity: user, aggregation: { function: last, source: orders.vector } }
  - { name: oldest, entity: user, aggregation: { function: first, source: orders.vector } }
  - { name: asked, entity: user, expression: "request.x / spent", request: { x: float64 } }
  - { name: near, entity: user, computation: { function: cosine_similarity, args: [newest, oldest] } }
`,
    'orders.csv': csv([
      ['id', 'user_id', 'amount', 'kind', 'vector', 'at'],
      ['1', 'u', '1.5', 'a', '[3,4]', '2024-01-01T00:00:00Z'],
      ['2', 'u', '2.5', 'a', '[3,4]', '2024-01-01T00:00:01Z'],
      ['3', 'u', '4', 'b', '[3,4]', '2024-01-01T00:00:02Z'],
    ]),
  });
  const project = closing(await openProject(folder));
  await (await project.log()).ingestFiles(project.definitions.sources.get('orders')!, [
    path.join(folder, 'orders.csv'),
  ]);
  const arithmetic = async (name: string): Promise<string> => {
    const at = START + 10 * SECOND;
    const given = { entity: { user_id: 'u' }, request: { x: '2' }, at };
    return (await explainFeature(project, name, given, 'test')).parts[0]!.arithmetic;
  };
  expect(await arithmetic('asked')).toBe('with request.x = 2, spent = 8 → 0.25');
  expect(await arithmetic('by_kind')).toBe('a: (1.5 + 2.5) / 2 = 4.0 / 2 = 2; b: (4.0) / 1 = 4.0 / 1 = 4');
  expect(await arithmetic('near')).toBe(
    'with newest = [3,4], oldest = [3,4]: (a·b) / (|a| |b|) = 25 / (5 × 5) = 1',
  );
});

it('a function that failed is shown with its inputs and what it said', async () => {
  const folder = projectFolder({
    'definitions/all.ts': `import { entity, feature, source } from 'millrace';
export const user = entity({ name: 'user', joinKey: 'user_id' });
export const orders = source({
  name: 'orders', read: 'push', recordKey: 'id', eventTime: 'at',
  fields: { id: 'string', user_id: 'string', amount: 'int64', at: 'timestamp' },
});
const of = { entity: 'user', inputs: ['spent'], valueType: 'int64' } as const;
export const features = [
  feature({ name: 'spent', entity: 'user', aggregation: { function: 'sum', source: 'orders.amount' } }),
  feature({ name: 'thrown', ...of, compute: () => { throw new Error('no such price list'); } }),
  feature({ name: 'wrong', ...of, compute: () => 1.5 }),
];
`,
  });
  const project = closing(await openProject(folder));
  const arithmetic = async (name: string): Promise<string> => {
    const given = { entity: { user_id: 'u' }, request: {}, at: START };
    return (await explainFeature(project, name, given, 'test')).parts[0]!.arithmetic;
  };
  expect(await arithmetic('thrown')).toBe('with spent = null → null: no such price list');
  expect(await arithmetic('wrong')).toContain('gave what is no int64');
});
