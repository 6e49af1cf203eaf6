/** Profiles of batches: what each looked like, and several of them as one reference. */
import type { Instant } from '../base/time.js';
import { countInBins, referenceBins } from './bins.js';
import { groupPairs, quantileGrouped } from './grouped.js';
import {
  type CategoricalProfile,
  type ColumnProfile,
  DEFAULT_BINS,
  DEFAULT_PROBABILITIES,
  type NumericProfile,
  rankCategories,
} from './profile.js';

/**
 * What the accepted records of a batch looked like, those included that turned out to be duplicates. Counts, nulls,
 * least and greatest values, means and deviations are over all of them; quantiles, histograms, kept values and
 * categories over a sample of `sampled` rows; `distinct` is exact when all rows were sampled, else within a few per
 * cent. Instants are microseconds, dates days.
 */
export interface BatchProfile {
  readonly rows: number;
  readonly sampled: number;
  readonly freshness: {
    readonly minEventTime: Instant | null;
    readonly maxEventTime: Instant | null;
    readonly maxAvailableAt: Instant | null;
  };
  readonly columns: Readonly<Record<string, ColumnProfile>>;
}

/** Kept values and categories of a batch's columns: enough for a rank error of half a per cent. */
export const BATCH_PROFILE_OPTIONS = { keep: 100, categories: 50 } as const;

/** A column as its sample saw it: what tests may count on. */
function asSampled(column: ColumnProfile, { rows, sampled }: BatchProfile): ColumnProfile {
  if (sampled >= rows || rows === 0) return column;
  const share = sampled / rows;
  const nulls = Math.round(column.nulls * share);
  if (column.type === 'numeric')
    return {
      ...column,
      nulls,
      nans: Math.round(column.nans * share),
      count: Math.round(column.count * share),
    };
  const count = column.top.reduce((sum, each) => sum + each.count, 0) + column.other;
  return { ...column, nulls, count };
}

/** A column of several batches as one reference, each batch with its weight in rows. Undefined where none has it. */
export function mergeBatches(batches: readonly BatchProfile[], name: string): ColumnProfile | undefined {
  const columns = batches.flatMap((batch) => {
    const column = batch.columns[name];
    return column === undefined ? [] : [asSampled(column, batch)];
  });
  const type = columns[0]?.type;
  if (type === undefined) return undefined;
  return type === 'numeric'
    ? mergeNumeric(columns.filter((column) => column.type === 'numeric'))
    : mergeCategorical(columns.filter((column) => column.type === 'categorical'));
}

const total = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((sum, item) => sum + of(item), 0);
const extreme = (of: (...values: number[]) => number, values: readonly (number | null)[]): number | null => {
  const present = values.filter((value) => value !== null);
  return present.length === 0 ? null : of(...present);
};

function mergeNumeric(columns: readonly NumericProfile[]): NumericProfile {
  const count = total(columns, (column) => column.count);
  const grouped = groupPairs(
    columns.flatMap(({ count: rows, kept }) => {
      const points = total(kept.counts, (each) => each);
      return kept.values.map(
        (value, i) => [value, Math.max(1, Math.round((kept.counts[i]! * rows) / points))] as const,
      );
    }),
  );
  const bins = referenceBins(grouped, DEFAULT_BINS);
  const present = columns.filter((column) => column.mean !== null);
  const counted = total(present, (column) => column.count);
  const mean = counted === 0 ? null : total(present, (column) => (column.mean! * column.count) / counted);
  const squares = total(
    present,
    (column) => (column.std ?? 0) ** 2 * (column.count - 1) + column.count * (column.mean! - mean!) ** 2,
  );
  const rankError =
    count === 0 ? 0 : total(columns, (column) => (column.kept.rank_error * column.count) / count);
  return {
    type: 'numeric',
    count,
    nulls: total(columns, (column) => column.nulls),
    nans: total(columns, (column) => column.nans),
    distinct: Math.max(...columns.map((column) => column.distinct)),
    min: extreme(
      Math.min,
      columns.map((column) => column.min),
    ),
    max: extreme(
      Math.max,
      columns.map((column) => column.max),
    ),
    mean,
    std: counted < 2 ? null : Math.sqrt(squares / (counted - 1)),
    quantiles: Object.fromEntries(
      DEFAULT_PROBABILITIES.map((q) => [String(q), quantileGrouped(grouped, q) ?? null]),
    ),
    histogram: { kind: bins.kind, edges: [...bins.edges], counts: countInBins(bins, grouped) },
    kept: {
      mode: rankError > 0 ? 'sketch' : 'exact',
      values: [...grouped.values],
      counts: [...grouped.counts],
      rank_error: rankError,
    },
  };
}

function mergeCategorical(columns: readonly CategoricalProfile[]): CategoricalProfile {
  const counts = new Map<string, number>();
  for (const { top } of columns)
    for (const { value, count } of top) counts.set(value, (counts.get(value) ?? 0) + count);
  return {
    type: 'categorical',
    count: total(columns, (column) => column.count),
    nulls: total(columns, (column) => column.nulls),
    distinct: Math.max(...columns.map((column) => column.distinct)),
    top: rankCategories(counts).map(([value, count]) => ({ value, count })),
    other: total(columns, (column) => column.other),
  };
}
