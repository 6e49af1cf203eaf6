import { aliasModel } from '../../../services/model-registry.js';
import { modelVersion } from '../../find.js';
import { inProject } from '../../in-project.js';

export const command = inProject(async (project, io, args, options) => {
  const change = await aliasModel(project, await modelVersion(project, args[0]!), args[1]!, {
    reason: String(options['reason']),
  });
  io.print(
    `${change.model}@${change.version} is ${change.alias}${change.previous === null ? '' : `, before it ${change.previous}`}`,
  );
  io.result(change);
  return 0;
});
