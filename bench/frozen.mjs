// Frozen definitions as the engine takes them, for benchmarks below the command line.
export const FLOAT64 = { kind: 'float64' };

/** Pushed events of a user. */
export const eventsSource = (fields) => ({
  name: 'events',
  kind: 'events',
  tags: [],
  fingerprint: 'bench',
  read: { kind: 'push' },
  recordKey: ['id'],
  eventTime: 'at',
  availableAt: { kind: 'event_time' },
  timezone: 'UTC',
  ambiguousTime: 'refuse',
  fields,
  keys: {},
  contract: { rows: [], batch: [] },
});

/** A window over `source`; `window` in microseconds, null: all. */
export const aggregation = (source, fn, field, window) => ({
  function: fn,
  source,
  field,
  arguments: { ignoreNulls: false },
  window,
  offset: 0,
  includeCurrent: false,
  where: null,
  ratioWhere: null,
  groupBy: null,
});

/** A feature of a user over `events`. */
export const feature = (fn, field, window) => {
  const name = [fn, field, window].filter((part) => part !== null).join('_');
  return {
    name,
    fingerprint: name,
    tags: [],
    entities: ['user'],
    joinKeys: ['user'],
    computation: { kind: 'aggregation', ...aggregation('events', fn, field, window) },
    valueType: FLOAT64,
    default: undefined,
    dependsOn: [],
    requestFields: [],
  };
};
