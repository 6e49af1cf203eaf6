import { type BatchView, listBatches } from '../../../services/batches.js';
import { sourceOf } from '../../find.js';
import { inProject } from '../../in-project.js';
import { integer } from '../../parse.js';
import { table } from '../../print/table.js';

const what = (batch: BatchView): string =>
  batch.reason ??
  [
    ...(batch.history?.findings ?? []).map(({ message }) => message),
    ...batch.schema_changes.map(({ message }) => message),
    ...(batch.verdict === 'broken' ? batch.warnings.map(({ message }) => message) : []),
  ].join('; ');

const shortened = (text: string): string => (text.length > 100 ? `${text.slice(0, 99)}…` : text);

export const command = inProject(async (project, io, args, options) => {
  const source = sourceOf(project, args[0]!);
  const batches = await listBatches(project, source, integer(options['limit'], '--limit') ?? 20);
  io.print(
    batches.length === 0
      ? `no batches of ${source.name} have come yet`
      : table(
          ['batch', 'at', 'rows', 'accepted', 'quarantined', 'duplicates', 'dropped', 'verdict', 'what'],
          batches.map((one) => [
            one.batch.slice(0, 8),
            one.at,
            one.rows,
            one.accepted,
            one.quarantined,
            one.duplicates,
            one.dropped,
            one.verdict,
            shortened(what(one)),
          ]),
        ),
  );
  io.result({ source: source.name, batches });
  return 0;
});
