/** Ingests a file and pushes rows until it is killed. Says on stdout what it has been promised. */

import { crashSource } from './crash-source.js';
import { openAt } from './support.js';

const [folder, file, tag] = process.argv.slice(2) as [string, string, string];
const opened = await openAt(folder, [crashSource], 'crash-child');
process.stdout.write('ready\n');
for (let i = 0; i < 40; i++) {
  const rows = Array.from({ length: 25 }, (_, j) => ({
    id: `push-${tag}-${i}-${j}`,
    at: '2024-01-01T00:00:00Z',
    n: j,
    note: 'x'.repeat(40),
  }));
  await opened.log.ingestRows(crashSource, rows, { now: 0 });
  process.stdout.write(`pushed ${i}\n`);
}
await opened.log.ingestFiles(crashSource, [file], { now: 0 });
process.stdout.write('file\n');
await opened.close();
process.stdout.write('closed\n');
