/** What runs: services, monitors, schedules, sensors, and the settings of a project. */

import { parseDuration } from '../../base/time.js';
import {
  choice,
  either,
  list,
  mapping,
  number,
  object,
  optional,
  reference,
  required,
  text,
} from '../shape.js';
import { rate } from './contract.js';
import {
  anyText,
  documentation,
  duration,
  enabled,
  name,
  PART_NAMES,
  parseBytes,
  performed,
  stepSettings,
  strictly,
  zone,
} from './words.js';

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
      namespace: optional(anyText, 'Namespace of jobs and datasets. Absent: the name of the project.'),
    }),
    'Whom to tell of every run. The key of a receiver comes from MILLRACE_OPENLINEAGE_API_KEY alone.',
  ),
};
