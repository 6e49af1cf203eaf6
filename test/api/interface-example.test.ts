import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { parseInstant } from '../../src/core/base/time.js';
import { open } from '../../src/index.js';
import { openProject } from '../../src/open.js';
import { historicalFeatures } from '../../src/services/historical.js';
import { materialize } from '../../src/services/materialize.js';
import { answerFeatures, featureReader } from '../../src/services/serve.js';
import { closing, csv, projectFolder, readCsv } from './support.js';

/** The example of the interface as it is quoted there, with the sources that it names. */
const DEFINITIONS = `entities:
  - name: user
    join_key: user_id                  # or join_keys: [hotel, agent]
    description: Platform user
    owner: growth-team
  - { name: product, join_key: product_id }
sources:
  - name: purchases
    kind: events
    read: { files: data/purchases*.csv.gz }
    record_key: purchase_id
    event_time: bought_at
    available_at: loaded_at
    deleted: is_deleted
    sequence: seq
    fields: { purchase_id: string, user_id: int64, amount: decimal(2), status: string, bought_at: timestamp, loaded_at: timestamp, is_deleted: boolean, seq: int64 }
  - name: users
    kind: states
    read: { files: data/users.csv }
    event_time: valid_from
    fields: { user_id: int64, city: string, valid_from: timestamp }
  - name: orders
    read: { files: data/orders.ndjson }
    record_key: order_id
    event_time: ordered_at
    fields: { order_id: string, user_id: int64, total_amount: decimal(2), ordered_at: timestamp }
  - name: product_vectors
    kind: states
    read: { files: data/product_vectors.ndjson }
    event_time: made_at
    fields: { product_id: string, vector: float64_vector(128), made_at: timestamp }
  - name: user_vectors
    kind: states
    read: { files: data/user_vectors.csv }
    event_time: made_at
    fields: { user_id: int64, vector: float64_vector(128), made_at: timestamp }
features:
  - name: user_purchase_count_30d
    entity: user                       # or entities: [user, product]
    description: Number of purchases in the last 30 days
    aggregation: { function: count, source: purchases, window: 30d, where: "status = 'paid'" }
    value_type: int64
    default: 0
    tags: [behavioral]
    owner: growth-team
  - name: user_avg_order_value_90d
    entity: user
    aggregation: { function: avg, source: orders.total_amount, window: 90d }
    value_type: float64
  - name: user_city
    entity: user
    lookup: { source: users.city, max_age: 90d }
  - name: product_embedding
    entity: product
    computation: { function: lookup_embedding, model: product2vec_v3, dimension: 128 }
    value_type: float64_vector
  - name: user_embedding
    entity: user
    computation: { function: lookup_embedding, model: user2vec_v3, dimension: 128 }
    value_type: float64_vector
  - name: user_product_affinity
    entities: [user, product]
    computation: { function: cosine_similarity, args: [user.user_embedding, product.product_embedding] }
    value_type: float64
    online_compute: true
  - name: basket_to_usual
    entity: user
    expression: "request.amount / nullif(user_avg_order_value_90d, 0)"
feature_sets:
  - { name: fraud_v1, features: [user_purchase_count_30d, user_city, basket_to_usual] }
  - { name: all_of_them, features: [user_purchase_count_30d, user_avg_order_value_90d, user_city, product_embedding, user_product_affinity, basket_to_usual] }
`;

const unit = (...at: readonly [index: number, value: number][]): number[] => {
  const vector = new Array<number>(128).fill(0);
  for (const [index, value] of at) vector[index] = value;
  return vector;
};
const KETTLE = unit([0, 3], [1, 4]);
const LAMP = unit([127, -0.5]);
const LAMP_LATER = unit([2, 1e-3], [127, 0.1]);
const USER_1 = unit([0, 1], [1, 0]);
const USER_2 = unit([127, 2]);

