import { rename, stat } from 'node:fs/promises';
import { MillraceError } from '../../core/base/error.js';
import { nearest } from '../../core/base/nearest.js';
import type { Source } from '../../core/define/types.js';
import { columnLength, columnValue } from '../../core/engine/columns.js';
import type { Column as EngineColumn, RecordColumns } from '../../core/engine/types.js';
import { printSql } from '../../core/expression/index.js';
import { toCsv } from '../../core/schema/coerce-print.js';
import { coerceNativeSql, coerceSql, duckDbType, typeOfDuckDb } from '../../core/schema/coerce-sql.js';
import { BOOLEAN, printType, sameType, STRING, TIMESTAMP, type ValueType } from '../../core/schema/types.js';
import type { ObservationTable, OfflineStore, RecordScan } from '../../ports/offline-store.js';
import type { LogState } from '../../ports/record-log.js';
import { inspectWhole } from '../files/whole.js';
import { quoteName, quoteText, type DuckDb, type WriteColumn } from './connection.js';
import { NumberBuffer, valueBuffer } from './value-buffer.js';

/** How the lake is read: SQL over committed segments. */
export interface LakeReader {
  state(source: Source): Promise<LogState>;
  /** Exactly the rows of that snapshot. */
  relation(state: LogState): string;
  /**
   * Versions as intervals: the declared fields, `_seq`, `_order`, `_event_time`, `_available_at` and `_until`
   * (null: for ever). Superseded-at-once versions and tombstones are left out; nothing beyond the horizon is read.
   * With hindsight only the last version of each key that is no tombstone.
   */
  knownSql(source: Source, state: LogState, options: { readonly horizonSeq: number; readonly hindsight: boolean }): string;
}

interface HeldTable extends ObservationTable {
  /** SQL type name of each column as it is held. */
  readonly sqlTypes: ReadonlyMap<string, string>;
  readonly timezone: string;
}

const FORMATS: Readonly<Record<string, string>> = { csv: 'csv', tsv: 'csv', parquet: 'parquet', json: 'json', ndjson: 'json', jsonl: 'json' };

function readerSql(file: string): string {
  const extension = file.replace(/\.(gz|zst)$/i, '').split('.').pop()!.toLowerCase();
  const format = FORMATS[extension];
  const name = quoteText(file);
  if (format === 'csv')
    return `read_csv(${name}, all_varchar = true, header = true, allow_quoted_nulls = false, delim = ${extension === 'tsv' ? "'\t'" : "','"}, quote = '"', escape = '"', strict_mode = true)`;
  if (format === 'parquet') return `read_parquet(${name})`;
  if (format === 'json') return `read_json_auto(${name})`;
  throw new MillraceError('FORMAT_UNKNOWN', `cannot tell the format of "${file}"`, {
    place: { file },
    hint: 'Name it .csv, .parquet, .json or .ndjson (.gz and .zst may follow).',
  });
}

/** The lake's type of a field, read as `type`: timestamps and dates as integers. */
const scanSql = (type: ValueType, column: string): string => (type.kind === 'timestamp' ? `epoch_us(${column})` : column);

