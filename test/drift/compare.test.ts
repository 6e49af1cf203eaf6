import { describe, expect, it } from 'vitest';
import { compareColumns, compareProfiles } from '../../src/core/drift/compare.js';
import { mergeSmallBins } from '../../src/core/drift/compare-categories.js';
import type { ColumnSample } from '../../src/core/drift/grouped.js';
import { groupSorted, sortNumbers } from '../../src/core/drift/grouped.js';
import { type ColumnProfile, profileColumn, profileColumns } from '../../src/core/drift/profile.js';
import { chiSquaredContingency, ksGrouped } from '../../src/core/drift/tests.js';
import { expectClose } from './close.js';
import { golden, type StatisticsGolden } from './golden.js';
import { drawing } from './random.js';

const numbers = (values: Iterable<number>, nulls = 0): ColumnSample => ({
  type: 'numeric',
  values: Float64Array.from(values),
  nulls,
});
const categories = (counts: Record<string, number>, nulls = 0): ColumnSample => ({
  type: 'categorical',
  counts: new Map(Object.entries(counts)),
  nulls,
});
const normals = (seed: number, n: number, mean = 0, std = 1): Float64Array => {
  const { normal } = drawing(seed);
  return Float64Array.from({ length: n }, () => mean + std * normal());
};
const one = (reference: ColumnSample, current: ColumnSample) =>
  compareColumns({ x: reference }, { x: current }).columns.x;
const stored = (profile: ColumnProfile): ColumnProfile =>
  JSON.parse(JSON.stringify(profile)) as ColumnProfile;

