/** Names of aggregation functions as the field writes them, and which arguments each needs. */
import { FUNCTION_NAMES, type FunctionName } from './types.js';

const VARIANTS = {
  avg: 'mean',
  average: 'mean',
  stddev: 'std',
  stdev: 'std',
  stddev_samp: 'std',
  std_dev: 'std',
  stddev_pop: 'std_pop',
  variance: 'var',
  var_samp: 'var',
  variance_pop: 'var_pop',
  nunique: 'count_distinct',
  n_unique: 'count_distinct',
  distinct: 'count_distinct',
  distinct_count: 'count_distinct',
  unique_count: 'count_distinct',
  total: 'sum',
  minimum: 'min',
  maximum: 'max',
  skew: 'skewness',
  kurt: 'kurtosis',
  first_value: 'first',
  last_value: 'last',
  latest: 'last',
  earliest: 'first',
  arg_min: 'min_by',
  argmin: 'min_by',
  arg_max: 'max_by',
  argmax: 'max_by',
  percentile: 'quantile',
  approx_percentile: 'approx_quantile',
  approx_distinct: 'approx_count_distinct',
  most_frequent: 'mode',
  topk: 'top_k',
  array_agg: 'list',
  collect_list: 'list',
  share: 'ratio',
  time_since_last: 'seconds_since_last',
  time_since_first: 'seconds_since_first',
  exponential_moving_average: 'ewma',
} as const satisfies Readonly<Record<string, FunctionName>>;

/** What TypeScript takes; the reader takes any case. */
export type FunctionSpelling = FunctionName | keyof typeof VARIANTS | `p${number}`;

const isVariant = (name: string): name is keyof typeof VARIANTS => Object.hasOwn(VARIANTS, name);

export interface NamedFunction {
  readonly name: FunctionName;
  /** Told by the name: `p95` is the quantile 0.95. */
  readonly q?: number;
}

/** `avg` → mean, `p95` → quantile 0.95; case does not matter. Undefined: no such function. */
export function resolveFunction(written: string): NamedFunction | undefined {
  const name = written.trim().toLowerCase();
  const canonical =
    FUNCTION_NAMES.find((known) => known === name) ?? (isVariant(name) ? VARIANTS[name] : undefined);
  if (canonical) return { name: canonical };
  const percent = /^p(\d{1,2})$/.exec(name);
  return percent ? { name: 'quantile', q: Number(percent[1]) / 100 } : undefined;
}

export const SPELLINGS: readonly string[] = [...FUNCTION_NAMES, ...Object.keys(VARIANTS)];

/** Spelling variants by canonical name, for the reference. */
export const variantsOf = (name: FunctionName): readonly string[] =>
  Object.entries(VARIANTS).flatMap(([variant, canonical]) => (canonical === name ? [variant] : []));

export type ArgumentName = 'k' | 'q' | 'by' | 'half_life' | 'edges' | 'ignore_nulls';

interface ArgumentUse {
  readonly required: readonly ArgumentName[];
  readonly optional: readonly ArgumentName[];
}

const NO_ARGUMENTS: ArgumentUse = { required: [], optional: [] };
const ARGUMENTS: Readonly<Partial<Record<FunctionName, ArgumentUse>>> = {
  first_k: { required: ['k'], optional: [] },
  last_k: { required: ['k'], optional: [] },
  last_distinct_k: { required: ['k'], optional: [] },
  top_k: { required: ['k'], optional: [] },
  lag: { required: [], optional: ['k'] },
  list: { required: [], optional: ['k'] },
  quantile: { required: ['q'], optional: [] },
  approx_quantile: { required: ['q'], optional: [] },
  min_by: { required: ['by'], optional: [] },
  max_by: { required: ['by'], optional: [] },
  ewma: { required: ['half_life'], optional: [] },
  decayed_sum: { required: ['half_life'], optional: [] },
  histogram: { required: [], optional: ['edges'] },
  first: { required: [], optional: ['ignore_nulls'] },
  last: { required: [], optional: ['ignore_nulls'] },
};

export const argumentsOf = (name: FunctionName): ArgumentUse => ARGUMENTS[name] ?? NO_ARGUMENTS;

/** Functions of two vectors that a `computation` may name. */
export const VECTOR_FUNCTIONS = ['cosine_similarity', 'dot_product', 'euclidean_distance'] as const;
