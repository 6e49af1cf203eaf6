/** Training and prediction: one plain JSON record a model, the same bits row by row and in batch. */
import { MillraceError } from '../base/error.js';
import type { Task } from '../define/types.js';
import { printType, type Value } from '../schema/types.js';
import { type BoostingData, compileForest, constantScores, fitBoosting, type Forest, type Objective, type Round } from './boosting.js';
import { compileEncoder, encodedColumns, encodedNames, type Encoder, encodeTable, fitEncoder } from './encode.js';
import { fitLinear, type LinearOutput, linearScore } from './linear.js';
import { fitLogistic, sigmoid, softmax } from './logistic.js';
import type { FeatureTable } from './matrix.js';
import { checkTrainer, trainerParameters, type TrainerKind } from './trainers.js';

export interface TrainSpec {
  readonly kind: string;
  readonly task: Task;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly seed: number;
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
  /** Share of the total: split gains of trees; |coefficient| on the encoded scale of linear models. Falling. */
  readonly importance: readonly { readonly feature: string; readonly gain: number }[];
  readonly log: {
    readonly rows: number;
    readonly rounds: readonly Round[];
    readonly best_round: number | null;
    readonly iterations: number | null;
    readonly converged: boolean | null;
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

const objectiveOf = (task: Task): Objective => (task === 'binary' ? 'logistic' : task === 'multiclass' ? 'softmax' : 'squared');

function checkPart(spec: TrainSpec, part: TrainPart, name: string): void {
  const { table, target } = part;
  if (table.rows === 0) throw new MillraceError('DATASET_EMPTY', `the ${name} part has no rows`, { hint: 'Look at the split of the dataset.' });
  for (let i = 0; i < target.length; i++)
    if (!Number.isFinite(target[i]!)) throw new MillraceError('TRAIN_FAILED', `row ${i + 1} of the ${name} part has no target`, { hint: 'Leave out rows without a label.' });
  if (name !== 'train' || spec.task === 'regression' || spec.kind === 'baseline') return;
  const seen = new Set(target);
  if (seen.size < 2)
    throw new MillraceError('TRAIN_FAILED', `every row of the train part has the label ${spec.classes?.[target[0]!] ?? target[0]}, so there is nothing to tell apart`, {
      hint: 'Check the label expression, or choose a longer training period.',
    });
}

const ones = (rows: number): Float64Array => new Float64Array(rows).fill(1);

/** Gains of encoded columns summed by feature, as shares of the whole. */
function importanceOf(encoder: Encoder, gains: readonly number[]): TrainedModel['importance'] {
  const byFeature = new Map<string, number>(encoder.features.map((feature) => [feature.name, 0]));
  const owners = encoder.features.flatMap((feature) => encodedNames({ ...encoder, features: [feature] }).map(() => feature.name));
  for (const [i, owner] of owners.entries()) byFeature.set(owner, byFeature.get(owner)! + gains[i]!);
  const total = [...byFeature.values()].reduce((sum, gain) => sum + gain, 0);
  return [...byFeature]
    .map(([feature, gain]) => ({ feature, gain: total > 0 ? gain / total : 0 }))
    .sort((a, b) => b.gain - a.gain || (a.feature < b.feature ? -1 : 1));
}

/**
 * Fits a model. Validation, when given, decides when boosting stops; the other trainers do not look at it.
 * @throws MillraceError TRAIN_FAILED for a wrong trainer, parameter or label; DATASET_EMPTY without rows.
 */
export function train(
  spec: TrainSpec,
  parts: { readonly train: TrainPart; readonly validation?: TrainPart | undefined },
  onRound?: (round: Round) => void,
): TrainedModel {
  const [problem] = checkTrainer(spec.kind, spec.task, spec.parameters);
  if (problem)
    throw new MillraceError('TRAIN_FAILED', `${problem.message}${problem.nearest ? `; did you mean "${problem.nearest}"?` : ''}`, problem.hint === undefined ? {} : { hint: problem.hint });
  checkPart(spec, parts.train, 'train');
  const kind = spec.kind as TrainerKind;
  const parameters = trainerParameters(kind, spec.parameters);
  const number = (name: string): number => parameters[name] as number;
  const { table, target } = parts.train;
  const weights = parts.train.weights ?? ones(table.rows);
  const outputs = spec.task === 'multiclass' ? (spec.classes?.length ?? new Set(target).size) : 1;
  const features = table.columns.map((column) => ({ name: column.name, type: printType(column.type) }));
  const base = { format: 1 as const, kind, task: spec.task, seed: spec.seed, parameters, classes: spec.classes ?? null, features };
  const still = { rounds: [], best_round: null, iterations: null, converged: null };

  if (kind === 'baseline') {
    const scores = constantScores(objectiveOf(spec.task), target, weights, outputs);
    const encoder: Encoder = { version: 1, form: 'tree', width: 0, features: [] };
    return { ...base, features: [], encoder, predictor: { kind: 'constant', scores }, importance: [], log: { rows: table.rows, ...still } };
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
      feature.kind === 'category' ? [feature.categories.length + 2] : new Array<number>(feature.kind === 'number' ? feature.width : 1).fill(0),
    );
    const data = (part: TrainPart): BoostingData => ({
      rows: part.table.rows,
      columns: [...encodedColumns(encoder, part.table)].map((values, i) => ({ values, codes: codes[i]! })),
      target: part.target,
      weights: part.weights ?? ones(part.table.rows),
    });
    const validation = parts.validation && parts.validation.table.rows > 0 ? parts.validation : undefined;
    const fit = fitBoosting(
      objectiveOf(spec.task),
      outputs,
      data(parts.train),
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
        seed: spec.seed,
      },
      onRound,
    );
    return {
      ...base,
      encoder,
      predictor: { kind: 'forest', forest: fit.forest },
      importance: importanceOf(encoder, fit.gains),
      log: { rows: table.rows, rounds: fit.rounds, best_round: fit.bestRound, iterations: null, converged: null },
    };
  }
  const matrix = { rows: table.rows, width: encoder.width, values: encodeTable(encoder, table) };
  const penalty = { l1: number('l1'), l2: number('l2') };
  let solved: { outputs: readonly LinearOutput[]; iterations: number | null; converged: boolean | null };
  if (kind === 'linear_regression') solved = { outputs: [fitLinear(matrix, target, weights, penalty)], iterations: null, converged: null };
  else
    solved = fitLogistic(matrix, target, spec.task === 'binary' ? 2 : outputs, weights, {
      ...penalty,
      maxIterations: number('max_iterations'),
      tolerance: number('tolerance'),
      solver: parameters['solver'] as 'auto' | 'newton' | 'lbfgs',
    });
  const size = Array.from({ length: encoder.width }, (_, j) => solved.outputs.reduce((sum, output) => sum + Math.abs(output.coefficients[j]!), 0));
  return {
    ...base,
    encoder,
    predictor: { kind: 'linear', outputs: solved.outputs },
    importance: importanceOf(encoder, size),
    log: { rows: table.rows, rounds: [], best_round: null, iterations: solved.iterations, converged: solved.converged },
  };
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
  // A binary model may have been fitted with one output; a multiclass one has an output for each class.
  const classes = model.classes ?? Array.from({ length: outputs }, (_, k) => String(k));
  const finish = (): void => {
    if (model.task === 'binary') scores[0] = sigmoid(scores[0]!);
    else if (model.task === 'multiclass' && outputs > 1) softmax(scores);
  };
  /** Two classes fitted as one output: both probabilities. */
  const widen = (): Float64Array => (model.task === 'multiclass' && outputs === 1 ? Float64Array.of(1 - sigmoid(scores[0]!), sigmoid(scores[0]!)) : scores);
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
      return { label: classes[best]!, probabilities: Object.fromEntries(classes.map((name, k) => [name, probabilities[k]!])) };
    },
    predictTable: (table) => {
      const write = encoder.bindTable(table);
      const columns = Array.from({ length: model.task === 'multiclass' ? classes.length : 1 }, () => new Float64Array(table.rows));
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
