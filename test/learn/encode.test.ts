import { describe, expect, it } from 'vitest';
import { MillraceError } from '../../src/core/base/error.js';
import { binEdges } from '../../src/core/learn/bins.js';
import {
  encodedColumns,
  encodedNames,
  encodeRow,
  encodeTable,
  fitEncoder,
} from '../../src/core/learn/encode.js';
import { buildTable, type Feature, takeRows } from '../../src/core/learn/matrix.js';
import {
  BOOLEAN,
  decimal,
  FLOAT64,
  INT64,
  STRING,
  TIMESTAMP,
  type Value,
} from '../../src/core/schema/types.js';
import fc from '../property.js';

const FEATURES: Feature[] = [
  { name: 'age', type: FLOAT64 },
  { name: 'count', type: INT64 },
  { name: 'price', type: decimal(2) },
  { name: 'paid', type: BOOLEAN },
  { name: 'at', type: TIMESTAMP },
  { name: 'city', type: STRING },
  { name: 'vector', type: { kind: 'float64_vector', dimension: 2 } },
];

const finite = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 });
const row: fc.Arbitrary<Value[]> = fc
  .tuple(
    fc.option(finite),
    fc.option(fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))),
    fc.option(fc.integer()),
    fc.option(fc.boolean()),
    fc.option(fc.integer({ min: 0, max: 2 ** 31 }).map((seconds) => seconds * 1e6)),
    fc.option(fc.constantFrom('Oslo', 'Rome', 'Bonn', '', 'constructor', '__proto__', 'ø')),
    fc.option(fc.array(finite, { minLength: 2, maxLength: 2 })),
  )
  .map((values) => values as Value[]);

const tableOf = (rows: Value[][]) =>
  buildTable(
    FEATURES,
    FEATURES.map((_, j) => rows.map((values) => values[j])),
  );

