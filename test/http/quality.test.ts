import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/http/server.js';
import type { OpenedProject } from '../../src/open.js';
import { collectReport } from '../../src/services/report.js';
import { call, DEFINITIONS, makeFolder, open, removeFolder, start } from './support.js';

let folder: string;
let project: OpenedProject;
let server: RunningServer;

const rows = (from: number, count: number, amount = '10'): string =>
  Array.from(
    { length: count },
    (_, i) =>
      `q${from + i},${i % 40},${amount},paid,2024-01-${String(1 + (i % 20)).padStart(2, '0')}T00:00:00Z`,
  ).join('\n');
const HEADER = 'purchase_id,user_id,amount,status,bought_at';
const write = (name: string, text: string, header = HEADER): string => {
  const file = join(folder, 'data', name);
  writeFileSync(file, `${header}\n${text}\n`);
  return file;
};
const ingest = async (file: string) =>
  (await project.log()).ingestFiles(project.definitions.sources.get('purchases')!, [file], {
    now: Date.now() * 1000,
  });

beforeAll(async () => {
  folder = makeFolder(10);
  writeFileSync(
    join(folder, 'definitions', 'all.yaml'),
    DEFINITIONS.replace(
      'extra_columns: refuse }',
      'extra_columns: refuse }\n    history: { row_count: fail }',
    ),
  );
  project = await open(folder);
  server = await start(project);
  for (let i = 0; i < 10; i++) await ingest(write(`day${i}.csv`, rows(1000 * i, 100 + i)));
});
afterAll(async () => {
  await server.close();
  await project.close();
  removeFolder(folder);
});

const get = (path: string) => call(server, 'GET', `/v1/sources/purchases/${path}`);
const post = (path: string, body?: unknown) => call(server, 'POST', `/v1/sources/purchases/${path}`, body);

describe('batches over HTTP', () => {
  it('one that history refused is shown, accepted with a reason, goes in, and is no open refusal any more', async () => {
    const half = write('half.csv', rows(50_000, 8));
    await expect(ingest(half)).rejects.toMatchObject({ code: 'BATCH_REFUSED' });
    const { body: list } = await get('batches?limit=1');
    const [refused] = list.batches;
    expect(refused).toMatchObject({ status: 'refused', verdict: 'refused', rows: 8, accepted: 0 });
    const refusals = async () => {
      const { sources } = await collectReport(project);
      return sources.find((source) => source.name === 'purchases')!.refusals.length;
    };
    expect(await refusals()).toBe(1);
    expect((await get(`batches/${refused.batch.slice(0, 8)}`)).body.batch).toBe(refused.batch);
    const accepted = await post(`batches/${refused.batch}/accept`, { reason: 'a holiday' });
    expect(accepted).toMatchObject({
      status: 200,
      body: { verdict: 'expected', mark: { mark: 'expected', reason: 'a holiday' } },
    });
    expect(await refusals()).toBe(0);
    expect(await ingest(half)).toMatchObject({ accepted: 8 });
    expect((await post(`batches/${refused.batch}/reset`)).body).toMatchObject({
      verdict: 'refused',
      mark: null,
    });
    expect(await refusals()).toBe(0);
    const [last] = (await get('batches?limit=1')).body.batches;
    expect((await post(`batches/${last.batch}/incident`, {})).body.verdict).toBe('incident');
  });

  it('what is not there, or not said right, is a problem with its place', async () => {
    expect(await get('batches/nope')).toMatchObject({ status: 404, body: { code: 'UNKNOWN_NAME' } });
    expect(await post('batches/nope/accept')).toMatchObject({ status: 404, type: /problem\+json/ });
    expect(await get('batches?limit=-1')).toMatchObject({ status: 400, body: { place: { path: 'limit' } } });
    expect(await get('quarantine?state=open')).toMatchObject({
      status: 400,
      body: { code: 'REQUEST_INVALID', place: { path: 'state' } },
    });
    expect(await get('quarantine?status=gone')).toMatchObject({ status: 400 });
    expect(await get('quarantine/77')).toMatchObject({ status: 404 });
    expect(await post('quarantine/drop', { ids: [1] })).toMatchObject({
      status: 400,
      body: { place: { path: 'reason' } },
    });
    expect(await post('quarantine/drop', { reason: 'all' })).toMatchObject({ status: 400 });
    expect(await post('quarantine/replay', { ids: ['1'] })).toMatchObject({ status: 400 });
    expect(await call(server, 'GET', '/v1/sources/purchase/quarantine')).toMatchObject({
      status: 404,
      body: { hint: expect.stringContaining('purchases') },
    });
    expect(await call(server, 'POST', '/v1/sources/purchases/quarantine')).toMatchObject({ status: 405 });
  });
});

