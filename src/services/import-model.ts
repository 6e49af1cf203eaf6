/** A model that was made elsewhere becomes a version: judged on the dataset of its definition, gated, served like others. */
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { nearest } from '../core/base/nearest.js';
import type { Model } from '../core/define/types.js';
import { parseType } from '../core/schema/types.js';
import type { ModelRuntime, ProcessEnvironment, ScoringCommand } from '../ports/model-runtime.js';
import { buildDataset } from './build-dataset.js';
import { labelledRows } from './model-data.js';
import type { ImportedFrom, ModelManifest } from './model-manifest.js';
import type { Project } from './project.js';
import { userName } from './promote.js';
import { registerModel, type TrainedVersion } from './register-model.js';
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

/** Scores an MLflow model by the protocol of scoring commands. A classifier of scikit-learn is asked for probabilities. */
const SCORE = `"""Scores an MLflow model for millrace, one JSON value a line."""
import json
import sys

answers = sys.stdout
sys.stdout = sys.stderr

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import Model

about = json.loads(sys.stdin.readline())
names = [each["name"] for each in about["features"]]
meta = Model.load("model")
types = {each.name: each.type.name for each in (meta.signature.inputs if meta.signature else []) if each.name}
inner = None
if "sklearn" in meta.flavors and about["task"] != "regression":
    import mlflow.sklearn
    inner = mlflow.sklearn.load_model("model")
    inner = inner if hasattr(inner, "predict_proba") else None
model = None if inner is not None else mlflow.pyfunc.load_model("model")
WHOLE = {"integer": "int32", "long": "int64"}


def frame(rows):
    columns = {}
    for i, name in enumerate(names):
        values = [row[i] for row in rows]
        kind = types.get(name, "string" if any(isinstance(value, str) for value in values) else "double")
        if kind == "string":
            columns[name] = pd.Series(values, dtype=object)
        elif kind == "boolean":
            columns[name] = pd.Series([bool(value) for value in values], dtype=bool)
        elif kind in WHOLE:
            columns[name] = pd.Series(values, dtype=WHOLE[kind])
        else:
            numbers = [np.nan if value is None else value for value in values]
            columns[name] = pd.Series(numbers, dtype="float32" if kind == "float" else "float64")
    return pd.DataFrame(columns)


def scores(rows):
    data = frame(rows)
    if inner is not None:
        given = np.asarray(inner.predict_proba(data), dtype=np.float64)
        held = [str(each) for each in inner.classes_]
        if about["task"] == "multiclass":
            given = given[:, [held.index(name) for name in about["classes"]]]
    else:
        given = np.asarray(model.predict(data), dtype=np.float64)
        given = given.reshape(len(rows), -1)
    if about["task"] == "multiclass":
        return given.tolist()
    return given[:, -1].tolist()


print(json.dumps({"ready": True}), file=answers, flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = {"id": asked["id"], "scores": scores(asked["rows"])}
    except Exception as error:
        answer = {"id": asked["id"], "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=answers, flush=True)
`;

interface Read {
  readonly format: ImportedFrom['format'];
  readonly flavor: 'onnx' | 'pyfunc';
  /** The file, or the folder of a model that Python scores. */
  readonly from: string;
  readonly inputs: readonly string[] | null;
  readonly classes: readonly string[] | null;
  readonly mlflow_version?: string;
  readonly run_id?: string;
}

const refused = (message: string, hint?: string): MillraceError =>
  new MillraceError('USAGE', message, hint === undefined ? {} : { hint });

const isText = (value: unknown): value is string => typeof value === 'string';

/** Names of the columns of a signature of MLflow; null where it is of tensors without names. */
function columnsOf(signature: unknown): readonly string[] | null {
  const inputs = (signature as { inputs?: unknown } | null)?.inputs;
  const list: unknown = isText(inputs) ? JSON.parse(inputs) : inputs;
  if (!Array.isArray(list)) return null;
  const names = list.map((each: { name?: unknown }) => each.name);
  return names.length > 0 && names.every(isText) ? (names as string[]) : null;
}

