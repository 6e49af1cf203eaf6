import { printInstant } from '../../../core/base/time.js';
import { inProject } from '../../in-project.js';
import { integer } from '../../parse.js';
import { firingJson } from '../../print/firing.js';
import { table } from '../../print/table.js';

export const command = inProject(async (project, io, args, options) => {
  const firings = (await project.schedules()).firings(integer(options['limit'], '--limit') ?? 20, args[0]);
  io.print(
    table(
      ['due', 'name', 'status', 'run', 'what'],
      firings.map(({ due, trigger, status, run, detail }) => [
        printInstant(due),
        trigger,
        status,
        run === null ? '-' : `${run}`,
        detail,
      ]),
    ),
  );
  io.result({ firings: firings.map(firingJson) });
  return firings.length === 0 ? 99 : 0;
});
