/** Two samples of numbers. */

import { CompensatedSum } from '../base/summation.js';
import { type Bins, countInBins, referenceBins } from './bins.js';
import type { ColumnTests, ComparePolicy } from './comparison.js';
import { wassersteinDistance } from './distance.js';
import { binnedTests, type Candidate, type Draft, effect, nullCandidate } from './draft.js';
import { type Grouped, groupSorted, sortNumbers } from './grouped.js';
import { type ColumnState, keptSample, type NumericProfile } from './profile.js';
import { type NumericSketch, sketchGrouped } from './sketch.js';
import { ksGrouped } from './tests.js';

/** Mean of √N·D as N → ∞ under no change: √(π/2) · ln 2. */
const KOLMOGOROV_MEAN = Math.sqrt(Math.PI / 2) * Math.LN2;
/** One side of a numeric comparison. `rows` counts values; `sample.total` may be smaller in a sketch. */
interface NumericSide {
  readonly sample: Grouped;
  readonly count: number;
  readonly missing: number;
  readonly distinct: number;
  readonly rankError: number;
  readonly min: number | undefined;
  readonly max: number | undefined;
}

export type NumericState = Extract<ColumnState, { type: 'numeric' | 'numeric_sketch' }>;
const sketchSide = (sketch: NumericSketch): NumericSide => ({
  sample: sketchGrouped(sketch),
  count: sketch.count,
  missing: sketch.nulls + sketch.nans,
  distinct: sketch.distinct,
  rankError: sketch.rankError,
  min: sketch.min,
  max: sketch.max,
});

export function numericSide(sample: NumericState): NumericSide {
  if (sample.type === 'numeric_sketch') return sketchSide(sample);
  const sorted = sortNumbers(sample.values);
  const grouped = groupSorted(sorted);
  return {
    sample: grouped,
    count: sorted.length,
    missing: sample.nulls + sample.values.length - sorted.length,
    distinct: grouped.values.length,
    rankError: 0,
    min: sorted[0],
    max: sorted.at(-1),
  };
}

/** Population standard deviation of a grouped sample, for scaling only. */
function spreadOf(sample: Grouped): number {
  const sum = new CompensatedSum();
  for (const [i, value] of sample.values.entries()) sum.add(value * sample.counts[i]);
  const mean = sum.value / sample.total;
  const squares = new CompensatedSum();
  for (const [i, value] of sample.values.entries()) squares.add((value - mean) ** 2 * sample.counts[i]);
  return Math.sqrt(squares.value / sample.total);
}

export function draftNumeric(
  reference: NumericSide,
  current: NumericSide,
  policy: ComparePolicy,
  frozen?: { readonly bins: Bins; readonly counts: readonly number[] },
): Draft {
  const rows = [reference.count + reference.missing, current.count + current.missing] as const;
  const missing = [reference.missing, current.missing] as const;
  const sizes = [reference.count, current.count] as const;
  const rankError = reference.rankError + current.rankError;
  const sketch = rankError > 0;
  const nulls = nullCandidate(missing, rows, policy);
  const comparable = sizes[0] > 0 && sizes[1] > 0;
  const enough = Math.min(...sizes) >= policy.minimum_rows;
  const candidates: Candidate[] = nulls ? [nulls.candidate] : [];
  const tests: { -readonly [K in keyof ColumnTests]: ColumnTests[K] } = {};
  let outside: Draft['outside'];
  if (comparable) {
    const ks = ksGrouped(reference.sample, current.sample, sketch ? { sizes } : {});
    const distance = wassersteinDistance(reference.sample, current.sample);
    const spread = spreadOf(reference.sample);
    const bins = frozen?.bins ?? referenceBins(reference.sample, policy.bins);
    const counts = frozen?.counts ?? countInBins(bins, reference.sample);
    tests.ks = ks;
    if (distance !== undefined) {
      tests.wasserstein = {
        value: distance,
        normalised: spread > 0 && Number.isFinite(spread) ? distance / spread : null,
      };
    }
    Object.assign(tests, binnedTests(counts, countInBins(bins, current.sample), sizes));
    outside = outsideShares(reference, current.sample);
    if (enough) {
      const noise = KOLMOGOROV_MEAN * Math.sqrt(1 / sizes[0] + 1 / sizes[1]);
      candidates.push({
        test: 'ks',
        reason: 'distribution_changed',
        pValue: ks.p_value,
        effect: effect('ks', ks.statistic, noise + rankError),
        floor: policy.minimum_effect,
      });
    }
  }
  if (nulls) tests.null_rate = nulls.test;
  return {
    type: 'numeric',
    rows,
    nulls: missing,
    distinct: [reference.distinct, current.distinct],
    ...(outside ? { outside } : {}),
    mode: sketch ? 'sketch' : 'exact',
    ...(sketch ? { rank_error: rankError } : {}),
    tests,
    candidates,
    standing: enough ? [] : ['too_few_rows'],
  };
}

function outsideShares(reference: NumericSide, current: Grouped): { below: number; above: number } {
  let [below, above] = [0, 0];
  current.values.forEach((value, i) => {
    if (reference.min !== undefined && value < reference.min) below += current.counts[i];
    if (reference.max !== undefined && value > reference.max) above += current.counts[i];
  });
  return { below: below / current.total, above: above / current.total };
}

export function profileSide(profile: NumericProfile): NumericSide {
  const sample = keptSample(profile);
  return {
    sample,
    count: profile.count,
    missing: profile.nulls + profile.nans,
    distinct: profile.distinct,
    rankError: profile.kept.rank_error,
    min: profile.min ?? undefined,
    max: profile.max ?? undefined,
  };
}
