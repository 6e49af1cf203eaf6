import { printInstant } from '../../../core/base/time.js';
import type { RunDetail } from '../../../ports/run-store.js';
import { inAnyProject } from '../../in-project.js';
import { integer } from '../../parse.js';
import { elapsed, runJson, statusOf } from '../../print/runs.js';
import { table } from '../../print/table.js';

export const command = inAnyProject(async (project, io, _args, options) => {
  const runs = (await project.runs()).list(integer(options['limit'], '--limit') ?? 20, project.now());
  const count = (run: RunDetail, ...statuses: string[]): number =>
    run.steps.filter(({ status }) => statuses.includes(status)).length;
  io.print(
    table(
      ['run', 'status', 'started', 'took', 'steps', 'done', 'failed', 'command'],
      runs.map((run) => [
        `${run.id}`,
        statusOf(run),
        printInstant(run.startedAt),
        elapsed(run),
        `${run.steps.length}`,
        `${count(run, 'done', 'unchanged', 'refused')}`,
        `${count(run, 'failed', 'skipped')}`,
        run.command,
      ]),
    ),
  );
  io.result({ runs: runs.map((run) => ({ ...runJson(run), steps: run.steps.length })) });
  return 0;
});
