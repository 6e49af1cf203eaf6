import { runOf } from '../../find.js';
import { inAnyProject } from '../../in-project.js';

export const command = inAnyProject(async (project, io, args) => {
  const run = await runOf(project, args[0]);
  const outcome = (await project.runs()).cancel(run.id, project.now());
  io.print(
    outcome === 'ended'
      ? `run ${run.id} has ended: ${run.status}`
      : outcome === 'asked'
        ? `run ${run.id} is asked to stop; it ends between two steps that are each all or nothing`
        : `run ${run.id} is cancelled; its process had ended`,
  );
  io.result({ run: run.id, outcome });
  return outcome === 'ended' ? 99 : 0;
});
