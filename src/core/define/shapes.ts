/** Every definition a user can write, key by key. The reader, the JSON Schema and the reference page come from here. */
import { parseDuration, parseInstant } from '../base/time.js';
import { isTimeFormat } from '../schema/time-format.js';
import { parseType, TYPE_NAMES } from '../schema/types.js';
import { type FunctionSpelling, VECTOR_FUNCTIONS } from './functions.js';
import {
  boolean,
  choice,
  compute,
  either,
  list,
  mapping,
  number,
  object,
  optional,
  reference,
  required,
  scalar,
  text,
} from './shape.js';
import { FUNCTION_NAMES, type PartitionGrain } from './types.js';

export const PART_NAMES = ['train', 'validation', 'test', 'holdout'] as const;

const NAME_PATTERN = '^[A-Za-z_][A-Za-z0-9_]*$';
const NAME = new RegExp(NAME_PATTERN);

const name = text(
  'a name of letters, digits and underscores',
  (written) => (NAME.test(written) ? written : undefined),
  {
    pattern: NAME_PATTERN,
  },
);
const anyText = text('a text');
const field = text('the name of a field', null, { loose: true });
const expression = text('an expression', null, { loose: true });
const duration = text('a duration', (written) => positive(parseDuration(written)), {
  examples: ['30s', '5m', '1h', '7d'],
});
const signedDuration = text('a duration', parseDuration, { examples: ['2h', '-1d'] });
const window = text<number | 'all'>(
  'a duration or all',
  (written) => (['all', 'inf', 'unbounded'].includes(written) ? 'all' : strictly(parseDuration(written))),
  { examples: ['1h', '30d', 'all'] },
);
const valueType = text('a type', parseType, { examples: TYPE_NAMES });
const zone = text('an IANA time zone', (written) => (isZone(written) ? written : undefined), {
  examples: ['UTC', 'Europe/Berlin'],
});
const oneOrMore = list(field, { lone: true, what: 'the name of a field, or a list of them' });

function positive(micros: number | undefined): number | undefined {
  return micros !== undefined && micros >= 0 ? micros : undefined;
}
function strictly(micros: number | undefined): number | undefined {
  return micros !== undefined && micros > 0 ? micros : undefined;
}
function isZone(written: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: written });
    return true;
  } catch {
    return false;
  }
}

const BYTES: Readonly<Record<string, number>> = {
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};
/** Bytes of a size as it is written: 64MiB. */
export function parseBytes(written: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]i?b)$/i.exec(written);
  const unit = match && BYTES[match[2]!.toLowerCase()];
  return unit ? Math.floor(Number(match[1]) * unit) : undefined;
}

const documentation = {
  description: optional(anyText, 'What it is, for people. Outside of the fingerprint.'),
  owner: optional(anyText, 'Who answers for it. Outside of the fingerprint.'),
  tags: optional(list(anyText), 'Words to find it by. Outside of the fingerprint.'),
};

const stepSettings = {
  tries: optional(
    number('a whole number from 1', { integer: true, min: 1 }),
    'Tries that may fail, of kinds that may pass, before the step has failed; 3 is the default.',
  ),
  backoff: optional(
    duration,
    'Wait before the second try, doubled before every further one; 1s is the default.',
  ),
  timeout: optional(
    text('a duration', (written) => strictly(parseDuration(written)), { examples: ['10m', '2h'] }),
    'A try is stopped after so long. Absent: never.',
  ),
  priority: optional(
    number('a whole number', { integer: true }),
    'Of several steps that are ready the greatest goes first; 0 is the default.',
  ),
  pool: optional(
    name,
    'Steps of one pool share its places; `engine` is the default: one step at a time, with all threads and memory.',
  ),
};

/** Of an asset: how its steps are performed. */
const performed = {
  executor: optional(
    object('executor', stepSettings),
    'How its steps are performed, where otherwise than the settings say. Outside of the fingerprint.',
  ),
};

export const entityShape = object('entity', {
  name: required(name, 'Unique among entities.'),
  join_key: optional(field, 'The field that identifies one of it.'),
  join_keys: optional(list(field), 'The fields that together identify one of it, in this order.'),
  ...documentation,
});

