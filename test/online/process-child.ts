/**
 * `apply FOLDER`: goes on applying the log from where the store stands, in small batches, and prints `done` at the end.
 * `watch FOLDER`: reads while another process writes, until it sees the end; prints what it saw.
 */
import { openLmdbOnlineStore } from '../../src/adapters/lmdb/online-store.js';
import { applyFrom, CRASH_LOG, crashReader, WATCHED } from './process-log.js';

const [mode, folder] = process.argv.slice(2) as ['apply' | 'watch', string];
const reader = crashReader();

if (mode === 'apply') {
  const store = openLmdbOnlineStore(folder);
  await store.open(reader.group);
  process.stdout.write('started\n');
  await applyFrom(store, reader.group, CRASH_LOG);
  await store.close();
  process.stdout.write('done\n');
} else {
  const store = openLmdbOnlineStore(folder, { readOnly: true });
  const seen = new Set<number>();
  let torn = 0;
  for (let last = -1; last < CRASH_LOG.length; ) {
    const { rows, applied } = store.read(reader, WATCHED, Number.MAX_SAFE_INTEGER);
    last = applied.seq;
    if (!seen.has(last)) process.stdout.write(`at ${last}\n`);
    seen.add(last);
    // Every record stays known for ever and is counted by one of these entities.
    const counted = rows.reduce((total, row) => total + (row.values[0] as number), 0);
    if (counted !== last) torn++;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await store.close();
  process.stdout.write(`${JSON.stringify({ seen: seen.size, torn })}\n`);
}
