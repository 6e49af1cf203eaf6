import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/http/server.js';
import type { OpenedProject } from '../../src/open.js';
import { onlineFeatures } from '../../src/services/serve.js';
import { call, ingestFiles, makeFolder, NOW, open, removeFolder, start } from './support.js';

let folder: string;
let project: OpenedProject;
let server: RunningServer;
let clock = NOW;

beforeAll(async () => {
  folder = makeFolder();
  project = { ...(await open(folder)), now: () => clock };
  await ingestFiles(project);
  server = await start(project);
});
afterAll(async () => {
  await server.close();
  await project.close();
  removeFolder(folder);
});

describe('POST /v1/features', () => {
  it('answers what the service answers, for each entity in order', async () => {
    const reply = await call(server, 'POST', '/v1/features/shopper', {
      entities: [{ user_id: 3 }, { user_id: 999 }],
      request: [{ amount: 10 }, { amount: 5 }],
    });
    expect(reply.status).toBe(200);
    const own = await onlineFeatures(
      project,
      {
        features: ['shopper'],
        entities: [{ user_id: 3 }, { user_id: 999 }],
        request: [{ amount: 10 }, { amount: 5 }],
      },
      'a test',
    );
    expect(reply.body).toEqual(JSON.parse(JSON.stringify(own)));
    expect(reply.body.features).toEqual(['purchases_30d', 'spent_30d', 'city', 'to_usual']);
    expect(reply.body.rows[0].values[0]).toBeGreaterThan(5);
    expect(reply.body.rows[1]).toEqual({
      values: [0, null, null, null],
      statuses: ['never_seen', 'never_seen', 'never_seen', 'empty'],
    });
    expect(reply.body.applied.purchases.seq).toBe(600);
    expect(reply.body.as_of).toBe('2024-02-01T00:00:00Z');
    expect(reply.body.data_age_seconds).toBeGreaterThan(0);
  });

  it('answers a comma-separated list, and another instant', async () => {
    const reply = await call(server, 'POST', '/v1/features/spent_30d,purchases_30d', {
      entities: [{ user_id: 3 }],
      at: '2023-01-01T00:00:00Z',
    });
    expect(reply.body.features).toEqual(['spent_30d', 'purchases_30d']);
    expect(reply.body.rows[0].values).toEqual([null, 0]);
    expect(reply.body.as_of).toBe('2023-01-01T00:00:00Z');
  });

  it('lets windows decay with the clock', async () => {
    const body = { entities: [{ user_id: 3 }] };
    const before = await call(server, 'POST', '/v1/features/purchases_30d', body);
    clock = NOW + 60 * 86_400e6;
    const after = await call(server, 'POST', '/v1/features/purchases_30d', body);
    clock = NOW;
    expect(before.body.rows[0].values[0]).toBeGreaterThan(0);
    expect(after.body.rows[0].values[0]).toBe(0);
  });

  it.each([
    [
      'a name that is nearly right',
      '/v1/features/shoper',
      { entities: [] },
      404,
      'UNKNOWN_NAME',
      { hint: 'Did you mean "shopper"?' },
    ],
    ['a body that is no object', '/v1/features/shopper', [], 400, 'REQUEST_INVALID', {}],
    [
      'an unknown key',
      '/v1/features/shopper',
      { entitys: [] },
      400,
      'REQUEST_INVALID',
      { place: { path: 'entitys' }, hint: 'Did you mean "entities"?' },
    ],
    ['no entities', '/v1/features/shopper', {}, 400, 'REQUEST_INVALID', { place: { path: 'entities' } }],
    [
      'an entity that is no object',
      '/v1/features/shopper',
      { entities: [{ user_id: 1 }, 7] },
      400,
      'REQUEST_INVALID',
      { place: { path: 'entities[1]' } },
    ],
    [
      'an entity without its key',
      '/v1/features/shopper',
      { entities: [{ user: 1 }] },
      400,
      'ENTITY_KEY_INVALID',
      { place: { path: 'entities[0].user_id' } },
    ],
    [
      'a key of the wrong type',
      '/v1/features/shopper',
      { entities: [{ user_id: 1.5 }] },
      400,
      'ENTITY_KEY_INVALID',
      { place: { path: 'entities[0].user_id' } },
    ],
    [
      'a key that JSON has rounded',
      '/v1/features/shopper',
      '{"entities":[{"user_id":9007199254740993}]}',
      400,
      'ENTITY_KEY_INVALID',
      {},
    ],
    [
      'a request field of the wrong type',
      '/v1/features/shopper',
      { entities: [{ user_id: 1 }], request: [{ amount: 'much' }] },
      400,
      'REQUEST_INVALID',
      { place: { path: 'request[0].amount' } },
    ],
    [
      'fewer requests than entities',
      '/v1/features/shopper',
      { entities: [{ user_id: 1 }], request: [] },
      400,
      'REQUEST_INVALID',
      {},
    ],
    [
      'an instant that does not exist',
      '/v1/features/shopper',
      { entities: [], at: '2024-02-31T00:00:00Z' },
      400,
      'REQUEST_INVALID',
      { place: { path: 'at' } },
    ],
    ['a route that is not there', '/v1/nothing', {}, 404, 'UNKNOWN_NAME', {}],
    ['a broken escape in the URL', '/v1/features/%E0%A4%A', {}, 400, 'REQUEST_INVALID', {}],
  ])('refuses %s as a problem', async (_name, path, body, status, code, more) => {
    const reply = await call(server, 'POST', path, body);
    expect(reply.body).toMatchObject({ status, code, type: `urn:millrace:error:${code}`, ...more });
    expect(reply.status).toBe(status);
    expect(reply.type).toBe('application/problem+json; charset=utf-8');
    expect(reply.body.detail).not.toBe('');
    expect(reply.body.title).not.toBe('');
  });

  it('says at which line and column JSON is broken', async () => {
    const reply = await call(server, 'POST', '/v1/features/shopper', '{"entities": [\n  {"user_id": 1,}]}');
    expect(reply.body).toMatchObject({
      status: 400,
      code: 'REQUEST_INVALID',
      place: { line: 2, column: 17 },
    });
    const torn = await call(server, 'POST', '/v1/features/shopper', '{"entities": [');
    expect(torn.body.detail).toContain('ends too early');
  });

  it('refuses other content types and bytes that are not UTF-8', async () => {
    expect(
      (await call(server, 'POST', '/v1/features/shopper', 'user_id=1', 'application/x-www-form-urlencoded'))
        .status,
    ).toBe(415);
    expect((await call(server, 'POST', '/v1/features/shopper', '{}', 'application/x-ndjson')).status).toBe(
      415,
    );
    const latin = await call(server, 'POST', '/v1/features/shopper', new Uint8Array([0x7b, 0xe9, 0x7d]));
    expect(latin.body).toMatchObject({ status: 400, detail: 'the body is not UTF-8' });
  });
});

