/** Models that a command scores, with real Python: the same protocol in serving, in batch and when the gate judges. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createScorer } from '../../src/adapters/process-trainer/scorer.js';
import { MillraceError } from '../../src/core/base/error.js';
import { openProject } from '../../src/open.js';
import type { ModelRuntime, ScoringModel } from '../../src/ports/model-runtime.js';
import { ingestFiles } from '../../src/services/ingest.js';
import { materialize } from '../../src/services/materialize.js';
import { openPredictor, predict } from '../../src/services/predict.js';
import { promoteModel } from '../../src/services/promote.js';
import { replayService } from '../../src/services/replay.js';
import { scoreFile } from '../../src/services/score.js';
import { readScoring } from '../../src/services/scoring.js';
import { trainModel } from '../../src/services/train.js';
import { modelsWorld } from '../e2e/models-world.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-scoring-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Standard library only: a rate for each mood with a slope by spend, learnt from the parameters alone. */
const TRAIN = `
import json, os, shutil
from pathlib import Path
source, target = Path(os.environ["MILLRACE_INPUT"]), Path(os.environ["MILLRACE_OUTPUT"])
schema = json.loads((source / "schema.json").read_text())
parameters = json.loads((source / "parameters.json").read_text())
names = [each["name"] for each in schema["features"]]
print("training on", schema["parts"]["train"]["rows"], "rows")
(target / "model.json").write_text(json.dumps({"names": names, "slope": parameters["slope"]}))
shutil.copy("score.py", target / "score.py")
(target / "scoring.json").write_text(json.dumps(
    {"command": ["python3", "score.py"], "mode": parameters["mode"], "rows_at_once": parameters["rows"], "timeout": "60s"}))
`;

const SCORE = `
import json, math, os, sys
about = json.loads(sys.stdin.readline())
model = json.load(open("model.json"))
assert [each["name"] for each in about["features"]] == model["names"]
print("a line that is no answer")
print(json.dumps({"ready": True}), flush=True)
spend, mood = model["names"].index("spend"), model["names"].index("last_mood")
for line in sys.stdin:
    asked = json.loads(line)
    scores = []
    for row in asked["rows"]:
        z = {"good": 1.0, "bad": -1.0}.get(row[mood], 0.0) + model["slope"] * ((row[spend] or 0.0) - 15)
        scores.append(1 / (1 + math.exp(-z)))
    print(json.dumps({"id": asked["id"], "scores": scores}), flush=True)
`;

async function withWorld(
  name: string,
  trainer: string,
  work: (project: Awaited<ReturnType<typeof openProject>>, root: string) => Promise<void>,
): Promise<void> {
  const root = path.join(folder, name);
  await modelsWorld(root, {
    trainer: `{ kind: process, command: [python3, train.py], files: [score.py], ${trainer} }`,
    promote: '{ require: ["test.auc >= 0.65"] }',
  });
  await writeFile(path.join(root, 'train.py'), TRAIN);
  await writeFile(path.join(root, 'score.py'), SCORE);
  const project = await openProject(root, { now: () => Date.UTC(2024, 3, 1) * 1000 });
  try {
    for (const source of ['visits', 'returns'])
      await ingestFiles(project, project.definitions.sources.get(source)!, [
        path.join(root, `data/${source}.csv`),
      ]);
    await work(project, root);
  } finally {
    await project.close();
  }
}

describe('a model that a command scores', () => {
  for (const [mode, rows] of [
    ['server', 1],
    ['batch', 50],
  ] as const)
    it(`is judged, gated, served, scored and replayed: mode ${mode}, ${rows} rows at once`, () =>
      withWorld(mode, `slope: 0.12, mode: ${mode}, rows: ${rows}`, async (project, root) => {
        const { manifest, version } = await trainModel(project, 'back');
        expect(manifest).toMatchObject({ runtime: 'command', scoring: { mode, rows_at_once: rows } });
        expect(await readFile(path.join(version.folder, 'train.log'), 'utf8')).toContain(
          'training on 490 rows',
        );
        expect((await trainModel(project, 'back', { again: true })).reproduced).toBe(true);
        expect((await promoteModel(project, 'back')).promoted).toBe(true);
        await materialize(project);
        const at = Date.UTC(2024, 1, 29, 12) * 1000;
        const guests = Array.from({ length: 24 }, (_, i) => i);
        const predictor = await openPredictor(project, 'back');
        const all = await predict(project, predictor, {
          entities: guests.map((guest_id) => ({ guest_id })),
          at,
        });
        const alone = await predict(project, predictor, { entities: [{ guest_id: 7 }], at });
        expect(alone.predictions[0]).toEqual(all.predictions[7]);
        await writeFile(
          path.join(root, 'now.csv'),
          `guest_id,t\n${guests.map((guest) => `${guest},2024-02-29T12:00:00Z`).join('\n')}\n`,
        );
        const out = path.join(root, 'out.csv');
        await scoreFile(project, {
          service: 'back',
          observations: path.join(root, 'now.csv'),
          time: 't',
          out,
          log: true,
        });
        const [head, ...lines] = (await readFile(out, 'utf8')).trim().split('\n');
        const column = head!.split(',').indexOf('probability');
        expect(lines.map((line) => Number(line.split(',')[column]))).toEqual(
          all.predictions.map((each) => (each as { probability: number }).probability),
        );
        expect(await replayService(project, 'back', {})).toMatchObject({ different: 0, predictions: 49 });
        // What scores is part of the version: a file that was changed is not asked.
        await writeFile(path.join(version.folder, 'score.py'), `${SCORE}\n# changed\n`);
        await expect(openPredictor(project, 'back')).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
      }));

  it('refuses a promise that rows do not depend on their company when they do', () =>
    withWorld('company', 'slope: 0.12, mode: server, rows: 50', async (project, root) => {
      const company = SCORE.replace(
        'for row in asked["rows"]:',
        'for row in asked["rows"]:\n        n = len(scores)',
      ).replace('- 15)', '- 15) + n * 1e-9');
      await writeFile(path.join(root, 'score.py'), company);
      await expect(trainModel(project, 'back')).rejects.toThrow('the scoring command gives row');
    }));
});

