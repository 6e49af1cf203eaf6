import { runOf } from '../../find.js';
import { inProject } from '../../in-project.js';
import { runAssets } from '../../run-assets.js';

/** Runs again what a run was asked for: what it finished is fresh and stays. */
export const command = inProject(async (project, io, args, options) => {
  const run = await runOf(project, args[0]);
  if (run.status !== 'done') return runAssets(project, io, run.scope, options);
  io.print(`run ${run.id} is done`);
  io.result({ run: run.id, outcome: 'ended' });
  return 99;
});
