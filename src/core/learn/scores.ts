/** Scores of one row, however they were computed, as a prediction; and rows as other programs take them. */
import type { Task } from '../define/types.js';
import { parseType, type Value } from '../schema/types.js';
import {
  categoryValue,
  type Feature,
  type FeatureTable,
  featureKind,
  featureWidth,
  numericValue,
} from './matrix.js';
import type { Prediction } from './model.js';

/** One probability of class 1, one number, or a probability for each class. */
export function toPrediction(task: Task, classes: readonly string[], scores: ArrayLike<number>): Prediction {
  if (task === 'regression') return { score: scores[0]! };
  if (task === 'binary') return { probability: scores[0]!, label: scores[0]! >= 0.5 ? 1 : 0 };
  let best = 0;
  for (let k = 1; k < scores.length; k++) if (scores[k]! > scores[best]!) best = k;
  return {
    label: classes[best]!,
    probabilities: Object.fromEntries(classes.map((name, k) => [name, scores[k]!])),
  };
}

/** Single precision rounds an average of ones to a little more than 1. */
const ROUNDING = 1e-5;

export interface ScoreFlaw {
  readonly score: number;
  readonly hint: string;
}

/**
 * Scores of one row by a model made elsewhere, held to what its task promises: of a classifier each is brought to [0, 1].
 * @returns the first that is no number, or no probability.
 */
export function settleScores(task: Task, scores: Float64Array): ScoreFlaw | undefined {
  for (const [k, score] of scores.entries()) {
    if (!Number.isFinite(score))
      return {
        score,
        hint: 'A missing number is given as such: the model has to take it, or fill it first.',
      };
    if (task === 'regression') continue;
    if (score < -ROUNDING || score > 1 + ROUNDING)
      return { score, hint: 'A classifier gives probabilities: end it with a sigmoid or a softmax.' };
    scores[k] = Math.min(1, Math.max(0, score));
  }
  return undefined;
}

/** Text, number, or the numbers of a vector; null where it is missing. */
export type Cell = string | number | null | readonly (number | null)[];

const cellOf = (number: number): number | null => (Number.isNaN(number) ? null : number);

/** Rows as cells in the order of the features: the same cells from values and from a table. */
export function rowCells(given: readonly { readonly name: string; readonly type: string }[]): {
  readonly ofValues: (values: readonly (Value | undefined)[]) => readonly Cell[];
  readonly ofTable: (table: FeatureTable, row: number) => readonly Cell[];
} {
  const features = given.map(
    ({ name, type }): Feature & { readonly vector: boolean; readonly text: boolean } => {
      const feature = { name, type: parseType(type)! };
      return {
        ...feature,
        text: featureKind(feature) === 'categorical',
        vector: feature.type.kind === 'float64_vector',
      };
    },
  );
  return {
    ofValues: (values) =>
      features.map((feature, i): Cell => {
        const value = values[i];
        if (feature.text) return categoryValue(feature, value) ?? null;
        if (!feature.vector) return cellOf(numericValue(feature, value));
        return Array.isArray(value)
          ? value.map((each) => cellOf(numericValue(feature, each as Value)))
          : new Array<null>(featureWidth(feature.type)).fill(null);
      }),
    ofTable: (table, row) =>
      features.map((feature, i): Cell => {
        const column = table.columns[i]!;
        if (column.kind === 'categorical') {
          const code = column.codes[row]!;
          return code < 0 ? null : column.dictionary[code]!;
        }
        const { width, values } = column;
        return feature.vector
          ? Array.from(values.subarray(row * width, (row + 1) * width), cellOf)
          : cellOf(values[row]!);
      }),
  };
}
