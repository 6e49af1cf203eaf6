// Applying to the online store on LMDB: CPU microseconds an event for pushed batches of 1,000 events over 1,000
// different entities, for single events, and for a rebuild in batches of 200,000.
// Usage: node bench/online-apply.mjs [--text]   (after the build; --text: keys are texts, one field is a text)
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLmdbOnlineStore } from '../dist/adapters/lmdb/online-store.js';
import { planGroup } from '../dist/core/engine/online/index.js';
import { eventsSource, FLOAT64, feature } from './frozen.mjs';

const S = 1_000_000;
const DAY = 86_400 * S;
const text = process.argv.includes('--text');
const KEY = { kind: text ? 'string' : 'int64' };
const source = eventsSource([
  { name: 'id', type: KEY },
  { name: 'user', type: KEY },
  { name: 'amount', type: FLOAT64 },
  { name: 'page', type: { kind: 'string' } },
]);
const features = [3600 * S, DAY, 30 * DAY].flatMap((w) => [
  feature('count', null, w),
  feature('sum', 'amount', w),
  ...(text ? [feature('count_distinct', 'page', w)] : []),
]);
const group = planGroup({
  id: 'events(user)',
  source,
  joinKeys: [{ name: 'user', type: KEY }],
  keyFields: ['user'],
  features,
  searches: [],
});

const USERS = 100_000;
let seed = 42;
const random = () => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return seed / 2 ** 32;
};
let seq = 0;
const event = (user) => {
  seq++;
  const at = 20_000 * DAY + seq * 1000;
  const id = text ? `${Math.floor(random() * 2 ** 32).toString(16)}-${seq}` : seq;
  return {
    fields: {
      id,
      user: text ? `user-${user}` : user,
      amount: Math.round(random() * 100_000) / 100,
      page: `page ${Math.floor(random() * 50)}`,
    },
    eventTime: at,
    availableAt: at,
    order: seq,
    seq,
    deleted: false,
    version: false,
  };
};
const batch = (n) => {
  const first = Math.floor(random() * USERS);
  // 7919 and 100,000 have no common divisor: n different users.
  return Array.from({ length: n }, (_, i) => event((first + i * 7919) % USERS));
};
async function apply(store, records) {
  await store.apply(group, records, { seq: records.at(-1).seq, availableAt: records.at(-1).availableAt });
}
/** CPU of applying alone: events are made before. */
async function measure(label, store, batches) {
  const events = batches.reduce((sum, records) => sum + records.length, 0);
  const began = process.cpuUsage();
  for (const records of batches) await apply(store, records);
  const { user, system } = process.cpuUsage(began);
  console.log(`${label.padEnd(52)} ${((user + system) / events).toFixed(2).padStart(7)} µs CPU an event`);
}

const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
const store = openLmdbOnlineStore(folder);
await store.open(group);
const users = Array.from({ length: 5 }, () =>
  Array.from({ length: 200_000 }, () => event(Math.floor(random() * USERS))),
);
await measure(`rebuild: 1M events, ${USERS / 1000}k entities, 200k a batch`, store, users);
const [before] = store.groups();
console.log(`${(before.bytes / before.events).toFixed(0)} bytes an event`);
for (const round of [1, 2, 3]) {
  const pushes = Array.from({ length: 100 }, () => batch(1000));
  await measure(`push: 1,000 events over 1,000 entities (${round})`, store, pushes);
}
await measure(
  'push: one event',
  store,
  Array.from({ length: 5000 }, () => batch(1)),
);
const late = Array.from({ length: 50 }, () =>
  batch(1000).map((record) => ({ ...record, eventTime: record.eventTime - Math.floor(random() * 900 * S) })),
);
await measure('push: 1,000 late events over 1,000 entities', store, late);
const corrections = Array.from({ length: 20 }, () =>
  batch(1000).map((record) => ({
    ...record,
    fields: { ...record.fields, id: text ? 'one' : Math.floor(random() * 1_000_000) },
    version: true,
  })),
);
await measure('push: 1,000 corrections', store, corrections);
await store.close();
rmSync(folder, { recursive: true, force: true });
