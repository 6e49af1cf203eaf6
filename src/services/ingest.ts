/** Files into the log; refused rows fed again through the rules as they are now, or settled. */
import type { Source } from '../core/define/types.js';
import type {
  FileVerdict,
  IngestResult,
  QuarantinedRow,
  QuarantineFilter,
  ReplayResult,
} from '../ports/record-log.js';
import { ingestRun, recordRun } from './lineage-events.js';
import type { Project } from './project.js';

export type ReplayFilter = Omit<QuarantineFilter, 'status'>;

export interface ReplayedSource extends ReplayResult {
  readonly source: string;
}

/** Validates and appends the records of files as one batch; `facts` are true with it. */
export const ingestFiles = (
  project: Project,
  source: Source,
  files: readonly string[],
  facts?: Readonly<Record<string, unknown>>,
): Promise<IngestResult> =>
  recordRun(project, ingestRun(project, source, files), async () =>
    (await project.log()).ingestFiles(source, files, {
      now: project.now(),
      signal: project.signal,
      ...(facts ? { facts } : {}),
    }),
  );

/** What ingesting files would come to, with the first rows that would be refused. Nothing is written. */
export const checkFiles = async (
  project: Project,
  source: Source,
  files: readonly string[],
  show: number,
): Promise<FileVerdict> =>
  (await project.log()).checkFiles(source, files, { now: project.now(), show, signal: project.signal });

/** Rows of the ledger, the first ones in the order of their coming, and how many there are. */
export async function listQuarantined(
  project: Project,
  filter: QuarantineFilter,
  limit: number,
): Promise<{ readonly total: number; readonly rows: readonly QuarantinedRow[] }> {
  const log = await project.log();
  return { total: await log.quarantineCount(filter), rows: await log.quarantine({ ...filter, limit }) };
}

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

/** Settles open rows without feeding them; the reason stays with them. Gives how many. */
export async function dropQuarantined(
  project: Project,
  filter: ReplayFilter,
  reason: string,
): Promise<number> {
  const log = await project.log();
  const open = await log.quarantine({ ...filter, status: 'open' });
  await log.markQuarantined(
    open.map(({ id }) => id),
    'dropped',
    { reason, at: project.now() },
  );
  return open.length;
}
