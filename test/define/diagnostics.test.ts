import { describe, expect, it } from 'vitest';
import { BASE, check, fromYaml, show } from './check.js';

const feature = (body: string): string => `features:\n  - { name: f, entity: user, ${body} }\n`;

/** What is wrong, the text after BASE with » where a diagnostic stands, and the diagnostics. */
const model = (name: string, trainer: string, task = 'binary') =>
  `  - { name: ${name}, dataset: d, task: ${task}, trainer: ${trainer} }\n`;

const CASES: readonly (readonly [string, string, readonly string[]])[] = [
  ['nothing', feature('aggregation: { function: sum, source: orders.total, window: 7d }'), []],
  [
    'an unknown key',
    'features:\n  - { name: »f, entity: user, »aggregaton: { function: count } }\n',
    [
      'DEF_MISSING_KEY feature `f` has nothing that computes it: expected one of aggregation, lookup, computation, expression',
      'DEF_UNKNOWN_KEY feature `f` has an unknown key `aggregaton` (aggregation)',
    ],
  ],
  [
    'a missing key',
    'labels:\n  - »{ name: l, source: orders, expression: "total > 5" }\n',
    ['DEF_MISSING_KEY label `l` has no `horizon`: expected a duration'],
  ],
  [
    'an unknown function',
    feature('aggregation: { function: »averge, source: orders.total }'),
    ['DEF_UNKNOWN_NAME feature `f` names the function `averge`, which does not exist (average)'],
  ],
  [
    'an unknown source',
    feature('aggregation: { function: count, source: »order }'),
    ['DEF_UNKNOWN_NAME feature `f` names the source `order`, which does not exist (orders)'],
  ],
  [
    'an unknown field after a dot',
    feature('aggregation: { function: sum, source: orders.»totl }'),
    ['DEF_UNKNOWN_NAME feature `f` names the field `totl`, which source `orders` does not have (total)'],
  ],
  [
    'an unknown entity',
    'features:\n  - { name: f, entity: »usr, lookup: { source: users.city } }\n',
    ['DEF_UNKNOWN_NAME feature `f` names the entity `usr`, which does not exist (user)'],
  ],
  [
    'a bad duration',
    feature('aggregation: { function: count, source: orders, window: »30 days }'),
    [
      'DEF_INVALID_VALUE `window` of feature `f` is `30 days`: expected a duration or all such as 1h, 30d, all',
    ],
  ],
  [
    'a sum over a string',
    feature('aggregation: { function: sum, source: orders.»status }'),
    ['DEF_TYPE feature `f`: sum is over `orders.status` of type string: expected int64, float64 or decimal'],
  ],
  [
    'a where that is not boolean',
    feature('aggregation: { function: count, source: orders, where: »"total + 1" }'),
    ['DEF_TYPE `where` of feature `f` gives decimal(2): expected boolean'],
  ],
  [
    'a default of the wrong type',
    feature('default: »none, aggregation: { function: count, source: orders }'),
    ['DEF_TYPE `default` of feature `f` is `none`: expected a value of type int64'],
  ],
  [
    'a value type that does not fit',
    feature('value_type: »string, aggregation: { function: count, source: orders }'),
    ['DEF_TYPE feature `f` gives int64, but its `value_type` is string'],
  ],
  [
    'an argument the function does not take',
    feature('aggregation: { function: count, source: orders, »q: 0.5 }'),
    ['DEF_UNKNOWN_KEY feature `f`: count does not take `q`'],
  ],
  [
    'an argument the function needs',
    feature('aggregation: »{ function: last_k, source: orders.total }'),
    ['DEF_MISSING_KEY feature `f`: last_k has no `k`'],
  ],
  [
    'two faults of one aggregation over three windows, each said once',
    feature('aggregation: { function: count, source: orders, windows: [1h, 1d, 7d], »q: 1, where: "»nope" }'),
    [
      'DEF_UNKNOWN_KEY feature `f_1h`: count does not take `q`',
      'DEF_EXPRESSION `where` of feature `f_1h`: there is no nope here',
    ],
  ],
  [
    'a lookup of events',
    feature('lookup: { source: »orders.status }'),
    ['DEF_TYPE feature `f` looks up the events of `orders`: expected a source of kind states'],
  ],
  [
    'a source without the join key',
    'features:\n  - { name: f, entity: product, lookup: { source: »users.city } }\n',
    ['DEF_UNKNOWN_NAME feature `f`: source `users` has no field for the join key `product_id`'],
  ],
  [
    'a duplicate name',
    `${feature('lookup: { source: users.city }')}  - { name: »f, entity: user, lookup: { source: users.city } }\n`,
    ['DEF_DUPLICATE_NAME the feature `f` is defined twice: first at a.yaml:16:13'],
  ],
  [
    'a circle of features',
    'features:\n  - { name: a, expression: »b + 1 }\n  - { name: b, expression: c + 1 }\n  - { name: c, expression: a + 1 }\n',
    ['DEF_CYCLE features depend on each other in a circle: a → b → c → a'],
  ],
  [
    'a circle of transforms',
    `transforms:
  - { name: »a, sql: SELECT * FROM b, record_key: k, event_time: t, fields: { k: string, t: timestamp } }
  - { name: b, sql: SELECT * FROM a, record_key: k, event_time: t, fields: { k: string, t: timestamp } }
`,
    ['DEF_CYCLE transforms depend on each other in a circle: a → b → a'],
  ],
  [
    'a circle of feature sets',
    'feature_sets:\n  - { name: a, features: [»b] }\n  - { name: b, features: [»a] }\n',
    [
      'DEF_CYCLE feature sets contain each other: b → a → b',
      'DEF_CYCLE feature sets contain each other: a → b → a',
    ],
  ],
  [
    'names in a set that are not there',
    `${feature('lookup: { source: users.city }')}feature_sets:\n  - { name: s, features: [f, »ff, »other_thing] }\n`,
    [
      'DEF_UNKNOWN_NAME feature set `s` names the feature `ff`, which does not exist (f)',
      'DEF_UNKNOWN_NAME feature set `s` names the feature `other_thing`, which does not exist',
    ],
  ],
  [
    'an unknown name in an expression',
    'labels:\n  - { name: l, source: orders, horizon: 1d, expression: "total > 5 and »payd" }\n',
    ['DEF_EXPRESSION label `l`: there is no payd here (paid)'],
  ],
  [
    'an expression that reads a feature of another entity',
    `${feature('lookup: { source: users.city }')}  - { name: g, entity: »product, expression: "f || 'x'" }\n`,
    ['DEF_TYPE feature `g` reads `f` of user, but is of product'],
  ],
  [
    'a broken feature does not hide unknown names beside it',
    `${feature('lookup: { source: users.»cty }')}  - { name: g, expression: "f || »nope" }\n`,
    [
      'DEF_UNKNOWN_NAME feature `f` names the field `cty`, which source `users` does not have (city)',
      'DEF_EXPRESSION feature `g`: there is no nope here',
    ],
  ],
  [
    'shares that do not sum to 1, and no features',
    'datasets:\n  - { name: d, observations: { source: orders }, »features: [], split: { by: random, »parts: { train: 0.7, test: 0.2 } } }\n',
    [
      'DEF_INVALID_VALUE dataset `d` has no features: expected at least one',
      'DEF_INVALID_VALUE shares of `split` of dataset `d` sum to 0.9: expected 1',
    ],
  ],
  [
    'cuts out of order and without an end',
    `${feature('lookup: { source: users.city }')}datasets:\n  - { name: d, observations: { source: orders }, features: f, split: { by: cuts, cuts: { train: 2024-03-01, validation: »2024-02-01, test: »2024-04-01 } } }\n`,
    [
      'DEF_INVALID_VALUE `split` of dataset `d`: validation ends at 2024-02-01, which is not after the part before it',
      'DEF_INVALID_VALUE `split` of dataset `d`: the last part, test, ends at 2024-04-01: expected end',
    ],
  ],
  [
    'observations without the request field that a feature reads',
    `${feature('lookup: { source: users.city }')}  - { name: g, expression: request.amount + 1, request: { amount: float64 } }
datasets:
  - { name: d, observations: { source: »orders }, features: [f, g] }
`,
    [
      'DEF_UNKNOWN_NAME dataset `d`: observations of `orders` have no field `amount`, which feature `g` reads as `request.amount`',
    ],
  ],
  [
    'models, services and monitors',
    `features:
  - { name: f, entity: user, aggregation: { function: count, source: orders, window: 1d } }
labels:
  - { name: l, source: orders, expression: "total > 5", horizon: 1d }
datasets:
  - { name: d, observations: { source: orders }, features: [f], label: l, split: { by: time, parts: { train: 0.8, test: 0.2 } } }
models:
  - { name: m, dataset: d, task: »regression, trainer: { kind: baseline }, promote: { require: [»"test.auc >> 1", "»validation.rmse <= 1"] } }
  - { name: m2, dataset: »dd, task: binary, trainer: { kind: baseline } }
  - { name: ok, dataset: d, task: binary, trainer: { kind: baseline } }
services:
  - { name: s, model: »mm }
  - { name: t, model: ok, log: { sample: »2 } }
  - { name: u, model: ok }
monitors:
  - { name: q, service: »ss, window: »0d }
  - { name: r, service: u, performance: ["»auk >= 0.6"] }
`,
    [
      'DEF_TYPE model `m` is regression, and label `l` is boolean: expected a number',
      'DEF_INVALID_VALUE model `m` requires `test.auc >> 1`: expected a part, a metric and a limit such as test.auc >= 0.70',
      'DEF_UNKNOWN_NAME model `m` names the part `validation`, which its dataset does not have',
      'DEF_UNKNOWN_NAME model `m2` names the dataset `dd`, which does not exist (d)',
      'DEF_UNKNOWN_NAME service `s` names the model `mm`, which does not exist (m)',
      'DEF_INVALID_VALUE `sample` of service `t` is the number `2`: expected a share from 0 to 1',
      'DEF_UNKNOWN_NAME monitor `q` names the service `ss`, which does not exist (s)',
      'DEF_INVALID_VALUE `window` of monitor `q` is `0d`: expected a duration such as 1d, 7d',
      'DEF_UNKNOWN_NAME monitor `r` names the metric `auk`, which a binary model does not have (auc)',
    ],
  ],
  [
    'trainers and their parameters',
    `features:
  - { name: f, entity: user, aggregation: { function: count, source: orders, window: 1d } }
labels:
  - { name: l, source: orders, expression: "total > 5", horizon: 1d }
datasets:
  - { name: d, observations: { source: orders }, features: [f], label: l, split: { by: time, parts: { train: 0.8, test: 0.2 } } }
models:
${model('a', '{ kind: »gradient_boosted_tree }')}${model('b', '{ kind: »process }')}${model(
  'c',
  '{ kind: »linear_regression }',
)}${model(
  'd',
  '{ kind: gradient_boosted_trees, seed: »9999999999, »learning_rat: 0.1, »max_bins: 256, »subsample: much }',
)}${model('e', '{ kind: logistic_regression, »class_weight: balance, l1: 1, »solver: lbfgs }')}`,
    [
      'DEF_UNKNOWN_NAME model `a`: there is no trainer `gradient_boosted_tree` (gradient_boosted_trees)',
      'DEF_INVALID_VALUE model `b`: `command` of trainer `process` must be a list of texts: the program and its arguments',
      'DEF_INVALID_VALUE model `c`: trainer `linear_regression` does not do binary',
      'DEF_INVALID_VALUE model `d`: the seed is 9999999999: expected a whole number of 32 bits',
      'DEF_UNKNOWN_NAME model `d`: trainer `gradient_boosted_trees` has no parameter `learning_rat` (learning_rate)',
      'DEF_INVALID_VALUE model `d`: `max_bins` of trainer `gradient_boosted_trees` is 256: expected at most 255',
      'DEF_INVALID_VALUE model `d`: `subsample` of trainer `gradient_boosted_trees` is "much": expected a number',
      'DEF_INVALID_VALUE model `e`: `class_weight` of trainer `logistic_regression` is "balance": expected none, balanced (balanced)',
      'DEF_INVALID_VALUE model `e`: solver `lbfgs` cannot do `l1`',
    ],
  ],
];

