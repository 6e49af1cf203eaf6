import { categoricalSide, draftCategorical, storedCounts, sumCounts } from './compare-categories.js';
import { draftNumeric, type NumericState, numericSide, profileSide } from './compare-numbers.js';
import {
  type ColumnComparison,
  type ColumnReason,
  type ColumnVerdict,
  type ComparePolicy,
  type Comparison,
  DEFAULT_POLICY,
} from './comparison.js';
import type { Draft } from './draft.js';
import { type ColumnProfile, type ColumnState, frozenBins } from './profile.js';
import { benjaminiHochberg } from './tests.js';

const isNumeric = (state: ColumnState): state is NumericState =>
  state.type === 'numeric' || state.type === 'numeric_sketch';
const kindOf = (state: ColumnState): ColumnComparison['type'] =>
  isNumeric(state) ? 'numeric' : 'categorical';

const valuesIn = (state: ColumnState): number => {
  switch (state.type) {
    case 'numeric':
      return state.values.length;
    case 'categorical':
      return sumCounts(state.counts);
    case 'numeric_sketch':
      return state.count + state.nans;
    case 'categorical_sketch':
      return state.count;
  }
};

const sampleRows = (state: ColumnState): number => state.nulls + valuesIn(state);

const isEmpty = (state: ColumnState): boolean => valuesIn(state) === 0;

/** A column whose two sides cannot be compared. */
function draftApart(
  type: ColumnComparison['type'],
  rows: readonly [number, number],
  nulls: readonly [number, number],
  distinct: readonly [number, number],
  reason: ColumnReason,
): Draft {
  return { type, rows, nulls, distinct, mode: 'exact', tests: {}, candidates: [], standing: [reason] };
}

/** An all-null side takes the type of the other: it has no values that could contradict it. */
function draftStates(reference: ColumnState, current: ColumnState, policy: ComparePolicy): Draft {
  if (isNumeric(reference) && isNumeric(current))
    return draftNumeric(numericSide(reference), numericSide(current), policy);
  if (!isNumeric(reference) && !isNumeric(current))
    return draftCategorical(categoricalSide(reference), categoricalSide(current), policy);
  if (isEmpty(reference)) return draftStates(emptyLike(kindOf(current), reference.nulls), current, policy);
  if (isEmpty(current)) return draftStates(reference, emptyLike(kindOf(reference), current.nulls), policy);
  return draftApart(
    kindOf(reference),
    [sampleRows(reference), sampleRows(current)],
    [reference.nulls, current.nulls],
    [0, 0],
    'type_changed',
  );
}

const emptyLike = (type: ColumnComparison['type'], nulls: number): ColumnState =>
  type === 'numeric'
    ? { type: 'numeric', values: new Float64Array(0), nulls }
    : { type: 'categorical', counts: new Map(), nulls };

function draftAgainstProfile(reference: ColumnProfile, current: ColumnState, policy: ComparePolicy): Draft {
  const sample =
    kindOf(current) !== reference.type && isEmpty(current)
      ? emptyLike(reference.type, current.nulls)
      : current;
  if (reference.type === 'numeric' && isNumeric(sample)) {
    const frozen = { bins: frozenBins(reference), counts: reference.histogram.counts };
    return draftNumeric(profileSide(reference), numericSide(sample), policy, frozen);
  }
  if (reference.type === 'categorical' && !isNumeric(sample)) {
    return draftCategorical(storedCounts(reference), categoricalSide(sample), policy);
  }
  if (reference.count === 0) return draftStates(emptyLike(kindOf(sample), reference.nulls), sample, policy);
  return draftApart(
    reference.type,
    [reference.count + reference.nulls, sampleRows(sample)],
    [reference.nulls, sample.nulls],
    [reference.distinct, 0],
    'type_changed',
  );
}

