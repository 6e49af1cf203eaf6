/** From labels to models. */

import { parseInstant } from '../../base/time.js';
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
  scalar,
  text,
} from '../shape.js';
import type { PartitionGrain } from '../types.js';
import { rate } from './contract.js';
import { aggregationShape } from './feature.js';
import {
  anyText,
  documentation,
  duration,
  expression,
  field,
  name,
  PART_NAMES,
  performed,
  positiveNumber,
  valueType,
} from './words.js';

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
