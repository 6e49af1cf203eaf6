import { materialize as bringUp } from '../../services/materialize.js';
import { inProject } from '../in-project.js';
import { table } from '../print/table.js';

export const command = inProject(async (project, io, _args, options) => {
  await project.lockForWriting(io.command);
  const result = await bringUp(project, { rebuild: options['rebuild'] === true });
  io.print(
    table(
      ['group', 'records applied', 'through seq'],
      result.groups.map((group) => [group.group, group.records, group.seq]),
    ),
  );
  io.result(result);
  return result.records > 0 ? 0 : 99;
});
