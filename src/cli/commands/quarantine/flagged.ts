import { listFlagged } from '../../../services/marked-records.js';
import { sourceOf } from '../../find.js';
import { inProject } from '../../in-project.js';
import { table } from '../../print/table.js';
import { markFilter } from '../../quarantine-filter.js';

/** Records of a source that were let in with a remark, newest first. */
export const command = inProject(async (project, io, args, options) => {
  const source = sourceOf(project, args[0]);
  const flagged = await listFlagged(project, source, markFilter(options));
  io.print(
    flagged.length === 0
      ? `no record of ${source.name} carries ${options['rule'] === undefined ? 'a flag' : `the flag ${String(options['rule'])}`}`
      : table(
          ['seq', 'event time', 'flags', 'record'],
          flagged.map(({ seq, event_time, flags, record }) => [
            seq,
            event_time,
            flags.join(', '),
            JSON.stringify(record),
          ]),
        ),
  );
  io.result({ source: source.name, flagged });
  return 0;
});
