// One entity of 10 to 1M events, all windows of 7 days, an observation for every tenth event: CPU µs an event.
// node bench/hot-keys.mjs [--size small|full]; needs a build.
import { fileURLToPath } from 'node:url';
import { argument, table } from './lib.mjs';

const DAY = 86_400e6;
const FLOAT64 = { kind: 'float64' };
const STRING = { kind: 'string' };
const INT64 = { kind: 'int64' };
const FEATURES = {
  'count, sum': [['count'], ['sum', 'amount']],
  'std, mean': [
    ['std', 'amount'],
    ['mean', 'amount'],
  ],
  'min, max, last': [
    ['min', 'amount'],
    ['max', 'amount'],
    ['last', 'amount'],
  ],
  count_distinct: [['count_distinct', 'text']],
  'median, quantile': [
    ['median', 'amount'],
    ['quantile', 'amount', { q: 0.9 }],
  ],
  top_k: [['top_k', 'text', { k: 3 }]],
};

/** Seeded, so that every run sees the same events. */
function draws() {
  let state = 12345;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function input(events, wanted, outputTypeOf) {
  const random = draws();
  const observations = Math.max(1, Math.floor(events / 10));
  const eventTime = Float64Array.from({ length: events }, (_, i) =>
    Math.floor(((i + random()) / events) * 30 * DAY),
  );
  const texts = Math.min(1000, events);
  return {
    entities: 1,
    records: {
      rows: events,
      entity: new Int32Array(events),
      eventTime,
      availableAt: eventTime,
      seq: Float64Array.from({ length: events }, (_, i) => i),
      until: null,
      masks: new Map(),
      columns: new Map([
        [
          'amount',
          {
            type: FLOAT64,
            kind: 'numbers',
            values: eventTime.map(() => Math.round(random() * 1e5) / 100),
            valid: null,
          },
        ],
        [
          'text',
          {
            type: STRING,
            kind: 'codes',
            codes: Int32Array.from({ length: events }, () => Math.floor(random() ** 2 * texts)),
            dictionary: Array.from({ length: texts }, (_, i) => `text ${i}`),
          },
        ],
      ]),
    },
    observations: {
      rows: observations,
      entity: new Int32Array(observations),
      at: Float64Array.from({ length: observations }, () => Math.floor(random() * 30 * DAY)),
      knowledge: null,
    },
    features: wanted.map(([fn, field = null, given = {}]) => {
      const inputType = field === null ? null : field === 'text' ? STRING : FLOAT64;
      const args = { ignoreNulls: false, ...given };
      return {
        name: fn,
        aggregation: {
          function: fn,
          source: 's',
          field,
          arguments: args,
          window: 7 * DAY,
          offset: 0,
          includeCurrent: false,
          where: null,
          ratioWhere: null,
          groupBy: null,
        },
        inputType,
        byType: null,
        outputType: fn.startsWith('count')
          ? INT64
          : outputTypeOf(fn, { inputType, byType: null, arguments: args }, false),
      };
    }),
    lookups: [],
  };
}

export async function measure({ size = 'small' } = {}) {
  const base = process.env.MILLRACE_DIST ?? '../dist';
  const { sweep } = await import(`${base}/core/engine/sweep.js`);
  const { outputTypeOf } = await import(`${base}/core/algebra/catalogue.js`);
  const sizes = size === 'full' ? [10, 100, 1e3, 1e4, 1e5, 1e6] : [10, 100, 1e3, 1e4, 1e5];
  const rows = Object.entries(FEATURES).map(([name, wanted]) => {
    const cells = [];
    for (const events of sizes) {
      const given = input(events, wanted, outputTypeOf);
      // Small keys in numbers, so that there is something to measure.
      const times = Math.max(1, Math.floor(2e4 / events));
      if (times > 1) for (let i = 0; i < 3; i++) sweep(given);
      const before = process.cpuUsage();
      for (let i = 0; i < times; i++) sweep(given);
      const { user, system } = process.cpuUsage(before);
      cells.push((user + system) / times / events);
      // What grows faster than linear is not followed to sizes that would take minutes.
      if ((user + system) / times > 5e5) break;
    }
    return { name, cells };
  });
  const text = table(
    ['CPU µs an event', ...sizes.map((events) => `${events.toLocaleString('en')} events`)],
    rows.map(({ name, cells }) => [name, ...sizes.map((_, i) => cells[i]?.toFixed(2))]),
  );
  return {
    title: 'Offline: one entity of many events',
    text: `${text}\n\nOne entity, windows of 7 of 30 days, an observation for every tenth event; level rows are linear in events.`,
    goals: [],
    plots: {
      'bench-hot-keys': {
        title: 'CPU µs an event, one entity',
        x: sizes.map((events) => events.toLocaleString('en')),
        series: rows.map(({ name, cells }) => ({ name, values: sizes.map((_, i) => cells[i] ?? null) })),
        unit: 'µs',
      },
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log((await measure({ size: argument('size', 'small') })).text);
