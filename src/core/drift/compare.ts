import { CompensatedSum } from '../base/summation.js';
import { type Bins, countInBins, referenceBins } from './bins.js';
import {
  hellinger,
  jensenShannonDistance,
  lInfinity,
  type PsiNull,
  populationStabilityIndex,
  psiNull,
  totalVariation,
  totalVariationNoise,
  wassersteinDistance,
} from './distance.js';
import { type Grouped, groupSorted, sortNumbers } from './grouped.js';
import {
  type CategoricalProfile,
  type ColumnProfile,
  type ColumnState,
  countCategories,
  DEFAULT_BINS,
  frozenBins,
  keptSample,
  type NumericProfile,
  rankCategories,
} from './profile.js';
import { type NumericSketch, sketchGrouped } from './sketch.js';
import {
  benjaminiHochberg,
  type ChiSquaredResult,
  type ContingencyResult,
  chiSquaredContingency,
  type KsResult,
  ksGrouped,
  twoProportions,
} from './tests.js';

/**
 * The policy of a comparison. A column has drifted when a calibrated test rejects after correction over all tests
 * of the run (Benjamini–Hochberg at `fdr`) AND the effect, less what sampling alone would show, reaches a floor.
 */
export interface ComparePolicy {
  readonly fdr: number;
  /** Floor of KS D or total variation after the noise is taken off. */
  readonly minimumEffect: number;
  /** Floor of the change of the null rate after the noise is taken off. */
  readonly minimumNullEffect: number;
  /** Fewer values on either side: `insufficient_data`, never silently `ok`. */
  readonly minimumRows: number;
  /** Quantile bins of the reference for PSI and Jensen–Shannon. */
  readonly bins: number;
  /** Categories are merged, smallest first, until every expected count is at least this. */
  readonly minimumExpected: number;
}

const DEFAULT_POLICY: ComparePolicy = {
  fdr: 0.05,
  minimumEffect: 0.05,
  minimumNullEffect: 0.01,
  minimumRows: 30,
  bins: DEFAULT_BINS,
  minimumExpected: 5,
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

/** Mean of √N·D as N → ∞ under no change: √(π/2) · ln 2. */
const KOLMOGOROV_MEAN = Math.sqrt(Math.PI / 2) * Math.LN2;
const UNSEEN_NAMES = 10;
const IDENTIFIER_SHARE = 0.5;

interface Candidate {
  readonly test: 'ks' | 'chi_squared_merged' | 'null_rate';
  readonly reason: ColumnReason;
  readonly pValue: number;
  readonly effect: EffectSize;
  readonly floor: number;
}

/** A column compared, before the correction over the run. */
type Draft = Omit<ColumnComparison, 'adjusted_p_values' | 'verdict' | 'reasons' | 'effects'> & {
  readonly candidates: readonly Candidate[];
  readonly standing: readonly ColumnReason[];
};

const effect = (measure: EffectSize['measure'], observed: number, noise: number): EffectSize => ({
  measure,
  observed,
  noise,
  value: Math.max(0, observed - noise),
});

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

type NumericState = Extract<ColumnState, { type: 'numeric' | 'numeric_sketch' }>;
type CategoricalState = Extract<ColumnState, { type: 'categorical' | 'categorical_sketch' }>;

const isNumeric = (state: ColumnState): state is NumericState =>
  state.type === 'numeric' || state.type === 'numeric_sketch';
const kindOf = (state: ColumnState): ColumnComparison['type'] =>
  isNumeric(state) ? 'numeric' : 'categorical';

const sketchSide = (sketch: NumericSketch): NumericSide => ({
  sample: sketchGrouped(sketch),
  count: sketch.count,
  missing: sketch.nulls + sketch.nans,
  distinct: sketch.distinct,
  rankError: sketch.rankError,
  min: sketch.min,
  max: sketch.max,
});

function numericSide(sample: NumericState): NumericSide {
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

function nullCandidate(
  missing: readonly [number, number],
  rows: readonly [number, number],
  policy: ComparePolicy,
): { readonly test: NonNullable<ColumnTests['null_rate']>; readonly candidate: Candidate } | undefined {
  const [n, m] = rows;
  if (n < policy.minimumRows || m < policy.minimumRows || missing[0] + missing[1] === 0) return undefined;
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
      floor: policy.minimumNullEffect,
    },
  };
}

const occupied = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((kept, count, i) => kept + (count + b[i] > 0 ? 1 : 0), 0);

