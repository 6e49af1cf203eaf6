/**
 * Lookups inside DuckDB: for each observation the state with the greatest valid_from among those known
 * (docs/reference/semantics.md, sections 2 and 3), by one ASOF join. The same values and statuses as the sweep;
 * decisions/0014-latest-state.md has the proof.
 *
 * A state enters at `max(event_time, available_at)`. Of the states that have entered, the greatest in member order
 * counts; so only *steps* are kept: states that are the greatest when they enter. The newest step at t is the answer
 * unless it has left by then (a correction moved it away, a tombstone took it): such observations are *unsettled* and
 * are answered from all versions of their entities.
 */
import type { Source } from '../../core/define/types.js';
import type { Column, SweepColumn, SweepLookup } from '../../core/engine/types.js';
import { STATUS_NAMES } from '../../core/engine/types.js';
import { duckDbType, literalSql } from '../../core/schema/coerce-sql.js';
import type { Value } from '../../core/schema/types.js';
import type { HeldLookups } from '../../ports/offline-store.js';
import type { LogState } from '../../ports/record-log.js';
import type { DuckDb } from './connection.js';
import { quoteName } from './text.js';
import { NumberBuffer, type ValueBuffer } from './value-buffer.js';

/** More pairs of unsettled observations and versions than this are left to the sweep. */
const MOST_PAIRS = 50_000_000;
/** So many times fewer observations than records: the records of other entities are dropped first. */
const FEW_OBSERVATIONS = 8;

export interface LatestQuery {
  readonly source: Source;
  readonly state: LogState;
  readonly horizonSeq: number;
  readonly knowledge: 'as_of' | 'hindsight';
  readonly keyFields: readonly string[];
  readonly lookups: readonly SweepLookup[];
  /** Observations: columns r, k0.., t. */
  readonly observations: string;
  readonly observationRows: number;
  /** The latest observation; states after it are not read. */
  readonly lastAt: number;
  /** Least and greatest available_at - event_time in the log; null: not looked at, since it does not matter. */
  readonly lag: { readonly least: number; readonly greatest: number } | null;
  /** SQL of a field's value, over the alias `s`. */
  readonly value: (field: string) => string;
  /** The physical log of that snapshot. */
  readonly relation: string;
  /** Versions as intervals of knowledge, of the log or a part of it. */
  readonly known: (narrow?: (relation: string) => string) => string;
}

export interface LatestSql {
  /** One row for each observation: r, v0.., age (µs), st (STATUS code ok, empty or never_seen), unsettled. */
  readonly join: string;
  /** Could any observation be unsettled? Where not, `join` has no such column. */
  readonly unsettled: boolean;
  /** How many pairs answering the observations of `table` (r, k0.., t) would look at. */
  readonly pairs: (table: string) => string;
  /** The rows of `join` for the observations of `table`. */
  readonly settle: (table: string) => string;
}

/** Fields whose values are asked for, in the order of v0, v1, ... */
export const lookedUpFields = (lookups: readonly SweepLookup[]): readonly string[] => [
  ...new Set(lookups.filter(({ output }) => output === 'value').map(({ field }) => field)),
];

/** Is an age needed beside the values? */
const isAged = (lookups: readonly SweepLookup[]): boolean =>
  lookups.some(({ output, maxAge }) => output === 'age_seconds' || maxAge !== null);

/** At most one record of an entity at one event time. */
const uniqueTimes = (source: Source, keyFields: readonly string[]): boolean =>
  source.recordKey.every((field) => keyFields.includes(field) || field === source.eventTime);

/** Versions of one record share entity and event time, and no other record has them. */
const fixedPlace = (source: Source, keyFields: readonly string[]): boolean =>
  uniqueTimes(source, keyFields) &&
  source.recordKey.includes(source.eventTime) &&
  staysWithEntity(source, keyFields);

const staysWithEntity = (source: Source, keyFields: readonly string[]): boolean =>
  keyFields.every((field) => source.recordKey.includes(field));

