/** A dataset version becomes a model version: fit on train, tune on validation, judge on every part, register. */
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { nearest } from '../core/base/nearest.js';
import type { DatasetManifest } from '../core/dataset/manifest.js';
import { PROCESS, processTrainer } from '../core/define/trainers.js';
import type { Model } from '../core/define/types.js';
import type { VersionRecord } from '../ports/registry.js';
import { buildDataset } from './build-dataset.js';
import { fitModel } from './fit-model.js';
import { recordRun, trainRun } from './lineage-events.js';
import { storedFault } from './load-model.js';
import type { ModelManifest } from './model-manifest.js';
import type { Project } from './project.js';
import { compareWithRegistered, registerModel, type TrainedVersion } from './register-model.js';
import { type CodeVersion, codeVersion } from './train-process.js';
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

  const features = manifest.features.filter((feature) => !model.exclude.includes(feature.name));
  const { task, trainer } = model;
  const fitting = { name, task, trainer, features, code };
  const { rows, fitted } = await fitModel(project, fitting, dataset.version, watch);
  try {
    if (present) return await compareWithRegistered(present, fitted);
    return await registerModel(project, model, {
      key,
      trainer,
      dataset: dataset.version,
      features,
      rows,
      fitted,
      watch,
    });
  } finally {
    await fitted.discard();
  }
}