async function readMlflow(folder: string, wanted: ImportOptions['flavor']): Promise<Read> {
  const told = parse(await readFile(path.join(folder, 'MLmodel'), 'utf8')) as {
    readonly flavors?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    readonly signature?: unknown;
    readonly mlflow_version?: string;
    readonly run_id?: string;
  };
  const flavors = told.flavors ?? {};
  const flavor = wanted ?? (flavors['onnx'] ? 'onnx' : 'pyfunc');
  if (!flavors[flavor === 'onnx' ? 'onnx' : 'python_function'])
    throw refused(
      `the MLflow model has no flavour ${flavor === 'onnx' ? 'onnx' : 'python_function'}`,
      `It has ${Object.keys(flavors).join(', ') || 'none'}.`,
    );
  const inputs = columnsOf(told.signature);
  if (told.signature === undefined || told.signature === null)
    throw refused(
      'the MLflow model has no signature, so nobody knows what it takes',
      'Log it with `signature=infer_signature(...)`, or give --signature.',
    );
  const classes = flavors['millrace']?.['classes'];
  return {
    format: 'mlflow',
    flavor,
    from: flavor === 'onnx' ? path.join(folder, String(flavors['onnx']!['data'] ?? ONNX_FILE)) : folder,
    inputs,
    classes: Array.isArray(classes) ? classes.map(String) : null,
    ...(isText(told.mlflow_version) ? { mlflow_version: told.mlflow_version } : {}),
    ...(isText(told.run_id) ? { run_id: told.run_id } : {}),
  };
}

async function readSource(source: string, options: ImportOptions): Promise<Read> {
  const found = await stat(source).catch(() => null);
  if (!found) throw new MillraceError('FILE_NOT_FOUND', `there is nothing at "${source}"`);
  const read: Read = found.isDirectory()
    ? await readMlflow(source, options.flavor).catch((cause: unknown) => {
        if (cause instanceof MillraceError) throw cause;
        throw refused(`"${source}" holds no MLmodel that can be read: ${(cause as Error).message}`);
      })
    : { format: 'onnx', flavor: 'onnx', from: source, inputs: null, classes: null };
  if (options.signature === undefined) return read;
  const text = await readFile(options.signature, 'utf8').catch((cause: unknown) => {
    throw new MillraceError('FILE_NOT_FOUND', `there is no signature at "${options.signature}"`, { cause });
  });
  const given = JSON.parse(text) as { readonly inputs?: unknown; readonly classes?: unknown };
  const inputs = Array.isArray(given.inputs)
    ? given.inputs.map((each: unknown) => (isText(each) ? each : (each as { name?: unknown })?.name))
    : null;
  if (inputs !== null && !inputs.every(isText))
    throw refused('`inputs` of the signature must be a list of names of features');
  return {
    ...read,
    inputs: (inputs as string[] | null) ?? read.inputs,
    classes: Array.isArray(given.classes) ? given.classes.map(String) : read.classes,
  };
}

/** The features that it takes, in its order. */
function featuresOf(
  inputs: readonly string[] | null,
  held: ModelManifest['features'],
  dataset: string,
): ModelManifest['features'] {
  if (inputs === null) return held;
  return inputs.map((name) => {
    const feature = held.find((each) => each.name === name);
    if (feature) return feature;
    const near = nearest(
      name,
      held.map((each) => each.name),
    );
    throw refused(
      `the model takes "${name}", which is no feature of dataset ${dataset}`,
      near
        ? `Did you mean "${near}"? Rename it in the signature.`
        : `It has ${held.map((each) => each.name).join(', ')}.`,
    );
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
  read: Read,
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
      runtime: await openOnnx(project, path.join(folder, ONNX_FILE), shape),
      sha256: createHash('sha256').update(bytes).digest('hex'),
      told: { runtime: 'onnx' },
    };
  }
  await cp(read.from, path.join(folder, 'model'), { recursive: true });
  await writeFile(path.join(folder, 'score.py'), SCORE);
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
  const read = await readSource(path.resolve(source), options);
  const { version: dataset, manifest: data } = await buildDataset(project, model.dataset);
  watch.lap('dataset');
  if (data.label === null)
    throw new MillraceError('TRAIN_FAILED', `dataset ${model.dataset} has no label to judge the model by`, {
      hint: 'Give the dataset a `label`.',
    });
  const features = featuresOf(
    read.inputs,
    data.features.filter(({ name }) => !model.exclude.includes(name)),
    model.dataset,
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
    const present = (await project.registry()).byKey('model', model.name, key);
    if (present)
      return {
        version: present,
        manifest: present.manifest as unknown as ModelManifest,
        built: false,
        reproduced: null,
      };
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
    return await registerModel(project, model, {
      key,
      trainer: { kind: 'imported', parameters: {}, seed: 0 },
      dataset,
      features,
      rows,
      watch,
      fitted: {
        runtime,
        importance: [],
        told: { ...staged.told, imported },
        model_sha256: staged.sha256,
        ...(staged.process ? { process: staged.process } : {}),
        keep: (folder) => cp(work, folder, { recursive: true }),
        discard: async () => {},
      },
    });
  } finally {
    runtime?.close?.();
    await rm(work, { recursive: true, force: true });
  }
}
