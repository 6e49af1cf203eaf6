import { inProject } from '../../in-project.js';
import { versioned } from '../../parse.js';
import { count } from '../../print/table.js';

export const command = inProject(async (project, io, args, options) => {
  const restore = options['restore'] === true;
  if (restore) await project.lockForWriting(io.command);
  const { reproduceDataset } = await import('../../../services/reproduce-dataset.js');
  const result = await reproduceDataset(project, versioned(args[0]!), { restore });
  io.print(
    `${args[0]}: logical hash ${result.logical ? 'equal' : 'DIFFERENT'}, file bytes ${result.physical ? 'equal' : 'DIFFERENT'}`,
  );
  if (result.definitions === 'kept') io.print('built from the definitions kept with the version');
  if (result.restored) io.print(`the stored files were ${result.stored}; they are back`);
  else if (result.stored !== 'whole') io.warn(`the stored files of ${args[0]} are ${result.stored}`);
  if (result.cause !== null) {
    io.print(`differs by: ${result.cause.replace('_', ' ')}`);
    for (const line of result.evidence) io.print(`  ${line}`);
  }
  const first = result.first_difference;
  if (first !== null)
    io.print(
      `first difference: row ${count(first.row + 1)} ${JSON.stringify(first.key)}, ${first.column}: ${JSON.stringify(first.registered)} registered, ${JSON.stringify(first.rebuilt)} rebuilt`,
    );
  io.result(result);
  return result.logical && (result.cause !== 'stored_copy' || result.restored) ? 0 : 3;
});
