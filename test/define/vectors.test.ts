import { describe, expect, it } from 'vitest';
import { printType } from '../../src/core/schema/types.js';
import { check, fromYaml } from './check.js';

const HEAD = `entities:
  - { name: user, join_key: user_id }
  - { name: product, join_key: product_id }
sources:
  - name: users
    kind: states
    read: { files: users.csv }
    event_time: since
    fields: { user_id: int64, taste: float64_vector(2), city: string, since: timestamp }
  - name: products
    kind: states
    read: { files: products.csv }
    event_time: since
    fields: { product_id: string, embedding: float64_vector(2), wide: float64_vector(3), model: string, version: string, since: timestamp }
  - name: pairs
    kind: states
    read: { files: pairs.csv }
    record_key: [user_id, product_id, since]
    event_time: since
    fields: { user_id: int64, product_id: string, vector: float64_vector(2), since: timestamp }
  - name: clicks
    read: { files: clicks.csv }
    record_key: id
    event_time: at
    fields: { id: string, product_id: string, vector: float64_vector(2), at: timestamp }
features:
  - { name: taste, entity: user, computation: { function: lookup_embedding, source: users.taste } }
  - { name: city, entity: user, lookup: { source: users.city } }
`;
const one = (body: string): string => `${HEAD}  - { name: f, entity: user, computation: { ${body} } }\n`;
const feature = (body: string) => {
  const result = fromYaml(one(body));
  expect(result.diagnostics).toEqual([]);
  return result.definitions!.features.get('f')!;
};

describe('nearest_neighbours', () => {
  it('gives keys of the type of the entity whose vectors they are, or distances', () => {
    const keys = feature('function: nearest_neighbours, source: products.embedding, query: taste, k: 2');
    expect(printType(keys.valueType)).toBe('list(string)');
    expect(keys.dependsOn).toEqual(['taste']);
    expect(keys.joinKeys).toEqual(['user_id']);
    const distances = feature(
      'function: nearest_neighbours, source: products.embedding, query: taste, k: 2, output: distances',
    );
    expect(printType(distances.valueType)).toBe('list(float64)');
    expect(distances.fingerprint).not.toBe(keys.fingerprint);
    const owned = feature(
      'function: nearest_neighbours, source: pairs.vector, of: product, query: taste, k: 2',
    );
    expect(printType(owned.valueType)).toBe('list(string)');
  });

  it('changes its fingerprint with everything that changes its value', () => {
    const base = 'function: nearest_neighbours, source: products.embedding, query: taste, k: 2';
    const variants = [
      '',
      ', metric: euclidean',
      ', model: a',
      ', model: a, version: v2',
      ', max_age: 1d',
    ].map((more) => feature(base + more).fingerprint);
    const others = [
      feature(base.replace('k: 2', 'k: 3')),
      feature(base.replace('query: taste', "query: 'coalesce(taste, taste)'")),
    ].map(({ fingerprint }) => fingerprint);
    expect(new Set([...variants, ...others]).size).toBe(7);
  });

  const told = (name: string, body: string, expected: readonly string[]): void => {
    it(name, () => check(one(body), expected));
  };
  told('needs a source', 'function: »nearest_neighbours, query: taste, k: 2', [
    'DEF_MISSING_KEY feature `f`: nearest_neighbours has no `source`',
  ]);
  told('needs k', 'function: »nearest_neighbours, source: products.embedding, query: taste', [
    'DEF_MISSING_KEY feature `f`: nearest_neighbours has no `k`',
  ]);
  told(
    'says what is wrong with k once',
    'function: nearest_neighbours, source: products.embedding, query: taste, k: »0',
    ['DEF_INVALID_VALUE `k` of feature `f` is the number `0`: expected a whole number from 1'],
  );
  told('needs a query', 'function: »nearest_neighbours, source: products.embedding, k: 2', [
    'DEF_MISSING_KEY feature `f`: nearest_neighbours has no `query`',
  ]);
  told(
    'searches with a vector',
    'function: nearest_neighbours, source: products.embedding, query: »city, k: 2',
    ['DEF_TYPE feature `f`: `query` is string, and `products.embedding` is float64_vector(2)'],
  );
  told(
    'searches with a vector of the same length',
    'function: nearest_neighbours, source: products.wide, query: »taste, k: 2',
    ['DEF_TYPE feature `f`: `query` is float64_vector(2), and `products.wide` is float64_vector(3)'],
  );
  told(
    'checks the dimension that is declared',
    'function: nearest_neighbours, source: products.wide, dimension: »4, query: taste, k: 2',
    ['DEF_TYPE feature `f`: `dimension` is 4, and `products.wide` is float64_vector(3)'],
  );
  told('searches states', 'function: nearest_neighbours, source: »clicks.vector, query: taste, k: 2', [
    'DEF_TYPE feature `f` searches the events of `clicks`: expected a source of kind states',
  ]);
  told('is told whose vectors they are', 'function: nearest_neighbours, source: »pairs, query: taste, k: 2', [
    'DEF_MISSING_KEY feature `f`: the vectors of `pairs` may be those of user or product',
  ]);
  told(
    'leaves out itself only where there is one',
    'function: nearest_neighbours, source: products.embedding, query: taste, k: 2, exclude_self: »true',
    ['DEF_INVALID_VALUE feature `f` is not about `product_id`: there is no self to leave out'],
  );
  told(
    'wants a field that tells models apart',
    'function: nearest_neighbours, source: users.taste, model: »m1, query: taste, k: 2',
    [
      'DEF_UNKNOWN_NAME feature `f` wants the vectors of model m1, and source `users` has no string field to tell them by',
    ],
  );
  told(
    'names the nearest feature to a misspelt query',
    'function: nearest_neighbours, source: products.embedding, query: »tast, k: 2',
    ['DEF_EXPRESSION feature `f`: there is no tast here (taste)'],
  );
});

describe('lookup_embedding', () => {
  it('is of one model and version, by the fields of the source or by name', () => {
    const body = 'function: lookup_embedding, source: users.taste';
    const prints = ['', ', model: a', ', model: a, version: v1', ', model: a, version: v2'].map(
      (more) => feature(body + more).fingerprint,
    );
    expect(new Set(prints).size).toBe(4);
    const result = fromYaml(
      `${HEAD}  - { name: f, entity: product, computation: { function: lookup_embedding, source: products.embedding, model: m, version: v3 } }\n`,
    );
    const { computation } = result.definitions!.features.get('f')!;
    expect(computation.kind === 'aggregation' && computation.where!.text).toBe(
      "model = 'm' and version = 'v3'",
    );
  });
});
