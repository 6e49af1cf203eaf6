/** Model versions side by side: how they were made, what they are worth, and both on the same rows. */
import { printInstant } from '../core/base/time.js';
import { definitionLines } from '../core/define/lines.js';
import { type PairedDifference, pairedAuc, pairedMean, residualBins } from '../core/learn/paired.js';
import type { VersionRecord } from '../ports/registry.js';
import type {
  ComparedMetric,
  DifferingFeature,
  DifferingValue,
  ModelComparison,
  OnSameRows,
} from '../report/comparison.js';
import { manifestOfDataset } from './dataset-versions.js';
import { evaluateOn, type JudgedElsewhere } from './evaluate-model.js';
import { definitionsOfModel } from './feature-versions.js';
import { type ModelManifest, manifestOf } from './model-manifest.js';
import { knownVersions } from './model-registry.js';
import type { Project } from './project.js';

const title = (version: VersionRecord): string => `${version.name}@${version.version}`;
const text = (value: unknown): string | null =>
  value === undefined || value === null ? null : typeof value === 'string' ? value : JSON.stringify(value);

function differing(lists: readonly Readonly<Record<string, unknown>>[]): DifferingValue[] {
  const names = [...new Set(lists.flatMap((list) => Object.keys(list)))];
  return names
    .map((name) => ({ name, values: lists.map((list) => text(list[name])) }))
    .filter(({ values }) => new Set(values).size > 1);
}

const environmentOf = ({ environment, git, locks, code }: ModelManifest): Record<string, unknown> => ({
  millrace: environment.millrace,
  node: environment.node,
  platform: environment.platform,
  processor: environment.processor,
  processors: environment.processors,
  threads: environment.threads,
  python: environment.process?.python,
  ...Object.fromEntries(
    (environment.process?.packages ?? [])
      .map((each) => each.split('=='))
      .map(([name, version]) => [`package ${name}`, version]),
  ),
  'git commit': git?.commit,
  'git dirty': git ? String(git.dirty) : undefined,
  ...Object.fromEntries(
    Object.entries(locks ?? {}).map(([file, sha256]) => [`lock ${file}`, sha256.slice(0, 12)]),
  ),
  code: code?.sha256.slice(0, 12),
});

async function differingFeatures(
  project: Project,
  versions: readonly VersionRecord[],
): Promise<DifferingFeature[]> {
  const manifests = versions.map(manifestOf);
  const held = manifests.map(
    ({ features }) => new Map(features.map((each) => [each.name, each.fingerprint])),
  );
  const names = [...new Set(manifests.flatMap(({ features }) => features.map(({ name }) => name)))];
  const changed = names.filter((name) => new Set(held.map((of) => of.get(name))).size > 1);
  if (changed.length === 0) return [];
  const definitions = await Promise.all(
    versions.map((version) =>
      definitionsOfModel(project, title(version), manifestOf(version)).then(
        (found) => found.definitions,
        () => null,
      ),
    ),
  );
  return changed.map((feature) => ({
    feature,
    fingerprints: held.map((of) => of.get(feature) ?? null),
    lines: definitions.includes(null)
      ? []
      : differing(
          definitions.map((each) => Object.fromEntries(definitionLines(each!.features.get(feature) ?? {}))),
        ),
  }));
}

/** Losses of rows, of which less is better, that a paired difference is told of. */
const LOSSES: Readonly<Record<string, (truth: number, score: number) => number>> = {
  brier: (truth, score) => (score - truth) ** 2,
  log_loss: (truth, score) => {
    const p = Math.min(1 - 2 ** -52, Math.max(2 ** -52, truth === 1 ? score : 1 - score));
    return -Math.log(p);
  },
  mse: (truth, score) => (score - truth) ** 2,
  mae: (truth, score) => Math.abs(score - truth),
};
const PAIRED = { binary: ['auc', 'log_loss', 'brier'], regression: ['mse', 'mae'], multiclass: [] } as const;

function pairs(
  task: ModelManifest['task'],
  target: Float64Array,
  a: Float64Array,
  b: Float64Array,
): { readonly metric: string; readonly difference: PairedDifference }[] {
  return PAIRED[task].flatMap((metric) => {
    const difference =
      metric === 'auc'
        ? pairedAuc(target, a, b)
        : pairedMean(target.map((truth, i) => LOSSES[metric]!(truth, a[i]!) - LOSSES[metric]!(truth, b[i]!)));
    return difference ? [{ metric, difference }] : [];
  });
}

const JUDGES = ['test', 'holdout', 'validation', 'train'];

