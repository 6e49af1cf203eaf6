/** The gate between a trained model and production, and the way back. */
import { MillraceError } from '../core/base/error.js';
import type { MetricRequirement, Model } from '../core/define/types.js';
import type { AliasChange } from '../ports/registry.js';
import { promoteRun, recordRun } from './lineage-events.js';
import { type ModelManifest, manifestOf } from './model-manifest.js';
import type { Project } from './project.js';
import { findModel } from './train.js';

export const CHAMPION = 'champion';

/** Metrics of which less is better. */
const LOWER_IS_BETTER = new Set(['log_loss', 'brier', 'ece', 'rmse', 'mae', 'median_absolute_error', 'mape']);

export interface GateCheck {
  readonly text: string;
  readonly observed: number | null;
  readonly passed: boolean;
}

export interface PromotionResult {
  readonly model: string;
  readonly version: number;
  readonly previous: number | null;
  readonly promoted: boolean;
  readonly checks: readonly GateCheck[];
  readonly reason: string;
}

/** Whether a metric meets `metric >= bound`. */
export const holds = (value: number, { operator, value: bound }: MetricRequirement): boolean => {
  switch (operator) {
    case '>=':
      return value >= bound;
    case '>':
      return value > bound;
    case '<=':
      return value <= bound;
    case '<':
      return value < bound;
    case '=':
      return value === bound;
  }
};

/** Pure: what the gate says of a candidate beside the champion. */
export function judgePromotion(
  model: Model,
  candidate: ModelManifest,
  champion: ModelManifest | null,
): readonly GateCheck[] {
  const metric = (manifest: ModelManifest, part: string, name: string): number | null =>
    manifest.metrics[part]?.[name] ?? null;
  const checks: GateCheck[] = model.promote.require.map((requirement) => {
    const observed = metric(candidate, requirement.part, requirement.metric);
    return { text: requirement.text, observed, passed: observed !== null && holds(observed, requirement) };
  });
  const beat = model.promote.beatChampion;
  if (beat && champion) {
    const ours = metric(candidate, beat.part, beat.metric);
    const theirs = metric(champion, beat.part, beat.metric);
    const lower = LOWER_IS_BETTER.has(beat.metric);
    const text = `${beat.part}.${beat.metric} better than the champion's ${theirs ?? 'none'} by ${beat.by}`;
    const gain = ours === null || theirs === null ? null : lower ? theirs - ours : ours - theirs;
    checks.push({ text, observed: ours, passed: gain !== null && gain >= beat.by });
  }
  return checks;
}

export interface PromoteOptions {
  readonly version?: number;
  readonly reason?: string;
  readonly force?: boolean;
  readonly actor?: string;
}

export async function promoteModel(
  project: Project,
  name: string,
  options: PromoteOptions = {},
): Promise<PromotionResult> {
  const model = findModel(project, name);
  return recordRun(project, promoteRun(project, name), () => judgeAndPromote(project, model, options));
}

async function judgeAndPromote(
  project: Project,
  model: Model,
  options: PromoteOptions,
): Promise<PromotionResult> {
  const { name } = model;
  const registry = await project.registry();
  const candidate = registry.version('model', name, options.version);
  if (!candidate)
    throw new MillraceError(
      'MODEL_MISSING',
      `model ${name} has no version${options.version === undefined ? '' : ` ${options.version}`}`,
      { hint: `Run \`millrace train ${name}\`.` },
    );
  const current = registry.alias(name, CHAMPION);
  if (current === candidate.version)
    return {
      model: name,
      version: current,
      previous: current,
      promoted: false,
      checks: [],
      reason: 'it is the champion already',
    };
  const champion = current === undefined ? undefined : registry.version('model', name, current);
  const checks = judgePromotion(model, manifestOf(candidate), champion ? manifestOf(champion) : null);
  const passed = checks.every((check) => check.passed);
  if (!passed && !options.force)
    return {
      model: name,
      version: candidate.version,
      previous: current ?? null,
      promoted: false,
      checks,
      reason: checks
        .filter((check) => !check.passed)
        .map((check) => `${check.text} (observed ${check.observed ?? 'nothing'})`)
        .join('; '),
    };
  const change = registry.setAlias({
    model: name,
    alias: CHAMPION,
    version: candidate.version,
    at: project.now(),
    actor: options.actor ?? userName(),
    reason: options.reason ?? (passed ? 'passed its gate' : 'forced past its gate'),
    // What the gate compared with.
    expected: current ?? null,
  });
  return {
    model: name,
    version: candidate.version,
    previous: change.previous,
    promoted: true,
    checks,
    reason: change.reason,
  };
}

/** Back to the champion before the present one, or to a named version. */
export async function rollbackModel(
  project: Project,
  name: string,
  options: { readonly to?: number; readonly reason?: string; readonly actor?: string } = {},
): Promise<AliasChange> {
  findModel(project, name);
  const registry = await project.registry();
  const current = registry.alias(name, CHAMPION);
  const history = registry.aliasHistory(name).filter((change) => change.alias === CHAMPION);
  const target =
    options.to ?? [...history].reverse().find((change) => change.version === current)?.previous ?? undefined;
  if (target === undefined || target === null)
    throw new MillraceError('MODEL_MISSING', `model ${name} has no earlier champion to go back to`, {
      hint: `See \`millrace models list\`; \`millrace promote ${name} --version N\` names one.`,
    });
  if (!registry.version('model', name, target))
    throw new MillraceError('MODEL_MISSING', `model ${name} has no version ${target}`, {
      hint: 'See `millrace models list`.',
    });
  return registry.setAlias({
    model: name,
    alias: CHAMPION,
    version: target,
    at: project.now(),
    actor: options.actor ?? userName(),
    reason: options.reason ?? `rollback from version ${current}`,
    expected: current ?? null,
  });
}

/** Who does it: MILLRACE_ACTOR, else the user of the system. */
export const userName = (): string =>
  process.env['MILLRACE_ACTOR'] ?? process.env['USER'] ?? process.env['LOGNAME'] ?? 'unknown';
