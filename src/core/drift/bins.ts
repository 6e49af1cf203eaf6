import { type Grouped, quantileGrouped } from './grouped.js';

/**
 * How numbers are binned for PSI and Jensen–Shannon, from the reference alone.
 * - `quantiles`: `edges` c₁ < … < c_k are the distinct interior quantiles of the reference; the bins are
 *   (−∞, c₁], (c₁, c₂], …, (c_k, ∞), so under- and overflow fall into the outer ones.
 * - `values`: the reference has few distinct values; each of `edges` is a bin, and one more holds all others.
 */
export interface Bins {
  readonly kind: 'quantiles' | 'values';
  readonly edges: readonly number[];
}

/** Bins of a reference sample: single values up to `count` distinct ones, else `count` quantile bins. */
export function referenceBins(reference: Grouped, count: number): Bins {
  if (reference.values.length <= count) return { kind: 'values', edges: [...reference.values] };
  const edges = new Set<number>();
  for (let i = 1; i < count; i++) edges.add(quantileGrouped(reference, i / count)!);
  return { kind: 'quantiles', edges: [...edges] };
}

/** Counts per bin; one more bin than edges. */
export function countInBins(bins: Bins, sample: Grouped): number[] {
  const { edges, kind } = bins;
  const counts = new Array<number>(edges.length + 1).fill(0);
  let bin = 0;
  for (const [i, value] of sample.values.entries()) {
    while (bin < edges.length && edges[bin] < value) bin++;
    const found = kind === 'quantiles' || edges[bin] === value ? bin : edges.length;
    counts[found] += sample.counts[i];
  }
  return counts;
}
