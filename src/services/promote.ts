/** The gate between a trained model and production, and the way back. */
import { MillraceError } from '../core/base/error.js';
import type { MetricRequirement, Model } from '../core/define/types.js';
import type { AliasChange, VersionRecord } from '../ports/registry.js';
import { userName } from './actor.js';
import { evaluateOn } from './evaluate-model.js';
import { definitionsOfModel } from './feature-versions.js';
import { promoteRun, recordRun } from './lineage-events.js';
import { storedFault } from './load-model.js';
import { CHAMPION, type ModelManifest, manifestOf } from './model-manifest.js';
import type { Project } from './project.js';
import { findModel } from './train.js';

/** Metrics of which less is better. */
const LOWER_IS_BETTER = new Set([
  'log_loss',
  'brier',
  'ece',
  'rmse',
  'mse',
  'mae',
  'median_absolute_error',
  'mape',
  'mean_error',
]);

export interface GateCheck {
  readonly text: string;
  readonly observed: number | null;
  /** Where nothing was observed: why. */
  readonly missing?: string;
  readonly passed: boolean;
  /** Of a comparison with the champion: its value, and the rows on which both were judged. */
  readonly champion?: number | null;
  readonly rows?: string;
}

/** The champion's value of the metric that a candidate has to beat, and on which rows it stands. */
export interface Standing {
  readonly value: number | null;
  readonly rows: string;
}

export interface PromotionResult {
  readonly model: string;
  readonly version: number;
  readonly previous: number | null;
  readonly promoted: boolean;
  /** It meets its gate; false with `promoted`: by force. */
  readonly passed: boolean;
  readonly checks: readonly GateCheck[];
  readonly reason: string;
}