export function createOfflineStore(db: DuckDb, lake: LakeReader): OfflineStore {
  let count = 0;

  const hold = async (
    select: string,
    timeColumn: string,
    timeSql: (column: string, sqlType: string) => { value: string; bad: string },
    timezone: string,
    file: string | undefined,
  ): Promise<HeldTable> => {
    const id = `obs_${++count}`;
    await db.run(`CREATE TEMP TABLE ${id} AS SELECT (row_number() OVER ()) - 1 AS "_row", * FROM (${select})`);
    const described = await db.rows<{ name: string; type: string }>(
      `SELECT column_name AS name, data_type AS type FROM duckdb_columns() WHERE table_name = '${id}' AND column_name <> '_row' ORDER BY column_index`,
    );
    const sqlTypes = new Map(described.map((column) => [column.name, column.type]));
    if (!sqlTypes.has(timeColumn)) {
      await db.run(`DROP TABLE ${id}`);
      const near = nearest(timeColumn, sqlTypes.keys());
      throw new MillraceError('USAGE', `the observations have no column "${timeColumn}"`, {
        ...(file === undefined ? {} : { place: { file } }),
        hint: near ? `Did you mean --time ${near}?` : `Their columns are ${[...sqlTypes.keys()].join(', ')}.`,
      });
    }
    const time = timeSql(quoteName(timeColumn), sqlTypes.get(timeColumn)!);
    const bad = await db.rows<{ row: number; text: string | null }>(
      `SELECT "_row" AS row, CAST(${quoteName(timeColumn)} AS VARCHAR) AS text FROM ${id} WHERE (${time.bad}) OR (${time.value}) IS NULL LIMIT 1`,
    );
    if (bad[0])
      throw new MillraceError('USAGE', `observation ${bad[0].row + 1} has no valid time: ${timeColumn} is ${bad[0].text === null ? 'empty' : `"${bad[0].text}"`}`, {
        place: { ...(file === undefined ? {} : { file, line: bad[0].row + 2 }), path: timeColumn },
        hint: 'Give an ISO 8601 timestamp such as 2024-03-01T12:00:00Z.',
      });
    const at = new NumberBuffer();
    await db.stream(`SELECT epoch_us(${time.value}) FROM ${id} ORDER BY "_row"`, (chunk) => at.append(chunk.columns[0]!, chunk.rows));
    const numbers = at.finish();
    return {
      id,
      rows: numbers.values.length,
      columns: described.map(({ name, type }) => ({ name, type: typeOfDuckDb(type) ?? STRING })),
      at: numbers.values,
      sqlTypes,
      timezone,
    };
  };

  /** The SQL of a held column in `type`, after a check that every value fits. */
  const typedSql = async (table: HeldTable, name: string, type: ValueType, purpose: string): Promise<string> => {
    const sqlType = table.sqlTypes.get(name);
    if (sqlType === undefined) {
      const near = nearest(name, table.sqlTypes.keys());
      throw new MillraceError('USAGE', `the observations have no column "${name}", which ${purpose} needs`, {
        hint: near ? `The nearest column is "${near}".` : `Their columns are ${[...table.sqlTypes.keys()].join(', ')}.`,
      });
    }
    const present = typeOfDuckDb(sqlType);
    if (present && sameType(present, type)) return quoteName(name);
    const options = { timezone: table.timezone, ambiguousTime: 'refuse' as const, nulls: [] };
    const coerced =
      sqlType === 'VARCHAR'
        ? coerceSql(type, quoteName(name), options)
        : coerceNativeSql(type, quoteName(name), sqlType, options);
    const bad = await db.rows<{ row: number; text: string }>(
      `SELECT "_row" AS row, CAST(${quoteName(name)} AS VARCHAR) AS text FROM ${table.id} WHERE ${coerced.bad} LIMIT 1`,
    );
    if (bad[0])
      throw new MillraceError('ENTITY_KEY_INVALID', `observation ${bad[0].row + 1}: ${name} is "${bad[0].text}", which is no ${printType(type)}`, {
        place: { path: name },
        hint: `${purpose} reads ${name} as ${printType(type)}. Mend the file or the field's type.`,
      });
    return coerced.value;
  };

  const held = (table: ObservationTable): HeldTable => table as HeldTable;

  return {
    observationsFromFile: async (file, options) => {
      await inspectWhole(file);
      const zone = { timezone: options.timezone, ambiguousTime: 'refuse' as const, nulls: [] };
      return hold(
        `SELECT * FROM ${readerSql(file)}`,
        options.time,
        (column, sqlType) =>
          sqlType === 'VARCHAR' ? coerceSql(TIMESTAMP, column, zone) : coerceNativeSql(TIMESTAMP, column, sqlType, zone),
        options.timezone,
        file,
      );
    },

    observationsFromSource: async (source, horizonSeq, options) => {
      const state = await lake.state(source);
      const fields = source.fields.map((field) => quoteName(field.name)).join(', ');
      const where =
        options.where === null ? 'true' : printSql(options.where, { dialect: 'duckdb', column: (slot) => quoteName(slot) });
      const known = lake.knownSql(source, state, { horizonSeq, hindsight: true });
      const field = source.fields.find((item) => item.name === options.time)!;
      const time = field.type.kind === 'date' ? `CAST(${quoteName(options.time)} AS TIMESTAMPTZ)` : quoteName(options.time);
      return hold(
        `SELECT ${fields} FROM (${known}) WHERE (${where}) IS TRUE AND ${quoteName(options.time)} IS NOT NULL ORDER BY ${time}, "_seq"`,
        options.time,
        () => ({ value: time, bad: 'false' }),
        source.timezone,
        undefined,
      );
    },

    sample: async (table, rows, seed) => {
      if (rows === null || rows >= table.rows) return table;
      const { sqlTypes, timezone, columns } = held(table);
      const id = `obs_${++count}`;
      await db.run(
        `CREATE TEMP TABLE ${id} AS SELECT (row_number() OVER (ORDER BY "_row")) - 1 AS "_row", "_row" AS "_from", * EXCLUDE ("_row") FROM ${table.id} ORDER BY hash("_row", ${Math.floor(seed)}) LIMIT ${Math.floor(rows)}`,
      );
      await db.run(`CREATE OR REPLACE TEMP TABLE ${id} AS SELECT (row_number() OVER (ORDER BY "_from")) - 1 AS "_row", * EXCLUDE ("_row") FROM ${id} ORDER BY "_from"`);
      const chosen = new NumberBuffer();
      await db.stream(`SELECT "_from" FROM ${id} ORDER BY "_row"`, (chunk) => chosen.append(chunk.columns[0]!, chunk.rows));
      const at = chosen.finish().values.map((row) => table.at[row]!);
      await db.run(`DROP TABLE ${table.id}`);
      return { id, rows: at.length, columns, at, sqlTypes, timezone } as HeldTable;
    },

    entities: async (table, keys) => {
      const id = `ent_${++count}`;
      const columns: string[] = [];
      for (const key of keys) columns.push(await typedSql(held(table), key.name, key.type, `join key ${key.name}`));
      const list = columns.map((sql, i) => `${sql} AS k${i}`).join(', ');
      const present = columns.map((_, i) => `k${i} IS NOT NULL`).join(' AND ');
      await db.run(
        `CREATE TEMP TABLE ${id} AS SELECT CAST(row_number() OVER () - 1 AS INTEGER) AS _e, * FROM (SELECT DISTINCT ${columns.map((_, i) => `k${i}`).join(', ')} FROM (SELECT ${list} FROM ${table.id}) WHERE ${present})`,
      );
      const joined = columns.map((_, i) => `e.k${i} = o.k${i}`).join(' AND ');
      const codes = new Int32Array(table.rows);
      let at = 0;
      await db.stream(
        `SELECT coalesce(e._e, -1) FROM (SELECT "_row", ${list} FROM ${table.id}) o LEFT JOIN ${id} e ON ${joined} ORDER BY o."_row"`,
        (chunk) => {
          codes.set(chunk.columns[0]!.data as Int32Array, at);
          at += chunk.rows;
        },
      );
      const total = await db.rows<{ n: number }>(`SELECT count(*) AS n FROM ${id}`);
      return { id, entities: total[0]!.n, codes };
    },

    records: async (scan: RecordScan): Promise<RecordColumns> => {
      const { source } = scan;
      const state = await lake.state(source);
      const hindsight = scan.knowledge === 'hindsight';
      const known = lake.knownSql(source, state, { horizonSeq: scan.horizonSeq, hindsight });
      const withUntil = !hindsight && state.hasVersions;
      const predicates = [...scan.predicates];
      const fieldTypes = scan.fields.map((name) => source.fields.find((field) => field.name === name)!);
      const select = [
        'e._e',
        'r."_event_time"',
        hindsight ? 'CAST(-9007199254740991 AS BIGINT)' : 'r."_available_at"',
        'r."_order"',
        ...(withUntil ? ['coalesce(r."_until", 9007199254740991)'] : []),
        ...predicates.map(
          ([, expression]) =>
            `CAST(coalesce(CAST((${printSql(expression, { dialect: 'duckdb', column: (slot) => `r.${quoteName(slot)}` })}) AS INTEGER), 2) AS TINYINT)`,
        ),
        ...fieldTypes.map((field) => scanSql(field.type, `r.${quoteName(field.name)}`)),
      ];
      const on = scan.keyFields.map((field, i) => `r.${quoteName(field)} = e.k${i}`).join(' AND ');
      const bounds = [
        ...(scan.eventTimes.min === null ? [] : [`r."_event_time" >= ${scan.eventTimes.min}`]),
        ...(scan.eventTimes.max === null ? [] : [`r."_event_time" <= ${scan.eventTimes.max}`]),
      ];
      const entity = new NumberBuffer(Int32Array);
      const times = [new NumberBuffer(), new NumberBuffer(), new NumberBuffer()];
      const until = new NumberBuffer();
      const masks = predicates.map(() => new NumberBuffer(Uint8Array));
      const values = fieldTypes.map((field) => valueBuffer(field.type));
      await db.stream(
        `SELECT ${select.join(', ')} FROM (${known}) r JOIN ${scan.entities.id} e ON ${on}${bounds.length > 0 ? ` WHERE ${bounds.join(' AND ')}` : ''}`,
        ({ rows, columns }) => {
          let i = 0;
          entity.append(columns[i++]!, rows);
          for (const buffer of times) buffer.append(columns[i++]!, rows);
          if (withUntil) until.append(columns[i++]!, rows);
          for (const buffer of masks) buffer.append(columns[i++]!, rows);
          for (const buffer of values) buffer.append(columns[i++]!, rows);
        },
      );
      const codes = entity.finish().values as unknown as Int32Array;
      const expiry = withUntil ? until.finish().values : null;
      if (expiry) for (let i = 0; i < expiry.length; i++) if (expiry[i] === Number.MAX_SAFE_INTEGER) expiry[i] = Number.POSITIVE_INFINITY;
      const available = times[1]!.finish().values;
      return {
        rows: codes.length,
        entity: codes,
        eventTime: times[0]!.finish().values,
        availableAt: available,
        seq: times[2]!.finish().values,
        until: expiry,
        sequenced: source.sequence !== undefined,
        columns: new Map(scan.fields.map((name, i) => [name, values[i]!.finish()])),
        masks: new Map(predicates.map(([text], i) => [text, masks[i]!.finish().values as unknown as Uint8Array])),
      };
    },

    column: async (table, name, type) => {
      const sql = await typedSql(held(table), name, type, `request.${name}`);
      const buffer = valueBuffer(type);
      await db.stream(`SELECT ${scanSql(type, sql)} FROM ${table.id} ORDER BY "_row"`, (chunk) => buffer.append(chunk.columns[0]!, chunk.rows));
      return buffer.finish();
    },

    outcomes: async (table, source, horizonSeq, expression) => {
      const state = await lake.state(source);
      const known = lake.knownSql(source, state, { horizonSeq, hindsight: true });
      const keys: string[] = [];
      for (const name of source.recordKey) {
        const type = source.fields.find((field) => field.name === name)!.type;
        keys.push(await typedSql(held(table), name, type, `the outcome's record key ${name}`));
      }
      const on = source.recordKey.map((name, i) => `r.${quoteName(name)} = o.k${i}`).join(' AND ');
      const type = expression?.type ?? BOOLEAN;
      const value = expression === null ? 'true' : printSql(expression, { dialect: 'duckdb', column: (slot) => `r.${quoteName(slot)}` });
      const values = valueBuffer(type);
      const found = new NumberBuffer(Uint8Array);
      const eventTime = new NumberBuffer();
      const availableAt = new NumberBuffer();
      await db.stream(
        `SELECT CASE WHEN r."_seq" IS NULL THEN NULL ELSE ${scanSql(type, value)} END, CAST(r."_seq" IS NOT NULL AS TINYINT), coalesce(r."_event_time", 0), coalesce(r."_available_at", 0) FROM (SELECT "_row", ${keys.map((sql, i) => `${sql} AS k${i}`).join(', ')} FROM ${table.id}) o LEFT JOIN (${known}) r ON ${on} ORDER BY o."_row"`,
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
        `SELECT max("_available_at") AS at FROM (${lake.relation(state)}) WHERE "_seq" <= ${horizonSeq}`,
      );
      return found[0]?.at ?? null;
    },

    readColumns: async (file, columns) => {
      const buffers = columns.map((column) => valueBuffer(column.type));
      const select = columns.map((column) => scanSql(column.type, quoteName(column.name))).join(', ');
      await db.stream(`SELECT ${select} FROM read_parquet(${quoteText(file)})`, (chunk) => {
        for (const [i, buffer] of buffers.entries()) buffer.append(chunk.columns[i]!, chunk.rows);
      });
      return new Map(columns.map((column, i) => [column.name, buffers[i]!.finish()]));
    },

    write: async (table, added, out) => {
      const id = `add_${++count}`;
      const kept = out.rows;
      const columns: WriteColumn[] = added.map(({ column }, i) => writeColumn(`c${i}`, column, out.format));
      if (kept) columns.push({ name: 'kept', type: 'BOOLEAN', data: kept });
      // A table needs a column; the row numbers serve when nothing else is added.
      if (columns.length === 0) columns.push({ name: 'kept', type: 'BOOLEAN', data: new Uint8Array(table.rows).fill(1) });
      await db.writeTable(id, columns);
      const passed = held(table).columns.filter(({ name }) => (out.only === undefined || out.only.includes(name)) && !added.some((item) => item.name === name));
      const select = [
        ...passed.map(({ name, type }) => {
          const column = `o.${quoteName(name)}`;
          return out.format === 'csv' && type.kind === 'timestamp' ? `${isoSql(column)} AS ${quoteName(name)}` : column;
        }),
        ...added.map(({ name, column }, i) => `${castSql(`a.c${i}`, column.type, out.format)} AS ${quoteName(name)}`),
      ];
      const temporary = `${out.file}.${process.pid}.tmp`;
      const options = out.format === 'csv' ? "FORMAT csv, HEADER, DELIMITER ','" : "FORMAT parquet, COMPRESSION 'zstd', ROW_GROUP_SIZE 122880";
      await db.run(
        `COPY (SELECT ${select.join(', ')} FROM ${table.id} o POSITIONAL JOIN ${id} a${kept ? ' WHERE a.kept' : ''}) TO ${quoteText(temporary)} (${options})`,
      );
      await rename(temporary, out.file);
      await db.run(`DROP TABLE ${quoteName(id)}`);
      const rows = kept ? kept.reduce((sum, bit) => sum + bit, 0) : table.rows;
      return { rows, bytes: (await stat(out.file)).size };
    },

    runSql: async (sql, parents, out) => {
      const tables: string[] = [];
      for (const parent of parents) {
        const state = await lake.state(parent);
        const fields = parent.fields.map((field) => quoteName(field.name)).join(', ');
        tables.push(`${quoteName(parent.name)} AS (SELECT ${fields}, "_available_at", "_event_time" FROM (${lake.knownSql(parent, state, { horizonSeq: state.lastSeq, hindsight: true })}))`);
      }
      const order = out.orderBy.map(quoteName).join(', ');
      await db.run(
        `COPY (WITH ${tables.join(', ')} SELECT * FROM (${sql.trim().replace(/;$/, '')}) ORDER BY ${order}) TO ${quoteText(out.file)} (FORMAT parquet)`,
      );
    },

    release: async (table) => {
      await db.run(`DROP TABLE IF EXISTS ${table.id}`);
    },
    close: async () => db.close(),
  };
}