describe('a fault in a definition is a diagnostic at its place, with the nearest right name', () => {
  it.each(CASES)('%s', (_, text, expected) => check(BASE + text, expected));

  it('says every wrong field, type and rule of a source at once, and still types what reads the source', () => {
    check(
      `sources:
  - name: s
    read: { »kafka: { topic: t } }
    record_key: »idd
    event_time: »name
    sequence: »name
    available_at: { delay: »2 hours }
    fields: { id: string, name: string, n: int64, bad: »strin, at: timestamp }
    contract:
      n: { range: [»10, 5], in: [»x] }
      name: { pattern: »'[a' }
      »nn: { not_null: true }
      bad: { not_null: true }
      rules: [{ name: r, check: "n > »'x'" }, { name: q, check: "»m > 1" }]
labels:
  - { name: l, source: s, expression: "n * 2 > bad", horizon: »1 }
`,
      [
        'DEF_INVALID_VALUE source `s` reads from kafka, which is not in this version',
        'DEF_UNKNOWN_NAME `record_key` of source `s` names the field `idd`, which source `s` does not have (id)',
        'DEF_TYPE `event_time` of source `s` is the field `name` of type string: expected timestamp or date',
        'DEF_TYPE `sequence` of source `s` is the field `name` of type string: expected int64',
        'DEF_INVALID_VALUE `delay` of source `s` is `2 hours`: expected a duration such as 2h, -1d',
        'DEF_INVALID_VALUE `bad` in `fields` of source `s` is `strin`: expected a type such as int64, float64, decimal(2), string, boolean, timestamp, date, float64_vector(n)',
        'DEF_INVALID_VALUE `range` of field `n` is empty: 10 is greater than 5',
        'DEF_TYPE `in` of field `n` is `x`: expected a value of type int64',
        'DEF_INVALID_VALUE `pattern` of field `name` is no pattern that every engine reads alike: a class [...] is not closed',
        'DEF_UNKNOWN_NAME contract of source `s` names the field `nn`, which source `s` does not have (n)',
        'DEF_EXPRESSION rule `r`: cannot compare int64 with string',
        'DEF_EXPRESSION rule `q`: there is no m here (n)',
        'DEF_INVALID_VALUE `horizon` of label `l` is the number `1`: expected a duration such as 30s, 5m, 1h, 7d',
      ],
    );
  });

  it('says when a join key has two types', () => {
    check(
      `entities: [{ name: user, join_key: user_id }]
sources:
  - { name: a, read: push, record_key: id, event_time: at, fields: { id: string, user_id: int64, at: timestamp } }
  - { name: b, read: push, record_key: id, event_time: at, fields: { id: string, »user_id: string, at: timestamp } }
features:
  - { name: x, entity: user, aggregation: { function: count, source: a } }
  - { name: y, entity: user, aggregation: { function: count, source: b } }
`,
      ['DEF_TYPE join key `user_id` of entity `user` is string in source `b` and int64 in `a`'],
    );
  });
});

