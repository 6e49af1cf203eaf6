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

/** More than 0 when rows of the batch share a record key. A key of whole numbers needs no table of keys. */
export async function countRepeats(db: DuckDbConnection, source: Source, batch: string): Promise<number> {
  const [key, ...more] = source.recordKey;
  const one = async (sql: string): Promise<number> => Number((await db.rows<{ n: number }>(sql))[0]!.n);
  if (more.length === 0 && typeOfField(source.fields, key!).kind === 'int64') {
    const column = quoteName(key!);
    const [found] = await db.rows<Record<'n' | 'least' | 'most', number | bigint | null>>(
      `SELECT count(*) AS n, min(${column}) AS least, max(${column}) AS most FROM ${batch}`,
    );
    const { n, least, most } = found!;
    if (n === 0 || least === null) return 0;
    const bits = Number(most) - Number(least) + 1;
    if (bits <= Math.min(MOST_BITS, BITS_A_KEY * Number(n)))
      return (
        Number(n) -
        (await one(
          `SELECT bit_count(bitstring_agg(${column}, CAST(${least} AS BIGINT), CAST(${most} AS BIGINT)))::BIGINT AS n FROM ${batch}`,
        ))
      );
  }
  return one(`SELECT count(*) AS n FROM (${repeatedSql(source, batch)})`);
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
