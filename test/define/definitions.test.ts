import { describe, expect, it } from 'vitest';
import { parseDocument, stringify } from 'yaml';
import { parseInstant } from '../../src/core/base/time.js';
import * as build from '../../src/core/define/builders.js';
import { define, readDefinitionModule } from '../../src/core/define/index.js';
import type { Aggregation, Definitions } from '../../src/core/define/types.js';
import fc from '../property.js';
import { BASE, ENVIRONMENT, fromYaml, show } from './check.js';

/** Definitions of a text that must have no faults. */
function sound(text: string): Definitions {
  const { definitions, diagnostics } = fromYaml(text);
  expect(diagnostics.map((diagnostic) => show(diagnostic))).toEqual([]);
  return definitions;
}

const aggregationOf = (definitions: Definitions, name: string): Aggregation => {
  const { computation } = definitions.features.get(name)!;
  if (computation.kind !== 'aggregation') throw new Error(`${name} is ${computation.kind}`);
  return computation;
};

const HOUR = 3_600_000_000;
const one = (body: string): string =>
  `${BASE}features:\n  - { name: f, entity: user, aggregation: { ${body} } }\n`;

describe('aggregations are normalised', () => {
  it.each([
    ['avg', 'mean', 'float64'],
    ['average', 'mean', 'float64'],
    ['stddev', 'std', 'float64'],
    ['stdev', 'std', 'float64'],
    ['variance', 'var', 'float64'],
    ['nunique', 'count_distinct', 'int64'],
    ['distinct', 'count_distinct', 'int64'],
    ['distinct_count', 'count_distinct', 'int64'],
    ['SUM', 'sum', 'decimal'],
    ['p95', 'quantile', 'float64'],
    ['last_value', 'last', 'decimal'],
  ])('%s is %s and gives %s', (written, canonical, type) => {
    const definitions = sound(one(`function: ${written}, source: orders.total, window: 1h`));
    expect(aggregationOf(definitions, 'f').function).toBe(canonical);
    expect(definitions.features.get('f')!.valueType.kind).toBe(type);
    if (written === 'p95') expect(aggregationOf(definitions, 'f').arguments.q).toBe(0.95);
  });

  it('has the whole history without a window, and windows become features that share one name in lists', () => {
    const definitions = sound(`${BASE}features:
  - { name: n, entity: user, aggregation: { function: count, source: orders } }
  - { name: v, entity: user, aggregation: { function: count, source: orders, windows: [1h, 7d, all], offset: 1h, include_current: true } }
feature_sets:
  - { name: s, features: [v, n] }
`);
    expect(aggregationOf(definitions, 'n')).toMatchObject({
      window: null,
      offset: 0,
      includeCurrent: false,
      field: null,
    });
    expect(['v_1h', 'v_7d', 'v_all'].map((name) => aggregationOf(definitions, name).window)).toEqual([
      HOUR,
      168 * HOUR,
      null,
    ]);
    expect(aggregationOf(definitions, 'v_1h')).toMatchObject({ offset: HOUR, includeCurrent: true });
    expect(definitions.featureSets.get('s')!.features).toEqual(['v_1h', 'v_7d', 'v_all', 'n']);
  });

  it('takes the share of a ratio from where, from of, and filters first by among', () => {
    const text = (body: string): Aggregation =>
      aggregationOf(sound(one(`function: ratio, source: orders, ${body}`)), 'f');
    expect(text('where: paid').ratioWhere!.text).toBe('paid');
    expect(text('where: paid').where).toBeNull();
    const filtered = text('where: paid, among: "total > 0"');
    expect([filtered.ratioWhere!.text, filtered.where!.text]).toEqual(['paid', 'total > 0']);
    const spelled = text('of: paid, where: "total > 0"');
    expect([spelled.ratioWhere!.text, spelled.where!.text]).toEqual(['paid', 'total > 0']);
  });

  it('groups into a map, keeps a decimal default exact and widens an exact number to float64', () => {
    expect(
      sound(one('function: sum, source: orders.total, group_by: status')).features.get('f')!.valueType,
    ).toEqual({
      kind: 'map',
      of: { kind: 'decimal', scale: 2 },
    });
    expect(sound(one('function: sum, source: orders.total, default: 1.5')).features.get('f')!.default).toBe(
      150,
    );
    const widened = sound(
      `${BASE}features:\n  - { name: f, entity: user, value_type: float64, aggregation: { function: count, source: orders } }\n`,
    );
    expect(widened.features.get('f')!.valueType.kind).toBe('float64');
  });
});

