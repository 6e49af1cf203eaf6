import { MillraceError } from '../../../core/base/error.js';
import { CHANGE_CLASSES } from '../../../core/quality/contract-diff.js';
import { compareContracts } from '../../../services/contract.js';
import { sourceOf } from '../../find.js';
import { inProject } from '../../in-project.js';
import { printChanges } from '../../print/changes.js';

export const command = inProject(async (project, io, args, options) => {
  const limit = options['failOn'] === undefined ? undefined : String(options['failOn']);
  const classes: readonly string[] = CHANGE_CLASSES;
  if (limit !== undefined && !classes.includes(limit))
    throw new MillraceError('USAGE', `--fail-on is "${limit}"`, {
      hint: `Give ${CHANGE_CLASSES.join(', ')}.`,
    });
  const diff = await compareContracts(project, sourceOf(project, args[0]!), args[1], args[2]);
  if (diff.class === null) io.print(`${diff.source}: ${diff.to} is the contract of ${diff.from}`);
  else {
    io.print(
      `${diff.source}: from ${diff.from} to ${diff.to}: ${diff.class}${diff.suggested === null ? '' : `, as a version ${diff.suggested}`}`,
    );
    printChanges(io, diff.changes);
  }
  const refused =
    limit !== undefined && diff.class !== null && classes.indexOf(diff.class) >= classes.indexOf(limit);
  if (refused)
    return io.refuse(
      new MillraceError('CONTRACT_CHANGED', `the contract of ${diff.source} changes in a ${diff.class} way`, {
        hint: 'Keep what was promised, or agree on it with those who read it.',
      }),
      { ...diff },
    );
  io.result(diff);
  return 0;
});
