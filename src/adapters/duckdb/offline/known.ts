import type { Source } from '../../../core/define/types.js';
import type { Period } from '../../../ports/offline-store.js';
import { quoteName, quoteText } from '../text.js';
import type { OfflineSession } from './session.js';

const withinSql = (time: string, within: readonly Period[]): string =>
  within.length === 0
    ? 'false'
    : `(${within.map(({ from, to }) => `(${time} >= ${from} AND ${time} < ${to})`).join(' OR ')})`;

/** The intervals of a source's records within some times, or all; narrowed before versions are arranged. */
export async function knownWithin(
  { lake }: OfflineSession,
  source: Source,
  horizonSeq: number,
  hindsight: boolean,
  timeSql: string,
  within: readonly Period[] | undefined,
): Promise<string> {
  const state = await lake.state(source);
  if (within === undefined) return lake.knownSql(source, state, { horizonSeq, hindsight });
  const inside = withinSql(timeSql, within);
  const keys = source.recordKey.map(quoteName).join(', ');
  const known = lake.knownSql(source, state, {
    horizonSeq,
    hindsight,
    narrow: state.hasVersions
      ? (relation) =>
          `SELECT * FROM (${relation}) SEMI JOIN (SELECT ${keys} FROM (${relation}) WHERE ${inside}) USING (${keys})`
      : undefined,
  });
  return `SELECT * FROM (${known}) WHERE ${inside}`;
}

/** From so many different texts on, a column is read as text. */
const MANY_TEXTS = 4_096;
/** Below so many records a scan for the different texts costs more than it saves. */
export const FEW_RECORDS = 200_000;

/** The texts of a column as an ENUM type, so that codes come from the scan; null when they are many. */
export async function enumOf(
  { db, fresh }: OfflineSession,
  relation: string,
  field: string,
): Promise<{ type: string; dictionary: string[] } | null> {
  const type = fresh('texts');
  const column = quoteName(field);
  const found = await db.rows<{ text: string }>(
    `SELECT ${column} AS text FROM (SELECT DISTINCT ${column} FROM (${relation}) WHERE ${column} IS NOT NULL LIMIT ${MANY_TEXTS}) ORDER BY text`,
  );
  if (found.length === 0 || found.length >= MANY_TEXTS) return null;
  const dictionary = found.map(({ text }) => text);
  await db.run(`CREATE TYPE ${type} AS ENUM (${dictionary.map(quoteText).join(', ')})`);
  return { type, dictionary };
}
