import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from 'vitest';
import { createClient, MillraceClientError } from '../../src/client/index.js';
import { feature, featureSet, source } from '../../src/core/define/builders.js';
import type { RunningServer } from '../../src/http/server.js';
import type { OpenedProject } from '../../src/open.js';
import { makeFolder, open, removeFolder, start } from './support.js';

const purchases = source({
  name: 'purchases',
  kind: 'events',
  read: 'push',
  recordKey: 'purchase_id',
  eventTime: 'bought_at',
  fields: {
    purchase_id: 'string',
    user_id: 'int64',
    amount: 'decimal(2)',
    status: 'string',
    bought_at: 'timestamp',
  },
});
const city = feature({
  name: 'city',
  entity: 'user',
  lookup: { source: 'profiles.city' },
  valueType: 'string',
});
const toUsual = feature({
  name: 'to_usual',
  entity: 'user',
  expression: 'request.amount / nullif(mean_30d, 0)',
  valueType: 'float64',
});
const shopper = featureSet({ name: 'shopper', features: ['purchases_30d', 'spent_30d', city, toUsual] });
const definitions = { purchases, city, toUsual, shopper };

let folder: string;
let project: OpenedProject;
let server: RunningServer;

beforeAll(async () => {
  folder = makeFolder(1);
  project = await open(folder);
  server = await start(project);
});
afterAll(async () => {
  await server.close();
  await project.close();
  removeFolder(folder);
});

describe('millrace/client', () => {
  it('sends records and reads features, typed from the definitions', async () => {
    const client = createClient<typeof definitions>({ baseUrl: `${server.url}/` });
    const sent = await client.ingest('purchases', [
      { purchase_id: 'a', user_id: 1, amount: '12.50', status: 'paid', bought_at: '2024-01-31T00:00:00Z' },
    ]);
    expect(sent).toMatchObject({ accepted: 1, seq: 1 });
    const answer = await client.features('shopper', {
      entities: [{ user_id: 1 }],
      request: [{ amount: 25 }],
      at: new Date('2024-02-01T00:00:00Z'),
    });
    expect(answer.records[0]).toEqual({ purchases_30d: 1, spent_30d: 12.5, city: null, to_usual: 2 });
    expect(answer.as_of).toBe('2024-02-01T00:00:00Z');
    expectTypeOf(answer.records[0]!.to_usual).toEqualTypeOf<number | null>();
    expectTypeOf(answer.records[0]!.city).toEqualTypeOf<string | null>();
    const listed = await client.features(['spent_30d', 'purchases_30d'], { entities: [{ user_id: 1 }] });
    expect(listed.features).toEqual(['spent_30d', 'purchases_30d']);
    // @ts-expect-error a name that is not defined
    await expect(client.features('shoper', { entities: [] })).rejects.toMatchObject({
      status: 404,
      code: 'UNKNOWN_NAME',
      hint: 'Did you mean "shopper"?',
    });
    const wrong = await client.ingest('purchases', [
      // @ts-expect-error a field of the wrong type
      { purchase_id: 'b', user_id: 1, amount: true, status: 'paid', bought_at: '2024-01-31T00:00:00Z' },
    ]);
    expect(wrong.quarantined).toBe(1);
  });

  it('says what is missing, and throws what the server refuses with its code', async () => {
    const client = createClient({ baseUrl: server.url, retries: 0 });
    expect(await client.missing()).toEqual([expect.stringContaining('no champion')]);
    await expect(client.predict('back', { entities: [] })).rejects.toMatchObject({
      status: 409,
      code: 'MODEL_MISSING',
    });
    await expect(client.outcomes('back', { prediction_id: 'x', label: 1 })).rejects.toBeInstanceOf(
      MillraceClientError,
    );
  });

  it('tries again after 429 as Retry-After says, and gives up after its retries', async () => {
    let calls = 0;
    const busy = createServer((_request, response) => {
      calls++;
      if (calls === 2) response.writeHead(200, { 'content-type': 'application/json' }).end('{"accepted":3}');
      else
        response
          .writeHead(429, { 'retry-after': '0', 'content-type': 'application/problem+json' })
          .end('{"code":"OVERLOADED","detail":"busy"}');
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => busy.once('listening', resolve));
    const baseUrl = `http://127.0.0.1:${(busy.address() as AddressInfo).port}`;
    expect(await createClient({ baseUrl }).ingest('purchases', [])).toEqual({ accepted: 3 });
    expect(calls).toBe(2);
    await expect(createClient({ baseUrl, retries: 1 }).predict('s', { entities: [] })).rejects.toMatchObject({
      status: 429,
      code: 'OVERLOADED',
    });
    expect(calls).toBe(4);
    busy.closeAllConnections();
    busy.close();
    await expect(createClient({ baseUrl, retries: 0 }).ingest('purchases', [])).rejects.toMatchObject({
      status: 0,
      code: 'UNREACHABLE',
    });
  });
});
