/** A model by a command of the project: its files written, its answer read, its world remembered. docs/reference/models.md */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { processTrainer } from '../core/define/trainers.js';
import type { Model } from '../core/define/types.js';
import { encodedNames, fitEncoder } from '../core/learn/encode.js';
import { featureKind, featureWidth } from '../core/learn/matrix.js';
import { printType, type ValueType } from '../core/schema/types.js';
import type { ModelRuntime, ProcessEnvironment, ScoringCommand } from '../ports/model-runtime.js';
import type { VersionRecord } from '../ports/registry.js';
import { filesAt, hashes, sha256 } from './code-version.js';
import { copyPart } from './dataset-table.js';
import {
  ENCODERS_FILE,
  type EncodersEntry,
  encodedFeatures,
  encodedMatrix,
  encodedRuntime,
  encodersEntry,
  encodersText,
} from './encoders.js';
import type { LabelledRows } from './model-data.js';
import type { Project } from './project.js';
import { readScoring, SCORING_FILE } from './scoring.js';

export const ONNX_FILE = 'model.onnx';

/** Parts that a command gets with their labels; of the test part it gets the features alone. */
const LEARNT_FROM = ['train', 'validation'];

/** Of what scores: every file of a version but what was only told or printed. */
export async function scorerHash(folder: string): Promise<string> {
  const files = (await filesAt(folder)).filter((file) => {
    const [first] = path.relative(folder, file).split(path.sep);
    return !['artefacts', 'metrics.json', 'manifest.json', TRAIN_LOG].includes(first!);
  });
  return fingerprint(await hashes(folder, files));
}

const TRAIN_LOG = 'train.log';

export interface ProcessFit {
  readonly runtime: ModelRuntime;
  /** Null: it is scored by onnxruntime. */
  readonly scoring: ScoringCommand | null;
  /** Null: the model takes the features as they are. */
  readonly encoders: EncodersEntry | null;
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
  model: Pick<Model, 'name' | 'task' | 'trainer'>,
  given: {
    readonly dataset: VersionRecord;
    readonly features: readonly { readonly name: string; readonly type: ValueType }[];
    readonly label: { readonly name: string; readonly type: ValueType };
    readonly rows: LabelledRows;
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
    const { classes } = given.rows;
    const training = given.rows.part('train')!.table;
    const encoder = trainer.encode && fitEncoder(training, trainer.encode);
    const parts: Record<string, unknown> = {};
    for (const [part, rows] of given.rows.parts) {
      const learnt = LEARNT_FROM.includes(part);
      if (!learnt && part !== 'test') continue;
      const file = `${part}.parquet`;
      await copyPart(store, given.dataset, path.join(input, file), {
        part,
        columns: learnt ? [...names, given.label.name] : names,
      });
      const encoded = encoder && `${part}.npy`;
      if (encoded) {
        const { table } = given.rows.part(part)!;
        await writeFile(path.join(input, encoded), encodedMatrix(encoder, table));
      }
      parts[part] = { file, rows, label: learnt, ...(encoded ? { encoded } : {}) };
    }
    if (encoder) await writeFile(path.join(input, ENCODERS_FILE), encodersText(encoder, training.rows));
    const json = (name: string, value: unknown): Promise<void> =>
      writeFile(path.join(input, name), `${JSON.stringify(value, null, 2)}\n`);
    await json('schema.json', {
      format: 1,
      model: model.name,
      task: model.task,
      label: { name: given.label.name, type: printType(given.label.type) },
      classes,
      ...(encoder ? { encoded: encodedNames(encoder) } : {}),
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
    const log = path.join(project.stateFolder, 'logs', `train-${model.name}.log`);
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
      log,
      line: (message) => project.progress({ step: 'train', message: `${model.name}: ${message}` }),
    });
    const reported = await reportedMetrics(path.join(output, 'metrics.json'));
    const shape = {
      task: model.task,
      classes,
      features: encoder
        ? encodedFeatures(encoder)
        : given.features.map(({ name, type }) => ({ name, type: printType(type) })),
    };
    const scoring = await readScoring(project, output);
    const file = path.join(output, ONNX_FILE);
    const bytes = scoring ? null : await readFile(file).catch(() => null);
    if (!scoring && bytes === null)
      throw new MillraceError(
        'TRAIN_FAILED',
        `\`${trainer.command.join(' ')}\` wrote neither ${ONNX_FILE} nor ${SCORING_FILE}. All it printed: ${log}`,
        { hint: 'One of them belongs into the folder that MILLRACE_OUTPUT names.' },
      );
    await cp(log, path.join(output, TRAIN_LOG));
    if (encoder) await cp(path.join(input, ENCODERS_FILE), path.join(output, ENCODERS_FILE));
    const inner = scoring
      ? await openScorer(project, output, { ...shape, name: `${model.name}, new`, scoring })
      : await openOnnx(project, file, shape);
    return {
      runtime: encoder ? encodedRuntime(inner, encoder) : inner,
      encoders: encoder ? encodersEntry(encoder, training.rows) : null,
      scoring,
      model_sha256: bytes ? sha256(bytes) : await scorerHash(output),
      environment,
      seconds,
      reported,
      keep: (folder) => cp(output, folder, { recursive: true }),
      discard: async () => {
        inner.close?.();
        await discard();
      },
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

/** What asks the command of a version for scores; its words go to a log of its own. */
export const openScorer = async (
  project: Pick<Project, 'processes' | 'stateFolder' | 'signal'>,
  folder: string,
  model: {
    readonly name: string;
    readonly scoring: ScoringCommand;
    readonly task: Model['task'];
    readonly classes: readonly string[] | null;
    readonly features: readonly { readonly name: string; readonly type: string }[];
  },
): Promise<ModelRuntime> =>
  (await project.processes()).scorer({
    ...model,
    folder,
    log: path.join(project.stateFolder, 'logs', `score-${model.name.replaceAll(/[^\w@.-]+/g, '-')}.log`),
    signal: project.signal,
  });
