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
import { definitionsOfModel } from './feature-versions.js';
import { loadModel } from './load-model.js';
import { type LabelledPart, labelledRows } from './model-data.js';
import { type ModelManifest, manifestOf } from './model-manifest.js';
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

/** What hinders a model from being asked about the rows of a dataset version; null: nothing. */
function whyNotOn(model: ModelManifest, version: VersionRecord, data: DatasetManifest): string | null {
  const name = `${version.name}@${version.version}`;
  if (!existsSync(version.folder)) return `the rows of ${name} are gone`;
  if (data.label === null) return `${name} has no label`;
  return data.label.name === model.label
    ? null
    : `the label of ${name} is ${data.label.name}, not ${model.label}`;
}

/** Features of the model that the rows of the version do not have, or have by another definition. */
function lacking(model: ModelManifest, data: DatasetManifest): readonly string[] {
  const held = new Map(data.features.map((feature) => [feature.name, feature.fingerprint]));
  return model.features
    .filter((feature) => held.get(feature.name) !== feature.fingerprint)
    .map(({ name }) => name);
}

export interface JudgedElsewhere {
  readonly target: Float64Array;
  readonly judged: JudgedPart;
  /** Features that were computed anew by the model's own definitions, since the rows hold others. */
  readonly computed: readonly string[];
}

/**
 * A model on one part of any dataset version: the rows are the version's, the features are the model's.
 * @returns why not, where that cannot be.
 */
export async function evaluateOn(
  project: Project,
  version: VersionRecord,
  dataset: VersionRecord,
  part: string,
): Promise<JudgedElsewhere | { readonly reason: string }> {
  const manifest = manifestOf(version);
  const data = manifestOfDataset(dataset);
  const title = `${version.name}@${version.version}`;
  const reason = whyNotOn(manifest, dataset, data);
  if (reason !== null) return { reason };
  if (!existsSync(version.folder)) return { reason: `the files of ${title} are gone` };
  let compiled: ModelRuntime | undefined;
  try {
    const computed = lacking(manifest, data);
    const definitions =
      computed.length > 0 ? (await definitionsOfModel(project, title, manifest)).definitions : undefined;
    ({ compiled } = await loadModel(project, version));
    const rows = await labelledRows(project, dataset, {
      task: manifest.task,
      features: manifest.features.map(({ name, type }) => ({ name, type: parseType(type)! })),
      label: { name: data.label!.name, type: parseType(data.label!.type)! },
      classes: manifest.classes,
      definitions,
    });
    const labelled = rows.part(part);
    if (!labelled) return { reason: `${dataset.name}@${dataset.version} has no ${part} part` };
    const judged = await evaluatePart(manifest.task, compiled, labelled, manifest.classes);
    return { target: labelled.target, judged, computed };
  } catch (error) {
    // Definitions that are not kept, classes that the model has never seen, a runtime that is not installed.
    if (error instanceof MillraceError && REASONS.includes(error.code)) return { reason: error.message };
    throw error;
  } finally {
    compiled?.close?.();
  }
}

const REASONS: readonly string[] = ['TRAIN_FAILED', 'MODEL_MISSING', 'SCORING_FAILED', 'STORE_CORRUPT'];
