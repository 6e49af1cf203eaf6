import { printSql } from '../../../core/expression/index.js';
import { BOOLEAN } from '../../../core/schema/types.js';
import type { OfflineStore } from '../../../ports/offline-store.js';
import { recordDigests } from '../record-digests.js';
import { RESULT_BYTES, type SweepLimits, sweepRecords } from '../sweep-records.js';
import { quoteName } from '../text.js';
import { touchedRows } from '../touched-rows.js';
import { NumberBuffer, valueBuffer } from '../value-buffer.js';
import { enumOf, FEW_RECORDS, knownWithin } from './known.js';
import { type OfflineSession, scanSql } from './session.js';
import { joinKeysSql, typedSql } from './typed-columns.js';

/** What observations see of records. */
export function records(
  session: OfflineSession,
  limits: SweepLimits,
): Pick<
  OfflineStore,
  'touchedRows' | 'entities' | 'sweep' | 'column' | 'outcomes' | 'knownThrough' | 'recordDigests' | 'release'
> {
  const { db, lake, fresh } = session;
  /** Results that callers hold, until their observations are released. */
  let heldBytes = 0;
  return {
    touchedRows: async (table, scan) => {
      const keys = await joinKeysSql(session, table, scan.joinKeys);
      const state = await lake.state(scan.source);
      return touchedRows(db, table.id, keys, scan, state, (part) => lake.relation(part, scan.source));
    },

    entities: async (table, keys) => {
      const id = fresh('ent');
      const columns = await joinKeysSql(session, table, keys);
      const list = columns.map((sql, i) => `${sql} AS k${i}`).join(', ');
      const present = columns.map((_, i) => `k${i} IS NOT NULL`).join(' AND ');
      await db.run(
        `CREATE TEMP TABLE ${id} AS SELECT CAST(row_number() OVER () - 1 AS INTEGER) AS _e, * FROM (SELECT DISTINCT ${columns.map((_, i) => `k${i}`).join(', ')} FROM (SELECT ${list} FROM ${table.id}) WHERE ${present})`,
      );
      const joined = columns.map((_, i) => `e.k${i} = o.k${i}`).join(' AND ');
      const codes = new Int32Array(table.rows);
      // Each code finds its row here: to have DuckDB sort them costs more than the join.
      await db.stream(
        `SELECT CAST(o."_millrace_row" AS INTEGER), coalesce(e._e, -1) FROM (SELECT "_millrace_row", ${list} FROM ${table.id}) o LEFT JOIN ${id} e ON ${joined}`,
        ({ rows, columns: [row, code] }) => {
          const places = row!.data as Int32Array;
          const found = code!.data as Int32Array;
          for (let i = 0; i < rows; i++) codes[places[i]!] = found[i]!;
        },
      );
      const total = await db.rows<{ n: number }>(`SELECT count(*) AS n FROM ${id}`);
      return { id, entities: total[0]!.n, codes };
    },

    sweep: async (scan, table, wanted) => {
      const whole = await lake.state(scan.source);
      const known = await knownWithin(
        session,
        scan.source,
        scan.horizonSeq,
        scan.knowledge === 'hindsight',
        '"_event_time"',
        scan.within,
      );
      const state =
        scan.within === undefined
          ? whole
          : {
              ...whole,
              lastSeq: (await db.rows<{ n: number }>(`SELECT count(*) AS n FROM (${known})`))[0]!.n,
            };
      const texts = async (field: string) =>
        scan.within !== undefined || state.lastSeq < FEW_RECORDS
          ? null
          : enumOf(session, lake.relation(state, scan.source), field);
      const columns = await sweepRecords({ db, limits, state, known, texts, heldBytes }, scan, table, wanted);
      heldBytes += columns.length * table.rows * RESULT_BYTES;
      return columns;
    },

    column: async (table, name, type) => {
      const sql = await typedSql(session, table, name, type, `request.${name}`);
      const buffer = valueBuffer(type);
      await db.stream(`SELECT ${scanSql(type, sql)} FROM ${table.id} ORDER BY "_millrace_row"`, (chunk) =>
        buffer.append(chunk.columns[0]!, chunk.rows),
      );
      return buffer.finish();
    },

    outcomes: async (table, source, horizonSeq, expression) => {
      const state = await lake.state(source);
      const known = lake.knownSql(source, state, { horizonSeq, hindsight: true });
      const keys: string[] = [];
      for (const name of source.recordKey) {
        const type = source.fields.find((field) => field.name === name)!.type;
        keys.push(await typedSql(session, table, name, type, `the outcome's record key ${name}`));
      }
      const on = source.recordKey.map((name, i) => `r.${quoteName(name)} = o.k${i}`).join(' AND ');
      const type = expression?.type ?? BOOLEAN;
      const value =
        expression === null
          ? 'true'
          : printSql(expression, { dialect: 'duckdb', column: (slot) => `r.${quoteName(slot)}` });
      const values = valueBuffer(type);
      const found = new NumberBuffer(Uint8Array);
      const eventTime = new NumberBuffer();
      const availableAt = new NumberBuffer();
      await db.stream(
        `SELECT CASE WHEN r."_seq" IS NULL THEN NULL ELSE ${scanSql(type, value)} END, CAST(r."_seq" IS NOT NULL AS TINYINT), coalesce(r."_event_time", 0), coalesce(r."_available_at", 0) FROM (SELECT "_millrace_row", ${keys.map((sql, i) => `${sql} AS k${i}`).join(', ')} FROM ${table.id}) o LEFT JOIN (${known}) r ON ${on} ORDER BY o."_millrace_row"`,
        ({ rows, columns }) => {
          values.append(columns[0]!, rows);
          found.append(columns[1]!, rows);
          eventTime.append(columns[2]!, rows);
          availableAt.append(columns[3]!, rows);
        },
      );
      return {
        value: values.finish(),
        found: found.finish().values as unknown as Uint8Array,
        eventTime: eventTime.finish().values,
        availableAt: availableAt.finish().values,
      };
    },

    knownThrough: async (source, horizonSeq) => {
      const state = await lake.state(source);
      if (horizonSeq >= state.lastSeq) return state.maxAvailableAt;
      const found = await db.rows<{ at: number | null }>(
        `SELECT max("_available_at") AS at FROM (${lake.relation(state, source)}) WHERE "_seq" <= ${horizonSeq}`,
      );
      return found[0]?.at ?? null;
    },

    recordDigests: async (source, range, time) =>
      recordDigests(
        db,
        source,
        await lake.state(source),
        (state) => lake.relation(state, source),
        range,
        time,
      ),

    release: async (table) => {
      if ('at' in table) heldBytes = 0;
      await db.run(`DROP TABLE IF EXISTS ${table.id}`);
    },
  };
}
