/** What imputations put in the place of a value: means and medians as they were taken, and last known values. */
import type { Instant } from '../../core/base/time.js';
import type { Source } from '../../core/define/types.js';
import {
  decodeSql,
  decodeValue,
  encodeSql,
  encodeValue,
  meanOf,
  type RepairRule,
  rowRuleSql,
  typeOfField,
} from '../../core/quality/index.js';
import type { Value, ValueType } from '../../core/schema/types.js';
import type { DuckDbConnection } from '../duckdb/connection.js';
import { quoteName, quoteText } from '../duckdb/text.js';
import type { Ledger } from './ledger.js';
import { valueAt } from './records.js';
import { READINGS } from './stage.js';

/** A mean or median, and how many values it was taken from. */
export interface Taken {
  readonly value: Value;
  readonly count: number;
}

/** Conditions on records of the log: what was delivered for the field, and keeps the rule. */
function soundSql(source: Source, rule: RepairRule): string {
  const violated = rowRuleSql(rule, source.fields, quoteName, READINGS.print) ?? 'false';
  return (
    `${quoteName(rule.field)} IS NOT NULL AND NOT ${violated} AND` +
    ` ("_repairs" IS NULL OR NOT list_contains(list_transform("_repairs", lambda r: r.field), ${quoteText(rule.field)}))`
  );
}

/** The mean or median of a column of values that are not null. */
export async function takeStatistic(
  db: DuckDbConnection,
  rule: RepairRule,
  type: ValueType,
  valuesSql: string,
): Promise<Taken | undefined> {
  if (rule.impute?.kind === 'median') {
    const rows = await db.rows<{ count: number; value: string | null }>(
      `SELECT count(*) AS count, ${encodeSql(type, 'quantile_disc(value, 0.5)')} AS value FROM (${valuesSql}) AS t(value)`,
    );
    const { count, value } = rows[0]!;
    return value === null ? undefined : { value: decodeValue(type, value), count: Number(count) };
  }
  const mean = meanOf(type);
  await db.stream(valuesSql, ({ rows, columns }) => {
    for (let i = 0; i < rows; i++) mean.add(valueAt(type, columns[0]!, i));
  });
  return mean.finish();
}

export interface LogView {
  readonly db: DuckDbConnection;
  readonly ledger: Ledger;
  /** SELECT over everything in the log of the source. */
  readonly relation: string;
  readonly lastSeq: number;
}

/**
 * The mean or median that a rule imputes. It is taken from the log, kept, and taken again when the log has twice as
 * many records, or when the contract is another one. While the log has no such value, it is taken from the batch.
 */
export async function frozenValue(
  source: Source,
  rule: RepairRule,
  log: LogView,
  now: Instant,
  fromBatch: () => Promise<Taken | undefined>,
): Promise<Value | undefined> {
  const type = typeOfField(source.fields, rule.field);
  const { ledger, lastSeq } = log;
  const held = ledger.reference(source.name, rule.id, source.fingerprint);
  if (held && held.throughSeq > 0 && lastSeq >= held.throughSeq && lastSeq < 2 * held.throughSeq)
    return decodeValue(type, held.value);
  const fromLog =
    lastSeq === 0
      ? undefined
      : await takeStatistic(
          log.db,
          rule,
          type,
          `SELECT ${quoteName(rule.field)} FROM (${log.relation}) WHERE NOT "_deleted" AND ${soundSql(source, rule)}`,
        );
  const taken = fromLog ?? (await fromBatch());
  if (!taken) return undefined;
  ledger.keepReference(source.name, rule.id, source.fingerprint, {
    statistic: rule.impute!.kind,
    value: encodeValue(type, taken.value)!,
    count: taken.count,
    throughSeq: fromLog ? lastSeq : 0,
    at: now,
  });
  return taken.value;
}

export interface LastParts {
  /** Rows that lack a value: `_row`, the fields of `by`, `_event_time`, `_available_at`. */
  readonly wanting: string;
  /** Sound rows of the batch: `_row`, the fields of `by`, the field, `_event_time`, `_available_at`. */
  readonly batch: string;
  /** Known records of the log with `_until` and `_repairs` (see `knownSql`). */
  readonly known: string;
}

/**
 * A query of `_row` and `value` (as `encodeValue` writes it): for each row that lacks a value that of the record
 * before it. That is, among the records with the same `by` that happened no later and were known when the row was:
 * known records of the log, and rows of the batch that happened before or stand before it at the same instant; the
 * greatest by event time, available_at, batch after log, and position. A null in `by` matches nothing.
 */
export function lastSql(source: Source, rule: RepairRule, parts: LastParts): string {
  const by = rule.impute?.kind === 'last' ? rule.impute.by.map(quoteName) : [];
  const field = quoteName(rule.field);
  const columns = [...by, `${field} AS value`, '"_event_time"', '"_available_at"'].join(', ');
  const same = (left: string, right: string): string =>
    ['true', ...by.map((name) => `${left}.${name} = ${right}.${name}`)].join(' AND ');
  const group = ['1', ...by].join(', ');
  const order = '"_event_time" DESC, "_available_at" DESC, young DESC, place DESC';
  const known = (donor: string, row: string): string =>
    `${donor}."_available_at" <= ${row}."_available_at" AND coalesce(${row}."_available_at" < ${donor}."_until", true)` +
    ` AND (NOT ${donor}.young OR ${donor}."_event_time" < ${row}."_event_time" OR ${donor}.place < ${row}."_row")`;
  // Nearly always the donor that happened last will do: it is found in one ordered pass.
  const near = ['w."_row"', 'd.value', `(${known('d', 'w')}) AS fits`].join(', ');
  return (
    `WITH wanting AS MATERIALIZED (${parts.wanting}), donors AS MATERIALIZED (` +
    `SELECT ${columns}, "_until", false AS young, "_seq" AS place FROM (${parts.known}) WHERE ${soundSql(source, rule)}` +
    ` UNION ALL SELECT ${columns}, CAST(NULL AS BIGINT), true, "_row" FROM (${parts.batch})),` +
    ` newest AS (SELECT * FROM donors QUALIFY row_number() OVER (PARTITION BY ${group}, "_event_time" ORDER BY ${order}) = 1),` +
    ` near AS MATERIALIZED (SELECT ${near} FROM wanting w ASOF JOIN newest d ON ${same('w', 'd')} AND w."_event_time" >= d."_event_time"),` +
    ` far AS (SELECT w."_row", d.value, row_number() OVER (PARTITION BY w."_row" ORDER BY d."_event_time" DESC, d."_available_at" DESC, d.young DESC, d.place DESC) AS nth` +
    ` FROM wanting w JOIN donors d ON ${same('w', 'd')} AND w."_event_time" >= d."_event_time" AND ${known('d', 'w')}` +
    ' WHERE w."_row" IN (SELECT "_row" FROM near WHERE NOT fits))' +
    ` SELECT "_row", ${encodeSql(typeOfField(source.fields, rule.field), 'value')} AS value FROM` +
    ' (SELECT "_row", value FROM near WHERE fits UNION ALL SELECT "_row", value FROM far WHERE nth = 1)'
  );
}

/** A value of `encodeValue` as SQL of the field's type. */
export const frozenSql = (type: ValueType, value: Value): string =>
  decodeSql(type, quoteText(encodeValue(type, value)!));