const severity = choice(['info', 'warning', 'error', 'critical'], { warn: 'warning' });
const imputation = object('imputation', {
  impute: required(
    choice(['constant', 'mean', 'median', 'last']),
    'What stands in for the value: a constant, the mean or median of the log as it was when it was taken, or the last known value.',
  ),
  value: optional(scalar, 'The constant.'),
  by: optional(
    oneOrMore,
    'For last: fields whose values the records share, such as the key of an entity. Absent: the record key, without event_time.',
  ),
});
const rowAction = either(choice(['quarantine', 'flag', 'warn', 'drop', 'fail', 'cap']), imputation);
const judgement = {
  severity: optional(severity, 'How bad a breach is: info, warning, error (the default) or critical.'),
  action: optional(
    rowAction,
    'What happens to a record that breaks it: quarantine (the default: kept aside, can be fed again), flag (accepted and marked), warn (accepted and counted), drop (counted, not kept), fail (the whole batch is refused), cap (range only: the nearest bound), or an imputation such as `{ impute: median }`.',
  ),
};

const fieldRules = object('field rules', {
  not_null: optional(boolean, 'The value must be there.'),
  range: optional(
    list(scalar, { size: 2, what: 'a list of the least and the greatest value, null for no limit' }),
    '`[least, greatest]`, both allowed values; null for no limit.',
  ),
  min: optional(scalar, 'The least allowed value.'),
  max: optional(scalar, 'The greatest allowed value.'),
  greater_than: optional(scalar, 'Values must be greater than this.'),
  less_than: optional(scalar, 'Values must be less than this.'),
  in: optional(list(scalar), 'The allowed values.'),
  pattern: optional(
    anyText,
    'A regular expression that the text must match somewhere; ^ and $ make it the whole text.',
  ),
  length: optional(
    list(scalar, { size: 2, what: 'a list of the least and the greatest length, null for no limit' }),
    '`[least, greatest]` number of characters; null for no limit.',
  ),
  unique: optional(boolean, 'No two record keys share a value.'),
  references: optional(
    text('a field of another source', null, { examples: ['planes.tailnum'] }),
    'Every value exists among the values of `source.field` that were known at the time of the record.',
  ),
  as_of: optional(
    choice(['record', 'ingest']),
    'For references: known at the available_at of the record (the default), or when the record is ingested.',
  ),
  ...judgement,
});

const namedRule = object('rule', {
  name: required(name, 'Shown where the rule is broken.'),
  check: optional(expression, 'An expression over the fields that must not be false.'),
  unique: optional(oneOrMore, 'Fields whose values together belong to one record key only.'),
  sql: optional(
    anyText,
    'DuckDB SQL over `{batch}` that gives the rows that break the rule, with their `_row`.',
  ),
  field: optional(field, 'The field that an imputation of a `check` repairs.'),
  ...judgement,
});

const rate = number('a share from 0 to 1', { min: 0, max: 1 });
const limits = object('limits', {
  min: optional(number('a number'), 'The least allowed value.'),
  max: optional(number('a number'), 'The greatest allowed value.'),
});
const byField = mapping(limits, 'an object from field to limits');
const distribution = object('distribution', {
  batches: optional(
    number('a whole number from 1', { integer: true, min: 1 }),
    'Compared with that many batches before it.',
  ),
  file: optional(anyText, 'Compared with a data file that the source itself could read.'),
  profile: optional(anyText, 'Compared with a profile, a JSON file of the project.'),
  minimum_effect: optional(
    rate,
    'How large the change must be beyond what chance makes (KS D, total variation); 0.05 is the default.',
  ),
  minimum_rows: optional(
    number('a whole number from 2', { integer: true, min: 2 }),
    'With fewer values on either side nothing is said; 30 is the default.',
  ),
});
const batchSql = object('batch rule', {
  name: required(name, 'Shown where the rule is broken.'),
  sql: required(
    anyText,
    'DuckDB SQL over `{batch}`: with `min` or `max` it gives one number, else the rows that must not be.',
  ),
  min: optional(number('a number'), 'The least allowed number.'),
  max: optional(number('a number'), 'The greatest allowed number.'),
});
const batchRules = object('batch rules', {
  rows: optional(limits, 'How many rows a batch has.'),
  null_rate: optional(
    mapping(either(rate, limits), 'an object from field to a share from 0 to 1'),
    'The greatest share of nulls, by field.',
  ),
  distinct_count: optional(byField, 'How many different values a batch has, by field.'),
  mean: optional(byField, 'The mean of a batch, by field.'),
  median: optional(byField, 'The median of a batch, by field.'),
  std: optional(byField, 'The sample standard deviation of a batch, by field.'),
  sum: optional(byField, 'The sum of a batch, by field.'),
  min: optional(byField, 'The least value of a batch, by field.'),
  max: optional(byField, 'The greatest value of a batch, by field.'),
  quantile: optional(
    mapping(
      list(
        object('quantile', {
          q: required(rate, 'Which quantile.'),
          min: optional(number('a number'), 'The least allowed value.'),
          max: optional(number('a number'), 'The greatest allowed value.'),
        }),
        { lone: true },
      ),
      'an object from field to quantiles',
    ),
    'Quantiles of a batch, by field.',
  ),
  distribution: optional(
    mapping(either(choice(['previous']), distribution), 'an object from field to a reference'),
    'What the values of a field are like, against a reference; previous is the last 10 batches.',
  ),
  rules: optional(list(batchSql), 'Rules in SQL over the whole batch.'),
  quarantine_rate: optional(rate, 'The greatest share of rows that row rules may send to quarantine.'),
  extra_columns: optional(
    choice(['refuse', 'ignore', 'warn']),
    'What to do when a file has columns that are not declared: warn is the default.',
  ),
  severity: optional(severity, 'How bad a breach is.'),
  action: optional(
    choice(['fail', 'warn']),
    'fail (the default) refuses the whole batch; warn says it and goes on.',
  ),
});