describe('the quarantine over HTTP', () => {
  it('rows are listed, shown, fed again and dropped, and stay settled', async () => {
    await ingest(
      write('bad.csv', `${rows(60_000, 100)}\n${rows(70_000, 3, '-1')}\nq80000,1,x,paid,2024-01-01`),
    );
    const { body } = await get('quarantine?status=open&rule=amount.range&limit=2');
    expect(body).toMatchObject({ source: 'purchases', total: 3 });
    expect(body.rows).toHaveLength(2);
    const [first] = body.rows;
    expect(first).toMatchObject({
      status: 'open',
      row: { amount: '-1' },
      reasons: [{ rule: 'amount.range' }],
    });
    expect((await get(`quarantine/${first.id}`)).body).toEqual(first);
    const replayed = await post('quarantine/replay');
    expect(replayed.body).toMatchObject({ rows: 4, accepted: 0, quarantined: 4, duplicates: 0, dropped: 0 });
    expect((await post('quarantine/drop', { ids: [first.id], reason: 'a test order' })).body).toEqual({
      source: 'purchases',
      dropped: 1,
    });
    expect((await get(`quarantine/${first.id}`)).body).toMatchObject({
      status: 'dropped',
      note: 'a test order',
    });
    expect((await get('quarantine?status=open')).body.total).toBe(3);
    expect((await get('status')).body).toMatchObject({ quarantine_open: 3 });
    expect((await post('quarantine/replay', { rule: 'no.rule' })).body).toMatchObject({ rows: 0 });
  });
});

it('a rename is accepted over HTTP: the definition has it, and the server reads it when it reloads', async () => {
  const file = write('renamed.csv', rows(90_000, 100), HEADER.replace('amount', 'price'));
  await expect(ingest(file)).rejects.toMatchObject({ code: 'BATCH_REFUSED' });
  expect(await post('renames', { price: 'amuont' })).toMatchObject({
    status: 404,
    body: { hint: 'Did you mean "amount"?' },
  });
  expect(await post('renames', { status: 'amount' })).toMatchObject({ status: 400 });
  const { body } = await post('renames', { price: 'amount' });
  expect(body).toMatchObject({ text: 'rename: { price: amount }' });
  expect(readFileSync(join(folder, body.file), 'utf8').split('\n')[body.line - 1]).toContain(body.text);
  const reopened = await open(folder);
  try {
    expect(
      reopened.definitions.sources.get('purchases')!.fields.find(({ name }) => name === 'amount')!.aliases,
    ).toEqual(['price']);
  } finally {
    await reopened.close();
  }
});

it('every one of these routes stands in the contract of the server', async () => {
  const { body } = await call(server, 'GET', '/openapi.json');
  const paths = Object.keys(body.paths).filter((path) => path.startsWith('/v1/sources/{name}/'));
  expect(paths.map((path) => path.slice('/v1/sources/{name}/'.length)).sort()).toEqual([
    'batches',
    'batches/{batch}',
    'batches/{batch}/accept',
    'batches/{batch}/incident',
    'batches/{batch}/reset',
    'flagged',
    'quarantine',
    'quarantine/drop',
    'quarantine/replay',
    'quarantine/{id}',
    'renames',
    'repairs',
    'status',
  ]);
});
