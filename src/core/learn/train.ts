/** Training: every kind of trainer is one row of a table, from checked parts to what a model predicts with. */
import { checkTrainer, type TrainerKind, trainerParameters } from '../define/trainers.js';
import type { Task } from '../define/types.js';
import { printType } from '../schema/types.js';
import type { BoostingColumn } from './bins.js';
import { type BoostingData, constantScores, fitBoosting, type Objective, type Round } from './boosting.js';
import { type Encoder, encodedColumns, encodedNames, encodeTable, fitEncoder } from './encode.js';
import { fitLinear, type LinearOutput, type Matrix } from './linear.js';
import { fitLogistic } from './logistic.js';
import type { Predictor, TrainedModel } from './model.js';
import {
  type CheckedPart,
  checkPart,
  checkTraining,
  failed,
  type TrainPart,
  type TrainSpec,
} from './training-parts.js';

const objectiveOf = (task: Task): Objective =>
  task === 'binary' ? 'logistic' : task === 'multiclass' ? 'softmax' : 'squared';

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const each of Object.values(value)) freeze(each);
  }
  return value;
}

/** Dense numbers (2 GB) and variables (0.8 GB of second derivatives) that linear trainers take on. */
const DENSE_LIMIT = 250_000_000;
const VARIABLES_LIMIT = 10_000;

/** Standard deviation of each encoded column. */
function deviations({ rows, width, values }: Matrix): Float64Array {
  const means = new Float64Array(width);
  const squares = new Float64Array(width);
  for (let at = 0; at < values.length; at++) means[at % width]! += values[at]! / rows;
  for (let at = 0; at < values.length; at++)
    squares[at % width]! += (values[at]! - means[at % width]!) ** 2 / rows;
  return squares.map(Math.sqrt);
}

/** Gains of encoded columns summed by feature, as shares of the whole. */
function importanceOf(encoder: Encoder, gains: readonly number[]): TrainedModel['importance'] {
  const byFeature = new Map<string, number>(encoder.features.map((feature) => [feature.name, 0]));
  const owners = encoder.features.flatMap((feature) =>
    encodedNames({ ...encoder, features: [feature] }).map(() => feature.name),
  );
  for (const [i, owner] of owners.entries()) byFeature.set(owner, byFeature.get(owner)! + gains[i]!);
  const total = [...byFeature.values()].reduce((sum, gain) => sum + gain, 0);
  return [...byFeature]
    .map(([feature, gain]) => ({ feature, gain: total > 0 ? gain / total : 0 }))
    .sort((a, b) => b.gain - a.gain || (a.feature < b.feature ? -1 : 1));
}

/** What a trainer is asked to fit. */
interface Fitting {
  readonly kind: TrainerKind;
  readonly task: Task;
  readonly seed: number;
  readonly parameters: TrainedModel['parameters'];
  /** Scores a row: one for each class of several, else one. */
  readonly outputs: number;
  readonly training: CheckedPart;
  readonly validation: CheckedPart | undefined;
  readonly onRound: ((round: Round) => void) | undefined;
}

/** What came of it. */
interface Fitted {
  readonly encoder: Encoder;
  readonly predictor: Predictor;
  readonly importance: TrainedModel['importance'];
  readonly log: Partial<Omit<TrainedModel['log'], 'rows'>>;
}

const numbersOf =
  ({ parameters }: Fitting) =>
  (name: string): number =>
    parameters[name] as number;

function encoderFor(fitting: Fitting, form: Encoder['form']): Encoder {
  const number = numbersOf(fitting);
  return fitEncoder(fitting.training.table, {
    form,
    standardise: fitting.parameters['standardise'] !== false,
    minCategoryRows: number('min_category_rows'),
    maxCategories: number('max_categories'),
  });
}

function fitConstant({ task, training, outputs }: Fitting): Fitted {
  const scores = constantScores(objectiveOf(task), training.target, training.weights, outputs);
  return {
    encoder: { version: 1, form: 'tree', width: 0, features: [] },
    predictor: { kind: 'constant', scores },
    importance: [],
    log: {},
  };
}

/** A part as columns of codes and numbers, each made when it is asked for. */
function boostingData(encoder: Encoder, { table, target, weights }: CheckedPart): BoostingData {
  const codes = encoder.features.flatMap((feature) =>
    feature.kind === 'category'
      ? [feature.categories.length + 2]
      : new Array<number>(feature.kind === 'number' ? feature.width : 1).fill(0),
  );
  return {
    rows: table.rows,
    columns: (function* (): Generator<BoostingColumn> {
      let j = 0;
      for (const values of encodedColumns(encoder, table)) yield { values, codes: codes[j++]! };
    })(),
    target,
    weights,
  };
}

function fitTrees(fitting: Fitting): Fitted {
  const { task, seed, outputs, training, validation, onRound } = fitting;
  const number = numbersOf(fitting);
  const encoder = encoderFor(fitting, 'tree');
  const { forest, gains, rounds, bestRound } = fitBoosting(
    objectiveOf(task),
    outputs,
    boostingData(encoder, training),
    validation && boostingData(encoder, validation),
    {
      trees: number('trees'),
      learningRate: number('learning_rate'),
      maxLeaves: number('max_leaves'),
      maxDepth: number('max_depth'),
      minChildRows: number('min_child_rows'),
      minGain: number('min_gain'),
      l2: number('l2'),
      subsample: number('subsample'),
      colsample: number('colsample'),
      maxBins: number('max_bins'),
      categorySmoothing: number('category_smoothing'),
      earlyStoppingRounds: number('early_stopping_rounds'),
      seed,
    },
    onRound,
  );
  const losses = rounds.flatMap((each) => [each.training, each.validation ?? 0]);
  if (![...forest.start, ...gains, ...losses].every(Number.isFinite))
    throw failed('the losses overflow', 'Look for enormous numbers among the labels.');
  const { rows } = training.table;
  const smallest = number('min_child_rows');
  const warnings = [
    ...(rows < 2 * smallest
      ? [`no tree can split ${rows} rows with min_child_rows ${smallest}: the model is a constant`]
      : []),
    ...(validation && bestRound === 0
      ? ['no round lowered the validation loss: the model is a constant']
      : []),
  ];
  return {
    encoder,
    predictor: { kind: 'forest', forest },
    importance: importanceOf(encoder, gains),
    log: { rounds, best_round: bestRound, warnings },
  };
}

