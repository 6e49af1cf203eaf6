/** A plan performed as `run` does it: its steps, and for a whole project the proof of its values and its report. */
import type { Plan } from '../core/plan/plan.js';
import { applyPlan, type RunResult } from './apply-plan.js';
import type { Project } from './project.js';
import { writeReport } from './report.js';
import { OPEN_RUN, reportFile } from './runs/open-run.js';
import { type VerifyResult, verify } from './verify.js';

export interface AssetsRequest {
  readonly command: string;
  /** The assets asked for. */
  readonly names: readonly string[];
  /** Everything: its values are proved and its report is written. */
  readonly whole: boolean;
  readonly key?: string | undefined;
}

export interface AssetsRun {
  readonly result: RunResult;
  readonly proof: VerifyResult | null;
  /** Where the report is. */
  readonly report: string | null;
}

export async function performPlan(
  project: Project,
  planned: Plan,
  { command, names, whole, key }: AssetsRequest,
): Promise<AssetsRun> {
  const registry = await project.registry();
  if (whole) registry.setFact(OPEN_RUN, true);
  const held: { proof: VerifyResult | null } = { proof: null };
  const result = await applyPlan(project, planned, {
    command,
    scope: names,
    key,
    after: async () => {
      if (!whole || project.definitions.datasets.size === 0) return {};
      const proof = await verify(project, { sample: 2000, seed: 1 }).catch(withoutObservations);
      held.proof = proof;
      return { verify: proof && { checked: proof.checked, differing: proof.differing } };
    },
  });
  const { proof } = held;
  if (!whole) return { result, proof, report: null };
  const report = reportFile(project);
  project.progress({ step: 'report', message: report });
  await writeReport(project, report);
  registry.setFact(OPEN_RUN, proof !== null && proof.differing > 0);
  return { result, proof, report };
}

function withoutObservations(error: unknown): null {
  if (error instanceof Error && 'code' in error && error.code === 'USAGE') return null;
  throw error;
}
