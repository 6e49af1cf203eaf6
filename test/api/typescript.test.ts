import path from 'node:path';
import { expect, it } from 'vitest';
import { open } from '../../src/index.js';
import { closing, csv, projectFolder, readCsv } from './support.js';

const DEFINITIONS = `import { entity, feature, featureSet, source, dataset, label, model, service } from 'millrace';

const user = entity({ name: 'user', joinKey: 'user_id' });
const orders = source({
  name: 'orders', read: 'push', recordKey: 'id', eventTime: 'at', availableAt: 'event_time',
  fields: { id: 'string', user_id: 'int64', total: 'decimal(2)', note: 'string', at: 'timestamp' },
});
const total = feature({ name: 'total', entity: user, aggregation: { function: 'sum', source: 'orders.total', windows: ['1h', 'all'] } });
const notes = feature({ name: 'notes', entity: user, aggregation: { function: 'last_k', source: 'orders.note', k: 3 } });
const kept: unknown[] = [];

export const features = {
  total, notes,
  // Of a feature, a key, the request and the time; decimals come as whole cents.
  score: feature({
    name: 'score', entity: user, inputs: ['user.total_1h', 'user_id', 'request.rate', 'as_of'], request: { rate: 'float64' }, valueType: 'float64',
    compute: ({ total_1h, user_id, 'request.rate': rate, as_of }) =>
      total_1h === null || rate === null ? null : Number(total_1h) / 100 * Number(rate) + Number(user_id) + Number(as_of) / 1e18,
  }),
  // What it is not told of, it cannot see, whatever else is computed beside it.
  blind: feature({ name: 'blind', entity: user, inputs: ['total_all'], valueType: 'string', compute: (inputs) => Object.keys(inputs).join() }),
  // Another function over a function, a list and an own state that must not leak into values.
  shouted: feature({
    name: 'shouted', entity: user, inputs: ['notes', 'score'], valueType: 'list(string)',
    compute: ({ notes, score }) => {
      const list = ((notes ?? []) as readonly string[]).map((note) => (note ?? '-').toUpperCase());
      list.push(score === null ? 'no score' : 'score');
      kept.push(list);
      for (const earlier of kept.slice(0, -1)) (earlier as string[]).push('changed');
      return list;
    },
  }),
  wrong: feature({ name: 'wrong', entity: user, inputs: ['total_all'], valueType: 'float64', compute: ({ total_all }) => (Number(total_all) > 1000 ? 'much' : 0 / 0) }),
  thrown: feature({ name: 'thrown', entity: user, inputs: ['total_all'], valueType: 'int64', compute: ({ total_all }) => { if (total_all === null) throw new Error('no'); return BigInt(Number(total_all)) * 2n; } }),
  over: feature({ name: 'over', expression: "coalesce(score, 0.0) + total_all" }),
};
const all = featureSet({ name: 'all', features: ['total', notes, 'score', 'blind', 'shouted', 'wrong', 'thrown', 'over'] });
const big = label({ name: 'big', source: orders, expression: 'total > 5', horizon: '1d' });
const training = dataset({ name: 'training', observations: { source: orders }, features: [total], label: big, split: { by: 'time', parts: { train: 0.5, test: 0.5 } } });
const guess = model({ name: 'guess', dataset: training, task: 'binary', trainer: { kind: 'baseline' } });
export default [user, orders, all, big, training, guess, service({ name: 'guessing', model: guess })];
`;

const HOUR = 3_600_000_000;
const AT = Date.UTC(2024, 4, 1) * 1000;
const iso = (micros: number): string => new Date(micros / 1000).toISOString();

