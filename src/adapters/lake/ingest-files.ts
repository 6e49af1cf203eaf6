/** Files of a source → one batch in the log. */
import { randomUUID } from 'node:crypto';
import { MillraceError } from '../../core/base/error.js';
import type { Source } from '../../core/define/types.js';
import type { FileVerdict, IngestResult, RefusedRow } from '../../ports/record-log.js';
import { interruptible } from '../duckdb/lazy.js';
import { expandFiles, hashFile, inspectFile } from '../files/inputs.js';
import { append } from './file-batch/append.js';
import { type Counts, FileBatch, type IngestContext, type IngestOptions } from './file-batch/batch.js';
import { countFlags, countRepairs, deduplicate } from './file-batch/duplicates.js';
import { judge } from './file-batch/judge.js';
import { judgedSql } from './file-batch/judged-rows.js';
import { judgeRelations, repairLate } from './file-batch/other-rows.js';
import { type FreshFile, readFiles } from './file-batch/read-files.js';
import { firstRefused } from './file-batch/refused.js';

/** Files → one atomic batch: all of it is in the log afterwards, or nothing is. */
export const ingestFiles = (
  context: IngestContext,
  source: Source,
  patterns: readonly string[],
  options: IngestOptions,
): Promise<IngestResult> => judged(context, source, patterns, options, append);

/** What `ingestFiles` would come to, and up to `show` of the rows that it would refuse. */
export const checkFiles = async (
  context: IngestContext,
  source: Source,
  patterns: readonly string[],
  options: Omit<IngestOptions, 'state' | 'check' | 'facts'> & { readonly show: number },
): Promise<FileVerdict> => {
  let refused: readonly RefusedRow[] = [];
  const result = await judged(context, source, patterns, { ...options, check: true }, async (batch) => {
    refused = await firstRefused(batch, options.show);
    return batch.result(context.lastSeq);
  });
  return { ...result, refused };
};

/** Judges the files that are not in the log yet, all together, and settles what is to become of them. */
async function judged(
  context: IngestContext,
  source: Source,
  patterns: readonly string[],
  options: IngestOptions,
  settle: (batch: FileBatch) => Promise<IngestResult>,
): Promise<IngestResult> {
  const { ledger } = context;
  const declared = source.read.kind === 'files' ? source.read.format : undefined;
  const files = expandFiles(patterns, context.projectFolder).map((path) => inspectFile(path, declared));
  const hashed = files.map((file) => ({ file, sha256: hashFile(file.path, options.signal) }));
  const counts: Counts = {
    rows: 0,
    accepted: 0,
    quarantined: 0,
    duplicates: 0,
    dropped: 0,
    corrections: 0,
    repaired: 0,
  };
  const fresh: FreshFile[] = [];
  for (const item of hashed) {
    const known =
      source.availableAt.kind === 'append' || options.state
        ? undefined
        : ledger.knownFile(source.name, item.sha256, source.fingerprint);
    if (known !== undefined) {
      counts.rows += known;
      counts.duplicates += known;
    } else {
      fresh.push(item);
    }
  }
  const batch = new FileBatch(context, source, randomUUID(), options, counts);
  if (fresh.length === 0) {
    if (options.facts) ledger.keepFacts(options.facts);
    return batch.result(context.lastSeq);
  }
  const stop = interruptible(context.db, options.signal);
  try {
    await judgeFiles(batch, fresh);
    return await settle(batch);
  } catch (error) {
    if (options.signal?.aborted)
      throw new MillraceError('INTERRUPTED', 'The ingest was interrupted; the log is as it was before', {
        cause: error,
      });
    throw error;
  } finally {
    stop();
    await batch.clear();
  }
}
/** Reads and judges files and finds what is known already: the counts hold after it. Throws BATCH_REFUSED. */
async function judgeFiles(batch: FileBatch, files: readonly FreshFile[]): Promise<void> {
  await readFiles(batch, files);
  await repairLate(batch);
  await judgeRelations(batch);
  for (const sql of judgedSql(batch.source, batch.inputs, batch.rows)) await batch.context.db.run(sql);
  await judge(batch);
  await deduplicate(batch);
  await countRepairs(batch);
  await countFlags(batch);
  batch.countAccepted();
}
