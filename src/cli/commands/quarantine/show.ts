import { MillraceError } from '../../../core/base/error.js';
import { listQuarantined } from '../../../services/ingest.js';
import { isPulled } from '../../../services/pull-mark.js';
import { inProject } from '../../in-project.js';
import { integer } from '../../parse.js';
import { filterOf } from '../../quarantine-filter.js';

export const command = inProject(async (project, io, args, options) => {
  const limit = args.length > 0 ? args.length : (integer(options['limit'], '--limit') ?? 20);
  const filter = await filterOf(project, args, options);
  const { total, rows } = await listQuarantined(project, filter, limit);
  const lacking = filter.ids?.find((id) => !rows.some((row) => row.id === id));
  if (lacking !== undefined)
    throw new MillraceError('UNKNOWN_NAME', `there is no quarantined row ${lacking}`, {
      hint: 'See `millrace quarantine list`.',
    });
  for (const row of rows) {
    const source = project.definitions.sources.get(row.source);
    const where =
      source && isPulled(source) ? `row ${row.line} of its query` : `${row.file ?? 'pushed'}:${row.line}`;
    io.print(`#${row.id} ${row.source} ${where} (${row.status})`);
    if (row.note !== null) io.print(`    dropped because: ${row.note}`);
    for (const reason of row.reasons)
      io.print(
        `    [${reason.rule}]${reason.field ? ` ${reason.field} = ${JSON.stringify(reason.value)}` : ''}: ${reason.message}`,
      );
    io.print(`    ${JSON.stringify(row.row)}`);
  }
  if (total > rows.length) io.note(`${total - rows.length} more; --limit shows them`);
  io.result({ total, rows });
  return 0;
});
