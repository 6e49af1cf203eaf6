/** Training and prediction: one plain JSON record a model, the same bits row by row and in batch. */
import { MillraceError } from '../base/error.js';
import { checkTrainer, type TrainerKind, trainerParameters } from '../define/trainers.js';
import type { Task } from '../define/types.js';
import { printType, type Value } from '../schema/types.js';
import type { BoostingColumn } from './bins.js';
import { type BoostingData, constantScores, fitBoosting, type Objective, type Round } from './boosting.js';
import {
  compileEncoder,
  type Encoder,
  encodedColumns,
  encodedNames,
  encodeTable,
  fitEncoder,
} from './encode.js';
import { compileForest, type Forest } from './forest.js';
import { fitLinear, type LinearOutput, linearScore, type Matrix } from './linear.js';
import { fitLogistic, sigmoid, softmax } from './logistic.js';
import { type FeatureTable, featureKind } from './matrix.js';

export interface TrainSpec {
  readonly kind: string;
  readonly task: Task;
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** A whole number of 32 bits; 0 when absent. */
  readonly seed?: number;
  /** Multiclass: names by code. */
  readonly classes?: readonly string[] | undefined;
}

/** Targets: 0/1 for binary, class codes for multiclass, numbers for regression. */
export interface TrainPart {
  readonly table: FeatureTable;
  readonly target: Float64Array;
  /** One a row; absent: all 1. */
  readonly weights?: Float64Array | undefined;
}

export type Predictor =
  | { readonly kind: 'linear'; readonly outputs: readonly LinearOutput[] }
  | { readonly kind: 'forest'; readonly forest: Forest }
  | { readonly kind: 'constant'; readonly scores: readonly number[] };

/** Plain JSON; the same data, parameters and seed give the same bytes. */
export interface TrainedModel {
  readonly format: 1;
  readonly kind: TrainerKind;
  readonly task: Task;
  readonly seed: number;
  readonly parameters: Readonly<Record<string, number | boolean | string>>;
  readonly classes: readonly string[] | null;
  readonly features: readonly { readonly name: string; readonly type: string }[];
  readonly encoder: Encoder;
  readonly predictor: Predictor;
  /** Share of the total, falling: split gains of trees; |coefficient| × deviation of the encoded column of linear models. */
  readonly importance: readonly { readonly feature: string; readonly gain: number }[];
  readonly log: {
    readonly rows: number;
    readonly rounds: readonly Round[];
    readonly best_round: number | null;
    readonly iterations: number | null;
    readonly converged: boolean | null;
    /** What a person should know about this fit. */
    readonly warnings: readonly string[];
  };
}

/** `probability` of class 1 (binary); `label` and `probabilities` by class (multiclass); `score` (regression). */
export type Prediction =
  | { readonly probability: number; readonly label: 0 | 1 }
  | { readonly label: string; readonly probabilities: Readonly<Record<string, number>> }
  | { readonly score: number };

export interface CompiledModel {
  /** One value a feature, in the order of `features`. Missing is null. */
  predictRow(values: readonly (Value | undefined)[]): Prediction;
  /** Probabilities of class 1, predicted numbers, or one array of probabilities for each class. */
  predictTable(table: FeatureTable): Float64Array | Float64Array[];
}

const objectiveOf = (task: Task): Objective =>
  task === 'binary' ? 'logistic' : task === 'multiclass' ? 'softmax' : 'squared';

const failed = (message: string, hint?: string): MillraceError =>
  new MillraceError('TRAIN_FAILED', message, hint === undefined ? {} : { hint });

interface CheckedPart extends TrainPart {
  readonly weights: Float64Array;
}

/** What is wrong with one label, if anything. */
function targetProblem(spec: TrainSpec, value: number): string | undefined {
  if (!Number.isFinite(value)) return 'has no target';
  if (spec.task === 'binary' && value !== 0 && value !== 1)
    return `has the label ${value}: a binary label is 0 or 1`;
  const classes = spec.classes?.length ?? 0;
  if (spec.task === 'multiclass' && !(Number.isInteger(value) && value >= 0 && value < classes))
    return `has the label ${value}, not the code of one of ${classes} classes`;
  return undefined;
}

