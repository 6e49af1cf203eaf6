import { MillraceError } from '../../../core/base/error.js';
import { exportModel } from '../../../services/export-model.js';
import { modelVersion } from '../../find.js';
import { inProject } from '../../in-project.js';

export const command = inProject(async (project, io, args, options) => {
  if (options['format'] !== 'mlflow')
    throw new MillraceError('USAGE', `there is no format "${String(options['format'])}" of models`, {
      hint: 'Formats: mlflow.',
    });
  const exported = await exportModel(project, await modelVersion(project, args[0]!), String(options['out']));
  io.print(`${exported.model}@${exported.version} is in ${exported.out}; mlflow.pyfunc.load_model takes it`);
  io.result(exported);
  return 0;
});
