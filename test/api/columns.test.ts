import path from 'node:path';
import { expect, it } from 'vitest';
import { open } from '../../src/index.js';
import { closing, csv, projectFolder, readCsv } from './support.js';

const AT = '2024-05-01T00:00:00Z';
const DEFINITIONS = `entities: [{ name: user, join_key: user_id }]
sources:
  - { name: orders, read: push, available_at: event_time, record_key: id, event_time: at, fields: { id: string, user_id: string, n: int64, at: timestamp } }
transforms:
  - name: doubled
    sql: SELECT id, user_id, n * 2 AS n, "at" FROM orders
    record_key: id
    event_time: at
    fields: { id: string, user_id: string, n: int64, at: timestamp }
  - name: quadrupled
    sql: SELECT id, user_id, n * 2 AS n, "at" FROM doubled
    record_key: id
    event_time: at
    fields: { id: string, user_id: string, n: int64, at: timestamp }
features:
  - { name: n, entity: user, aggregation: { function: sum, source: orders.n } }
  - { name: N, entity: user, aggregation: { function: count, source: orders.n } }
  - { name: twice, entity: user, aggregation: { function: sum, source: doubled.n } }
  - { name: four_times, entity: user, aggregation: { function: sum, source: quadrupled.n } }
datasets:
  - { name: taken, observations: { files: taken.csv, time: t }, features: [n] }
  - { name: like, observations: { files: like.csv, time: t }, features: [n] }
  - { name: parted, observations: { files: parted.csv, time: t }, features: [n] }
`;
const record = (id: string, n: number) => ({ id, user_id: 'a', n, at: '2024-04-01T00:00:00Z' });

it('columns of the observations are kept under their names, and a name that would be lost is refused', async () => {
  const folder = projectFolder({
    'definitions/a.yaml': DEFINITIONS,
    'spine.csv': csv([
      ['user_id', 't', '_row', 'rowid', 'c0', 'kept', 'a.b', 'with "quotes"', '_e'],
      ['a', AT, 'r', 'i', 'c', 'k', 'ab', 'q', 'e'],
      ['a', AT, 'r', 'i', 'c', 'k', 'ab', 'q', 'e'],
    ]),
    'taken.csv': csv([
      ['user_id', 't', 'n'],
      ['a', AT, 'mine'],
    ]),
    'like.csv': csv([
      ['user_id', 't', 'N'],
      ['a', AT, 'mine'],
    ]),
    'parted.csv': csv([
      ['user_id', 't', 'Part'],
      ['a', AT, 'mine'],
    ]),
  });
  const project = closing(await open(folder));
  await project.ingest('orders', [record('1', 5)]);
  const out = path.join(folder, 'out.csv');
  const ask = (observations: string, features: string[]) =>
    project.historical({ observations: path.join(folder, observations), time: 't', features, out });
  await ask('spine.csv', ['n']);
  const row = {
    user_id: 'a',
    t: AT,
    _row: 'r',
    rowid: 'i',
    c0: 'c',
    kept: 'k',
    'a.b': 'ab',
    'with "quotes"': 'q',
    _e: 'e',
    n: '5',
  };
  expect(readCsv(out)).toEqual([row, row]);
  await expect(ask('spine.csv', ['n', 'N'])).rejects.toMatchObject({
    code: 'USAGE',
    message: 'the columns "n" and "N" would differ only in case',
  });
  await expect(ask('like.csv', ['n'])).rejects.toMatchObject({
    code: 'USAGE',
    message: 'the columns "N" and "n" would differ only in case',
  });
  for (const [name, column] of [
    ['taken', 'n'],
    ['like', 'N'],
    ['parted', 'Part'],
  ] as const)
    await expect(project.buildDataset(name)).rejects.toMatchObject({
      code: 'USAGE',
      place: { file: `${name}.csv`, path: column },
    });
});

it('transforms of transforms follow what the handle ingests, before anything is read', async () => {
  const folder = projectFolder({ 'definitions/a.yaml': DEFINITIONS });
  const project = closing(await open(folder));
  const values = async (): Promise<unknown> => {
    const answer = await project.online({
      features: ['n', 'twice', 'four_times'],
      entities: [{ user_id: 'a' }],
      at: AT,
    });
    return answer.rows[0]!.values;
  };
  await Promise.all([project.ingest('orders', [record('1', 5)]), project.ingest('orders', [record('2', 7)])]);
  expect(await values()).toEqual([12, 24, 48]);
  await project.ingest('orders', [record('1', 6)]);
  expect(await Promise.all([values(), values()])).toEqual([
    [13, 26, 52],
    [13, 26, 52],
  ]);
  await expect(project.ingest('doubled', [record('9', 1)])).rejects.toMatchObject({ code: 'USAGE' });
  expect(await project.ingestFiles('doubled')).toMatchObject({ accepted: 0 });
});

it('a transform whose SQL does not run is a fault of the definition, named with its place', async () => {
  const folder = projectFolder({
    'definitions/a.yaml': DEFINITIONS.replace(
      'n * 2 AS n, "at" FROM orders',
      'nn * 2 AS n, "at" FROM orders',
    ),
  });
  const project = closing(await open(folder));
  await project.ingest('orders', [record('1', 5)]);
  await expect(project.online({ features: ['twice'], entities: [{ user_id: 'a' }] })).rejects.toMatchObject({
    code: 'EVALUATION',
    message: expect.stringMatching(/^the SQL of transform doubled does not run: .*nn/s),
    place: { file: 'definitions/a.yaml', line: 5 },
  });
});
