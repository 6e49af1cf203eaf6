import { readFile } from 'node:fs/promises';
import { MillraceError } from '../core/base/error.js';
import type { Plan } from '../core/plan/plan.js';
import { planProject } from '../services/plan-project.js';
import type { Project } from '../services/project.js';

export const PLAN_FORMAT = 'millrace/plan@1';

export interface SavedPlan {
  readonly format: typeof PLAN_FORMAT;
  readonly names: readonly string[];
  readonly plan: Plan;
}

async function readPlan(file: string): Promise<SavedPlan> {
  let saved: Partial<SavedPlan>;
  try {
    saved = JSON.parse(await readFile(file, 'utf8')) as Partial<SavedPlan>;
  } catch (cause) {
    throw new MillraceError('USAGE', `${file} cannot be read as a plan: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (saved.format !== PLAN_FORMAT || !saved.plan || !saved.names)
    throw new MillraceError('USAGE', `${file} is no saved plan`, {
      hint: 'Make one: `millrace plan --out FILE`.',
    });
  return saved as SavedPlan;
}

/** The plan for what stands in a saved one, made again: it is done only when nothing has moved since. */
export async function planAgain(
  project: Project,
  file: string,
): Promise<{ names: readonly string[]; planned: Plan }> {
  const { names, plan: before } = await readPlan(file);
  const planned = await planProject(project, names);
  if (planned.world === before.world) return { names, planned };
  const reasons = new Map(before.steps.map((step) => [step.asset, step.reason]));
  const moved = planned.steps
    .filter((step) => reasons.get(step.asset) !== step.reason)
    .map((step) => step.asset);
  const gone = before.steps
    .filter((step) => !planned.steps.some(({ asset }) => asset === step.asset))
    .map((step) => step.asset);
  throw new MillraceError(
    'PLAN_MOVED',
    `the world has moved since ${file} was made${[...moved, ...gone].length > 0 ? `: ${[...moved, ...gone].join(', ')}` : ''}`,
    { data: { moved, gone } },
  );
}
