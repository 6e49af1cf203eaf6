/** Brings the project of a folder up to date as one run: `project-worker.ts FOLDER`. */
import { openProject } from '../../src/open.js';
import { applyPlan } from '../../src/services/apply-plan.js';
import { planProject } from '../../src/services/plan-project.js';

const project = await openProject(process.argv[2]!);
await project.lockForWriting('a test');
const plan = await planProject(project);
process.stdout.write('ready\n');
if (plan.steps.length > 0) await applyPlan(project, plan, { command: 'a test', scope: [] });
await project.close();