const contract = object(
  'contract',
  {
    rules: optional(list(namedRule), 'Rules over several fields.'),
    batch: optional(
      list(batchRules, { lone: true }),
      'Rules that judge a batch before any of it is appended: one object, or a list where severities or actions differ.',
    ),
  },
  { shape: list(fieldRules, { lone: true }), snakeCase: false },
);

const fieldDefinition = object('field', {
  type: required(valueType, 'Its type.'),
  from: optional(field, 'Name of the column in the file when it differs.'),
  format: optional(
    text('a time format', (written) => (isTimeFormat(written) ? written : undefined), {
      examples: ['%d/%m/%Y %H:%M', '%b %d, %Y %I:%M %p', 'epoch_ms'],
    }),
    'How a timestamp or date is written where not as ISO 8601: %Y %y %m %b %d %H %I %p %M %S %f %z, or epoch_s, epoch_ms, epoch_us.',
  ),
  description: optional(anyText, 'What it is, for people.'),
});

const otherReader = mapping(scalar, 'an object');
const cursor = optional(
  field,
  'A field that grows with every change of a row (timestamp, date or int64): only what is new is read. Absent: everything at every run.',
);
const overlap = optional(
  text(
    'a duration or a whole number',
    (written) => {
      if (/^\d{1,15}$/.test(written)) return { timed: false, amount: Number(written) };
      const amount = positive(parseDuration(written));
      return amount === undefined ? undefined : { timed: true, amount };
    },
    { examples: ['10m', '1000'], loose: true },
  ),
  'How far behind the greatest value seen to read again, for what was committed late: a duration (10m is the default), for int64 a number (1000).',
);
const read = object('read', {
  files: optional(
    list(anyText, { lone: true }),
    'Files or patterns, relative to the project folder (csv, json, ndjson, parquet; .gz, .zst).',
  ),
  format: optional(
    choice(['csv', 'json', 'ndjson', 'parquet'], { jsonl: 'ndjson', tsv: 'csv' }),
    'Absent: told by the file name.',
  ),
  delimiter: optional(
    text('one character', (written) => ([...written].length === 1 ? written : undefined)),
    'What separates columns of delimited files. Absent: a comma, in .tsv files a tab.',
  ),
  encoding: optional(
    choice(['utf-8', 'latin-1'], {
      utf8: 'utf-8',
      'UTF-8': 'utf-8',
      'iso-8859-1': 'latin-1',
      latin1: 'latin-1',
    }),
    'Encoding of delimited files; utf-8 is the default.',
  ),
  nulls: optional(
    list(text('a text', null, { loose: true }), { lone: true }),
    'Texts that mean null, besides the empty field.',
  ),
  push: optional(boolean, 'Records come over HTTP or from code, one by one or in batches.'),
  transform: optional(
    object('transform', {
      sql: required(
        anyText,
        'One SELECT over the known records of other sources, which stand as tables named after them.',
      ),
      from: optional(
        list(reference('source'), { lone: true }),
        'The sources it reads. Absent: found in the SQL.',
      ),
    }),
    'Records computed from other sources.',
  ),
  sql: optional(
    anyText,
    'One SELECT in DuckDB SQL over files, which are relative to the project folder; it stands for reading files where they have to be joined, unpivoted or cleaned first.',
  ),
  cursor,
  overlap,
  postgres: optional(
    object('postgres', {
      connection: required(
        text('the name of an environment variable, or a URL without a password', (written) =>
          /^[A-Za-z_]\w*$/.test(written) || /^postgres(ql)?:\/\/(?![^/]*:[^/@]*@)/.test(written)
            ? written
            : undefined,
        ),
        'Name of the environment variable that holds the URL (postgres://user:password@host/database), or a URL without a password.',
      ),
      table: optional(anyText, 'The table or view, as `orders` or `sales.orders`.'),
      query: optional(anyText, 'One SELECT, instead of a table.'),
      cursor,
      overlap,
    }),
    'Rows of a PostgreSQL table or query.',
  ),
  kafka: optional(otherReader, 'Not in this version.'),
});

