/** Versions of models, ready to predict. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { type CompiledModel, compileModel, type TrainedModel } from '../core/learn/model.js';
import type { ModelRuntime } from '../ports/model-runtime.js';
import type { VersionRecord } from '../ports/registry.js';
import { encodedFeatures, encodedRuntime, readEncoder } from './encoders.js';
import type { ModelManifest } from './model-manifest.js';
import type { Project } from './project.js';
import { loadOnnx, loadScorer } from './train-process.js';

/** A built-in model as every other one is asked. */
export const runtimeOf = (compiled: CompiledModel): ModelRuntime => ({
  predictRows: (rows) => rows.map((row) => compiled.predictRow(row)),
  predictTable: (table) => compiled.predictTable(table),
});

/** The model of a version, ready to predict. */
export async function loadModel(
  project: Pick<Project, 'onnx' | 'processes' | 'stateFolder' | 'signal'>,
  version: VersionRecord,
): Promise<{ manifest: ModelManifest; compiled: ModelRuntime }> {
  const manifest = version.manifest as unknown as ModelManifest;
  const { runtime, encoders } = manifest;
  const encoder =
    encoders && runtime !== undefined
      ? await readEncoder(version.folder, `${version.name}@${version.version}`, encoders)
      : undefined;
  const features = encoder ? encodedFeatures(encoder) : manifest.features;
  const asked = (inner: ModelRuntime): ModelRuntime => (encoder ? encodedRuntime(inner, encoder) : inner);
  if (runtime === 'onnx') {
    const compiled = await loadOnnx(project, version.folder, {
      name: `${version.name}@${version.version}`,
      sha256: manifest.model_sha256,
      task: manifest.task,
      classes: manifest.classes,
      features,
    });
    return { manifest, compiled: asked(compiled) };
  }
  if (runtime === 'command') {
    const compiled = await loadScorer(project, version.folder, {
      name: `${version.name}@${version.version}`,
      scoring: manifest.scoring!,
      sha256: manifest.model_sha256,
      task: manifest.task,
      classes: manifest.classes,
      features,
    });
    return { manifest, compiled: asked(compiled) };
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
