import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../src/http/server.js';
import type { OpenedProject } from '../../src/open.js';
import { call, ingestFiles, makeFolder, open, type Reply, removeFolder, start } from './support.js';

let folder: string;
let project: OpenedProject;
let server: RunningServer;

beforeAll(async () => {
  folder = makeFolder(20_000);
  project = await open(folder);
  await ingestFiles(project);
});
afterAll(async () => {
  await server.close();
  await project.close();
  removeFolder(folder);
});

describe('a server that has to build its online store', () => {
  it('refuses to answer from a half-built one, and is not ready before it is whole', async () => {
    server = await startServer(project, { port: 0, host: '127.0.0.1', version: 'test' });
    let settled = false;
    void server.settled.then(() => {
      settled = true;
    });
    const body = { entities: [{ user_id: 3 }], at: '2024-02-01T00:00:00Z' };
    const answers: Reply[] = [];
    const readiness: Reply[] = [];
    while (!settled) {
      readiness.push(await call(server, 'GET', '/readyz'));
      answers.push(await call(server, 'POST', '/v1/features/purchases_30d,spent_30d', body));
    }
    const whole = await call(server, 'POST', '/v1/features/purchases_30d,spent_30d', body);
    expect(whole.status).toBe(200);
    expect(whole.body.rows[0].values[0]).toBeGreaterThan(5);
    expect(answers[0]).toMatchObject({ status: 503, body: { code: 'NOT_MATERIALIZED' } });
    expect(answers[0]!.headers.get('retry-after')).toBe('1');
    for (const answer of answers)
      if (answer.status === 200) expect(answer.body.rows).toEqual(whole.body.rows);
      else expect(answer.body.code).toBe('NOT_MATERIALIZED');
    expect(readiness[0]!.body.data.missing.join(' ')).toMatch(/group \S+ is/);
  });
});

it('reads new files of a source that is under watch, and shows them in features', async () => {
  const folder = makeFolder(5);
  const definitions = join(folder, 'definitions', 'all.yaml');
  writeFileSync(
    definitions,
    readFileSync(definitions, 'utf8').replace(
      'read: { files: data/purchases.csv }',
      'read: { files: data/purchases*.csv }\n    watch: 200ms',
    ),
  );
  const project = await open(folder);
  const server = await start(project);
  try {
    const count = async (): Promise<unknown> =>
      (await call(server, 'POST', '/v1/features/purchases_30d', { entities: [{ user_id: 777 }] })).body
        .rows[0].values[0];
    expect(await count()).toBe(0);
    writeFileSync(
      join(folder, 'data/purchases-2.csv'),
      'purchase_id,user_id,amount,status,bought_at\nq1,777,5.00,paid,2024-01-30T00:00:00Z\n',
    );
    for (let i = 0; i < 200 && (await count()) !== 1; i++) await sleep(50);
    expect(await count()).toBe(1);
  } finally {
    await server.close();
    await project.close();
    removeFolder(folder);
  }
}, 60_000);
