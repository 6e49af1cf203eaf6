/** Runs remembered, versions compared on the same rows, gates on the same rows, notes with history, models from elsewhere. */
import { execFile } from 'node:child_process';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { pythonPackages } from '../models/python.js';
import { definitions, type ModelsWorld, modelsWorld, moreDays } from './models-world.js';
import { millrace, withFolder, writeFiles } from './support.js';

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
type Json = any;

const run =
  (folder: string, env: Record<string, string> = {}) =>
  async (...args: string[]): Promise<Json> => {
    const done = await millrace([...args, '--json', '--quiet'], { cwd: folder, env });
    expect(done.status, `${args.join(' ')}\n${done.stderr}`).toBe(0);
    return done.json;
  };

const ingest = async (ok: ReturnType<typeof run>): Promise<void> => {
  for (const source of ['visits', 'returns']) await ok('ingest', source);
};

const redefine = (folder: string, world: ModelsWorld): Promise<void> =>
  writeFile(path.join(folder, 'definitions/guests.yaml'), definitions(world));

const TRAINERS: readonly (readonly [string, NonNullable<ModelsWorld['task']>])[] = [
  ['{ kind: gradient_boosted_trees, trees: 15, subsample: 0.7, colsample: 0.7, seed: 3 }', 'binary'],
  ['{ kind: gradient_boosted_trees, trees: 10, subsample: 0.7 }', 'multiclass'],
  ['{ kind: gradient_boosted_trees, trees: 15 }', 'regression'],
  ['{ kind: logistic_regression }', 'binary'],
  ['{ kind: logistic_regression, solver: lbfgs }', 'multiclass'],
  ['{ kind: linear_regression, l1: 0.5 }', 'regression'],
  ['{ kind: baseline }', 'binary'],
];