const schemaChange = choice(['adapt', 'alert', 'refuse']);
const schemaChanges = object('schema changes', {
  added: optional(schemaChange, 'Columns that are not declared; alert is the default.'),
  removed: optional(
    schemaChange,
    'Declared columns that are not there; refuse is the default. Otherwise they are null, which keys and times can never be.',
  ),
  retyped: optional(
    schemaChange,
    'Columns most of whose values can no longer be read in their type; refuse is the default. Otherwise those rows go to quarantine.',
  ),
  reordered: optional(schemaChange, 'The same columns in another order; adapt is the default.'),
  renamed: optional(
    schemaChange,
    'A declared column is gone and another one looks the same; refuse is the default. Otherwise the new one is read.',
  ),
});
const historyRule = either(
  choice(['warn', 'fail', 'ignore']),
  object('history rule', {
    action: optional(
      choice(['warn', 'fail', 'ignore']),
      'warn (the default), fail (the batch is refused) or ignore.',
    ),
    severity: optional(severity, 'How bad an anomaly is; warning is the default.'),
  }),
);
const history = object('history', {
  row_count: optional(historyRule, 'How many rows a batch has.'),
  null_rate: optional(historyRule, 'The share of nulls of every field.'),
  distinct_count: optional(historyRule, 'How many different values every field has.'),
  freshness: optional(historyRule, 'How old the newest record of a batch is when it comes.'),
  distribution: optional(historyRule, 'What the values of every field are like.'),
  minimum_batches: optional(
    number('a whole number from 3', { integer: true, min: 3 }),
    'With fewer batches before nothing is said; 6 is the default.',
  ),
  false_alarms: optional(
    number('a share from 0 to 1', { min: 0, max: 1 }),
    'Share of ordinary values that are called anomalous; 0.0027 is the default.',
  ),
  ratio_floor: optional(
    number('a share from 0', { min: 0 }),
    'Changes below this share of the mean are never anomalous; 0.01 is the default.',
  ),
  seasonality: optional(
    choice(['weekday', 'none']),
    'weekday (the default): days of the week are compared with their own, from three weeks on.',
  ),
});
const share = number('a share from 0 to 1', { min: 0, max: 1 });
const timeOfDay = text(
  'a time of day',
  (written) => {
    const match = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(written);
    return match ? Number(match[1]) * 60 + Number(match[2]) : undefined;
  },
  { examples: ['06:00'], loose: true },
);
const over = optional(window, 'The period over which the share is met; 30d is the default.');
const serviceLevels = object('service levels', {
  passing: optional(
    either(share, object('passing', { share: required(share, 'Share of records that pass.'), over })),
    'The share of records that pass the contract.',
  ),
  freshness: optional(
    either(
      duration,
      object('freshness', {
        within: required(duration, 'The newest known record is no older.'),
        share: optional(share, 'Share of the time for which that holds; 0.99 is the default.'),
        over,
      }),
    ),
    'How old the newest known record may be. Data sets and models wait until it holds.',
  ),
  completeness: optional(
    object('completeness', {
      by: required(timeOfDay, 'When the rows of a day must be there.'),
      timezone: optional(zone, 'On whose clocks; those of the source when absent.'),
      rows: optional(
        number('a whole number from 1', { integer: true, min: 1 }),
        'How many rows must have come since the day before; 1 is the default.',
      ),
      share: optional(share, 'Share of the days for which that holds; 0.99 is the default.'),
      over,
    }),
    'What must have come by when, every day. Data sets and models wait until it holds.',
  ),
});

