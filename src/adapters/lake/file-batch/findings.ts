/** What is said of the rows that break a rule, and of a batch that is refused. */
import { MillraceError, type Place } from '../../../core/base/error.js';
import type { RowRule } from '../../../core/define/types.js';
import { messageFor, notJudged, typeOfField } from '../../../core/quality/index.js';
import { quoteName, quoteText } from '../../duckdb/text.js';
import { placeIn } from '../open-input.js';
import { POSITION } from '../stage.js';
import type { FailedReason, FileBatch } from './batch.js';

const FAIL_SAMPLE = 3;

/** What lets the batch in where it is right as it is. */
export function remedy(batch: FileBatch, failures: readonly FailedReason[]): string | undefined {
  const all = (prefix: string): boolean => failures.every(({ rule }) => rule.startsWith(prefix));
  if (all('history.') && batch.options.check)
    return 'If this is right, ingest it, accept the batch that is refused, and ingest it again.';
  if (all('history.'))
    return `If this is right, run \`millrace batches accept ${batch.id}\` and ingest again.`;
  const kinds = [...new Set(failures.map(({ rule }) => rule.replace('schema.', '')))];
  return all('schema.')
    ? `If this is right, say so at ${batch.source.name}: \`schema_changes: { ${kinds.map((kind) => `${kind}: alert`).join(', ')} }\`.`
    : undefined;
}

/** Which rows a rule sends to quarantine, for a source that takes none of them. */
export async function refusedExample(batch: FileBatch, rule: string): Promise<string> {
  const unreadable = batch.inputs.flatMap((input) => input.unreadable.filter((row) => row.rule === rule));
  const rows = await batch.context.db.rows<{ line: number }>(
    `SELECT "_line" AS line FROM judged WHERE list_contains("_reasons", ${quoteText(rule)}) ORDER BY ${POSITION} LIMIT ${FAIL_SAMPLE}`,
  );
  const lines = [...unreadable, ...rows].slice(0, FAIL_SAMPLE).map((row) => `line ${row.line}`);
  const n = batch.reasons[rule]!;
  const why = batch.errors[rule];
  return `${n} row${n === 1 ? '' : 's'} break${n === 1 ? 's' : ''} ${rule}${why === undefined ? '' : ` (${notJudged({ id: rule }, why)})`}; for example ${lines.join(', ')}`;
}

export async function placeOf(batch: FileBatch, rule: string): Promise<Place | undefined> {
  const rows = await batch.context.db.rows<{ file: number; line: number }>(
    `SELECT "_file" AS file, "_line" AS line FROM judged WHERE list_contains("_marks", ${quoteText(rule)}) OR list_contains("_reasons", ${quoteText(rule)}) ORDER BY ${POSITION} LIMIT 1`,
  );
  const first = rows[0];
  return first && placeIn(batch.source, batch.files[first.file]!.path, Number(first.line));
}

/** What a rule says about the first rows that break it. */
export async function example(batch: FileBatch, rule: RowRule): Promise<string> {
  const value = rule.field === null ? "''" : `CAST(${quoteName(rule.field)} AS VARCHAR)`;
  const rows = await batch.context.db.rows<{ file: number; line: number; value: string | null }>(
    `SELECT "_file" AS file, "_line" AS line, ${value} AS value FROM staged SEMI JOIN` +
      ` (SELECT "_file", "_line" FROM judged WHERE list_contains("_marks", ${quoteText(rule.id)}) ORDER BY ${POSITION} LIMIT ${FAIL_SAMPLE})` +
      ` USING ("_file", "_line") ORDER BY ${POSITION}`,
  );
  const error = batch.errors[rule.id];
  if (error !== undefined) return notJudged(rule, error);
  const places = rows
    .map((row) => `line ${row.line}${rule.field === null ? '' : ` (${row.value ?? 'null'})`}`)
    .join(', ');
  const type = typeOfField(batch.source.fields, rule.field);
  const what = messageFor(rule, null, type).replace(
    `${rule.field} is null, expected`,
    `${rule.field}: expected`,
  );
  return `${what}; for example ${places}`;
}

export function refusal(
  batch: FileBatch,
  failures: readonly FailedReason[],
  hint: string | undefined,
  place: Place,
): MillraceError {
  const message = failures.map((failure) => failure.message).join('; ');
  const { counts } = batch;
  batch.context.ledger.refuse(
    {
      result: {
        source: batch.source.name,
        batch: batch.id,
        ...counts,
        accepted: 0,
        corrections: 0,
        repaired: 0,
        repairs: {},
        drops: {},
        flags: {},
        seq: batch.context.lastSeq,
        warnings: batch.warnings,
        reasons: batch.reasons,
      },
      kind: 'files',
      at: batch.options.now,
      fingerprint: batch.source.fingerprint,
      maxAvailableAt: null,
      minEventTime: null,
      maxEventTime: null,
      hasVersions: false,
      files: batch.files,
      profile: batch.profile,
      notes: batch.notes,
    },
    message,
  );
  return new MillraceError('BATCH_REFUSED', `The batch for ${batch.source.name} is refused: ${message}`, {
    place,
    ...(hint === undefined ? {} : { hint: `${hint} Nothing was appended.` }),
    data: { batch: batch.id, rules: failures.map((failure) => failure.rule) },
  });
}
