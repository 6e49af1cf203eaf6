import path from 'node:path';
import { expect, it } from 'vitest';
import { openProject } from '../../src/open.js';
import { historicalFeatures } from '../../src/services/historical.js';
import { materialize } from '../../src/services/materialize.js';
import { answerFeatures, featureReader } from '../../src/services/serve.js';
import { closing, csv, projectFolder } from './support.js';

const over = (name: string, fn: string, field: string, more = ''): string =>
  `  - { name: ${name}, entity: user, aggregation: { function: ${fn}, source: events.${field}, window: 1h${more} } }`;

const DEFINITIONS = `
entities: [{ name: user, join_key: user_id }]
sources:
  - name: events
    kind: events
    read: { files: events.csv }
    record_key: id
    event_time: at
    fields: { id: string, user_id: string, kind: string, whole: int64, price: decimal(2), x: float64, at: timestamp }
features:
${over('ints', 'sum', 'whole')}
${over('decimals', 'sum', 'price')}
${over('doubles', 'sum', 'x')}
${over('spread', 'var', 'x')}
${over('replaced', 'sum', 'whole', ', default: 7')}
${over('average', 'mean', 'whole')}
  - { name: after, entity: user, expression: "ints + 1" }
  - { name: by_kind, entity: user, aggregation: { function: sum, source: events.whole, window: 1h, group_by: kind } }
  - { name: caught, entity: user, expression: "coalesce(ints, -1)" }
`;
const AT = '2024-01-01T00:30:00Z';

it('a result that does not fit its type is null with the status error on every path, and no default hides it', async () => {
  const folder = projectFolder({
    'definitions/all.yaml': DEFINITIONS,
    'events.csv': csv([
      ['id', 'user_id', 'kind', 'whole', 'price', 'x', 'at'],
      ['1', 'u', 'a', '9223372036854775807', '9999999999999999.99', '1.7e308', '2024-01-01T00:00:00Z'],
      ...Array.from({ length: 4 }, (_, i) => [
        `${i + 2}`,
        'u',
        i === 0 ? 'a' : 'b',
        '1',
        '9999999999999999.99',
        '1.7e308',
        '2024-01-01T00:00:00Z',
      ]),
      ...Array.from({ length: 990 }, (_, i) => [`v${i}`, 'v', 'a', '1', '1', '-1', '2024-01-01T00:00:01Z']),
    ]),
    'spine.csv': csv([
      ['user_id', 't'],
      ['u', AT],
      ['v', AT],
      ['w', AT],
    ]),
  });
  const project = closing(await openProject(folder));
  const log = await project.log();
  const source = project.definitions.sources.get('events')!;
  await log.ingestFiles(source, log.expand(source));
  const names = [...project.definitions.features.keys()];
  const wanted = {
    ints: ['error', 'ok', 'never_seen'],
    decimals: ['error', 'ok', 'never_seen'],
    doubles: ['error', 'ok', 'never_seen'],
    spread: ['ok', 'ok', 'never_seen'],
    replaced: ['error', 'ok', 'defaulted'],
    average: ['ok', 'ok', 'never_seen'],
    after: ['error', 'ok', 'empty'],
    by_kind: ['error', 'ok', 'never_seen'],
    caught: ['ok', 'ok', 'ok'],
  };
  for (const format of ['csv', 'parquet']) {
    const { statuses } = await historicalFeatures(project, {
      observations: path.join(folder, 'spine.csv'),
      time: 't',
      features: names,
      out: path.join(folder, `out.${format}`),
    });
    expect(statuses).toEqual(
      Object.fromEntries(
        Object.entries(wanted).map(([name, list]) => [
          name,
          Object.fromEntries(
            [...new Set(list)].map((status) => [status, list.filter((item) => item === status).length]),
          ),
        ]),
      ),
    );
  }
  await materialize(project);
  const answer = answerFeatures(
    await featureReader(project, names),
    { entities: ['u', 'v', 'w'].map((user_id) => ({ user_id })), at: Date.parse(AT) * 1000 },
    0,
  );
  for (const [i, name] of answer.features.entries())
    expect([name, answer.rows.map(({ statuses }) => statuses[i])]).toEqual([
      name,
      wanted[name as keyof typeof wanted],
    ]);
  const first = (name: string) => answer.rows[0]!.values[answer.features.indexOf(name)];
  expect([first('replaced'), first('by_kind')]).toEqual([null, { a: null, b: 3 }]);
});