const line = (value: object): string => `${JSON.stringify(value)}\n`;
const FILES = {
  'definitions/all.yaml': DEFINITIONS,
  'data/purchases-1.csv.gz': gzipSync(
    csv([
      ['purchase_id', 'user_id', 'amount', 'status', 'bought_at', 'loaded_at', 'is_deleted', 'seq'],
      ['p1', 1, '10.00', 'paid', '2024-03-01T00:00:00Z', '2024-03-01T01:00:00Z', 'false', 1],
      ['p2', 1, '20.00', 'open', '2024-03-02T00:00:00Z', '2024-03-02T00:00:00Z', 'false', 2],
      ['p3', 1, '5.25', 'paid', '2024-03-10T00:00:00Z', '2024-03-12T00:00:00Z', 'false', 3],
      ['p4', 2, '7.00', 'paid', '2024-03-11T00:00:00Z', '2024-03-11T00:00:00Z', 'false', 4],
    ]),
  ),
  'data/purchases-2.csv.gz': gzipSync(
    csv([
      ['purchase_id', 'user_id', 'amount', 'status', 'bought_at', 'loaded_at', 'is_deleted', 'seq'],
      ['p2', 1, '20.00', 'paid', '2024-03-02T00:00:00Z', '2024-03-05T00:00:00Z', 'false', 5],
      ['p4', 2, '7.00', 'paid', '2024-03-11T00:00:00Z', '2024-03-14T00:00:00Z', 'true', 6],
    ]),
  ),
  'data/users.csv': csv([
    ['user_id', 'city', 'valid_from'],
    [1, 'Oslo', '2024-01-01T00:00:00Z'],
    [1, 'Bergen, "west"', '2024-03-12T00:00:00Z'],
    [2, 'Rome', '2023-01-01T00:00:00Z'],
  ]),
  'data/orders.ndjson':
    line({ order_id: 'o1', user_id: 1, total_amount: 10.5, ordered_at: '2024-02-01T00:00:00Z' }) +
    line({ order_id: 'o2', user_id: 1, total_amount: '20.00', ordered_at: '2024-02-15T12:00:00Z' }) +
    line({ order_id: 'o3', user_id: 1, total_amount: 99.99, ordered_at: '2023-12-01T00:00:00Z' }) +
    line({ order_id: 'o4', user_id: 2, total_amount: 0, ordered_at: '2024-03-01T00:00:00Z' }),
  'data/product_vectors.ndjson':
    line({ product_id: 'kettle', vector: KETTLE, made_at: '2024-01-01T00:00:00Z' }) +
    line({ product_id: 'lamp', vector: LAMP, made_at: '2024-01-01T00:00:00Z' }) +
    line({ product_id: 'lamp', vector: LAMP_LATER, made_at: '2024-03-14T00:00:00Z' }),
  'data/user_vectors.csv': csv([
    ['user_id', 'vector', 'made_at'],
    [1, JSON.stringify(USER_1), '2024-01-01T00:00:00Z'],
    [2, JSON.stringify(USER_2), '2024-01-01T00:00:00Z'],
  ]),
  'spine.csv': csv([
    ['id', 'user_id', 'product_id', 't', 'amount'],
    ['a', 1, 'kettle', '2024-03-04T00:00:00Z', '61'],
    ['b', 1, 'lamp', '2024-03-11T00:00:00Z', '15.25'],
    ['c', 1, 'lamp', '2024-03-15T00:00:00Z', null],
    ['d', 2, 'lamp', '2024-03-13T00:00:00Z', '5'],
    ['e', 2, 'kettle', '2024-03-20T00:00:00Z', '5'],
    ['f', 3, 'no such product', '2024-03-20T00:00:00Z', '5'],
    ['g', null, 'kettle', '2024-03-20T00:00:00Z', '5'],
    ['h', 1, null, '2024-03-31T00:00:00Z', '1'],
  ]),
};

const FEATURES = [
  'user_purchase_count_30d',
  'user_avg_order_value_90d',
  'user_city',
  'product_embedding',
  'user_product_affinity',
  'basket_to_usual',
];

