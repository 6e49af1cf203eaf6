import { MillraceError } from '../../core/base/error.js';
import { parseDuration } from '../../core/base/time.js';
import { bytes } from '../../report/format.js';
import { collectGarbage } from '../../services/collect-garbage.js';
import { inProject } from '../in-project.js';
import { count, table } from '../print/table.js';

export const command = inProject(async (project, io, _args, options) => {
  const retention = parseDuration(String(options['retention']));
  if (retention === undefined || retention < 0)
    throw new MillraceError(
      'USAGE',
      `--retention is "${String(options['retention'])}", which is no duration`,
      {
        hint: 'For example 90d.',
      },
    );
  const result = await collectGarbage(project, { dryRun: options['dryRun'] === true, retention });
  if (result.removed.length > 0)
    io.print(
      table(
        ['what', 'name', 'bytes', 'why'],
        result.removed.map((item) => [
          item.kind,
          item.name.slice(0, 40),
          bytes(item.bytes),
          item.reason.replace(/; .*/, ''),
        ]),
      ),
    );
  if (result.removed.some(({ kind }) => kind === 'dataset' || kind === 'model'))
    io.print(
      'versions stay registered: `millrace dataset reproduce NAME@VERSION --restore` and `millrace models reproduce NAME@VERSION --restore` make them again',
    );
  io.print(
    `${result.dry_run ? 'would free' : 'freed'} ${bytes(result.bytes)} in ${count(result.removed.length)} places; ${count(result.kept.length)} versions are kept`,
  );
  io.result(result);
  return 0;
});
