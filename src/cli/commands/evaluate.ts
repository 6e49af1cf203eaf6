import path from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import { withTableReader } from '../../open.js';
import { evaluateFile } from '../../services/files.js';
import type { Command } from '../command.js';
import { count, metric, table } from '../print/table.js';

export const command: Command = async (io, args, options) => {
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
};