describe('comparing numeric columns', () => {
  it('a shift is drift, the same distribution is not, and the numbers stand beside the verdict', () => {
    const shifted = one(numbers(normals(1, 2000)), numbers(normals(2, 1000, 0.5)));
    expect(shifted).toMatchObject({
      type: 'numeric',
      rows: [2000, 1000],
      verdict: 'drifted',
      reasons: ['distribution_changed'],
    });
    expect(shifted.tests.ks!.method).toBe('exact');
    expect(shifted.tests.psi!.value).toBeGreaterThan(shifted.tests.psi!.null_p95);
    expectClose(shifted.tests.wasserstein!.value, 0.5, 0.2);
    expect(shifted.tests.jensen_shannon).toMatchObject({ base: 2 });
    const same = one(numbers(normals(3, 2000)), numbers(normals(4, 1000)));
    expect(same).toMatchObject({ verdict: 'ok', reasons: [] });
    expect(same.tests.psi!.value).toBeLessThan(0.05);
  });

  it('a million rows make a shift of 0.02 sigma significant but not drift: the floor holds', () => {
    const n = 300_000;
    const result = one(numbers(normals(5, n)), numbers(normals(6, n, 0.02)));
    expect(result.adjusted_p_values.ks).toBeLessThan(1e-4);
    expect(result.tests.ks!.method).toBe('asymptotic');
    expect(result.verdict).toBe('ok');
  });

  it('few rows are insufficient, with the statistics still reported', () => {
    const result = one(numbers([1, 2, 3]), numbers(normals(7, 500, 9)));
    expect(result).toMatchObject({ verdict: 'insufficient_data', reasons: ['too_few_rows'] });
    expect(result.tests.ks!.statistic).toBe(1);
  });

  it('constants: the same one is ok, another one has drifted', () => {
    const fives = Array.from({ length: 100 }, () => 5);
    expect(one(numbers(fives), numbers(fives))).toMatchObject({
      verdict: 'ok',
      tests: { ks: { statistic: 0, p_value: 1 } },
    });
    const moved = one(numbers(fives), numbers(fives.map((x) => x + 1)));
    expect(moved).toMatchObject({ verdict: 'drifted', outside: { below: 0, above: 1 } });
    expect(moved.tests.wasserstein).toEqual({ value: 1, normalised: null });
  });

  it('a change of the null rate is drift by a test of its own, with the values unchanged', () => {
    const values = normals(8, 1000);
    const result = one(numbers(values, 10), numbers(values, 200));
    expect(result).toMatchObject({ verdict: 'drifted', reasons: ['null_rate_changed'], nulls: [10, 200] });
    expect(result.tests.ks!.statistic).toBe(0);
  });

  it('an all-null current column is drift by nulls, and NaN counts as missing', () => {
    expect(one(numbers(normals(9, 100)), numbers([], 100))).toMatchObject({
      verdict: 'drifted',
      tests: { null_rate: { current: 1 } },
    });
    const nan = Array.from({ length: 100 }, () => Number.NaN);
    expect(one(numbers(nan), numbers(nan))).toMatchObject({
      nulls: [100, 100],
      verdict: 'insufficient_data',
    });
    expect(one(numbers(normals(9, 100)), categories({}, 100))).toMatchObject({
      type: 'numeric',
      verdict: 'drifted',
    });
  });

  it('infinite values are ranked, and leave the distances in units out instead of making them NaN', () => {
    const wild = [...normals(10, 200), Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const result = one(numbers(wild), numbers(wild.slice(0, 200)));
    expect(result.verdict).toBe('ok');
    expect(result.tests.wasserstein).toBeUndefined();
    expect(JSON.stringify(result)).not.toContain('null,');
  });
});

describe('comparing categorical columns', () => {
  it('reports the plain contingency table, whatever is merged for the verdict', () => {
    for (const { a, b, plain } of golden<StatisticsGolden>('statistics').tables) {
      const counts = (row: readonly number[]) => Object.fromEntries(row.map((count, i) => [`c${i}`, count]));
      const { chi_squared } = one(categories(counts(a)), categories(counts(b))).tests;
      expectClose(chi_squared!.statistic, plain[0], 1e-10);
      expectClose(chi_squared!.p_value, plain[1], 1e-10, 1e-305);
      expect(chi_squared!.degrees_of_freedom).toBe(plain[2]);
    }
  });

  it('a new category is drift and is named', () => {
    const result = one(categories({ a: 500, b: 500 }), categories({ a: 400, b: 400, c: 200 }));
    expect(result).toMatchObject({ verdict: 'drifted', unseen: { rows: 200, categories: ['c'] } });
  });

  it('rare categories are merged until every expected count suffices', () => {
    const merged = mergeSmallBins([90, 3, 2, 1, 4], [80, 2, 2, 1, 15], 5);
    expect(merged).toEqual({ a: [90, 4, 6], b: [80, 15, 5], merged: 3 });
    const smallest = chiSquaredContingency(merged.a, merged.b).smallest_expected;
    expect(smallest).toBeGreaterThanOrEqual(5);
    expect(mergeSmallBins([50, 50], [40, 60], 5)).toEqual({ a: [50, 50], b: [60, 40], merged: 0 });
  });

  it('identifiers are not compared as categories', () => {
    const ids = (from: number) =>
      categories(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`id${from + i}`, 1])));
    expect(one(ids(0), ids(300))).toMatchObject({
      verdict: 'insufficient_data',
      reasons: ['identifier_like'],
    });
  });

  it('a changed type or a lost column is drift', () => {
    expect(one(numbers(normals(11, 50)), categories({ a: 50 }))).toMatchObject({
      verdict: 'drifted',
      reasons: ['type_changed'],
    });
    const lost = compareColumns({ x: numbers([1]), y: numbers([1]) }, { x: numbers([1]), z: numbers([1]) });
    expect(lost.drifted).toEqual(['y', 'z']);
    expect(lost.columns.y).toMatchObject({ rows: [1, 0], reasons: ['missing_column'] });
  });
});

