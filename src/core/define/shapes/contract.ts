/** Contracts: rules of fields, of rows, of batches. */
import {
  boolean,
  choice,
  either,
  list,
  mapping,
  number,
  object,
  optional,
  required,
  scalar,
  text,
} from '../shape.js';
import { anyText, expression, field, name, oneOrMore } from './words.js';

export const severity = choice(['info', 'warning', 'error', 'critical'], { warn: 'warning' });
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

export const rate = number('a share from 0 to 1', { min: 0, max: 1 });
const limits = object('limits', {
  min: optional(number('a number'), 'The least allowed value.'),
  max: optional(number('a number'), 'The greatest allowed value.'),
});
const byField = mapping(limits, 'an object from field to limits');
export const distribution = object('distribution', {
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

export const contract = object(
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
