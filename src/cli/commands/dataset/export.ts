import { inProject } from '../../in-project.js';
import { versioned } from '../../parse.js';
import { count } from '../../print/table.js';

export const command = inProject(async (project, io, args, options) => {
  const { exportDataset } = await import('../../../services/export-dataset.js');
  const result = await exportDataset(project, versioned(args[0]!), {
    out: String(options['out']),
    ...(options['licence'] === undefined ? {} : { licence: String(options['licence']) }),
  });
  io.print(`${count(result.rows)} rows in ${result.out}: ${result.files.join(', ')}`);
  io.result(result);
  return 0;
});
