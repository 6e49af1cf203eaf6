import { expect, it } from 'vitest';
import { openProject } from '../../src/open.js';
import { verify } from '../../src/services/verify.js';
import { closing, csv, projectFolder } from './support.js';

const DEFINITIONS = `
entities: [{ name: user, join_key: user_id }, { name: shop, join_key: shop_id }, { name: city, join_key: city_id }]
sources:
  - name: visits
    read: { files: visits.csv }
    record_key: id
    event_time: at
    fields: { id: string, user_id: string, shop_id: string, spent: decimal(2), at: timestamp }
  - name: cities
    kind: states
    read: { files: cities.csv }
    record_key: [city, since]
    event_time: since
    keys: { city_id: city }
    fields: { city: string, since: timestamp, people: int64 }
features:
  - { name: spent, entity: user, aggregation: { function: sum, source: visits.spent, window: 1d } }
  - { name: seen, entity: shop, aggregation: { function: count, source: visits, window: 1d } }
  - { name: share, entities: [user, shop], expression: "spent / nullif(seen, 0)" }
  - { name: people, entity: city, lookup: { source: cities.people } }
  - { name: asked, entity: user, expression: "request.amount / spent", request: { amount: float64 } }
`;
const at = (hour: number): string => `2024-01-01T${String(hour).padStart(2, '0')}:00:00Z`;
const FILES = {
  'definitions/all.yaml': DEFINITIONS,
  'visits.csv': csv([
    ['id', 'user_id', 'shop_id', 'spent', 'at'],
    ...Array.from({ length: 12 }, (_, i) => [`${i}`, `u${i % 3}`, `s${i % 2}`, `${i}.50`, at(i)]),
  ]),
  'cities.csv': csv([
    ['city', 'since', 'people'],
    ['a', at(1), 5],
  ]),
  'spine.csv': csv([
    ['user_id', 'amount', 't'],
    ['u1', 3, at(20)],
  ]),
};

async function ingested(files: Readonly<Record<string, string>>) {
  const project = closing(await openProject(projectFolder(files)));
  const log = await project.log();
  for (const source of project.definitions.sources.values())
    await log.ingestFiles(source, log.expand(source));
  return project;
}

it('without a dataset features are compared at the records that have their keys, and the others are named', async () => {
  const project = await ingested(FILES);
  expect(await verify(project, { sample: null, seed: 1 })).toMatchObject({
    observations: 12,
    checked: 12,
    differing: 0,
    unverified: ['people', 'asked'],
  });
  expect(await verify(project, { features: ['share'], sample: 5, seed: 1 })).toMatchObject({
    features: 1,
    checked: 5,
    unverified: [],
  });
  await expect(verify(project, { features: ['people'], sample: null, seed: 1 })).rejects.toMatchObject({
    code: 'USAGE',
  });
});

it('features of a dataset are compared at its observations, a file among them, and those of none at records', async () => {
  const project = await ingested({
    ...FILES,
    'definitions/dataset.yaml':
      'datasets: [{ name: asking, observations: { files: spine.csv, time: t }, features: [asked] }]\n',
  });
  expect(await verify(project, { sample: null, seed: 1 })).toMatchObject({
    features: 2,
    observations: 13,
    checked: 13,
    differing: 0,
    unverified: ['people'],
  });
});
