import path from 'node:path';
import { scoreFile } from '../../services/score.js';
import { inProject } from '../in-project.js';
import { count } from '../print/table.js';

export const command = inProject(async (project, io, args, options) => {
  const result = await scoreFile(project, {
    service: args[0]!,
    observations: String(options['observations']),
    time: options['time'] === undefined ? undefined : String(options['time']),
    out: path.resolve(String(options['out'])),
    log: options['log'] !== false,
  });
  io.print(
    `${count(result.rows)} rows scored by ${result.model} → ${result.out}${result.logged > 0 ? `, ${count(result.logged)} logged` : ''}`,
  );
  io.result(result);
  return 0;
});
