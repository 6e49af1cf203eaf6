import { chiSquaredIsf } from '../base/special.js';
import { CompensatedSum, sumOf } from '../base/summation.js';
import type { Grouped } from './grouped.js';

/**
 * First Wasserstein distance ∫ |F − G| dx, equal to `scipy.stats.wasserstein_distance` (counts are its weights).
 * Undefined where a sample is empty or infinite values make it undefined.
 */
export function wassersteinDistance(a: Grouped, b: Grouped): number | undefined {
  if (a.total === 0 || b.total === 0) return undefined;
  const sum = new CompensatedSum();
  let [i, j, belowA, belowB] = [0, 0, 0, 0];
  let previous = Math.min(a.values[0], b.values[0]);
  while (i < a.values.length || j < b.values.length) {
    const x = Math.min(a.values[i] ?? Number.POSITIVE_INFINITY, b.values[j] ?? Number.POSITIVE_INFINITY);
    const gap = Math.abs(belowA * b.total - belowB * a.total);
    if (gap > 0) sum.add(gap * (x - previous));
    if (a.values[i] === x) belowA += a.counts[i++];
    if (b.values[j] === x) belowB += b.counts[j++];
    previous = x;
  }
  const distance = sum.value / a.total / b.total;
  return Number.isFinite(distance) ? distance : undefined;
}

/** Energy distance √(2 ∫ (F − G)² dx), equal to `scipy.stats.energy_distance`. */
export function energyDistance(a: Grouped, b: Grouped): number | undefined {
  if (a.total === 0 || b.total === 0) return undefined;
  const sum = new CompensatedSum();
  let [i, j, belowA, belowB] = [0, 0, 0, 0];
  let previous = Math.min(a.values[0], b.values[0]);
  while (i < a.values.length || j < b.values.length) {
    const x = Math.min(a.values[i] ?? Number.POSITIVE_INFINITY, b.values[j] ?? Number.POSITIVE_INFINITY);
    const gap = belowA / a.total - belowB / b.total;
    if (gap !== 0) sum.add(gap * gap * (x - previous));
    if (a.values[i] === x) belowA += a.counts[i++];
    if (b.values[j] === x) belowB += b.counts[j++];
    previous = x;
  }
  const distance = Math.sqrt(2 * sum.value);
  return Number.isFinite(distance) ? distance : undefined;
}

function shares(counts: ArrayLike<number>): Float64Array {
  const total = sumOf(counts.length, (i) => counts[i]);
  return Float64Array.from(counts, (count) => count / total);
}

/** Jensen–Shannon distance: the root of the divergence in bits, 0 … 1; `scipy…jensenshannon(a, b, base=2)`. */
export function jensenShannonDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [p, q] = [shares(a), shares(b)];
  const part = (x: number, y: number): number => (x === 0 ? 0 : x * Math.log2((2 * x) / (x + y)));
  const divergence = sumOf(p.length, (i) => part(p[i], q[i]) + part(q[i], p[i])) / 2;
  return Math.min(1, Math.sqrt(Math.max(0, divergence)));
}

/** Half the sum of |p − q|, 0 … 1. */
export function totalVariation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [p, q] = [shares(a), shares(b)];
  return sumOf(p.length, (i) => Math.abs(p[i] - q[i])) / 2;
}

/**
 * Mean of the total variation between two samples of sizes n and m from one distribution, here the pooled one:
 * ½ Σ √(2 p (1 − p) / π · (1/n + 1/m)), the normal approximation cell by cell.
 */
export function totalVariationNoise(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const n = sumOf(a.length, (i) => a[i]);
  const m = sumOf(b.length, (i) => b[i]);
  const spread = 1 / n + 1 / m;
  return (
    sumOf(a.length, (i) => {
      const p = (a[i] + b[i]) / (n + m);
      return Math.sqrt(((2 * p * (1 - p)) / Math.PI) * spread);
    }) / 2
  );
}

/** The largest |p − q|. */
export function lInfinity(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [p, q] = [shares(a), shares(b)];
  return p.reduce((widest, share, i) => Math.max(widest, Math.abs(share - q[i])), 0);
}

/** Hellinger distance √(½ Σ (√p − √q)²) = √(1 − Σ √(pq)), 0 … 1. */
export function hellinger(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [p, q] = [shares(a), shares(b)];
  return Math.sqrt(sumOf(p.length, (i) => (Math.sqrt(p[i]) - Math.sqrt(q[i])) ** 2) / 2);
}

/** What stands for an empty bin: a fixed share, not renormalised, or half an observation added to every bin. */
export type ZeroRule = { readonly floor: number } | 'jeffreys';

/**
 * Population stability index Σ (p − q) ln(p / q). A bin empty on both sides is left out; a share of 0 becomes
 * 0.0001 unless another rule is given. The number on empty bins is a convention, not a measurement.
 */
export function populationStabilityIndex(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  zero: ZeroRule = { floor: 1e-4 },
): number {
  const kept = Array.from(a, (_, index) => index).filter((index) => a[index] + b[index] > 0);
  const added = zero === 'jeffreys' ? 0.5 : 0;
  const floor = zero === 'jeffreys' ? 0 : zero.floor;
  const p = shares(kept.map((index) => a[index] + added));
  const q = shares(kept.map((index) => b[index] + added));
  return sumOf(kept.length, (i) => {
    const [x, y] = [p[i] === 0 ? floor : p[i], q[i] === 0 ? floor : q[i]];
    return (x - y) * Math.log(x / y);
  });
}

export interface PsiNull {
  /** Mean of the index when nothing changed: (k − 1)(1/n + 1/m). */
  readonly null_mean: number;
  /** Its 95 % quantile: χ²(k − 1; 0.95) · (1/n + 1/m); good while expected counts are about 10 or more. */
  readonly null_p95: number;
}

/** What the index would be without any change, for `bins` bins that are not empty on both sides. */
export function psiNull(bins: number, n: number, m: number): PsiNull {
  const spread = 1 / n + 1 / m;
  if (bins < 2) return { null_mean: 0, null_p95: 0 };
  return { null_mean: (bins - 1) * spread, null_p95: chiSquaredIsf(0.05, bins - 1) * spread };
}
