/** The built-in trainers and their parameters: names, ranges, defaults. The reference page is made from this table. */
import { nearest } from '../base/nearest.js';
import { parseDuration } from '../base/time.js';
import type { Task } from './types.js';

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
  min_category_rows: {
    default: 20,
    min: 1,
    integer: true,
    description: 'Categories seen in fewer training rows are pooled into one.',
  },
  max_categories: {
    default: 200,
    min: 1,
    max: 250,
    integer: true,
    description: 'The most frequent categories that are kept.',
  },
} as const;

const classWeight = {
  class_weight: {
    default: 'none',
    choices: ['none', 'balanced'],
    tasks: ['binary', 'multiclass'],
    description:
      '`balanced` gives every class the same total weight; probabilities are then those of balanced classes.',
  },
} as const;

const penalty = {
  l2: {
    default: 1,
    min: 0,
    description: 'Weight of ½ Σ b², added to the sum of the losses (1 / C in scikit-learn).',
  },
  l1: { default: 0, min: 0, description: 'Weight of Σ |b|, added to the sum of the losses.' },
  standardise: {
    default: true,
    description: 'Divide each number by its standard deviation on training rows.',
  },
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
      max_depth: {
        default: 0,
        min: 0,
        max: 64,
        integer: true,
        description: 'Depth of a tree; 0 is no limit.',
      },
      min_child_rows: { default: 20, min: 1, integer: true, description: 'Rows a leaf must have.' },
      min_gain: { default: 0, min: 0, description: 'Gain below which a node is not split.' },
      l2: { default: 1, min: 0, description: 'Penalty on leaf values.' },
      subsample: { default: 1, min: 0.01, max: 1, description: 'Share of rows drawn for each tree.' },
      colsample: { default: 1, min: 0.01, max: 1, description: 'Share of columns drawn for each tree.' },
      max_bins: { default: 255, min: 2, max: 255, integer: true, description: 'Histogram bins of a number.' },
      category_smoothing: { default: 10, min: 0, description: 'Rows of prior in the order of categories.' },
      early_stopping_rounds: {
        default: 20,
        min: 0,
        integer: true,
        description:
          'Stop when the validation loss has not improved for so many rounds, and keep the best; 0 is never.',
      },
      ...encoding,
      ...classWeight,
    },
  },
  logistic_regression: {
    tasks: ['binary', 'multiclass'],
    description: 'Penalised logistic regression, solved to tight convergence.',
    parameters: {
      ...penalty,
      max_iterations: {
        default: 200,
        min: 1,
        integer: true,
        description: 'Newton steps at the most; L-BFGS takes up to 20 times as many.',
      },
      tolerance: {
        default: 1e-10,
        min: 1e-16,
        max: 1,
        description:
          'Newton stops after a step that promised less than this share of the loss, L-BFGS at a mean gradient below it.',
      },
      solver: {
        default: 'auto',
        choices: ['auto', 'newton', 'lbfgs'],
        description: 'Newton’s method, or L-BFGS for wide data; `l1` needs Newton.',
      },
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

/** The trainer that is a command of the project's own. */
export const PROCESS = 'process';

/** How the features of a `process` trainer are encoded; as those of the built-in trainers of the form. */
export interface EncodeOptions {
  readonly form: 'linear' | 'tree';
  readonly standardise: boolean;
  readonly minCategoryRows: number;
  readonly maxCategories: number;
}

const ENCODE_FORMS = ['linear', 'tree'] as const;
/** With `encode` they are said of the encoders, as they are of the built-in trainers; else they go to the command. */
const ENCODE_DEFAULTS = { standardise: true, min_category_rows: 20, max_categories: 200 } as const;

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 1;

export interface ProcessTrainer {
  readonly command: readonly string[];
  /** Null: as long as it takes. */
  readonly timeoutMs: number | null;
  readonly env: Readonly<Record<string, string>>;
  /** Files and folders of the project that the command reads: with the command's own files its code. */
  readonly files: readonly string[];
  /** The command learns from encoded columns, and the model is asked in them. Null: in the features as they are. */
  readonly encode: EncodeOptions | null;
  /** What is left goes to the command. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** The parameters of a checked `process` trainer, told apart. */
export function processTrainer(given: Readonly<Record<string, unknown>>): ProcessTrainer {
  const { command, timeout, env, files, encode, ...rest } = given;
  const form = ENCODE_FORMS.find((one) => one === encode);
  const { standardise, min_category_rows, max_categories, ...others } = { ...ENCODE_DEFAULTS, ...rest };
  return {
    command: command as readonly string[],
    timeoutMs: timeout === undefined ? null : parseDuration(String(timeout))! / 1000,
    env: Object.fromEntries(
      Object.entries((env ?? {}) as Record<string, unknown>).map(([name, value]) => [name, String(value)]),
    ),
    files: files === undefined ? [] : [files].flat().map(String),
    encode: form
      ? { form, standardise, minCategoryRows: min_category_rows, maxCategories: max_categories }
      : null,
    parameters: form ? others : rest,
  };
}

export interface TrainerProblem {
  /** The parameter (`seed` among them), or null when the trainer itself is wrong. */
  readonly parameter: string | null;
  /** There is no trainer or no parameter of that name. */
  readonly unknown: boolean;
  readonly message: string;
  readonly nearest?: string;
  readonly hint: string;
}

/** What is wrong with the value, as `expected ...`. */
function expectation(shape: ParameterShape, value: unknown): string | undefined {
  if (shape.choices) return shape.choices.includes(String(value)) ? undefined : shape.choices.join(', ');
  if (typeof shape.default === 'boolean') return typeof value === 'boolean' ? undefined : 'true or false';
  const wholeOr = shape.integer ? 'a whole number' : 'a number';
  if (typeof value !== 'number' || !Number.isFinite(value)) return wholeOr;
  if (shape.integer && !Number.isInteger(value)) return wholeOr;
  if (shape.min !== undefined && value < shape.min) return `at least ${shape.min}`;
  if (shape.max !== undefined && value > shape.max) return `at most ${shape.max}`;
  return undefined;
}

const nearTo = (name: string, known: readonly string[]): { readonly nearest?: string } => {
  const found = nearest(name, known);
  return found === undefined ? {} : { nearest: found };
};

function unknownTrainer(kind: string, known: readonly string[]): TrainerProblem {
  const all = [...known, PROCESS];
  return {
    parameter: null,
    unknown: true,
    message: `there is no trainer \`${kind}\``,
    ...nearTo(kind, all),
    hint: `Trainers: ${all.join(', ')}.`,
  };
}

function parameterProblem(
  kind: string,
  trainer: TrainerShape,
  task: Task,
  name: string,
  value: unknown,
): TrainerProblem | undefined {
  const known = Object.keys(trainer.parameters);
  const shape = Object.hasOwn(trainer.parameters, name) ? trainer.parameters[name] : undefined;
  if (!shape) {
    return {
      parameter: name,
      unknown: true,
      message: `trainer \`${kind}\` has no parameter \`${name}\``,
      ...nearTo(name, known),
      hint: known.length === 0 ? 'It has none.' : `Parameters: ${known.join(', ')}.`,
    };
  }
  const expected = expectation(shape, value);
  if (expected !== undefined) {
    return {
      parameter: name,
      unknown: false,
      message: `\`${name}\` of trainer \`${kind}\` is ${JSON.stringify(value)}: expected ${expected}`,
      ...(shape.choices ? nearTo(String(value), shape.choices) : {}),
      hint: `The default is ${String(shape.default)}.`,
    };
  }
  if (!shape.tasks || shape.tasks.includes(task) || value === shape.default) return undefined;
  return {
    parameter: name,
    unknown: false,
    message: `\`${name}\` of trainer \`${kind}\` has no meaning for ${task}`,
    hint: `It is for ${shape.tasks.join(' and ')}.`,
  };
}

const seedProblems = (seed: number): TrainerProblem[] =>
  seed === (seed | 0)
    ? []
    : [
        {
          parameter: 'seed',
          unknown: false,
          message: `the seed is ${seed}: expected a whole number of 32 bits`,
          hint: 'The default is 0.',
        },
      ];

function processProblems(given: Readonly<Record<string, unknown>>): TrainerProblem[] {
  const problem = (parameter: string | null, expected: string, hint: string): TrainerProblem => ({
    parameter,
    unknown: false,
    message: `\`${parameter ?? 'command'}\` of trainer \`process\` must be ${expected}`,
    hint,
  });
  const { command, timeout, files, encode } = given;
  const found: TrainerProblem[] = [];
  if (!Array.isArray(command) || command.length === 0 || !command.every((part) => typeof part === 'string'))
    found.push(
      problem(
        command === undefined ? null : 'command',
        'a list of texts: the program and its arguments',
        'Write `command: [python3, train.py]`.',
      ),
    );
  const limit = timeout === undefined ? 1 : (parseDuration(String(timeout)) ?? 0);
  // A timer holds 31 bits of milliseconds.
  if (limit <= 0 || limit / 1000 > 2 ** 31 - 1)
    found.push(problem('timeout', 'a duration of at most 24 days', 'Write `timeout: 10m`.'));
  if (files !== undefined && ![files].flat().every((file) => typeof file === 'string'))
    found.push(problem('files', 'names of files of the project', 'Write `files: [features.py]`.'));
  if (encode !== undefined) {
    if (!ENCODE_FORMS.some((form) => form === encode))
      found.push(problem('encode', ENCODE_FORMS.join(' or '), 'Write `encode: linear`.'));
    const { standardise, ...counts } = ENCODE_DEFAULTS;
    if (typeof (given['standardise'] ?? standardise) !== 'boolean')
      found.push(problem('standardise', 'true or false', `The default is ${standardise}.`));
    for (const [name, standard] of Object.entries(counts))
      if (!isWhole(given[name] ?? standard))
        found.push(problem(name, 'a whole number of at least 1', `The default is ${standard}.`));
  }
  return found;
}

/** Everything that is wrong with a trainer's kind, task, seed and parameters. */
export function checkTrainer(
  kind: string,
  task: Task,
  seed: number,
  parameters: Readonly<Record<string, unknown>>,
): readonly TrainerProblem[] {
  if (kind === PROCESS) return [...seedProblems(seed), ...processProblems(parameters)];
  const trainers: Readonly<Record<string, TrainerShape>> = TRAINERS;
  const trainer = Object.hasOwn(trainers, kind) ? trainers[kind] : undefined;
  if (!trainer) return [unknownTrainer(kind, Object.keys(trainers))];
  const problems: TrainerProblem[] = [];
  if (!trainer.tasks.includes(task)) {
    problems.push({
      parameter: null,
      unknown: false,
      message: `trainer \`${kind}\` does not do ${task}`,
      hint: `It does ${trainer.tasks.join(', ')}.`,
    });
  }
  problems.push(...seedProblems(seed));
  for (const [name, value] of Object.entries(parameters)) {
    const problem = parameterProblem(kind, trainer, task, name, value);
    if (problem) problems.push(problem);
  }
  if (kind === 'logistic_regression' && parameters.solver === 'lbfgs' && Number(parameters.l1) > 0) {
    problems.push({
      parameter: 'solver',
      unknown: false,
      message: 'solver `lbfgs` cannot do `l1`',
      hint: 'Leave solver out.',
    });
  }
  return problems;
}

/** Given parameters over defaults. */
export function trainerParameters(
  kind: TrainerKind,
  given: Readonly<Record<string, unknown>>,
): Readonly<Record<string, number | boolean | string>> {
  const shapes: Readonly<Record<string, ParameterShape>> = TRAINERS[kind].parameters;
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      (given[name] ?? shape.default) as number | boolean | string,
    ]),
  );
}

