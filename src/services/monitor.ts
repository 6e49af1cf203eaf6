/** Training profile against what was served: drift of features and scores, performance once outcomes are known. */
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { printInstant } from '../core/base/time.js';
import type { Model, Monitor } from '../core/define/types.js';
import { compareProfiles } from '../core/drift/compare.js';
import type { Comparison } from '../core/drift/comparison.js';
import type { ColumnSample } from '../core/drift/grouped.js';
import type { ColumnProfile } from '../core/drift/profile.js';
import {
  type Evaluation,
  evaluateBinary,
  evaluateMulticlass,
  evaluateRegression,
} from '../core/learn/metrics.js';
import { parseType, type Value, type ValueType } from '../core/schema/types.js';
import type { LoggedPrediction } from '../ports/prediction-log.js';
import { valueSample } from './column-sample.js';
import { monitorRun, recordRun } from './lineage-events.js';
import { CHAMPION, manifestOf } from './model-manifest.js';
import type { Project } from './project.js';
import { holds } from './promote.js';

export type Verdict = 'ok' | 'drifted' | 'insufficient_data';

export interface PerformanceResult {
  readonly outcomes: number;
  /** Share of the window's predictions whose outcome is known. */
  readonly coverage: number;
  readonly evaluation: Evaluation | null;
  readonly requirements: readonly {
    readonly text: string;
    readonly observed: number | null;
    readonly passed: boolean | null;
  }[];
  readonly verdict: 'ok' | 'degraded' | 'insufficient_data';
}

export interface MonitorResult {
  readonly monitor: string;
  readonly service: string;
  readonly model: string;
  /** `[from, to)` by observation instant. */
  readonly from: string;
  readonly to: string;
  readonly rows: number;
  readonly features: Comparison;
  readonly score: Comparison;
  readonly performance: PerformanceResult;
  readonly verdict: Verdict;
  readonly alerts: readonly string[];
}

function findMonitor(project: Project, name: string): Monitor {
  const monitor = project.definitions.monitors.get(name);
  if (monitor) return monitor;
  const near = nearest(name, project.definitions.monitors.keys());
  throw new MillraceError('UNKNOWN_NAME', `there is no monitor named "${name}"`, {
    hint: near ? `Did you mean "${near}"?` : 'Define it under `monitors:`.',
  });
}

/** JSON of the log back to the values a profile is made of: instants and dates as numbers. */
export function logged(type: ValueType, json: unknown): Value {
  if (json === null || json === undefined) return null;
  if (type.kind === 'timestamp') return Date.parse(json as string) * 1000;
  if (type.kind === 'date') return Date.parse(json as string) / 86_400_000;
  if (type.kind === 'decimal') return Math.round(Number(json) * 10 ** type.scale);
  return json as Value;
}

function performanceOf(
  model: Model,
  monitor: Monitor,
  predictions: readonly LoggedPrediction[],
  outcomes: ReadonlyMap<string, { readonly label: number | string | boolean | null }>,
  classes: readonly string[] | null,
): PerformanceResult {
  const target: number[] = [];
  const scores: number[] = [];
  const byClass: number[][] = (classes ?? []).map(() => []);
  for (const prediction of predictions) {
    const outcome = outcomes.get(prediction.prediction_id);
    if (outcome === undefined || outcome.label === null) continue;
    if (model.task === 'multiclass') {
      const code = classes!.indexOf(String(outcome.label));
      const probabilities = (prediction.prediction as { probabilities?: Record<string, number> })
        .probabilities;
      if (code < 0 || !probabilities) continue;
      target.push(code);
      for (const [i, name] of classes!.entries()) byClass[i]!.push(probabilities[name] ?? 0);
    } else {
      if (prediction.score === null) continue;
      target.push(Number(outcome.label));
      scores.push(prediction.score);
    }
  }
  const n = target.length;
  const coverage = predictions.length === 0 ? 0 : n / predictions.length;
  const known = Float64Array.from(target);
  const evaluation =
    n === 0
      ? null
      : model.task === 'multiclass'
        ? evaluateMulticlass(
            known,
            byClass.map((column) => Float64Array.from(column)),
          )
        : model.task === 'binary'
          ? evaluateBinary(known, Float64Array.from(scores))
          : evaluateRegression(known, Float64Array.from(scores));
  const requirements = monitor.performance.map((requirement) => {
    const observed = evaluation?.metrics[requirement.metric] ?? null;
    return {
      text: requirement.text,
      observed,
      passed: observed === null || n < monitor.minimumRows ? null : holds(observed, requirement),
    };
  });
  const verdict =
    n < monitor.minimumRows
      ? 'insufficient_data'
      : requirements.some((item) => item.passed === false)
        ? 'degraded'
        : 'ok';
  return { outcomes: n, coverage, evaluation, requirements, verdict };
}

