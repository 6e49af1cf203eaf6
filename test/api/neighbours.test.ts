import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { printInstant } from '../../src/core/base/time.js';
import type { SweepLookup } from '../../src/core/engine/types.js';
import type { Value } from '../../src/core/schema/types.js';
import { openProject } from '../../src/open.js';
import { explainFeature } from '../../src/services/explain.js';
import { historicalFeatures } from '../../src/services/historical.js';
import { materialize } from '../../src/services/materialize.js';
import { answerFeatures, featureReader } from '../../src/services/serve.js';
import { type OracleAnswer, oracleLookup, type RawVersion } from '../../src/testing/oracle.js';
import { random } from '../world.js';
import { closing, csv, projectFolder, readCsv } from './support.js';

const SECOND = 1_000_000;
const START = Date.UTC(2024, 0, 1) * 1000;
const PRODUCTS = ['b', 'a', 'é', '\u{1F600}', '\uFFFF', '10'];

const DEFINITIONS = `
entities:
  - { name: user, join_key: user_id }
  - { name: product, join_key: product_id }
sources:
  - name: products
    kind: states
    read: { files: 'products-*.csv' }
    record_key: id
    event_time: at
    available_at: known
    deleted: gone
    fields: { id: string, product_id: string, embedding: float64_vector(2), model: string, at: timestamp, known: timestamp, gone: boolean }
features:
  - name: near
    entity: user
    computation: { function: nearest_neighbours, source: products.embedding, model: m1, query: request.v, k: 3, metric: euclidean, max_age: 40s }
    request: { v: float64_vector(2) }
  - name: near_distances
    entity: user
    computation: { function: nearest_neighbours, source: products.embedding, model: m1, query: request.v, k: 3, metric: euclidean, max_age: 40s, output: distances }
    request: { v: float64_vector(2) }
  - name: similar
    computation: { function: nearest_neighbours, source: products.embedding, query: request.v, k: 2 }
    request: { v: float64_vector(2) }
  - name: product_vector
    entity: product
    computation: { function: lookup_embedding, source: products.embedding }
  - name: like_it
    entity: product
    computation: { function: nearest_neighbours, source: products.embedding, query: product_vector, k: 9, metric: dot_product, exclude_self: true }
`;

interface Observed {
  readonly product: string;
  readonly v: readonly [number, number];
  readonly at: number;
}

/** States with corrections that move them, other models, tombstones and resurrections; few values, so that there are ties. */
function world(seed: number): {
  readonly log: readonly RawVersion[];
  readonly observed: readonly Observed[];
} {
  const next = random(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(next() * items.length)]!;
  const log: RawVersion[] = [];
  for (let i = 0; i < 30; i++)
    for (let version = next() < 0.4 ? 3 : 1; version > 0; version--) {
      const eventTime = START + Math.floor(next() * 60) * SECOND;
      log.push({
        recordKey: `r${i}`,
        entity: next() < 0.05 ? null : pick(PRODUCTS),
        eventTime,
        availableAt: eventTime + (next() < 0.4 ? Math.floor(next() * 40) - 5 : 0) * SECOND,
        order: log.length + 1,
        deleted: next() < 0.15,
        fields: {
          embedding: next() < 0.1 ? null : [pick([0, 1, 2]), pick([0, -1, 3])],
          model: pick(['m1', 'm1', 'm2', null]),
        },
      });
    }
  const observed = Array.from({ length: 40 }, () => ({
    product: pick(PRODUCTS),
    v: [pick([0, 1, 5]), pick([1, 2])] as const,
    at: next() < 0.5 ? pick(log).eventTime + pick([0, -1, 1]) : START + Math.floor(next() * 120) * SECOND,
  }));
  return { log, observed };
}

const length = (x: number, y: number): number => Math.sqrt(x * x + y * y);
const METRICS = {
  euclidean: (a: readonly number[], b: readonly number[]) => length(a[0]! - b[0]!, a[1]! - b[1]!),
  cosine: (a: readonly number[], b: readonly number[]) =>
    1 - (a[0]! * b[0]! + a[1]! * b[1]!) / (length(a[0]!, a[1]!) * length(b[0]!, b[1]!)),
  dot_product: (a: readonly number[], b: readonly number[]) => 0 - (a[0]! * b[0]! + a[1]! * b[1]!),
};

/** The definition, read literally: the state of every key at t, all distances, sorted. */
function oracle(
  log: readonly RawVersion[],
  at: number,
  knowledge: number,
  query: readonly number[] | null,
  search: {
    readonly k: number;
    readonly metric: keyof typeof METRICS;
    readonly model?: string;
    readonly maxAge?: number;
    readonly except?: string;
  },
): readonly (readonly [key: string, distance: number])[] | null {
  if (query === null) return null;
  const lookup = { field: 'embedding', maxAge: search.maxAge ?? null, output: 'value' } as SweepLookup;
  // A version of another model takes its record out of sight, as `where` does.
  const seen = log.map((version) =>
    search.model === undefined || version.fields['model'] === search.model
      ? version
      : { ...version, deleted: true },
  );
  const found = PRODUCTS.filter((product) => product !== search.except).flatMap((product) => {
    const { value }: OracleAnswer = oracleLookup(seen, { entity: product, at, knowledge }, lookup);
    if (value === null) return [];
    const distance = METRICS[search.metric](query, value as readonly number[]);
    return Number.isNaN(distance) ? [] : [[product, distance] as const];
  });
  found.sort((a, b) => a[1] - b[1] || Buffer.compare(Buffer.from(a[0]), Buffer.from(b[0])));
  return found.length === 0 ? null : found.slice(0, search.k);
}

