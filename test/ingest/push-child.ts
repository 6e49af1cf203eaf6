/** Pushes batches until it is killed, with tails that are sealed meanwhile. Says on stdout what it has been promised. */
import { crashSource } from './crash-source.js';
import { openAt } from './support.js';

const [folder, tag] = process.argv.slice(2) as [string, string];
const opened = await openAt(folder, [crashSource], 'push-child');
process.stdout.write('ready\n');
let next = 0;
const note = 'x'.repeat(900);
await Promise.all(
  Array.from({ length: 3 }, async () => {
    for (;;) {
      const push = next++;
      const rows = Array.from({ length: 2_000 }, (_, j) => ({
        id: `${tag}-${push}-${j}`,
        at: '2024-01-01T00:00:00Z',
        n: j,
        note,
      }));
      const { seq } = await opened.log.ingestRows(crashSource, rows, { now: 0 });
      process.stdout.write(`${push} ${seq}\n`);
    }
  }),
);