export async function runMonitor(
  project: Project,
  name: string,
  options: { readonly at?: number } = {},
): Promise<MonitorResult> {
  const monitor = findMonitor(project, name);
  return recordRun(project, monitorRun(project, name), () => watch(project, monitor, options));
}

async function watch(
  project: Project,
  monitor: Monitor,
  options: { readonly at?: number },
): Promise<MonitorResult> {
  const { name } = monitor;
  const service = project.definitions.services.get(monitor.service)!;
  const model = project.definitions.models.get(service.model)!;
  const registry = await project.registry();
  const championVersion = registry.alias(model.name, CHAMPION);
  const champion =
    championVersion === undefined ? undefined : registry.version('model', model.name, championVersion);
  if (!champion)
    throw new MillraceError(
      'MODEL_MISSING',
      `monitor ${name} has nothing to compare with: model ${model.name} has no champion`,
      {
        hint: `Run \`millrace train ${model.name}\` and \`millrace promote ${model.name}\`.`,
      },
    );
  const manifest = manifestOf(champion);
  const log = project.predictions();

  // The window ends at the newest observation served, unless told otherwise: data has its own clock.
  let newest = Number.NEGATIVE_INFINITY;
  if (options.at === undefined)
    for await (const prediction of log.predictions(service.name)) newest = Math.max(newest, prediction.as_of);
  const to = options.at ?? (Number.isFinite(newest) ? newest + 1 : project.now());
  const from = to - monitor.window;
  const label = `${model.name}@${champion.version}`;
  const predictions: LoggedPrediction[] = [];
  for await (const prediction of log.predictions(service.name, { since: from, until: to }))
    if (prediction.model === label) predictions.push(prediction);

  const reference: Record<string, ColumnProfile> = {};
  const current: Record<string, ColumnSample> = {};
  for (const feature of manifest.features) {
    const type = parseType(feature.type)!;
    reference[feature.name] = manifest.profile[feature.name]!;
    current[feature.name] = valueSample(
      type,
      predictions.map((prediction) => logged(type, prediction.features[feature.name])),
    );
  }
  const policy = {
    minimum_rows: monitor.minimumRows,
    ...(monitor.features.threshold === undefined ? {} : { minimum_effect: monitor.features.threshold }),
  };
  const features = compareProfiles(reference, current, policy);
  const scores = Float64Array.from(
    predictions.filter((item) => item.score !== null),
    (item) => item.score!,
  );
  const scoreReference = manifest.score_profile['validation'] ?? manifest.score_profile['train'];
  const score = compareProfiles(
    scoreReference ? { score: scoreReference } : {},
    scoreReference
      ? { score: { type: 'numeric', values: scores, nulls: predictions.length - scores.length } }
      : {},
    policy,
  );
  const performance = performanceOf(
    model,
    monitor,
    predictions,
    await log.outcomes(service.name),
    manifest.classes,
  );
  const alerts = [
    ...features.drifted.map((feature) => `feature ${feature} has drifted`),
    ...(score.drifted.length > 0 ? ['the score has drifted'] : []),
    ...performance.requirements
      .filter((item) => item.passed === false)
      .map((item) => `performance: ${item.text} does not hold (observed ${item.observed?.toFixed(4)})`),
  ];
  const verdict: Verdict =
    predictions.length < monitor.minimumRows ? 'insufficient_data' : alerts.length > 0 ? 'drifted' : 'ok';
  const result: MonitorResult = {
    monitor: name,
    service: service.name,
    model: label,
    from: printInstant(from),
    to: printInstant(to),
    rows: predictions.length,
    features,
    score,
    performance,
    verdict,
    alerts,
  };
  registry.setFact(`monitor:${name}`, { ...result, at: project.now() });
  return result;
}