const sourceBody = {
  kind: optional(
    choice(['events', 'states']),
    'events (the default): things that happen. states: attributes that hold from event_time until the next record of the entity.',
  ),
  record_key: optional(
    oneOrMore,
    'What identifies a record; the same key again is a correction. Absent for states: the join keys of the entity and event_time.',
  ),
  event_time: required(
    field,
    'The field that says when it happened (events) or since when it holds (states). A timestamp or date.',
  ),
  available_at: optional(
    either(
      text('the name of a field, event_time or append', null),
      object('delay', { delay: required(signedDuration, 'Added to event_time.') }),
    ),
    'When this system could first have known: a field, `{ delay: 2h }`, `event_time` or `append` (the instant of the append). Absent: event_time for files and transforms, append for push.',
  ),
  deleted: optional(field, 'A field whose true or 1 says that the record no longer exists.'),
  sequence: optional(field, 'An int64 field that orders versions and ties. Absent: append order.'),
  timezone: optional(
    zone,
    'The zone of timestamps written without an offset. Absent: the time zone of the project.',
  ),
  ambiguous_time: optional(
    choice(['refuse', 'earlier', 'later']),
    'Which instant a local time is that happens twice or never; refuse (the default) breaks the contract.',
  ),
  fields: required(
    mapping(either(valueType, fieldDefinition), 'an object from field to type'),
    'Every field with its type, or `{ type, from }` when the column has another name.',
  ),
  keys: optional(
    mapping(field, 'an object from join key to field'),
    'The field that carries a join key, where the names differ.',
  ),
  rename: optional(
    mapping(field, 'an object from column to field'),
    'Accepted renames: columns that are read for a field where its own column is absent.',
  ),
  schema_changes: optional(schemaChanges, 'What becomes of a batch whose columns have changed.'),
  contract: optional(contract, 'Expectations: by field, and under `rules` and `batch`.'),
  history: optional(
    either(boolean, history),
    'How a batch is held against the batches before it; false: not at all.',
  ),
  service_levels: optional(serviceLevels, 'What the source promises, over time.'),
  watch: optional(
    duration,
    'How often a running server looks for new files, or asks for new rows. Absent: it does not.',
  ),
  on_error: optional(
    choice(['quarantine', 'fail']),
    'quarantine (the default): a record that must not be appended is kept aside alone. fail: it refuses its whole batch.',
  ),
  ...performed,
  ...documentation,
};

export const sourceShape = object('source', {
  name: required(name, 'Unique among sources.'),
  read: required(either(choice(['push']), read), 'Where records come from: files, push or transform.'),
  ...sourceBody,
});

export const transformShape = object('transform', {
  name: required(name, 'Unique among sources.'),
  sql: required(
    anyText,
    'One SELECT over the known records of other sources, which stand as tables named after them.',
  ),
  from: optional(
    list(reference('source'), { lone: true }),
    'The sources it reads. Absent: found in the SQL.',
  ),
  ...sourceBody,
});

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

export const labelShape = object('label', {
  name: required(name, 'Unique among labels.'),
  source: optional(reference('source'), 'The outcomes: records with the record key of the observation.'),
  expression: optional(expression, 'Over the fields of the outcome.'),
  entity: optional(reference('entity'), 'With `aggregation`: whose records are aggregated.'),
  aggregation: optional(aggregationShape, 'A function over the records of `[t, t + horizon)`.'),
  horizon: required(duration, 'How far the label looks forward.'),
  grace: optional(duration, 'How much longer to wait before a label counts as mature; 0s is the default.'),
  value_type: optional(valueType, 'Absent: what the expression or function gives.'),
  ...documentation,
});

const instantOrEnd = text<number | null>(
  'an instant or end',
  (written) => (written === 'end' ? null : parseInstant(written)),
  { examples: ['2014-10-01', "'2014-10-01T00:00:00Z'", 'end'] },
);

