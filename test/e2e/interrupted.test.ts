/** Runs that are interrupted anywhere go on to the same end. Killed ones: kills.test.ts. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { januaryFlights } from './january.js';
import { type Finished, millrace, start } from './support.js';

let base: string;
let template: string;
let clean: Outcome;

interface Outcome {
  readonly dataset: string;
  readonly model: string;
  readonly champion: number;
  readonly predictions: number;
  readonly rows: Readonly<Record<string, number>>;
}

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
const json = async (args: readonly string[], folder: string): Promise<any> => {
  const done = await millrace([...args, '--project', folder, '--json']);
  expect(done.status, done.stderr).toBe(0);
  return done.json;
};

/** What must be the same whatever happened on the way. */
async function outcome(folder: string): Promise<Outcome> {
  const { manifest } = await json(['dataset', 'show', 'flights_train'], folder);
  const { models } = await json(['models', 'list'], folder);
  const shown = await json(['models', 'show', 'flight_late'], folder);
  const lines = (
    await readFile(path.join(folder, '.millrace/predictions/flight_late/predictions.ndjson'), 'utf8')
  )
    .trimEnd()
    .split('\n');
  const ids = new Set(lines.map((line) => JSON.parse(line).prediction_id as string));
  expect(lines.length).toBe(ids.size);
  expect(await json(['verify', '--sample', '200'], folder)).toMatchObject({ differing: 0 });
  expect(await json(['replay', 'flight_late'], folder)).toMatchObject({
    different: 0,
    predictions: ids.size,
  });
  return {
    dataset: manifest.logical_sha256,
    model: shown.manifest.model_sha256,
    champion: models.find((item: { champion: boolean }) => item.champion)?.version,
    predictions: ids.size,
    rows: manifest.horizons,
  };
}

beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), 'millrace-interrupted-'));
  template = path.join(base, 'template');
  await januaryFlights(template);
  const folder = path.join(base, 'clean');
  await cp(template, folder, { recursive: true });
  expect((await millrace(['run', '--project', folder, '--json'])).status).toBe(0);
  clean = await outcome(folder);
});

afterAll(() => rm(base, { recursive: true, force: true }));

/** Where a run is when the text shows on stderr. */
const STAGES: readonly (readonly [string, RegExp])[] = [
  ['while it ingests', /ingest movements: 1 new/],
  ['while it transforms', /transform departed: never/],
  ['while it materializes', /materialize landed\(tail\)/],
  ['while it builds the training set', /dataset flights_train: computing/],
  ['while it trains', /train flight_late: fitting/],
  ['between training and promotion', /train flight_late: evaluating on test/],
  ['while it logs predictions', /backtest flight_late: scoring/],
  ['while it proves its values', /verify flights_train/],
];

describe('Ctrl-C', () => {
  it('at every stage in turn ends soon with 130 and one message, and in the end all is as in a clean run', async () => {
    const folder = path.join(base, 'interrupted');
    await cp(template, folder, { recursive: true });
    // Evaluation and promotion are over before a signal can be heard.
    for (const [name, stage] of STAGES.filter(([name]) => name !== 'between training and promotion')) {
      const running = start(['run', '--project', folder, '--json']);
      await running.shows(stage);
      const asked = performance.now();
      running.child.kill('SIGINT');
      const stopped: Finished = await running.finished;
      expect([name, stopped.status], stopped.stderr).toEqual([name, 130]);
      expect(stopped.stderr.match(/^error /gm)).toHaveLength(1);
      expect(stopped.stderr).toMatch(/error INTERRUPTED /);
      expect(stopped.json.error).toMatchObject({ code: 'INTERRUPTED', hint: expect.stringMatching(/again/) });
      expect(performance.now() - asked).toBeLessThan(10_000);
    }
    expect((await millrace(['run', '--project', folder, '--json'])).status).toBe(0);
    expect(await outcome(folder)).toEqual(clean);
  });
});

describe('a model that does not pass its gate', () => {
  it('ends the run with 3, keeps the champion, and the run after has nothing to do', async () => {
    const folder = path.join(base, 'clean');
    const model = path.join(folder, 'definitions/model.yaml');
    const text = await readFile(model, 'utf8');
    await writeFile(model, text.replace('test.auc >= 0.55', 'test.auc >= 0.99'));
    // Another gate judges the champion and trains nothing.
    const judged = await millrace(['run', '--project', folder, '--json']);
    expect(judged.status, judged.stderr).toBe(3);
    expect(judged.json.promotions).toEqual([
      expect.objectContaining({
        promoted: false,
        passed: false,
        version: 1,
        previous: 1,
        checks: [expect.objectContaining({ text: 'test.auc >= 0.99', passed: false })],
      }),
    ]);
    expect((await millrace(['run', '--project', folder, '--json'])).status).toBe(99);
    await writeFile(model, (await readFile(model, 'utf8')).replace('seed: 7', 'seed: 8'));
    const refused = await millrace(['run', '--project', folder, '--json']);
    expect(refused.status, refused.stderr).toBe(3);
    expect(refused.json.promotions[0]).toMatchObject({
      promoted: false,
      version: 2,
      previous: 1,
      checks: [expect.objectContaining({ text: 'test.auc >= 0.99', passed: false }), expect.anything()],
    });
    expect((await millrace(['run', '--project', folder, '--json'])).status).toBe(99);
    const asked = await millrace(['promote', 'flight_late', '--version', '2', '--project', folder, '--json']);
    expect(asked.status).toBe(3);
    expect(asked.json.promoted).toBe(false);
    expect(
      (await json(['models', 'list'], folder)).models.map((item: { champion: boolean }) => item.champion),
    ).toEqual([true, false]);
    // Past the gate by force, and back.
    expect(
      await json(['promote', 'flight_late', '--version', '2', '--force', '--reason', 'trial'], folder),
    ).toMatchObject({ promoted: true, previous: 1 });
    expect(await json(['rollback', 'flight_late'], folder)).toMatchObject({ version: 1, previous: 2 });
    const { history } = await json(['models', 'list', 'flight_late'], folder);
    expect(history.map((change: { version: number }) => change.version)).toEqual([1, 2, 1]);
    expect(
      (await millrace(['rollback', 'flight_late', '--to', '9', '--project', folder, '--json'])).json.error
        .code,
    ).toBe('MODEL_MISSING');
  });

  it('of a first model leaves the service without a champion, which is no fault', async () => {
    const folder = path.join(base, 'never');
    await cp(template, folder, { recursive: true });
    const model = path.join(folder, 'definitions/model.yaml');
    await writeFile(model, (await readFile(model, 'utf8')).replace('test.auc >= 0.55', 'test.auc >= 0.99'));
    const refused = await millrace(['run', '--project', folder, '--json']);
    expect(refused.status, refused.stderr).toBe(3);
    expect(refused.json.steps.slice(-2)).toEqual([
      expect.objectContaining({ asset: 'service.flight_late', outcome: 'unchanged' }),
      expect.objectContaining({ asset: 'monitor.flight_drift', outcome: 'unchanged' }),
    ]);
    expect(refused.json.report).toMatch(/report\.html$/);
    expect((await millrace(['run', '--project', folder, '--json'])).status).toBe(99);
    const scored = await millrace(['monitor', 'flight_drift', '--project', folder, '--json']);
    expect(scored.json.error.code).toBe('MODEL_MISSING');
  });
});
