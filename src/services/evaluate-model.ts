/** A model judged on rows: of its own dataset version, or of another one that holds what it needs. */
import { existsSync } from 'node:fs';
import { MillraceError } from '../core/base/error.js';
import type { DatasetManifest } from '../core/dataset/manifest.js';
import type { Task } from '../core/define/types.js';
import {
  type Evaluation,
  evaluateBinary,
  evaluateMulticlass,
  evaluateRegression,
} from '../core/learn/metrics.js';
import { parseType } from '../core/schema/types.js';
import type { ModelRuntime } from '../ports/model-runtime.js';
import type { VersionRecord } from '../ports/registry.js';
import { manifestOfDataset } from './dataset-versions.js';
import { loadModel } from './load-model.js';
import { type LabelledPart, labelledRows } from './model-data.js';
import type { ModelManifest } from './model-manifest.js';
import type { Project } from './project.js';

export interface JudgedPart {
  readonly evaluation: Evaluation;
  /** Probabilities of class 1, or predicted numbers; null for more classes. */
  readonly flat: Float64Array | null;
}

export async function evaluatePart(
  task: Task,
  runtime: ModelRuntime,
  { table, target }: LabelledPart,
  classes: readonly string[] | null,
): Promise<JudgedPart> {
  const scores = await runtime.predictTable(table);
  if (task === 'multiclass') {
    const evaluation = evaluateMulticlass(target, scores as Float64Array[], classes ? { classes } : {});
    return { evaluation, flat: null };
  }
  const flat = scores as Float64Array;
  return {
    evaluation: task === 'binary' ? evaluateBinary(target, flat) : evaluateRegression(target, flat),
    flat,
  };
}

/** Why a model cannot be asked about the rows of a dataset version; null when it can. */
export function whyNotOn(
  model: Pick<ModelManifest, 'label' | 'features'>,
  version: VersionRecord,
  data: DatasetManifest = manifestOfDataset(version),
): string | null {
  const name = `${version.name}@${version.version}`;
  if (!existsSync(version.folder)) return `the rows of ${name} are gone`;
  if (data.label?.name !== model.label)
    return `the label of ${name} is ${data.label?.name ?? 'none'}, not ${model.label}`;
  const held = new Map(data.features.map((feature) => [feature.name, feature.fingerprint]));
  const lacks = model.features.filter((feature) => !held.has(feature.name)).map(({ name: each }) => each);
  if (lacks.length > 0) return `${name} lacks ${lacks.join(', ')}`;
  const other = model.features
    .filter((feature) => held.get(feature.name) !== feature.fingerprint)
    .map(({ name: each }) => each);
  return other.length > 0
    ? `${other.join(', ')} ${other.length === 1 ? 'has' : 'have'} another definition in ${name}`
    : null;
}

export interface JudgedElsewhere {
  readonly part: string;
  readonly target: Float64Array;
  readonly judged: JudgedPart;
}

/**
 * A model on one part of any dataset version.
 * @returns why not, where the version lacks what the model needs.
 */
export async function evaluateOn(
  project: Project,
  version: VersionRecord,
  dataset: VersionRecord,
  part: string,
): Promise<{ readonly found: JudgedElsewhere } | { readonly reason: string }> {
  const manifest = version.manifest as unknown as ModelManifest;
  const data = manifestOfDataset(dataset);
  const reason = whyNotOn(manifest, dataset, data);
  if (reason !== null) return { reason };
  if (!existsSync(version.folder))
    return { reason: `the files of ${version.name}@${version.version} are gone` };
  const { compiled } = await loadModel(project, version);
  try {
    const rows = await labelledRows(project, dataset, {
      task: manifest.task,
      features: manifest.features.map(({ name, type }) => ({ name, type: parseType(type)! })),
      label: { name: data.label!.name, type: parseType(data.label!.type)! },
      classes: manifest.classes,
    });
    const labelled = rows.part(part);
    if (!labelled) return { reason: `${dataset.name}@${dataset.version} has no ${part} part` };
    const judged = await evaluatePart(manifest.task, compiled, labelled, manifest.classes);
    return { found: { part, target: labelled.target, judged } };
  } catch (error) {
    // A class that the model has never seen: it cannot be judged on these rows.
    if (error instanceof MillraceError && error.code === 'TRAIN_FAILED') return { reason: error.message };
    throw error;
  } finally {
    compiled.close?.();
  }
}