const line = (version: RawVersion): (string | null)[] => [
  version.recordKey,
  version.entity,
  version.fields['embedding'] === null ? null : JSON.stringify(version.fields['embedding']),
  version.fields['model'] as string | null,
  printInstant(version.eventTime),
  printInstant(version.availableAt),
  String(version.deleted),
];
const file = (versions: readonly RawVersion[]): string =>
  csv([['id', 'product_id', 'embedding', 'model', 'at', 'known', 'gone'], ...versions.map(line)]);

describe('nearest neighbours', () => {
  it.each([1, 2, 3])(
    'are those of the definition, offline, with hindsight and online (seed %i)',
    async (seed) => {
      const { log, observed } = world(seed);
      const half = Math.floor(log.length / 2);
      const folder = projectFolder({
        'definitions/all.yaml': DEFINITIONS,
        'products-1.csv': file(log.slice(0, half)),
        'products-2.csv': file(log.slice(half)),
        'spine.csv': csv([
          ['user_id', 'product_id', 'v', 't'],
          ...observed.map(({ product, v, at }) => ['u', product, JSON.stringify(v), printInstant(at)]),
        ]),
      });
      const project = closing(await openProject(folder));
      const recordLog = await project.log();
      const source = project.definitions.sources.get('products')!;
      const names = ['near', 'near_distances', 'similar', 'like_it'];

      const expected = (known: readonly RawVersion[], row: Observed, knowledge: number): Value[] => {
        const near = oracle(known, row.at, knowledge, row.v, {
          k: 3,
          metric: 'euclidean',
          model: 'm1',
          maxAge: 40 * SECOND,
        });
        const own = oracleLookup(known, { entity: row.product, at: row.at, knowledge }, {
          field: 'embedding',
          maxAge: null,
          output: 'value',
        } as SweepLookup).value as readonly number[] | null;
        const similar = oracle(known, row.at, knowledge, row.v, { k: 2, metric: 'cosine' });
        const like = oracle(known, row.at, knowledge, own, {
          k: 9,
          metric: 'dot_product',
          except: row.product,
        });
        const keys = (found: typeof near) => found?.map(([key]) => key) ?? null;
        return [keys(near), near?.map(([, distance]) => distance) ?? null, keys(similar), keys(like)];
      };

      const historical = async (known: readonly RawVersion[], knowledge: 'as_of' | 'hindsight') => {
        const out = path.join(folder, 'out.csv');
        await historicalFeatures(project, {
          observations: path.join(folder, 'spine.csv'),
          time: 't',
          features: names,
          out,
          knowledge,
        });
        for (const [i, row] of readCsv(out).entries()) {
          const at = observed[i]!.at;
          expect([i, ...names.map((name) => JSON.parse(row[name] ?? 'null'))]).toEqual([
            i,
            ...expected(known, observed[i]!, knowledge === 'as_of' ? at : Number.POSITIVE_INFINITY),
          ]);
        }
      };

      await recordLog.ingestFiles(source, [path.join(folder, 'products-1.csv')]);
      await materialize(project);
      const reader = await featureReader(project, names);
      const online = (known: readonly RawVersion[]): void => {
        for (const [i, row] of observed.entries()) {
          const { values, statuses } = answerFeatures(
            reader,
            { entities: [{ user_id: 'u', product_id: row.product }], request: [{ v: row.v }], at: row.at },
            0,
          ).rows[0]!;
          const wanted = expected(known, row, row.at);
          expect([i, ...values]).toEqual([i, ...wanted]);
          expect(statuses).toEqual(wanted.map((value) => (value === null ? 'empty' : 'ok')));
        }
      };
      online(log.slice(0, half));
      await historical(log.slice(0, half), 'as_of');

      // The same reader sees what is applied later.
      await recordLog.ingestFiles(source, [path.join(folder, 'products-2.csv')]);
      await materialize(project);
      online(log);
      await historical(log, 'as_of');
      await historical(log, 'hindsight');

      const asked = observed.find((row) => expected(log, row, row.at)[0] !== null)!;
      const explained = await explainFeature(
        project,
        'near',
        {
          entity: { user_id: 'u' },
          request: { v: JSON.stringify(asked.v) },
          at: asked.at,
        },
        'test',
      );
      const [keys, distances] = expected(log, asked, asked.at) as [string[], number[]];
      expect(explained.parts[0]!.records).toMatchObject(
        keys.map((key, i) => ({ product_id: key, distance: distances[i] })),
      );
    },
  );
});
