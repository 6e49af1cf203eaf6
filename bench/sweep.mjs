// The sweep alone on synthetic events: node bench/sweep.mjs [events] [observations] [inv12|mix12] [late share]
// Needs a build (npm run build) or: node --import tsx bench/sweep.mjs ...
import { performance } from 'node:perf_hooks';
import { aggregation, FLOAT64 } from './frozen.mjs';

const [events = 2e6, observations = 2e5, mix = 'inv12', lateShare = 0] = process.argv.slice(2);
const base = process.env.MILLRACE_DIST ?? '../src';
const { sweep } = await import(`${base}/core/engine/sweep.js`);
const n = Number(events);
const m = Number(observations);
const users = Math.max(1, Math.round(n / 40));
const DAY = 86_400e6;

let state = 12345;
const random = () => {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
// Zipf-like: a power of a uniform number.
const user = () => Math.floor(users * random() ** 2);
const entity = new Int32Array(n);
const eventTime = new Float64Array(n);
const availableAt = new Float64Array(n);
const seq = new Float64Array(n);
const amount = new Float64Array(n);
const codes = new Int32Array(n);
for (let i = 0; i < n; i++) {
  entity[i] = user();
  eventTime[i] = Math.floor((i / n) * 90 * DAY + random() * 3600e6);
  availableAt[i] = eventTime[i] + (random() < Number(lateShare) ? Math.floor(random() * DAY) : 0);
  seq[i] = i;
  amount[i] = Math.round(random() * 20000) / 100;
  codes[i] = Math.floor(random() * 50);
}
const at = new Float64Array(m);
const who = new Int32Array(m);
for (let i = 0; i < m; i++) {
  who[i] = user();
  at[i] = Math.floor(random() * 90 * DAY);
}
const INT64 = { kind: 'int64' };
const STRING = { kind: 'string' };
const feature = (fn, field, window) => ({
  name: `${fn}_${window}`,
  aggregation: aggregation('s', fn, field, window),
  inputType: field === null ? null : field === 'code' ? STRING : FLOAT64,
  byType: null,
  outputType: fn === 'count' || fn === 'count_distinct' ? INT64 : FLOAT64,
});
const windows = [DAY / 24, DAY / 4, DAY, 7 * DAY, 30 * DAY, null];
const features =
  mix === 'inv12'
    ? windows.flatMap((window) => [feature('count', null, window), feature('sum', 'amount', window)])
    : [
        ...windows
          .slice(2, 4)
          .flatMap((w) => [
            feature('count', null, w),
            feature('sum', 'amount', w),
            feature('mean', 'amount', w),
          ]),
        feature('min', 'amount', 7 * DAY),
        feature('max', 'amount', 30 * DAY),
        feature('std', 'amount', 30 * DAY),
        feature('last', 'amount', null),
        feature('count_distinct', 'code', 30 * DAY),
        feature('count_distinct', 'code', 7 * DAY),
      ];
const input = {
  entities: users,
  records: {
    rows: n,
    entity,
    eventTime,
    availableAt,
    seq,
    until: null,
    masks: new Map(),
    columns: new Map([
      ['amount', { type: FLOAT64, kind: 'numbers', values: amount, valid: null }],
      [
        'code',
        { type: STRING, kind: 'codes', codes, dictionary: Array.from({ length: 50 }, (_, i) => `c${i}`) },
      ],
    ]),
  },
  observations: { rows: m, entity: who, at, knowledge: null },
  features,
  lookups: [],
};
for (let run = 0; run < 3; run++) {
  const start = performance.now();
  const before = process.cpuUsage();
  sweep(input);
  const seconds = (performance.now() - start) / 1000;
  const used = process.cpuUsage(before);
  const cpu = Number(((used.user + used.system) / 1e6).toFixed(3));
  const memory = Math.round(process.memoryUsage.rss() / 2 ** 20);
  process.stdout.write(
    `${JSON.stringify({ mix, events: n, observations: m, seconds: Number(seconds.toFixed(3)), cpu_seconds: cpu, rss_mib: memory })}\n`,
  );
}