/** Whether a metric meets `metric >= bound`. */
export const holds = (
  value: number,
  { operator, value: bound }: Pick<MetricRequirement, 'operator' | 'value'>,
): boolean => {
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

/** What a check saw, or why it saw nothing. */
export const observedText = ({ observed, missing }: GateCheck): string =>
  observed === null && missing !== undefined ? `nothing: ${missing}` : String(observed);

function whyMissing({ evaluation }: ModelManifest, part: string, metric: string): string {
  const judged = evaluation[part];
  return judged === undefined
    ? `its training set has no rows in part ${part}`
    : (judged.reasons[metric] ?? `${metric} was not measured`);
}

/** Pure: what the gate says of a candidate beside the champion. */
export function judgePromotion(
  model: Model,
  candidate: ModelManifest,
  champion: Standing | null,
): readonly GateCheck[] {
  const seen = (part: string, metric: string): Pick<GateCheck, 'missing'> & { observed: number | null } => {
    const observed = candidate.metrics[part]?.[metric] ?? null;
    return observed === null ? { observed, missing: whyMissing(candidate, part, metric) } : { observed };
  };
  const checks: GateCheck[] = model.promote.require.map((requirement) => {
    const found = seen(requirement.part, requirement.metric);
    const passed = found.observed !== null && holds(found.observed, requirement);
    return { text: requirement.text, ...found, passed };
  });
  const beat = model.promote.beatChampion;
  if (beat && champion) {
    const found = seen(beat.part, beat.metric);
    const ours = found.observed;
    const theirs = champion.value;
    const lower = LOWER_IS_BETTER.has(beat.metric);
    const text = `${beat.part}.${beat.metric} better than the champion's ${theirs === null ? 'none' : Number(theirs.toPrecision(6))} by ${beat.by}, ${champion.rows}`;
    // A mean error may lie on either side of nought: the nearer one is better.
    const worth = (value: number): number => (beat.metric === 'mean_error' ? Math.abs(value) : value);
    const more = ours === null || theirs === null ? null : worth(ours) - worth(theirs);
    const gain = more === null ? null : lower ? -more : more;
    checks.push({
      text,
      ...found,
      passed: gain !== null && gain > 0 && gain >= beat.by,
      champion: theirs,
      rows: champion.rows,
    });
  }
  return checks;
}

/**
 * The champion on the rows that judge the candidate. Data grows: the value that was measured when the champion was
 * trained is of other rows. Where it cannot be asked about these, its own value stands, and the check says why.
 */
async function standingOf(
  project: Project,
  beat: NonNullable<Model['promote']['beatChampion']>,
  candidate: VersionRecord,
  champion: VersionRecord,
): Promise<Standing> {
  const [ours, theirs] = [manifestOf(candidate), manifestOf(champion)];
  const { name, version, logical_sha256: sha256 } = ours.dataset;
  const recorded = theirs.metrics[beat.part]?.[beat.metric] ?? null;
  const where = `the ${beat.part} rows of ${name}@${version}`;
  if (theirs.dataset.logical_sha256 === sha256) return { value: recorded, rows: `both on ${where}` };
  const dataset = (await project.registry()).version('dataset', name, version);
  const found = dataset
    ? await evaluateOn(project, champion, dataset, beat.part)
    : { reason: `${name}@${version} is not registered` };
  if ('reason' in found)
    return {
      value: recorded,
      rows: `each on its own ${beat.part} rows, for the champion cannot be judged on ${where}: ${found.reason}`,
    };
  const anew =
    found.computed.length === 0 ? '' : `, ${found.computed.join(', ')} by the champion's definitions`;
  return { value: found.judged.evaluation.metrics[beat.metric] ?? null, rows: `both on ${where}${anew}` };
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
  const champion = current === undefined ? undefined : registry.version('model', name, current);
  // The champion need not beat itself.
  const stands = current === candidate.version;
  const beat = stands ? undefined : model.promote.beatChampion;
  const standing = beat && champion ? await standingOf(project, beat, candidate, champion) : null;
  const fault = stands ? undefined : await storedFault(candidate);
  if (fault) throw fault;
  const checks = judgePromotion(model, manifestOf(candidate), standing);
  const passed = checks.every((check) => check.passed);
  if (stands || (!passed && !options.force))
    return {
      model: name,
      version: candidate.version,
      previous: current ?? null,
      promoted: false,
      passed,
      checks,
      reason: passed
        ? 'it is the champion already'
        : checks
            .filter((check) => !check.passed)
            .map((check) => `${check.text} (observed ${observedText(check)})`)
            .join('; '),
    };
  const change = registry.setAlias({
    model: name,
    alias: CHAMPION,
    version: candidate.version,
    at: project.now(),
    actor: options.actor ?? userName(),
    reason:
      options.reason ??
      `${passed ? 'passed its gate' : 'forced past its gate'}${standing ? `: ${checks.at(-1)!.text}` : ''}`,
    // What the gate compared with.
    expected: current ?? null,
  });
  return {
    model: name,
    version: candidate.version,
    previous: change.previous,
    promoted: true,
    passed,
    checks,
    reason: change.reason,
  };
}

export interface Rollback extends AliasChange {
  /** Whose definitions its features have: those of the project, or those kept with the version. */
  readonly features: 'current' | 'kept';
}

/**
 * Back to the champion before the present one, or to a named version, with the features that it was trained on.
 * @throws MillraceError MODEL_MISSING where there is none, or its features can no longer be computed, STORE_CORRUPT where
 * its files are gone.
 */
export async function rollbackModel(
  project: Project,
  name: string,
  options: { readonly to?: number; readonly reason?: string; readonly actor?: string } = {},
): Promise<Rollback> {
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
  const version = registry.version('model', name, target);
  if (!version)
    throw new MillraceError('MODEL_MISSING', `model ${name} has no version ${target}`, {
      hint: 'See `millrace models list`.',
    });
  const fault = await storedFault(version);
  if (fault) throw fault;
  const { kept } = await definitionsOfModel(project, `${name}@${target}`, manifestOf(version));
  const change = registry.setAlias({
    model: name,
    alias: CHAMPION,
    version: target,
    at: project.now(),
    actor: options.actor ?? userName(),
    reason: options.reason ?? `rollback from version ${current}`,
    expected: current ?? null,
  });
  return { ...change, features: kept ? 'kept' : 'current' };
}