async function onSameRows(project: Project, versions: readonly VersionRecord[]): Promise<OnSameRows> {
  const registry = await project.registry();
  const manifests = versions.map(manifestOf);
  const datasets = manifests.map(({ dataset }) => registry.version('dataset', dataset.name, dataset.version));
  const newest = datasets
    .filter((each) => each !== undefined)
    .reduce<VersionRecord | undefined>(
      (best, each) => (best === undefined || each.createdAt > best.createdAt ? each : best),
      undefined,
    );
  const nothing = versions.map(() => null);
  if (!newest)
    return {
      dataset: title(versions[0]!),
      part: 'test',
      rows: null,
      evaluations: nothing,
      reasons: versions.map(() => 'no dataset version is registered'),
      computed: versions.map(() => []),
      residuals: nothing,
      differences: [],
    };
  const held = new Set<string>(
    manifestOfDataset(newest)
      .parts.filter(({ rows }) => rows > 0)
      .map(({ name }) => name),
  );
  const part = JUDGES.find((each) => held.has(each)) ?? 'test';
  const found: (JudgedElsewhere | { readonly reason: string })[] = [];
  for (const [i, version] of versions.entries())
    found.push(
      manifests[i]!.task === manifests[0]!.task
        ? await evaluateOn(project, version, newest, part)
        : { reason: `it does ${manifests[i]!.task}, ${title(versions[0]!)} does ${manifests[0]!.task}` },
    );
  const judged = found.map((each) => ('reason' in each ? null : each));
  const { task } = manifests[0]!;
  const first = judged[0];
  return {
    dataset: title(newest),
    part,
    rows: judged.find((each) => each !== null)?.target.length ?? null,
    evaluations: judged.map((each) => each?.judged.evaluation ?? null),
    reasons: found.map((each) => ('reason' in each ? each.reason : null)),
    computed: judged.map((each) => each?.computed ?? []),
    residuals: judged.map((each) =>
      each && task === 'regression' ? residualBins(each.target, each.judged.flat!) : null,
    ),
    differences: judged.slice(1).flatMap((each, i) =>
      each?.judged.flat && first?.judged.flat
        ? pairs(task, each.target, each.judged.flat, first.judged.flat).map((pair) => ({
            ...pair,
            model: title(versions[i + 1]!),
            against: title(versions[0]!),
          }))
        : [],
    ),
  };
}

/** Two or more versions, in the order given. */
export async function compareModels(
  project: Project,
  versions: readonly VersionRecord[],
): Promise<ModelComparison> {
  const manifests = versions.map(manifestOf);
  const names = versions.map(title);
  const known = await knownVersions(project);
  const about = versions.map(
    (version) =>
      known.find((each) => each.version.name === version.name && each.version.version === version.version)!,
  );
  const parts = [...new Set(manifests.flatMap(({ metrics }) => Object.keys(metrics)))];
  const metrics = parts.flatMap((part) => {
    const own = [...new Set(manifests.flatMap((each) => Object.keys(each.metrics[part] ?? {})))];
    return own.map((name): ComparedMetric => {
      const values = manifests.map((each) => each.metrics[part]?.[name] ?? null);
      const [first = null, second = null] = values;
      return {
        metric: `${part}.${name}`,
        values,
        intervals: manifests.map((each) => each.evaluation[part]?.intervals[name] ?? null),
        difference: first === null || second === null || values.length > 2 ? null : second - first,
      };
    });
  });
  const gains = manifests.map((each) => new Map(each.importance.map(({ feature, gain }) => [feature, gain])));
  const totals = gains.map((each) => [...each.values()].reduce((sum, gain) => sum + gain, 0));
  const shares = (feature: string): (number | null)[] =>
    gains.map((each, i) => (totals[i]! > 0 && each.has(feature) ? each.get(feature)! / totals[i]! : null));
  return {
    at: project.now(),
    models: manifests.map((manifest, i) => ({
      name: names[i]!,
      trained_at: printInstant(versions[i]!.createdAt),
      stage: about[i]!.stage,
      aliases: about[i]!.aliases,
      task: manifest.task,
      trainer: manifest.trainer.kind,
      seed: manifest.trainer.seed,
      imported: manifest.imported !== undefined,
      dataset: `${manifest.dataset.name}@${manifest.dataset.version}`,
      dataset_sha256: manifest.dataset.logical_sha256,
      rows: Object.fromEntries(Object.entries(manifest.evaluation).map(([part, { rows }]) => [part, rows])),
      features: manifest.features.length,
      label: manifest.label,
      model_sha256: manifest.model_sha256,
      environment: manifest.environment,
      git: manifest.git,
      timings: manifest.timings,
      evaluation: manifest.evaluation,
      fit: manifest.fit,
    })),
    parameters: differing(
      manifests.map(({ trainer, parameters }) => ({
        trainer: trainer.kind,
        seed: trainer.seed,
        ...(parameters ?? trainer.parameters),
      })),
    ),
    features: await differingFeatures(project, versions),
    environment: differing(manifests.map(environmentOf)),
    metrics,
    same_rows: await onSameRows(project, versions),
    importance: [...new Set(gains.flatMap((each) => [...each.keys()]))]
      .map((feature) => ({ feature, gains: shares(feature) }))
      .sort((x, y) => Math.max(...y.gains.map(Number)) - Math.max(...x.gains.map(Number))),
  };
}
