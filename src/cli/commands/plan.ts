import { writeFile } from 'node:fs/promises';
import { planProject } from '../../services/plan-project.js';
import { inProject } from '../in-project.js';
import { printPlan } from '../print/plan.js';
import { PLAN_FORMAT, type SavedPlan } from '../saved-plan.js';

export const command = inProject(async (project, io, args, options) => {
  const planned = await planProject(project, args);
  printPlan(io, planned);
  const out = options['out'];
  if (typeof out === 'string') {
    const saved: SavedPlan = { format: PLAN_FORMAT, names: args, plan: planned };
    await writeFile(out, `${JSON.stringify(saved, null, 2)}\n`);
    io.print(`saved: ${out}`);
  }
  io.result(planned);
  return planned.steps.length === 0 ? 99 : 0;
});
