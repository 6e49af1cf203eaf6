/** A dataset version becomes a model version: fit on train, tune on validation, judge on every part, register. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { nearest } from '../core/base/nearest.js';
import { VERSION } from '../core/base/version.js';
import type { DatasetManifest } from '../core/dataset/manifest.js';
import { PROCESS, processTrainer } from '../core/define/trainers.js';
import type { Model } from '../core/define/types.js';
import { type ColumnProfile, profileColumn } from '../core/drift/profile.js';
import { columnLength, columnValue } from '../core/engine/columns.js';
import type { Column } from '../core/engine/types.js';
import {
  type FeatureColumn,
  type FeatureTable,
  featureKind,
  featureWidth,
  takeRows,
  writeNumbers,
} from '../core/learn/matrix.js';
import {
  type Evaluation,
  evaluateBinary,
  evaluateMulticlass,
  evaluateRegression,
} from '../core/learn/metrics.js';
import { type CompiledModel, compileModel, type TrainedModel } from '../core/learn/model.js';
import { parseType, STRING } from '../core/schema/types.js';
import type { ModelRuntime, ProcessEnvironment } from '../ports/model-runtime.js';
import type { VersionRecord } from '../ports/registry.js';
import { buildDataset, PART_COLUMN } from './build-dataset.js';
import { type FitJob, fitAside } from './fit.js';
import { recordRun, trainRun } from './lineage-events.js';
import type { Project } from './project.js';
import { type CodeVersion, codeVersion, fitByProcess, loadOnnx } from './train-process.js';

export interface ModelManifest {
  readonly format: 1;
  readonly model: string;
  readonly task: Model['task'];
  readonly trainer: {
    readonly kind: string;
    readonly parameters: Readonly<Record<string, unknown>>;
    readonly seed: number;
  };
  readonly dataset: { readonly name: string; readonly version: number; readonly logical_sha256: string };
  readonly features: readonly {
    readonly name: string;
    readonly type: string;
    readonly fingerprint: string;
  }[];
  readonly label: string;
  readonly classes: readonly string[] | null;
  readonly metrics: Readonly<Record<string, Readonly<Record<string, number | null>>>>;
  readonly evaluation: Readonly<Record<string, Evaluation>>;
  readonly importance: readonly { readonly feature: string; readonly gain: number }[];
  /** Feature profiles of the training part, and the model's scores on each part: what monitoring compares with. */
  readonly profile: Readonly<Record<string, ColumnProfile>>;
  readonly score_profile: Readonly<Record<string, ColumnProfile>>;
  /** What scores it; our own format when absent. */
  readonly runtime?: 'onnx';
  readonly model_sha256: string;
  readonly environment: {
    readonly node: string;
    readonly millrace: string;
    readonly process?: ProcessEnvironment;
  };
  /** Of a command: its files, how long it took, and what it said of itself. */
  readonly code?: CodeVersion;
  readonly seconds?: number;
  readonly reported?: Readonly<Record<string, unknown>>;
}

export interface TrainedVersion {
  readonly version: VersionRecord;
  readonly manifest: ModelManifest;
  readonly built: boolean;
  /** Trained anew only to compare: whether it came out byte for byte. Null: not asked, or not trained before. */
  readonly reproduced: boolean | null;
}

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

/** A column as trainers take it. */
export function toFeatureColumn(name: string, column: Column): FeatureColumn {
  const feature = { name, type: column.type };
  const rows = columnLength(column);
  if (featureKind(feature) === 'categorical') {
    const codes = column as Extract<Column, { kind: 'codes' }>;
    return {
      ...feature,
      kind: 'categorical',
      codes: codes.codes,
      dictionary: codes.dictionary as readonly string[],
    };
  }
  const width = featureWidth(column.type);
  const values = new Float64Array(rows * width);
  for (let i = 0; i < rows; i++) writeNumbers(feature, width, columnValue(column, i), values, i * width);
  return { ...feature, kind: 'numeric', width, values };
}

/** Label values as trainers take them: 0/1, class codes, or numbers. */
export function targetOf(
  task: Model['task'],
  label: Column,
): { target: Float64Array; classes: readonly string[] | null } {
  const rows = columnLength(label);
  const target = new Float64Array(rows);
  if (task === 'multiclass') {
    const names = [...new Set(Array.from({ length: rows }, (_, i) => String(columnValue(label, i))))].sort();
    const code = new Map(names.map((name, i) => [name, i]));
    for (let i = 0; i < rows; i++) target[i] = code.get(String(columnValue(label, i)))!;
    return { target, classes: names };
  }
  const scale = label.type.kind === 'decimal' ? 10 ** label.type.scale : 1;
  for (let i = 0; i < rows; i++) {
    const value = columnValue(label, i);
    target[i] = typeof value === 'boolean' ? (value ? 1 : 0) : Number(value) / scale;
    if (task === 'binary' && target[i] !== 0 && target[i] !== 1)
      throw new MillraceError(
        'TRAIN_FAILED',
        `a binary label must be boolean or 0 and 1, row ${i + 1} has ${String(value)}`,
        {
          hint: 'Write the label as a comparison, or choose task: multiclass or regression.',
        },
      );
  }
  return { target, classes: null };
}