function binnedTests(
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

/** Population standard deviation of a grouped sample, for scaling only. */
function spreadOf(sample: Grouped): number {
  const sum = new CompensatedSum();
  for (const [i, value] of sample.values.entries()) sum.add(value * sample.counts[i]);
  const mean = sum.value / sample.total;
  const squares = new CompensatedSum();
  for (const [i, value] of sample.values.entries()) squares.add((value - mean) ** 2 * sample.counts[i]);
  return Math.sqrt(squares.value / sample.total);
}

function draftNumeric(
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
  const enough = Math.min(...sizes) >= policy.minimumRows;
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
        floor: policy.minimumEffect,
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

/** Two aligned rows of counts over the union of categories, by falling pooled count. */
interface Table {
  readonly names: readonly string[];
  readonly a: readonly number[];
  readonly b: readonly number[];
}

function align(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): Table {
  const pooled = new Map(a);
  for (const [name, count] of b) pooled.set(name, (pooled.get(name) ?? 0) + count);
  const names = rankCategories(pooled).map(([name]) => name);
  return { names, a: names.map((name) => a.get(name) ?? 0), b: names.map((name) => b.get(name) ?? 0) };
}

/** Merges the smallest categories, by pooled count, into one until every expected count is at least `minimum`. */
export function mergeSmallBins(
  a: readonly number[],
  b: readonly number[],
  minimum: number,
): { readonly a: number[]; readonly b: number[]; readonly merged: number } {
  const total = (row: readonly number[]): number => row.reduce((sum, count) => sum + count, 0);
  const [n, m] = [total(a), total(b)];
  const needed = (minimum * (n + m)) / Math.min(n, m);
  const order = a.map((_, i) => i).sort((x, y) => a[y] + b[y] - (a[x] + b[x]) || x - y);
  const keptA = order.map((i) => a[i]);
  const keptB = order.map((i) => b[i]);
  let [restA, restB, merged] = [0, 0, 0];
  while (keptA.length > 0) {
    const smallest = keptA.at(-1)! + keptB.at(-1)!;
    const pending = restA + restB;
    if (smallest >= needed && (merged === 0 || pending >= needed)) break;
    restA += keptA.pop()!;
    restB += keptB.pop()!;
    merged++;
  }
  return merged === 0
    ? { a: keptA, b: keptB, merged }
    : { a: [...keptA, restA], b: [...keptB, restB], merged };
}

const sumCounts = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((sum, count) => sum + count, 0);

/** One side of a categorical comparison; `other` rows are not named (the tail of a stored profile). */
interface CategoricalSide {
  readonly counts: ReadonlyMap<string, number>;
  readonly nulls: number;
  readonly distinct: number;
  readonly other: number;
}

function draftCategorical(
  reference: CategoricalSide,
  current: CategoricalSide,
  policy: ComparePolicy,
): Draft {
  // A stored tail has no names: current rows with unnamed categories meet it in one bin.
  const folded = reference.other > 0 || current.other > 0;
  const [left, right] = folded ? foldTail(reference, current) : [reference.counts, current.counts];
  const { names, a, b } = align(left, right);
  const sizes = [sumCounts(left), sumCounts(right)] as const;
  const rows = [sizes[0] + reference.nulls, sizes[1] + current.nulls] as const;
  const nulls = nullCandidate([reference.nulls, current.nulls], rows, policy);
  const candidates: Candidate[] = nulls ? [nulls.candidate] : [];
  const tests: { -readonly [K in keyof ColumnTests]: ColumnTests[K] } = {};
  const enough = Math.min(...sizes) >= policy.minimumRows;
  const identifier =
    enough &&
    reference.distinct > IDENTIFIER_SHARE * sizes[0] &&
    current.distinct > IDENTIFIER_SHARE * sizes[1];
  if (sizes[0] > 0 && sizes[1] > 0) {
    tests.chi_squared = chiSquaredContingency(a, b);
    Object.assign(tests, binnedTests(a, b, sizes));
    tests.total_variation = { value: totalVariation(a, b) };
    tests.l_infinity = { value: lInfinity(a, b) };
    tests.hellinger = { value: hellinger(a, b) };
    if (enough && !identifier) {
      const table = mergeSmallBins(a, b, policy.minimumExpected);
      const { statistic, degrees_of_freedom, p_value } = chiSquaredContingency(table.a, table.b);
      tests.chi_squared_merged = {
        statistic,
        degrees_of_freedom,
        p_value,
        categories: table.a.length,
        merged: table.merged,
      };
      candidates.push({
        test: 'chi_squared_merged',
        reason: 'distribution_changed',
        pValue: p_value,
        effect: effect(
          'total_variation',
          totalVariation(table.a, table.b),
          totalVariationNoise(table.a, table.b),
        ),
        floor: policy.minimumEffect,
      });
    }
  }
  if (nulls) tests.null_rate = nulls.test;
  const unseen = names.filter((_, i) => a[i] === 0);
  return {
    type: 'categorical',
    rows,
    nulls: [reference.nulls, current.nulls],
    distinct: [reference.distinct, current.distinct],
    unseen: {
      rows: unseen.reduce((sum, name) => sum + (right.get(name) ?? 0), 0),
      categories: unseen.slice(0, UNSEEN_NAMES),
    },
    mode: folded ? 'sketch' : 'exact',
    tests,
    candidates,
    standing: !enough ? ['too_few_rows'] : identifier ? ['identifier_like'] : [],
  };
}

const TAIL = '\u0000other';

function foldTail(
  reference: CategoricalSide,
  current: CategoricalSide,
): [ReadonlyMap<string, number>, ReadonlyMap<string, number>] {
  const folded = new Map<string, number>(current.other > 0 ? [[TAIL, current.other]] : []);
  for (const [name, count] of current.counts) {
    const key = reference.counts.has(name) ? name : TAIL;
    folded.set(key, (folded.get(key) ?? 0) + count);
  }
  return [new Map([...reference.counts, [TAIL, reference.other]]), folded];
}

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

function categoricalSide(state: CategoricalState): CategoricalSide {
  const { counts, nulls } = state;
  return state.type === 'categorical'
    ? { counts, nulls, distinct: countCategories(counts).distinct, other: 0 }
    : { counts, nulls, distinct: state.distinct, other: state.count - sumCounts(counts) };
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

function profileSide(profile: NumericProfile): NumericSide {
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

const storedCounts = (profile: CategoricalProfile): CategoricalSide => ({
  counts: new Map(profile.top.map(({ value, count }) => [value, count])),
  nulls: profile.nulls,
  distinct: profile.distinct,
  other: profile.other,
});

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
