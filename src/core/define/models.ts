/** Models: trainers and their parameters, requirements, the comparison with the champion. */

import { fingerprint } from '../base/fingerprint.js';
import { isNumeric, printType } from '../schema/types.js';
import { documentationOf } from './collect.js';
import type { Resolved } from './context.js';
import { expandNames } from './feature-sets.js';
import { type Located, type Out, suggestion } from './shape.js';
import type { modelShape } from './shapes/training.js';
import { PART_NAMES } from './shapes/words.js';
import { checkTrainer } from './trainers.js';
import type { Dataset, Label, MetricRequirement, Model, PartName, Task } from './types.js';

type RawModel = Out<typeof modelShape>;

/** What evaluation reports, by task. */
export const METRICS: Readonly<Record<Task, readonly string[]>> = {
  binary: [
    'auc',
    'average_precision',
    'log_loss',
    'brier',
    'ece',
    'accuracy',
    'precision',
    'recall',
    'specificity',
    'f1',
    'positive_rate',
  ],
  multiclass: ['accuracy', 'log_loss', 'macro_f1', 'macro_auc'],
  regression: ['rmse', 'mse', 'mae', 'median_absolute_error', 'r2', 'mape', 'mean_error'],
};

const OPERATORS: Readonly<Record<string, MetricRequirement['operator']>> = {
  '>=': '>=',
  '>': '>',
  '<=': '<=',
  '<': '<',
  '=': '=',
  '==': '=',
};

