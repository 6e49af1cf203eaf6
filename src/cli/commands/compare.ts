import path from 'node:path';
import { withTableReader } from '../../open.js';
import { compareFiles } from '../../services/files.js';
import type { Command } from '../command.js';
import { short, table } from '../print/table.js';

export const command: Command = async (io, args) => {
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
};
