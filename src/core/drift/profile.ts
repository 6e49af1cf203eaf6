import { sumOf } from '../base/summation.js';
import { type Bins, countInBins, referenceBins } from './bins.js';
import { type ColumnSample, type Grouped, groupSorted, quantileSorted, sortNumbers } from './grouped.js';
import { type CategoricalSketch, type NumericSketch, sketchGrouped, sketchQuantiles } from './sketch.js';

/** A column after one pass over it: its values where they are few enough to keep, else a sketch of bounded size. */
export type ColumnState = ColumnSample | NumericSketch | CategoricalSketch;

/** How a profile keeps the distribution: whole, or thinned with a stated bound. */
export interface KeptNumbers {
  readonly mode: 'exact' | 'sketch';
  /** Ascending distinct values and their counts. In a sketch every kept point stands for count / kept of n. */
  readonly values: readonly number[];
  readonly counts: readonly number[];
  /** Largest error of a cumulative share read from the kept values; 0 where exact. */
  readonly rank_error: number;
}

/** What is said of a column of numbers. */
export interface NumericFacts {
  readonly type: 'numeric';
  /** Values that are neither null nor NaN. */
  readonly count: number;
  readonly nulls: number;
  readonly nans: number;
  readonly distinct: number;
  /** Null where there are no values, or where they are infinite. */
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
  /** Sample standard deviation (n − 1); null below two values. */
  readonly std: number | null;
  /** Type 7, keyed by probability. */
  readonly quantiles: Readonly<Record<string, number | null>>;
}

/** With its distribution. */
export interface NumericProfile extends NumericFacts {
  readonly histogram: Bins & { readonly counts: readonly number[] };
  readonly kept: KeptNumbers;
}

export interface CategoricalProfile {
  readonly type: 'categorical';
  readonly count: number;
  readonly nulls: number;
  readonly distinct: number;
  /** By falling count, then by value. Complete where `other` is 0. */
  readonly top: readonly { readonly value: string; readonly count: number }[];
  /** Rows whose category is not in `top`. */
  readonly other: number;
}

/** A frozen, JSON-safe state of one column: what a training run stores and a monitor compares against. */
export type ColumnProfile = NumericProfile | CategoricalProfile;

export interface ProfileOptions {
  /** Numbers kept exactly; beyond, as many at equally spaced ranks. Default 10,000. */
  readonly keep?: number;
  /** Categories kept by name. Default 1,000. */
  readonly categories?: number;
  /** Quantile bins of the histogram. Default 10. */
  readonly bins?: number;
  readonly probabilities?: readonly number[];
}

export const DEFAULT_PROBABILITIES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99] as const;
const DEFAULT_KEEP = 10_000;
const DEFAULT_CATEGORIES = 1_000;
export const DEFAULT_BINS = 10;

const finite = (value: number | undefined): number | null =>
  value !== undefined && Number.isFinite(value) ? value : null;

/** Categories by falling count, then by code units of the name: one order everywhere. `most`: the first so many. */
export function rankCategories(
  counts: ReadonlyMap<string, number>,
  most = counts.size,
): [value: string, count: number][] {
  // Few of many are not worth sorting all of them.
  const least = most < counts.size ? Float64Array.from(counts.values()).sort().at(-most)! : 0;
  const ranked: [value: string, count: number][] = [];
  for (const entry of counts) if (entry[1] > 0 && entry[1] >= least) ranked.push(entry);
  return ranked.sort(([a, x], [b, y]) => y - x || (a < b ? -1 : a > b ? 1 : 0)).slice(0, most);
}

/** How many categories there are and how many rows they have. */
export function countCategories(counts: ReadonlyMap<string, number>): { distinct: number; count: number } {
  let [distinct, count] = [0, 0];
  for (const each of counts.values()) {
    if (each > 0) distinct++;
    count += each;
  }
  return { distinct, count };
}

/** Mean and sample standard deviation in two compensated passes; null where undefined or infinite. */
export function moments(values: ArrayLike<number>): { mean: number | null; std: number | null } {
  const n = values.length;
  const mean = n === 0 ? undefined : sumOf(n, (i) => values[i]) / n;
  if (mean === undefined || !Number.isFinite(mean)) return { mean: null, std: null };
  const std = n < 2 ? undefined : Math.sqrt(sumOf(n, (i) => (values[i] - mean) ** 2) / (n - 1));
  return { mean, std: finite(std) };
}

/** JSON has no infinities: they are stored as the largest doubles and read back as what they were. */
const freeze = (value: number): number => Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value));
const thaw = (value: number): number => (Math.abs(value) === Number.MAX_VALUE ? value * 2 : value);

/** Keeps at most `limit` points: the value of rank ⌊(i + ½) n / limit⌋, so a share is off by at most ½ / limit. */
function keepNumbers(sorted: Float64Array, limit: number): KeptNumbers {
  const n = sorted.length;
  const sketch = n > limit;
  const points = sketch
    ? Float64Array.from({ length: limit }, (_, i) => sorted[Math.floor(((i + 0.5) * n) / limit)])
    : sorted;
  const { values, counts } = groupSorted(points);
  return {
    mode: sketch ? 'sketch' : 'exact',
    values: Array.from(values, freeze),
    counts: [...counts],
    rank_error: sketch ? 0.5 / limit : 0,
  };
}

