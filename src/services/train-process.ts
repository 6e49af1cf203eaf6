/** A model by a command of the project: its files written, its answer read, its world remembered. docs/reference/models.md */
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { type ProcessTrainer, processTrainer } from '../core/define/trainers.js';
import type { Model } from '../core/define/types.js';
import { featureKind, featureWidth } from '../core/learn/matrix.js';
import { printType, type ValueType } from '../core/schema/types.js';
import type { ModelRuntime, ProcessEnvironment } from '../ports/model-runtime.js';
import { PART_COLUMN } from './build-dataset.js';
import type { Project } from './project.js';

export const ONNX_FILE = 'model.onnx';

/** What the code of a command is: bytes, not dates. */
export interface CodeVersion {
  readonly sha256: string;
  /** Of the project, by path from its folder. */
  readonly files: Readonly<Record<string, string>>;
  readonly locks: Readonly<Record<string, string>>;
}

const LOCK_FILES = [
  'requirements.txt',
  'requirements.lock',
  'uv.lock',
  'poetry.lock',
  'Pipfile.lock',
  'pdm.lock',
  'pixi.lock',
  'conda-lock.yml',
  'environment.yml',
  'package-lock.json',
  'Cargo.lock',
];
/** Parts that a command gets with their labels; of the test part it gets the features alone. */
const LEARNT_FROM = ['train', 'validation'];

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The file itself, or every file of a folder; nothing where there is none. */
async function filesAt(file: string): Promise<string[]> {
  const found = await stat(file).catch(() => null);
  if (!found) return [];
  if (found.isFile()) return [file];
  const entries = await readdir(file, { recursive: true, withFileTypes: true });
  return entries
    .filter(
      (entry) => entry.isFile() && !/(^|\/)(__pycache__|node_modules|\.venv)(\/|$)/.test(entry.parentPath),
    )
    .map((entry) => path.join(entry.parentPath, entry.name));
}

const hashes = async (root: string, files: Iterable<string>): Promise<Record<string, string>> => {
  const found: Record<string, string> = {};
  for (const file of [...new Set(files)].sort())
    found[path.relative(root, file).split(path.sep).join('/')] = sha256(await readFile(file));
  return found;
};

