import { listRepairs } from '../../../services/marked-records.js';
import { sourceOf } from '../../find.js';
import { inProject } from '../../in-project.js';
import { table } from '../../print/table.js';
import { markFilter } from '../../quarantine-filter.js';

const printKey = (key: readonly unknown[]): string => key.map((part) => JSON.stringify(part)).join(', ');

/** What rules changed in the records of a source, newest first. */
export const command = inProject(async (project, io, args, options) => {
  const source = sourceOf(project, args[0]);
  const repairs = await listRepairs(project, source, markFilter(options));
  io.print(
    repairs.length === 0
      ? `no rule changed a record of ${source.name}`
      : table(
          ['seq', 'record', 'field', 'delivered', 'became', 'rule', 'contract'],
          repairs.map((repair) => [
            repair.seq,
            printKey(repair.record_key),
            repair.field,
            JSON.stringify(repair.original),
            JSON.stringify(repair.repaired),
            repair.rule,
            repair.contract.slice(0, 12),
          ]),
        ),
  );
  io.result({ source: source.name, repairs });
  return 0;
});