function allowed({ min, max, choices, default: standard }: ParameterShape): string {
  if (choices) return choices.join(', ');
  if (typeof standard === 'boolean') return 'true, false';
  return [min === undefined ? '' : `≥ ${min}`, max === undefined ? '' : `≤ ${max}`]
    .filter(Boolean)
    .join(', ');
}

const typeName = (shape: ParameterShape): string =>
  typeof shape.default === 'number'
    ? shape.integer
      ? 'whole number'
      : 'number'
    : typeof shape.default === 'string'
      ? 'choice'
      : 'boolean';

/** The reference page of the built-in trainers, in Markdown. */
export function trainersReference(): string {
  const lines = [
    '# Built-in trainers',
    '',
    'Chosen by `trainer: { kind: KIND, seed: N, PARAMETER: VALUE, ... }` in a model. The validation part only decides when',
    'boosting stops; the test part is never learnt from.',
    '',
    'All of them are deterministic: the same rows in the same order, the same parameters and the same seed (a whole number of',
    '32 bits) give the same model file, byte for byte, whatever the load and the number of threads. This holds for one version',
    'of Node.js on one kind of processor: the last bit of `exp` and `log`, which V8 computes itself, may differ in another.',
    'One model file gives the same bits for a row alone and in a table.',
    '',
    'Linear models replace a missing number by the mean of the training part and get a 0/1 column that says so, and one',
    'column for each category. Trees learn on which side missing values and each category go. A category that training did',
    'not see counts as "other".',
    '',
    '## How features become numbers',
    '',
    'Categories, means, scales and what stands in for a missing value are fitted on the rows of the training part alone: what',
    'stands in validation, test or holdout changes no bit of them. The fitted encoders are `encoders.json` beside the model;',
    'its manifest names them (`encoders`: `sha256`, `form`, `rows`) next to the dataset version that they were fitted on',
    '(`dataset`). Serving, batch scoring and training encode by one piece of code, so a row has the same bits everywhere.',
    '',
    '| form | numbers | texts | missing | a category that training did not see |',
    '|---|---|---|---|---|',
    '| `linear` | (x − mean) / standard deviation (n in the denominator), within ±1e150 | a 0/1 column for each kept category, one for all others where training had any | 0, the mean; a 0/1 column says so where training had any | the column of all others, else all zeros |',
    '| `tree` | as they are | the index of the category | NaN; of a text the index after all others | the index after the kept ones |',
    '',
    '`encoders.json` holds `names`, the encoded columns in their order, and `encoder.features`: for each feature its `kind`',
    '(`standard`: `means`, `scales`, `indicators`; `one_hot` and `category`: `categories`, most frequent first; `number`).',
    'A [`process`](#process) trainer takes the same with `encode`.',
  ];
  for (const [kind, trainer] of Object.entries<TrainerShape>(TRAINERS)) {
    lines.push('', `## ${kind}`, '', trainer.description, '', `Tasks: ${trainer.tasks.join(', ')}.`);
    const parameters = Object.entries(trainer.parameters);
    if (parameters.length === 0) continue;
    lines.push('', '| parameter | type | default | allowed | meaning |', '|---|---|---|---|---|');
    for (const [name, shape] of parameters) {
      const only =
        shape.tasks && shape.tasks.length < trainer.tasks.length
          ? ` Only for ${shape.tasks.join(' and ')}.`
          : '';
      const meaning = shape.description.replaceAll('|', '\\|');
      lines.push(
        `| \`${name}\` | ${typeName(shape)} | ${String(shape.default)} | ${allowed(shape)} | ${meaning}${only} |`,
      );
    }
  }
  lines.push(
    '',
    '## process',
    '',
    'A command of your own: [models.md](models.md) describes its files. `command` is a list, the program and its arguments,',
    'run in the project folder; `timeout` is a duration; `env` holds variables; `files` names files and folders that belong',
    'to its code beside those that the command names. Everything else is a parameter of the command.',
    '',
    'With `encode: linear` or `encode: tree` (and `standardise`, `min_category_rows`, `max_categories` as above) the command',
    'finds `encoders.json` and, for each part, its encoded rows as `PART.npy` (NumPy, float64, `[rows, columns]`, in the order',
    'of the Parquet file). Its model then takes the encoded columns: one input `[N, columns]`, or one a column by its name. At',
    'serving millrace encodes by that very file, which is kept with the version and checked when it is loaded.',
    '',
    'Tasks: binary, multiclass, regression.',
  );
  return `${lines.join('\n')}\n`;
}
