/** Builds a dataset, or collects garbage: `store-worker.ts FOLDER build|gc`. */
import { openProject } from '../../src/open.js';
import { buildDataset } from '../../src/services/build-dataset.js';
import { collectGarbage } from '../../src/services/collect-garbage.js';

const [folder, work] = process.argv.slice(2) as [string, string];
// To a collector everything is old.
const later = work === 'gc' ? 100 * 86_400_000_000 : 0;
const project = await openProject(folder, { now: () => Date.now() * 1000 + later });
process.stdout.write('ready\n');
if (work === 'build') await buildDataset(project, 'set');
else await collectGarbage(project, { dryRun: false, retention: 0 });
await project.close();
