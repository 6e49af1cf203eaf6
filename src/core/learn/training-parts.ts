/** What a trainer is given, and whether it can be learned from. */
import { MillraceError } from '../base/error.js';
import type { Task } from '../define/types.js';
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

export const failed = (message: string, hint?: string): MillraceError =>
  new MillraceError('TRAIN_FAILED', message, hint === undefined ? {} : { hint });

export interface CheckedPart extends TrainPart {
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

export function checkPart(spec: TrainSpec, part: TrainPart, name: string): CheckedPart {
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
export function checkTraining(spec: TrainSpec, given: TrainPart, balance: boolean): CheckedPart {
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
