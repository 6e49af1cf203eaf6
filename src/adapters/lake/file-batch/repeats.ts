/** Which rows of a batch say what another row of it, or the log, has said already. */
import type { Source } from '../../../core/define/types.js';
import { typeOfField } from '../../../core/quality/index.js';
import type { DuckDbConnection } from '../../duckdb/connection.js';
import { quoteName } from '../../duckdb/text.js';

/** Keys are counted by a bit each while they lie this close together, and there are not too many bits. */
const BITS_A_KEY = 32;
const MOST_BITS = 2 ** 29;

const keysOf = (source: Source): string => source.recordKey.map(quoteName).join(', ');

/** SELECT of the record keys that more than one row of the batch has. */
export const repeatedSql = (source: Source, batch: string): string =>
  `SELECT ${keysOf(source)} FROM ${batch} GROUP BY ALL HAVING count(*) > 1`;

/** Whole numbers that lie close together have a bit each; undefined where they do not. */
async function countByBits(db: DuckDbConnection, key: string, batch: string): Promise<number | undefined> {
  const [found] = await db.rows<Record<'n' | 'least' | 'most', number | bigint | null>>(
    `SELECT count(${key}) AS n, min(${key}) AS least, max(${key}) AS most FROM ${batch}`,
  );
  const { n, least, most } = found!;
  if (least === null) return 0;
  const bits = Number(most) - Number(least) + 1;
  if (bits > Math.min(MOST_BITS, BITS_A_KEY * Number(n))) return undefined;
  const [set] = await db.rows<{ n: number }>(
    `SELECT bit_count(bitstring_agg(${key}, CAST(${least} AS BIGINT), CAST(${most} AS BIGINT)))::BIGINT AS n FROM ${batch}`,
  );
  return Number(n) - Number(set!.n);
}

/**
 * More than 0 when accepted rows of the batch share a record key. Most batches have no key twice, not even with their
 * refused rows: to see that costs less than to leave those out. `all`: every staged row; `batch`: the accepted ones.
 */
export async function countRepeats(
  db: DuckDbConnection,
  source: Source,
  all: string,
  batch: string,
): Promise<number> {
  const [key, ...more] = source.recordKey;
  if (more.length === 0 && typeOfField(source.fields, key!).kind === 'int64') {
    for (const rows of [all, batch]) {
      const repeats = await countByBits(db, quoteName(key!), rows);
      if (repeats === 0 || (repeats !== undefined && rows === batch)) return repeats;
    }
  }
  const [found] = await db.rows<{ n: number }>(`SELECT count(*) AS n FROM (${repeatedSql(source, batch)})`);
  return Number(found!.n);
}

/** SELECT of rows that equal the version before them, the log's last one first: availability is that of the append. */
export function repetitionsSql(
  source: Source,
  batch: string,
  relation: string,
  content: readonly string[],
): string {
  const keys = source.recordKey.map(quoteName);
  const order = source.sequence === undefined ? '' : '"_order", ';
  const same = content.map((name) => `${name} IS NOT DISTINCT FROM lag(${name}) OVER w`).join(' AND ');
  const select = [...new Set([...keys, ...content])].join(', ');
  const last =
    `SELECT -1 AS "_row", ${select} FROM (${relation}) QUALIFY row_number() OVER` +
    ` (PARTITION BY ${keys.join(', ')} ORDER BY "_available_at" DESC, "_order" DESC, "_seq" DESC) = 1`;
  return (
    `SELECT "_row" FROM (SELECT "_row", lag("_row") OVER w IS NOT NULL AND ${same} AS "_again"` +
    ` FROM (${last} UNION ALL SELECT "_row", ${select} FROM ${batch})` +
    ` WINDOW w AS (PARTITION BY ${keys.join(', ')} ORDER BY ${order}"_row")) WHERE "_again" AND "_row" >= 0`
  );
}