describe('sources are completed', () => {
  it('gives states the key of their entity and valid_from, files event time and push append time', () => {
    const { sources } =
      sound(`${BASE}  - { name: pushed, read: push, record_key: id, event_time: at, fields: { id: string, at: timestamp } }
  - { name: known, read: { push: true }, record_key: id, event_time: at, available_at: { delay: -2h }, fields: { id: string, at: date } }
`);
    expect(sources.get('users')!.recordKey).toEqual(['user_id', 'since']);
    expect(sources.get('orders')!.availableAt).toEqual({ kind: 'event_time' });
    expect(sources.get('pushed')!.availableAt).toEqual({ kind: 'append' });
    expect(sources.get('known')!.availableAt).toEqual({ kind: 'delay', delay: -2 * HOUR });
  });

  it('finds the parents of a transform in its SQL, outside of texts, comments and column names', () => {
    const { sources } = sound(`${BASE}transforms:
  - name: t
    sql: |
      -- not from users
      SELECT o.order_id, o.users AS at, 'users' AS x FROM "orders" o
    record_key: order_id
    event_time: at
    fields: { order_id: string, at: timestamp }
`);
    expect(sources.get('t')!.read).toMatchObject({ kind: 'transform', parents: ['orders'] });
  });

  it('reads a contract into rules with stable ids and implied ones for key and time', () => {
    const { sources } = sound(`${BASE}  - name: c
    read: push
    record_key: id
    event_time: at
    fields: { id: string, at: timestamp, amount: decimal(2), code: string }
    contract:
      amount: { not_null: true, range: [0, 99.5], severity: critical, action: flag }
      code: { in: [007, a], pattern: '^[A-Z]{3}$', length: [1, 3], references: orders.status, action: warn }
      rules: [{ name: sane, check: "amount < 10 or code is not null", action: fail }, { name: once, unique: [id, code] }]
      batch: { rows: { min: 1 }, null_rate: { code: 0.1 }, quarantine_rate: 0.05, extra_columns: refuse }
`);
    const { rows, batch } = sources.get('c')!.contract;
    expect(rows.map((rule) => [rule.id, rule.severity, rule.action])).toEqual([
      ['id.not_null', 'error', 'quarantine'],
      ['at.not_null', 'error', 'quarantine'],
      ['amount.not_null', 'critical', 'flag'],
      ['amount.range', 'critical', 'flag'],
      ['code.set', 'error', 'warn'],
      ['code.pattern', 'error', 'warn'],
      ['code.length', 'error', 'warn'],
      ['code.reference', 'error', 'warn'],
      ['sane', 'error', 'fail'],
      ['once', 'error', 'quarantine'],
    ]);
    expect(rows[3]!.check).toEqual({
      kind: 'range',
      min: 0,
      max: 9950,
      minExclusive: false,
      maxExclusive: false,
    });
    expect(rows[4]!.check).toEqual({ kind: 'set', values: ['007', 'a'] });
    expect(batch.map((rule) => rule.id)).toEqual([
      'row_count',
      'code.null_rate',
      'quarantine_rate',
      'extra_columns',
    ]);
  });
});

const EXAMPLE = `entities:
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
  - { name: orders, read: push, record_key: order_id, event_time: at, fields: { order_id: string, user_id: int64, product_id: string, amount: decimal(2), total_amount: decimal(2), at: timestamp } }
  - { name: users, kind: states, read: { files: users.csv }, event_time: since, fields: { user_id: int64, city: string, since: timestamp } }
  - { name: user_vectors, kind: states, read: push, event_time: since, fields: { user_id: int64, vector: float64_vector(128), since: timestamp } }
  - { name: product_vectors, kind: states, read: push, event_time: since, record_key: [product_id, model, since], fields: { product_id: string, model: string, vector: float64_vector(128), since: timestamp } }
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
  - name: user_city
    entity: user
    lookup: { source: users.city, max_age: 90d }
  - { name: user_embedding, entity: user, computation: { function: lookup_embedding, model: u, dimension: 128 } }
  - name: product_embedding
    entity: product
    computation: { function: lookup_embedding, model: product2vec_v3, dimension: 128 }
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
labels:
  - { name: big_month, entity: user, aggregation: { function: sum, source: orders.total_amount }, horizon: 30d, grace: 1d }
datasets:
  - name: d
    observations: { source: orders }
    features: fraud_v1
    label: big_month
    split: { by: cuts, cuts: { test: end, train: 2024-10-01 } }
models:
  - { name: m, dataset: d, task: regression, trainer: { kind: gradient_boosted_trees, seed: 7, learning_rate: 0.1 }, promote: { require: ["test.rmse <= 3.5"], beat_champion: { metric: test.rmse, by: 0.002 } } }
services:
  - { name: s, model: m, log: { sample: 0.1 } }
monitors:
  - { name: w, service: s, window: 7d, features: { test: auto }, alert: [log] }
`;