/** `test.auc >= 0.70`; where there are no parts (monitors), `auc >= 0.65`. */
export function readRequirement(
  context: Resolved,
  subject: string,
  written: Located<string>,
  task: Task,
  parts: readonly PartName[] | null,
): MetricRequirement | undefined {
  const { report } = context;
  const match = /^\s*(?:(\w+)\.)?(\w+)\s*(>=|<=|==|=|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*$/.exec(
    written.value,
  );
  const example = parts ? 'test.auc >= 0.70' : 'auc >= 0.65';
  if (!match || (parts && match[1] === undefined)) {
    return report.add(
      'DEF_INVALID_VALUE',
      written.place,
      `${subject} requires \`${written.value}\`: expected ${parts ? 'a part, ' : ''}a metric and a limit such as ${example}`,
    );
  }
  const part = match[1] === undefined ? 'test' : readPart(context, subject, written, match[1], parts);
  const metric = readMetric(context, subject, written, match[2]!, task);
  if (!part || !metric) return undefined;
  return {
    part,
    metric,
    operator: OPERATORS[match[3]!]!,
    value: Number(match[4]),
    text: written.value.trim(),
  };
}

function readPart(
  context: Resolved,
  subject: string,
  written: Located<string>,
  part: string,
  parts: readonly PartName[] | null,
): PartName | undefined {
  const known = parts ?? PART_NAMES;
  const found = known.find((name) => name === part);
  if (found) return found;
  return context.report.add(
    'DEF_UNKNOWN_NAME',
    written.at(written.value.indexOf(part)),
    `${subject} names the part \`${part}\`, which its dataset does not have`,
    {
      ...suggestion(part, known),
      hint: known.length > 0 ? `Parts: ${known.join(', ')}.` : 'Give the dataset a `split`.',
    },
  );
}

function readMetric(
  context: Resolved,
  subject: string,
  written: Located<string>,
  metric: string,
  task: Task,
): string | undefined {
  if (METRICS[task].includes(metric)) return metric;
  return context.report.add(
    'DEF_UNKNOWN_NAME',
    written.at(Math.max(0, written.value.indexOf(metric))),
    `${subject} names the metric \`${metric}\`, which a ${task} model does not have`,
    {
      ...suggestion(metric, METRICS[task]),
      hint: `Metrics: ${METRICS[task].join(', ')}.`,
    },
  );
}

export function resolveModels(
  context: Resolved,
  datasets: ReadonlyMap<string, Dataset>,
  labels: ReadonlyMap<string, Label>,
): ReadonlyMap<string, Model> {
  const models = new Map<string, Model>();
  for (const [name, raw] of context.raw.models) {
    const model = resolveModel(context, name, raw, datasets, labels);
    if (model) models.set(name, model);
  }
  return models;
}

function resolveModel(
  context: Resolved,
  name: string,
  raw: RawModel,
  datasets: ReadonlyMap<string, Dataset>,
  labels: ReadonlyMap<string, Label>,
): Model | undefined {
  const { report } = context;
  const subject = `model \`${name}\``;
  const before = report.diagnostics.length;
  if (raw.dataset && !context.raw.datasets.has(raw.dataset.value))
    report.unknown(subject, 'dataset', raw.dataset, context.raw.datasets.keys());
  const dataset = raw.dataset && datasets.get(raw.dataset.value);
  const task = raw.task?.value;
  if (dataset && dataset.label === null) {
    report.add(
      'DEF_MISSING_KEY',
      raw.dataset!.place,
      `${subject} learns from \`${dataset.name}\`, which has no label`,
      { hint: 'Give the dataset a `label`.' },
    );
  }
  const label = dataset?.label ? labels.get(dataset.label) : undefined;
  if (label && task) checkTask(context, subject, raw, label, task);

  const exclude = expandNames(context, `\`exclude\` of ${subject}`, raw.exclude ?? []);
  const absent = dataset && exclude.find((feature) => !dataset.features.includes(feature));
  if (absent) {
    report.add(
      'DEF_UNKNOWN_NAME',
      raw.$.keys.get('exclude'),
      `\`exclude\` of ${subject} names \`${absent}\`, which dataset \`${dataset.name}\` does not have`,
      suggestion(absent, dataset.features),
    );
  }
  if (
    dataset &&
    dataset.features.length > 0 &&
    dataset.features.every((feature) => exclude.includes(feature))
  ) {
    report.add(
      'DEF_INVALID_VALUE',
      raw.$.keys.get('exclude'),
      `${subject} excludes every feature of \`${dataset.name}\``,
    );
  }
  const parts = dataset?.split?.parts.map((part) => part.name) ?? (dataset ? [] : PART_NAMES);
  const require: MetricRequirement[] = [];
  for (const written of raw.promote?.require ?? []) {
    const found = task && readRequirement(context, subject, written, task, parts);
    if (found) require.push(found);
  }
  const beatChampion = task ? readChampion(context, subject, raw, task, parts) : null;
  const parameters = trainerOf(context, subject, raw, task);
  const failed = report.diagnostics.slice(before).some((diagnostic) => diagnostic.severity === 'error');
  if (failed || !dataset || !task || !raw.trainer?.kind) return undefined;
  const trainer = { kind: raw.trainer.kind.value, seed: raw.trainer.seed?.value ?? 0, parameters };
  const promote = { require, beatChampion };
  const print = fingerprint({
    kind: 'model',
    name,
    dataset: dataset.fingerprint,
    task,
    trainer,
    exclude,
  });
  return {
    ...documentationOf(raw),
    name,
    dataset: dataset.name,
    task,
    trainer,
    exclude,
    promote,
    fingerprint: print,
  };
}

/** The written parameters of the trainer; says what is wrong with its kind, its seed and each of them. */
function trainerOf(
  context: Resolved,
  subject: string,
  raw: RawModel,
  task: Task | undefined,
): Readonly<Record<string, unknown>> {
  const parameters: Record<string, unknown> = {};
  const { trainer } = raw;
  for (const [key, { value }] of trainer?.$rest ?? []) {
    parameters[key] = Array.isArray(value)
      ? (value as Located<unknown>[]).map((item) => item.value)
      : (value as Located<unknown>).value;
  }
  if (trainer?.env)
    parameters['env'] = Object.fromEntries([...trainer.env].map(([key, { value }]) => [key, value.value]));
  if (!trainer?.kind || !task) return parameters;
  for (const problem of checkTrainer(trainer.kind.value, task, trainer.seed?.value ?? 0, parameters)) {
    const { parameter } = problem;
    const place =
      parameter === null
        ? trainer.kind.place
        : parameter === 'seed'
          ? trainer.seed?.place
          : parameter === 'env'
            ? trainer.$.keys.get('env')
            : trainer.$rest.get(parameter)?.keyPlace;
    context.report.add(
      problem.unknown ? 'DEF_UNKNOWN_NAME' : 'DEF_INVALID_VALUE',
      place,
      `${subject}: ${problem.message}`,
      {
        ...(problem.nearest === undefined ? {} : { nearest: problem.nearest }),
        hint: problem.nearest === undefined ? problem.hint : `Did you mean \`${problem.nearest}\`?`,
      },
    );
  }
  return parameters;
}

function checkTask(context: Resolved, subject: string, raw: RawModel, label: Label, task: Task): void {
  const { kind } = label.valueType;
  const fits = {
    binary: kind === 'boolean' || kind === 'int64',
    multiclass: kind === 'string' || kind === 'int64' || kind === 'boolean',
    regression: isNumeric(label.valueType),
  }[task];
  if (fits) return;
  const expected = {
    binary: 'boolean (or int64 0 and 1)',
    multiclass: 'string or int64',
    regression: 'a number',
  }[task];
  context.report.add(
    'DEF_TYPE',
    raw.task!.place,
    `${subject} is ${task}, and label \`${label.name}\` is ${printType(label.valueType)}: expected ${expected}`,
    {
      hint:
        kind === 'boolean'
          ? 'Write `task: binary`.'
          : isNumeric(label.valueType)
            ? 'Write `task: regression`.'
            : 'Write `task: multiclass`.',
    },
  );
}

function readChampion(
  context: Resolved,
  subject: string,
  raw: RawModel,
  task: Task,
  parts: readonly PartName[],
): Model['promote']['beatChampion'] {
  const written = raw.promote?.beat_champion;
  if (!written?.metric) return null;
  const match = /^\s*(\w+)\.(\w+)\s*$/.exec(written.metric.value);
  if (!match) {
    context.report.add(
      'DEF_INVALID_VALUE',
      written.metric.place,
      `\`beat_champion\` of ${subject} names \`${written.metric.value}\`: expected a part and a metric such as test.auc`,
    );
    return null;
  }
  const part = readPart(context, subject, written.metric, match[1]!, parts);
  const metric = readMetric(context, subject, written.metric, match[2]!, task);
  return part && metric ? { part, metric, by: written.by?.value ?? 0 } : null;
}
