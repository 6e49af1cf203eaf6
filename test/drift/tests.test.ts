import { describe, expect, it } from 'vitest';
import {
  energyDistance,
  hellinger,
  jensenShannonDistance,
  lInfinity,
  populationStabilityIndex,
  psiNull,
  totalVariation,
  wassersteinDistance,
} from '../../src/core/drift/distance.js';
import {
  groupPairs,
  groupSorted,
  quantileGrouped,
  quantileSorted,
  sortNumbers,
} from '../../src/core/drift/grouped.js';
import {
  benjaminiHochberg,
  chiSquaredContingency,
  judgeAgainstHistory,
  ksGrouped,
  ksTwoSample,
  twoProportions,
} from '../../src/core/drift/tests.js';
import fc from '../property.js';
import { expectClose } from './close.js';
import { golden, type StatisticsGolden } from './golden.js';

const { samples, tables, adjusted } = golden<StatisticsGolden>('statistics');
const grouped = (values: readonly number[]) => groupSorted(sortNumbers(values));
const weighted = (values: readonly number[], weights: readonly number[]) =>
  groupPairs(values.map((value, i) => [value, weights[i]] as const));

const A = [38.7, 41.5, 43.8, 44.5, 45.5, 46.0, 47.7, 58.0];
const B = [39.2, 39.3, 39.7, 41.4, 41.8, 42.9, 43.3, 45.8];
const REFERENCE = [16, 18, 16, 14, 12, 12];
const CURRENT = [16, 16, 16, 16, 16, 8];

describe('two-sample Kolmogorov–Smirnov', () => {
  it('is exact where exactness decides: 0.087 and not 0.049', () => {
    expect(ksTwoSample(A, B)).toMatchObject({ statistic: 0.625, method: 'exact' });
    expectClose(ksTwoSample(A, B).p_value, (2 * 560) / 12870);
    expectClose(ksTwoSample(A, B, { method: 'asymptotic' }).p_value, 0.04931640625);
  });

  it('handles ties as SciPy does', () => {
    const { statistic, p_value } = ksTwoSample([1, 1, 2, 2, 2, 3], [2, 2, 3, 3, 4]);
    expectClose(statistic, 0.433333333333, 1e-11);
    expectClose(p_value, 0.590909090909, 1e-11);
  });

  it('agrees with ks_2samp, exact and asymptotic, on samples of many shapes', () => {
    for (const { a, b, ks, asymptotic } of samples.cases) {
      const result = ksGrouped(grouped(a), grouped(b));
      expect(result.method).toBe('exact');
      expectClose(result.statistic, ks[0], 1e-14);
      expectClose(result.p_value, ks[1], 1e-10);
      expectClose(
        ksGrouped(grouped(a), grouped(b), { method: 'asymptotic' }).p_value,
        asymptotic,
        1e-9,
        1e-13,
      );
    }
  });

  it('agrees with ks_2samp at its limit of exactness and beyond', () => {
    for (const [n, m, shift, statistic, p] of samples.large) {
      const a = Float64Array.from({ length: n }, (_, i) => (i * 7919) % 100003).sort();
      const b = Float64Array.from({ length: m }, (_, i) => ((i * 104729) % 100003) + shift).sort();
      const result = ksTwoSample(a, b);
      expect(result.method).toBe(Math.max(n, m) > 10_000 ? 'asymptotic' : 'exact');
      expectClose(result.statistic, statistic, 1e-13);
      expectClose(result.p_value, p, 1e-9, 1e-12);
    }
  });

  it('is symmetric, and blind to a rising map of the values', () => {
    const sample = fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(sample, sample, (a, b) => {
        const forward = ksGrouped(grouped(a), grouped(b));
        const backward = ksGrouped(grouped(b), grouped(a));
        const mapped = ksGrouped(grouped(a.map((x) => x ** 3 + 5)), grouped(b.map((x) => x ** 3 + 5)));
        expect(backward).toEqual(forward);
        expect(mapped).toEqual(forward);
      }),
    );
  });

  it('is the share of equally likely orders at least as extreme, by enumeration', () => {
    const ranks = [0, 1, 2, 3, 4, 5, 6];
    const splits: number[][] = [];
    for (let mask = 0; mask < 128; mask++) {
      const chosen = ranks.filter((rank) => (mask >> rank) & 1);
      if (chosen.length === 3) splits.push(chosen);
    }
    const distance = (chosen: number[]) =>
      ksTwoSample(
        chosen,
        ranks.filter((rank) => !chosen.includes(rank)),
      );
    for (const split of splits) {
      const { statistic, p_value } = distance(split);
      const extreme = splits.filter((other) => distance(other).statistic >= statistic - 1e-12).length;
      expectClose(p_value, extreme / splits.length, 1e-12);
    }
  });
});

