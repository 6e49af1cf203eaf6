import path from 'node:path';
import { printDate, printInstant } from '../../core/base/time.js';
import { withTableReader } from '../../open.js';
import { profileFile } from '../../services/files.js';
import type { Command } from '../command.js';
import { count, short, table } from '../print/table.js';

type Statistic = number | null | undefined;

/** A place on the scale of the column: times as such. */
function place(type: string, value: Statistic): string {
  if (typeof value !== 'number') return '-';
  if (type === 'timestamp') return printInstant(Math.round(value));
  return type === 'date' ? printDate(Math.round(value)) : short(value);
}

/** A distance on it: seconds of timestamps, days of dates. */
const spread = (type: string, value: Statistic): string =>
  typeof value !== 'number'
    ? '-'
    : type === 'timestamp'
      ? `${short(value / 1e6)}s`
      : `${short(value)}${type === 'date' ? 'd' : ''}`;

export const command: Command = async (io, args, options) => {
  if (options['suggest'] === true) return (await import('./contract/suggest.js')).command(io, args, options);
  const result = await withTableReader((reader) => profileFile(reader, path.resolve(args[0]!)));
  io.print(`${count(result.rows)} ${result.rows === 1 ? 'row' : 'rows'}`);
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
        place(column.type, column.quantiles?.['0.5']),
        String(column.max ?? '-'),
        place(column.type, column.mean),
        spread(column.type, column.std),
      ]),
    ),
  );
  io.result(result);
  return 0;
};
