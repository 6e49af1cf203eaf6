/** Versions of models, ready to predict. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { type CompiledModel, compileModel, type TrainedModel } from '../core/learn/model.js';
import type { ModelRuntime } from '../ports/model-runtime.js';
import type { VersionRecord } from '../ports/registry.js';
import { encodedFeatures, encodedRuntime, readEncoder } from './encoders.js';
import { type ModelManifest, manifestOf } from './model-manifest.js';
import type { Project } from './project.js';
import { SCORING_FILE } from './scoring.js';
import { ONNX_FILE, openOnnx, openScorer, scorerHash } from './train-process.js';

/** What a version has on disk beside what was registered. */
export type StoredState = 'whole' | 'damaged' | 'missing';

/** Of a built-in model, in the folder of its version. */
export const MODEL_FILE = 'model.json';

/** A built-in model as every other one is asked. */
export const runtimeOf = (compiled: CompiledModel): ModelRuntime => ({
  predictRows: (rows) => rows.map((row) => compiled.predictRow(row)),
  predictTable: (table) => compiled.predictTable(table),
});

/** The hash of what scores as it lies in the folder of a version; null where it is gone. */
async function storedHash({ folder, manifest }: VersionRecord): Promise<string | null> {
  const read = (file: string): Promise<Buffer | null> => readFile(path.join(folder, file)).catch(() => null);
  const { runtime } = manifest as unknown as ModelManifest;
  if (runtime === 'command') return (await read(SCORING_FILE)) && scorerHash(folder);
  const bytes = await read(runtime === 'onnx' ? ONNX_FILE : MODEL_FILE);
  if (bytes === null) return null;
  return runtime === 'onnx'
    ? createHash('sha256').update(bytes).digest('hex')
    : fingerprint(bytes.toString('utf8'));
}

/** The files of a version beside what was registered. */
export async function storedState(version: VersionRecord): Promise<StoredState> {
  const hash = await storedHash(version);
  if (hash === null) return 'missing';
  return hash === manifestOf(version).model_sha256 ? 'whole' : 'damaged';
}

/** What is wrong with the files of a version; null where they are what was registered. */
export async function storedFault(version: VersionRecord): Promise<MillraceError | null> {
  const state = await storedState(version);
  if (state === 'whole') return null;
  const title = `${version.name}@${version.version}`;
  return new MillraceError(
    'STORE_CORRUPT',
    `model ${title} ${state === 'missing' ? 'has lost its file' : 'is not what was registered'}`,
    {
      hint: manifestOf(version).imported
        ? 'Import it again, or roll back.'
        : `\`millrace models reproduce ${title} --restore\` makes it again.`,
    },
  );
}

/** The model of a version, ready to predict. @throws MillraceError STORE_CORRUPT */
export async function loadModel(
  project: Pick<Project, 'onnx' | 'processes' | 'stateFolder' | 'signal'>,
  version: VersionRecord,
): Promise<{ manifest: ModelManifest; compiled: ModelRuntime }> {
  const manifest = version.manifest as unknown as ModelManifest;
  const { runtime, encoders, task, classes } = manifest;
  if (runtime === undefined)
    return { manifest, compiled: runtimeOf(compileModel(await readTrained(version))) };
  const fault = await storedFault(version);
  if (fault) throw fault;
  const { folder } = version;
  const name = `${version.name}@${version.version}`;
  const encoder = encoders && (await readEncoder(folder, name, encoders));
  const shape = { name, task, classes, features: encoder ? encodedFeatures(encoder) : manifest.features };
  const compiled =
    runtime === 'onnx'
      ? await openOnnx(project, path.join(folder, ONNX_FILE), shape)
      : await openScorer(project, folder, { ...shape, scoring: manifest.scoring! });
  return { manifest, compiled: encoder ? encodedRuntime(compiled, encoder) : compiled };
}

/** The record of a built-in model. @throws MillraceError STORE_CORRUPT */
export async function readTrained(version: VersionRecord): Promise<TrainedModel> {
  const fault = await storedFault(version);
  if (fault) throw fault;
  return JSON.parse(await readFile(path.join(version.folder, MODEL_FILE), 'utf8')) as TrainedModel;
}
