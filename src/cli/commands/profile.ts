import path from 'node:path';
import { withTableReader } from '../../open.js';
import { profileFile } from '../../services/files.js';
import type { Command } from '../command.js';
import { count, short, table } from '../print/table.js';

export const command: Command = async (io, args, options) => {
  if (options['suggest'] === true) return (await import('./contract/suggest.js')).command(io, args, options);
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
};
