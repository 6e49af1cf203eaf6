import type { Plan } from '../core/plan/plan.js';
import type { RunResult } from '../services/apply-plan.js';
import { gateRefused } from '../services/gate.js';
import type { Project } from '../services/project.js';
import type { AssetsRequest } from '../services/run-assets.js';
import type { VerifyResult } from '../services/verify.js';
import { parityError, promotionError } from './gates.js';
import type { Io } from './io.js';
import { printSummary, totals } from './print/run.js';

/** Performs a plan as one recorded run; a whole run also proves offline = online and writes the report. */
export async function perform(
  project: Project,
  io: Io,
  planned: Plan,
  request: AssetsRequest,
): Promise<number> {
  const { performPlan } = await import('../services/run-assets.js');
  const { result, proof, report } = await performPlan(project, planned, request);
  printSummary(io, project, result, proof, report);
  const summary = summaryOf(project, result, proof, report);
  if (proof !== null && proof.differing > 0) return io.refuse(parityError(proof), summary);
  const refused = result.promotions.find(gateRefused);
  if (refused) return io.refuse(promotionError(refused), summary);
  io.result(summary);
  return 0;
}

function summaryOf(
  project: Project,
  result: RunResult,
  proof: VerifyResult | null,
  report: string | null,
): Record<string, unknown> {
  return {
    run: result.run,
    steps: result.steps,
    records: totals(project, result),
    sources: result.ingested,
    datasets: result.datasets.map(({ version, manifest, built }) => ({
      dataset: version.name,
      version: version.version,
      built,
      rows: manifest.counts.rows,
      folder: version.folder,
    })),
    models: result.models.map(({ version, manifest, built }) => ({
      model: version.name,
      version: version.version,
      built,
      metrics: manifest.metrics,
      folder: version.folder,
    })),
    promotions: result.promotions,
    monitors: result.monitors.map(({ monitor, verdict, alerts, rows }) => ({
      monitor,
      verdict,
      alerts,
      rows,
    })),
    verify: proof && { checked: proof.checked, differing: proof.differing },
    report,
    state: project.stateFolder,
  };
}