const isoSql = (column: string): string =>
  `regexp_replace(strftime(${column}, '%Y-%m-%dT%H:%M:%S.%f'), '(\\.000000|(\\.\\d{3})000)$', '\\2') || 'Z'`;

/** The engine's column as DuckDB takes it; what has no plain form there goes as text. */
function writeColumn(name: string, column: EngineColumn, format: 'csv' | 'parquet'): WriteColumn {
  const kind = column.type.kind;
  const textual = format === 'csv' ? kind !== 'float64' && kind !== 'int64' : false;
  if (column.kind === 'numbers' && !textual) {
    const { values, valid } = column;
    if (kind === 'float64') return { name, type: 'DOUBLE', data: values, valid };
    if (kind === 'int64') return { name, type: 'BIGINT', data: values, valid };
    if (kind === 'timestamp') return { name, type: 'TIMESTAMPTZ', data: values, valid };
    if (kind === 'date') return { name, type: 'DATE', data: Int32Array.from(values), valid };
    if (kind === 'boolean') return { name, type: 'BOOLEAN', data: Uint8Array.from(values), valid };
  }
  const rows = columnLength(column);
  const text: (string | null)[] = new Array(rows);
  for (let i = 0; i < rows; i++) {
    const value = columnValue(column, i);
    text[i] = value === null ? null : kind === 'string' ? (value as string) : toCsv(column.type, value);
  }
  return { name, type: 'VARCHAR', data: text };
}

function castSql(column: string, type: ValueType, format: 'csv' | 'parquet'): string {
  if (format === 'csv' || type.kind === 'string' || type.kind === 'list' || type.kind === 'map') return column;
  return `CAST(${column} AS ${duckDbType(type)})`;
}
