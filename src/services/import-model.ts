/** A model that was made elsewhere becomes a version: judged on the dataset of its definition, gated, served like others. */
import { createHash } from 'node:crypto';
import { copyFile, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { nearest } from '../core/base/nearest.js';
import type { Model } from '../core/define/types.js';
import { parseType } from '../core/schema/types.js';
import type { ModelRuntime, ProcessEnvironment, ScoringCommand } from '../ports/model-runtime.js';
import { userName } from './actor.js';
import { buildDataset } from './build-dataset.js';
import { type ForeignModelFiles, readForeignModel } from './foreign-model.js';
import { labelledRows } from './model-data.js';
import type { ImportedFrom, ModelManifest } from './model-manifest.js';
import type { Project } from './project.js';
import { pythonFile } from './python-files.js';
import { compareWithRegistered, type Fitted, registerModel, type TrainedVersion } from './register-model.js';
import { readScoring, SCORING_FILE } from './scoring.js';
import { findModel } from './train.js';
import { ONNX_FILE, openOnnx, openScorer, scorerHash } from './train-process.js';
import { stopwatch } from './training-record.js';

export interface ImportOptions {
  /** The definition that it becomes a version of. */
  readonly model: string;
  readonly reason: string;
  readonly actor?: string;
  /** JSON: `{"inputs": [names], "classes": [names]}`. Absent: what MLmodel says, else the features in their order. */
  readonly signature?: string | undefined;
  /** MLflow: the ONNX flavour where there is one. */
  readonly flavor?: 'onnx' | 'pyfunc' | undefined;
  /** Of models that Python scores. */
  readonly python?: string | undefined;
}

/** The features that it takes, in its order. */
function featuresOf(
  inputs: readonly string[] | null,
  held: ModelManifest['features'],
  { name: model, dataset, exclude }: Model,
): ModelManifest['features'] {
  if (inputs === null) return held;
  return inputs.map((name) => {
    const feature = held.find((each) => each.name === name);
    if (feature) return feature;
    if (exclude.includes(name))
      throw new MillraceError(
        'USAGE',
        `the model takes "${name}", which the definition of ${model} excludes`,
        {
          hint: `Take it out of \`exclude\`, or import under another definition.`,
        },
      );
    const near = nearest(
      name,
      held.map((each) => each.name),
    );
    throw new MillraceError('USAGE', `the model takes "${name}", which is no feature of dataset ${dataset}`, {
      hint: near
        ? `Did you mean "${near}"? Rename it in the signature.`
        : `It has ${held.map((each) => each.name).join(', ')}.`,
    });
  });
}

interface Staged {
  readonly runtime: ModelRuntime;
  readonly sha256: string;
  readonly told: Partial<ModelManifest>;
  readonly process?: ProcessEnvironment;
}

async function stage(
  project: Project,
  read: ForeignModelFiles,
  folder: string,
  shape: Parameters<typeof openOnnx>[2] & { readonly name: string },
  python: string,
): Promise<Staged> {
  if (read.flavor === 'onnx') {
    const bytes = await readFile(read.from).catch((cause: unknown) => {
      throw new MillraceError('FILE_NOT_FOUND', `there is no ONNX file at "${read.from}"`, { cause });
    });
    await writeFile(path.join(folder, ONNX_FILE), bytes);
    return {
      runtime: await openOnnx(project, read.from, shape),
      sha256: createHash('sha256').update(bytes).digest('hex'),
      told: { runtime: 'onnx' },
    };
  }
  await cp(read.from, path.join(folder, 'model'), { recursive: true });
  await copyFile(pythonFile('score_mlflow.py'), path.join(folder, 'score.py'));
  await writeFile(
    path.join(folder, SCORING_FILE),
    `${JSON.stringify({ command: [python, 'score.py'], start_timeout: '5m' }, null, 2)}\n`,
  );
  const scoring: ScoringCommand = (await readScoring(project, folder))!;
  const environment = await (await project.processes()).environment(scoring.command, project.folder);
  return {
    runtime: await openScorer(project, folder, { ...shape, scoring }),
    sha256: await scorerHash(folder),
    told: { runtime: 'command', scoring },
    process: environment,
  };
}

/**
 * @throws MillraceError USAGE where it takes what the dataset does not have, TRAIN_FAILED or SCORING_FAILED where it
 * cannot be asked.
 */
export async function importModel(
  project: Project,
  source: string,
  options: ImportOptions,
): Promise<TrainedVersion> {
  const model: Model = findModel(project, options.model);
  const watch = stopwatch();
  const read = await readForeignModel(path.resolve(source), options);
  const { version: dataset, manifest: data } = await buildDataset(project, model.dataset);
  watch.lap('dataset');
  if (data.label === null)
    throw new MillraceError('TRAIN_FAILED', `dataset ${model.dataset} has no label to judge the model by`, {
      hint: 'Give the dataset a `label`.',
    });
  const features = featuresOf(
    read.inputs,
    data.features.filter(({ name }) => !model.exclude.includes(name)),
    model,
  );
  const rows = await labelledRows(project, dataset, {
    task: model.task,
    features: features.map(({ name, type }) => ({ name, type: parseType(type)! })),
    label: { name: data.label.name, type: parseType(data.label.type)! },
    classes: read.classes,
  });
  watch.lap('read');
  const work = path.join(project.stateFolder, 'tmp', `import-${model.name}-${process.pid}`);
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  let runtime: ModelRuntime | undefined;
  try {
    const shape = {
      name: `${model.name}, imported`,
      task: model.task,
      classes: rows.classes,
      features: features.map(({ name, type }) => ({ name, type })),
    };
    const staged = await stage(project, read, work, shape, options.python ?? 'python3');
    runtime = staged.runtime;
    const key = fingerprint({
      model: model.fingerprint,
      key: dataset.key,
      imported: staged.sha256,
      features: features.map(({ name }) => name),
      classes: rows.classes,
    });
    const imported: ImportedFrom = {
      format: read.format,
      from: path.basename(source),
      sha256: staged.sha256,
      ...(read.format === 'mlflow' ? { flavor: read.flavor } : {}),
      ...(read.mlflow_version === undefined ? {} : { mlflow_version: read.mlflow_version }),
      ...(read.run_id === undefined ? {} : { run_id: read.run_id }),
      actor: options.actor ?? userName(),
      reason: options.reason,
    };
    const fitted: Fitted = {
      runtime,
      importance: [],
      told: { ...staged.told, imported },
      model_sha256: staged.sha256,
      ...(staged.process ? { process: staged.process } : {}),
      keep: (folder) => cp(work, folder, { recursive: true }),
      discard: async () => {},
    };
    const present = (await project.registry()).byKey('model', model.name, key);
    if (present) return { ...(await compareWithRegistered(present, fitted)), reproduced: null };
    const trainer = { kind: 'imported', parameters: {}, seed: 0 };
    return await registerModel(project, model, { key, trainer, dataset, features, rows, watch, fitted });
  } finally {
    runtime?.close?.();
    await rm(work, { recursive: true, force: true });
  }
}
