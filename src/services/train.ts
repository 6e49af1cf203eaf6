/** A dataset version becomes a model version: fit on train, tune on validation, judge on every part, register. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { nearest } from '../core/base/nearest.js';
import type { DatasetManifest } from '../core/dataset/manifest.js';
import { PROCESS, processTrainer } from '../core/define/trainers.js';
import type { Model } from '../core/define/types.js';
import { compileModel, type TrainedModel } from '../core/learn/model.js';
import { parseType } from '../core/schema/types.js';
import type { VersionRecord } from '../ports/registry.js';
import { buildDataset } from './build-dataset.js';
import { ENCODERS_FILE, encodersEntry, encodersText } from './encoders.js';
import { type FitJob, fitAside } from './fit.js';
import { recordRun, trainRun } from './lineage-events.js';
import { MODEL_FILE, runtimeOf, storedFault } from './load-model.js';
import { labelledRows } from './model-data.js';
import type { ModelManifest } from './model-manifest.js';
import type { Project } from './project.js';
import { compareWithRegistered, type Fitted, registerModel, type TrainedVersion } from './register-model.js';
import { type CodeVersion, codeVersion, fitByProcess } from './train-process.js';
import { stopwatch } from './training-record.js';

export type { TrainedVersion } from './register-model.js';

export interface TrainOptions {
  /** Train although the version is there, and compare the bytes. */
  readonly again?: boolean;
}

export function findModel(project: Project, name: string): Model {
  const model = project.definitions.models.get(name);
  if (model) return model;
  const near = nearest(name, project.definitions.models.keys());
  throw new MillraceError('UNKNOWN_NAME', `there is no model named "${name}"`, {
    hint: near ? `Did you mean "${near}"?` : 'Define it under `models:`.',
  });
}

export async function trainModel(
  project: Project,
  name: string,
  options: TrainOptions = {},
): Promise<TrainedVersion> {
  const model = findModel(project, name);
  return recordRun(project, trainRun(project, name), () => trainVersion(project, model, options));
}

/** What a model version follows from: equal keys are the same version. */
export const modelKey = (
  model: Model,
  dataset: Pick<VersionRecord, 'key' | 'manifest'>,
  code?: CodeVersion,
): string =>
  fingerprint({
    model: model.fingerprint,
    dataset: dataset.manifest['logical_sha256'] as string,
    key: dataset.key,
    code: code?.sha256,
  });

export const trainerCode = (project: Project, model: Model): Promise<CodeVersion> | undefined =>
  model.trainer.kind === PROCESS
    ? codeVersion(project.folder, processTrainer(model.trainer.parameters))
    : undefined;

async function trainVersion(project: Project, model: Model, options: TrainOptions): Promise<TrainedVersion> {
  const { name } = model;
  const watch = stopwatch();
  const dataset = await buildDataset(project, model.dataset);
  watch.lap('dataset');
  const manifest: DatasetManifest = dataset.manifest;
  if (manifest.label === null)
    throw new MillraceError(
      'TRAIN_FAILED',
      `dataset ${model.dataset} has no label, so nothing can be learnt from it`,
      { hint: 'Give the dataset a `label`.' },
    );
  const code = await trainerCode(project, model);
  const key = modelKey(model, dataset.version, code);
  const registry = await project.registry();
  const present = registry.byKey('model', name, key);
  const known = present && (present.manifest as unknown as ModelManifest);
  if (present && known && !options.again && !(await storedFault(present)))
    return { version: present, manifest: known, built: false, reproduced: null };

  const used = manifest.features.filter((feature) => !model.exclude.includes(feature.name));
  const types = used.map((feature) => ({ name: feature.name, type: parseType(feature.type)! }));
  const label = { name: manifest.label.name, type: parseType(manifest.label.type)! };
  const rows = await labelledRows(project, dataset.version, { task: model.task, features: types, label });
  const train = rows.part('train');
  if (!train)
    throw new MillraceError('DATASET_EMPTY', `dataset ${model.dataset} has no row in its train part`, {
      hint: 'Look at the split.',
    });
  watch.lap('read');
  project.progress({
    step: 'train',
    message: `${name}: fitting ${model.trainer.kind} on ${train.table.rows} rows x ${types.length} features`,
  });
  const fitted =
    code === undefined
      ? await fitBuiltIn(project, model, rows.classes, { train, validation: rows.part('validation') })
      : await fitForeign(project, model, code, {
          dataset: dataset.version,
          features: types,
          label,
          rows,
        });
  watch.lap('fit');
  try {
    if (present) return await compareWithRegistered(present, fitted);
    return await registerModel(project, model, {
      key,
      trainer: model.trainer,
      dataset: dataset.version,
      features: used,
      rows,
      fitted,
      watch,
    });
  } finally {
    await fitted.discard();
  }
}

async function fitBuiltIn(
  project: Project,
  model: Model,
  classes: readonly string[] | null,
  data: FitJob['data'],
): Promise<Fitted> {
  const { kind, parameters, seed } = model.trainer;
  const text = await fitAside(
    { spec: { kind, task: model.task, parameters, seed, classes: classes ?? undefined }, data },
    project.signal,
  );
  const trained = JSON.parse(text) as TrainedModel;
  return {
    runtime: runtimeOf(compileModel(trained)),
    importance: trained.importance,
    told: {
      parameters: trained.parameters,
      fit: trained.log,
      encoders: encodersEntry(trained.encoder, data.train.table.rows),
    },
    model_sha256: fingerprint(text),
    keep: async (folder) => {
      await writeFile(path.join(folder, MODEL_FILE), text);
      await writeFile(path.join(folder, ENCODERS_FILE), encodersText(trained.encoder, data.train.table.rows));
    },
    discard: async () => {},
  };
}

async function fitForeign(
  project: Project,
  model: Model,
  code: CodeVersion,
  given: Parameters<typeof fitByProcess>[2],
): Promise<Fitted> {
  const { environment, seconds, reported, scoring, encoders, ...fit } = await fitByProcess(
    project,
    model,
    given,
  );
  const runtime = scoring ? { runtime: 'command' as const, scoring } : { runtime: 'onnx' as const };
  return {
    ...fit,
    importance: [],
    process: environment,
    told: { ...runtime, ...(encoders ? { encoders } : {}), code, seconds, reported },
  };
}