const numbers = (evaluation: Evaluation): Record<string, number | null> => ({ ...evaluation.metrics });

export async function trainModel(
  project: Project,
  name: string,
  options: TrainOptions = {},
): Promise<TrainedVersion> {
  const model = findModel(project, name);
  return recordRun(project, trainRun(project, name), () => trainVersion(project, model, options));
}

/** A fitted model before it is a version. */
interface Fitted {
  readonly runtime: ModelRuntime;
  readonly importance: ModelManifest['importance'];
  readonly told: Partial<ModelManifest>;
  readonly model_sha256: string;
  readonly process?: ProcessEnvironment;
  keep(folder: string): Promise<void>;
  discard(): Promise<void>;
}

async function trainVersion(project: Project, model: Model, options: TrainOptions): Promise<TrainedVersion> {
  const { name } = model;
  const dataset = await buildDataset(project, model.dataset);
  const manifest: DatasetManifest = dataset.manifest;
  if (manifest.label === null)
    throw new MillraceError(
      'TRAIN_FAILED',
      `dataset ${model.dataset} has no label, so nothing can be learnt from it`,
      { hint: 'Give the dataset a `label`.' },
    );
  const code =
    model.trainer.kind === PROCESS
      ? await codeVersion(project.folder, processTrainer(model.trainer.parameters))
      : undefined;
  const key = fingerprint({
    model: model.fingerprint,
    dataset: manifest.logical_sha256,
    key: dataset.version.key,
    code: code?.sha256,
  });
  const registry = await project.registry();
  const present = registry.byKey('model', name, key);
  const known = present && (present.manifest as unknown as ModelManifest);
  if (present && known && !options.again && existsSync(present.folder))
    return { version: present, manifest: known, built: false, reproduced: null };

  const labelName = manifest.label.name;
  const used = manifest.features.filter((feature) => !model.exclude.includes(feature.name));
  const types = used.map((feature) => ({ name: feature.name, type: parseType(feature.type)! }));
  const labelType = parseType(manifest.label.type)!;
  const store = await project.offline();
  const columns = await store.readColumns(path.join(dataset.version.folder, 'data.parquet'), [
    ...types,
    { name: manifest.label.name, type: labelType },
    { name: PART_COLUMN, type: STRING },
  ]);
  const parts = columns.get(PART_COLUMN)!;
  const rowsOf = new Map<string, number[]>();
  for (let i = 0; i < columnLength(parts); i++) {
    const part = columnValue(parts, i) as string;
    const rows = rowsOf.get(part);
    if (rows) rows.push(i);
    else rowsOf.set(part, [i]);
  }
  const label = columns.get(manifest.label.name)!;
  const { target, classes } = targetOf(model.task, label);
  const table: FeatureTable = {
    rows: target.length,
    columns: types.map(({ name: feature }) => toFeatureColumn(feature, columns.get(feature)!)),
  };
  const partOf = (part: string): { table: FeatureTable; target: Float64Array } | undefined => {
    const rows = rowsOf.get(part);
    return rows && { table: takeRows(table, rows), target: Float64Array.from(rows, (row) => target[row]!) };
  };
  const train = partOf('train');
  if (!train)
    throw new MillraceError('DATASET_EMPTY', `dataset ${model.dataset} has no row in its train part`, {
      hint: 'Look at the split.',
    });
  const validation = partOf('validation');
  project.progress({
    step: 'train',
    message: `${name}: fitting ${model.trainer.kind} on ${train.table.rows} rows x ${types.length} features`,
  });
  const fitted =
    code === undefined
      ? await fitBuiltIn(project, model, classes, { train, validation })
      : await fitForeign(project, model, code, {
          data: path.join(dataset.version.folder, 'data.parquet'),
          features: types,
          label: { name: manifest.label.name, type: labelType },
          classes,
          parts: new Map([...rowsOf].map(([part, rows]) => [part, rows.length])),
        });
  try {
    if (present && known)
      return {
        version: present,
        manifest: known,
        built: false,
        reproduced: fitted.model_sha256 === known.model_sha256,
      };
    return await register();
  } finally {
    await fitted.discard();
  }

  async function register(): Promise<TrainedVersion> {
    const evaluation: Record<string, Evaluation> = {};
    const scoreProfile: Record<string, ColumnProfile> = {};
    for (const part of rowsOf.keys()) {
      const data = partOf(part)!;
      project.progress({
        step: 'train',
        message: `${name}: evaluating on ${part} (${data.table.rows} rows)`,
      });
      const scores = await fitted.runtime.predictTable(data.table);
      if (model.task === 'multiclass')
        evaluation[part] = evaluateMulticlass(data.target, scores as Float64Array[]);
      else {
        const flat = scores as Float64Array;
        evaluation[part] =
          model.task === 'binary' ? evaluateBinary(data.target, flat) : evaluateRegression(data.target, flat);
        scoreProfile[part] = profileColumn({ type: 'numeric', values: flat, nulls: 0 });
      }
    }
    const modelManifest: ModelManifest = {
      format: 1,
      model: name,
      task: model.task,
      trainer: model.trainer,
      dataset: {
        name: model.dataset,
        version: dataset.version.version,
        logical_sha256: manifest.logical_sha256,
      },
      features: used,
      label: labelName,
      classes,
      metrics: Object.fromEntries(Object.entries(evaluation).map(([part, item]) => [part, numbers(item)])),
      evaluation,
      importance: fitted.importance,
      profile: Object.fromEntries(used.map((feature) => [feature.name, manifest.profile[feature.name]!])),
      score_profile: scoreProfile,
      ...fitted.told,
      model_sha256: fitted.model_sha256,
      environment: {
        node: process.version,
        millrace: VERSION,
        ...(fitted.process ? { process: fitted.process } : {}),
      },
    };
    const folder = path.join(project.stateFolder, 'models', name, key.slice(0, 16));
    const staging = `${folder}.${process.pid}.tmp`;
    await rm(staging, { recursive: true, force: true });
    await mkdir(staging, { recursive: true });
    await fitted.keep(staging);
    await writeFile(path.join(staging, 'manifest.json'), `${JSON.stringify(modelManifest, null, 2)}\n`);
    await rm(folder, { recursive: true, force: true });
    await rename(staging, folder);
    const version = registry.addVersion({
      kind: 'model',
      name,
      key,
      folder,
      manifest: modelManifest as unknown as Record<string, unknown>,
      createdAt: project.now(),
    });
    return { version, manifest: modelManifest, built: true, reproduced: null };
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
    told: {},
    model_sha256: fingerprint(text),
    keep: (folder) => writeFile(path.join(folder, 'model.json'), text),
    discard: async () => {},
  };
}

