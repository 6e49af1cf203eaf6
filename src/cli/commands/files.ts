import path from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import { withTableReader } from '../../open.js';
import { compareFiles, evaluateFile, profileFile } from '../../services/files.js';
import type { Io } from '../io.js';
import { count, metric, table } from '../table.js';

const short = (value: number | null | undefined): string =>
  value === null || value === undefined
    ? '-'
    : Number.isInteger(value)
      ? String(value)
      : value.toPrecision(6);

export async function profile(
  io: Io,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  if (options['suggest'] === true) return (await import('./contract.js')).contractSuggest(io, args, options);
  const result = await withTableReader((reader) => profileFile(reader, path.resolve(args[0]!)));
  io.print(`${count(result.rows)} rows`);
  io.print(
    table(
      ['column', 'type', 'count', 'nulls', 'distinct', 'min', 'median', 'max', 'mean', 'std'],
      Object.entries(result.columns).map(([name, column]) => [
        name,
        column.type,
        column.count,
        column.nulls,
        column.distinct,
        String(column.min ?? '-'),
        short(column.quantiles?.['0.5']),
        String(column.max ?? '-'),
        short(column.mean),
        short(column.std),
      ]),
    ),
  );
  io.result(result);
  return 0;
}

export async function compare(io: Io, args: readonly string[]): Promise<number> {
  const result = await withTableReader((reader) =>
    compareFiles(reader, path.resolve(args[0]!), path.resolve(args[1]!)),
  );
  io.print(
    table(
      ['column', 'type', 'test', 'p', 'psi', 'js', 'verdict', 'why'],
      Object.entries(result.columns).map(([name, column]) => {
        const test = column.tests.ks ?? column.tests.chi_squared;
        return [
          name,
          column.type,
          column.tests.ks
            ? `ks ${short(column.tests.ks.statistic)}`
            : column.tests.chi_squared
              ? `chi² ${short(column.tests.chi_squared.statistic)}`
              : '-',
          test ? test.p_value.toPrecision(3) : '-',
          short(column.tests.psi?.value),
          short(column.tests.jensen_shannon?.distance),
          column.verdict,
          column.reasons.join(', '),
        ];
      }),
    ),
  );
  io.print(`verdict: ${result.verdict}`);
  io.result(result);
  return 0;
}

export async function evaluate(
  io: Io,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const task = String(options['task']);
  if (task !== 'binary' && task !== 'regression')
    throw new MillraceError('USAGE', `--task is "${task}"`, { hint: 'Give binary or regression.' });
  const threshold = options['threshold'] === undefined ? undefined : Number(options['threshold']);
  if (threshold !== undefined && !Number.isFinite(threshold))
    throw new MillraceError('USAGE', `--threshold is "${String(options['threshold'])}", which is no number`);
  const result = await withTableReader((reader) =>
    evaluateFile(reader, path.resolve(args[0]!), {
      label: String(options['label']),
      score: String(options['score']),
      weight: options['weight'] === undefined ? undefined : String(options['weight']),
      threshold,
      task,
    }),
  );
  io.print(`${count(result.rows)} rows`);
  io.print(
    table(
      ['metric', 'value'],
      Object.entries(result.metrics).map(([name, value]) => [name, metric(value as number | null)]),
    ),
  );
  io.result(result);
  return 0;
}
