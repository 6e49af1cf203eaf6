import { replayService } from '../../services/replay.js';
import { replayError } from '../gates.js';
import { inProject } from '../in-project.js';
import { instant } from '../parse.js';
import { count, table } from '../print/table.js';

export const command = inProject(async (project, io, args, options) => {
  const result = await replayService(project, args[0]!, { since: instant(options['since'], '--since') });
  io.print(
    `${result.service}: ${count(result.predictions)} logged vectors, ${count(result.equal)} equal, ${count(result.different)} different`,
  );
  for (const [cause, n] of Object.entries(result.causes)) io.print(`  ${cause}: ${count(n)}`);
  if (result.outdated > 0)
    io.print(
      `${count(result.outdated)} values were right when they were given and would be others today: ${Object.entries(
        result.outdated_causes,
      )
        .map(([cause, n]) => `${cause} ${count(n)}`)
        .join(', ')}`,
    );
  if (result.examples.length > 0)
    io.print(
      table(
        ['prediction', 'feature', 'logged', 'recomputed', 'cause'],
        result.examples
          .slice(0, 20)
          .map((item) => [
            item.prediction_id,
            item.feature,
            JSON.stringify(item.logged),
            JSON.stringify(item.recomputed),
            item.cause,
          ]),
      ),
    );
  if (result.different > 0) return io.refuse(replayError(result), { ...result });
  io.result(result);
  return 0;
});
