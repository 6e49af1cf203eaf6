import { invariant } from '../base/error.js';

/**
 * The values of one column. Numeric: everything that is not null, in any order; timestamps and dates as numbers
 * of one unit; NaN counts as missing beside the nulls. Categorical: text, booleans and keys, counted by value.
 */
export type ColumnSample =
  | { readonly type: 'numeric'; readonly values: Float64Array; readonly nulls: number }
  | { readonly type: 'categorical'; readonly counts: ReadonlyMap<string, number>; readonly nulls: number };

/**
 * A sample of numbers as ascending distinct values and how often each occurs: what a sort, or SQL
 * `GROUP BY value ORDER BY value`, gives. No NaN. `total` = Σ counts > 0 unless empty.
 */
export interface Grouped {
  readonly values: Float64Array;
  readonly counts: Float64Array;
  readonly total: number;
}

/** Groups ascending values. −0 equals 0. */
export function groupSorted(sorted: ArrayLike<number>): Grouped {
  const values = new Float64Array(sorted.length);
  const counts = new Float64Array(sorted.length);
  let distinct = 0;
  for (let i = 0; i < sorted.length; i++) {
    if (distinct > 0 && values[distinct - 1] === sorted[i]) counts[distinct - 1]++;
    else {
      invariant(distinct === 0 || sorted[i] > values[distinct - 1], 'values are ascending and not NaN');
      values[distinct] = sorted[i] === 0 ? 0 : sorted[i];
      counts[distinct++] = 1;
    }
  }
  return { values: values.subarray(0, distinct), counts: counts.subarray(0, distinct), total: sorted.length };
}

/** A grouped sample from (value, count) pairs in any order; equal values add up, zero counts are left out. */
export function groupPairs(pairs: Iterable<readonly [value: number, count: number]>): Grouped {
  const merged = new Map<number, number>();
  for (const [value, count] of pairs) {
    invariant(!Number.isNaN(value) && count >= 0, 'a pair is a number and a count');
    const key = value === 0 ? 0 : value;
    if (count > 0) merged.set(key, (merged.get(key) ?? 0) + count);
  }
  const values = Float64Array.from(merged.keys()).sort();
  const counts = values.map((value) => merged.get(value) ?? 0);
  return { values, counts, total: counts.reduce((sum, count) => sum + count, 0) };
}

/** Ascending copy of the numbers that are not NaN. */
export function sortNumbers(values: ArrayLike<number>): Float64Array {
  const kept = Float64Array.from(values).filter((value) => !Number.isNaN(value));
  return kept.sort();
}

/**
 * Quantile of type 7 (Hyndman & Fan; the default of NumPy and R, DuckDB's `quantile_cont`): linear between the
 * order statistics around (n − 1)·q. Undefined for an empty sample.
 */
export function quantileSorted(sorted: ArrayLike<number>, q: number): number | undefined {
  if (sorted.length === 0) return undefined;
  const position = (sorted.length - 1) * q;
  const below = Math.floor(position);
  return interpolate(sorted[below], sorted[Math.min(below + 1, sorted.length - 1)], position - below);
}

/** The same from grouped values. */
export function quantileGrouped(sample: Grouped, q: number): number | undefined {
  if (sample.total === 0) return undefined;
  const position = (sample.total - 1) * q;
  const below = Math.floor(position);
  let index = 0;
  let cumulative = sample.counts[0];
  while (cumulative <= below) cumulative += sample.counts[++index];
  const next = below + 1 < cumulative ? index : Math.min(index + 1, sample.values.length - 1);
  return interpolate(sample.values[index], sample.values[next], position - below);
}

function interpolate(low: number, high: number, share: number): number {
  if (share === 0 || low === high) return low;
  return share < 0.5 ? low + (high - low) * share : high - (high - low) * (1 - share);
}