describe('profiles', () => {
  it('moments and quantiles agree with NumPy', () => {
    for (const { values, mean, std, quantiles } of golden<StatisticsGolden>('statistics').profiles) {
      const profile = profileColumn(numbers(values), { probabilities: Object.keys(quantiles).map(Number) });
      if (profile.type !== 'numeric') throw new Error('numeric expected');
      expectClose(profile.mean, mean, 1e-15);
      expectClose(profile.std, std, 1e-13);
      for (const [q, value] of Object.entries(quantiles)) expectClose(profile.quantiles[q], value, 1e-14);
      expect(profile.distinct).toBe(new Set(values).size);
    }
  });

  it('a table has the shape that is promised', () => {
    expect(
      profileColumns(3, { amount: numbers([1, 3], 1), country: categories({ ch: 2, de: 1 }) }),
    ).toMatchObject({
      rows: 3,
      columns: {
        amount: {
          type: 'numeric',
          count: 2,
          nulls: 1,
          distinct: 2,
          min: 1,
          max: 3,
          mean: 2,
          std: Math.SQRT2,
          quantiles: { '0.5': 2 },
        },
        country: {
          type: 'categorical',
          count: 3,
          nulls: 0,
          distinct: 2,
          top: [
            { value: 'ch', count: 2 },
            { value: 'de', count: 1 },
          ],
          other: 0,
        },
      },
    });
    expect(profileColumn(numbers([], 4))).toMatchObject({
      count: 0,
      nulls: 4,
      min: null,
      mean: null,
      std: null,
      quantiles: { '0.5': null },
    });
  });

  it('a stored profile compares exactly as the sample did, infinities included', () => {
    const reference = {
      x: numbers([...normals(12, 3000), Number.POSITIVE_INFINITY], 40),
      few: numbers(Array.from({ length: 500 }, (_, i) => i % 4)),
      c: categories({ a: 300, b: 20, d: 5 }, 3),
    };
    const current = {
      x: numbers([...normals(13, 900, 0.2), Number.POSITIVE_INFINITY], 2),
      few: numbers(Array.from({ length: 300 }, (_, i) => i % 5)),
      c: categories({ a: 250, b: 60, e: 4 }, 9),
    };
    const profiles = Object.fromEntries(
      Object.entries(reference).map(([name, sample]) => [name, stored(profileColumn(sample))]),
    );
    const [direct, later] = [compareColumns(reference, current), compareProfiles(profiles, current)];
    expect(later).toEqual(direct);
    expect(direct.columns.few.verdict).toBe('drifted');
  });

  it('a sketch stays within its stated error and says that it is one', () => {
    const [reference, current] = [normals(14, 50_000), normals(15, 4000, 0.1)];
    const profile = stored(profileColumn(numbers(reference), { keep: 1000 }));
    const result = compareProfiles({ x: profile }, { x: numbers(current) }).columns.x;
    const exact = ksGrouped(groupSorted(sortNumbers(reference)), groupSorted(sortNumbers(current)));
    expect(result).toMatchObject({ mode: 'sketch', rank_error: 0.0005, rows: [50_000, 4000] });
    expect(Math.abs(result.tests.ks!.statistic - exact.statistic)).toBeLessThanOrEqual(0.0005 + 1e-12);
    expect(result.tests.ks!.method).toBe('asymptotic');
  });

  it('a profile that keeps the frequent categories folds the rest into one bin on both sides', () => {
    const profile = stored(profileColumn(categories({ a: 400, b: 300, c: 20, d: 10 }), { categories: 2 }));
    expect(profile).toMatchObject({ other: 30, distinct: 4 });
    const same = compareProfiles({ x: profile }, { x: categories({ a: 400, b: 300, c: 10, e: 20 }) }).columns
      .x;
    expect(same).toMatchObject({
      verdict: 'ok',
      mode: 'sketch',
      tests: { chi_squared: { degrees_of_freedom: 2 } },
    });
    expectClose(same.tests.chi_squared!.statistic, 0, 0, 1e-12);
  });
});
