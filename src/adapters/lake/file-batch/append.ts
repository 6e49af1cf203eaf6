/** Writing: the accepted rows become a segment, and one transaction puts the batch into the log. */
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { invariant } from '../../../core/base/error.js';
import type { Instant } from '../../../core/base/time.js';
import { REPAIRS_TYPE, repairRules } from '../../../core/quality/index.js';
import type { IngestResult } from '../../../ports/record-log.js';
import { quoteName, quoteText } from '../../duckdb/text.js';
import { publishFile } from '../../files/durable.js';
import type { BatchCommit } from '../ledger.js';
import { logColumns } from '../shape.js';
import { POSITION } from '../stage.js';
import type { FileBatch } from './batch.js';
import { gapsSql, NUMBER, NUMBERED } from './numbering.js';
import { refusedRows } from './refused.js';

/** What a segment holds. */
interface Written {
  readonly rows: number;
  readonly deleted: number;
  readonly maxAvailableAt: Instant;
  readonly minEventTime: Instant;
  readonly maxEventTime: Instant;
}

/** Writes the segment and commits the batch. */
export async function append(batch: FileBatch): Promise<IngestResult> {
  const { ledger, lastSeq, folder } = batch.context;
  const { source } = batch;
  const refused = await refusedRows(batch);
  const common = {
    kind: 'files',
    at: batch.options.now,
    fingerprint: source.fingerprint,
    files: batch.files,
    quarantined: refused.rows(false),
    again: refused.rows(true),
    profile: batch.profile,
    notes: batch.notes,
    ...(batch.mark ? { mark: batch.mark } : {}),
    ...(batch.options.facts ? { facts: batch.options.facts } : {}),
  } as const;
  if (batch.counts.accepted === 0) {
    const result = batch.result(lastSeq);
    ledger.commit({
      ...common,
      result,
      segment: null,
      maxAvailableAt: null,
      minEventTime: null,
      maxEventTime: null,
      hasVersions: false,
    });
    return result;
  }
  const firstSeq = lastSeq + 1;
  const final = join(folder, `${String(firstSeq).padStart(15, '0')}-${batch.id}.parquet`);
  const temporary = join(folder, `.${batch.id}.tmp`);
  try {
    const summary = await writeSegment(batch, temporary, firstSeq);
    batch.options.signal?.throwIfAborted();
    publishFile(temporary, final);
    const bytes = statSync(final).size;
    const columns = Object.fromEntries(logColumns(source));
    const seq = lastSeq + summary.rows;
    invariant(
      summary.rows === batch.counts.accepted,
      `${summary.rows} rows were written for ${batch.counts.accepted} accepted`,
    );
    const result = batch.result(seq);
    const commit: BatchCommit = {
      ...common,
      result,
      segment: {
        file: final,
        format: 'parquet',
        rows: summary.rows,
        firstSeq,
        lastSeq: seq,
        columns,
        bytes,
      },
      maxAvailableAt: summary.maxAvailableAt,
      minEventTime: summary.minEventTime,
      maxEventTime: summary.maxEventTime,
      hasVersions: batch.counts.corrections > 0 || summary.deleted > 0,
      ...(batch.columns ? { columns: batch.columns } : {}),
    };
    ledger.commit(commit);
    return result;
  } catch (error) {
    rmSync(temporary, { force: true });
    rmSync(final, { force: true });
    throw error;
  }
}

async function writeSegment(batch: FileBatch, file: string, firstSeq: number): Promise<Written> {
  const { db } = batch.context;
  const { source } = batch;
  const [seq, rows] = await numbers(batch, firstSeq);
  const flags = batch.rulesWith('flag').map((rule) => quoteText(rule.id));
  const flagged =
    flags.length === 0
      ? 'CAST(NULL AS VARCHAR[])'
      : `nullif(list_filter("_marks", lambda id: id IN (${flags.join(', ')})), [])`;
  const fields = source.fields.map((field) => quoteName(field.name));
  const repairs =
    repairRules(source).fields.length > 0 ? '"_repairs"' : `CAST(NULL AS ${REPAIRS_TYPE}) AS "_repairs"`;
  const numbered = `SELECT ${fields.map((name) => `${name}, `).join('')}${seq} AS "_seq", "_declared_order", "_event_time", "_available_at", "_deleted", ${flagged} AS "_flags", ${repairs} FROM ${rows}`;
  const select = logColumns(source).map(([name, type]) =>
    name === '_order'
      ? `CAST(coalesce("_declared_order", "_seq") AS BIGINT) AS "_order"`
      : name === '_seq'
        ? 'CAST("_seq" AS BIGINT) AS "_seq"'
        : `CAST(${quoteName(name)} AS ${type}) AS ${quoteName(name)}`,
  );
  await db.run(
    `COPY (SELECT ${select.join(', ')} FROM (${numbered})${batch.unmoved ? '' : ' ORDER BY "_seq"'}) TO ${quoteText(file)} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2)`,
  );
  const [written] = await db.rows<Written>(
    'SELECT count(*) AS rows, count(*) FILTER ("_deleted") AS deleted, max("_available_at") AS "maxAvailableAt",' +
      ` min("_event_time") AS "minEventTime", max("_event_time") AS "maxEventTime" FROM read_parquet(${quoteText(file)})`,
  );
  return written!;
}

/** SQL of the number of an accepted row, and where such rows are read. */
async function numbers(batch: FileBatch, firstSeq: number): Promise<readonly [seq: string, rows: string]> {
  if (batch.streamed) {
    if (batch.excluded === 0) return [`${firstSeq} + "_place"`, 'staged'];
    const excluded = `SELECT "_place" FROM staged SEMI JOIN excluded ON excluded."_row" = ${POSITION}`;
    await batch.context.db.run(gapsSql(batch.read, excluded));
    return [`${firstSeq} + ${NUMBER}`, NUMBERED];
  }
  // Rows that were not moved are read in the order of their places: they are numbered as they come, not sorted.
  const all = batch.unmoved && batch.excluded === 0;
  return all
    ? [`${firstSeq} + rowid`, 'staged']
    : [
        `${firstSeq - 1} + row_number() OVER (${batch.unmoved ? '' : `ORDER BY ${POSITION}`})`,
        `staged WHERE ${batch.acceptable}`,
      ];
}
