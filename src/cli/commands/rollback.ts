import { catchUp } from '../../services/materialize.js';
import { rollbackModel } from '../../services/promote.js';
import { inProject } from '../in-project.js';
import { integer } from '../parse.js';

export const command = inProject(async (project, io, args, options) => {
  const to = integer(options['to'], '--to');
  const change = await rollbackModel(project, args[0]!, {
    ...(to === undefined ? {} : { to }),
    ...(options['reason'] === undefined ? {} : { reason: String(options['reason']) }),
  });
  io.print(`${change.model}@${change.version} is the champion again, before it ${change.previous}`);
  if (change.features === 'kept') {
    io.print('its features have other definitions now: it is served with those that it was trained on');
    // A server that writes builds them itself, beside what it serves.
    await catchUp(project, null, io.command);
  }
  io.result(change);
  return 0;
});