function checkPart(spec: TrainSpec, part: TrainPart, name: string): CheckedPart {
  const { table, target } = part;
  const weights = part.weights ?? new Float64Array(table.rows).fill(1);
  if (target.length !== table.rows || weights.length !== table.rows)
    throw failed(
      `the ${name} part has ${table.rows} rows, ${target.length} labels and ${weights.length} weights`,
    );
  const names = new Set<string>();
  for (const column of table.columns) {
    if (names.has(column.name)) throw failed(`the ${name} part has two features named "${column.name}"`);
    names.add(column.name);
    featureKind(column);
    const rows = column.kind === 'numeric' ? column.values.length / column.width : column.codes.length;
    if (rows !== table.rows)
      throw failed(`feature "${column.name}" has ${rows} rows, the ${name} part has ${table.rows}`);
  }
  for (let i = 0; i < table.rows; i++) {
    const problem = targetProblem(spec, target[i]!);
    if (problem)
      throw failed(
        `row ${i + 1} of the ${name} part ${problem}`,
        'Look at the label; leave out rows without one.',
      );
    if (!(weights[i]! >= 0 && weights[i]! < Number.POSITIVE_INFINITY))
      throw failed(`row ${i + 1} of the ${name} part has the weight ${weights[i]}`);
  }
  return { table, target, weights };
}

/** Rows to learn from: some of them, of some weight, of at least two classes; balanced when asked. */
function checkTraining(spec: TrainSpec, given: TrainPart, balance: boolean): CheckedPart {
  if (given.table.rows === 0)
    throw new MillraceError('DATASET_EMPTY', 'the train part has no rows', {
      hint: 'Look at the split of the dataset.',
    });
  const part = checkPart(spec, given, 'train');
  const { table, target, weights } = part;
  const totals = new Map<number, number>();
  let total = 0;
  for (let i = 0; i < target.length; i++) {
    if (weights[i] === 0) continue;
    total += weights[i]!;
    if (spec.task !== 'regression') totals.set(target[i]!, (totals.get(target[i]!) ?? 0) + weights[i]!);
  }
  if (total === 0) throw failed('every row of the train part has the weight 0');
  if (spec.kind === 'baseline') return part;
  if (table.columns.length === 0) throw failed('there are no features to learn from');
  if (spec.task === 'regression') return part;
  if (totals.size < 2) {
    const [only] = totals.keys();
    throw failed(
      `every row of the train part has the label ${spec.classes?.[only!] ?? only}, so there is nothing to tell apart`,
      'Check the label expression, or choose a longer training period.',
    );
  }
  return balance
    ? {
        ...part,
        weights: weights.map((weight, i) => (weight * total) / (totals.size * (totals.get(target[i]!) ?? 1))),
      }
    : part;
}

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

/**
 * Fits a model; the record is frozen. Validation, when given, decides when boosting stops; the other trainers do not look at it.
 * @throws MillraceError TRAIN_FAILED for a wrong trainer, parameter or label; DATASET_EMPTY without rows.
 */
