/** Entities, sources and transforms: what is read, how often, and what is promised of it. */

import { parseDuration } from '../../base/time.js';
import { isTimeFormat } from '../../schema/time-format.js';
import {
  boolean,
  choice,
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
} from '../shape.js';
import { contract, severity } from './contract.js';
import {
  anyText,
  documentation,
  duration,
  field,
  name,
  oneOrMore,
  performed,
  positive,
  share,
  signedDuration,
  timeOfDay,
  valueType,
  window,
  zone,
} from './words.js';

export const entityShape = object('entity', {
  name: required(name, 'Unique among entities.'),
  join_key: optional(field, 'The field that identifies one of it.'),
  join_keys: optional(list(field), 'The fields that together identify one of it, in this order.'),
  ...documentation,
});

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
    'How old the newest known record may be. Datasets and models wait until it holds.',
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
    'What must have come by when, every day. Datasets and models wait until it holds.',
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