interface Solved {
  readonly outputs: readonly LinearOutput[];
  readonly iterations: number | null;
  readonly converged: boolean | null;
}

type Solve = (matrix: Matrix, fitting: Fitting) => Solved;

const penaltyOf = (fitting: Fitting): { l1: number; l2: number } => ({
  l1: numbersOf(fitting)('l1'),
  l2: numbersOf(fitting)('l2'),
});

const leastSquares: Solve = (matrix, fitting) => ({
  outputs: [fitLinear(matrix, fitting.training.target, fitting.training.weights, penaltyOf(fitting))],
  iterations: null,
  converged: null,
});

const likelihood: Solve = (matrix, fitting) => {
  const { task, outputs, training, parameters } = fitting;
  const number = numbersOf(fitting);
  return fitLogistic(matrix, training.target, task === 'binary' ? 2 : outputs, training.weights, {
    ...penaltyOf(fitting),
    maxIterations: number('max_iterations'),
    tolerance: number('tolerance'),
    solver: parameters['solver'] as 'auto' | 'newton' | 'lbfgs',
  });
};

const linear =
  (solve: Solve) =>
  (fitting: Fitting): Fitted => {
    const { kind, training, parameters, outputs } = fitting;
    const { rows } = training.table;
    const encoder = encoderFor(fitting, 'linear');
    const { width } = encoder;
    const dense = rows * width > DENSE_LIMIT;
    const variables = (width + 1) * outputs > VARIABLES_LIMIT && parameters['solver'] !== 'lbfgs';
    if (dense || variables)
      throw failed(
        `${rows} rows of ${width} encoded columns are too many for ${kind}`,
        'Lower max_categories, leave features out, or take gradient_boosted_trees.',
      );
    const matrix: Matrix = { rows, width, values: encodeTable(encoder, training.table) };
    const solved = solve(matrix, fitting);
    if (!solved.outputs.every((one) => [one.intercept, ...one.coefficients].every(Number.isFinite)))
      throw failed(
        'the fitted coefficients overflow',
        'Look for enormous numbers among the features or labels.',
      );
    const { iterations, converged } = solved;
    const sizes = Array.from(deviations(matrix), (deviation, j) =>
      solved.outputs.reduce((sum, output) => sum + Math.abs(output.coefficients[j]!) * deviation, 0),
    );
    const warnings =
      converged === false
        ? [`stopped after ${iterations} iterations without converging: raise max_iterations or l2`]
        : [];
    return {
      encoder,
      predictor: { kind: 'linear', outputs: solved.outputs },
      importance: importanceOf(encoder, sizes),
      log: { iterations, converged, warnings },
    };
  };

/** The built-in trainers. */
const FITS: Readonly<Record<TrainerKind, (fitting: Fitting) => Fitted>> = {
  baseline: fitConstant,
  gradient_boosted_trees: fitTrees,
  linear_regression: linear(leastSquares),
  logistic_regression: linear(likelihood),
};

/**
 * Fits a model; the record is frozen. Validation, when given, decides when boosting stops; the other trainers do not look at it.
 * @throws MillraceError TRAIN_FAILED for a wrong trainer, parameter or label; DATASET_EMPTY without rows.
 */
export function train(
  spec: TrainSpec,
  parts: { readonly train: TrainPart; readonly validation?: TrainPart | undefined },
  onRound?: (round: Round) => void,
): TrainedModel {
  const { task, seed = 0 } = spec;
  const [problem] = checkTrainer(spec.kind, task, seed, spec.parameters ?? {});
  if (problem) {
    const { message, hint } = problem;
    throw failed(problem.nearest ? `${message}; did you mean \`${problem.nearest}\`?` : message, hint);
  }
  const kind = spec.kind as TrainerKind;
  const parameters = trainerParameters(kind, spec.parameters ?? {});
  const training = checkTraining(spec, parts.train, parameters['class_weight'] === 'balanced');
  const validation =
    parts.validation && parts.validation.table.rows > 0
      ? checkPart(spec, parts.validation, 'validation')
      : undefined;
  const classes = task === 'multiclass' ? [...spec.classes!] : null;
  const outputs = classes?.length ?? 1;
  const { table } = training;
  const fitted = FITS[kind]({ kind, task, seed, parameters, outputs, training, validation, onRound });
  const seen = kind === 'baseline' ? [] : table.columns;
  return freeze({
    format: 1,
    kind,
    task,
    seed,
    parameters,
    classes,
    features: seen.map((column) => ({ name: column.name, type: printType(column.type) })),
    encoder: fitted.encoder,
    predictor: fitted.predictor,
    importance: fitted.importance,
    log: {
      rows: table.rows,
      rounds: [],
      best_round: null,
      iterations: null,
      converged: null,
      warnings: [],
      ...fitted.log,
    },
  });
}
