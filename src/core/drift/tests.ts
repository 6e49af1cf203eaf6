import { chiSquaredSf, greatestCommonDivisor, normalSf, studentIsf } from '../base/special.js';
import { sumOf } from '../base/summation.js';
import { type Grouped, groupSorted } from './grouped.js';
import { exactTwoSampleSf, kolmogorovSf } from './kolmogorov.js';

export interface KsResult {
  readonly statistic: number;
  readonly p_value: number;
  readonly method: 'exact' | 'asymptotic';
}

/** Above this many points in either sample the p-value is asymptotic, as in SciPy's `method='auto'`. */
const EXACT_MAXIMUM = 10_000;

/** Rounds half to even, as NumPy does. */
function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

export interface KsOptions {
  readonly method?: 'auto' | 'exact' | 'asymptotic';
  /** True sizes where the grouped counts are those of a sketch; makes the p-value asymptotic. */
  readonly sizes?: readonly [number, number];
}

/**
 * Two-sided two-sample Kolmogorov–Smirnov test from grouped samples; equals `scipy.stats.ks_2samp`. Exact up to
 * 10,000 points a side; otherwise P(D_N > d) of the one-sample law at N = round(nm / (n + m)). Both must be
 * non-empty.
 */
export function ksGrouped(a: Grouped, b: Grouped, options: KsOptions = {}): KsResult {
  const { total: n } = a;
  const { total: m } = b;
  let [i, j, belowA, belowB, widest] = [0, 0, 0, 0, 0];
  while (i < a.values.length && j < b.values.length) {
    const x = Math.min(a.values[i], b.values[j]);
    if (a.values[i] === x) belowA += a.counts[i++];
    if (b.values[j] === x) belowB += b.counts[j++];
    widest = Math.max(widest, Math.abs(belowA * m - belowB * n));
  }
  const statistic = widest / (n * m);
  const [sizeA, sizeB] = options.sizes ?? [n, m];
  const method = options.method ?? 'auto';
  const exact =
    options.sizes === undefined &&
    (method === 'exact' || (method === 'auto' && Math.max(n, m) <= EXACT_MAXIMUM));
  if (exact) {
    const h = Math.round(widest / greatestCommonDivisor(n, m));
    return { statistic, p_value: exactTwoSampleSf(n, m, h), method: 'exact' };
  }
  const effective = Math.max(1, roundHalfEven((sizeA / (sizeA + sizeB)) * sizeB));
  return { statistic, p_value: kolmogorovSf(effective, statistic), method: 'asymptotic' };
}

/** `ksGrouped` of two ascending samples without NaN. */
export const ksTwoSample = (
  sortedA: ArrayLike<number>,
  sortedB: ArrayLike<number>,
  options: KsOptions = {},
): KsResult => ksGrouped(groupSorted(sortedA), groupSorted(sortedB), options);

export interface ChiSquaredResult {
  readonly statistic: number;
  readonly degrees_of_freedom: number;
  readonly p_value: number;
}

export interface ContingencyResult extends ChiSquaredResult {
  /** Yates' continuity correction, only for one degree of freedom (SciPy's default reports this one). */
  readonly yates?: ChiSquaredResult;
  /** Smallest expected count: below 5 the chi-squared approximation is rough. */
  readonly smallest_expected: number;
  /** Cramér's V, 0 … 1, and with the bias correction of W. Bergsma (2013). */
  readonly cramers_v: number;
  readonly cramers_v_corrected: number;
}

/**
 * Pearson's chi-squared test that two rows of counts come from one distribution. Categories that are empty in
 * both rows are left out; one category alone gives statistic 0, no degrees of freedom, p = 1. `statistic` is
 * without continuity correction: `scipy.stats.chi2_contingency(table, correction=False)`.
 */
