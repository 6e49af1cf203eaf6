/** How far a source has come, how it was judged last, what it promises. */
import { MICROS_PER_SECOND, printOptionalInstant } from '../core/base/time.js';
import type { Source } from '../core/define/types.js';
import type { LevelStatus } from '../core/quality/index.js';
import { type BatchVerdict, listBatches } from './batches.js';
import type { Project } from './project.js';
import { sourceLevels } from './service-levels.js';

export interface SourceStatus {
  readonly source: string;
  readonly seq: number;
  readonly rows: number;
  /** Greatest available_at in the log, and its distance from now. */
  readonly available_at: string | null;
  readonly age_seconds: number | null;
  readonly levels: readonly LevelStatus[];
  readonly last_batch: { readonly batch: string; readonly at: string; readonly verdict: BatchVerdict } | null;
  readonly quarantine_open: number;
}

/** Every source, or those given: how far it has come, how it was judged last, what it promises. */
export async function sourceStatuses(
  project: Project,
  sources: Iterable<Source> = project.definitions.sources.values(),
): Promise<readonly SourceStatus[]> {
  const log = await project.log();
  const now = project.now();
  const out: SourceStatus[] = [];
  for (const source of sources) {
    const state = await log.state(source);
    const [last] = await listBatches(project, source, 1);
    out.push({
      source: source.name,
      seq: state.lastSeq,
      rows: state.rows,
      available_at: printOptionalInstant(state.maxAvailableAt),
      age_seconds:
        state.maxAvailableAt === null ? null : Math.max(0, (now - state.maxAvailableAt) / MICROS_PER_SECOND),
      levels: await sourceLevels(project, source),
      last_batch: last ? { batch: last.batch, at: last.at, verdict: last.verdict } : null,
      quarantine_open: await log.quarantineCount({ source: source.name, status: 'open' }),
    });
  }
  return out;
}