const splitShape = object('split', {
  by: required(
    choice(['time', 'cuts', 'entity', 'random'], { time_cuts: 'cuts' }),
    'time, cuts, entity or random.',
  ),
  parts: optional(
    mapping(number('a share from 0 to 1', { min: 0, max: 1 }), 'an object from part to share', PART_NAMES),
    'Shares of the rows that sum to 1.',
  ),
  cuts: optional(
    mapping(instantOrEnd, 'an object from part to instant', PART_NAMES),
    'The instant (exclusive) at which each part ends; the last ends at `end`. Without an offset: UTC.',
  ),
  seed: optional(number('a whole number', { integer: true }), 'For entity and random; 0 is the default.'),
  entity: optional(reference('entity'), 'by: entity: all rows of one of these stay in one part.'),
});

/** `7d`, `1mo`, `none`. */
function readGrain(written: string): PartitionGrain | undefined {
  if (written === 'none') return 'none';
  const found = /^([1-9]\d{0,3})(d|mo)$/.exec(written);
  return found ? { unit: found[2] === 'd' ? 'day' : 'month', count: Number(found[1]) } : undefined;
}

const grain = text<PartitionGrain, string>('a number of days or months, or none', readGrain, {
  examples: ['1d', '7d', '1mo', 'none'],
});

const positiveNumber = number('a number from 0', { min: 0 });

const checksShape = object('checks', {
  rows: optional(
    object('limits of rows', {
      min: optional(positiveNumber, 'At least.'),
      max: optional(positiveNumber, 'At most.'),
    }),
    'How many rows there must be.',
  ),
  label_rate: optional(
    object('limits of the label', {
      min: optional(number('a number'), 'At least.'),
      max: optional(number('a number'), 'At most.'),
    }),
    'The mean of the label; of a boolean the share of rows that are true.',
  ),
  null_rate: optional(rate, 'The greatest share of rows without a value, for every feature.'),
  drift: optional(
    positiveNumber,
    'The greatest population stability index of any feature of the training part against the version before.',
  ),
  features: optional(
    list(
      object('feature check', {
        feature: required(reference('feature'), 'A feature of the dataset.'),
        null_rate: optional(rate, 'The greatest share of rows without a value.'),
        min: optional(number('a number'), 'The least value.'),
        max: optional(number('a number'), 'The greatest value.'),
        drift: optional(
          positiveNumber,
          'The greatest population stability index against the version before.',
        ),
      }),
    ),
    'What single features must be like.',
  ),
});

export const datasetShape = object('dataset', {
  name: required(name, 'Unique among datasets.'),
  observations: required(
    object('observations', {
      source: optional(reference('source'), 'The records to learn from.'),
      files: optional(anyText, 'A file of observations, relative to the project folder.'),
      time: optional(
        field,
        'The field or column of the observation time. Absent for a source: its event_time.',
      ),
      where: optional(expression, 'Only observations for which this is true.'),
    }),
    'One row each: entity keys by field name, and a time.',
  ),
  features: required(list(reference('feature'), { lone: true }), 'A set, or a list of features and sets.'),
  label: optional(reference('label'), 'What to predict.'),
  split: optional(splitShape, 'How rows are divided into train, validation, test, holdout.'),
  knowledge: optional(
    choice(['as_of', 'hindsight']),
    'as_of (the default) sees what serving would have seen.',
  ),
  partition: optional(
    grain,
    'Periods of the observation time that are kept, and made again, on their own: 1mo where observations come from a source. A file of observations is one partition.',
  ),
  checks: optional(
    checksShape,
    'What a version must be like; one that is not is kept aside, and the last good one stays.',
  ),
  ...performed,
  ...documentation,
});

const requirement = text('a part, a metric and a limit', null, { examples: ['test.auc >= 0.70'] });

