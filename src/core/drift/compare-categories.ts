/** Two samples of categories. */
import type { ColumnTests, ComparePolicy } from './comparison.js';
import { hellinger, lInfinity, totalVariation, totalVariationNoise } from './distance.js';
import { binnedTests, type Candidate, type Draft, effect, nullCandidate } from './draft.js';
import { type CategoricalProfile, type ColumnState, countCategories, rankCategories } from './profile.js';
import { chiSquaredContingency } from './tests.js';

const UNSEEN_NAMES = 10;
const IDENTIFIER_SHARE = 0.5;

type CategoricalState = Extract<ColumnState, { type: 'categorical' | 'categorical_sketch' }>;

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

export const sumCounts = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((sum, count) => sum + count, 0);

/** One side of a categorical comparison; `other` rows are not named (the tail of a stored profile). */
interface CategoricalSide {
  readonly counts: ReadonlyMap<string, number>;
  readonly nulls: number;
  readonly distinct: number;
  readonly other: number;
}

export function draftCategorical(
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
  const enough = Math.min(...sizes) >= policy.minimum_rows;
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
      const table = mergeSmallBins(a, b, policy.minimum_expected);
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
        floor: policy.minimum_effect,
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

export function categoricalSide(state: CategoricalState): CategoricalSide {
  const { counts, nulls } = state;
  return state.type === 'categorical'
    ? { counts, nulls, distinct: countCategories(counts).distinct, other: 0 }
    : { counts, nulls, distinct: state.distinct, other: state.count - sumCounts(counts) };
}

export const storedCounts = (profile: CategoricalProfile): CategoricalSide => ({
  counts: new Map(profile.top.map(({ value, count }) => [value, count])),
  nulls: profile.nulls,
  distinct: profile.distinct,
  other: profile.other,
});
