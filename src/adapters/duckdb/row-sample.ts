import type { SampledPart } from '../../ports/offline-store.js';
import type { DuckDb } from './connection.js';
import { quoteName, quoteText } from './text.js';

const PART = '"_millrace_part"';
const ROW = '"_millrace_row"';
const FILE = '_millrace_file';

/** See `OfflineStore.sampleRows`. */
export async function sampleRows(
  db: DuckDb,
  parts: readonly SampledPart[],
  wanted: { readonly columns: readonly string[]; readonly every: number; readonly kept: string | null },
  out: string,
): Promise<void> {
  const { every, kept } = wanted;
  const columns = wanted.columns.map(quoteName).join(', ');
  const present = new Set(
    kept === null
      ? []
      : (
          await db.rows<{ id: string }>(`SELECT DISTINCT ${PART} AS id FROM read_parquet(${quoteText(kept)})`)
        ).map(({ id }) => id),
  );
  const missing = parts.filter(({ id }) => !present.has(id));
  const places = parts.map(({ id, file }, place) => `(${place}, ${quoteText(id)}, ${quoteText(file)})`);
  const selects = [
    ...(missing.length === 0
      ? []
      : [
          `SELECT w.place, w.id AS ${PART}, file_row_number AS ${ROW}, ${columns} FROM read_parquet([${missing.map(({ file }) => quoteText(file)).join(', ')}], filename = ${quoteText(FILE)}, file_row_number = true) JOIN wanted w ON ${FILE} = w.file WHERE file_row_number % ${every} = 0`,
        ]),
    ...(missing.length === parts.length
      ? []
      : [
          `SELECT w.place, ${PART}, ${ROW}, ${columns} FROM read_parquet(${quoteText(kept!)}) JOIN wanted w ON ${PART} = w.id WHERE ${ROW} % ${every} = 0`,
        ]),
  ];
  await db.run(
    `COPY (WITH wanted(place, id, file) AS (VALUES ${places.join(', ')}) SELECT * EXCLUDE (place) FROM (${selects.join(' UNION ALL ')}) ORDER BY place, ${ROW}) TO ${quoteText(out)} (FORMAT parquet)`,
  );
}