export const modelShape = object('model', {
  name: required(name, 'Unique among models.'),
  dataset: required(reference('dataset'), 'What it learns from. It must have a label.'),
  task: required(choice(['binary', 'multiclass', 'regression']), 'What it predicts.'),
  trainer: required(
    object(
      'trainer',
      {
        kind: required(
          anyText,
          'Which trainer: gradient_boosted_trees, logistic_regression, linear_regression, baseline, or process: a command of your own.',
        ),
        env: optional(mapping(scalar, 'variables by name'), 'Variables of the command of a process trainer.'),
        seed: optional(
          number('a whole number', { integer: true }),
          'Everything random follows from it; 0 is the default.',
        ),
      },
      { shape: either(scalar, list(scalar)), snakeCase: true },
    ),
    'How it learns: `kind`, `seed` and the parameters of the trainer.',
  ),
  exclude: optional(
    list(reference('feature'), { lone: true }),
    'Features of the dataset that the model does not see.',
  ),
  promote: optional(
    object('promote', {
      require: optional(list(requirement, { lone: true }), 'What must hold before a version may serve.'),
      beat_champion: optional(
        object('beat_champion', {
          metric: required(
            text('a part and a metric', null, { examples: ['test.auc'] }),
            'Compared with the version that serves.',
          ),
          by: optional(number('a number from 0', { min: 0 }), 'The least improvement; 0 is the default.'),
        }),
        'It must be better than the version that serves.',
      ),
    }),
    'The gate before a version serves.',
  ),
  ...performed,
  ...documentation,
});

export const serviceShape = object('service', {
  name: required(name, 'Unique among services.'),
  model: required(reference('model'), 'What answers.'),
  log: optional(
    either(
      choice(['all', 'none']),
      object('log', { sample: required(rate, 'The share of predictions to log.') }),
    ),
    'Which predictions are logged: all (the default), none, or `{ sample: 0.1 }`.',
  ),
  backtest: optional(
    list(choice(PART_NAMES), { lone: true }),
    'Dataset parts that `run` scores with a new champion and logs at their observation times, with their outcomes, so that monitors start with a history.',
  ),
  ...performed,
  ...documentation,
});

export const monitorShape = object('monitor', {
  name: required(name, 'Unique among monitors.'),
  service: required(reference('service'), 'What is watched.'),
  window: optional(
    text('a duration', (written) => strictly(parseDuration(written)), { examples: ['1d', '7d'] }),
    'The recent past that is compared with the training set; 7d is the default.',
  ),
  features: optional(
    object('drift', {
      test: optional(
        choice(['auto', 'ks', 'chi_squared', 'psi', 'jensen_shannon']),
        'auto (the default) chooses by type and number of rows.',
      ),
      threshold: optional(
        number('a number from 0', { min: 0 }),
        'Where drift begins. Absent: the threshold of the test.',
      ),
    }),
    'How drift of the features is told.',
  ),
  performance: optional(
    list(text('a metric and a limit', null, { examples: ['auc >= 0.65'] }), { lone: true }),
    'What must hold once outcomes are known.',
  ),
  minimum_rows: optional(
    number('a whole number from 1', { integer: true, min: 1 }),
    'Below it the verdict is insufficient_data; 100 is the default.',
  ),
  alert: optional(list(anyText, { lone: true }), 'Where alerts go: log (the default), or a URL.'),
  ...performed,
  ...documentation,
});

const runList = optional(
  list(text('the name of an asset', null, { examples: ['flights_train', 'model.flight_late'] }), {
    lone: true,
  }),
  'Assets to run, with all their parents. Absent: everything.',
);
const enabled = optional(boolean, 'false: it stands, and does nothing.');

export const scheduleShape = object('schedule', {
  name: required(name, 'Unique among schedules and sensors.'),
  cron: required(
    text('a cron expression', null, { examples: ['0 2 * * *', '*/15 8-18 * * MON-FRI', '@daily'] }),
    'Minute, hour, day of month, month, day of week; names, or @hourly, @daily, @weekly, @monthly, @yearly.',
  ),
  timezone: optional(zone, 'On whose clocks. Absent: the time zone of the project.'),
  run: runList,
  catch_up: optional(
    choice(['all', 'latest', 'none']),
    'Times that passed while no scheduler was there: latest (the default) runs the last of them, all runs each, none runs none.',
  ),
  jitter: optional(
    duration,
    'Starts are spread over so long after the time, so that not all begin at once; 0s is the default.',
  ),
  enabled,
  ...documentation,
});