describe('experiments', () => {
  it(
    'every built-in trainer gives the same file in another process with other numbers of threads',
    () =>
      withFolder(async (folder) => {
        const files: string[][] = [];
        for (const threads of [1, 4]) {
          const own = path.join(folder, String(threads));
          await modelsWorld(own, { settings: `threads: ${threads}\n` });
          const ok = run(own, { UV_THREADPOOL_SIZE: String(threads + 1) });
          await ingest(ok);
          const found: string[] = [];
          for (const [trainer, task] of TRAINERS) {
            await redefine(own, { trainer, task });
            const { folder: version } = await ok('train', 'back');
            found.push(await readFile(path.join(version, 'model.json'), 'utf8'));
          }
          files.push(found);
        }
        expect(new Set(files[0]).size).toBe(TRAINERS.length);
        expect(files[1]).toEqual(files[0]);
      }),
    120_000,
  );

  it(
    'a version remembers parameters, timings, environment, lock files, commit and whether it was clean',
    () =>
      withFolder(async (folder) => {
        await modelsWorld(folder, { trainer: '{ kind: logistic_regression, l2: 2 }' });
        await writeFiles(folder, {
          'package-lock.json': '{"lockfileVersion": 3}',
          '.gitignore': '.millrace\n',
        });
        const git = (...args: string[]): Promise<{ stdout: string }> =>
          promisify(execFile)('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], { cwd: folder });
        await git('init', '-q');
        await git('add', '.');
        await git('commit', '-qm', 'all');
        const commit = (await git('rev-parse', 'HEAD')).stdout.trim();
        const ok = run(folder);
        await ingest(ok);
        await ok('train', 'back');
        const { manifest } = await ok('models', 'show', 'back');
        expect(manifest.git).toEqual({ commit, dirty: false });
        expect(manifest.locks['package-lock.json']).toMatch(/^[0-9a-f]{64}$/);
        expect(manifest.parameters).toMatchObject({ l2: 2, l1: 0, solver: 'auto' });
        expect(manifest.environment).toMatchObject({ node: process.version, threads: expect.any(Number) });
        expect(manifest.timings.total).toBeGreaterThanOrEqual(manifest.timings.fit);
        const { stdout } = await millrace(['models', 'show', 'back', '--quiet'], { cwd: folder });
        for (const shown of [commit, 'package-lock.json', 'l2=2', 'fit ', 'seed=0'])
          expect(stdout).toContain(shown);
        // Another definition that nobody has committed.
        await redefine(folder, { trainer: '{ kind: baseline }' });
        await ok('train', 'back');
        expect((await ok('models', 'show', 'back')).manifest.git).toEqual({ commit, dirty: true });
      }),
    60_000,
  );

  it(
    'compares on the same rows, in text and as a page, and the gate does too when data grew',
    () =>
      withFolder(async (folder) => {
        const gate = '{ require: [], beat_champion: { metric: test.auc, by: 0 } }';
        await modelsWorld(folder, { promote: gate });
        const ok = run(folder);
        await ingest(ok);
        await ok('train', 'back');
        await ok('promote', 'back');
        await moreDays(folder, 60, 72);
        await ingest(ok);
        // The same trainer on more data: on the rows of the new test part champion and challenger are one model.
        await redefine(folder, {
          promote: gate,
          trainer: '{ kind: logistic_regression, max_iterations: 201 }',
        });
        await ok('train', 'back');
        const page = path.join(folder, 'page.html');
        const compared = await ok('models', 'compare', 'back@1', 'back@2', '--html', page);
        expect(compared.parameters).toEqual([{ name: 'max_iterations', values: ['200', '201'] }]);
        expect(compared.same_rows).toMatchObject({ dataset: 'stays@2', part: 'test', reasons: [null, null] });
        const [one, two] = compared.same_rows.evaluations;
        expect(one.metrics).toEqual(two.metrics);
        expect(compared.same_rows.differences.map((each: Json) => each.difference.value)).toEqual([0, 0, 0]);
        // What was measured on the champion's own rows is another number.
        const own = compared.metrics.find((each: Json) => each.metric === 'test.auc');
        expect(own.difference).toBe(own.values[1] - own.values[0]);
        expect(own.difference).not.toBe(0);
        const html = await readFile(page, 'utf8');
        for (const shown of [
          'ROC curve',
          'Precision and recall',
          'Calibration',
          'Lift',
          'Feature importance',
        ])
          expect(html).toContain(shown);
        expect(html).not.toMatch(/<script|https?:\/\//);
        const tie = await millrace(['promote', 'back', '--json', '--quiet'], { cwd: folder });
        expect(tie.status).toBe(3);
        expect(tie.json.checks).toEqual([
          expect.objectContaining({
            passed: false,
            observed: two.metrics.auc,
            champion: two.metrics.auc,
            rows: 'both on the test rows of stays@2',
          }),
        ]);
        // A label of another name: the champion cannot be asked about these rows, and the check says so.
        const other = definitions({ promote: gate }).replaceAll('outcome', 'came_again');
        await writeFile(path.join(folder, 'definitions/guests.yaml'), other);
        await ok('train', 'back');
        const apart = await millrace(['promote', 'back', '--json', '--quiet'], { cwd: folder });
        expect(apart.json.checks[0].rows).toContain('each on its own test rows');
        expect(apart.json.checks[0].rows).toContain('the label of stays@3 is came_again, not outcome');
      }),
    120_000,
  );

  it(
    'shows residuals of regressions',
    () =>
      withFolder(async (folder) => {
        await modelsWorld(folder, { task: 'regression', trainer: '{ kind: linear_regression }' });
        const ok = run(folder);
        await ingest(ok);
        await ok('train', 'back');
        await redefine(folder, { task: 'regression', trainer: '{ kind: baseline }' });
        await ok('train', 'back');
        const page = path.join(folder, 'page.html');
        const { same_rows: same } = await ok('models', 'compare', 'back@1', 'back@2', '--html', page);
        const bins = same.residuals[0];
        expect(bins.reduce((sum: number, bin: Json) => sum + bin.rows, 0)).toBe(same.rows);
        const mean =
          bins.reduce((sum: number, bin: Json) => sum + bin.mean_residual * bin.rows, 0) / same.rows;
        expect(mean).toBeCloseTo(-same.evaluations[0].metrics.mean_error, 9);
        const worse = same.differences.find((each: Json) => each.metric === 'mse');
        expect(worse.difference.interval[0]).toBeGreaterThan(0);
        expect(await readFile(page, 'utf8')).toContain('Residuals');
      }),
    60_000,
  );

  it(
    'keeps tags, owners and descriptions with who, when and why, loses none of two writers, and finds by them',
    () =>
      withFolder(async (folder) => {
        await modelsWorld(folder);
        const ok = run(folder, { MILLRACE_ACTOR: 'ann' });
        await ingest(ok);
        await ok('train', 'back');
        await ok('models', 'describe', 'back', 'Who returns', '--owner', 'risk', '--reason', 'new team');
        await ok('models', 'tag', 'back@1', 'reviewed', 'ticket=OPS-12', '--reason', 'review done');
        // Two processes at once, each with tags of its own.
        const bob = run(folder, { MILLRACE_ACTOR: 'bob' });
        await Promise.all([
          ...[1, 2, 3].map((i) => ok('models', 'tag', 'back@1', `a${i}`, '--reason', 'at once')),
          ...[1, 2, 3].map((i) => bob('models', 'tag', 'back@1', `b${i}`, '--reason', 'at once')),
        ]);
        await ok('models', 'tag', 'back@1', '--remove', 'a1', '--reason', 'a slip');
        await ok('models', 'alias', 'back@1', 'staging', '--reason', 'try it');
        const [version] = (await ok('models', 'list', 'back')).models;
        expect(version).toMatchObject({
          stage: 'staging',
          aliases: ['staging'],
          description: 'Who returns',
          owner: 'risk',
          tags: { a2: '', a3: '', b1: '', b2: '', b3: '', guests: '', reviewed: '', ticket: 'OPS-12' },
        });
        expect(version.tags).not.toHaveProperty('a1');
        const { changes } = await ok('models', 'history', 'back');
        expect(changes).toContainEqual(
          expect.objectContaining({
            what: 'owner',
            from: null,
            to: 'risk',
            actor: 'ann',
            reason: 'new team',
          }),
        );
        expect(changes.at(-1)).toMatchObject({ what: 'alias staging', actor: 'ann', reason: 'try it' });
        const found = async (...terms: string[]): Promise<number> =>
          (await ok('models', 'search', ...terms)).models.length;
        expect(await found('tag:ticket=OPS-12', 'owner:risk', 'stage:staging', 'returns')).toBe(1);
        expect(await found('tag:a1')).toBe(0);
        const refused = await millrace(['models', 'tag', 'back@1', '--remove', 'none', '--reason', 'x'], {
          cwd: folder,
        });
        expect(refused.status).toBe(2);
        expect(refused.stderr).toContain('no tag "none"');
      }),
    90_000,
  );

  it(
    'imports ONNX and MLflow directories as versions that are judged, gated and scored like their origin',
    () =>
      withFolder(async (folder) => {
        await modelsWorld(folder, {
          trainer: '{ kind: gradient_boosted_trees, trees: 20 }',
          promote: '{ require: ["test.auc >= 0.6"] }',
        });
        const ok = run(folder, { MILLRACE_ACTOR: 'ann' });
        await ingest(ok);
        const trained = await ok('train', 'back');
        await ok('models', 'export', 'back@1', '--out', 'exported');
        const imported = await ok(
          'models',
          'import',
          'exported',
          '--model',
          'back',
          '--reason',
          'from another site',
        );
        expect(imported).toMatchObject({
          version: 2,
          built: true,
          imported: { format: 'mlflow', flavor: 'onnx' },
        });
        for (const [part, metrics] of Object.entries(trained.metrics as Json))
          for (const [name, value] of Object.entries(metrics as Json))
            expect(imported.metrics[part][name]).toBeCloseTo(value as number, 10);
        await cp(path.join(folder, 'exported/data/model.onnx'), path.join(folder, 'alone.onnx'));
        const alone = ['models', 'import', 'alone.onnx', '--model', 'back', '--reason', 'again'];
        expect(await ok(...alone)).toMatchObject({ version: 2, built: false });
        // Files that are gone or damaged come back as they were.
        await rm(imported.folder, { recursive: true });
        const lost = await millrace(['promote', 'back', '--version', '2'], { cwd: folder });
        expect(lost.stderr).toContain('Import it again');
        await ok(...alone);
        const model = path.join(trained.folder, 'model.json');
        const whole = await readFile(model, 'utf8');
        await writeFile(model, '{}');
        expect(await ok('train', 'back')).toMatchObject({ version: 1, built: false, reproduced: true });
        expect(await readFile(model, 'utf8')).toBe(whole);
        await writeFile(path.join(folder, 'signature.json'), '{"inputs": ["spent", "visits", "last_mood"]}');
        const refused = await millrace([...alone, '--signature', 'signature.json'], { cwd: folder });
        expect(refused.status).toBe(2);
        expect(refused.stderr).toContain('Did you mean "spend"?');
        expect(await ok('promote', 'back', '--version', '2')).toMatchObject({ promoted: true });
        expect((await ok('models', 'list', 'back')).models[1]).toMatchObject({ stage: 'production' });
        await ok('models', 'history', 'back@2');
        await writeFile(
          path.join(folder, 'now.csv'),
          'guest_id,t\n3,2024-02-29T12:00:00Z\n20,2024-02-29T12:00:00Z\n',
        );
        const scored = ['score', 'back', '--observations', 'now.csv', '--time', 't', '--no-log', '--out'];
        expect(await ok(...scored, 'out.csv')).toMatchObject({ model: 'back@2', rows: 2 });
      }),
    90_000,
  );

  it('imports a pyfunc that Python scores', async (context) => {
    const packages = pythonPackages('mlflow-sklearn', [
      'mlflow-skinny==2.22.0',
      'numpy==1.26.4',
      'pandas==2.2.3',
      'scikit-learn==1.5.2',
    ]);
    if (packages === null) return context.skip();
    await withFolder(async (folder) => {
      await modelsWorld(folder);
      await writeFile(
        path.join(folder, 'make.py'),
        `import mlflow.sklearn, numpy as np, pandas as pd
from mlflow.models import infer_signature
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
x = pd.DataFrame({"visits": np.arange(40.0), "spend": np.tile([1.0, 30.0], 20)})
y = x["spend"] > 15
model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(x, y)
mlflow.sklearn.save_model(model, "made", signature=infer_signature(x, model.predict(x)))
`,
      );
      const env = { PYTHONPATH: packages, OMP_NUM_THREADS: '1' };
      await promisify(execFile)('python3', ['make.py'], { cwd: folder, env: { ...process.env, ...env } });
      const ok = run(folder, env);
      await ingest(ok);
      const imported = await ok('models', 'import', 'made', '--model', 'back', '--reason', 'from MLflow');
      expect(imported.imported).toMatchObject({
        format: 'mlflow',
        flavor: 'pyfunc',
        mlflow_version: '2.22.0',
      });
      expect(imported.metrics.test.auc).toBeGreaterThan(0.6);
      await ok('promote', 'back');
      await writeFile(
        path.join(folder, 'now.csv'),
        'guest_id,t\n3,2024-02-29T12:00:00Z\n20,2024-02-29T12:00:00Z\n',
      );
      await ok('score', 'back', '--observations', 'now.csv', '--time', 't', '--no-log', '--out', 'out.csv');
      const [, low, high] = (await readFile(path.join(folder, 'out.csv'), 'utf8')).trim().split('\n');
      const probability = (line: string | undefined): number => Number(line!.split(',')[3]);
      expect(probability(high)).toBeGreaterThan(probability(low));
    });
  }, 300_000);
});
