/** The built-in trainers and their parameters: names, ranges, defaults. The reference page is made from this table. */
import { nearest } from '../base/nearest.js';
import type { Task } from '../define/types.js';

export interface ParameterShape {
  readonly default: number | boolean | string;
  readonly min?: number;
  readonly max?: number;
  readonly integer?: boolean;
  readonly choices?: readonly string[];
  /** Absent: all tasks of the trainer. */
  readonly tasks?: readonly Task[];
  readonly description: string;
}

export interface TrainerShape {
  readonly tasks: readonly Task[];
  readonly description: string;
  readonly parameters: Readonly<Record<string, ParameterShape>>;
}

const encoding = {
  min_category_rows: { default: 20, min: 1, integer: true, description: 'Categories seen in fewer training rows are pooled into one.' },
  max_categories: { default: 200, min: 1, max: 250, integer: true, description: 'The most frequent categories that are kept.' },
} as const;

const classWeight = {
  class_weight: {
    default: 'none',
    choices: ['none', 'balanced'],
    tasks: ['binary', 'multiclass'],
    description: '`balanced` gives every class the same total weight; probabilities are then those of balanced classes.',
  },
} as const;

const penalty = {
  l2: { default: 1, min: 0, description: 'Weight of ½ Σ b², added to the sum of the losses (1 / C in scikit-learn).' },
  l1: { default: 0, min: 0, description: 'Weight of Σ |b|, added to the sum of the losses.' },
  standardise: { default: true, description: 'Divide each number by its standard deviation on training rows.' },
  ...encoding,
} as const;

export const TRAINERS = {
  gradient_boosted_trees: {
    tasks: ['binary', 'multiclass', 'regression'],
    description: 'Histogram gradient boosting, leaf by leaf, with categories and missing values.',
    parameters: {
      trees: { default: 200, min: 1, max: 10_000, integer: true, description: 'Rounds at the most.' },
      learning_rate: { default: 0.1, min: 1e-6, max: 1, description: 'Shrinkage of every tree.' },
      max_leaves: { default: 31, min: 2, max: 4096, integer: true, description: 'Leaves of a tree.' },
      max_depth: { default: 0, min: 0, max: 64, integer: true, description: 'Depth of a tree; 0 is no limit.' },
      min_child_rows: { default: 20, min: 1, integer: true, description: 'Rows a leaf must have.' },
      min_gain: { default: 0, min: 0, description: 'Gain below which a node is not split.' },
      l2: { default: 1, min: 0, description: 'Penalty on leaf values.' },
      subsample: { default: 1, min: 0.01, max: 1, description: 'Share of rows drawn for each tree.' },
      colsample: { default: 1, min: 0.01, max: 1, description: 'Share of columns drawn for each tree.' },
      max_bins: { default: 255, min: 2, max: 255, integer: true, description: 'Histogram bins of a number.' },
      category_smoothing: { default: 10, min: 0, description: 'Rows of prior in the order of categories.' },
      early_stopping_rounds: { default: 20, min: 0, integer: true, description: 'Stop when the validation loss has not improved for so many rounds, and keep the best; 0 is never.' },
      ...encoding,
      ...classWeight,
    },
  },
  logistic_regression: {
    tasks: ['binary', 'multiclass'],
    description: 'Penalised logistic regression, solved to tight convergence.',
    parameters: {
      ...penalty,
      max_iterations: { default: 200, min: 1, integer: true, description: 'Newton steps at the most; L-BFGS takes up to 20 times as many.' },
      tolerance: { default: 1e-10, min: 1e-16, max: 1, description: 'Newton stops after a step that promised less than this share of the loss, L-BFGS at a mean gradient below it.' },
      solver: { default: 'auto', choices: ['auto', 'newton', 'lbfgs'], description: 'Newton’s method, or L-BFGS for wide data; `l1` needs Newton.' },
      ...classWeight,
    },
  },
  linear_regression: {
    tasks: ['regression'],
    description: 'Least squares with ridge and lasso penalties.',
    parameters: penalty,
  },
  baseline: {
    tasks: ['binary', 'multiclass', 'regression'],
    description: 'The mean, or the class shares: what a model has to beat.',
    parameters: {},
  },
} as const satisfies Record<string, TrainerShape>;

export type TrainerKind = keyof typeof TRAINERS;

export interface TrainerProblem {
  /** The parameter, or null when the trainer itself is wrong. */
  readonly parameter: string | null;
  readonly message: string;
  readonly nearest?: string;
  readonly hint?: string;
}

function parameterProblem(name: string, shape: ParameterShape, value: unknown): string | undefined {
  if (shape.choices) return shape.choices.includes(String(value)) ? undefined : `${name} is ${JSON.stringify(value)}, expected ${shape.choices.join(', ')}`;
  if (typeof shape.default === 'boolean') return typeof value === 'boolean' ? undefined : `${name} is ${JSON.stringify(value)}, expected true or false`;
  if (typeof value !== 'number' || !Number.isFinite(value)) return `${name} is ${JSON.stringify(value)}, expected a number`;
  if (shape.integer && !Number.isInteger(value)) return `${name} is ${value}, expected a whole number`;
  if (shape.min !== undefined && value < shape.min) return `${name} is ${value}, expected at least ${shape.min}`;
  if (shape.max !== undefined && value > shape.max) return `${name} is ${value}, expected at most ${shape.max}`;
  return undefined;
}