/** The files that a command names, those declared beside them, and the lock files next to them. */
export async function codeVersion(root: string, trainer: ProcessTrainer): Promise<CodeVersion> {
  const inside = (file: string): boolean => !path.relative(root, file).startsWith('..');
  const named: string[] = [];
  for (const part of trainer.command.slice(1)) {
    const file = path.resolve(root, part);
    if (inside(file) && (await stat(file).catch(() => null))?.isFile()) named.push(file);
  }
  const program = path.resolve(root, trainer.command[0]!);
  if (trainer.command[0]!.includes('/') && inside(program) && !/\/\.?venv\//.test(program))
    named.push(...(await filesAt(program)));
  for (const declared of trainer.files) {
    const found = await filesAt(path.resolve(root, declared));
    if (found.length === 0)
      throw new MillraceError(
        'FILE_NOT_FOUND',
        `\`files\` of the trainer names "${declared}", which is not there`,
      );
    named.push(...found);
  }
  const folders = new Set([root, ...named.map((file) => path.dirname(file))]);
  const locks: string[] = [];
  for (const folder of folders)
    for (const name of LOCK_FILES) locks.push(...(await filesAt(path.join(folder, name))));
  const code = { files: await hashes(root, named), locks: await hashes(root, locks) };
  return { ...code, sha256: fingerprint(code) };
}

export interface ProcessFit {
  readonly runtime: ModelRuntime;
  readonly model_sha256: string;
  readonly environment: ProcessEnvironment;
  readonly seconds: number;
  /** What the command wrote into metrics.json; told, never judged by. */
  readonly reported: Readonly<Record<string, unknown>>;
  /** Puts the model and what came with it into a folder. */
  keep(folder: string): Promise<void>;
  discard(): Promise<void>;
}

async function reportedMetrics(file: string): Promise<Readonly<Record<string, unknown>>> {
  const text = await readFile(file, 'utf8').catch(() => null);
  if (text === null) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new MillraceError('TRAIN_FAILED', 'metrics.json of the trainer is not JSON', {
      cause,
      hint: 'NaN and Infinity are no JSON: write null.',
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new MillraceError('TRAIN_FAILED', 'metrics.json of the trainer must hold an object');
  return value as Record<string, unknown>;
}

export async function fitByProcess(
  project: Project,
  model: Model,
  given: {
    readonly data: string;
    readonly features: readonly { readonly name: string; readonly type: ValueType }[];
    readonly label: { readonly name: string; readonly type: ValueType };
    readonly classes: readonly string[] | null;
    readonly parts: ReadonlyMap<string, number>;
  },
): Promise<ProcessFit> {
  const trainer = processTrainer(model.trainer.parameters);
  const work = path.join(project.stateFolder, 'tmp', `train-${model.name}-${process.pid}`);
  const input = path.join(work, 'input');
  const output = path.join(work, 'output');
  const discard = (): Promise<void> => rm(work, { recursive: true, force: true });
  await discard();
  try {
    await mkdir(input, { recursive: true });
    await mkdir(path.join(output, 'artefacts'), { recursive: true });
    const store = await project.offline();
    const names = given.features.map((feature) => feature.name);
    const parts: Record<string, unknown> = {};
    for (const [part, rows] of given.parts) {
      const learnt = LEARNT_FROM.includes(part);
      if (!learnt && part !== 'test') continue;
      const file = `${part}.parquet`;
      await store.copyRows(given.data, path.join(input, file), {
        columns: learnt ? [...names, given.label.name] : names,
        where: { column: PART_COLUMN, value: part },
      });
      parts[part] = { file, rows, label: learnt };
    }
    const json = (name: string, value: unknown): Promise<void> =>
      writeFile(path.join(input, name), `${JSON.stringify(value, null, 2)}\n`);
    await json('schema.json', {
      format: 1,
      model: model.name,
      task: model.task,
      label: { name: given.label.name, type: printType(given.label.type) },
      classes: given.classes,
      features: given.features.map((feature) => {
        const categorical = featureKind(feature) === 'categorical';
        return {
          name: feature.name,
          type: printType(feature.type),
          input: categorical ? 'text' : 'number',
          width: categorical ? 1 : featureWidth(feature.type),
        };
      }),
      parts,
    });
    await json('parameters.json', { seed: model.trainer.seed, ...trainer.parameters });
    const runner = await project.processes();
    const environment = await runner.environment(trainer.command, project.folder);
    const { seconds } = await runner.run({
      command: trainer.command,
      folder: project.folder,
      env: {
        PYTHONHASHSEED: String(model.trainer.seed >>> 0),
        PYTHONUNBUFFERED: '1',
        ...trainer.env,
        MILLRACE_INPUT: input,
        MILLRACE_OUTPUT: output,
        MILLRACE_SEED: String(model.trainer.seed),
      },
      timeoutMs: trainer.timeoutMs,
      signal: project.signal,
      line: (message) => project.progress({ step: 'train', message: `${model.name}: ${message}` }),
    });
    const file = path.join(output, ONNX_FILE);
    const bytes = await readFile(file).catch((cause: unknown) => {
      throw new MillraceError('TRAIN_FAILED', `\`${trainer.command.join(' ')}\` wrote no ${ONNX_FILE}`, {
        cause,
        hint: 'It belongs into the folder that MILLRACE_OUTPUT names.',
      });
    });
    const reported = await reportedMetrics(path.join(output, 'metrics.json'));
    const runtime = await openOnnx(project, file, {
      task: model.task,
      classes: given.classes,
      features: given.features.map(({ name, type }) => ({ name, type: printType(type) })),
    });
    return {
      runtime,
      model_sha256: sha256(bytes),
      environment,
      seconds,
      reported,
      keep: (folder) => cp(output, folder, { recursive: true }),
      discard,
    };
  } catch (error) {
    await discard();
    throw error;
  }
}

export const openOnnx = async (
  project: Pick<Project, 'onnx'>,
  file: string,
  model: {
    readonly task: Model['task'];
    readonly classes: readonly string[] | null;
    readonly features: readonly { readonly name: string; readonly type: string }[];
  },
): Promise<ModelRuntime> => (await project.onnx()).open({ file, ...model });

/** The model of a version that is scored by onnxruntime. */
export async function loadOnnx(
  project: Pick<Project, 'onnx'>,
  folder: string,
  wanted: { readonly name: string; readonly sha256: string } & Parameters<typeof openOnnx>[2],
): Promise<ModelRuntime> {
  const file = path.join(folder, ONNX_FILE);
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new MillraceError('STORE_CORRUPT', `model ${wanted.name} has lost its file`, {
      cause,
      hint: 'Train it again, or roll back.',
    });
  });
  if (sha256(bytes) !== wanted.sha256)
    throw new MillraceError('STORE_CORRUPT', `model ${wanted.name} is not what was registered`, {
      hint: 'Train it again, or roll back.',
    });
  return openOnnx(project, file, wanted);
}
