/** The same statistics for any file: profile, compare, evaluate. No project is needed. */
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { printDate, printInstant } from '../core/base/time.js';
import { type Comparison, compareColumns } from '../core/drift/compare.js';
import { type ColumnProfile, type ColumnSample, profileColumn } from '../core/drift/profile.js';
import { type Evaluation, evaluateBinary, evaluateRegression } from '../core/learn/metrics.js';
import { printType, type ValueType } from '../core/schema/types.js';
import type { TableReader } from '../ports/table-reader.js';

export interface PrintedColumn {
  readonly type: string;
  readonly kind: 'numeric' | 'categorical';
  readonly count: number;
  readonly nulls: number;
  readonly distinct: number;
  readonly min?: number | string | null;
  readonly max?: number | string | null;
  readonly mean?: number | null;
  readonly std?: number | null;
  readonly quantiles?: Readonly<Record<string, number | null>>;
  readonly top?: readonly { readonly value: string; readonly count: number }[];
}

export interface FileProfile {
  readonly file: string;
  readonly rows: number;
  readonly columns: Readonly<Record<string, PrintedColumn>>;
}

function printColumn(type: ValueType, profile: ColumnProfile, sample: ColumnSample): PrintedColumn {
  const base = {
    type: printType(type),
    kind: profile.type,
    count: profile.count,
    nulls: profile.nulls,
    distinct: profile.distinct,
  };
  if (profile.type === 'numeric') {
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
      min: show(profile.min),
      max: show(profile.max),
      mean: profile.mean,
      std: profile.std,
      quantiles: profile.quantiles,
    };
  }
  const names = sample.type === 'categorical' ? [...sample.counts.keys()].sort() : [];
  return { ...base, min: names[0] ?? null, max: names.at(-1) ?? null, top: profile.top.slice(0, 20) };
}

export async function profileFile(reader: TableReader, file: string): Promise<FileProfile> {
  const { rows, columns } = await reader.samples(file);
  return {
    file,
    rows,
    columns: Object.fromEntries(
      columns.map(({ name, type, sample }) => [name, printColumn(type, profileColumn(sample), sample)]),
    ),
  };
}

export async function compareFiles(
  reader: TableReader,
  reference: string,
  current: string,
): Promise<Comparison> {
  const read = async (file: string): Promise<Record<string, ColumnSample>> =>
    Object.fromEntries((await reader.samples(file)).columns.map((column) => [column.name, column.sample]));
  return compareColumns(await read(reference), await read(current));
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
