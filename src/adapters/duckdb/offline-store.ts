import { rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import { nearest } from '../../core/base/nearest.js';
import { AT_COLUMN, type PartRule, PLACE_COLUMN } from '../../core/dataset/split.js';
import type { Source } from '../../core/define/types.js';
import { columnLength, columnValue } from '../../core/engine/columns.js';
import type { Column as EngineColumn } from '../../core/engine/types.js';
import { printSql } from '../../core/expression/index.js';
import { toCsv } from '../../core/schema/coerce-print.js';
import { coerceNativeSql, coerceSql, duckDbType, typeOfDuckDb } from '../../core/schema/coerce-sql.js';
import { BOOLEAN, printType, STRING, sameType, TIMESTAMP, type ValueType } from '../../core/schema/types.js';
import type { ObservationTable, OfflineStore, Period, TableFile } from '../../ports/offline-store.js';
import type { LogState } from '../../ports/record-log.js';
import { inspectWhole } from '../files/whole.js';
import type { CodedColumn, DuckDb, WriteColumn } from './connection.js';
import {
  type HeldValue,
  holdLatest,
  type LatestQuery,
  type LatestTable,
  lookedUpFields,
} from './latest-state.js';
import { interruptible } from './lazy.js';
import { recordDigests } from './record-digests.js';
import { sampleRows } from './row-sample.js';
import { ONE_THREAD, RESULT_BYTES, type SweepLimits, sweepRecords } from './sweep-records.js';
import { quoteName, quoteText } from './text.js';
import { touchedRows } from './touched-rows.js';
import { type ParentTable, transformSql } from './transform-sql.js';
import { codedBuffer, NumberBuffer, valueBuffer } from './value-buffer.js';

/** How the lake is read: SQL over committed segments. */
export interface LakeReader {
  state(source: Source): Promise<LogState>;
  /** Exactly the rows of that snapshot, with the fields of `source`; absent: of the project's source of that name. */
  relation(state: LogState, source?: Source): string;
  /**
   * Versions as intervals: the declared fields, `_seq`, `_order`, `_event_time`, `_available_at` and `_until`
   * (null: for ever). Superseded-at-once versions and tombstones are left out; nothing beyond the horizon is read.
   * With hindsight only the last version of each key that is no tombstone.
   */
  knownSql(
    source: Source,
    state: LogState,
    options: {
      readonly horizonSeq: number;
      readonly hindsight: boolean;
      /** A part of the log that holds every version of the records in it. */
      readonly narrow?: ((relation: string) => string) | undefined;
    },
  ): string;
}

interface HeldTable extends ObservationTable {
  /** SQL type name of each column as it is held. */
  readonly sqlTypes: ReadonlyMap<string, string>;
  readonly timezone: string;
  /** The observation's instant in microseconds. */
  readonly atSql: string;
}

const FORMATS: Readonly<Record<string, string>> = {
  csv: 'csv',
  tsv: 'csv',
  parquet: 'parquet',
  json: 'json',
  ndjson: 'json',
  jsonl: 'json',
};

function readerSql(file: string): string {
  const extension = file
    .replace(/\.(gz|zst)$/i, '')
    .split('.')
    .pop()!
    .toLowerCase();
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

const withinSql = (time: string, within: readonly Period[]): string =>
  within.length === 0
    ? 'false'
    : `(${within.map(({ from, to }) => `(${time} >= ${from} AND ${time} < ${to})`).join(' OR ')})`;

/** Rows of a file or of partitions as a relation of SQL. */
function tableSql(file: TableFile, { raw }: { readonly raw?: boolean } = {}): string {
  if (typeof file === 'string') return readerSql(file);
  const list = `[${file.files.map(quoteText).join(', ')}]`;
  const part = partSql(file.rule);
  const columns = raw
    ? '*'
    : `* EXCLUDE (${quoteName(AT_COLUMN)}, ${quoteName(PLACE_COLUMN)}), ${part} AS part`;
  return `(SELECT ${columns} FROM read_parquet(${list})${raw ? '' : ` WHERE ${part} IS NOT NULL`})`;
}

/** `partIndex` in SQL: the name of the part, null for none. */
function partSql(rule: PartRule): string {
  const name = (part: { readonly name: string }): string => quoteText(part.name);
  if (rule.by === 'all') return name(rule.parts[0]!);
  const last = name(rule.parts.at(-1)!);
  if (rule.by === 'place') {
    const cases = rule.parts
      .slice(0, -1)
      .map((part, i) => `WHEN ${quoteName(PLACE_COLUMN)} < ${rule.parts[i]!.below} THEN ${name(part)}`);
    return cases.length === 0 ? last : `CASE ${cases.join(' ')} ELSE ${last} END`;
  }
  const at = quoteName(AT_COLUMN);
  const cases = rule.parts
    .slice(0, -1)
    .map((part) =>
      part.until === null
        ? `WHEN true THEN ${name(part)}`
        : `WHEN ${at} < ${part.until} THEN CASE WHEN ${at} + ${rule.horizon} > ${part.until} THEN NULL ELSE ${name(part)} END`,
    );
  return cases.length === 0 ? last : `CASE ${cases.join(' ')} ELSE ${last} END`;
}

/** From so many different texts on, a column is read as text. */
const MANY_TEXTS = 4_096;
/** Below so many records a scan for the different texts costs more than it saves. */
const FEW_RECORDS = 200_000;

/** DuckDB keeps codes of so many texts in two bytes. */
const MOST_CODES = 65_535;
/** Values that are one number each. */
const PLAIN_KINDS: readonly string[] = ['int64', 'float64', 'timestamp', 'date', 'boolean'];

/** How many of a transform's newest records are held to their word. */
const CLAIMS = 1000;

/** The lake's type of a field, read as `type`: timestamps and dates as integers. */
const scanSql = (type: ValueType, column: string): string =>
  type.kind === 'timestamp' ? `epoch_us(${column})` : column;

export function createOfflineStore(
  db: DuckDb,
  lake: LakeReader,
  limits: SweepLimits = ONE_THREAD,
): OfflineStore {
  let count = 0;
  /** Results that callers hold, until their observations are released. */
  let heldBytes = 0;

  const hold = async (
    select: string,
    timeColumn: string,
    timeSql: (column: string, sqlType: string) => { readonly value: string },
    timezone: string,
    file: string | undefined,
  ): Promise<HeldTable> => {
    const id = `obs_${++count}`;
    await db.run(
      `CREATE TEMP TABLE ${id} AS SELECT (row_number() OVER ()) - 1 AS "_millrace_row", * FROM (${select})`,
    );
    const described = (await db.rows<{ column_name: string; column_type: string }>(`DESCRIBE ${id}`)).flatMap(
      ({ column_name: name, column_type: type }) => (name === '_millrace_row' ? [] : [{ name, type }]),
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
    // A table gives its rows in the order in which they were put in.
    const at = new NumberBuffer();
    await db.stream(`SELECT CAST(epoch_us(${time.value}) AS DOUBLE) FROM ${id}`, (chunk) =>
      at.append(chunk.columns[0]!, chunk.rows),
    );
    const numbers = at.finish();
    const bad =
      numbers.valid &&
      (await db.rows<{ row: number; text: string | null }>(
        `SELECT "_millrace_row" AS row, CAST(${quoteName(timeColumn)} AS VARCHAR) AS text FROM ${id} WHERE (${time.value}) IS NULL ORDER BY row LIMIT 1`,
      ));
    if (bad?.[0])
      throw new MillraceError(
        'USAGE',
        `observation ${bad[0].row + 1} has no valid time: ${timeColumn} is ${bad[0].text === null ? 'empty' : `"${bad[0].text}"`}`,
        {
          place: { ...(file === undefined ? {} : { file, line: bad[0].row + 2 }), path: timeColumn },
          hint: 'Give an ISO 8601 timestamp such as 2024-03-01T12:00:00Z.',
        },
      );
    return {
      id,
      rows: numbers.values.length,
      columns: described.map(({ name, type }) => ({ name, type: typeOfDuckDb(type) ?? STRING })),
      at: numbers.values,
      sqlTypes,
      timezone,
      atSql: `epoch_us(${time.value})`,
    };
  };

  /** The SQL of a held column in `type`, after a check that every value fits. */
  const typedSql = async (
    table: HeldTable,
    name: string,
    type: ValueType,
    purpose: string,
  ): Promise<string> => {
    const sqlType = table.sqlTypes.get(name);
    if (sqlType === undefined) {
      const near = nearest(name, table.sqlTypes.keys());
      throw new MillraceError('USAGE', `the observations have no column "${name}", which ${purpose} needs`, {
        hint: near
          ? `The nearest column is "${near}".`
          : `Their columns are ${[...table.sqlTypes.keys()].join(', ')}.`,
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
      `SELECT "_millrace_row" AS row, CAST(${quoteName(name)} AS VARCHAR) AS text FROM ${table.id} WHERE ${coerced.bad} LIMIT 1`,
    );
    if (bad[0])
      throw new MillraceError(
        'ENTITY_KEY_INVALID',
        `observation ${bad[0].row + 1}: ${name} is "${bad[0].text}", which is no ${printType(type)}`,
        {
          place: { path: name },
          hint: `${purpose} reads ${name} as ${printType(type)}. Mend the file or the field's type.`,
        },
      );
    return coerced.value;
  };

  const held = (table: ObservationTable): HeldTable => table as HeldTable;

  /** The texts of a column as an ENUM type, so that codes come from the scan; null when they are many. */
  const enumOf = async (
    relation: string,
    field: string,
  ): Promise<{ type: string; dictionary: string[] } | null> => {
    const type = `texts_${++count}`;
    const column = quoteName(field);
    const found = await db.rows<{ text: string }>(
      `SELECT ${column} AS text FROM (SELECT DISTINCT ${column} FROM (${relation}) WHERE ${column} IS NOT NULL LIMIT ${MANY_TEXTS}) ORDER BY text`,
    );
    if (found.length === 0 || found.length >= MANY_TEXTS) return null;
    const dictionary = found.map(({ text }) => text);
    await db.run(`CREATE TYPE ${type} AS ENUM (${dictionary.map(quoteText).join(', ')})`);
    return { type, dictionary };
  };

  /** The intervals of a source's records within some times, or all; narrowed before versions are arranged. */
  const knownWithin = async (
    source: Source,
    horizonSeq: number,
    hindsight: boolean,
    timeSql: string,
    within: readonly Period[] | undefined,
  ): Promise<string> => {
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
  };

  /** A query of the user's: it may take any time, so the signal ends it. */
  const write = async (query: string, file: string, signal: AbortSignal): Promise<void> => {
    const stop = interruptible(db, signal);
    try {
      await db.run(`COPY (${query}) TO ${quoteText(file)} (FORMAT parquet)`);
    } finally {
      stop();
    }
  };

  return {
    observationsFromFile: async (file, options) => {
      if (typeof file === 'string') await inspectWhole(file);
      const zone = { timezone: options.timezone, ambiguousTime: 'refuse' as const, nulls: [] };
      return hold(
        `SELECT * FROM ${tableSql(file)}`,
        options.time,
        (column, sqlType) =>
          sqlType === 'VARCHAR'
            ? coerceSql(TIMESTAMP, column, zone)
            : coerceNativeSql(TIMESTAMP, column, sqlType, zone),
        options.timezone,
        typeof file === 'string' ? file : undefined,
      );
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
      const known = await knownWithin(source, horizonSeq, true, `epoch_us(${time})`, options.within);
      return hold(
        `SELECT ${fields} FROM (${known}) WHERE (${where}) IS TRUE AND ${quoteName(options.time)} IS NOT NULL ORDER BY ${time}, "_seq"`,
        options.time,
        () => ({ value: time }),
        source.timezone,
        undefined,
      );
    },

    sample: async (table, rows, seed) => {
      if (rows === null || rows >= table.rows) return table;
      const { sqlTypes, timezone, columns, atSql } = held(table);
      const id = `obs_${++count}`;
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
      return { id, rows: at.length, columns, at, sqlTypes, timezone, atSql } as HeldTable;
    },

    touchedRows: async (table, scan) => {
      const keys: string[] = [];
      for (const key of scan.joinKeys)
        keys.push(await typedSql(held(table), key.name, key.type, `join key ${key.name}`));
      const state = await lake.state(scan.source);
      return touchedRows(db, table.id, keys, scan, state, (part) => lake.relation(part, scan.source));
    },

    pick: async (table, rows) => {
      const id = `obs_${++count}`;
      await db.writeTable(`${id}_rows`, [{ name: 'r', type: 'INTEGER', data: rows }]);
      await db.run(
        `CREATE TEMP TABLE ${id} AS SELECT (row_number() OVER ()) - 1 AS "_millrace_row", * EXCLUDE ("_millrace_row") FROM (SELECT * FROM ${table.id} SEMI JOIN ${id}_rows ON "_millrace_row" = r ORDER BY "_millrace_row"); DROP TABLE ${id}_rows`,
      );
      const at = Float64Array.from(rows, (row) => table.at[row]!);
      return { ...held(table), id, rows: rows.length, at };
    },

    entities: async (table, keys) => {
      const id = `ent_${++count}`;
      const columns: string[] = [];
      for (const key of keys)
        columns.push(await typedSql(held(table), key.name, key.type, `join key ${key.name}`));
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
          : enumOf(lake.relation(state, scan.source), field);
      const columns = await sweepRecords({ db, limits, state, known, texts, heldBytes }, scan, table, wanted);
      heldBytes += columns.length * table.rows * RESULT_BYTES;
      return columns;
    },

    lookups: async (table, scan) => {
      const { source, horizonSeq, lookups, keyFields } = scan;
      const state = await lake.state(source);
      const hindsight = scan.knowledge === 'hindsight';
      const relation = lake.relation(state, source);
      const keys: string[] = [];
      for (const [i, key] of scan.joinKeys.entries())
        keys.push(`${await typedSql(held(table), key.name, key.type, `join key ${key.name}`)} AS k${i}`);
      const typeOf = (name: string): ValueType => source.fields.find((field) => field.name === name)!.type;
      const enums = new Map<string, { type: string; dictionary: string[] }>();
      for (const field of lookedUpFields(lookups)) {
        if (typeOf(field).kind !== 'string' || state.lastSeq < FEW_RECORDS) continue;
        const texts = await enumOf(relation, field);
        if (texts) enums.set(field, texts);
      }
      const [lag] =
        source.availableAt.kind === 'event_time' && !state.hasVersions
          ? []
          : await db.rows<{ least: number | null; greatest: number | null }>(
              `SELECT min("_available_at" - "_event_time") AS least, max("_available_at" - "_event_time") AS greatest FROM (${relation})`,
            );
      let lastAt = 0;
      for (let row = 0; row < table.rows; row++)
        if (row === 0 || table.at[row]! > lastAt) lastAt = table.at[row]!;
      const query: LatestQuery = {
        source,
        state,
        horizonSeq,
        knowledge: scan.knowledge,
        keyFields,
        lookups,
        observations: `SELECT "_millrace_row" AS r, ${keys.join(', ')}, ${held(table).atSql} AS t FROM ${table.id}`,
        observationRows: table.rows,
        lastAt,
        lag: lag ? { least: lag.least ?? 0, greatest: lag.greatest ?? 0 } : null,
        value: (field) => {
          const texts = enums.get(field);
          return texts ? `CAST(s.${quoteName(field)} AS ${texts.type})` : `s.${quoteName(field)}`;
        },
        relation,
        known: (narrow) => lake.knownSql(source, state, { horizonSeq, hindsight, narrow }),
      };
      const values = lookups.map((lookup): HeldValue => {
        if (lookup.output === 'age_seconds')
          return { read: (sql) => sql, buffer: () => valueBuffer(lookup.outputType), plain: true };
        const texts = enums.get(lookup.field);
        if (texts)
          return {
            read: (sql) => `CAST(enum_code(${sql}) AS INTEGER)`,
            buffer: () => codedBuffer(lookup.outputType, texts.dictionary),
            plain: true,
          };
        return {
          read: (sql) => scanSql(lookup.outputType, sql),
          buffer: () => valueBuffer(lookup.outputType),
          plain: PLAIN_KINDS.includes(lookup.outputType.kind),
        };
      });
      return holdLatest(db, `held_${++count}`, query, values, async () => {
        for (const { type } of enums.values()) await db.run(`DROP TYPE ${type}`);
      });
    },

    column: async (table, name, type) => {
      const sql = await typedSql(held(table), name, type, `request.${name}`);
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
        keys.push(await typedSql(held(table), name, type, `the outcome's record key ${name}`));
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

    readColumns: async (file, columns, options = {}) => {
      const buffers = columns.map((column) => valueBuffer(column.type));
      const select = columns.map((column) => scanSql(column.type, quoteName(column.name))).join(', ');
      await db.stream(`SELECT ${select} FROM ${tableSql(file, options)}`, (chunk) => {
        for (const [i, buffer] of buffers.entries()) buffer.append(chunk.columns[i]!, chunk.rows);
      });
      return new Map(columns.map((column, i) => [column.name, buffers[i]!.finish()]));
    },

    sampleRows: (parts, wanted, out) => sampleRows(db, parts, wanted, out),

    copyRows: async (from, to, { columns, where }) => {
      await db.run(
        `COPY (SELECT ${columns.map(quoteName).join(', ')} FROM ${tableSql(from)}
          WHERE ${quoteName(where.column)} = ${quoteText(where.value)}) TO ${quoteText(to)} (FORMAT parquet)`,
      );
    },

    write: async (table, added, out) => {
      const folder = path.dirname(out.file);
      if (!(await stat(folder).catch(() => null))?.isDirectory())
        throw new MillraceError('FILE_NOT_FOUND', `there is no folder "${folder}" to write into`, {
          place: { file: out.file },
          hint: 'Make the folder first, or write elsewhere.',
        });
      const kept = out.rows;
      const columns = added.flatMap((item, i) =>
        'column' in item
          ? [codedColumn(`c${i}`, item.column) ?? writeColumn(`c${i}`, item.column, out.format)]
          : [],
      );
      const helds = [...new Set(added.flatMap((item) => ('held' in item ? [item.held.id] : [])))];
      if (kept) columns.push({ name: 'kept', type: 'BOOLEAN', data: kept });
      const provided = columns.length > 0 ? await db.provide(columns) : null;
      const passed = held(table).columns.filter(
        ({ name }) =>
          (out.only === undefined || out.only.includes(name)) && !added.some((item) => item.name === name),
      );
      const select = [
        ...passed.map(({ name, type }) => {
          const column = `o.${quoteName(name)}`;
          return out.format === 'csv' && type.kind === 'timestamp'
            ? `${isoSql(column)} AS ${quoteName(name)}`
            : column;
        }),
        ...added.map((item, i) =>
          'column' in item
            ? `${castSql(`o."_millrace_added".c${i}`, item.column.type, out.format)} AS ${quoteName(item.name)}`
            : `${(item.held as LatestTable).valueSql(item.name, item.default)} AS ${quoteName(item.name)}`,
        ),
      ];
      const observed = provided
        ? `(SELECT *, ${provided.name}("_millrace_row") AS "_millrace_added" FROM ${table.id}) o`
        : `${table.id} o`;
      const temporary = `${out.file}.${process.pid}.tmp`;
      const options =
        out.format === 'csv'
          ? "FORMAT csv, HEADER, DELIMITER ','"
          : "FORMAT parquet, COMPRESSION 'zstd', ROW_GROUP_SIZE 122880";
      await db.run(
        `COPY (SELECT ${select.join(', ')} FROM ${[observed, ...helds].join(' POSITIONAL JOIN ')}${kept ? ' WHERE o."_millrace_added".kept' : ''}) TO ${quoteText(temporary)} (${options})`,
      );
      await rename(temporary, out.file);
      provided?.release();
      const rows = kept ? kept.reduce((sum, bit) => sum + bit, 0) : table.rows;
      return { rows, bytes: (await stat(out.file)).size };
    },

    writeSlice: async (table, slice, added, out) => {
      const id = `add_${++count}`;
      const columns = added.map(({ column }, i) => writeColumn(`c${i}`, column, 'parquet'));
      await db.writeTable(id, [...columns, { name: 'kept', type: 'BOOLEAN', data: out.rows }]);
      const passed = held(table).columns.filter(({ name }) => !added.some((item) => item.name === name));
      const select = [
        ...passed.map(({ name }) => `o.${quoteName(name)}`),
        ...added.map(
          ({ name, column }, i) => `${castSql(`a.c${i}`, column.type, 'parquet')} AS ${quoteName(name)}`,
        ),
      ];
      const slot = `slice_${count}`;
      const temporary = `${out.file}.tmp`;
      // Through a table of its own: the rows then stand in chunks as if there were no others.
      await db.run(
        `CREATE TEMP TABLE ${slot} AS SELECT ${select.join(', ')} FROM (SELECT * FROM ${table.id} WHERE "_millrace_row" >= ${slice.from} AND "_millrace_row" < ${slice.to}) o POSITIONAL JOIN ${id} a WHERE a.kept`,
      );
      await db.run(
        `COPY ${slot} TO ${quoteText(temporary)} (FORMAT parquet, COMPRESSION 'zstd', ROW_GROUP_SIZE 122880)`,
      );
      await rename(temporary, out.file);
      await db.run(`DROP TABLE ${slot}; DROP TABLE ${id}`);
    },

    runSql: async (sql, parents, out) => {
      const tables: ParentTable[] = [];
      for (const parent of parents) {
        const state = await lake.state(parent);
        tables.push({
          parent,
          sql: lake.knownSql(parent, state, { horizonSeq: state.lastSeq, hindsight: true }),
        });
      }
      const order = ` ORDER BY ${out.orderBy.map(quoteName).join(', ')}`;
      await write(`${transformSql(sql, tables)}${order}`, out.file, out.signal);
    },

    runIncrement: async (transform, parents, out) => {
      if (transform.read.kind !== 'transform') return;
      const { sql } = transform.read;
      const touched = (parent: Source, state: LogState, after: number): string =>
        `SELECT DISTINCT ${parent.recordKey.map(quoteName).join(', ')} FROM (${lake.relation(state)}) WHERE "_seq" > ${after}`;
      const tables = async (before: boolean): Promise<ParentTable[]> => {
        const found: ParentTable[] = [];
        for (const { source: parent, after } of parents) {
          const state = await lake.state(parent);
          const keys = parent.recordKey.map(quoteName).join(', ');
          const known = lake.knownSql(parent, state, {
            horizonSeq: before ? after : state.lastSeq,
            hindsight: true,
            narrow: (relation) =>
              `SELECT * FROM (${relation}) SEMI JOIN (${touched(parent, state, after)}) USING (${keys})`,
          });
          found.push({ parent, sql: known });
        }
        return found;
      };
      const order = ` ORDER BY ${out.orderBy.map(quoteName).join(', ')}`;
      await write(`${transformSql(sql, await tables(false))}${order}`, out.file, out.signal);
      const before = transformSql(sql, await tables(true));
      const types = new Map(
        (
          await db.rows<{ name: string; type: string }>(
            `SELECT column_name AS name, column_type AS type FROM (DESCRIBE ${before})`,
          )
        ).map((column) => [column.name.toLowerCase(), column.type]),
      );
      const zone = { timezone: transform.timezone, ambiguousTime: transform.ambiguousTime, nulls: [] };
      const keys = transform.recordKey.map((name) => {
        const field = transform.fields.find((item) => item.name === name)!;
        const column = field.from ?? name;
        const type = types.get(column.toLowerCase()) ?? 'VARCHAR';
        return `${coerceNativeSql(field.type, quoteName(column), type, zone).value} AS ${quoteName(name)}`;
      });
      await write(`SELECT DISTINCT ${keys.join(', ')} FROM (${before})`, out.keys, out.signal);
    },

    claimsAt: async (transform, parents, horizons, at, scratch) => {
      if (transform.read.kind !== 'transform') return { records: 0, wrong: 0, newest: 0, newestWrong: 0 };
      const knownAt = async (source: Source): Promise<string> => {
        const state = await lake.state(source);
        const known = lake.knownSql(source, state, {
          horizonSeq: horizons.get(source.name) ?? state.lastSeq,
          hindsight: false,
        });
        return `SELECT * FROM (${known}) WHERE "_available_at" <= ${at} AND ("_until" IS NULL OR "_until" > ${at})`;
      };
      const tables: ParentTable[] = [];
      for (const parent of parents) tables.push({ parent, sql: await knownAt(parent) });
      // Through a file, as the transform's records went, so that both have passed the same conversions.
      await db.run(
        `COPY (${transformSql(transform.read.sql, tables)}) TO ${quoteText(scratch)} (FORMAT parquet)`,
      );
      const computed = `read_parquet(${quoteText(scratch)})`;
      const types = new Map(
        (
          await db.rows<{ name: string; type: string }>(
            `SELECT column_name AS name, column_type AS type FROM (DESCRIBE SELECT * FROM ${computed})`,
          )
        ).map((column) => [column.name, column.type]),
      );
      const zone = { timezone: transform.timezone, ambiguousTime: transform.ambiguousTime, nulls: [] };
      const fields = transform.fields.map((field, i) => ({
        field,
        name: quoteName(field.name),
        value: `v${i}`,
      }));
      const values = fields.map(
        ({ field, name, value }) =>
          `${coerceNativeSql(field.type, name, types.get(field.from ?? field.name) ?? 'VARCHAR', zone).value} AS ${value}`,
      );
      const key = (name: string): boolean => transform.recordKey.includes(name);
      const same = fields.map(({ field, name, value }) => ({
        key: key(field.name),
        // Sums of doubles may end on other last bits in another order.
        sql:
          field.type.kind === 'float64' && !key(field.name)
            ? `(c.${name} IS NOT DISTINCT FROM n.${value} OR abs(c.${name} - n.${value}) <= 1e-9 * greatest(1, abs(c.${name})))`
            : `c.${name} IS NOT DISTINCT FROM n.${value}`,
      }));
      const on = same
        .filter((item) => item.key)
        .map((item) => item.sql)
        .join(' AND ');
      const equal = same.map((item) => `(${item.sql}) IS TRUE`).join(' AND ');
      const [row] = await db.rows<{ records: number; wrong: number; newest: number; newest_wrong: number }>(
        `WITH claimed AS (SELECT *, "_available_at" = max("_available_at") OVER () AS "_newest" FROM (${await knownAt(transform)}) ORDER BY "_available_at" DESC LIMIT ${CLAIMS}),` +
          ` now AS (SELECT ${values.join(', ')}, true AS hit FROM ${computed}),` +
          ` judged AS (SELECT c."_seq", c."_newest", bool_or(coalesce(n.hit AND ${equal}, false)) AS fine FROM claimed c LEFT JOIN now n ON ${on} GROUP BY ALL)` +
          ' SELECT count(*) AS records, count(*) FILTER (NOT fine) AS wrong, count(*) FILTER ("_newest") AS newest, count(*) FILTER ("_newest" AND NOT fine) AS newest_wrong FROM judged',
      );
      return {
        records: row!.records,
        wrong: row!.wrong,
        newest: row!.newest,
        newestWrong: row!.newest_wrong,
      };
    },

    release: async (table) => {
      if ('at' in table) heldBytes = 0;
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

/** Texts that are codes already go as they are; null for what is not. */
function codedColumn(name: string, column: EngineColumn): CodedColumn | null {
  if (column.kind !== 'codes' || column.type.kind !== 'string') return null;
  const dictionary = column.dictionary as readonly string[];
  if (dictionary.length === 0 || dictionary.length > MOST_CODES) return null;
  if (new Set(dictionary).size < dictionary.length) return null;
  const rows = column.codes.length;
  // As wide as DuckDB's codes of so many texts.
  const data = dictionary.length < 256 ? new Uint8Array(rows) : new Uint16Array(rows);
  let valid: Uint8Array | null = null;
  for (let i = 0; i < rows; i++) {
    const code = column.codes[i]!;
    if (code >= 0) data[i] = code;
    else {
      valid ??= new Uint8Array(rows).fill(1);
      valid[i] = 0;
    }
  }
  return { name, type: 'ENUM', data, valid, dictionary };
}

function castSql(column: string, type: ValueType, format: 'csv' | 'parquet'): string {
  if (type.kind === 'string') return `CAST(${column} AS VARCHAR)`;
  if (format === 'csv' || type.kind === 'list' || type.kind === 'map') return column;
  return `CAST(${column} AS ${duckDbType(type)})`;
}
