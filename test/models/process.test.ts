import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { masker } from '../../src/adapters/process-trainer/group.js';
import { createProcessRunner } from '../../src/adapters/process-trainer/runner.js';
import { MillraceError } from '../../src/core/base/error.js';
import { checkTrainer } from '../../src/core/define/trainers.js';
import { openProject } from '../../src/open.js';
import { ingestFiles } from '../../src/services/ingest.js';
import { materialize } from '../../src/services/materialize.js';
import { openPredictor, predict } from '../../src/services/predict.js';
import { promoteModel } from '../../src/services/promote.js';
import { scoreFile } from '../../src/services/score.js';
import { trainModel } from '../../src/services/train.js';
import { pythonPackages } from './python.js';

const EXAMPLE = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../examples/sklearn');

const FILES = {
  machines: 'machines.csv',
  readings: 'readings.csv.gz',
  shifts: 'shifts.csv.gz',
  shift_ends: 'shift_ends.csv.gz',
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-process-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const runner = createProcessRunner();
const job = (script: string, more: Partial<Parameters<typeof runner.run>[0]> = {}) => ({
  command: [process.execPath, '-e', script],
  folder,
  env: {},
  timeoutMs: null,
  signal: new AbortController().signal,
  log: path.join(folder, 'train.log'),
  line: () => {},
  ...more,
});
const failure = (work: Promise<unknown>): Promise<MillraceError> =>
  work.then(
    () => expect.unreachable('it succeeded'),
    (error: unknown) => {
      expect(error).toBeInstanceOf(MillraceError);
      return error as MillraceError;
    },
  );
const gone = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
};
/** Starts a child of its own, says its id, and ignores the request to end. */
const STUBBORN = `
  const { spawn } = require('node:child_process');
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  console.log(child.pid);
  setInterval(() => {}, 1000);`;

describe('a process trainer', () => {
  it('says its exit code and its last lines, with secrets masked', async () => {
    const lines: string[] = [];
    const error = await failure(
      runner.run(
        job('console.log("key is " + process.env.API_TOKEN); console.error("no memory"); process.exit(3)', {
          env: { API_TOKEN: 'hunter2hunter2' },
          line: (text) => lines.push(text),
        }),
      ),
    );
    expect(error.code).toBe('TRAIN_FAILED');
    expect(error.message).toContain('exit code 3');
    expect(error.message).toContain('no memory');
    expect(lines).toContain('key is ***');
    expect(error.message).not.toContain('hunter2');
  });

  it('masks the longer of two secrets of which one holds the other', () => {
    expect(masker({ A_SECRET: 'abcdef', B_SECRET: 'abcdefghi', PLAIN: 'abcxyz' })('abcdefghi abcxyz')).toBe(
      '*** abcxyz',
    );
  });

  it('ends with all its children at its timeout', async () => {
    const lines: string[] = [];
    const error = await failure(
      runner.run(job(STUBBORN, { timeoutMs: 1_500, line: (text) => lines.push(text) })),
    );
    expect(error.message).toContain('took longer than 1.5 s');
    await expect.poll(() => gone(Number(lines[0])), { timeout: 5_000 }).toBe(true);
  });

  it('ends with all its children when the run is interrupted', async () => {
    const stop = new AbortController();
    const lines: string[] = [];
    const error = await failure(
      runner.run(
        job(STUBBORN, {
          signal: stop.signal,
          line: (text) => {
            lines.push(text);
            stop.abort();
          },
        }),
      ),
    );
    expect(error.code).toBe('INTERRUPTED');
    await expect.poll(() => gone(Number(lines[0])), { timeout: 5_000 }).toBe(true);
  });

  it('says which program is not there', async () => {
    const error = await failure(runner.run(job('', { command: ['no-such-trainer'] })));
    expect(error.message).toBe('there is no program "no-such-trainer"');
  });

  it('has its definition checked', () => {
    const problems = (given: Record<string, unknown>): string[] =>
      checkTrainer('process', 'binary', 0, given).map((each) => each.message);
    expect(problems({ command: ['python3', 'train.py'], timeout: '10m', depth: 3 })).toEqual([]);
    expect(problems({})).toHaveLength(1);
    expect(problems({ command: 'python3 train.py' })[0]).toContain('a list of texts');
    expect(problems({ command: ['x'], timeout: 'soon' })[0]).toContain('`timeout`');
  });
});