async function fitForeign(
  project: Project,
  model: Model,
  code: CodeVersion,
  given: Parameters<typeof fitByProcess>[2],
): Promise<Fitted> {
  const { environment, seconds, reported, ...fit } = await fitByProcess(project, model, given);
  return { ...fit, importance: [], process: environment, told: { runtime: 'onnx', code, seconds, reported } };
}

const runtimeOf = (compiled: CompiledModel): ModelRuntime => ({
  predictRows: (rows) => rows.map((row) => compiled.predictRow(row)),
  predictTable: (table) => compiled.predictTable(table),
});

/** The model of a version, ready to predict. */
export async function loadModel(
  project: Pick<Project, 'onnx'>,
  version: VersionRecord,
): Promise<{ manifest: ModelManifest; compiled: ModelRuntime }> {
  const manifest = version.manifest as unknown as ModelManifest;
  if (manifest.runtime === 'onnx') {
    const compiled = await loadOnnx(project, version.folder, {
      name: `${version.name}@${version.version}`,
      sha256: manifest.model_sha256,
      task: manifest.task,
      classes: manifest.classes,
      features: manifest.features,
    });
    return { manifest, compiled };
  }
  return { manifest, compiled: runtimeOf(compileModel(await readTrained(version))) };
}

/** The record of a built-in model. */
export async function readTrained(version: VersionRecord): Promise<TrainedModel> {
  const text = await readFile(path.join(version.folder, 'model.json'), 'utf8').catch((cause: unknown) => {
    throw new MillraceError('STORE_CORRUPT', `model ${version.name}@${version.version} has lost its file`, {
      cause,
      hint: `Run \`millrace train ${version.name}\` again.`,
    });
  });
  const manifest = version.manifest as unknown as ModelManifest;
  if (fingerprint(text) !== manifest.model_sha256)
    throw new MillraceError(
      'STORE_CORRUPT',
      `model ${version.name}@${version.version} is not what was registered`,
      { hint: 'Train it again, or roll back.' },
    );
  return JSON.parse(text) as TrainedModel;
}
