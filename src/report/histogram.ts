/** Histograms for the eye: bars with true widths, always few. */

import type { ColumnSample } from '../core/drift/grouped.js';
import type { ColumnProfile, NumericProfile } from '../core/drift/profile.js';

/** A bar from x to x + width (in data units); its area is the share of the values in it. */
export interface DensityBar {
  readonly from: number;
  readonly to: number;
  readonly share: number;
  /** All of the share is at one value. */
  readonly atom: boolean;
}

/** Share of rows from which one value is drawn by itself. */
const ATOM = 0.15;

/**
 * The quantile bins of a profile between its 1 % and 99 % quantiles, each as wide as it is in the data: the shares of
 * the tails beyond are left out, so that one outlier does not flatten the rest. Null when there is nothing to draw.
 */
export function quantileBars(profile: NumericProfile): readonly DensityBar[] | null {
  const { edges, counts, kind } = profile.histogram;
  const low = profile.quantiles['0.01'] ?? profile.min;
  const high = profile.quantiles['0.99'] ?? profile.max;
  if (kind !== 'quantiles' || profile.count === 0 || edges.length === 0) return null;
  if (low === null || low === undefined || high === null || high === undefined || high <= low) return null;
  const bars: DensityBar[] = [];
  const kept = profile.kept.counts.reduce((sum, each) => sum + each, 0);
  const repeats = new Map(profile.kept.values.map((value, i) => [value, profile.kept.counts[i] / kept]));
  for (const [i, each] of counts.entries()) {
    const from = Math.max(low, i === 0 ? low : edges[i - 1]);
    const to = Math.min(high, i === edges.length ? high : edges[i]);
    const share = each / profile.count;
    const whole =
      i === 0
        ? edges[0] > low
          ? Math.max(0, share - 0.01)
          : share
        : i === edges.length
          ? Math.max(0, share - 0.01)
          : share;
    // Bins are closed above: a value that repeats much is the upper edge of its bin and stands by itself.
    const single = repeats.get(to) ?? 0;
    const apart = to === from ? whole : single > ATOM && single > whole / 2 ? Math.min(single, whole) : 0;
    if (to > from) bars.push({ from, to, share: whole - apart, atom: false });
    if (apart > 0) bars.push({ from: to, to, share: apart, atom: true });
  }
  return bars.length > 0 ? bars : null;
}

export interface Series {
  readonly name: string;
  /** Values and how often each stands. */
  readonly values: ArrayLike<number>;
  readonly counts: ArrayLike<number> | null;
}

/** Equal bins over all series: shares in each, of the values within the range. */
export interface NumericOverlay {
  readonly kind: 'numeric';
  readonly from: number;
  readonly to: number;
  readonly reference: readonly number[];
  readonly current: readonly number[];
  /** Shares of the current values outside of the range. */
  readonly outside: number;
}

export interface CategoricalOverlay {
  readonly kind: 'categorical';
  readonly names: readonly string[];
  readonly reference: readonly number[];
  readonly current: readonly number[];
}

export type Overlay = NumericOverlay | CategoricalOverlay;

/** Shares of a weighted sample in `bins` equal bins of [from, to]; the last one is closed. */
export function equalShares(
  values: ArrayLike<number>,
  counts: ArrayLike<number> | null,
  from: number,
  to: number,
  bins: number,
): number[] {
  const shares = new Array<number>(bins).fill(0);
  let total = 0;
  for (let i = 0; i < values.length; i++) {
    const weight = counts === null ? 1 : counts[i];
    total += weight;
    if (!(values[i] >= from && values[i] <= to)) continue;
    shares[Math.min(bins - 1, Math.floor(((values[i] - from) / (to - from)) * bins))] += weight;
  }
  return total === 0 ? shares : shares.map((share) => share / total);
}

const OVERLAY_BINS = 24;
const OVERLAY_NAMES = 8;
const round = (share: number): number => Math.round(share * 1e6) / 1e6;

/**
 * Two distributions on one scale. Numeric: the range holds 1 % to 99 % of either side. Categorical: the reference's
 * most frequent values, then those most frequent now, then all others as one.
 */
export function overlay(reference: ColumnProfile, current: ColumnSample): Overlay | null {
  if (reference.type === 'numeric' && current.type === 'numeric') {
    if (reference.count === 0 || current.values.length === 0) return null;
    const sorted = Float64Array.from(current.values.filter(Number.isFinite)).sort();
    if (sorted.length === 0) return null;
    const at = (q: number): number => sorted[Math.floor(q * (sorted.length - 1))];
    const low = Math.min(reference.quantiles['0.01'] ?? reference.min ?? at(0), at(0.01));
    const high = Math.max(reference.quantiles['0.99'] ?? reference.max ?? at(1), at(0.99));
    const whole =
      reference.kept.values.every(Number.isInteger) &&
      sorted.every(Number.isInteger) &&
      high - low < OVERLAY_BINS * 2;
    const [from, to] = whole
      ? [Math.floor(low), Math.ceil(high)]
      : high > low
        ? [low, high]
        : [low - 0.5, low + 0.5];
    const [left, right, bins] = whole
      ? [from - 0.5, to + 0.5, Math.round(to - from) + 1]
      : ([from, to, OVERLAY_BINS] as const);
    const shares = equalShares(sorted, null, left, right, bins);
    return {
      kind: 'numeric',
      from: left,
      to: right,
      reference: equalShares(reference.kept.values, reference.kept.counts, left, right, bins).map(round),
      current: shares.map(round),
      outside: round(Math.max(0, 1 - shares.reduce((sum, share) => sum + share, 0))),
    };
  }
  if (reference.type === 'categorical' && current.type === 'categorical') {
    const total = [...current.counts.values()].reduce((sum, each) => sum + each, 0);
    if (reference.count === 0 || total === 0) return null;
    const known = new Map(reference.top.map(({ value, count }) => [value, count]));
    const rising = [...current.counts].filter(([name]) => !known.has(name)).sort((a, b) => b[1] - a[1]);
    const names = [
      ...reference.top.slice(0, OVERLAY_NAMES - 2).map(({ value }) => value),
      ...rising.slice(0, 2).map(([name]) => name),
    ];
    const first = names.map((name) => (known.get(name) ?? 0) / reference.count);
    const second = names.map((name) => (current.counts.get(name) ?? 0) / total);
    const rest = (shares: readonly number[]): number =>
      Math.max(0, 1 - shares.reduce((sum, share) => sum + share, 0));
    const all = rest(first) > 1e-9 || rest(second) > 1e-9;
    return {
      kind: 'categorical',
      names: all ? [...names, 'all others'] : names,
      reference: [...first, ...(all ? [rest(first)] : [])].map(round),
      current: [...second, ...(all ? [rest(second)] : [])].map(round),
    };
  }
  return null;
}
