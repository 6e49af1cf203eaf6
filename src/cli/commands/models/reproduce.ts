import { reproduceModel } from '../../../services/reproduce-model.js';
import { modelVersion } from '../../find.js';
import { inProject } from '../../in-project.js';

export const command = inProject(async (project, io, args, options) => {
  const restore = options['restore'] === true;
  if (restore) await project.lockForWriting(io.command);
  const version = await modelVersion(project, args[0]!);
  const result = await reproduceModel(project, version, { restore });
  const title = `${result.model}@${result.version}`;
  io.print(`${title}: ${result.same ? 'the same model, byte for byte' : 'NOT reproduced'}`);
  if (result.rows === 'rebuilt')
    io.print('the rows of its training set are gone: they were built again from their recipe');
  if (result.restored) io.print(`its files were ${result.stored}; they are back`);
  else if (result.stored !== 'whole') io.warn(`the stored files of ${title} are ${result.stored}`);
  if (!result.same) io.print(`differs by: ${result.cause}`);
  for (const line of result.evidence) io.print(`  ${line}`);
  io.result(result);
  return result.same && (result.stored !== 'damaged' || result.restored) ? 0 : 3;
});
