import { printInstant, printOptionalInstant } from '../../../core/base/time.js';
import type { StepRecord } from '../../../ports/run-store.js';
import { runOf } from '../../find.js';
import { inAnyProject } from '../../in-project.js';
import { elapsed, runJson, statusOf } from '../../print/runs.js';
import { table } from '../../print/table.js';

/** Tries that were begun; one that was interrupted is taken up again and counts once. */
const triesOf = ({ startedAt, failures, status }: StepRecord): number =>
  startedAt === null ? 0 : failures + (status === 'failed' ? 0 : 1);

const stepJson = ({ startedAt, endedAt, timeoutSeconds, ...step }: StepRecord): Record<string, unknown> => ({
  ...step,
  timeout_seconds: timeoutSeconds,
  started_at: printOptionalInstant(startedAt),
  ended_at: printOptionalInstant(endedAt),
});

export const command = inAnyProject(async (project, io, args) => {
  const run = await runOf(project, args[0]);
  io.print(
    `run ${run.id}: ${statusOf(run)}, ${printInstant(run.startedAt)}, ${elapsed(run)}, ${run.command}`,
  );
  if (run.resumed > 0) io.print(`taken up again ${run.resumed} ${run.resumed === 1 ? 'time' : 'times'}`);
  const { error } = run.summary;
  if (typeof error === 'string') io.print(`error: ${error}`);
  io.print(
    table(
      ['step', 'action', 'status', 'tries', 'seconds', 'what'],
      run.steps.map((step) => [
        step.step,
        step.action,
        step.status,
        `${triesOf(step)}`,
        step.seconds === null ? '-' : step.seconds.toFixed(2),
        step.detail === '' ? step.reason : step.detail,
      ]),
    ),
  );
  io.result({ ...runJson(run), steps: run.steps.map(stepJson) });
  return 0;
});
