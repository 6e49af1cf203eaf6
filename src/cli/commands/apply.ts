import { planProject } from '../../services/plan-project.js';
import { inProject } from '../in-project.js';
import { perform } from '../perform.js';
import { printPlan } from '../print/plan.js';
import { planAgain } from '../saved-plan.js';

export const command = inProject(async (project, io, args) => {
  await project.lockForWriting(io.command);
  const file = args.length === 1 && args[0]!.endsWith('.json') ? args[0]! : null;
  const { names, planned } =
    file === null
      ? { names: args, planned: await planProject(project, args) }
      : await planAgain(project, file);
  if (planned.steps.length === 0) {
    printPlan(io, planned);
    io.result({ steps: [] });
    return 99;
  }
  return await perform(project, io, planned, { command: io.command, names, whole: false });
});