it('one TypeScript function runs over training rows and requests; the handle does it all in process', async () => {
  const spine = [
    ['row', 'user_id', 't', 'rate'],
    [0, 1, iso(AT), '2.5'],
    [1, 1, iso(AT + HOUR / 2), null],
    [2, 2, iso(AT), '1'],
    [3, 3, iso(AT), '1'],
    [4, 1, iso(AT + 10 * HOUR), '1'],
  ] as const;
  const folder = projectFolder({ 'definitions/all.ts': DEFINITIONS, 'spine.csv': csv(spine) });
  const project = closing(await open(folder));
  const features = ['all'];

  await expect(project.online({ features, entities: [{ user_id: 1 }] })).rejects.toMatchObject({
    code: 'NOT_MATERIALIZED',
  });
  await expect(project.predict('guessing', { entities: [{ user_id: 1 }] })).rejects.toMatchObject({
    code: 'MODEL_MISSING',
  });
  await expect(project.predict('gessing', { entities: [] })).rejects.toMatchObject({
    code: 'UNKNOWN_NAME',
    hint: 'Did you mean "guessing"?',
  });
  await expect(project.ingest('order', [])).rejects.toMatchObject({
    code: 'UNKNOWN_NAME',
    hint: 'Did you mean "orders"?',
  });
  await expect(project.ingestFiles('orders')).rejects.toMatchObject({ code: 'USAGE' });

  const first = await project.ingest('orders', [
    { id: 'a', user_id: 1, total: '4.00', note: 'one', at: iso(AT - HOUR / 2) },
    { id: 'b', user_id: 1, total: 8.5, note: null, at: iso(AT - 2 * HOUR) },
    { id: 'c', user_id: 2, total: 0, note: 'zwei', at: iso(AT - 3 * HOUR) },
  ]);
  expect(first).toMatchObject({ accepted: 3, quarantined: 0, duplicates: 0 });

  const out = path.join(folder, 'out.csv');
  const names = ['total_1h', 'total_all', 'notes', 'score', 'blind', 'shouted', 'wrong', 'thrown', 'over'];
  let statuses: (readonly string[])[] = [];
  const agreement = async (): Promise<unknown[][]> => {
    await project.historical({ observations: path.join(folder, 'spine.csv'), time: 't', features, out });
    const rows: unknown[][] = [];
    statuses = [];
    for (const [i, cells] of readCsv(out).entries()) {
      const [, user, t, rate] = spine[i + 1]!;
      const answer = await project.online({
        features,
        entities: [{ user_id: user }],
        request: [{ rate: rate === null ? null : Number(rate) }],
        at: t,
      });
      expect(answer.features).toEqual(names);
      const online = JSON.parse(JSON.stringify(answer.rows[0]!.values)) as unknown[];
      const offline = names.map((name) => {
        const text = cells[name]!;
        return text === null || name === 'blind' ? text : (JSON.parse(text) as unknown);
      });
      expect(offline).toEqual(online);
      rows.push(online);
      statuses.push(answer.rows[0]!.statuses);
    }
    return rows;
  };
  const scoreOf = (amount: number, rate: number, user: number, at: number): number =>
    amount * rate + user + at / 1e18;
  const rows = await agreement();
  expect(statuses[0]).toEqual(['ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'error', 'ok', 'ok']);
  expect(statuses[3]).toEqual([
    'never_seen',
    'never_seen',
    'never_seen',
    'empty',
    'ok',
    'ok',
    'empty',
    'error',
    'empty',
  ]);
  expect(rows[0]).toEqual([
    4,
    12.5,
    ['one'],
    scoreOf(4, 2.5, 1, AT),
    'total_all',
    ['ONE', 'score'],
    null,
    2500,
    scoreOf(4, 2.5, 1, AT) + 12.5,
  ]);
  expect(rows[1]!.slice(0, 6)).toEqual([4, 12.5, ['one'], null, 'total_all', ['ONE', 'no score']]);
  expect(rows[2]).toEqual([null, 0, ['zwei'], null, 'total_all', ['ZWEI', 'no score'], null, 0, 0]);
  expect(rows[3]).toEqual([null, null, null, null, 'total_all', ['no score'], null, null, null]);

  // A correction and a late record: the very next read sees them.
  await project.ingest('orders', [
    { id: 'a', user_id: 1, total: '5.00', note: 'eins', at: iso(AT - HOUR / 2) },
    { id: 'd', user_id: 3, total: '7.25', note: 'drei', at: iso(AT - HOUR) },
  ]);
  const later = await project.online({
    features,
    entities: [{ user_id: 1 }, { user_id: 3 }],
    request: [{ rate: 2 }, { rate: 2 }],
    at: AT,
  });
  expect(later.rows.map((row) => row.values.slice(0, 3))).toEqual([
    [5, 13.5, ['eins']],
    [7.25, 7.25, ['drei']],
  ]);
  expect(later.applied['orders']!.seq).toBe(5);
  expect((await agreement())[0]!.slice(0, 2)).toEqual([5, 13.5]);
  await expect(project.online({ features, entities: [{ user_id: 'x' }] })).rejects.toMatchObject({
    code: 'ENTITY_KEY_INVALID',
  });
  await expect(project.online({ features, entities: [{ user_id: 1 }], at: 'soon' })).rejects.toMatchObject({
    code: 'USAGE',
  });
  await project.close();

  // Opened again: what was applied is there.
  const again = closing(await open(folder));
  const same = await again.online({
    features: ['total'],
    entities: [{ user_id: 3 }],
    at: new Date(AT / 1000),
  });
  expect(same.rows[0]!.values).toEqual([7.25, 7.25]);
});