function latestSql(query: LatestQuery): LatestSql {
  const { source, state, keyFields, lookups, lag } = query;
  const hindsight = query.knowledge === 'hindsight';
  const fields = lookedUpFields(lookups);
  const aged = isAged(lookups);
  const sequenced = source.sequence !== undefined;
  const keyList = keyFields.map((_, i) => `k${i}`).join(', ');
  const equal = keyFields.map((_, i) => `o.k${i} = s.k${i}`).join(' AND ');
  const keys = keyFields.map((field, i) => `s.${quoteName(field)} AS k${i}`).join(', ');
  const values = fields.map((field, i) => `, ${query.value(field)} AS v${i}`).join('');
  const valueNames = (alias: string): string => fields.map((_, i) => `, ${alias}.v${i}`).join('');
  const versions = state.hasVersions && !hindsight;
  // What the sweep takes for available_at where records are declared to be known on time.
  const onTime = source.availableAt.kind === 'event_time';
  const available = onTime ? 's."_event_time"' : 's."_available_at"';
  const raw = versions && fixedPlace(source, keyFields) && (!onTime || (lag !== null && isZero(lag)));

  const narrow =
    (table: string) =>
    (relation: string): string =>
      `SELECT s.* FROM (${relation}) s SEMI JOIN ${table} o ON ${keyFields
        .map((field, i) => `s.${quoteName(field)} = o.k${i}`)
        .join(' AND ')}`;
  const narrowable = !state.hasVersions || staysWithEntity(source, keyFields);
  const few = query.observationRows * FEW_OBSERVATIONS <= state.rows;
  const ofObserved = few ? narrow(`(${query.observations})`) : (relation: string): string => relation;

  const log = `SELECT * FROM (${query.relation}) WHERE "_seq" <= ${query.horizonSeq}`;
  const rows = raw
    ? ofObserved(log)
    : few && narrowable
      ? query.known(ofObserved)
      : ofObserved(query.known());
  const inTime = ` WHERE s."_event_time" <= ${query.lastAt}`;

  // Where all records are equally late, they enter in the order of their event times.
  const shift =
    hindsight || onTime || !lag || lag.greatest <= 0 ? 0 : lag.least === lag.greatest ? lag.least : null;
  const unique = !versions && uniqueTimes(source, keyFields);
  const enter =
    shift === null || versions
      ? onTime
        ? 's."_event_time"'
        : 'greatest(s."_event_time", s."_available_at")'
      : shift === 0
        ? 's."_event_time"'
        : `s."_event_time" + ${shift}`;
  const early = !hindsight && !onTime && lag !== null && lag.least < 0;

  const inOrder = !versions && shift !== null;
  // One event time is then one available_at: the append decides.
  const tied = inOrder && !unique && !sequenced && (onTime || (lag !== null && lag.least === lag.greatest));
  let states: string;
  let reached = 'o.t >= s.enter';
  if (inOrder && unique) {
    states = `SELECT ${keys}, ${enter} AS enter, s."_event_time" AS et${values} FROM (${rows}) s${inTime}`;
  } else if (tied) {
    states = `SELECT ${keys}, CAST(${enter} AS HUGEINT) * ${TWO_64} + s."_seq" AS enter, s."_event_time" AS et${values} FROM (${rows}) s${inTime}`;
    reached = `(CAST(o.t AS HUGEINT) + 1) * ${TWO_64} > s.enter`;
  } else {
    const ties = raw
      ? ['"_available_at"', '"_order"', '"_seq"']
      : unique
        ? []
        : sequenced
          ? ['"_order"', ...(onTime ? [] : ['"_available_at"']), '"_seq"']
          : [...(onTime ? [] : ['"_available_at"']), '"_seq"'];
    const rank =
      sequenced && !raw && !unique
        ? `CAST("_event_time" AS HUGEINT) * ${TWO_64} + "_order"`
        : '"_event_time"';
    const gone = raw ? ', s."_deleted" AS gone' : versions ? ', s."_until" AS leave' : '';
    const alive = versions && !raw ? ` AND (s."_until" IS NULL OR s."_until" > ${enter})` : '';
    const entering =
      `SELECT ${keys}, ${enter} AS enter, s."_event_time", ${available} AS "_available_at", s."_order", s."_seq"${gone}${values}` +
      ` FROM (${rows}) s${inTime}${alive}`;
    const ranked =
      `SELECT *, ${rank} AS rank, max(${rank}) OVER w AS top, lead(enter) OVER w AS following FROM (${entering})` +
      ` WINDOW w AS (PARTITION BY ${keyList} ORDER BY ${['enter', '"_event_time"', ...ties].join(', ')} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)`;
    const carried = raw ? ', s.gone' : versions ? ', s.leave' : '';
    states = `SELECT ${keyFields.map((_, i) => `s.k${i}`).join(', ')}, s.enter, s."_event_time" AS et${carried}${valueNames('s')} FROM (${ranked}) s WHERE s.rank = s.top AND s.following IS DISTINCT FROM s.enter`;
  }

  const doubts = [
    ...(raw ? ['s.gone IS TRUE'] : versions ? ['s.leave <= o.t'] : []),
    ...(hindsight || early ? ['s.enter IS NULL'] : []),
  ];
  const doubt = doubts.length === 0 ? '' : `, coalesce(${doubts.join(' OR ')}, false) AS unsettled`;
  const age = aged ? ', o.t - s.et AS age' : '';
  const join =
    `SELECT o.r${valueNames('s')}${age}, CAST(CASE WHEN s.enter IS NULL THEN 2 ELSE 0 END AS UTINYINT) AS st${doubt}` +
    ` FROM (${query.observations}) o ASOF LEFT JOIN (${states}) s ON ${equal} AND ${reached}`;

  const settle = (table: string): string => {
    const part = narrowable ? query.known(narrow(table)) : narrow(table)(query.known());
    const candidates = `SELECT ${keys}, ${available} AS "_available_at", s."_until", s."_event_time", s."_order", s."_seq"${values} FROM (${part}) s`;
    const order = sequenced
      ? '"_order" DESC, s."_available_at" DESC, s."_seq" DESC'
      : '"_available_at" DESC, s."_order" DESC, s."_seq" DESC';
    const known = hindsight
      ? 'true'
      : '(s."_available_at" <= o.t AND (s."_until" IS NULL OR o.t < s."_until"))';
    const best =
      `SELECT o.r, s.* FROM ${table} o JOIN (${candidates}) s ON ${equal} AND ${known}` +
      ` QUALIFY row_number() OVER (PARTITION BY o.r ORDER BY s."_event_time" <= o.t DESC, s."_event_time" DESC, s.${order}) = 1`;
    const here = 's."_event_time" <= o.t';
    const shown = fields.map((_, i) => `, CASE WHEN ${here} THEN s.v${i} END AS v${i}`).join('');
    const shownAge = aged ? `, CASE WHEN ${here} THEN o.t - s."_event_time" END AS age` : '';
    return (
      `SELECT o.r${shown}${shownAge}, CAST(CASE WHEN s.r IS NULL THEN 2 WHEN ${here} THEN 0 ELSE 1 END AS UTINYINT) AS st` +
      ` FROM ${table} o LEFT JOIN (${best}) s ON o.r = s.r`
    );
  };
  const pairs = (table: string): string => {
    const versionsOf = `SELECT ${keys} FROM (${narrow(table)(query.relation)}) s`;
    const counted = (from: string): string => `(SELECT ${keyList}, count(*) AS n FROM ${from} GROUP BY ALL)`;
    return `SELECT CAST(coalesce(sum(o.n * s.n), 0) AS DOUBLE) AS pairs FROM ${counted(table)} o JOIN ${counted(`(${versionsOf})`)} s ON ${equal}`;
  };
  return { join, unsettled: doubts.length > 0, pairs, settle };
}

