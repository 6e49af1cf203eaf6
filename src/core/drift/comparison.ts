import type { PsiNull } from './distance.js';
import { DEFAULT_BINS } from './profile.js';
import type { ChiSquaredResult, ContingencyResult, KsResult } from './tests.js';

/**
 * The policy of a comparison. A column has drifted when a calibrated test rejects after correction over all tests
 * of the run (Benjamini–Hochberg at `fdr`) AND the effect, less what sampling alone would show, reaches a floor.
 */
export interface ComparePolicy {
  readonly fdr: number;
  /** Floor of KS D or total variation after the noise is taken off. */
  readonly minimum_effect: number;
  /** Floor of the change of the null rate after the noise is taken off. */
  readonly minimum_null_effect: number;
  /** Fewer values on either side: `insufficient_data`, never silently `ok`. */
  readonly minimum_rows: number;
  /** Quantile bins of the reference for PSI and Jensen–Shannon. */
  readonly bins: number;
  /** Categories are merged, smallest first, until every expected count is at least this. */
  readonly minimum_expected: number;
}

export const DEFAULT_POLICY: ComparePolicy = {
  fdr: 0.05,
  minimum_effect: 0.05,
  minimum_null_effect: 0.01,
  minimum_rows: 30,
  bins: DEFAULT_BINS,
  minimum_expected: 5,
};

export type ColumnVerdict = 'ok' | 'drifted' | 'insufficient_data';

export interface EffectSize {
  readonly measure: 'ks' | 'total_variation' | 'null_rate';
  readonly observed: number;
  /** Mean of the measure when nothing changed, at these sizes. */
  readonly noise: number;
  /** max(0, observed − noise): what the floor is held against. */
  readonly value: number;
}

export interface ColumnTests {
  readonly ks?: KsResult;
  readonly wasserstein?: { readonly value: number; readonly normalised: number | null };
  readonly psi?: { readonly value: number; readonly bins: number } & PsiNull;
  readonly jensen_shannon?: { readonly distance: number; readonly base: 2 };
  /** The plain table of non-null categories, uncorrected; what the verdict rests on is `chi_squared_merged`. */
  readonly chi_squared?: ContingencyResult;
  readonly chi_squared_merged?: ChiSquaredResult & { readonly categories: number; readonly merged: number };
  readonly total_variation?: { readonly value: number };
  readonly l_infinity?: { readonly value: number };
  readonly hellinger?: { readonly value: number };
  readonly null_rate?: {
    readonly reference: number;
    readonly current: number;
    readonly z: number;
    readonly p_value: number;
  };
}

export type ColumnReason =
  | 'distribution_changed'
  | 'null_rate_changed'
  | 'type_changed'
  | 'too_few_rows'
  | 'identifier_like'
  | 'missing_column';

export interface ColumnComparison {
  readonly type: 'numeric' | 'categorical';
  /** Rows of reference and current, nulls included. */
  readonly rows: readonly [number, number];
  /** Nulls and NaN. */
  readonly nulls: readonly [number, number];
  readonly distinct: readonly [number, number];
  /** Categorical: categories that the other side does not have; the most frequent few. */
  readonly unseen?: { readonly rows: number; readonly categories: readonly string[] };
  /** Numeric: shares of current below the smallest and above the largest reference value. */
  readonly outside?: { readonly below: number; readonly above: number };
  /** `sketch` where a side is a sketch or a thinned profile; then D is within `rank_error` of the exact one. */
  readonly mode: 'exact' | 'sketch';
  readonly rank_error?: number;
  readonly tests: ColumnTests;
  readonly effects: readonly EffectSize[];
  /** Adjusted over the run, one for each test that took part. */
  readonly adjusted_p_values: Readonly<Record<string, number>>;
  readonly verdict: ColumnVerdict;
  readonly reasons: readonly ColumnReason[];
}

export interface Comparison {
  readonly columns: Readonly<Record<string, ColumnComparison>>;
  readonly verdict: ColumnVerdict;
  readonly drifted: readonly string[];
  readonly insufficient_data: readonly string[];
  readonly policy: ComparePolicy;
}