export function train(
  spec: TrainSpec,
  parts: { readonly train: TrainPart; readonly validation?: TrainPart | undefined },
  onRound?: (round: Round) => void,
): TrainedModel {
  const seed = spec.seed ?? 0;
  const [problem] = checkTrainer(spec.kind, spec.task, seed, spec.parameters ?? {});
  if (problem) {
    const { message, hint } = problem;
    throw failed(problem.nearest ? `${message}; did you mean \`${problem.nearest}\`?` : message, hint);
  }
  const kind = spec.kind as TrainerKind;
  const parameters = trainerParameters(kind, spec.parameters ?? {});
  const number = (name: string): number => parameters[name] as number;
  const training = checkTraining(spec, parts.train, parameters['class_weight'] === 'balanced');
  const validation =
    parts.validation && parts.validation.table.rows > 0
      ? checkPart(spec, parts.validation, 'validation')
      : undefined;
  const { table, target, weights } = training;
  const outputs = spec.task === 'multiclass' ? spec.classes!.length : 1;
  const features = table.columns.map((column) => ({ name: column.name, type: printType(column.type) }));
  const classes = spec.task === 'multiclass' ? [...spec.classes!] : null;
  const base = { format: 1 as const, kind, task: spec.task, seed, parameters, classes, features };
  const still = { rounds: [], best_round: null, iterations: null, converged: null, warnings: [] };

  if (kind === 'baseline') {
    const scores = constantScores(objectiveOf(spec.task), target, weights, outputs);
    const encoder: Encoder = { version: 1, form: 'tree', width: 0, features: [] };
    return freeze({
      ...base,
      features: [],
      encoder,
      predictor: { kind: 'constant', scores },
      importance: [],
      log: { rows: table.rows, ...still },
    });
  }
  const tree = kind === 'gradient_boosted_trees';
  const encoder = fitEncoder(table, {
    form: tree ? 'tree' : 'linear',
    standardise: parameters['standardise'] !== false,
    minCategoryRows: number('min_category_rows'),
    maxCategories: number('max_categories'),
  });
  if (tree) {
    const codes = encoder.features.flatMap((feature) =>
      feature.kind === 'category'
        ? [feature.categories.length + 2]
        : new Array<number>(feature.kind === 'number' ? feature.width : 1).fill(0),
    );
    const data = (part: CheckedPart): BoostingData => ({
      rows: part.table.rows,
      columns: (function* (): Generator<BoostingColumn> {
        let j = 0;
        for (const values of encodedColumns(encoder, part.table)) yield { values, codes: codes[j++]! };
      })(),
      target: part.target,
      weights: part.weights,
    });
    const fit = fitBoosting(
      objectiveOf(spec.task),
      outputs,
      data(training),
      validation && data(validation),
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
    const measured = [
      ...fit.forest.start,
      ...fit.gains,
      ...fit.rounds.flatMap((each) => [each.training, each.validation ?? 0]),
    ];
    if (!measured.every(Number.isFinite))
      throw failed('the losses overflow', 'Look for enormous numbers among the labels.');
    const smallest = number('min_child_rows');
    const warnings = [
      ...(table.rows < 2 * smallest
        ? [`no tree can split ${table.rows} rows with min_child_rows ${smallest}: the model is a constant`]
        : []),
      ...(validation && fit.bestRound === 0
        ? ['no round lowered the validation loss: the model is a constant']
        : []),
    ];
    return freeze({
      ...base,
      encoder,
      predictor: { kind: 'forest', forest: fit.forest },
      importance: importanceOf(encoder, fit.gains),
      log: {
        rows: table.rows,
        rounds: fit.rounds,
        best_round: fit.bestRound,
        iterations: null,
        converged: null,
        warnings,
      },
    });
  }
  const { width } = encoder;
  if (
    table.rows * width > DENSE_LIMIT ||
    ((width + 1) * outputs > VARIABLES_LIMIT && parameters['solver'] !== 'lbfgs')
  )
    throw failed(
      `${table.rows} rows of ${width} encoded columns are too many for ${kind}`,
      'Lower max_categories, leave features out, or take gradient_boosted_trees.',
    );
  const matrix: Matrix = { rows: table.rows, width, values: encodeTable(encoder, table) };
  const penalty = { l1: number('l1'), l2: number('l2') };
  let solved: { outputs: readonly LinearOutput[]; iterations: number | null; converged: boolean | null };
  if (kind === 'linear_regression')
    solved = { outputs: [fitLinear(matrix, target, weights, penalty)], iterations: null, converged: null };
  else
    solved = fitLogistic(matrix, target, spec.task === 'binary' ? 2 : outputs, weights, {
      ...penalty,
      maxIterations: number('max_iterations'),
      tolerance: number('tolerance'),
      solver: parameters['solver'] as 'auto' | 'newton' | 'lbfgs',
    });
  if (
    !solved.outputs.every(({ intercept, coefficients }) =>
      [intercept, ...coefficients].every(Number.isFinite),
    )
  )
    throw failed(
      'the fitted coefficients overflow',
      'Look for enormous numbers among the features or labels.',
    );
  const sizes = Array.from(deviations(matrix), (deviation, j) =>
    solved.outputs.reduce((sum, output) => sum + Math.abs(output.coefficients[j]!) * deviation, 0),
  );
  const warnings =
    solved.converged === false
      ? [`stopped after ${solved.iterations} iterations without converging: raise max_iterations or l2`]
      : [];
  return freeze({
    ...base,
    encoder,
    predictor: { kind: 'linear', outputs: solved.outputs },
    importance: importanceOf(encoder, sizes),
    log: {
      rows: table.rows,
      rounds: [],
      best_round: null,
      iterations: solved.iterations,
      converged: solved.converged,
      warnings,
    },
  });
}

type Scorer = (encoded: Float64Array, scores: Float64Array) => void;

function compilePredictor(predictor: Predictor): { outputs: number; score: Scorer } {
  switch (predictor.kind) {
    case 'forest':
      return { outputs: predictor.forest.start.length, score: compileForest(predictor.forest) };
    case 'constant':
      return { outputs: predictor.scores.length, score: (_, scores) => scores.set(predictor.scores) };
    case 'linear': {
      const { outputs } = predictor;
      return {
        outputs: outputs.length,
        score: (encoded, scores) => {
          for (let k = 0; k < outputs.length; k++) scores[k] = linearScore(outputs[k]!, encoded);
        },
      };
    }
  }
}

export function compileModel(model: TrainedModel): CompiledModel {
  const encoder = compileEncoder(model.encoder);
  const { outputs, score } = compilePredictor(model.predictor);
  const encoded = new Float64Array(encoder.width);
  const scores = new Float64Array(outputs);
  const classes = model.classes ?? [];
  const binaryOutput = model.task === 'multiclass' && outputs === 1 && classes.length === 2;
  const finish = (): void => {
    if (model.task === 'binary') scores[0] = sigmoid(scores[0]!);
    else if (model.task === 'multiclass' && !binaryOutput) softmax(scores);
  };
  /** Two classes fitted as one output: both probabilities. */
  const widen = (): Float64Array =>
    binaryOutput ? Float64Array.of(sigmoid(-scores[0]!), sigmoid(scores[0]!)) : scores;
  return {
    predictRow: (values) => {
      if (model.features.length > 0 || values.length === 0) encoder.encodeRow(values, encoded);
      score(encoded, scores);
      finish();
      if (model.task === 'regression') return { score: scores[0]! };
      if (model.task === 'binary') return { probability: scores[0]!, label: scores[0]! >= 0.5 ? 1 : 0 };
      const probabilities = widen();
      let best = 0;
      for (let k = 1; k < probabilities.length; k++) if (probabilities[k]! > probabilities[best]!) best = k;
      return {
        label: classes[best]!,
        probabilities: Object.fromEntries(classes.map((name, k) => [name, probabilities[k]!])),
      };
    },
    predictTable: (table) => {
      const write = encoder.bindTable(table);
      const columns = Array.from(
        { length: model.task === 'multiclass' ? classes.length : 1 },
        () => new Float64Array(table.rows),
      );
      for (let r = 0; r < table.rows; r++) {
        write(r, encoded);
        score(encoded, scores);
        finish();
        const row = widen();
        for (let k = 0; k < columns.length; k++) columns[k]![r] = row[k]!;
      }
      return model.task === 'multiclass' ? columns : columns[0]!;
    },
  };
}
