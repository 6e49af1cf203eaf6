import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/http/server.js';
import type { OpenedProject } from '../../src/open.js';
import { CHAMPION } from '../../src/services/model-manifest.js';
import { promoteModel, rollbackModel } from '../../src/services/promote.js';
import { trainModel } from '../../src/services/train.js';
import { call, ingestFiles, makeFolder, NOW, open, removeFolder, start } from './support.js';

let folder: string;
let project: OpenedProject;
let server: RunningServer;

beforeAll(async () => {
  folder = makeFolder();
  project = await open(folder);
  await ingestFiles(project);
  server = await start(project, { championPeriodMs: 50 });
});
afterAll(async () => {
  await server.close();
  await project.close();
  removeFolder(folder);
});

const predictBody = { entities: [{ user_id: 2 }, { user_id: 3 }] };

describe('services', () => {
  it('is not ready, and says why, until there is a champion; then predicts without a restart', async () => {
    const before = await call(server, 'GET', '/readyz');
    expect(before.status).toBe(503);
    expect(before.body.missing ?? before.body.data.missing).toEqual([
      expect.stringContaining('back has no champion'),
    ]);
    expect((await call(server, 'POST', '/v1/services/back/predict', predictBody)).body).toMatchObject({
      status: 409,
      code: 'MODEL_MISSING',
    });
    expect((await call(server, 'GET', '/v2/health/live')).body).toEqual({ live: true });
    expect((await call(server, 'GET', '/v2/health/ready')).status).toBe(503);

    const trained = await trainModel(project, 'back');
    await promoteModel(project, 'back', { version: trained.version.version });
    await sleep(300);
    expect((await call(server, 'GET', '/readyz')).body).toEqual({ ready: true });
    expect((await call(server, 'GET', '/v2/models/back/ready')).status).toBe(200);
    const reply = await call(server, 'POST', '/v1/services/back/predict', predictBody);
    expect(reply.status).toBe(200);
    expect(reply.body.model).toBe('back@1');
    expect(reply.body.as_of).toBe('2024-02-01T00:00:00Z');
    expect(reply.body.predictions).toHaveLength(2);
    for (const { probability } of reply.body.predictions)
      expect(probability > 0 && probability < 1).toBe(true);
    expect(new Set(reply.body.prediction_ids).size).toBe(2);
  });

  it('logs each prediction with its vector, durable when it answers', async () => {
    const { body } = await call(server, 'POST', '/v1/services/back/predict', predictBody);
    const logged = new Map<string, unknown>();
    for await (const entry of project.predictions().predictions('back'))
      logged.set(entry.prediction_id, entry);
    expect(logged.get(body.prediction_ids[1])).toMatchObject({
      entity: { user_id: 3 },
      model: 'back@1',
      made_at: NOW,
      origin: 'online',
      prediction: body.predictions[1],
    });
    expect(Object.keys((logged.get(body.prediction_ids[1]) as { features: object }).features)).toEqual([
      'purchases_30d',
      'spent_30d',
    ]);
  });

  it('takes outcomes one by one and in arrays, and refuses predictions that were never made', async () => {
    const { body } = await call(server, 'POST', '/v1/services/back/predict', predictBody);
    const [a, b] = body.prediction_ids as string[];
    expect(
      (
        await call(server, 'POST', '/v1/services/back/outcomes', {
          prediction_id: a,
          label: true,
          at: '2024-02-03T00:00:00Z',
        })
      ).body,
    ).toEqual({ accepted: 1 });
    expect(
      (await call(server, 'POST', '/v1/services/back/outcomes', [{ prediction_id: b, label: 0 }])).body,
    ).toEqual({ accepted: 1 });
    const unknown = await call(server, 'POST', '/v1/services/back/outcomes', [
      { prediction_id: a, label: false },
      { prediction_id: '00000000-0000-4000-8000-000000000000', label: 1 },
    ]);
    expect(unknown.body).toMatchObject({
      status: 404,
      code: 'UNKNOWN_NAME',
      place: { path: '[1].prediction_id' },
    });
    const stored = await project.predictions().outcomes('back');
    expect(stored.get(a!)).toMatchObject({ label: true, at: Date.UTC(2024, 1, 3) * 1000, received_at: NOW });
    expect(stored.get(b!)).toMatchObject({ label: 0, at: NOW });
    expect(
      (await call(server, 'POST', '/v1/services/back/outcomes', { prediction_id: a })).body,
    ).toMatchObject({ status: 400, place: { path: '[0].label' } });
    expect(
      (await call(server, 'POST', '/v1/services/bak/outcomes', { prediction_id: a, label: 1 })).body,
    ).toMatchObject({ status: 404, hint: 'Did you mean "back"?' });
  });

  it('speaks the open inference protocol', async () => {
    expect((await call(server, 'GET', '/v2')).body).toMatchObject({ name: 'millrace' });
    const metadata = await call(server, 'GET', '/v2/models/back');
    expect(metadata.body).toMatchObject({
      name: 'back',
      versions: ['1'],
      inputs: [{ name: 'user_id', datatype: 'INT64', shape: [-1] }],
    });
    const direct = await call(server, 'POST', '/v1/services/back/predict', predictBody);
    const infer = await call(server, 'POST', '/v2/models/back/infer', {
      id: 'q',
      inputs: [{ name: 'user_id', shape: [2, 1], datatype: 'INT64', data: [[2], [3]] }],
      outputs: [{ name: 'probability' }],
    });
    expect(infer.body).toMatchObject({ id: 'q', model_name: 'back', model_version: '1' });
    expect(infer.body.outputs).toEqual([
      {
        name: 'probability',
        datatype: 'FP64',
        shape: [2],
        data: direct.body.predictions.map((row: { probability: number }) => row.probability),
      },
    ]);
    const bad = (inputs: unknown): ReturnType<typeof call> =>
      call(server, 'POST', '/v2/models/back/infer', { inputs });
    expect((await bad([{ name: 'userid', shape: [1], datatype: 'INT64', data: [1] }])).body).toMatchObject({
      status: 400,
      place: { path: 'inputs[0].name' },
      hint: 'Did you mean "user_id"?',
    });
    expect((await bad([{ name: 'user_id', shape: [3], datatype: 'INT64', data: [1] }])).body).toMatchObject({
      status: 400,
      place: { path: 'inputs[0].data' },
    });
    expect((await bad([{ name: 'user_id', shape: [1], datatype: 'BYTES', data: [1] }])).body).toMatchObject({
      status: 400,
    });
    expect((await bad([])).body).toMatchObject({ status: 400, detail: 'input "user_id" is missing' });
    expect((await call(server, 'GET', '/v2/models/bakc')).body).toMatchObject({
      status: 404,
      hint: 'Did you mean "back"?',
    });
    expect((await call(server, 'GET', '/v2/models/back/versions/9')).status).toBe(404);
  });

  it('swaps to a new champion while it answers, and back, and keeps the last good one when a version does not load', async () => {
    const registry = await project.registry();
    const first = registry.version('model', 'back', 1)!;
    const second = registry.addVersion({ ...first, key: `${first.key}-again` });
    const broken = registry.addVersion({
      ...first,
      key: `${first.key}-broken`,
      folder: `${first.folder}-gone`,
    });
    const seen = new Set<string>();
    let failed = 0;
    let stop = false;
    const load = (async () => {
      while (!stop) {
        const reply = await call(server, 'POST', '/v1/services/back/predict', predictBody);
        if (reply.status === 200) seen.add(reply.body.model);
        else failed++;
      }
    })();
    await promoteModel(project, 'back', { version: second.version });
    await sleep(250);
    await expect(promoteModel(project, 'back', { version: broken.version })).rejects.toThrow('lost its file');
    // As if the file had gone after the promotion.
    registry.setAlias({
      model: 'back',
      alias: CHAMPION,
      version: broken.version,
      at: project.now(),
      actor: 'a test',
      reason: 'broken',
    });
    await sleep(250);
    stop = true;
    await load;
    expect(failed).toBe(0);
    expect([...seen].sort()).toEqual(['back@1', 'back@2']);
    const status = await call(server, 'GET', '/v1/status');
    expect(status.body.services).toEqual([
      { service: 'back', model: 'back@2', problem: expect.stringContaining('lost its file') },
    ]);
    await rollbackModel(project, 'back', { to: 1 });
    await sleep(250);
    expect((await call(server, 'POST', '/v1/services/back/predict', predictBody)).body.model).toBe('back@1');
  });
});
