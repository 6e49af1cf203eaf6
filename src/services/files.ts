/** The same statistics for any file: profile, compare, evaluate. No project is needed. */
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { printDate, printInstant } from '../core/base/time.js';
import { compareColumns } from '../core/drift/compare.js';
import type { Comparison } from '../core/drift/comparison.js';
import { type ColumnState, columnFacts, rankCategories } from '../core/drift/profile.js';
import { type Evaluation, evaluateBinary, evaluateRegression } from '../core/learn/metrics.js';
import { printType, type ValueType } from '../core/schema/types.js';
import type { TableReader } from '../ports/table-reader.js';

export interface PrintedColumn {
  readonly type: string;
  readonly kind: 'numeric' | 'categorical';
  readonly count: number;
  readonly nulls: number;
  readonly distinct: number;
  /** Relative standard error of `distinct`, where it is not exact. */
  readonly distinct_error?: number;
  readonly min?: number | string | null;
  readonly max?: number | string | null;
  readonly mean?: number | null;
  readonly std?: number | null;
  readonly quantiles?: Readonly<Record<string, number | null>>;
  /** No quantile's rank is off by more than this share of the values, where they are not exact. */
  readonly rank_error?: number;
  readonly top?: readonly { readonly value: string; readonly count: number }[];
}

export interface FileProfile {
  readonly file: string;
  readonly rows: number;
  readonly columns: Readonly<Record<string, PrintedColumn>>;
}

/** Texts that are shown with their counts. */
const SHOWN = 20;

function printColumn(type: ValueType, state: ColumnState): PrintedColumn {
  const facts = columnFacts(state, SHOWN);
  const distinctError = 'distinctError' in state ? state.distinctError : 0;
  const base = {
    type: printType(type),
    kind: facts.type,
    count: facts.count,
    nulls: facts.nulls,
    distinct: facts.distinct,
    ...(distinctError > 0 ? { distinct_error: distinctError } : {}),
  };
  if (facts.type === 'numeric') {
    const show = (value: number | null): number | string | null =>
      value === null
        ? null
        : type.kind === 'timestamp'
          ? printInstant(value)
          : type.kind === 'date'
            ? printDate(value)
            : value;
    return {
      ...base,
      min: show(facts.min),
      max: show(facts.max),
      mean: facts.mean,
      std: facts.std,
      quantiles: facts.quantiles,
      ...(state.type === 'numeric_sketch' && state.rankError > 0 ? { rank_error: state.rankError } : {}),
    };
  }
  const [min, max] =
    state.type === 'categorical'
      ? endsOf(state.counts.keys())
      : state.type === 'categorical_sketch'
        ? [state.min, state.max]
        : [null, null];
  return { ...base, min, max, top: facts.top };
}

/** The first and the last of texts by code units. */
function endsOf(texts: Iterable<string>): readonly [min: string | null, max: string | null] {
  let min: string | null = null;
  let max: string | null = null;
  for (const text of texts) {
    if (min === null || text < min) min = text;
    if (max === null || text > max) max = text;
  }
  return [min, max];
}

export async function profileFile(reader: TableReader, file: string): Promise<FileProfile> {
  const { rows, columns } = await reader.states(file);
  return {
    file,
    rows,
    columns: Object.fromEntries(columns.map(({ name, type, state }) => [name, printColumn(type, state)])),
  };
}

export async function compareFiles(
  reader: TableReader,
  reference: string,
  current: string,
): Promise<Comparison> {
  const read = async (file: string): Promise<Record<string, ColumnState>> =>
    Object.fromEntries((await reader.states(file)).columns.map((column) => [column.name, column.state]));
  const [left, right] = [await read(reference), await read(current)];
  for (const [name, a] of Object.entries(left)) {
    const b = right[name];
    if (!isCategorical(a) || !isCategorical(b)) continue;
    const texts = frequentTexts(a, b);
    for (const [file, side, state] of [
      [reference, left, a],
      [current, right, b],
    ] as const)
      if (state.type === 'categorical_sketch')
        side[name] = { ...state, counts: await reader.countTexts(file, name, texts) };
  }
  return compareColumns(left, right);
}

type CategoricalState = Extract<ColumnState, { type: 'categorical' | 'categorical_sketch' }>;

const isCategorical = (state: ColumnState | undefined): state is CategoricalState =>
  state?.type === 'categorical' || state?.type === 'categorical_sketch';

const FREQUENT = 1_000;

/** The most frequent texts of either side: what a sketch on the other side is counted by. */
function frequentTexts(a: CategoricalState, b: CategoricalState): string[] {
  const names = (state: CategoricalState): string[] =>
    rankCategories(state.counts, FREQUENT).map(([name]) => name);
  return [...new Set([...names(a), ...names(b)])];
}

export interface EvaluateOptions {
  readonly label: string;
  readonly score: string;
  readonly weight: string | undefined;
  readonly threshold: number | undefined;
  readonly task: 'binary' | 'regression';
}

export async function evaluateFile(
  reader: TableReader,
  file: string,
  options: EvaluateOptions,
): Promise<Evaluation> {
  const wanted = [options.label, options.score, ...(options.weight === undefined ? [] : [options.weight])];
  const present = await reader.columnNames(file);
  for (const name of wanted) {
    if (present.includes(name)) continue;
    const near = nearest(name, present);
    throw new MillraceError('USAGE', `"${path.basename(file)}" has no column "${name}"`, {
      place: { file },
      hint: near ? `Did you mean "${near}"?` : `Its columns are ${present.join(', ')}.`,
    });
  }
  const [labels, scores, weights] = await reader.numbers(file, wanted);
  if (labels!.length === 0)
    throw new MillraceError(
      'FILE_EMPTY',
      `"${path.basename(file)}" has a header and no rows, so there is nothing to evaluate`,
      { place: { file } },
    );
  for (const [i, column] of [labels!, scores!, ...(weights ? [weights] : [])].entries()) {
    const row = column.findIndex((value) => !Number.isFinite(value));
    if (row >= 0)
      throw new MillraceError('FILE_UNREADABLE', `${wanted[i]} has no number in row ${row + 1}`, {
        place: { file, line: row + 2, path: wanted[i]! },
        hint: 'Leave out rows without a label or score first.',
      });
  }
  if (options.task === 'regression') return evaluateRegression(labels!, scores!, { weights });
  const row = labels!.findIndex((value) => value !== 0 && value !== 1);
  if (row >= 0)
    throw new MillraceError(
      'FILE_UNREADABLE',
      `${options.label} is ${labels![row]} in row ${row + 1}; a binary label is 0 or 1`,
      { place: { file, line: row + 2, path: options.label }, hint: 'For numbers use --task regression.' },
    );
  return evaluateBinary(labels!, scores!, {
    weights,
    ...(options.threshold === undefined ? {} : { threshold: options.threshold }),
  });
}
