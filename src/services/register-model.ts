/** A fitted model becomes a version: judged on every part, written aside, moved to its place, named in the registry. */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import type { DatasetManifest } from '../core/dataset/manifest.js';
import type { Model } from '../core/define/types.js';
import { type ColumnProfile, profileColumn } from '../core/drift/profile.js';
import { takeRows } from '../core/learn/matrix.js';
import type { Evaluation } from '../core/learn/metrics.js';
import type { ModelRuntime, ProcessEnvironment } from '../ports/model-runtime.js';
import type { VersionRecord } from '../ports/registry.js';
import { userName } from './actor.js';
import { keepDefinitions } from './definition-snapshot.js';
import { evaluatePart } from './evaluate-model.js';
import { storedFault } from './load-model.js';
import type { LabelledPart, LabelledRows } from './model-data.js';
import type { ModelManifest } from './model-manifest.js';
import type { Project } from './project.js';
import { codeOf, environmentOf, type Stopwatch } from './training-record.js';

/** A fitted model before it is a version. */
export interface Fitted {
  readonly runtime: ModelRuntime;
  readonly importance: ModelManifest['importance'];
  readonly told: Partial<ModelManifest>;
  readonly model_sha256: string;
  readonly process?: ProcessEnvironment;
  keep(folder: string): Promise<void>;
  discard(): Promise<void>;
}

export interface TrainedVersion {
  readonly version: VersionRecord;
  readonly manifest: ModelManifest;
  readonly built: boolean;
  /** Trained anew only to compare: whether it came out byte for byte. Null: not asked, or not trained before. */
  readonly reproduced: boolean | null;
}

/** Rows to try; in mode batch every question is a process of its own. */
const COMPANY_ROWS = { server: 48, batch: 6 };

/**
 * A command that takes many rows at once promises that each is scored as if it were alone: tried on some rows.
 * @throws MillraceError TRAIN_FAILED
 */
async function checkCompany({ runtime, told }: Fitted, { table }: LabelledPart): Promise<void> {
  if (told.scoring === undefined || told.scoring.rows_at_once < 2) return;
  const rows = Array.from({ length: Math.min(COMPANY_ROWS[told.scoring.mode], table.rows) }, (_, i) => i);
  const flat = async (of: readonly number[]): Promise<readonly number[]> =>
    [await runtime.predictTable(takeRows(table, of))].flat().flatMap((scores) => [...scores]);
  const together = await flat(rows);
  const width = together.length / rows.length;
  for (const row of rows) {
    const alone = await flat([row]);
    for (let k = 0; k < width; k++)
      if (alone[k] !== together[k * rows.length + row])
        throw new MillraceError(
          'TRAIN_FAILED',
          `the scoring command gives row ${row + 1} of the train part ${alone[k]} alone and ${together[k * rows.length + row]} among ${rows.length} rows`,
          { hint: 'Leave `rows_at_once` out of scoring.json: then every row is asked alone.' },
        );
  }
}

export async function registerModel(
  project: Project,
  model: Model,
  given: {
    readonly key: string;
    readonly trainer: ModelManifest['trainer'];
    readonly dataset: VersionRecord;
    readonly features: ModelManifest['features'];
    readonly rows: LabelledRows;
    readonly fitted: Fitted;
    readonly watch: Stopwatch;
  },
): Promise<TrainedVersion> {
  const { name } = model;
  const { key, dataset, features, rows, fitted, watch } = given;
  const data = dataset.manifest as unknown as DatasetManifest;
  const evaluation: Record<string, Evaluation> = {};
  const scoreProfile: Record<string, ColumnProfile> = {};
  const train = rows.part('train');
  if (train) await checkCompany(fitted, train);
  for (const [part, count] of rows.parts) {
    project.progress({ step: 'train', message: `${name}: evaluating on ${part} (${count} rows)` });
    const judged = await evaluatePart(model.task, fitted.runtime, rows.part(part)!, rows.classes);
    evaluation[part] = judged.evaluation;
    if (judged.flat) scoreProfile[part] = profileColumn({ type: 'numeric', values: judged.flat, nulls: 0 });
  }
  watch.lap('evaluate');
  const definitions =
    data.definitions_sha256 === undefined
      ? await keepDefinitions(project, dataset.name)
      : data.definitions_sha256;
  const manifest: ModelManifest = {
    format: 1,
    model: name,
    task: model.task,
    trainer: given.trainer,
    dataset: { name: dataset.name, version: dataset.version, logical_sha256: data.logical_sha256 },
    features,
    label: data.label!.name,
    classes: rows.classes,
    metrics: Object.fromEntries(
      Object.entries(evaluation).map(([part, item]) => [part, { ...item.metrics }]),
    ),
    evaluation,
    importance: fitted.importance,
    profile: Object.fromEntries(features.map((feature) => [feature.name, data.profile[feature.name]!])),
    score_profile: scoreProfile,
    ...fitted.told,
    model_sha256: fitted.model_sha256,
    definitions_sha256: definitions,
    ...(fitted.told.imported ? {} : { actor: userName() }),
    environment: environmentOf(project, fitted.process),
    ...(await codeOf(project)),
    timings: watch.finish(),
  };
  const folder = path.join(project.stateFolder, 'models', name, key.slice(0, 16));
  await keepFiles(folder, fitted, manifest);
  const registry = await project.registry();
  const version = registry.addVersion({
    kind: 'model',
    name,
    key,
    folder,
    manifest: manifest as unknown as Record<string, unknown>,
    createdAt: project.now(),
  });
  return { version, manifest, built: true, reproduced: null };
}

/**
 * A version that was fitted once more: compared with what was registered, and put back where its files are gone or
 * damaged. Other bytes are never put under a version.
 */
export async function compareWithRegistered(version: VersionRecord, fitted: Fitted): Promise<TrainedVersion> {
  const manifest = version.manifest as unknown as ModelManifest;
  const reproduced = fitted.model_sha256 === manifest.model_sha256;
  const fault = await storedFault(version);
  if (fault && !reproduced)
    throw new MillraceError(
      'STORE_CORRUPT',
      `${fault.message}, and the same data, code and seed gave another one`,
      {
        hint: 'Roll back to another version, or change the definition: that is another version.',
      },
    );
  if (fault) await keepFiles(version.folder, fitted, manifest);
  return { version, manifest, built: false, reproduced };
}

/** Written aside, then moved to its place. */
export async function keepFiles(folder: string, fitted: Fitted, manifest: ModelManifest): Promise<void> {
  const staging = `${folder}.${process.pid}.tmp`;
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true });
  await fitted.keep(staging);
  await writeFile(path.join(staging, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  await rm(folder, { recursive: true, force: true });
  await rename(staging, folder);
}
