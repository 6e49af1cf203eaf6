/** Compiled, never run: what the builders take, and what they refuse (each `@ts-expect-error` must be one). */
import {
  dataset,
  entity,
  feature,
  featureSet,
  label,
  model,
  monitor,
  project,
  service,
  source,
  transform,
  type Value,
} from '../../src/index.js';

export const settings = project({ project: 'shop', timezone: 'Europe/Berlin', threads: 2 });
export const user = entity({ name: 'user', joinKey: 'user_id', owner: 'growth' });
export const stay = entity({ name: 'stay', join_keys: ['hotel', 'agent'] });
export const orders = source({
  name: 'orders',
  read: { files: 'data/orders*.csv.gz' },
  recordKey: 'order_id',
  eventTime: 'at',
  availableAt: { delay: '2h' },
  fields: {
    order_id: 'string',
    user_id: 'int64',
    total: 'decimal(2)',
    at: 'timestamp',
    other: { type: 'string', from: 'Other name' },
  },
  contract: { total: { range: [0, null] }, rules: [{ name: 'r', check: 'total > 0' }] },
});
export const pushed = source({
  name: 'pushed',
  read: 'push',
  record_key: 'id',
  event_time: 'at',
  fields: { id: 'string', at: 'timestamp' },
});
export const daily = transform({
  name: 'daily',
  sql: 'SELECT * FROM orders',
  recordKey: 'order_id',
  eventTime: 'at',
  fields: { order_id: 'string', at: 'timestamp' },
});
export const total = feature({
  name: 'total',
  entity: user,
  aggregation: { function: 'sum', source: 'orders.total', windows: ['1d', '7d'], includeCurrent: true },
});
export const city = feature({
  name: 'city',
  entities: ['user'],
  lookup: { source: 'users.city', maxAge: '90d' },
  valueType: 'string',
});
export const twice = feature({
  name: 'twice',
  entity: user,
  inputs: ['user.total_1d', 'request.rate', 'as_of'],
  request: { rate: 'float64' },
  compute: ({ total_1d, 'request.rate': rate, as_of }) => {
    const value: Value = total_1d;
    return value === null || as_of === null ? null : Number(value) * Number(rate);
  },
  valueType: 'float64',
});
export const similar = feature({
  name: 'similar',
  entities: [user, stay],
  computation: { function: 'cosine_similarity', args: ['user.a', 'stay.b'] },
  onlineCompute: true,
});
export const set = featureSet({ name: 'set', features: [total, 'city', twice] });
export const late = label({ name: 'late', source: orders, expression: 'total > 5', horizon: '1d' });
export const training = dataset({
  name: 'training',
  observations: { source: 'orders', time: 'at' },
  features: set,
  label: late,
  split: { by: 'time', parts: { train: 0.8, test: 0.2 } },
});
export const guess = model({
  name: 'guess',
  dataset: training,
  task: 'binary',
  trainer: { kind: 'baseline', seed: 7 },
  promote: { require: ['test.auc >= 0.7'] },
});
export const serving = service({ name: 'serving', model: guess, log: 'all' });
export const watch = monitor({ name: 'watch', service: serving, window: '7d', alert: ['log'] });

// The name that was written is the type of the name.
export const name: 'user' = user.name;

// @ts-expect-error no name
entity({ joinKey: 'user_id' });
// @ts-expect-error a misspelt key
entity({ name: 'user', joinkey: 'user_id' });
// @ts-expect-error a number for a name
entity({ name: 7, joinKey: 'user_id' });
// @ts-expect-error no event time
source({ name: 's', read: 'push', recordKey: 'id', fields: { id: 'string' } });
// @ts-expect-error not a way to read
source({
  name: 's',
  read: 'pull',
  recordKey: 'id',
  eventTime: 'at',
  fields: { id: 'string', at: 'timestamp' },
});
source({
  name: 's',
  // @ts-expect-error a misspelt kind
  kind: 'event',
  read: 'push',
  recordKey: 'id',
  eventTime: 'at',
  fields: { id: 'string', at: 'timestamp' },
});
// @ts-expect-error a misspelt key inside
feature({ name: 'f', entity: user, aggregation: { function: 'sum', source: 'orders.total', widnow: '7d' } });
// @ts-expect-error a misspelt function
feature({ name: 'f', entity: user, aggregation: { function: 'summ', source: 'orders.total', window: '7d' } });
feature({ name: 'f', entity: user, aggregation: { function: 'p95', source: 'orders.total', window: '7d' } });
// @ts-expect-error no source
feature({ name: 'f', entity: user, aggregation: { function: 'sum', window: '7d' } });
// @ts-expect-error a window is a text
feature({ name: 'f', entity: user, aggregation: { function: 'sum', source: 'orders.total', window: 7 } });
// @ts-expect-error a name that is not among the inputs
feature({ name: 'f', entity: user, inputs: ['total'], compute: ({ totl }) => totl, valueType: 'float64' });
feature({
  name: 'f',
  entity: user,
  inputs: ['total'],
  // @ts-expect-error a function that gives no value
  compute: ({ total }) => ({ total }),
  valueType: 'float64',
});
// @ts-expect-error no task of this kind
model({ name: 'm', dataset: training, task: 'clustering', trainer: { kind: 'baseline' } });
dataset({
  name: 'd',
  observations: { source: 'orders' },
  features: [total],
  // @ts-expect-error a share is a number
  split: { by: 'time', parts: { train: '80%', test: 0.2 } },
});