export const sensorShape = object('sensor', {
  name: required(name, 'Unique among schedules and sensors.'),
  on: required(
    object('on', {
      new_files: optional(reference('source'), 'Files, or rows of its query, that are not in the log yet.'),
      freshness: optional(
        reference('source'),
        'New records, and the source is as fresh as its `service_levels` promise.',
      ),
      completeness: optional(
        reference('source'),
        'The rows of the day that its `service_levels` promise are there: once a day.',
      ),
      updated: optional(
        text('the name of an asset', null),
        'New records of a source, a new version of a dataset or a model.',
      ),
    }),
    'What it waits for: one of these.',
  ),
  run: runList,
  minimum_interval: optional(duration, 'It fires at most once in so long; 0s is the default.'),
  every: optional(
    text('a duration', (written) => strictly(parseDuration(written)), { examples: ['10s', '5m'] }),
    'How often it looks; 30s is the default.',
  ),
  enabled,
  ...documentation,
});

export const settingsKeys = {
  project: optional(anyText, 'Name of the project. Absent: the name of its folder.'),
  timezone: optional(
    zone,
    'The zone of timestamps written without an offset, where a source names none; UTC is the default.',
  ),
  engine: optional(anyText, 'The offline engine; duckdb is the default.'),
  lake: optional(anyText, 'Where records are kept; .millrace/lake is the default.'),
  online: optional(anyText, 'The online store; .millrace/online is the default.'),
  registry: optional(anyText, 'The registry; .millrace/registry.db is the default.'),
  memory_limit: optional(
    text('a size', parseBytes, { examples: ['4GB', '512MB', '1.5GiB'] }),
    'Memory that the offline engine may use. Absent: half of what the machine has.',
  ),
  threads: optional(
    number('a whole number from 1', { integer: true, min: 1 }),
    'Threads of the offline engine. Absent: as many as the machine has.',
  ),
  policy: optional(
    object('policy', {
      run: optional(
        choice(['auto', 'ask']),
        'auto (the default) does what is planned; ask has a person agree before anything is computed.',
      ),
      budget: optional(
        object('budget', {
          seconds: optional(number('a number from 0', { min: 0 }), 'Expected time, seconds.'),
          rows: optional(number('a whole number from 0', { integer: true, min: 0 }), 'Rows that are read.'),
        }),
        'Above it a run asks although the policy is auto.',
      ),
    }),
    'When `run` asks before it computes.',
  ),
  executor: optional(
    object('executor', {
      ...stepSettings,
      lease: optional(
        text('a duration', (written) => strictly(parseDuration(written)), { examples: ['30s'] }),
        'How long a step belongs to a process that no longer renews its hold; 30s is the default.',
      ),
    }),
    'How steps of runs are performed. An asset may say otherwise under its own `executor`.',
  ),
  pools: optional(
    mapping(
      number('a whole number from 1', { integer: true, min: 1 }),
      'an object from pool to number of places',
    ),
    'How many steps of a pool go at a time, as in `{ postgres: 2 }`. `engine` has one, and so has a pool that is not named.',
  ),
  lineage: optional(
    object('lineage', {
      openlineage: required(
        anyText,
        'A file, or an http(s) address, that gets an OpenLineage event of every run.',
      ),
      namespace: optional(anyText, 'Namespace of jobs and data sets. Absent: the name of the project.'),
    }),
    'Whom to tell of every run. The key of a receiver comes from MILLRACE_OPENLINEAGE_API_KEY alone.',
  ),
};

export const listKeys = {
  entities: optional(list(entityShape), 'Things that features are about: users, products, flights.'),
  sources: optional(list(sourceShape), 'Append-only logs of records.'),
  transforms: optional(list(transformShape), 'Sources computed by SQL from other sources.'),
  features: optional(list(featureShape), 'Values about entities at an instant.'),
  feature_sets: optional(list(featureSetShape), 'Named lists of features.'),
  labels: optional(list(labelShape), 'Outcomes to predict.'),
  datasets: optional(list(datasetShape), 'Training sets.'),
  models: optional(list(modelShape), 'What is trained, and when it may serve.'),
  services: optional(list(serviceShape), 'Models that answer.'),
  monitors: optional(list(monitorShape), 'What is watched, and who is told.'),
  schedules: optional(list(scheduleShape), 'When assets are run, by the clock.'),
  sensors: optional(list(sensorShape), 'When assets are run, by what has come about.'),
};

export const definitionFileShape = object('the file', listKeys);
export const projectFileShape = object('the file', { ...settingsKeys, ...listKeys });
export type ListKey = keyof typeof listKeys;