/** Infinite ends and quantiles are null. */
const numericFacts = (
  found: Omit<NumericFacts, 'type' | 'min' | 'max' | 'quantiles'> & {
    readonly min: number | undefined;
    readonly max: number | undefined;
  },
  quantiles: readonly (number | undefined)[],
  probabilities: readonly number[],
): NumericFacts => ({
  type: 'numeric',
  count: found.count,
  nulls: found.nulls,
  nans: found.nans,
  distinct: found.distinct,
  min: finite(found.min),
  max: finite(found.max),
  mean: found.mean,
  std: found.std,
  quantiles: Object.fromEntries(probabilities.map((q, i) => [String(q), finite(quantiles[i])])),
});

const sketchFacts = (sketch: NumericSketch, probabilities: readonly number[]): NumericFacts =>
  numericFacts(sketch, sketchQuantiles(sketch, probabilities), probabilities);

const sampleFacts = (
  sorted: Float64Array,
  distinct: number,
  { values, nulls }: { readonly values: Float64Array; readonly nulls: number },
  probabilities: readonly number[],
): NumericFacts =>
  numericFacts(
    {
      count: sorted.length,
      nulls,
      nans: values.length - sorted.length,
      distinct,
      min: sorted[0],
      max: sorted.at(-1),
      ...moments(sorted),
    },
    probabilities.map((q) => quantileSorted(sorted, q)),
    probabilities,
  );

const histogramOf = (grouped: Grouped, options: ProfileOptions): NumericProfile['histogram'] => {
  const bins = referenceBins(grouped, options.bins ?? DEFAULT_BINS);
  return { kind: bins.kind, edges: bins.edges.map(freeze), counts: countInBins(bins, grouped) };
};

function profileSample(
  sample: Extract<ColumnSample, { type: 'numeric' }>,
  options: ProfileOptions,
): NumericProfile {
  const sorted = sortNumbers(sample.values);
  const grouped = groupSorted(sorted);
  return {
    ...sampleFacts(sorted, grouped.values.length, sample, options.probabilities ?? DEFAULT_PROBABILITIES),
    histogram: histogramOf(grouped, options),
    kept: keepNumbers(sorted, options.keep ?? DEFAULT_KEEP),
  };
}

function profileSketch(sketch: NumericSketch, options: ProfileOptions): NumericProfile {
  const { count, rankError } = sketch;
  const limit = Math.min(options.keep ?? DEFAULT_KEEP, count);
  const kept = keepNumbers(
    Float64Array.from(
      sketchQuantiles(
        sketch,
        Array.from({ length: limit }, (_, i) => Math.floor(((i + 0.5) * count) / limit) / (count - 1)),
      ),
    ),
    limit,
  );
  return {
    ...sketchFacts(sketch, options.probabilities ?? DEFAULT_PROBABILITIES),
    histogram: histogramOf(sketchGrouped(sketch), options),
    kept: { ...kept, mode: 'sketch', rank_error: 0.5 / limit + rankError },
  };
}

function profileCategories(
  { counts, nulls, ...state }: CategoricalSketch | Extract<ColumnSample, { type: 'categorical' }>,
  most: number,
): CategoricalProfile {
  const { distinct, count } = state.type === 'categorical' ? countCategories(counts) : state;
  const top = rankCategories(counts, most).map(([value, each]) => ({ value, count: each }));
  const other = count - top.reduce((sum, each) => sum + each.count, 0);
  return { type: 'categorical', count, nulls, distinct, top, other };
}

/** Profiles one column. */
export function profileColumn(state: ColumnState, options: ProfileOptions = {}): ColumnProfile {
  if (state.type === 'numeric') return profileSample(state, options);
  if (state.type === 'numeric_sketch') return profileSketch(state, options);
  return profileCategories(state, options.categories ?? DEFAULT_CATEGORIES);
}

/** What is said of one column: its profile without the distribution, and no more categories than these. */
export function columnFacts(state: ColumnState, categories: number): NumericFacts | CategoricalProfile {
  if (state.type === 'numeric_sketch') return sketchFacts(state, DEFAULT_PROBABILITIES);
  if (state.type !== 'numeric') return profileCategories(state, categories);
  const sorted = sortNumbers(state.values);
  return sampleFacts(sorted, groupSorted(sorted).values.length, state, DEFAULT_PROBABILITIES);
}

export interface Profile {
  readonly rows: number;
  readonly columns: Readonly<Record<string, ColumnProfile>>;
}

/** Profiles a table of `rows` rows; the columns keep the given order. */
export function profileColumns(
  rows: number,
  columns: Readonly<Record<string, ColumnSample>>,
  options: ProfileOptions = {},
): Profile {
  return {
    rows,
    columns: Object.fromEntries(
      Object.entries(columns).map(([name, sample]) => [name, profileColumn(sample, options)]),
    ),
  };
}

/** The kept numbers as a grouped sample; `total` is the number of points kept, not of rows seen. */
export function keptSample(profile: NumericProfile): Grouped {
  const counts = Float64Array.from(profile.kept.counts);
  return {
    values: Float64Array.from(profile.kept.values, thaw),
    counts,
    total: counts.reduce((sum, count) => sum + count, 0),
  };
}

/** The bins frozen in a profile. */
export const frozenBins = ({ histogram }: NumericProfile): Bins => ({
  kind: histogram.kind,
  edges: histogram.edges.map(thaw),
});
