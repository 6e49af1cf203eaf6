/** THE TABLE: every aggregate, what it takes and gives, and its fold. */
import type { FunctionName } from '../define/types.js';
import { FLOAT64, INT64, isNumeric, type Value, type ValueType } from '../schema/types.js';
import type { Fold, FoldContext, FoldFactory } from './fold.js';
import { max, maxBy, min, minBy } from './folds/extremes.js';
import { countDistinct, entropy, histogram, median, mode, quantile, topK } from './folds/frequencies.js';
import { grouped } from './folds/grouped.js';
import { count, momentFold, ratio } from './folds/numbers.js';
import { first, firstK, lag, last, lastDistinctK, lastK, list } from './folds/positions.js';
import { approximateCountDistinct, approximateQuantile } from './folds/sketches.js';
import { decayedSum, ewma, secondsSinceFirst, secondsSinceLast } from './folds/time.js';

export interface FoldEntry {
  readonly factory: FoldFactory;
  readonly outputType: (context: FoldContext) => ValueType;
  readonly needsField: boolean | 'optional';
  /** Is this a type the field may have? */
  readonly accepts: (type: ValueType) => boolean;
  /** What the accepted types are, in words, for messages. */
  readonly acceptsText: string;
  /** The value when there is nothing to aggregate. */
  readonly emptyValue: 0 | null;
  readonly commutative: boolean;
  /** `remove` undoes `add` exactly. */
  readonly invertible: boolean;
}

type Accepted = 'any' | 'numeric' | 'scalar';
const ACCEPTS: Readonly<Record<Accepted, readonly [(type: ValueType) => boolean, string]>> = {
  any: [() => true, 'any type'],
  numeric: [isNumeric, 'int64, float64 or decimal'],
  scalar: [
    (type) => type.kind !== 'float64_vector' && type.kind !== 'list' && type.kind !== 'map',
    'any type but vectors, lists and maps',
  ],
};

const float64 = (): ValueType => FLOAT64;
const int64 = (): ValueType => INT64;
const sameAsInput = ({ inputType }: FoldContext): ValueType => inputType ?? FLOAT64;
const listOfInput = (context: FoldContext): ValueType => ({ kind: 'list', of: sameAsInput(context) });
const mapOfCounts = (): ValueType => ({ kind: 'map', of: INT64 });

const NO_ARGUMENTS: FoldContext = { inputType: FLOAT64, byType: FLOAT64, arguments: { ignoreNulls: false } };

function entry<S>(
  factory: (context: FoldContext) => Fold<S>,
  outputType: FoldEntry['outputType'],
  accepted: Accepted,
  needsField: FoldEntry['needsField'] = true,
): FoldEntry {
  const sample = factory(NO_ARGUMENTS);
  const [accepts, acceptsText] = ACCEPTS[accepted];
  return {
    factory: factory as FoldFactory,
    outputType,
    needsField,
    accepts,
    acceptsText,
    emptyValue: sample.finish(sample.init(), 0) === 0 ? 0 : null,
    commutative: sample.commutative,
    invertible: sample.remove !== undefined,
  };
}

export const FOLDS: Readonly<Record<FunctionName, FoldEntry>> = {
  count: entry(count, int64, 'any', 'optional'),
  count_distinct: entry(countDistinct, int64, 'any'),
  sum: entry(momentFold('sum'), sameAsInput, 'numeric'),
  mean: entry(momentFold('mean'), float64, 'numeric'),
  min: entry(min, sameAsInput, 'scalar'),
  max: entry(max, sameAsInput, 'scalar'),
  std: entry(momentFold('std'), float64, 'numeric'),
  var: entry(momentFold('var'), float64, 'numeric'),
  std_pop: entry(momentFold('std_pop'), float64, 'numeric'),
  var_pop: entry(momentFold('var_pop'), float64, 'numeric'),
  skewness: entry(momentFold('skewness'), float64, 'numeric'),
  kurtosis: entry(momentFold('kurtosis'), float64, 'numeric'),
  first: entry(first, sameAsInput, 'any'),
  last: entry(last, sameAsInput, 'any'),
  first_k: entry(firstK, listOfInput, 'any'),
  last_k: entry(lastK, listOfInput, 'any'),
  last_distinct_k: entry(lastDistinctK, listOfInput, 'any'),
  top_k: entry(topK, listOfInput, 'scalar'),
  min_by: entry(minBy, sameAsInput, 'any'),
  max_by: entry(maxBy, sameAsInput, 'any'),
  mode: entry(mode, sameAsInput, 'scalar'),
  histogram: entry(histogram, mapOfCounts, 'scalar'),
  median: entry(median, float64, 'numeric'),
  quantile: entry(quantile, float64, 'numeric'),
  approx_quantile: entry(approximateQuantile, float64, 'numeric'),
  approx_count_distinct: entry(approximateCountDistinct, int64, 'scalar'),
  ratio: entry(ratio, float64, 'any', false),
  entropy: entry(entropy, float64, 'scalar'),
  ewma: entry(ewma, float64, 'numeric'),
  decayed_sum: entry(decayedSum, float64, 'numeric'),
  seconds_since_last: entry(secondsSinceLast, float64, 'any', false),
  seconds_since_first: entry(secondsSinceFirst, float64, 'any', false),
  lag: entry(lag, sameAsInput, 'any'),
  list: entry(list, listOfInput, 'any'),
};

/** The fold of one aggregation; `byGroup`: members carry a `group` and the value is a map. */
export function foldFor(name: FunctionName, context: FoldContext, byGroup = false): Fold {
  const fold = FOLDS[name].factory(context);
  return byGroup ? (grouped(fold) as Fold) : fold;
}

/** The type of one aggregation's values. */
export function outputTypeOf(name: FunctionName, context: FoldContext, byGroup = false): ValueType {
  const type = FOLDS[name].outputType(context);
  return byGroup ? { kind: 'map', of: type } : type;
}

/**
 * The status of a finished value of an entity that is known: `empty` for null and for a count of nothing, unless
 * the fold says that the null is a value (`ok`) or that the exact result, or a part of it, does not fit (`error`).
 */
export function statusOfValue(fold: Fold, state: unknown, value: Value): 'ok' | 'empty' | 'error' {
  if (value === null) return fold.nullStatus?.(state) ?? 'empty';
  if (fold.partFailed?.(state, value)) return 'error';
  return value === 0 && (fold.function === 'count' || fold.function === 'count_distinct') ? 'empty' : 'ok';
}