describe('distances between numbers', () => {
  it('Wasserstein gives the examples of the SciPy documentation', () => {
    expectClose(wassersteinDistance(grouped([0, 1, 3]), grouped([5, 6, 8]))!, 5);
    expectClose(wassersteinDistance(weighted([0, 1], [3, 1]), weighted([0, 1], [2, 2]))!, 0.25);
    expectClose(
      wassersteinDistance(
        weighted([3.4, 3.9, 7.5, 7.8], [1.4, 0.9, 3.1, 7.2]),
        weighted([4.5, 1.4], [3.2, 3.5]),
      )!,
      4.0781331438047861,
    );
    expectClose(wassersteinDistance(grouped(A), grouped(B))!, 4.1625);
  });

  it('energy gives the examples of the SciPy documentation', () => {
    expectClose(energyDistance(grouped([0]), grouped([2]))!, 2);
    expectClose(energyDistance(weighted([0, 8], [3, 1]), weighted([0, 8], [2, 2]))!, 1);
    expectClose(energyDistance(grouped(A), grouped(B))!, 1.57023087474, 1e-11);
  });

  it('both agree with SciPy on the golden samples', () => {
    for (const { a, b, wasserstein, energy } of samples.cases) {
      expectClose(wassersteinDistance(grouped(a), grouped(b))!, wasserstein, 1e-12);
      expectClose(energyDistance(grouped(a), grouped(b))!, energy, 1e-11);
    }
  });

  it('a shift moves Wasserstein by itself; infinite values leave it undefined', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -99, max: 99 }), { minLength: 1 }),
        fc.integer({ min: -50, max: 50 }),
        (a, by) => {
          expectClose(
            wassersteinDistance(grouped(a), grouped(a.map((x) => x + by)))!,
            Math.abs(by),
            1e-12,
            1e-12,
          );
        },
      ),
    );
    expect(wassersteinDistance(grouped([1, 2]), grouped([1, Number.POSITIVE_INFINITY]))).toBeUndefined();
  });

  it('grouped pairs in any order equal the sorted sample', () => {
    expect(
      groupPairs([
        [2, 1],
        [-0, 2],
        [1, 0],
        [2, 2],
        [0, 1],
      ]),
    ).toEqual(grouped([0, -0, 2, 2, 2, 0]));
  });

  it('type 7 quantiles interpolate as NumPy does, from values and from groups', () => {
    const values = [1, 2, 3, 4, 10];
    for (const [q, expected] of [
      [0.1, 1.4],
      [0.25, 2],
      [0.5, 3],
      [0.9, 7.6],
    ] as const) {
      expectClose(quantileSorted(values, q)!, expected);
    }
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (a, q) => {
          expect(quantileGrouped(grouped(a), q)).toBe(quantileSorted(sortNumbers(a), q));
        },
      ),
    );
    expect(quantileSorted([], 0.5)).toBeUndefined();
  });
});

