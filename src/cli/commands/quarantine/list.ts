import { inProject } from '../../in-project.js';
import { table } from '../../print/table.js';
import { filterOf } from '../../quarantine-filter.js';

export const command = inProject(async (project, io, args, options) => {
  const log = await project.log();
  const rows = await log.quarantine(await filterOf(project, args, options));
  const groups = new Map<
    string,
    { source: string; rule: string; status: string; rows: number; example: string }
  >();
  for (const row of rows)
    for (const reason of row.reasons) {
      const key = `${row.source}\n${reason.rule}\n${row.status}`;
      const group = groups.get(key);
      if (group) group.rows++;
      else
        groups.set(key, {
          source: row.source,
          rule: reason.rule,
          status: row.status,
          rows: 1,
          example: reason.message,
        });
    }
  const list = [...groups.values()];
  io.print(
    list.length === 0
      ? 'nothing is in quarantine'
      : table(
          ['source', 'rule', 'status', 'rows', 'for example'],
          list.map((item) => [item.source, item.rule, item.status, item.rows, item.example]),
        ),
  );
  io.result({ rows: rows.length, groups: list });
  return 0;
});
