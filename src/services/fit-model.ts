/** A model fitted on the rows of a dataset version: by a trainer of ours in a thread, or by a command. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { PROCESS } from '../core/define/trainers.js';
import { compileModel, type TrainedModel } from '../core/learn/model.js';
import { parseType } from '../core/schema/types.js';
import type { VersionRecord } from '../ports/registry.js';
import type { CodeVersion } from './code-version.js';
import { manifestOfDataset } from './dataset-versions.js';
import { ENCODERS_FILE, encodersEntry, encodersText } from './encoders.js';
import { type FitJob, fitAside } from './fit.js';
import { MODEL_FILE, runtimeOf } from './load-model.js';
import { type LabelledRows, labelledRows } from './model-data.js';
import type { ModelManifest } from './model-manifest.js';
import type { Project } from './project.js';
import type { Fitted } from './register-model.js';
import { fitByProcess } from './train-process.js';
import type { Stopwatch } from './training-record.js';

/** Of a definition, or of a version that was registered. */
export interface Fitting extends Pick<ModelManifest, 'task' | 'trainer' | 'features'> {
  readonly name: string;
  /** Of a trainer that is a command. */
  readonly code: CodeVersion | undefined;
}

/** @throws MillraceError DATASET_EMPTY, TRAIN_FAILED */
export async function fitModel(
  project: Project,
  fitting: Fitting,
  dataset: VersionRecord,
  watch?: Stopwatch,
): Promise<{ readonly rows: LabelledRows; readonly fitted: Fitted }> {
  const { name, task, trainer } = fitting;
  const declared = manifestOfDataset(dataset).label!;
  const label = { name: declared.name, type: parseType(declared.type)! };
  const features = fitting.features.map((feature) => ({
    name: feature.name,
    type: parseType(feature.type)!,
  }));
  const rows = await labelledRows(project, dataset, { task, features, label });
  const train = rows.part('train');
  if (!train)
    throw new MillraceError('DATASET_EMPTY', `dataset ${dataset.name} has no row in its train part`, {
      hint: 'Look at the split.',
    });
  watch?.lap('read');
  project.progress({
    step: 'train',
    message: `${name}: fitting ${trainer.kind} on ${train.table.rows} rows x ${features.length} features`,
  });
  const fitted =
    trainer.kind === PROCESS
      ? await fitForeign(project, fitting, { dataset, features, label, rows })
      : await fitBuiltIn(project, fitting, rows.classes, { train, validation: rows.part('validation') });
  watch?.lap('fit');
  return { rows, fitted };
}

async function fitBuiltIn(
  project: Project,
  { task, trainer: { kind, parameters, seed } }: Fitting,
  classes: readonly string[] | null,
  data: FitJob['data'],
): Promise<Fitted> {
  const text = await fitAside(
    { spec: { kind, task, parameters, seed, classes: classes ?? undefined }, data },
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
  fitting: Fitting,
  given: Parameters<typeof fitByProcess>[2],
): Promise<Fitted> {
  const { code } = fitting;
  const { environment, seconds, reported, scoring, encoders, ...fit } = await fitByProcess(
    project,
    fitting,
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