describe('counts', () => {
  it('contingency chi-squared gives the known answers, with and without Yates', () => {
    const two = chiSquaredContingency([10, 20], [20, 20]);
    expectClose(two.statistic, 1.9444444444444444);
    expectClose(two.p_value, 0.163186774763, 1e-11);
    expectClose(two.yates!.statistic, 1.3234375);
    expectClose(two.yates!.p_value, 0.24997605752, 1e-10);
    const six = chiSquaredContingency(REFERENCE, CURRENT);
    expectClose(six.statistic, 1.62240896359, 1e-11);
    expectClose(six.p_value, 0.898526239403, 1e-11);
    expect(six.degrees_of_freedom).toBe(5);
    expect(six.yates).toBeUndefined();
  });

  it('agrees with chi2_contingency, jensenshannon and Cramér of SciPy on the golden tables', () => {
    for (const { a, b, plain, default: standard, jensen_shannon, cramers_v } of tables) {
      const result = chiSquaredContingency(a, b);
      expectClose(result.statistic, plain[0], 1e-11);
      expectClose(result.p_value, plain[1], 1e-11, 1e-305);
      expect(result.degrees_of_freedom).toBe(plain[2]);
      const shown = result.yates ?? result;
      expectClose(shown.statistic, standard[0], 1e-11);
      expectClose(shown.p_value, standard[1], 1e-11, 1e-305);
      expectClose(jensenShannonDistance(a, b), jensen_shannon, 1e-11);
      expectClose(result.cramers_v, cramers_v, 1e-11);
    }
  });

  it('empty categories change nothing and one category says nothing', () => {
    expect(chiSquaredContingency([3, 0, 9], [4, 0, 2])).toEqual(chiSquaredContingency([3, 9], [4, 2]));
    expect(chiSquaredContingency([7], [9])).toMatchObject({
      statistic: 0,
      degrees_of_freedom: 0,
      p_value: 1,
    });
    expect(chiSquaredContingency([1, 2], [0, 0])).toMatchObject({ degrees_of_freedom: 0, p_value: 1 });
  });

  it('the distances give the known answers', () => {
    expectClose(jensenShannonDistance(REFERENCE, CURRENT), 0.0817342133057, 1e-11);
    expectClose(populationStabilityIndex(REFERENCE, CURRENT), 0.0372183815773, 1e-11);
    expectClose(totalVariation(REFERENCE, CURRENT), 0.0681818181818, 1e-11);
    expectClose(lInfinity(REFERENCE, CURRENT), 0.0454545454545, 1e-11);
    expectClose(hellinger(REFERENCE, CURRENT), 0.0681277437098, 1e-11);
    expectClose(jensenShannonDistance([1, 0, 0], [0, 1, 0]), 1);
    expectClose(jensenShannonDistance([1, 0], [0.5, 0.5]), 0.5579230452841438, 1e-11);
    expectClose(lInfinity([1, 2, 7], [3, 1, 6]), 0.2);
    expectClose(lInfinity([0, 0.9, 0.1], [0.3, 0.7, 0]), 0.3);
    expectClose(lInfinity([2, 2, 2, 0], [2, 2, 2, 1]), 1 / 7);
  });

  it('PSI on a new category depends on the zero rule, and each rule gives its known number', () => {
    const [p, q] = [
      [500, 300, 200, 0],
      [400, 300, 200, 100],
    ];
    expectClose(populationStabilityIndex(p, q), 0.712399107502, 1e-11);
    expectClose(populationStabilityIndex(p, q, { floor: 1e-5 }), 0.943256288925, 1e-11);
    expectClose(populationStabilityIndex(p, q, { floor: 0.01 }), 0.229547013501, 1e-11);
    expectClose(populationStabilityIndex(p, q, 'jeffreys'), 0.55151684035, 1e-10);
    expectClose(jensenShannonDistance(p, q), 0.232412936544, 1e-11);
    expectClose(hellinger(p, q), 0.229752920547, 1e-11);
  });

  it('the null of PSI at ten thousand rows and ten bins is thirty times below the folk threshold', () => {
    expectClose(psiNull(10, 10_000, 10_000).null_p95, 0.0034, 0.01);
    expectClose(psiNull(10, 10_000, 10_000).null_mean, 0.0018);
    expect(psiNull(1, 10, 10)).toEqual({ null_mean: 0, null_p95: 0 });
  });

  it('symmetric measures are symmetric, bounded and 0 between proportional counts', () => {
    const counts = fc.array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 50 })), {
      minLength: 2,
      maxLength: 8,
    });
    fc.assert(
      fc.property(counts, (pairs) => {
        const [a, b] = [pairs.map(([x]) => x), pairs.map(([, y]) => y)];
        fc.pre(a.some((x) => x > 0) && b.some((y) => y > 0));
        for (const measure of [jensenShannonDistance, totalVariation, lInfinity, hellinger]) {
          expectClose(measure(a, b), measure(b, a), 1e-12);
          expect(measure(a, b)).toBeGreaterThanOrEqual(0);
          expect(measure(a, b)).toBeLessThanOrEqual(1 + 1e-12);
          expectClose(
            measure(
              a,
              a.map((x) => x * 3),
            ),
            0,
            0,
            1e-7,
          );
        }
        expectClose(populationStabilityIndex(a, b), populationStabilityIndex(b, a), 1e-9, 1e-12);
        expectClose(chiSquaredContingency(a, b).p_value, chiSquaredContingency(b, a).p_value, 1e-11);
      }),
    );
  });

  it('two proportions: z² is the uncorrected chi-squared of the table', () => {
    const { z, p_value, difference } = twoProportions(10, 30, 20, 40);
    const table = chiSquaredContingency([10, 20], [20, 20]);
    expectClose(z * z, table.statistic);
    expectClose(p_value, table.p_value, 1e-11);
    expectClose(difference, 1 / 6);
    expect(twoProportions(0, 10, 0, 20).p_value).toBe(1);
  });
});