const TWO_64 = 'CAST(18446744073709551616 AS HUGEINT)';

const isZero = (lag: { readonly least: number; readonly greatest: number }): boolean =>
  lag.least === 0 && lag.greatest === 0;

/** A lookup's STATUS code over the columns of `join`: ok 0, empty 1, never_seen 2, expired 3. */
function lookupStatusSql({ maxAge }: SweepLookup, alias: string): string {
  return maxAge === null
    ? `${alias}.st`
    : `CASE WHEN ${alias}.st = 0 AND ${alias}.age > ${maxAge} THEN CAST(3 AS UTINYINT) ELSE ${alias}.st END`;
}

/** A lookup's value over the columns of `join`: that of its field as held, or seconds; null where it is not `ok`. */
function lookupValueSql(lookup: SweepLookup, lookups: readonly SweepLookup[], alias: string): string {
  const { output, field, maxAge } = lookup;
  const value =
    output === 'age_seconds'
      ? `CAST(${alias}.age AS DOUBLE) / CAST(1e6 AS DOUBLE)`
      : `${alias}.v${lookedUpFields(lookups).indexOf(field)}`;
  return maxAge === null ? value : `CASE WHEN ${alias}.age <= ${maxAge} THEN ${value} END`;
}

/** Answers in a temporary table, one row for each observation in their order. */
export interface LatestTable extends HeldLookups {
  /** SQL of a lookup's value; `otherwise` stands where its status is not `ok`. */
  valueSql(name: string, otherwise: Value | undefined): string;
}

/** A column whose row i belongs to row places[i]. */
function placed(column: Column, places: Int32Array): Column {
  if (column.kind === 'values') {
    const values = new Array<Value>(places.length);
    for (let i = 0; i < places.length; i++) values[places[i]!] = column.values[i]!;
    return { ...column, values };
  }
  if (column.kind === 'codes') {
    const codes = new Int32Array(places.length);
    for (let i = 0; i < places.length; i++) codes[places[i]!] = column.codes[i]!;
    return { ...column, codes };
  }
  const values = new Float64Array(places.length);
  for (let i = 0; i < places.length; i++) values[places[i]!] = column.values[i]!;
  return { ...column, values, valid: column.valid && placedBytes(column.valid, places) };
}

