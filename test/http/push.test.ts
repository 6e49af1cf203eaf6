import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/http/server.js';
import type { OpenedProject } from '../../src/open.js';
import { call, makeFolder, NOW, open, removeFolder, start } from './support.js';

let folder: string;
let project: OpenedProject;
let server: RunningServer;

const record = (i: number, user = 1, amount: unknown = 10) => ({
  purchase_id: `n${i}`,
  user_id: user,
  amount,
  status: 'paid',
  bought_at: '2024-01-31T12:00:00Z',
});
const features = async (on: RunningServer, user: number): Promise<{ values: unknown[]; seq: number }> => {
  const { body } = await call(on, 'POST', '/v1/features/purchases_30d,spent_30d', {
    entities: [{ user_id: user }],
  });
  return { values: body.rows[0].values, seq: body.applied.purchases.seq };
};

beforeEach(async () => {
  folder = makeFolder(1);
  project = await open(folder);
});
afterEach(async () => {
  await server.close();
  await project.close();
  removeFolder(folder);
});

describe('POST /v1/sources/{source}/records', () => {
  it('appends durably and shows the records in features when it answers', async () => {
    server = await start(project);
    const reply = await call(server, 'POST', '/v1/sources/purchases/records', [
      record(1),
      record(2, 1, '2.50'),
    ]);
    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject({ accepted: 2, quarantined: 0, duplicates: 0, dropped: 0, seq: 2 });
    expect(await features(server, 1)).toEqual({ values: [2, 12.5], seq: 2 });
    const single = await call(server, 'POST', '/v1/sources/purchases/records', record(3));
    expect(single.body).toMatchObject({ accepted: 1, seq: 3 });
    const lines = `${JSON.stringify(record(4))}\n\n${JSON.stringify(record(5))}\n`;
    expect(
      (await call(server, 'POST', '/v1/sources/purchases/records', lines, 'application/x-ndjson')).body,
    ).toMatchObject({ accepted: 2, seq: 5 });
    expect((await features(server, 1)).values).toEqual([5, 42.5]);
  });

  it('is idempotent, quarantines by the contract, and corrects by record key', async () => {
    server = await start(project);
    const push = (rows: unknown): ReturnType<typeof call> =>
      call(server, 'POST', '/v1/sources/purchases/records', rows);
    await push([record(1)]);
    expect((await push([record(1), record(1)])).body).toMatchObject({ accepted: 0, duplicates: 2, seq: 1 });
    expect((await push([record(2, 1, -5), record(3, 1, 'free')])).body).toMatchObject({
      accepted: 0,
      quarantined: 2,
      reasons: { 'amount.range': 1 },
    });
    expect((await push([record(1, 1, 30)])).body).toMatchObject({ accepted: 1, seq: 2 });
    expect((await features(server, 1)).values).toEqual([1, 30]);
    expect((await (await project.log()).quarantine({ source: 'purchases' })).length).toBe(2);
  });

  it('keeps its position and values over a restart, and catches up with what it did not see', async () => {
    server = await start(project);
    await call(server, 'POST', '/v1/sources/purchases/records', [record(1), record(2)]);
    await server.close();
    const log = await project.log();
    await log.ingestRows(project.definitions.sources.get('purchases')!, [record(3)], { now: NOW });
    await project.close();
    project = await open(folder);
    server = await start(project);
    expect(await features(server, 1)).toEqual({ values: [3, 30], seq: 3 });
    await call(server, 'POST', '/v1/sources/purchases/records', [record(4)]);
    expect(await features(server, 1)).toEqual({ values: [4, 40], seq: 4 });
  });

  it('loses and doubles nothing when many clients push at once', async () => {
    server = await start(project);
    const replies = await Promise.all(
      Array.from({ length: 120 }, (_, i) =>
        call(server, 'POST', '/v1/sources/purchases/records', [
          record(i, i % 3),
          record(i, i % 3),
          record(1000 + i, i % 3),
        ]),
      ),
    );
    expect(replies.every((reply) => reply.status === 200)).toBe(true);
    expect(replies.reduce((sum, reply) => sum + reply.body.accepted, 0)).toBe(240);
    await sleep(50);
    for (const user of [0, 1, 2])
      expect(await features(server, user)).toEqual({ values: [80, 800], seq: 240 });
  });

  it('refuses an unknown source with the nearest name, and rows that are no objects', async () => {
    server = await start(project);
    expect((await call(server, 'POST', '/v1/sources/purchasse/records', [])).body).toMatchObject({
      status: 404,
      code: 'UNKNOWN_NAME',
      hint: 'Did you mean "purchases"?',
    });
    expect((await call(server, 'POST', '/v1/sources/purchases/records', [record(1), 4])).body).toMatchObject({
      status: 400,
      place: { path: '[1]' },
    });
    const lines = `${JSON.stringify(record(1))}\n{"purchase_id": }\n`;
    expect(
      (await call(server, 'POST', '/v1/sources/purchases/records', lines, 'application/x-ndjson')).body,
    ).toMatchObject({ status: 400, place: { line: 2, column: 17 } });
    expect((await (await project.log()).state(project.definitions.sources.get('purchases')!)).lastSeq).toBe(
      0,
    );
  });

  it('refuses a batch that breaks a batch rule whole', async () => {
    server = await start(project);
    const reply = await call(server, 'POST', '/v1/sources/purchases/records', [
      record(1),
      { ...record(2), color: 'red' },
    ]);
    expect(reply.body).toMatchObject({ status: 422, code: 'BATCH_REFUSED' });
    expect((await features(server, 1)).values).toEqual([0, null]);
  });

  it('answers 413 to a body over the limit and 429 with Retry-After when too much is under way', async () => {
    server = await start(project, { limits: { body: 2_000, pushes: 1 } });
    const many = await call(
      server,
      'POST',
      '/v1/sources/purchases/records',
      Array.from({ length: 50 }, (_, i) => record(i)),
    );
    expect(many.body).toMatchObject({ status: 413, code: 'PAYLOAD_TOO_LARGE' });
    expect(JSON.stringify(many.body)).toMatch(/2000 bytes.*--max-body/);
    const slow = connect(server.port, '127.0.0.1');
    slow.write(
      `POST /v1/sources/purchases/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n[`,
    );
    await sleep(100);
    const refused = await call(server, 'POST', '/v1/sources/purchases/records', [record(1)]);
    expect(refused.body).toMatchObject({ status: 429, code: 'OVERLOADED' });
    expect(refused.headers.get('retry-after')).toBe('1');
    slow.destroy();
    await sleep(100);
    expect((await call(server, 'POST', '/v1/sources/purchases/records', [record(1)])).status).toBe(200);
  });

  it('appends nothing for a client that goes away in mid-body', async () => {
    server = await start(project);
    const body = JSON.stringify([record(1), record(2)]);
    const socket = connect(server.port, '127.0.0.1');
    socket.write(
      `POST /v1/sources/purchases/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, -30)}`,
    );
    await sleep(50);
    socket.destroy();
    await sleep(100);
    expect((await (await project.log()).state(project.definitions.sources.get('purchases')!)).lastSeq).toBe(
      0,
    );
    expect((await call(server, 'POST', '/v1/sources/purchases/records', body)).body).toMatchObject({
      accepted: 2,
      seq: 2,
    });
  });
});
