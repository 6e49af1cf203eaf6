import { MillraceError } from '../../../core/base/error.js';
import { dropQuarantined } from '../../../services/ingest.js';
import { inProject } from '../../in-project.js';
import { count } from '../../print/table.js';
import { filterOf } from '../../quarantine-filter.js';

export const command = inProject(async (project, io, args, options) => {
  await project.lockForWriting(io.command);
  const filter = await filterOf(project, args, options);
  if (Object.keys(filter).length === 0)
    throw new MillraceError('USAGE', 'nothing says which rows to drop', {
      hint: 'Give ids, --source, --rule or --batch.',
    });
  const dropped = await dropQuarantined(project, filter, String(options['reason']));
  io.print(dropped === 0 ? 'nothing of that is open in quarantine' : `${count(dropped)} rows dropped`);
  io.result({ dropped });
  return dropped === 0 ? 99 : 0;
});
