import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RunningServer } from '../../src/http/server.js';
import type { OpenedProject } from '../../src/open.js';
import { call, ingestFiles, makeFolder, open, removeFolder, start } from './support.js';

let folder: string;
let project: OpenedProject;
let server: RunningServer;

beforeAll(async () => {
  folder = makeFolder(100);
  project = await open(folder);
  await ingestFiles(project);
  server = await start(project, { limits: { body: 10_000 } });
  for (const name of ['shopper', 'purchases_30d,spent_30d'])
    await call(server, 'POST', `/v1/features/${name}`, {
      entities: [{ user_id: 1 }],
      request: [{ amount: 1 }],
    });
});
afterAll(async () => {
  await server.close();
  await project.close();
  removeFolder(folder);
});

// An escaped letter in the path is left to the framework: the same route, the other way.
const SLOW = { shopper: '%73hopper', 'purchases_30d,spent_30d': '%70urchases_30d,spent_30d' } as const;
const AT = '2024-01-03T10:00:00Z';

it.each<[string, keyof typeof SLOW, unknown, number, string?]>([
  [
    'values and derived features',
    'shopper',
    { entities: [{ user_id: 3 }, { user_id: 999 }], request: [{ amount: 10 }, {}], at: AT },
    200,
  ],
  [
    'base features alone',
    'purchases_30d,spent_30d',
    { entities: [{ user_id: 3 }, { user_id: null }, { user_id: 999 }], at: AT },
    200,
  ],
  ['no entity', 'purchases_30d,spent_30d', { entities: [], at: AT }, 200],
  [
    'a byte order mark',
    'purchases_30d,spent_30d',
    `\ufeff${JSON.stringify({ entities: [{ user_id: 3 }], at: AT })}`,
    200,
  ],
  ['a key that is missing', 'shopper', { entities: [{ user: 3 }], at: AT }, 400],
  ['a key of another type', 'shopper', { entities: [{ user_id: 'seven' }], at: AT }, 400],
  ['a name the body does not know', 'shopper', { entity: [{ user_id: 3 }] }, 400],
  ['text that is no JSON', 'shopper', '{"entities": [}', 400],
  ['bytes that are no UTF-8', 'shopper', new Uint8Array([0x7b, 0xff, 0x7d]), 400],
  ['an empty body', 'shopper', '', 400],
  ['a body over the limit', 'shopper', { entities: [{ user_id: 3, note: 'x'.repeat(20_000) }] }, 413],
  ['another content type', 'shopper', 'user_id=3', 415, 'application/x-www-form-urlencoded'],
])('answers %s alike past the framework and through it', async (_name, set, body, status, type) => {
  const [direct, framed] = [
    await call(server, 'POST', `/v1/features/${set}`, body, type),
    await call(server, 'POST', `/v1/features/${SLOW[set]}`, body, type),
  ];
  expect(direct.status).toBe(status);
  expect(direct.type).toBe(framed.type);
  expect(direct.body).toEqual(framed.body);
  expect(framed.status).toBe(status);
});

it('counts requests on either way under one route', async () => {
  const { body } = await call(server, 'GET', '/metrics');
  const lines = (body as string)
    .split('\n')
    .filter((line) =>
      line.startsWith('millrace_http_request_duration_seconds_count{route="/v1/features/:name"'),
    );
  expect(new Set(lines.map((line) => line.replace(/ \d+$/, ''))).size).toBe(lines.length);
  expect(lines.some((line) => line.includes('status="200"') && Number(line.split(' ').pop()) >= 8)).toBe(
    true,
  );
});
