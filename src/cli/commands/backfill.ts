import { MillraceError } from '../../core/base/error.js';
import { printInstant, printOptionalInstant } from '../../core/base/time.js';
import { planBackfill } from '../../services/backfill.js';
import { inProject } from '../in-project.js';
import { instant } from '../parse.js';
import { count, table } from '../print/table.js';

export const command = inProject(async (project, io, args, options) => {
  const [from, to] = [instant(options['from'], '--from'), instant(options['to'], '--to')];
  if (from === undefined || to === undefined)
    throw new MillraceError('USAGE', 'a backfill needs --from and --to');
  if (options['dryRun'] !== true) await project.lockForWriting(io.command);
  const planned = await planBackfill(project, args[0]!, { from, to });
  const { plan, partitions } = planned;
  if (partitions !== null)
    io.print(
      table(
        ['from', 'to', 'state', 'rows'],
        partitions.map((partition) => [
          partition.from === null ? '-' : printInstant(partition.from),
          partition.to === null ? '-' : printInstant(partition.to),
          partition.state === 'missing'
            ? 'will be computed'
            : partition.published
              ? 'up to date'
              : 'computed',
          partition.rows === null ? '-' : count(partition.rows),
        ]),
      ),
    );
  for (const step of plan.steps) io.print(`${step.action} ${step.asset}: ${step.reason}`);
  const told = {
    asset: planned.asset,
    from: printInstant(from),
    to: printInstant(to),
    partitions:
      partitions?.map((partition) => ({
        ...partition,
        from: printOptionalInstant(partition.from),
        to: printOptionalInstant(partition.to),
      })) ?? null,
  };
  if (plan.steps.length === 0) {
    io.print(`nothing to do: ${planned.asset} is up to date in the range`);
    io.result({ ...told, steps: [] });
    return 99;
  }
  if (options['dryRun'] === true) {
    io.result({ ...told, steps: plan.steps });
    return 0;
  }
  const { applyPlan } = await import('../../services/apply-plan.js');
  const result = await applyPlan(project, plan, { command: io.command, scope: [planned.asset] });
  for (const { asset, outcome, detail } of result.steps) io.print(`${asset}: ${outcome}, ${detail}`);
  io.print('what depends on it: `millrace plan`');
  io.result({ ...told, run: result.run, steps: result.steps });
  return 0;
});
