import { replayQuarantine } from '../../../services/ingest.js';
import { inProject } from '../../in-project.js';
import { count } from '../../print/table.js';
import { filterOf } from '../../quarantine-filter.js';

export const command = inProject(async (project, io, args, options) => {
  await project.lockForWriting(io.command);
  const results = await replayQuarantine(project, await filterOf(project, args, options));
  if (results.length === 0) io.print('nothing is open in quarantine');
  for (const result of results) {
    io.print(
      `${result.source}: ${count(result.rows)} rows fed again = ${count(result.accepted)} accepted + ${count(result.quarantined)} still quarantined + ${count(result.duplicates)} duplicates + ${count(result.dropped)} dropped`,
    );
    for (const [what, byRule] of [
      ['still quarantined', result.reasons],
      ['dropped', result.drops],
      ['repaired', result.repairs],
      ['flagged', result.flags],
    ] as const)
      for (const [rule, rows] of Object.entries(byRule)) io.print(`  ${what} by ${rule}: ${count(rows)}`);
  }
  io.result({ results });
  return results.length === 0 ? 99 : 0;
});
