/** What became of logged predictions: equal, or other today with the cause; scored again, still once. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoggedPrediction } from '../../src/ports/prediction-log.js';
import { promoteModel } from '../../src/services/promote.js';
import { replayService } from '../../src/services/replay.js';
import { scoreFile } from '../../src/services/score.js';
import { trainModel } from '../../src/services/train.js';
import { call, DEFINITIONS, ingestFiles, makeFolder, open, removeFolder, start } from './support.js';

let folder: string;
const WITH_CITY = DEFINITIONS.replace(
  'features: [purchases_30d, spent_30d]\n    label',
  'features: [purchases_30d, spent_30d, city]\n    label',
);
beforeAll(async () => {
  folder = makeFolder();
  writeFileSync(join(folder, 'definitions', 'all.yaml'), WITH_CITY);
  const project = await open(folder);
  await ingestFiles(project);
  await (await project.log()).ingestRows(
    project.definitions.sources.get('profiles')!,
    [{ user_id: 2, city: 'Bern', since: '2023-12-01T00:00:00Z' }],
    { now: 0 },
  );
  const trained = await trainModel(project, 'back');
  await promoteModel(project, 'back', { version: trained.version.version });
  await project.close();
});
afterAll(() => removeFolder(folder));

const purchase = (fields: object): object => ({
  purchase_id: 'late',
  user_id: 2,
  amount: 7,
  status: 'paid',
  bought_at: '2024-01-20T00:00:00Z',
  ...fields,
});

describe('replay', () => {
  it('finds every vector equal, and names what arrived later: late records and corrections', async () => {
    const project = await open(folder);
    const server = await start(project);
    const body = { entities: [{ user_id: 2 }, { user_id: 3 }, { user_id: 4 }] };
    expect((await call(server, 'POST', '/v1/services/back/predict', body)).status).toBe(200);
    expect(await replayService(project, 'back', {})).toMatchObject({
      predictions: 3,
      equal: 3,
      different: 0,
      outdated: 0,
      outdated_causes: {},
    });
    const line = readFileSync(join(folder, 'data', 'purchases.csv'), 'utf8')
      .split('\n')
      .findLast((text) => text.split(',')[1] === '3')!;
    const [id, , , status, at] = line.split(',');
    const pushed = await call(server, 'POST', '/v1/sources/purchases/records', [
      purchase({}),
      purchase({ purchase_id: id, user_id: 3, amount: 1234, status, bought_at: at }),
    ]);
    expect(pushed.body).toMatchObject({ accepted: 2 });
    expect(await replayService(project, 'back', {})).toMatchObject({
      equal: 3,
      different: 0,
      // Count and sum of user 2; the sum of user 3, whose count is what it was.
      outdated: 3,
      outdated_causes: { late_record: 2, correction: 1 },
    });
    await server.close();
    await project.close();
  });

  it('names a changed definition, and a state that is expired by one reading alone', async () => {
    writeFileSync(
      join(folder, 'definitions', 'all.yaml'),
      WITH_CITY.replace('purchases.amount, window: 30d', 'purchases.amount, window: 10d'),
    );
    const changed = await open(folder);
    const result = await replayService(changed, 'back', {});
    // The model is served with the definitions that it was trained on: the answers are right, the values outdated.
    expect(result.different).toBe(0);
    expect(result.outdated).toBeGreaterThan(0);
    expect(Object.keys(result.outdated_causes)).toContain('changed_definition');
    await changed.close();
    writeFileSync(join(folder, 'definitions', 'all.yaml'), WITH_CITY);

    const project = await open(folder);
    const logged: LoggedPrediction[] = [];
    for await (const item of project.predictions().predictions('back')) logged.push(item);
    const first = logged.find((item) => item.entity['user_id'] === 2)!;
    // Bern holds for 90 days from December on: an answer that still gave it in April held on to an expired state.
    await project.predictions().append('back', [
      {
        ...first,
        prediction_id: 'held-too-long',
        as_of: Date.UTC(2024, 3, 1) * 1000,
        features: { purchases_30d: 0, spent_30d: null, city: 'Bern' },
        statuses: { purchases_30d: 'defaulted', spent_30d: 'empty', city: 'ok' },
      },
    ]);
    const { causes, different } = await replayService(project, 'back', {});
    expect([different, causes]).toEqual([1, { expired: 1 }]);
    await project.close();
  });
});

describe('score', () => {
  it('over the same observations again logs nothing more, and gives them the same ids', async () => {
    const project = await open(folder);
    const observations = join(folder, 'observations.csv');
    // The first two are alike in everything that counts.
    writeFileSync(
      observations,
      'row,user_id,bought_at\n1,2,2024-01-25T00:00:00Z\n2,2,2024-01-25T00:00:00Z\n3,5,2024-01-26T00:00:00Z\n',
    );
    const score = (out: string): ReturnType<typeof scoreFile> =>
      scoreFile(project, {
        service: 'back',
        observations,
        time: undefined,
        out: join(folder, out),
        log: true,
      });
    expect(await score('one.csv')).toMatchObject({ rows: 3, logged: 3 });
    expect(await score('two.csv')).toMatchObject({ rows: 3, logged: 0 });
    const text = readFileSync(join(folder, 'one.csv'), 'utf8');
    expect(readFileSync(join(folder, 'two.csv'), 'utf8')).toBe(text);
    expect(new Set(text.match(/[0-9a-f]{8}-[0-9a-f-]{27}/g)).size).toBe(3);
    const ids: string[] = [];
    for await (const item of project.predictions().predictions('back', { origin: 'batch' }))
      ids.push(item.prediction_id);
    expect(ids).toHaveLength(3);
    await project.close();
  });
});