export function chiSquaredContingency(a: ArrayLike<number>, b: ArrayLike<number>): ContingencyResult {
  const kept = Array.from(a, (_, index) => index).filter((index) => a[index] + b[index] > 0);
  const n = sumOf(kept.length, (i) => a[kept[i]]);
  const m = sumOf(kept.length, (i) => b[kept[i]]);
  const total = n + m;
  const df = n > 0 && m > 0 ? Math.max(0, kept.length - 1) : 0;
  let smallest = Number.POSITIVE_INFINITY;
  const expected = (row: number, index: number): number => (row * (a[index] + b[index])) / total;
  for (const index of kept) smallest = Math.min(smallest, expected(n, index), expected(m, index));
  const smallestExpected = kept.length === 0 ? 0 : smallest;
  if (df === 0) {
    return {
      statistic: 0,
      degrees_of_freedom: 0,
      p_value: 1,
      smallest_expected: smallestExpected,
      cramers_v: 0,
      cramers_v_corrected: 0,
    };
  }
  const pearson = (correction: number): number =>
    sumOf(kept.length * 2, (cell) => {
      const index = kept[cell >> 1];
      const [observed, row] = cell % 2 === 0 ? [a[index], n] : [b[index], m];
      const mean = expected(row, index);
      const distance = Math.abs(observed - mean);
      return Math.max(0, distance - Math.min(correction, distance)) ** 2 / mean;
    });
  const statistic = pearson(0);
  const p = (value: number): number => chiSquaredSf(value, df);
  const corrected = df === 1 ? pearson(0.5) : undefined;
  const phi2 = statistic / total;
  const shrunk = Math.max(0, phi2 - df / (total - 1));
  const columns = kept.length - df ** 2 / (total - 1);
  return {
    statistic,
    degrees_of_freedom: df,
    p_value: p(statistic),
    ...(corrected === undefined
      ? {}
      : { yates: { statistic: corrected, degrees_of_freedom: 1, p_value: p(corrected) } }),
    smallest_expected: smallestExpected,
    cramers_v: Math.min(1, Math.sqrt(phi2)),
    cramers_v_corrected: Math.sqrt(
      shrunk / Math.max(Math.min(columns, 2 - 1 / (total - 1)) - 1, Number.MIN_VALUE),
    ),
  };
}

export interface ProportionsResult {
  readonly difference: number;
  readonly z: number;
  readonly p_value: number;
}

/** Pooled two-proportion z-test, two-sided; `difference` = second − first. Equal degenerate shares give p = 1. */
export function twoProportions(hitsA: number, n: number, hitsB: number, m: number): ProportionsResult {
  const difference = hitsB / m - hitsA / n;
  const pooled = (hitsA + hitsB) / (n + m);
  const error = Math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m));
  if (error === 0) return { difference, z: 0, p_value: 1 };
  const z = difference / error;
  return { difference, z, p_value: 2 * normalSf(Math.abs(z)) };
}

/** Benjamini–Hochberg adjusted p-values, in the order given; reject where adjusted ≤ q. */
export function benjaminiHochberg(pValues: readonly number[]): number[] {
  const order = pValues.map((_, index) => index).sort((x, y) => pValues[y] - pValues[x]);
  const adjusted = new Array<number>(pValues.length);
  let smallest = 1;
  for (const [place, index] of order.entries()) {
    const rank = pValues.length - place;
    smallest = Math.min(smallest, pValues[index] / (rank / pValues.length));
    adjusted[index] = smallest;
  }
  return adjusted;
}

export interface HistoryOptions {
  /** Share of false alarms on an unchanged normal series; default 0.0027, that of three sigma. */
  readonly alpha?: number;
  readonly direction?: 'both' | 'up' | 'down';
  /** Half-width of the interval is at least this share of |mean|, so a constant series tolerates a trifle. */
  readonly relativeFloor?: number;
  /** Half-width of the interval is at least this. */
  readonly floor?: number;
  /** Fewer past points give `insufficient_data`; default 5, never below 2. */
  readonly minimumPoints?: number;
}

export interface HistoryResult {
  readonly verdict: 'ok' | 'anomalous' | 'insufficient_data';
  readonly points: number;
  readonly mean: number | null;
  readonly std: number | null;
  /** Bounds inside which the value is expected; null where open or unknown. */
  readonly lower: number | null;
  readonly upper: number | null;
}

/**
 * Is `value` out of line with `history`, which must not contain it? Student's prediction interval
 * |x − mean| ≤ t(1 − α/2, n − 1) · s · √(1 + 1/n): its false-alarm share is α at every length of history.
 */
export function judgeAgainstHistory(
  history: ArrayLike<number>,
  value: number,
  options: HistoryOptions = {},
): HistoryResult {
  const { alpha = 0.0027, direction = 'both', relativeFloor = 0.01, floor = 0, minimumPoints = 5 } = options;
  const n = history.length;
  if (n < Math.max(2, minimumPoints) || !Number.isFinite(value)) {
    return { verdict: 'insufficient_data', points: n, mean: null, std: null, lower: null, upper: null };
  }
  const mean = sumOf(n, (i) => history[i]) / n;
  const std = Math.sqrt(sumOf(n, (i) => (history[i] - mean) ** 2) / (n - 1));
  const t = studentIsf(direction === 'both' ? alpha / 2 : alpha, n - 1);
  const half = Math.max(t * std * Math.sqrt(1 + 1 / n), relativeFloor * Math.abs(mean), floor);
  const lower = direction === 'up' ? null : mean - half;
  const upper = direction === 'down' ? null : mean + half;
  const outside = (lower !== null && value < lower) || (upper !== null && value > upper);
  return { verdict: outside ? 'anomalous' : 'ok', points: n, mean, std, lower, upper };
}
