import { readFileSync } from 'node:fs';
import { buildTable, type Feature, type FeatureTable, takeRows } from '../../src/core/learn/matrix.js';
import type { TrainedModel } from '../../src/core/learn/model.js';
import { train } from '../../src/core/learn/train.js';
import type { TrainPart, TrainSpec } from '../../src/core/learn/training-parts.js';
import { FLOAT64, STRING } from '../../src/core/schema/types.js';

interface Coefficients {
  readonly coefficients: number[][];
  readonly intercepts: number[];
}

/** One dataset of golden.json, made by make_golden.py with scikit-learn. */
export interface GoldenSet {
  readonly name: string;
  readonly task: TrainSpec['task'];
  readonly rows?: number[][];
  readonly numbers?: (number | null)[][];
  readonly city?: number[];
  readonly plan?: (number | null)[];
  readonly target: number[];
  readonly test: number[];
  readonly boosting: { auc?: number; log_loss?: number; accuracy?: number; rmse?: number };
  readonly logistic?: Coefficients & { l2: number };
  readonly logistic_l1?: Coefficients & { l1: number };
  readonly ridge?: { l2: number; coefficients: number[]; intercept: number };
  readonly lasso?: { l1: number; coefficients: number[]; intercept: number };
}

const file = new URL('./golden/golden.json', import.meta.url);
export const GOLDEN = (JSON.parse(readFileSync(file, 'utf8')) as { sets: GoldenSet[] }).sets;

export const golden = (name: string): GoldenSet => GOLDEN.find((each) => each.name === name)!;

export function tableOf(set: GoldenSet): FeatureTable {
  const numbers = (set.rows ?? set.numbers)!;
  const features: Feature[] = numbers[0]!.map((_, j) => ({ name: `x${j}`, type: FLOAT64 }));
  const columns: (number | string | null)[][] = features.map((_, j) => numbers.map((row) => row[j]!));
  if (set.city) {
    features.push({ name: 'city', type: STRING }, { name: 'plan', type: STRING });
    columns.push(set.city.map((code) => `city ${code}`));
    columns.push(set.plan!.map((code) => (code === null ? null : `plan ${code}`)));
  }
  return buildTable(features, columns);
}

export function partsOf(set: GoldenSet): { train: TrainPart; test: TrainPart } {
  const table = tableOf(set);
  const held = new Set(set.test);
  const part = (rows: number[]): TrainPart => ({
    table: takeRows(table, rows),
    target: Float64Array.from(rows, (row) => set.target[row]!),
  });
  return {
    train: part(set.target.map((_, row) => row).filter((row) => !held.has(row))),
    test: part(set.test),
  };
}

export const classesOf = (set: GoldenSet): string[] | undefined =>
  set.task === 'multiclass'
    ? [...new Set(set.target)].sort((a, b) => a - b).map((code) => `class ${code}`)
    : undefined;

export const fitGolden = (
  set: GoldenSet,
  kind: string,
  parameters: Record<string, unknown> = {},
): TrainedModel =>
  train(
    { kind, task: set.task, parameters, seed: 1, classes: classesOf(set) },
    { train: partsOf(set).train },
  );