describe('the declarative example of the interface', () => {
  it('loads as it stands once its sources are defined', () => {
    const definitions = sound(EXAMPLE);
    expect([...definitions.features.keys()]).toEqual([
      'user_purchase_count_30d',
      'user_avg_order_value_90d',
      'user_city',
      'user_embedding',
      'product_embedding',
      'user_product_affinity',
      'basket_to_usual',
    ]);
    const affinity = definitions.features.get('user_product_affinity')!;
    expect(affinity).toMatchObject({
      entities: ['user', 'product'],
      joinKeys: ['user_id', 'product_id'],
      valueType: { kind: 'float64' },
      dependsOn: ['user_embedding', 'product_embedding'],
    });
    const basket = definitions.features.get('basket_to_usual')!;
    expect(basket.dependsOn).toEqual(['user_avg_order_value_90d']);
    expect(basket.requestFields).toEqual([{ name: 'amount', type: { kind: 'decimal', scale: 2 } }]);
    expect(definitions.entities.get('user')!.joinKeys).toEqual([
      { name: 'user_id', type: { kind: 'int64' } },
    ]);
    expect(definitions.datasets.get('d')!.split).toEqual({
      by: 'time_cuts',
      parts: [
        { name: 'train', until: parseInstant('2024-10-01') },
        { name: 'test', until: null },
      ],
    });
    expect(definitions.models.get('m')!.promote.require[0]).toMatchObject({
      part: 'test',
      metric: 'rmse',
      operator: '<=',
      value: 3.5,
    });
  });

  it('takes the vectors of the named model where a source holds several', () => {
    const definitions = sound(EXAMPLE);
    expect(definitions.features.get('user_embedding')!.computation).toMatchObject({
      kind: 'lookup',
      source: 'user_vectors',
      field: 'vector',
    });
    const last = aggregationOf(definitions, 'product_embedding');
    expect(last).toMatchObject({
      function: 'last',
      source: 'product_vectors',
      field: 'vector',
      window: null,
      includeCurrent: true,
    });
    expect(last.where!.text).toBe("model = 'product2vec_v3'");
  });
});

const prints = (definitions: Definitions): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(definitions).flatMap(([kind, items]) =>
      items instanceof Map
        ? [...items].map(([name, item]) => [`${kind}.${name}`, item.fingerprint] as const)
        : [],
    ),
  );

/** The same YAML value with the keys of every object in another order. */
function shuffled(value: unknown, random: () => number): unknown {
  if (Array.isArray(value)) return value.map((item) => shuffled(item, random));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(
    ([key, item]) => [random(), key, shuffled(item, random)] as const,
  );
  entries.sort((a, b) => a[0] - b[0]);
  return Object.fromEntries(entries.map(([, key, item]) => [key, item]));
}

const camel = (name: string): string =>
  name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
/** Keys of definitions in camelCase; names that users chose stay. */
function camelized(value: unknown, inside = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => camelized(item));
  if (typeof value !== 'object' || value === null) return value;
  const chosen = ['fields', 'contract', 'keys', 'request'].includes(inside);
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [chosen ? key : camel(key), camelized(item, key)]),
  );
}

describe('fingerprints', () => {
  const plain = parseDocument(EXAMPLE).toJS() as Record<string, Record<string, unknown>[]>;
  const expected = prints(sound(EXAMPLE));

  it('do not depend on the order of keys', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (stream) => {
        const text = stringify(shuffled(plain, () => stream.next().value as number));
        expect(prints(sound(text))).toEqual(expected);
      }),
      { numRuns: 25 },
    );
  });

  it('are the same from TypeScript, in either spelling', () => {
    const builders = {
      entities: build.entity,
      sources: build.source,
      features: build.feature,
      feature_sets: build.featureSet,
      labels: build.label,
      datasets: build.dataset,
      models: build.model,
      services: build.service,
      monitors: build.monitor,
    } as Readonly<Record<string, (written: never) => unknown>>;
    for (const spell of [(item: unknown) => item, camelized]) {
      const exports = Object.fromEntries(
        Object.entries(plain).map(([kind, items]) => [
          kind,
          items.map((item) => builders[kind]!(spell(item) as never)),
        ]),
      );
      const { inputs } = readDefinitionModule(exports, 'definitions/a.ts');
      const { definitions, diagnostics } = define(inputs, ENVIRONMENT);
      expect(diagnostics.map((diagnostic) => show(diagnostic))).toEqual([]);
      expect(prints(definitions)).toEqual(expected);
    }
  });

  it('stay when descriptions, owners and tags change, and change with the meaning, downstream too', () => {
    const edited = EXAMPLE.replace(
      'description: Number of purchases in the last 30 days',
      'description: other',
    )
      .replaceAll('growth-team', 'someone')
      .replace('[behavioral]', '[]');
    expect(prints(sound(edited))).toEqual(expected);
    const spaced = EXAMPLE.replace("status = 'paid'", "status='paid'");
    expect(prints(sound(spaced))).toEqual(expected);
    const changed = prints(sound(EXAMPLE.replace('window: 90d', 'window: 91d')));
    const differing = Object.keys(expected).filter((name) => changed[name] !== expected[name]);
    expect(differing).toEqual([
      'features.user_avg_order_value_90d',
      'features.basket_to_usual',
      'featureSets.fraud_v1',
      'datasets.d',
      'models.m',
      'services.s',
      'monitors.w',
    ]);
  });

  it('are these for this project: whoever changes them makes everything stale', () => {
    expect(expected).toMatchSnapshot();
  });
});