describe('the example with scikit-learn', () => {
  it('trains, passes its gate, and scores the same online and in batch, and the same bytes again', async (context) => {
    const requirements = (await readFile(path.join(EXAMPLE, 'requirements.txt'), 'utf8')).trim().split('\n');
    const packages = pythonPackages('sklearn-onnx', requirements);
    if (packages === null) return context.skip();
    const root = path.join(folder, 'machines');
    await cp(EXAMPLE, root, { recursive: true });
    await mkdir(root, { recursive: true });
    const before = process.env['PYTHONPATH'];
    process.env['PYTHONPATH'] = packages;
    const project = await openProject(root, { now: () => Date.UTC(2024, 3, 1) * 1000 });
    try {
      for (const [name, file] of Object.entries(FILES))
        await ingestFiles(project, project.definitions.sources.get(name)!, [path.join(root, 'data', file)]);
      const first = await trainModel(project, 'stops');
      const { manifest } = first;
      expect(first.built).toBe(true);
      expect(manifest.runtime).toBe('onnx');
      expect(Object.keys(manifest.code!.files)).toEqual(['train.py']);
      expect(Object.keys(manifest.code!.locks)).toEqual(['requirements.txt']);
      expect(manifest.environment.process!.python).toMatch(/^3\./);
      for (const each of requirements) expect(manifest.environment.process!.packages).toContain(each);
      // What the trainer measured with float32 inputs is what onnxruntime gives.
      expect(manifest.metrics['validation']!['auc']).toBeCloseTo(
        manifest.reported!['validation_auc'] as number,
        6,
      );

      const again = await trainModel(project, 'stops', { again: true });
      expect(again.reproduced).toBe(true);
      expect(again.version.version).toBe(1);

      const promoted = await promoteModel(project, 'stops');
      expect(promoted.promoted).toBe(true);
      await materialize(project);
      const at = Date.UTC(2024, 2, 30, 12) * 1000;
      const machines = Array.from({ length: 30 }, (_, i) => i + 1);
      const predictor = await openPredictor(project, 'stops');
      const online = await predict(project, predictor, {
        entities: machines.map((machine_id) => ({ machine_id })),
        at,
      });
      const alone = await predict(project, predictor, { entities: [{ machine_id: 17 }], at });
      expect(alone.predictions[0]).toEqual(online.predictions[16]);

      const rows = machines.map((machine) => `${machine},2024-03-30T12:00:00Z`);
      await writeFile(path.join(root, 'now.csv'), `machine_id,t\n${rows.join('\n')}\n`);
      const out = path.join(root, 'scores.csv');
      await scoreFile(project, {
        service: 'stops',
        observations: path.join(root, 'now.csv'),
        time: 't',
        out,
        log: false,
      });
      const [head, ...lines] = (await readFile(out, 'utf8')).trim().split('\n');
      const column = head!.split(',').indexOf('probability');
      expect(lines.map((line) => Number(line.split(',')[column]))).toEqual(
        online.predictions.map((each) => (each as { probability: number }).probability),
      );
      expect(new Set(lines.map((line) => line.split(',')[column])).size).toBeGreaterThan(5);

      // Other code is another version.
      const script = path.join(root, 'train.py');
      await writeFile(script, `${await readFile(script, 'utf8')}\n# another\n`);
      expect((await trainModel(project, 'stops')).version.version).toBe(2);
    } finally {
      await project.close();
      if (before === undefined) delete process.env['PYTHONPATH'];
      else process.env['PYTHONPATH'] = before;
    }
  }, 300_000);

  it('takes LightGBM with a scoring command of its own as well, the same bytes again', async (context) => {
    const lines = async (file: string): Promise<string[]> =>
      (await readFile(path.join(EXAMPLE, file), 'utf8')).trim().split('\n');
    const packages = [
      pythonPackages('sklearn-onnx', await lines('requirements.txt')),
      pythonPackages(
        'lightgbm',
        (await lines('lightgbm/requirements.txt')).filter((line) => line.startsWith('lightgbm')),
        ['--no-deps'],
      ),
    ];
    if (packages.includes(null)) return context.skip();
    const root = path.join(folder, 'lightgbm');
    await cp(EXAMPLE, root, { recursive: true });
    const file = path.join(root, 'definitions/machines.yaml');
    const trainer = /```yaml\n {4}(trainer:[\s\S]*?)```/.exec(
      await readFile(path.join(EXAMPLE, 'README.md'), 'utf8'),
    )!;
    await writeFile(
      file,
      (await readFile(file, 'utf8')).replace(/trainer:[\s\S]*? {4}promote:/, `${trainer[1]!}    promote:`),
    );
    const before = process.env['PYTHONPATH'];
    process.env['PYTHONPATH'] = packages.join(path.delimiter);
    const project = await openProject(root, { now: () => Date.UTC(2024, 3, 1) * 1000 });
    try {
      for (const [name, data] of Object.entries(FILES))
        await ingestFiles(project, project.definitions.sources.get(name)!, [path.join(root, 'data', data)]);
      const { manifest } = await trainModel(project, 'stops');
      expect(Object.keys(manifest.code!.files)).toEqual(['lightgbm/score.py', 'lightgbm/train.py']);
      expect(manifest.scoring).toMatchObject({ rows_at_once: 1000 });
      // What LightGBM measured on its own is what the command gives, row for row.
      expect(manifest.metrics['validation']!['auc']).toBeCloseTo(
        manifest.reported!['validation_auc'] as number,
        12,
      );
      expect((await trainModel(project, 'stops', { again: true })).reproduced).toBe(true);
      expect((await promoteModel(project, 'stops')).promoted).toBe(true);
    } finally {
      await project.close();
      if (before === undefined) delete process.env['PYTHONPATH'];
      else process.env['PYTHONPATH'] = before;
    }
  }, 300_000);
});
