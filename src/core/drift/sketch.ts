import type { Grouped } from './grouped.js';

/**
 * What a pass over a column of numbers leaves behind when there are too many to keep. The distribution is a list of
 * cells in ascending order: `counts[i]` values lie in [`low[i]`, `high[i]`], and a cell of one value has low = high.
 */
export interface NumericSketch {
  readonly type: 'numeric_sketch';
  /** Values that are neither null nor NaN. */
  readonly count: number;
  readonly nulls: number;
  readonly nans: number;
  readonly distinct: number;
  /** Standard error of `distinct`, relative; 0 where it is exact. */
  readonly distinctError: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number | null;
  /** Sample standard deviation (n − 1). */
  readonly std: number | null;
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly counts: Float64Array;
  /** No rank read from the cells is off by more than this share of `count`; measured, not estimated. */
  readonly rankError: number;
}

/** Every cell as one value: its only one, or the middle. */
export function sketchGrouped({ low, high, counts, count }: NumericSketch): Grouped {
  const values = low.map((from, i) => {
    const to = high[i]!;
    return from === to ? from : from + (to - from) / 2;
  });
  return { values, counts, total: count };
}

/**
 * Quantiles of type 7 at ascending probabilities, as if the values of a cell lay evenly in it: a value whose rank is
 * off by at most `rankError`.
 */
export function sketchQuantiles(sketch: NumericSketch, probabilities: readonly number[]): number[] {
  const { low, high, counts, count } = sketch;
  let cell = 0;
  let before = 0;
  const at = (rank: number): number => {
    while (cell > 0 && rank < before) before -= counts[--cell]!;
    while (cell < counts.length - 1 && rank >= before + counts[cell]!) before += counts[cell++]!;
    const [from, to] = [low[cell]!, high[cell]!];
    if (from === to) return from;
    const value = from + (to - from) * Math.min(1, Math.max(0, (rank + 0.5 - before) / counts[cell]!));
    return Number.isNaN(value) ? from : value;
  };
  return probabilities.map((q) => {
    const position = (count - 1) * q;
    const rank = Math.floor(position);
    const share = position - rank;
    const value = at(rank);
    if (share === 0) return value;
    const next = at(Math.min(rank + 1, count - 1));
    return value === next ? value : value + (next - value) * share;
  });
}

/** What a pass over a column of texts leaves behind when it has too many different ones. */
export interface CategoricalSketch {
  readonly type: 'categorical_sketch';
  readonly count: number;
  readonly nulls: number;
  readonly distinct: number;
  readonly distinctError: number;
  /** The most frequent texts with exact counts; every text that occurs more than `complete` times is among them. */
  readonly counts: ReadonlyMap<string, number>;
  readonly complete: number;
  readonly min: string | null;
  readonly max: string | null;
}