function placedBytes(bytes: Uint8Array, places: Int32Array): Uint8Array {
  const out = new Uint8Array(places.length);
  for (let i = 0; i < places.length; i++) out[places[i]!] = bytes[i]!;
  return out;
}

/** How a looked-up value leaves DuckDB. */
export interface HeldValue {
  /** SQL of a lookup's held value → what `buffer` takes. */
  readonly read: (sql: string) => string;
  readonly buffer: () => ValueBuffer;
  /** One number a row: arrays take it quicker than a table. */
  readonly plain: boolean;
}

/**
 * Runs the query into a temporary table, one row for each observation in their order. Null when unsettled
 * observations would have to look at too many versions.
 */
export async function holdLatest(
  db: DuckDb,
  id: string,
  query: LatestQuery,
  values: readonly HeldValue[],
  release: () => Promise<void>,
): Promise<LatestTable | null> {
  const { lookups } = query;
  const sql = latestSql(query);
  const drop = (name: string): Promise<void> => db.run(`DROP TABLE IF EXISTS ${name}`);
  const giveUp = async (): Promise<null> => {
    for (const name of [`${id}_all`, `${id}_open`]) await drop(name);
    await release();
    return null;
  };
  let answers = sql.join;
  if (sql.unsettled) {
    await db.run(`CREATE TEMP TABLE ${id}_all AS ${sql.join}`);
    await db.run(
      `CREATE TEMP TABLE ${id}_open AS SELECT o.* FROM (${query.observations}) o SEMI JOIN (SELECT r FROM ${id}_all WHERE unsettled) u USING (r)`,
    );
    const [open] = await db.rows<{ n: number }>(`SELECT count(*) AS n FROM ${id}_open`);
    answers = `SELECT * EXCLUDE (unsettled) FROM ${id}_all`;
    if (open!.n > 0) {
      const [found] = await db.rows<{ pairs: number }>(sql.pairs(`${id}_open`));
      if (found!.pairs > MOST_PAIRS) return giveUp();
      answers = `${answers} WHERE NOT unsettled UNION ALL ${sql.settle(`${id}_open`)}`;
    }
  }
  const selected = (alias: string): string[] =>
    lookups.flatMap((lookup, i) => [
      values[i]!.read(lookupValueSql(lookup, lookups, alias)),
      lookupStatusSql(lookup, alias),
    ]);
  const gather = async (from: string): Promise<readonly SweepColumn[]> => {
    const rows = new NumberBuffer(Int32Array);
    const buffers = values.map((value) => value.buffer());
    const statuses = lookups.map(() => new NumberBuffer(Uint8Array));
    await db.stream(
      `SELECT CAST(h.r AS INTEGER), ${selected('h').join(', ')} FROM ${from} h`,
      ({ rows: size, columns }) => {
        rows.append(columns[0]!, size);
        for (let i = 0; i < lookups.length; i++) {
          buffers[i]!.append(columns[2 * i + 1]!, size);
          statuses[i]!.append(columns[2 * i + 2]!, size);
        }
      },
    );
    const places = rows.finish().values as unknown as Int32Array;
    return lookups.map(({ name }, i): SweepColumn => {
      const status = statuses[i]!.finish().values as unknown as Uint8Array;
      return { name, column: placed(buffers[i]!.finish(), places), status: placedBytes(status, places) };
    });
  };
  const plain = values.every((value) => value.plain);
  const columns = plain ? await gather(`(${answers})`) : null;
  if (!plain) await db.run(`CREATE TEMP TABLE ${id} AS SELECT * FROM (${answers}) ORDER BY r`);
  if (sql.unsettled) {
    await drop(`${id}_all`);
    await drop(`${id}_open`);
  }
  return {
    id,
    plain,
    columns: async () => columns ?? gather(id),
    statuses: async () => {
      const counts = new Map<string, Uint32Array>();
      for (const lookup of lookups) {
        const byCode = new Uint32Array(STATUS_NAMES.length);
        const rows = await db.rows<{ code: number; n: number }>(
          `SELECT ${lookupStatusSql(lookup, 'h')} AS code, count(*) AS n FROM ${id} h GROUP BY ALL`,
        );
        for (const { code, n } of rows) byCode[code] = n;
        counts.set(lookup.name, byCode);
      }
      return counts;
    },
    valueSql: (name, otherwise) => {
      const lookup = lookups.find((item) => item.name === name)!;
      const type = duckDbType(lookup.outputType);
      const value = `CAST(${lookupValueSql(lookup, lookups, id)} AS ${type})`;
      if (otherwise === undefined || otherwise === null) return value;
      return `CASE WHEN ${lookupStatusSql(lookup, id)} = 0 THEN ${value} ELSE ${literalSql(lookup.outputType, otherwise)} END`;
    },
    release: async () => {
      await drop(id);
      await release();
    },
  };
}
