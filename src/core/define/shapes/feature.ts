/** Features: aggregations, lookups, computations, sets. */

import { parseDuration } from '../../base/time.js';
import { type FunctionSpelling, VECTOR_FUNCTIONS } from '../functions.js';
import {
  boolean,
  choice,
  compute,
  list,
  mapping,
  number,
  object,
  optional,
  reference,
  required,
  scalar,
  text,
} from '../shape.js';
import { FUNCTION_NAMES } from '../types.js';
import { documentation, duration, expression, field, name, strictly, valueType, window } from './words.js';

export const aggregationShape = object('aggregation', {
  function: required(
    text<string, FunctionSpelling>('an aggregation function', null, { examples: FUNCTION_NAMES }),
    'What to compute over the records of the window.',
  ),
  source: required(
    text('a source, or source.field', null, { examples: ['purchases', 'orders.total_amount'] }),
    'The source, with `.field` for functions over a field.',
  ),
  field: optional(field, 'The field, when `source` does not name it.'),
  window: optional(window, 'The records of `[t - window, t)`. `all` (the default) is the whole history.'),
  windows: optional(
    list(window),
    'One feature for each window, named after it: `visits` with 1h and 7d gives visits_1h and visits_7d.',
  ),
  offset: optional(duration, 'Moves both ends of the window back.'),
  include_current: optional(boolean, 'Closes the upper end: records exactly at t count.'),
  where: optional(
    expression,
    'Only records for which this is true. Of a `ratio` without `of`: the condition whose share is taken.',
  ),
  of: optional(expression, 'ratio: the condition whose share is taken, when `where` shall filter first.'),
  among: optional(expression, 'ratio: only records for which this is true are counted at all.'),
  group_by: optional(
    field,
    'A field of type string, int64, decimal, boolean or date: the value is a map from category (as text) to result.',
  ),
  k: optional(
    number('a whole number from 1', { integer: true, min: 1 }),
    'first_k, last_k, last_distinct_k, top_k: how many. lag: how many records back. list: at most so many.',
  ),
  q: optional(number('a number from 0 to 1', { min: 0, max: 1 }), 'quantile, approx_quantile: which one.'),
  by: optional(field, 'min_by, max_by: the field that orders.'),
  half_life: optional(
    text('a duration', (written) => strictly(parseDuration(written)), { examples: ['12h', '7d'] }),
    'ewma, decayed_sum: the age at which a record counts half.',
  ),
  edges: optional(list(number('a number')), 'histogram: limits of the bins. Absent: counts by value.'),
  ignore_nulls: optional(boolean, 'first, last: skip records whose value is null.'),
  default: optional(
    scalar,
    'The value where there was nothing to aggregate; the same as `default` of the feature.',
  ),
});

const lookupShape = object('lookup', {
  source: required(
    text('source.field', null, { examples: ['users.city'] }),
    'The field of the current state of the entity.',
  ),
  field: optional(field, 'The field, when `source` does not name it.'),
  max_age: optional(duration, 'A state older than this gives null and the status `expired`.'),
  output: optional(
    choice(['value', 'age_seconds']),
    'value (the default), or age_seconds: t minus event_time of the current state.',
  ),
  default: optional(
    scalar,
    'The value where there was nothing to look up; the same as `default` of the feature.',
  ),
});

export const computationShape = object('computation', {
  function: required(
    choice(['lookup_embedding', 'nearest_neighbours', ...VECTOR_FUNCTIONS]),
    'lookup_embedding, nearest_neighbours, or a function of two vector features.',
  ),
  model: optional(
    text('a text', null, { loose: true }),
    'The vectors of one model: the value of the string field `model`. Where the source has none, a name for the record.',
  ),
  version: optional(
    text('a text', null, { loose: true }),
    'The vectors of one version of the model: the value of the string field `version`.',
  ),
  dimension: optional(
    number('a whole number from 1', { integer: true, min: 1 }),
    'Length of the vectors, checked against the source.',
  ),
  source: optional(
    text('a source, or source.field'),
    'The states that carry the vectors. lookup_embedding without it: the one source that fits.',
  ),
  max_age: optional(
    duration,
    'lookup_embedding: an older vector gives null. nearest_neighbours: it is left out.',
  ),
  query: optional(
    expression,
    'nearest_neighbours: the vector to search with: a vector feature, or `request.x` of a declared type.',
  ),
  k: optional(number('a whole number from 1', { integer: true, min: 1 }), 'nearest_neighbours: how many.'),
  metric: optional(
    choice(['cosine', 'euclidean', 'dot_product']),
    'nearest_neighbours: cosine (the default) is 1 - cosine_similarity, dot_product is minus the product.',
  ),
  output: optional(
    choice(['keys', 'distances']),
    'nearest_neighbours: the keys (the default) or the distances, nearest first.',
  ),
  of: optional(
    reference('entity'),
    'nearest_neighbours: whose vectors they are, where several entities fit.',
  ),
  exclude_self: optional(
    boolean,
    'nearest_neighbours: the entity the feature is about is not its own neighbour.',
  ),
  args: optional(list(reference('feature')), 'Two vector features, as `feature` or `entity.feature`.'),
  online_compute: optional(
    boolean,
    'Computed when it is asked for, from the current values; expression features always are.',
  ),
});

export const featureShape = object('feature', {
  name: required(name, 'Unique among features.'),
  entity: optional(reference('entity'), 'Whose feature it is.'),
  entities: optional(list(reference('entity')), 'Whose feature it is, when several together.'),
  aggregation: optional(aggregationShape, 'A function over the records of a window.'),
  lookup: optional(lookupShape, 'The current value of a field of states.'),
  computation: optional(computationShape, 'Vectors and their similarity.'),
  expression: optional(expression, 'Computed from other features, join keys, `request.x` and `as_of`.'),
  compute: optional(compute, 'TypeScript only: a pure function of the values named in `inputs`.'),
  inputs: optional(
    list(text('a feature, join key, request.x or as_of')),
    'What `compute` is given, by name.',
  ),
  request: optional(
    mapping(valueType, 'an object from name to type'),
    'Types of the values that come with the request.',
  ),
  value_type: optional(valueType, 'Absent: what the function gives.'),
  default: optional(scalar, 'The value where there was nothing to aggregate or look up.'),
  online_compute: optional(
    boolean,
    'Computed when it is asked for, from the current values; expression features always are.',
  ),
  ...documentation,
});

export const featureSetShape = object('feature set', {
  name: required(name, 'Unique among feature sets.'),
  features: required(list(reference('feature'), { lone: true }), 'Features, or other sets, in order.'),
  ...documentation,
});