describe('YAML itself', () => {
  it('reports tabs and doubled keys with their place and reads on', () => {
    check(`${BASE}services: »7\nfeature_sets:\n  - name: a\n    »name: b\n    features: [»f]\n`, [
      expect.stringMatching(
        /^DEF_INVALID_VALUE `services` is the number `7`: expected a list, each an object with name, model/,
      ),
      'DEF_SYNTAX Map keys must be unique',
      'DEF_UNKNOWN_NAME feature set `b` names the feature `f`, which does not exist (b)',
    ]);
    expect(fromYaml('entities:\n\t- name: a\n').diagnostics[0]).toMatchObject({
      code: 'DEF_SYNTAX',
      place: { line: 2 },
    });
  });

  it.each([
    ['plain', '»nope'],
    ['single quoted with doubled quotes', "'status = ''x'' and »nope'"],
    ['double quoted with escapes', '"status = \'\\x41\' and »nope"'],
    ['a block', "|\n      status = 'x'\n        and »nope"],
  ])('points into a text that is %s', (_, written) => {
    const text = `${BASE}labels:\n  - name: l\n    source: orders\n    horizon: 1d\n    expression: ${written}\n`;
    check(text, ['DEF_EXPRESSION label `l`: there is no nope here']);
  });

  it('takes anchors, merge keys and several documents, and settings in millrace.yaml only', () => {
    const text = `${BASE}---
features:
  - &base { name: a, entity: user, lookup: { source: users.city } }
  - { <<: *base, name: b }
---
»timezone: UTC
`;
    check(text, ['DEF_UNKNOWN_KEY the file has an unknown key `timezone`']);
    expect([...fromYaml(text.replace('»', '')).definitions.features.keys()]).toEqual(['a', 'b']);
    expect(fromYaml('x: &x [*x]\n').diagnostics.map(show)).toContain('DEF_SYNTAX an anchor contains itself');
    const { settings } = fromYaml(
      'timezone: Europe/Berlin\nmemory_limit: 1.5GiB\nlake: ./here\n',
      true,
    ).definitions;
    expect(settings).toMatchObject({
      timezone: 'Europe/Berlin',
      memoryLimitBytes: 1_610_612_736,
      lake: '/project/here',
      threads: 2,
    });
  });

  it.each([
    '',
    '- 1',
    'entities: 7',
    'entities: [7, [], {}, null]',
    'entities:',
    '? [a]\n: b',
    '"',
    '{',
    '%YAML 9',
    'features:\n  - name: {}\n    expression: []',
    'features:\n  - { name: f, entity: __proto__, aggregation: { function: constructor, source: toString.valueOf } }',
    'sources:\n  - name: __proto__\n    read: push\n    record_key: constructor\n    event_time: __proto__\n    fields: { constructor: int64, __proto__: timestamp }',
    'datasets:\n  - { name: d, observations: {}, features: [d, {}], split: { by: time, parts: {}, cuts: {} } }',
    'models:\n  - { name: m, dataset: m, task: binary, trainer: { kind: 7 } }',
  ])('never throws: %j', (text) => {
    expect(() => fromYaml(text)).not.toThrow();
    expect(() => fromYaml(text, true)).not.toThrow();
  });
});