describe('Benjamini–Hochberg', () => {
  it('agrees with statsmodels, in the given order', () => {
    for (const [p, expected] of adjusted) {
      const actual = benjaminiHochberg(p);
      expect(actual).toHaveLength(expected.length);
      actual.forEach((value, i) => {
        expectClose(value, expected[i], 1e-13);
      });
    }
  });

  it("rejects one of McDonald's 25 at 5 % and six at 25 %, the boundary included", () => {
    const q = benjaminiHochberg(adjusted[0][0]);
    expect(q.filter((p) => p <= 0.05)).toHaveLength(1);
    expect(q.filter((p) => p <= 0.25)).toHaveLength(6);
  });
});

describe('a value against its history', () => {
  it('catches an empty day with six points of history, which z with the day included cannot', () => {
    const history = [1000, 1010, 990, 1005, 995, 1002];
    expect(judgeAgainstHistory(history, 0).verdict).toBe('anomalous');
    const all = [...history, 0];
    const mean = all.reduce((sum, x) => sum + x, 0) / 7;
    const std = Math.sqrt(all.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 6);
    expect(Math.abs(0 - mean) / std).toBeLessThanOrEqual(6 / Math.sqrt(7) + 1e-12);
  });

  it('uses the multipliers of the t prediction interval', () => {
    for (const [n, multiplier] of [
      [6, 5.95],
      [9, 4.51],
      [13, 3.91],
      [29, 3.35],
    ] as const) {
      const history = Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 1 : -1) * (i + 1));
      const { upper, mean, std } = judgeAgainstHistory(history, 0, { alpha: 0.0027, relativeFloor: 0 });
      expect(((upper! - mean!) / std!).toFixed(2)).toBe(multiplier.toFixed(2));
    }
  });

  it('a constant series tolerates a trifle, one direction ignores the other, few points say nothing', () => {
    const flat = [100, 100, 100, 100, 100];
    expect(judgeAgainstHistory(flat, 100.5).verdict).toBe('ok');
    expect(judgeAgainstHistory(flat, 102).verdict).toBe('anomalous');
    expect(judgeAgainstHistory(flat, 102, { direction: 'down' })).toMatchObject({
      verdict: 'ok',
      upper: null,
    });
    expect(judgeAgainstHistory([1, 2, 3], 99).verdict).toBe('insufficient_data');
    expect(judgeAgainstHistory(flat, Number.NaN).verdict).toBe('insufficient_data');
  });
});