/** Everything that is wrong with a trainer's kind, task and parameters. */
export function checkTrainer(kind: string, task: Task, parameters: Readonly<Record<string, unknown>>): readonly TrainerProblem[] {
  const trainers: Readonly<Record<string, TrainerShape>> = TRAINERS;
  const trainer = Object.hasOwn(trainers, kind) ? trainers[kind] : undefined;
  if (!trainer) {
    const near = nearest(kind, Object.keys(trainers));
    return [{ parameter: null, message: `there is no trainer "${kind}"`, ...(near ? { nearest: near } : {}), hint: `Trainers: ${Object.keys(trainers).join(', ')}.` }];
  }
  const problems: TrainerProblem[] = [];
  if (!trainer.tasks.includes(task))
    problems.push({ parameter: null, message: `trainer ${kind} does not do ${task}`, hint: `It does ${trainer.tasks.join(', ')}.` });
  for (const [name, value] of Object.entries(parameters)) {
    const shape = Object.hasOwn(trainer.parameters, name) ? trainer.parameters[name] : undefined;
    if (!shape) {
      const near = nearest(name, Object.keys(trainer.parameters));
      problems.push({ parameter: name, message: `trainer ${kind} has no parameter "${name}"`, ...(near ? { nearest: near } : {}), hint: `Parameters: ${Object.keys(trainer.parameters).join(', ')}.` });
      continue;
    }
    const message = parameterProblem(name, shape, value);
    if (message) {
      const near = shape.choices && typeof value === 'string' ? nearest(value, shape.choices) : undefined;
      problems.push({ parameter: name, message, ...(near ? { nearest: near } : {}), hint: `The default is ${String(shape.default)}.` });
    } else if (shape.tasks && !shape.tasks.includes(task) && value !== shape.default) {
      problems.push({ parameter: name, message: `${name} of trainer ${kind} has no meaning for ${task}`, hint: `It is for ${shape.tasks.join(' and ')}.` });
    }
  }
  if (parameters.solver === 'lbfgs' && Number(parameters.l1) > 0)
    problems.push({ parameter: 'solver', message: 'solver is "lbfgs", which cannot do l1', hint: 'Leave solver out.' });
  return problems;
}

/** Given parameters over defaults. */
export function trainerParameters(kind: TrainerKind, given: Readonly<Record<string, unknown>>): Readonly<Record<string, number | boolean | string>> {
  const shapes: Readonly<Record<string, ParameterShape>> = TRAINERS[kind].parameters;
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, (given[name] ?? shape.default) as number | boolean | string]));
}

function allowed({ min, max, choices, default: standard }: ParameterShape): string {
  if (choices) return choices.join(', ');
  if (typeof standard === 'boolean') return 'true, false';
  return [min === undefined ? '' : `≥ ${min}`, max === undefined ? '' : `≤ ${max}`].filter(Boolean).join(', ');
}

const typeName = (shape: ParameterShape): string =>
  typeof shape.default === 'number' ? (shape.integer ? 'whole number' : 'number') : typeof shape.default === 'string' ? 'choice' : 'boolean';

/** The reference page of the built-in trainers, in Markdown. */
export function trainersReference(): string {
  const lines = [
    '# Built-in trainers',
    '',
    'Chosen by `trainer: { kind: KIND, seed: N, PARAMETER: VALUE, ... }` in a model. All of them are deterministic: the same',
    'rows in the same order, the same parameters and the same seed give the same model file, byte for byte. The validation',
    'part only decides when boosting stops; the test part is never learnt from.',
    '',
    'Linear models replace a missing number by the mean of the training part and get a 0/1 column that says so, and one',
    'column for each category. Trees learn on which side missing values and each category go. A category that training did',
    'not see counts as "other".',
  ];
  for (const [kind, trainer] of Object.entries<TrainerShape>(TRAINERS)) {
    lines.push('', `## ${kind}`, '', trainer.description, '', `Tasks: ${trainer.tasks.join(', ')}.`);
    const parameters = Object.entries(trainer.parameters);
    if (parameters.length === 0) continue;
    lines.push('', '| parameter | type | default | allowed | meaning |', '|---|---|---|---|---|');
    for (const [name, shape] of parameters) {
      const only = shape.tasks && shape.tasks.length < trainer.tasks.length ? ` Only for ${shape.tasks.join(' and ')}.` : '';
      const meaning = shape.description.replaceAll('|', '\\|');
      lines.push(`| \`${name}\` | ${typeName(shape)} | ${String(shape.default)} | ${allowed(shape)} | ${meaning}${only} |`);
    }
  }
  return `${lines.join('\n')}\n`;
}
