/** A column's tests and effects before the verdict, which depends on the tests of all columns. */
import type { ColumnComparison, ColumnReason, ColumnTests, ComparePolicy, EffectSize } from './comparison.js';
import { jensenShannonDistance, populationStabilityIndex, psiNull } from './distance.js';
import { twoProportions } from './tests.js';

export interface Candidate {
  readonly test: 'ks' | 'chi_squared_merged' | 'null_rate';
  readonly reason: ColumnReason;
  readonly pValue: number;
  readonly effect: EffectSize;
  readonly floor: number;
}

/** A column compared, before the correction over the run. */
export type Draft = Omit<ColumnComparison, 'adjusted_p_values' | 'verdict' | 'reasons' | 'effects'> & {
  readonly candidates: readonly Candidate[];
  readonly standing: readonly ColumnReason[];
};

export const effect = (measure: EffectSize['measure'], observed: number, noise: number): EffectSize => ({
  measure,
  observed,
  noise,
  value: Math.max(0, observed - noise),
});

export function nullCandidate(
  missing: readonly [number, number],
  rows: readonly [number, number],
  policy: ComparePolicy,
): { readonly test: NonNullable<ColumnTests['null_rate']>; readonly candidate: Candidate } | undefined {
  const [n, m] = rows;
  if (n < policy.minimum_rows || m < policy.minimum_rows || missing[0] + missing[1] === 0) return undefined;
  const { difference, z, p_value } = twoProportions(missing[0], n, missing[1], m);
  const pooled = (missing[0] + missing[1]) / (n + m);
  const noise = Math.sqrt(((2 * pooled * (1 - pooled)) / Math.PI) * (1 / n + 1 / m));
  return {
    test: { reference: missing[0] / n, current: missing[1] / m, z, p_value },
    candidate: {
      test: 'null_rate',
      reason: 'null_rate_changed',
      pValue: p_value,
      effect: effect('null_rate', Math.abs(difference), noise),
      floor: policy.minimum_null_effect,
    },
  };
}

const occupied = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((kept, count, i) => kept + (count + b[i] > 0 ? 1 : 0), 0);

export function binnedTests(
  a: readonly number[],
  b: readonly number[],
  sizes: readonly [number, number],
): Pick<ColumnTests, 'psi' | 'jensen_shannon'> {
  const bins = occupied(a, b);
  return {
    psi: { value: populationStabilityIndex(a, b), bins, ...psiNull(bins, ...sizes) },
    jensen_shannon: { distance: jensenShannonDistance(a, b), base: 2 },
  };
}