const BODY = (script: string): string => `
import json, os, sys, time
about = json.loads(sys.stdin.readline())
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    value = asked["rows"][0][0]
${script
  .trim()
  .split('\n')
  .map((line) => `    ${line}`)
  .join('\n')}
    print(json.dumps({"id": asked["id"], "scores": [value]}), flush=True)
`;

async function scorer(
  script: string,
  given: Partial<ScoringModel['scoring']> = {},
  task: ScoringModel['task'] = 'regression',
): Promise<ModelRuntime & { readonly log: string }> {
  const own = await mkdtemp(path.join(folder, 'command-'));
  await writeFile(path.join(own, 'score.py'), script);
  const log = path.join(own, 'score.log');
  const made = createScorer({
    name: 'm@1',
    folder: own,
    task,
    classes: null,
    features: [{ name: 'x', type: 'float64' }],
    log,
    signal: new AbortController().signal,
    scoring: {
      command: ['python3', 'score.py'],
      mode: 'server',
      rows_at_once: 1,
      timeout_ms: 30_000,
      start_timeout_ms: 30_000,
      env: {},
      ...given,
    },
  });
  return { ...made, log };
}

const failure = async (work: Promise<unknown> | unknown): Promise<MillraceError> => {
  const error = await Promise.resolve(work).then(
    () => expect.unreachable('it succeeded'),
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(MillraceError);
  return error as MillraceError;
};

describe('a scoring command that fails', () => {
  it('says how it ended and its last lines, and is started again for the next question', async () => {
    const runtime = await scorer(
      BODY('if value == 13:\n    print("no memory", file=sys.stderr, flush=True)\n    os._exit(7)'),
    );
    expect(await runtime.predictRows([[1]])).toEqual([{ score: 1 }]);
    const error = await failure(runtime.predictRows([[13]]));
    expect(error.code).toBe('SCORING_FAILED');
    expect(error.message).toContain('exit code 7');
    expect(error.message).toContain('no memory');
    expect(error.message).toContain(runtime.log);
    expect(await runtime.predictRows([[2], [3]])).toEqual([{ score: 2 }, { score: 3 }]);
    runtime.close?.();
  });

  it('is ended when it does not answer in time, and asked again afresh', async () => {
    const runtime = await scorer(BODY('if value == 13:\n    time.sleep(600)'), { timeout_ms: 1_500 });
    const error = await failure(runtime.predictRows([[13]]));
    expect(error.message).toContain('gave no answer within 1.5 s');
    expect(error.retryable).toBe(true);
    runtime.close?.();
  });

  it('tells a refusal of one question from a failure, and a wrong answer by what was expected', async () => {
    const runtime = await scorer(
      BODY(
        'if value == 13:\n    print(json.dumps({"id": asked["id"], "error": "unlucky"}), flush=True)\n    continue\nif value == 14:\n    value = [1, 2]',
      ),
    );
    expect((await failure(runtime.predictRows([[13]]))).message).toContain('refuses: unlucky');
    expect((await failure(runtime.predictRows([[14]]))).message).toContain('with [1,2]: expected a number');
    expect((await failure(runtime.predictRows([[null], [5]]))).message).toContain('with null: expected');
    expect(await runtime.predictRows([[5]])).toEqual([{ score: 5 }]);
    runtime.close?.();
  });

  it("is told at once that Python's NaN is no score", async () => {
    const runtime = await scorer(BODY('value = float("nan")'));
    expect((await failure(runtime.predictRows([[1]]))).message).toContain('with null: expected a number');
    runtime.close?.();
  });

  it('is told that a classifier gives probabilities, up to what single precision rounds', async () => {
    const runtime = await scorer(BODY('pass'), {}, 'binary');
    expect(await runtime.predictRows([[1.0000001]])).toEqual([{ probability: 1, label: 1 }]);
    const error = await failure(runtime.predictRows([[194.8]]));
    expect(error).toMatchObject({
      message: expect.stringContaining('194.8'),
      hint: expect.stringContaining('sigmoid'),
    });
    runtime.close?.();
  });

  it('pauses between starts when it fails again and again', async () => {
    const runtime = await scorer('raise SystemExit("broken")');
    for (let i = 0; i < 3; i++)
      expect((await failure(runtime.predictRows([[1]]))).message).toContain('exit code 1');
    expect((await failure(runtime.predictRows([[1]]))).message).toContain('3 times in a row');
    runtime.close?.();
  });

  it('has its file checked', async () => {
    const own = path.join(folder, 'wrong');
    await mkdir(own);
    const read = async (text: string): Promise<string> => {
      await writeFile(path.join(own, 'scoring.json'), text);
      return readScoring({ folder }, own).then(
        () => 'fine',
        (error: Error) => error.message,
      );
    };
    expect(await read('{"command": ["python3", "score.py"]}')).toBe('fine');
    expect(await read('{')).toContain('is not JSON');
    expect(await read('{"comand": []}')).toContain('there is no key `comand`');
    expect(await read('{"command": "x"}')).toContain('a list of texts');
    expect(await read('{"command": ["x"], "mode": "once"}')).toContain('`mode`');
    expect(await read('{"command": ["x"], "timeout": "soon"}')).toContain('`timeout`');
    expect(await read('{"command": ["x"], "rows_at_once": 0}')).toContain('`rows_at_once`');
  });
});
