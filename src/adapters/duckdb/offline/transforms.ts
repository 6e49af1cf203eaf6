import type { Instant } from '../../../core/base/time.js';
import type { Source } from '../../../core/define/types.js';
import { coerceNativeSql } from '../../../core/schema/coerce-sql.js';
import type { ValueType } from '../../../core/schema/types.js';
import type { OfflineStore } from '../../../ports/offline-store.js';
import { interruptible } from '../lazy.js';
import { quoteName, quoteText } from '../text.js';
import { declaredRows, type ParentTable, transformSql } from '../transform-sql.js';
import type { OfflineSession } from './session.js';

/** How many of a transform's newest records are held to their word. */
const CLAIMS = 1000;

/** A query of the user's to a Parquet file: it may take any time, so the signal ends it. */
async function writeQuery(
  { db }: OfflineSession,
  query: string,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const stop = interruptible(db, signal);
  try {
    await db.run(`COPY (${query}) TO ${quoteText(file)} (FORMAT parquet)`);
  } finally {
    stop();
  }
}

/** The types of a query's columns, by their names in lower case. */
async function typesOf({ db }: OfflineSession, query: string): Promise<ReadonlyMap<string, string>> {
  const columns = await db.rows<{ name: string; type: string }>(
    `SELECT column_name AS name, column_type AS type FROM (DESCRIBE ${query})`,
  );
  return new Map(columns.map(({ name, type }) => [name.toLowerCase(), type]));
}

/** The SQL of a transform's field over the columns that its query gives, as ingest reads them. */
async function fieldReader(
  session: OfflineSession,
  transform: Source,
  query: string,
): Promise<(name: string) => string> {
  const types = await typesOf(session, query);
  const zone = { timezone: transform.timezone, ambiguousTime: transform.ambiguousTime, nulls: [] };
  return (name) => {
    const field = transform.fields.find((item) => item.name === name)!;
    const column = field.from ?? name;
    const type = types.get(column.toLowerCase()) ?? 'VARCHAR';
    return coerceNativeSql(field.type, quoteName(column), type, zone).value;
  };
}

/** Whether a claimed field `c.name` is what was computed, `n.value`. */
const sameSql = (type: ValueType, name: string, value: string): string =>
  type.kind === 'float64'
    ? // Sums of doubles may end on other last bits in another order.
      `(c.${name} IS NOT DISTINCT FROM n.${value} OR abs(c.${name} - n.${value}) <= 1e-9 * greatest(1, abs(c.${name})))`
    : `c.${name} IS NOT DISTINCT FROM n.${value}`;

/** Queries of transforms over what is known of their parents. */
export function transforms(
  session: OfflineSession,
): Pick<OfflineStore, 'runWhole' | 'runIncrement' | 'claimsAt'> {
  const { db, lake } = session;

  /** A parent as it is known, of the keys alone that have a record after a position; `before`: as it was there. */
  const touched = async (parent: Source, after: number, before: boolean): Promise<ParentTable> => {
    const state = await lake.state(parent);
    const keys = parent.recordKey.map(quoteName).join(', ');
    const changed = `SELECT DISTINCT ${keys} FROM (${lake.relation(state)}) WHERE "_seq" > ${after}`;
    const sql = lake.knownSql(parent, state, {
      horizonSeq: before ? after : state.lastSeq,
      hindsight: true,
      narrow: (relation) => `SELECT * FROM (${relation}) SEMI JOIN (${changed}) USING (${keys})`,
    });
    return { parent, sql };
  };

  /** The records of a source that were known at an instant, up to a position of its log. */
  const knownAt = async (source: Source, horizon: number | undefined, at: Instant): Promise<string> => {
    const state = await lake.state(source);
    const known = lake.knownSql(source, state, { horizonSeq: horizon ?? state.lastSeq, hindsight: false });
    return `SELECT * FROM (${known}) WHERE "_available_at" <= ${at} AND ("_until" IS NULL OR "_until" > ${at})`;
  };

  return {
    runWhole: async (transform, parents, out) => {
      if (transform.read.kind !== 'transform') return;
      const tables: ParentTable[] = [];
      for (const parent of parents) {
        const state = await lake.state(parent);
        tables.push({
          parent,
          sql: lake.knownSql(parent, state, { horizonSeq: state.lastSeq, hindsight: true }),
        });
      }
      const query = transformSql(transform.read.sql, tables);
      await writeQuery(session, declaredRows(transform, query), out.file, out.signal);
    },

    runIncrement: async (transform, parents, out) => {
      if (transform.read.kind !== 'transform') return;
      const { sql } = transform.read;
      const query = async (before: boolean): Promise<string> => {
        const tables: ParentTable[] = [];
        for (const { source, after } of parents) tables.push(await touched(source, after, before));
        return transformSql(sql, tables);
      };
      await writeQuery(session, declaredRows(transform, await query(false)), out.file, out.signal);
      const before = await query(true);
      const fieldSql = await fieldReader(session, transform, before);
      const keys = transform.recordKey.map((name) => `${fieldSql(name)} AS ${quoteName(name)}`);
      await writeQuery(session, `SELECT DISTINCT ${keys.join(', ')} FROM (${before})`, out.keys, out.signal);
    },

    claimsAt: async (transform, parents, horizons, at, scratch) => {
      if (transform.read.kind !== 'transform') return { records: 0, wrong: 0, newest: 0, newestWrong: 0 };
      const known = (source: Source): Promise<string> => knownAt(source, horizons.get(source.name), at);
      const tables: ParentTable[] = [];
      for (const parent of parents) tables.push({ parent, sql: await known(parent) });
      // Through a file, as the transform's records went, so that both have passed the same conversions.
      await db.run(
        `COPY (${transformSql(transform.read.sql, tables)}) TO ${quoteText(scratch)} (FORMAT parquet)`,
      );
      const computed = `SELECT * FROM read_parquet(${quoteText(scratch)})`;
      const fieldSql = await fieldReader(session, transform, computed);
      const fields = transform.fields.map(({ name, type }, i) => {
        const isKey = transform.recordKey.includes(name);
        const value = `v${i}`;
        return {
          isKey,
          select: `${fieldSql(name)} AS ${value}`,
          same: isKey
            ? `c.${quoteName(name)} IS NOT DISTINCT FROM n.${value}`
            : sameSql(type, quoteName(name), value),
        };
      });
      const on = fields.flatMap(({ isKey, same }) => (isKey ? [same] : [])).join(' AND ');
      const equal = fields.map(({ same }) => `(${same}) IS TRUE`).join(' AND ');
      const select = fields.map((field) => field.select).join(', ');
      const [row] = await db.rows<{ records: number; wrong: number; newest: number; newest_wrong: number }>(
        `WITH claimed AS (SELECT *, "_available_at" = max("_available_at") OVER () AS "_newest" FROM (${await known(transform)}) ORDER BY "_available_at" DESC LIMIT ${CLAIMS}),` +
          ` now AS (SELECT ${select}, true AS hit FROM (${computed})),` +
          ` judged AS (SELECT c."_seq", c."_newest", bool_or(coalesce(n.hit AND ${equal}, false)) AS fine FROM claimed c LEFT JOIN now n ON ${on} GROUP BY ALL)` +
          ' SELECT count(*) AS records, count(*) FILTER (NOT fine) AS wrong, count(*) FILTER ("_newest") AS newest, count(*) FILTER ("_newest" AND NOT fine) AS newest_wrong FROM judged',
      );
      const { records, wrong, newest, newest_wrong: newestWrong } = row!;
      return { records, wrong, newest, newestWrong };
    },
  };
}
