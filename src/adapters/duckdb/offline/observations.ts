import { MillraceError } from '../../../core/base/error.js';
import { nearest } from '../../../core/base/nearest.js';
import { printSql } from '../../../core/expression/index.js';
import { coerceNativeSql, coerceSql, typeOfDuckDb } from '../../../core/schema/coerce-sql.js';
import { STRING, TIMESTAMP } from '../../../core/schema/types.js';
import type { OfflineStore } from '../../../ports/offline-store.js';
import { inspectWhole } from '../../files/whole.js';
import { quoteName } from '../text.js';
import { NumberBuffer } from '../value-buffer.js';
import { knownWithin } from './known.js';
import { type HeldTable, held, type OfflineSession } from './session.js';
import { tableSql } from './table-sql.js';

/** What becomes observations: a query, and how its time column is read. */
interface Origin {
  readonly select: string;
  readonly time: string;
  readonly timeSql: (column: string, sqlType: string) => string;
  readonly timezone: string;
  readonly file?: string | undefined;
}

const noTime = ({ time, file }: Origin, columns: readonly string[]): MillraceError => {
  const near = nearest(time, columns);
  return new MillraceError('USAGE', `the observations have no column "${time}"`, {
    ...(file === undefined ? {} : { place: { file } }),
    hint: near ? `Did you mean --time ${near}?` : `Their columns are ${columns.join(', ')}.`,
  });
};

const badTime = ({ time, file }: Origin, row: number, text: string | null): MillraceError =>
  new MillraceError(
    'USAGE',
    `observation ${row + 1} has no valid time: ${time} is ${text === null ? 'empty' : `"${text}"`}`,
    {
      place: { ...(file === undefined ? {} : { file, line: row + 2 }), path: time },
      hint: 'Give an ISO 8601 timestamp such as 2024-03-01T12:00:00Z.',
    },
  );

async function hold({ db, fresh }: OfflineSession, origin: Origin): Promise<HeldTable> {
  const id = fresh('obs');
  await db.run(
    `CREATE TEMP TABLE ${id} AS SELECT (row_number() OVER ()) - 1 AS "_millrace_row", * FROM (${origin.select})`,
  );
  const described = (await db.rows<{ column_name: string; column_type: string }>(`DESCRIBE ${id}`)).flatMap(
    ({ column_name: name, column_type: type }) => (name === '_millrace_row' ? [] : [{ name, type }]),
  );
  const sqlTypes = new Map(described.map((column) => [column.name, column.type]));
  if (!sqlTypes.has(origin.time)) {
    await db.run(`DROP TABLE ${id}`);
    throw noTime(origin, [...sqlTypes.keys()]);
  }
  const column = quoteName(origin.time);
  const time = origin.timeSql(column, sqlTypes.get(origin.time)!);
  // A table gives its rows in the order in which they were put in.
  const at = new NumberBuffer();
  await db.stream(`SELECT CAST(epoch_us(${time}) AS DOUBLE) FROM ${id}`, (chunk) =>
    at.append(chunk.columns[0]!, chunk.rows),
  );
  const { values, valid } = at.finish();
  if (valid) {
    const [bad] = await db.rows<{ row: number; text: string | null }>(
      `SELECT "_millrace_row" AS row, CAST(${column} AS VARCHAR) AS text FROM ${id} WHERE (${time}) IS NULL ORDER BY row LIMIT 1`,
    );
    if (bad) throw badTime(origin, bad.row, bad.text);
  }
  return {
    id,
    rows: values.length,
    columns: described.map(({ name, type }) => ({ name, type: typeOfDuckDb(type) ?? STRING })),
    at: values,
    sqlTypes,
    timezone: origin.timezone,
    atSql: `epoch_us(${time})`,
  };
}

/** Observations: from where they come, and parts of them. */
export function observations(
  session: OfflineSession,
): Pick<OfflineStore, 'observationsFromFile' | 'observationsFromSource' | 'sample' | 'pick'> {
  const { db, fresh } = session;
  return {
    observationsFromFile: async (file, options) => {
      if (typeof file === 'string') await inspectWhole(file);
      const zone = { timezone: options.timezone, ambiguousTime: 'refuse' as const, nulls: [] };
      return hold(session, {
        select: `SELECT * FROM ${tableSql(file)}`,
        time: options.time,
        timeSql: (column, sqlType) =>
          (sqlType === 'VARCHAR'
            ? coerceSql(TIMESTAMP, column, zone)
            : coerceNativeSql(TIMESTAMP, column, sqlType, zone)
          ).value,
        timezone: options.timezone,
        file: typeof file === 'string' ? file : undefined,
      });
    },

    observationsFromSource: async (source, horizonSeq, options) => {
      const fields = source.fields.map((field) => quoteName(field.name)).join(', ');
      const where =
        options.where === null
          ? 'true'
          : printSql(options.where, { dialect: 'duckdb', column: (slot) => quoteName(slot) });
      const field = source.fields.find((item) => item.name === options.time)!;
      const time =
        field.type.kind === 'date'
          ? `CAST(${quoteName(options.time)} AS TIMESTAMPTZ)`
          : quoteName(options.time);
      const known = await knownWithin(session, source, horizonSeq, true, `epoch_us(${time})`, options.within);
      return hold(session, {
        select: `SELECT ${fields} FROM (${known}) WHERE (${where}) IS TRUE AND ${quoteName(options.time)} IS NOT NULL ORDER BY ${time}, "_seq"`,
        time: options.time,
        timeSql: () => time,
        timezone: source.timezone,
      });
    },

    sample: async (table, rows, seed) => {
      if (rows === null || rows >= table.rows) return table;
      const id = fresh('obs');
      await db.run(
        `CREATE TEMP TABLE ${id} AS SELECT (row_number() OVER (ORDER BY "_millrace_row")) - 1 AS "_millrace_row", "_millrace_row" AS "_from", * EXCLUDE ("_millrace_row") FROM ${table.id} ORDER BY hash("_millrace_row", ${Math.floor(seed)}) LIMIT ${Math.floor(rows)}`,
      );
      await db.run(
        `CREATE OR REPLACE TEMP TABLE ${id} AS SELECT (row_number() OVER (ORDER BY "_from")) - 1 AS "_millrace_row", * EXCLUDE ("_millrace_row") FROM ${id} ORDER BY "_from"`,
      );
      const chosen = new NumberBuffer();
      await db.stream(`SELECT "_from" FROM ${id} ORDER BY "_millrace_row"`, (chunk) =>
        chosen.append(chunk.columns[0]!, chunk.rows),
      );
      const at = chosen.finish().values.map((row) => table.at[row]!);
      await db.run(`DROP TABLE ${table.id}`);
      return { ...held(table), id, rows: at.length, at };
    },

    pick: async (table, rows) => {
      const id = fresh('obs');
      await db.writeTable(`${id}_rows`, [{ name: 'r', type: 'INTEGER', data: rows }]);
      await db.run(
        `CREATE TEMP TABLE ${id} AS SELECT (row_number() OVER ()) - 1 AS "_millrace_row", * EXCLUDE ("_millrace_row") FROM (SELECT * FROM ${table.id} SEMI JOIN ${id}_rows ON "_millrace_row" = r ORDER BY "_millrace_row"); DROP TABLE ${id}_rows`,
      );
      const at = Float64Array.from(rows, (row) => table.at[row]!);
      return { ...held(table), id, rows: rows.length, at };
    },
  };
}
