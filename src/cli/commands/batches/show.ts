import { findBatch } from '../../../services/batches.js';
import { inProject } from '../../in-project.js';
import { printBatch } from '../../print/batch.js';

export const command = inProject(async (project, io, args) => {
  const batch = await findBatch(project, args[0]!);
  printBatch(io, project, batch);
  io.result(batch);
  return 0;
});
