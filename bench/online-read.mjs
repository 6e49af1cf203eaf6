// Online reads: 12 exact window features (count, sum over six windows) of entities with 10, 1,000 and 100,000
// events, and of 100 entities in one request; then with mean, min, max, last; then nine functions over five windows.
// p50 and p99 in microseconds.
// Usage: node bench/online-read.mjs   (after the build)
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLmdbOnlineStore } from '../dist/adapters/lmdb/online-store.js';
import { planGroup, planReader } from '../dist/core/engine/online/index.js';
import { eventsSource, FLOAT64, feature } from './frozen.mjs';

const S = 1_000_000;
const DAY = 86_400 * S;
const WINDOWS = [3600 * S, 6 * 3600 * S, DAY, 7 * DAY, 30 * DAY, 90 * DAY];
const source = eventsSource([
  { name: 'id', type: { kind: 'int64' } },
  { name: 'user', type: { kind: 'int64' } },
  { name: 'amount', type: FLOAT64 },
]);
const INVERTIBLE = WINDOWS.flatMap((w) => [feature('count', null, w), feature('sum', 'amount', w)]);
const MIXED = WINDOWS.slice(0, 2).flatMap((w) => [
  ...['sum', 'mean', 'min', 'max', 'last'].map((fn) => feature(fn, 'amount', w)),
  feature('count', null, w),
]);
const MANY = WINDOWS.slice(0, 5).flatMap((w) => [
  ...['count', 'sum', 'mean', 'min', 'max', 'std', 'first', 'last'].map((fn) => feature(fn, 'amount', w)),
  feature('seconds_since_last', null, w),
]);

const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
const store = openLmdbOnlineStore(folder);
let seed = 42;
const random = () => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return seed / 2 ** 32;
};
const NOW = 20_000 * DAY;
const SIZES = { 10: 200, 1000: 100, 100000: 1 };

const group = planGroup({
  id: 'events(user)',
  source,
  joinKeys: [{ name: 'user', type: { kind: 'int64' } }],
  keyFields: ['user'],
  features: [...INVERTIBLE, ...MIXED, ...MANY],
  searches: [],
});
await store.open(group);
let seq = 0;
let user = 0;
const users = {};
const began = process.hrtime.bigint();
for (const [size, entities] of Object.entries(SIZES)) {
  users[size] = [];
  for (let i = 0; i < entities; i++) {
    const records = Array.from({ length: Number(size) }, () => {
      seq++;
      const at = NOW - Math.floor(random() * 100 * DAY);
      return {
        fields: { id: seq, user, amount: Math.round(random() * 100_000) / 100 },
        eventTime: at,
        availableAt: at,
        order: seq,
        seq,
        deleted: false,
      };
    });
    for (let start = 0; start < records.length; start += 10_000) {
      const batch = records.slice(start, start + 10_000);
      await store.apply(group, batch, { seq: batch.at(-1).seq, availableAt: NOW });
    }
    users[size].push(user++);
  }
}
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
console.log(`applied ${seq} events in ${seconds.toFixed(1)} s (${Math.round(seq / seconds)}/s)`);

function measure(label, reader, keysOf, rounds) {
  const times = new Float64Array(rounds);
  for (let round = -Math.min(2000, rounds); round < rounds; round++) {
    const keys = keysOf(round + 2000);
    const at = NOW + (round + 2000) * 1000;
    const start = process.hrtime.bigint();
    store.read(reader, keys, at);
    if (round >= 0) times[round] = Number(process.hrtime.bigint() - start) / 1000;
  }
  times.sort();
  const at = (q) => times[Math.floor(q * (rounds - 1))].toFixed(1).padStart(8);
  console.log(`${label.padEnd(44)} p50 ${at(0.5)} µs   p99 ${at(0.99)} µs`);
}
for (const [name, features] of [
  ['count, sum × 6 windows', INVERTIBLE],
  ['sum, mean, min, max, last, count × 2 windows', MIXED],
  ['count, sum, mean, min, max, std, first, last, seconds_since_last × 5 windows', MANY],
]) {
  const reader = planReader(group, features, source);
  console.log(name);
  for (const size of Object.keys(SIZES)) {
    measure(
      `  1 entity of ${size} events`,
      reader,
      (round) => [[users[size][round % users[size].length]]],
      20_000,
    );
  }
  const hundred = users[10].slice(0, 100).map((id) => [id]);
  measure('  100 entities of 10 events', reader, () => hundred, 2000);
  const thousands = users[1000].map((id) => [id]);
  measure('  100 entities of 1000 events', reader, () => thousands, 1000);
}
await store.close();
rmSync(folder, { recursive: true, force: true });
