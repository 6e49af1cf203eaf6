/** Feeding refused rows again, through the rules as they are now. */
import type { Source } from '../core/define/types.js';
import type { IngestResult, QuarantinedRow, ReplayResult } from '../ports/record-log.js';
import { ingestRun, recordRun } from './lineage-events.js';
import type { Project } from './project.js';

export interface ReplayFilter {
  readonly source?: string;
}

export interface ReplayedSource extends ReplayResult {
  readonly source: string;
}

/** Validates and appends the records of files as one batch. */
export const ingestFiles = (
  project: Project,
  source: Source,
  files: readonly string[],
): Promise<IngestResult> =>
  recordRun(project, ingestRun(project, source, files), async () =>
    (await project.log()).ingestFiles(source, files, { now: project.now(), signal: project.signal }),
  );

/** One result for each source with open rows. Rows that still break a rule stay open, with their present reasons. */
export async function replayQuarantine(
  project: Project,
  filter: ReplayFilter = {},
): Promise<readonly ReplayedSource[]> {
  const log = await project.log();
  const open = await log.quarantine({ ...filter, status: 'open' });
  const bySource = new Map<string, QuarantinedRow[]>();
  for (const row of open) bySource.set(row.source, [...(bySource.get(row.source) ?? []), row]);
  const results: ReplayedSource[] = [];
  for (const [name, rows] of bySource) {
    const source = project.definitions.sources.get(name);
    if (source) results.push({ source: name, ...(await log.replay(source, rows, { now: project.now() })) });
  }
  return results;
}
