/** Commands that write beside a server: it gives way, answers reads meanwhile, and takes records again afterwards. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { millrace, type Running, start, writeFiles } from './support.js';

const DEFINITIONS = `
entities: [{ name: user, join_key: user_id }]
sources:
  - name: purchases
    read: { files: data/purchases-*.csv }
    record_key: id
    event_time: bought
    fields: { id: string, user_id: int64, amount: int64, bought: timestamp }
features:
  - { name: bought_count, entity: user, aggregation: { function: count, source: purchases, window: all } }
datasets:
  - { name: all_users, observations: { source: purchases, time: bought }, features: [bought_count] }
`;

let folder: string;
let server: Running;
let url: string;
let files = 0;

const rows = (count: number): string => {
  files++;
  return `id,user_id,amount,bought\n${Array.from({ length: count }, (_, i) => `f${files}-${i},1,${i},2026-01-01T00:00:${String(i % 60).padStart(2, '0')}Z`).join('\n')}\n`;
};
const deliver = (count: number): Promise<void> => {
  const text = rows(count);
  return writeFile(path.join(folder, `data/purchases-${files}.csv`), text);
};
const cli = (...args: string[]) => millrace([...args, '--project', folder, '--json']);
const post = (route: string, body: unknown): Promise<Response> =>
  fetch(`${url}${route}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
const counted = async (): Promise<number> => {
  const response = await post('/v1/features/bought_count', { entities: [{ user_id: 1 }] });
  expect(response.status).toBe(200);
  const { rows } = (await response.json()) as { rows: { values: number[] }[] };
  return rows[0]!.values[0]!;
};
let pushed = 0;
const push = (): Promise<Response> =>
  post('/v1/sources/purchases/records', {
    id: `p${pushed}`,
    user_id: 1,
    amount: 1,
    bought: '2026-01-02T00:00:00Z',
  });
/** Sent again until it is taken, as 503 with Retry-After asks for. */
const pushTaken = async (): Promise<number> => {
  let refused = 0;
  for (;;) {
    const response = await push();
    if (response.status === 200) break;
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    refused++;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  pushed++;
  return refused;
};

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-beside-'));
  await writeFiles(folder, { 'millrace.yaml': 'project: shop\n', 'definitions/all.yaml': DEFINITIONS });
  await writeFiles(folder, { 'data/purchases-0.csv': rows(5) });
  expect((await cli('run')).status).toBe(0);
  server = start(['serve', '--project', folder, '--port', '0']);
  url = (await server.shows(/served at (http:\S+)/))[1]!;
  await server.shows(/ready to answer/);
});

afterAll(async () => {
  server?.child.kill('SIGTERM');
  await server?.finished;
  await rm(folder, { recursive: true, force: true });
});

describe('beside a server', () => {
  it('ingest, run and verify do their work, while every read is answered and no record is lost', async () => {
    let reading = true;
    const seen: number[] = [];
    const reads = (async () => {
      while (reading) {
        seen.push(await counted());
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    try {
      for (const command of [['ingest', 'purchases'], ['run'], ['verify']]) {
        await pushTaken();
        await deliver(3);
        const done = await cli(...command);
        expect([command[0], done.status], done.stderr).toEqual([command[0], 0]);
      }
      await cli('ingest', 'purchases');
      await pushTaken();
    } finally {
      reading = false;
    }
    await reads;
    const total = 5 + 3 * 3 + pushed;
    await expect.poll(counted, { timeout: 20_000 }).toBe(total);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect((await cli('verify')).json).toMatchObject({ differing: 0 });
  });

  it('a second writer is told who works, and a command killed while it waits leaves the server writing', async () => {
    const waiting = start(['ingest', 'purchases', '--project', folder]);
    waiting.child.kill('SIGKILL');
    await waiting.finished;
    await pushTaken();
    const reader = start(['serve', '--project', folder, '--port', '0']);
    await reader.shows(/read-only: Process \d+ \(millrace serve\)/);
    expect((await push()).status).toBe(200);
    pushed++;
    reader.child.kill('SIGTERM');
    expect((await reader.finished).status).toBe(0);
  });
});
