// The two window workloads as millrace definitions, as SQL and for the peers: INV12 and MIX12.
import { DAY } from './data.mjs';

export const WINDOWS = {
  '1h': DAY / 24,
  '6h': DAY / 4,
  '1d': DAY,
  '3d': 3 * DAY,
  '7d': 7 * DAY,
  '30d': 30 * DAY,
};

const item = (fn, field, window) => ({ name: `${fn}_${window}`, fn, field, window });
/** Invertible: count and sum over six windows. */
export const INV12 = Object.keys(WINDOWS).flatMap((window) => [
  item('count', null, window),
  item('sum', 'amount', window),
]);
/** Mixed: also mean, min, max, std, last and exact distinct. */
export const MIX12 = [
  item('count', null, '1d'),
  item('sum', 'amount', '1d'),
  item('mean', 'amount', '1d'),
  item('count', null, '7d'),
  item('sum', 'amount', '7d'),
  item('mean', 'amount', '7d'),
  item('min', 'amount', '7d'),
  item('max', 'amount', '30d'),
  item('std', 'amount', '30d'),
  item('last', 'amount', '30d'),
  item('count_distinct', 'category', '7d'),
  item('count_distinct', 'category', '30d'),
];
export const WORKLOADS = { INV12, MIX12 };

/** A project that reads the file and defines both workloads. */
export const definitions = (
  file,
  features = [...new Map([...INV12, ...MIX12].map((one) => [one.name, one])).values()],
) => ({
  entities: [{ name: 'person', join_keys: ['user'] }],
  sources: [
    {
      name: 'events',
      kind: 'events',
      read: { files: file },
      record_key: 'id',
      event_time: 'ts',
      fields: { id: 'int64', user: 'int64', ts: 'timestamp', amount: 'float64', category: 'string' },
    },
  ],
  features: features.map(({ name, fn, field, window }) => ({
    name,
    entity: 'person',
    aggregation: { function: fn, source: field === null ? 'events' : `events.${field}`, window },
  })),
});