describe('POST /get-online-features', () => {
  it('answers by column with the statuses that feature-store clients know', async () => {
    await call(server, 'POST', '/v1/sources/profiles/records', [
      { user_id: 3, city: 'Malmö', since: '2024-01-15T00:00:00Z' },
      { user_id: 4, city: 'Lund', since: '2023-01-15T00:00:00Z' },
    ]);
    const reply = await call(server, 'POST', '/get-online-features', {
      features: ['shop:city', 'shop:purchases_30d'],
      entities: { user_id: [3, 4, 999] },
    });
    expect(reply.status).toBe(200);
    expect(reply.body.metadata.feature_names).toEqual(['user_id', 'city', 'purchases_30d']);
    const [keys, city, count] = reply.body.results;
    expect(keys.values).toEqual([3, 4, 999]);
    expect(city).toEqual({
      values: ['Malmö', null, null],
      statuses: ['PRESENT', 'OUTSIDE_MAX_AGE', 'NOT_FOUND'],
      event_timestamps: Array(3).fill('2024-02-01T00:00:00Z'),
    });
    expect(count.statuses).toEqual(['PRESENT', 'PRESENT', 'PRESENT']);
    expect(count.values[2]).toBe(0);
  });

  it('takes a set as feature service and request fields among the entities', async () => {
    const reply = await call(server, 'POST', '/get-online-features', {
      feature_service: 'shopper',
      entities: { user_id: [3], amount: [10] },
    });
    const direct = await call(server, 'POST', '/v1/features/shopper', {
      entities: [{ user_id: 3 }],
      request: [{ amount: 10 }],
    });
    expect(reply.body.results.slice(1).map((column: { values: unknown[] }) => column.values[0])).toEqual(
      direct.body.rows[0].values,
    );
  });

  it('refuses columns of different lengths', async () => {
    const reply = await call(server, 'POST', '/get-online-features', {
      features: ['to_usual'],
      entities: { user_id: [3, 4], amount: [1] },
    });
    expect(reply.body).toMatchObject({ status: 400, place: { path: 'entities.amount' } });
  });
});
