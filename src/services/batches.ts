/** Batches and what history says of them; what people say of them. */
import { MillraceError } from '../core/base/error.js';
import { printInstant } from '../core/base/time.js';
import type { Source } from '../core/define/types.js';
import type { HistoryFinding } from '../core/drift/history.js';
import type { BatchMark, BatchRecord, SchemaChange } from '../ports/record-log.js';
import type { Project } from './project.js';

export type BatchVerdict =
  | 'ok'
  | 'anomalous'
  | 'insufficient_data'
  | 'expected'
  | 'incident'
  | 'refused'
  /** Pushed records that break a rule which would have refused a file. */
  | 'broken'
  /** Computed batches, pushes with refused rows, and those of older versions. */
  | 'not_judged';

export interface BatchView {
  readonly batch: string;
  readonly source: string;
  readonly kind: string;
  readonly at: string;
  readonly status: BatchRecord['status'];
  readonly verdict: BatchVerdict;
  readonly rows: number;
  readonly accepted: number;
  readonly quarantined: number;
  readonly duplicates: number;
  readonly dropped: number;
  readonly corrections: number;
  readonly repaired: number;
  readonly files: readonly string[];
  readonly reason: string | null;
  /** Batches that history held it against; null when it was not judged. */
  readonly history: { readonly batches: number; readonly findings: readonly HistoryFinding[] } | null;
  readonly schema_changes: readonly SchemaChange[];
  readonly warnings: BatchRecord['warnings'];
  /** By rule id: rows sent to quarantine, repaired, left out, accepted with a flag. */
  readonly reasons: BatchRecord['reasons'];
  readonly repairs: BatchRecord['repairs'];
  readonly drops: BatchRecord['drops'];
  readonly flags: BatchRecord['flags'];
  readonly facts: BatchRecord['notes']['facts'] | null;
  readonly mark: {
    readonly mark: BatchMark['mark'];
    readonly reason: string | null;
    readonly at: string;
  } | null;
}

function verdictOf({ status, mark, notes }: BatchRecord): BatchVerdict {
  if (mark) return mark.mark;
  if (status === 'refused') return 'refused';
  if (notes.broken) return 'broken';
  return notes.history?.verdict ?? 'not_judged';
}

function viewOf(record: BatchRecord): BatchView {
  const { notes, mark, lastSeq: _, profile: __, at, files, ...counts } = record;
  return {
    ...counts,
    at: printInstant(at),
    verdict: verdictOf(record),
    files: files.map(({ path }) => path),
    history: notes.history ? { batches: notes.history.batches, findings: notes.history.findings } : null,
    schema_changes: notes.changes ?? [],
    facts: notes.facts ?? null,
    mark: mark && { ...mark, at: printInstant(mark.at) },
  };
}

/** The last batches of a source, newest first. */
export async function listBatches(
  project: Project,
  source: Source,
  limit: number,
): Promise<readonly BatchView[]> {
  const records = await (await project.log()).batches(source.name, limit);
  return [...records].reverse().map(viewOf);
}

/** The batch whose id begins so. @throws UNKNOWN_NAME when none or several do. */
export const findBatch = async (project: Project, id: string): Promise<BatchView> =>
  theOne(await (await project.log()).batches(), id);

/** The same among the batches of one source. */
export const findBatchOf = async (project: Project, source: Source, id: string): Promise<BatchView> =>
  theOne(await (await project.log()).batches(source.name), id);

function theOne(batches: readonly BatchRecord[], id: string): BatchView {
  const found = batches.filter(({ batch }) => batch.startsWith(id));
  if (found.length === 1 && id !== '') return viewOf(found[0]!);
  throw new MillraceError(
    'UNKNOWN_NAME',
    found.length === 0 ? `there is no batch "${id}"` : `${found.length} batches begin with "${id}"`,
    { hint: 'See `millrace batches list SOURCE`; the first characters of an id are enough.' },
  );
}

/**
 * expected: all of the batch counts as ordinary from now on, and files that history refused go in. incident: nothing of
 * it does. null: as history judged it.
 */
export async function markBatch(
  project: Project,
  id: string,
  mark: BatchMark['mark'] | null,
  reason: string | null,
): Promise<BatchView> {
  const { batch } = await findBatch(project, id);
  await (await project.log()).markBatch(batch, mark === null ? null : { mark, reason, at: project.now() });
  return findBatch(project, batch);
}
