/** The stretches of time that came together in one batch: days that were delivered late, or a history in files. */
import { basename } from 'node:path';
import type { Instant } from '../../../core/base/time.js';
import type { BatchPart } from '../../../core/drift/history.js';
import { quoteName } from '../../duckdb/text.js';
import type { FileBatch } from './batch.js';

interface Stretch {
  readonly files: readonly number[];
  /** Between these most of its events lie. */
  readonly from: Instant;
  readonly until: Instant;
}

/** Where most events lie: stragglers in the file of the next day do not make two days one. */
const MOST = '[0.1, 0.9]';

/** Files whose times overlap are one delivery in pieces. Files without records belong to nobody's time. */
async function stretchesOf(batch: FileBatch): Promise<readonly Stretch[]> {
  const rows = await batch.context.db.rows<{ file: number; first: number; last: number }>(
    `SELECT "_file" AS file, CAST(most[1] AS BIGINT) AS first, CAST(most[2] AS BIGINT) AS last FROM` +
      ` (SELECT "_file", approx_quantile("_event_time", ${MOST}) AS most FROM staged WHERE ${batch.acceptable} GROUP BY "_file")` +
      ' ORDER BY first, last, file',
  );
  const timed = rows.map(({ file, first, last }): Stretch => {
    return { files: [Number(file)], from: Number(first), until: Number(last) };
  });
  const out: Stretch[] = [];
  for (const next of timed) {
    const last = out.at(-1);
    if (last && (next.from < last.until || next.from === last.from))
      out[out.length - 1] = {
        files: [...last.files, ...next.files],
        from: last.from,
        until: Math.max(last.until, next.until),
      };
    else out.push(next);
  }
  const seen = new Set(timed.flatMap(({ files }) => files));
  const newest = batch.files.flatMap((_, file) => (seen.has(file) ? [] : [file]));
  return [...out, ...newest.map((file) => ({ files: [file], from: 0, until: 0 }))];
}

export interface FilePart {
  readonly part: BatchPart;
  readonly hashes: readonly string[];
}

/** Oldest first; undefined where all files are of one time. */
export async function batchParts(batch: FileBatch): Promise<readonly FilePart[] | undefined> {
  if (batch.files.length < 2) return undefined;
  const stretches = await stretchesOf(batch);
  if (stretches.length < 2) return undefined;
  const { fields } = batch.source;
  const partOf: number[] = [];
  for (const [part, { files }] of stretches.entries()) for (const file of files) partOf[file] = part;
  const measured = fields.flatMap(({ name }, i) => [
    `count(${quoteName(name)}) AS n${i}`,
    `approx_count_distinct(${quoteName(name)}) AS d${i}`,
  ]);
  const rows = await batch.context.db.rows<Record<string, number>>(
    `SELECT [${partOf.join(', ')}]["_file" + 1] AS part, count(*) AS passed, max("_event_time") AS newest, max("_available_at") AS known` +
      `${measured.map((sql) => `, ${sql}`).join('')} FROM staged WHERE ${batch.acceptable} GROUP BY part`,
  );
  const found = new Map(rows.map((row) => [Number(row['part']), row]));
  return stretches.map(({ files }, place): FilePart => {
    const row = found.get(place);
    const passed = Number(row?.['passed'] ?? 0);
    const count = (name: string): number => Number(row?.[name] ?? 0);
    const first = basename(batch.files[files[0]!]!.path);
    const part: BatchPart = {
      file: files.length === 1 ? first : `${first} and ${files.length - 1} more`,
      facts: {
        rows: files.reduce((sum, file) => sum + batch.files[file]!.rows, 0),
        passed,
        null_rate: Object.fromEntries(
          fields.map(({ name }, i) => [name, passed === 0 ? 0 : 1 - count(`n${i}`) / passed]),
        ),
        distinct_count: Object.fromEntries(
          fields.map(({ name }, i) => [name, Math.min(count(`n${i}`), count(`d${i}`))]),
        ),
        age: null,
        newest: row ? Number(row['newest']) : null,
        known: row ? Number(row['known']) : null,
      },
    };
    return { part, hashes: files.map((file) => batch.files[file]!.sha256) };
  });
}
