import type { TrainerKind } from '../define/trainers.js';
import type { Task } from '../define/types.js';
import type { Value } from '../schema/types.js';
import type { Round } from './boosting.js';
import { compileEncoder, type Encoder } from './encode.js';
import { compileForest, type Forest } from './forest.js';
import { type LinearOutput, linearScore } from './linear.js';
import { sigmoid, softmax } from './logistic.js';
import type { FeatureTable } from './matrix.js';

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