/** By hand, from the files above: what was known at t in each window. */
const EXPECTED: Readonly<Record<string, readonly unknown[]>> = {
  // p1 is paid and loaded; p2 is still open. (10.50 + 20.00) / 2; 61 / 15.25.
  a: [1, 15.25, 'Oslo', KETTLE, 0.6, 4],
  // p2 was corrected to paid on the 5th; p3 is loaded on the 12th only. Orthogonal vectors.
  b: [2, 15.25, 'Oslo', LAMP, 0, 1],
  // No request amount.
  c: [3, 15.25, 'Bergen, "west"', LAMP_LATER, 0, null],
  // p4 is not yet taken back. Rome is older than 90 days. An average of 0 divides nothing.
  d: [1, 0, null, LAMP, -1, null],
  // p4 is taken back.
  e: [0, 0, null, KETTLE, 0, null],
  f: [0, null, null, null, null, null],
  g: [0, null, null, KETTLE, null, null],
  // [1 March, 31 March) still holds p1, p2 and p3.
  h: [3, 15.25, 'Bergen, "west"', null, null, 1 / 15.25],
};

describe('the example of the interface', () => {
  it('computes as it stands: historical, online and by hand are one value', async () => {
    const folder = projectFolder(FILES);
    const project = closing(await openProject(folder));
    const log = await project.log();
    for (const source of project.definitions.sources.values()) {
      const result = await log.ingestFiles(source, log.expand(source));
      expect(result.quarantined).toBe(0);
    }
    const out = path.join(folder, 'out.csv');
    await historicalFeatures(project, {
      observations: path.join(folder, 'spine.csv'),
      time: 't',
      features: ['all_of_them'],
      out,
    });
    const rows = readCsv(out);
    expect(rows.map((row) => row['id'])).toEqual(Object.keys(EXPECTED));
    const offline = Object.fromEntries(
      rows.map((row) => [
        row['id'],
        FEATURES.map((name) => {
          const text = row[name];
          return text === null || text === undefined || name === 'user_city' ? text : JSON.parse(text);
        }),
      ]),
    );
    expect(offline).toEqual(EXPECTED);

    await materialize(project);
    const reader = await featureReader(project, ['all_of_them']);
    const online = Object.fromEntries(
      readCsv(path.join(folder, 'spine.csv')).map(({ id, t, amount, ...entity }) => {
        const answer = answerFeatures(
          reader,
          { entities: [entity], request: [{ amount }], at: parseInstant(t!)!, text: true },
          0,
        );
        expect(answer.features).toEqual(FEATURES);
        return [id, answer.rows[0]!.values];
      }),
    );
    expect(online).toEqual(EXPECTED);
  });

  it('answers through open(): ingest, then online at once, in JSON that a client can read', async () => {
    const folder = projectFolder(FILES);
    const project = closing(await open(folder));
    for (const name of ['purchases', 'users', 'orders', 'product_vectors', 'user_vectors'])
      await project.ingestFiles(name);
    const answer = await project.online({
      features: ['all_of_them'],
      entities: [{ user_id: 1, product_id: 'kettle' }],
      request: [{ amount: 61 }],
      at: '2024-03-04T00:00:00Z',
    });
    expect(JSON.parse(JSON.stringify(answer.rows))).toEqual([
      { values: EXPECTED['a'], statuses: ['ok', 'ok', 'ok', 'ok', 'ok', 'ok'] },
    ]);
    expect(answer.applied['purchases']).toEqual({ seq: 6, available_at: '2024-03-14T00:00:00Z' });
    const set = await project.online({
      features: ['fraud_v1'],
      entities: [{ user_id: 3 }],
      request: [{ amount: 1 }],
    });
    expect(set.rows).toEqual([{ values: [0, null, null], statuses: ['never_seen', 'never_seen', 'empty'] }]);
  });
});
