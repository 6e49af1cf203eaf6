/** A dataset version becomes a model version: fit on train, tune on validation, judge on every part, register. */
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import type { DatasetManifest } from '../core/dataset/manifest.js';
import type { Model } from '../core/define/types.js';
import { buildDataset } from './build-dataset.js';
import { trainerCode } from './code-version.js';
import { fitModel } from './fit-model.js';
import { recordRun, trainRun } from './lineage-events.js';
import { storedFault } from './load-model.js';
import { type ModelManifest, modelKey } from './model-manifest.js';
import type { Project } from './project.js';
import { compareWithRegistered, registerModel, type TrainedVersion } from './register-model.js';
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