/** Corrects over all tests of the run and gives every column its verdict. */
function settle(drafts: readonly (readonly [string, Draft])[], policy: ComparePolicy): Comparison {
  const all = drafts.flatMap(([, draft]) => draft.candidates);
  const adjusted = new Map(
    benjaminiHochberg(all.map((candidate) => candidate.pValue)).map((p, i) => [all[i], p]),
  );
  const columns = drafts.map(([name, { candidates, standing, ...facts }]) => {
    const changed = candidates.filter(
      (each) => adjusted.get(each)! <= policy.fdr && each.effect.value >= each.floor,
    );
    const broken = standing.some((reason) => reason === 'type_changed' || reason === 'missing_column');
    const verdict: ColumnVerdict =
      broken || changed.length > 0 ? 'drifted' : standing.length > 0 ? 'insufficient_data' : 'ok';
    const comparison: ColumnComparison = {
      ...facts,
      effects: candidates.map((each) => each.effect),
      adjusted_p_values: Object.fromEntries(candidates.map((each) => [each.test, adjusted.get(each)!])),
      verdict,
      reasons: [...changed.map((each) => each.reason), ...standing],
    };
    return [name, comparison] as const;
  });
  const named = (verdict: ColumnVerdict): string[] =>
    columns.filter(([, column]) => column.verdict === verdict).map(([name]) => name);
  const [drifted, insufficient] = [named('drifted'), named('insufficient_data')];
  const verdict =
    drifted.length > 0 ? 'drifted' : insufficient.length === columns.length ? 'insufficient_data' : 'ok';
  return { columns: Object.fromEntries(columns), verdict, drifted, insufficient_data: insufficient, policy };
}

const isState = (column: ColumnState | ColumnProfile): column is ColumnState =>
  'values' in column || 'counts' in column;

function missingColumn(sample: ColumnState | ColumnProfile, side: 'reference' | 'current'): Draft {
  const rows = isState(sample) ? sampleRows(sample) : sample.count + sample.nulls;
  const pair = (value: number): readonly [number, number] => (side === 'current' ? [value, 0] : [0, value]);
  return draftApart(
    isState(sample) ? kindOf(sample) : sample.type,
    pair(rows),
    pair(sample.nulls),
    [0, 0],
    'missing_column',
  );
}

function compareAll<R extends ColumnState | ColumnProfile>(
  reference: Readonly<Record<string, R>>,
  current: Readonly<Record<string, ColumnState>>,
  policy: Partial<ComparePolicy>,
  draft: (reference: R, current: ColumnState, policy: ComparePolicy) => Draft,
): Comparison {
  const full = { ...DEFAULT_POLICY, ...policy };
  const names = [...new Set([...Object.keys(reference), ...Object.keys(current)])];
  const drafts = names.map((name) => {
    if (!Object.hasOwn(current, name)) return [name, missingColumn(reference[name], 'current')] as const;
    if (!Object.hasOwn(reference, name)) return [name, missingColumn(current[name], 'reference')] as const;
    return [name, draft(reference[name], current[name], full)] as const;
  });
  return settle(drafts, full);
}

/**
 * Compares two tables column by column. A column of one side only, or of another type, has drifted. Scores and
 * predictions are columns like any other.
 */
export const compareColumns = (
  reference: Readonly<Record<string, ColumnState>>,
  current: Readonly<Record<string, ColumnState>>,
  policy: Partial<ComparePolicy> = {},
): Comparison => compareAll(reference, current, policy, draftStates);

/**
 * Compares current samples with stored reference profiles. The bins of PSI and Jensen–Shannon are those frozen in
 * the profile. Beyond the kept values D is within `rank_error`, the p-value asymptotic, the mode `sketch`.
 */
export const compareProfiles = (
  reference: Readonly<Record<string, ColumnProfile>>,
  current: Readonly<Record<string, ColumnState>>,
  policy: Partial<ComparePolicy> = {},
): Comparison => compareAll(reference, current, policy, draftAgainstProfile);