describe('encoder', () => {
  it('gives the same bits for a row, for a table and by column, through JSON, for rows it has not seen', () => {
    fc.assert(
      fc.property(
        fc.array(row, { minLength: 1, maxLength: 20 }),
        fc.array(row, { minLength: 1, maxLength: 10 }),
        fc.constantFrom('linear' as const, 'tree' as const),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 4 }),
        (training, others, form, minCategoryRows, maxCategories) => {
          const fitted = fitEncoder(tableOf(training), { form, minCategoryRows, maxCategories });
          const encoder = JSON.parse(JSON.stringify(fitted)) as typeof fitted;
          expect(encoder).toEqual(fitted);
          const table = tableOf(others);
          const matrix = encodeTable(encoder, table);
          const columns = [...encodedColumns(fitted, table)];
          expect(encodedNames(encoder)).toHaveLength(encoder.width);
          expect(columns).toHaveLength(encoder.width);
          others.forEach((values, r) => {
            const one = encodeRow(encoder, values);
            expect(one).toEqual(matrix.slice(r * encoder.width, (r + 1) * encoder.width));
            expect(one).toEqual(Float64Array.from(columns, (column) => column[r]!));
            if (form === 'linear') expect(one.every(Number.isFinite)).toBe(true);
          });
        },
      ),
      { numRuns: 150 },
    );
  });

  it('standardises, imputes the mean, marks what was missing, and knows rare, unseen and missing categories', () => {
    const features = [FEATURES[0]!, FEATURES[5]!];
    const cities = ['Oslo', 'Oslo', 'Oslo', 'Rome', 'Rome', 'Bonn', null];
    const table = buildTable(features, [[1, 2, 3, 4, null, 5, 3], cities]);
    const encoder = fitEncoder(table, { form: 'linear', minCategoryRows: 2 });
    expect(encodedNames(encoder)).toEqual([
      'age',
      'age missing',
      'city = Oslo',
      'city = Rome',
      'city other',
      'city missing',
    ]);
    const deviation = Math.sqrt((4 + 1 + 0 + 1 + 4 + 0) / 6);
    expect([...encodeRow(encoder, [5, 'Rome'])]).toEqual([2 / deviation, 0, 0, 1, 0, 0]);
    expect([...encodeRow(encoder, [null, 'Bonn'])]).toEqual([0, 1, 0, 0, 1, 0]);
    expect([...encodeRow(encoder, [3, 'never seen'])]).toEqual([0, 0, 0, 0, 1, 0]);
    expect([...encodeRow(encoder, [3, null])]).toEqual([0, 0, 0, 0, 0, 1]);
    const tree = fitEncoder(table, { form: 'tree', minCategoryRows: 2 });
    expect(
      ['Oslo', 'Rome', 'Bonn', 'never seen', null].map((city) => encodeRow(tree, [null, city])[1]),
    ).toEqual([0, 1, 2, 2, 3]);
  });

  it('does not look at how categories are numbered or rows are ordered', () => {
    const cities = ['b', 'a', 'c', 'a', 'b', 'c', 'c', 'd'];
    const table = buildTable([FEATURES[5]!], [cities]);
    const turned = takeRows(buildTable([FEATURES[5]!], [[...cities].reverse()]), [7, 6, 5, 4, 3, 2, 1, 0]);
    expect(fitEncoder(turned, { form: 'tree' })).toEqual(fitEncoder(table, { form: 'tree' }));
    expect(encodeTable(fitEncoder(table, { form: 'tree' }), turned)).toEqual(
      encodeTable(fitEncoder(table, { form: 'tree' }), table),
    );
  });

  it('keeps constant and empty columns harmless', () => {
    const table = buildTable([FEATURES[0]!, FEATURES[1]!], [Array(7).fill(0.1), Array(7).fill(null)]);
    const encoder = fitEncoder(table, { form: 'linear' });
    expect([...encodeTable(encoder, table)]).toEqual(Array(14).fill(0));
    expect(encodeRow(encoder, [0.3, 5])[0]).toBeCloseTo(0.2, 12);
  });

  it('keeps the precision of large numbers with small differences', () => {
    const base = 1_700_000_000_000_000;
    const table = buildTable([FEATURES[4]!], [[base, base + 1, base + 2, base + 3]]);
    const encoded = encodeTable(fitEncoder(table, { form: 'linear' }), table);
    const scale = Math.sqrt(1.25);
    expect([...encoded]).toEqual([-1.5 / scale, -0.5 / scale, 0.5 / scale, 1.5 / scale]);
  });

  it('refuses values and tables of another type, naming the feature', () => {
    const encoder = fitEncoder(buildTable([FEATURES[0]!], [[1, 2]]), { form: 'tree' });
    const refusals = [
      () => encodeRow(encoder, ['many']),
      () => encodeRow(encoder, []),
      () => encodeTable(encoder, buildTable([{ name: 'agee', type: FLOAT64 }], [[1]])),
      () => encodeTable(encoder, buildTable([{ name: 'age', type: STRING }], [['x']])),
      () => buildTable([{ name: 'tags', type: { kind: 'list', of: STRING } }], [[null]]),
    ];
    for (const refusal of refusals) expect(refusal).toThrow(MillraceError);
    expect(refusals[0]).toThrow("feature 'age' is float64, got string many");
  });
});

describe('bins', () => {
  it('part the values by rising edges, each between two neighbours, in about equal numbers', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(finite, fc.integer({ min: -3, max: 3 }), fc.constant(Number.NaN)), {
          maxLength: 400,
        }),
        fc.integer({ min: 2, max: 40 }),
        (values, maxBins) => {
          const edges = binEdges(Float64Array.from(values), maxBins);
          const known = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
          const distinct = [...new Set(known.map((value) => value + 0))];
          expect(edges.length).toBe(Math.max(0, Math.min(distinct.length, maxBins) - 1));
          for (let i = 0; i < edges.length; i++) {
            if (i > 0) expect(edges[i]).toBeGreaterThan(edges[i - 1]!);
            expect(known.some((value) => value <= edges[i]! && (i === 0 || value > edges[i - 1]!))).toBe(
              true,
            );
          }
          if (edges.length > 0) expect(known.at(-1)).toBeGreaterThan(edges.at(-1)!);
        },
      ),
    );
    const even = binEdges(
      Float64Array.from({ length: 10_000 }, (_, i) => i),
      10,
    );
    expect([...even]).toEqual(Array.from({ length: 9 }, (_, i) => (i + 1) * 1000 - 0.5));
  });
});
