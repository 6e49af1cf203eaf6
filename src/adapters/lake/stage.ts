import { MAX_INSTANT, MICROS_PER_DAY } from '../../core/base/time.js';
import type { FileFormat, RowRule, Source } from '../../core/define/types.js';
import { compileJsRow, isSqlExpressible, printSql } from '../../core/expression/index.js';
import { type ExpressionReadings, rowChecksSql, tombstoneSql } from '../../core/quality/index.js';
import type { CoerceOptions } from '../../core/schema/coerce.js';
import { type CoerceSql, coerceNativeSql, coerceSql, duckDbType } from '../../core/schema/coerce-sql.js';
import { quoteName, quoteText } from '../duckdb/connection.js';
import { fastCoerce } from './fast-coerce.js';
import { type InputField, inputFields } from './shape.js';

/** A file made ready for SQL: where its rows are and what its columns are. */
export interface StagedInput {
  /** SELECT of `_line` and the raw columns. */
  readonly rawSql: string;
  /** SQL of a raw column under its name in the file; its DuckDB type (`VARCHAR` text, `JSON`, or native). */
  readonly column: (name: string) => { readonly sql: string; readonly type: string };
  readonly format: FileFormat;
}

export const READINGS: ExpressionReadings = {
  compile: (expression) => compileJsRow(expression),
  print: (expression, column) =>
    isSqlExpressible(expression) ? printSql(expression, { dialect: 'duckdb', column }) : undefined,
};

export const coerceOptions = (source: Source): CoerceOptions => ({
  timezone: source.timezone,
  ambiguousTime: source.ambiguousTime,
  nulls: source.read.kind === 'files' ? (source.read.nulls ?? []) : [],
});

/** The source with every column that it reads among its fields, so that rules can judge all of them. */
export const wideSource = (source: Source): Source => ({ ...source, fields: inputFields(source) });

const microsSql = (field: InputField, column: string): string =>
  field.type.kind === 'date'
    ? `(CAST(${column} - DATE '1970-01-01' AS BIGINT) * ${MICROS_PER_DAY})`
    : `epoch_us(${column})`;

/** SQL of event time, available_at, tombstone and declared order, over typed columns. */
export function clocksSql(
  source: Source,
  column: (field: string) => string,
): Readonly<Record<'event' | 'available' | 'deleted' | 'order', string>> {
  const fields = inputFields(source);
  const field = (name: string): InputField => fields.find((candidate) => candidate.name === name)!;
  const event = microsSql(field(source.eventTime), column(source.eventTime));
  const { availableAt } = source;
  const available = ((): string => {
    switch (availableAt.kind) {
      case 'event_time':
        return event;
      case 'field':
        return `coalesce(${microsSql(field(availableAt.field), column(availableAt.field))}, ${event})`;
      case 'delay':
        return `(${event} + ${availableAt.delay})`;
      case 'append':
        return '$now';
    }
  })();
  return {
    event,
    available,
    deleted: tombstoneSql(wideSource(source), column),
    order: source.sequence === undefined ? 'CAST(NULL AS BIGINT)' : column(source.sequence),
  };
}

/** Rules that SQL cannot judge: they are judged in TypeScript over the staged rows. */
export const scriptRules = (source: Source): readonly RowRule[] =>
  source.contract.rows.filter(
    (rule) => rule.check.kind === 'expression' && !isSqlExpressible(rule.check.expression),
  );

/**
 * The staged table: one row for each row that could be split.
 * `_file`, `_line`, the input fields typed, `_event_time`, `_available_at`, `_deleted`, `_declared_order`,
 * `_reasons` (ids of what sends the row to quarantine), `_marks` (ids of the other broken rules); lists are null
 * when empty.
 */
export function createStagedSql(source: Source): string {
  const columns = [
    '"_file" INTEGER',
    '"_line" BIGINT',
    ...inputFields(source).map((field) => `${quoteName(field.name)} ${duckDbType(field.type)}`),
    '"_event_time" BIGINT',
    '"_available_at" BIGINT',
    '"_deleted" BOOLEAN',
    '"_declared_order" BIGINT',
    '"_reasons" VARCHAR[]',
    '"_marks" VARCHAR[]',
  ];
  return `CREATE OR REPLACE TEMP TABLE staged (${columns.join(', ')})`;
}

const listSql = (items: readonly (readonly [string, string])[]): string =>
  items.length === 0
    ? 'CAST(NULL AS VARCHAR[])'
    : `CASE WHEN ${items.map(([condition]) => condition).join(' OR ')} THEN list_filter([${items
        .map(([condition, id]) => `CASE WHEN ${condition} THEN ${quoteText(id)} END`)
        .join(', ')}], lambda id: id IS NOT NULL) END`;

export const RANGE_RULE = 'available_at.range';

/** Types every row of one input, finds what is wrong with it and adds it to the staged table, in file order. */
export function insertStagedSql(source: Source, input: StagedInput, file: number, now: number): string {
  const fields = inputFields(source);
  const options = coerceOptions(source);
  const present = (field: InputField): string | undefined => {
    const name = field.from ?? field.name;
    return input.column(name).sql === '' ? undefined : name;
  };
  const readings = fields.map((field): CoerceSql | undefined => {
    const name = present(field);
    if (name === undefined) return undefined;
    const { sql, type } = input.column(name);
    return type === 'VARCHAR' && input.format === 'csv'
      ? fastCoerce(field.type, sql, coerceSql(field.type, sql, options), options)
      : coerceNativeSql(field.type, sql, type, options);
  });
  const typed = (index: number): string => `"_v${index}"`;
  const indexOf = new Map(fields.map((field, index) => [field.name, index]));
  const column = (name: string): string => typed(indexOf.get(name)!);
  const clocks = clocksSql(source, column);
  const available = clocks.available.replaceAll('$now', String(now));
  const bad: [string, string][] = [];
  for (const [index, reading] of readings.entries()) {
    if (reading) bad.push([`"_b${index}"`, `${fields[index]!.name}.type`]);
  }
  const marks: [string, string][] = [];
  for (const { rule, violated } of rowChecksSql(wideSource(source), column, READINGS.print)) {
    if (violated === undefined) continue;
    // A value that could not be read is null here; its type reason already says why.
    const index = rule.field === null ? undefined : indexOf.get(rule.field);
    const unread =
      rule.check.kind === 'not_null' && index !== undefined && readings[index] ? ` AND NOT "_b${index}"` : '';
    (rule.action === 'quarantine' ? bad : marks).push([`(${violated}${unread})`, rule.id]);
  }
  if (source.availableAt.kind === 'delay') {
    bad.push([`coalesce(${available} NOT BETWEEN -${MAX_INSTANT} AND ${MAX_INSTANT}, false)`, RANGE_RULE]);
  }
  const values = readings.map(
    (reading, index) =>
      `${reading?.value ?? `CAST(NULL AS ${duckDbType(fields[index]!.type)})`} AS ${typed(index)}`,
  );
  const bads = readings.flatMap((reading, index) =>
    reading ? [`${reading.badOf(typed(index))} AS "_b${index}"`] : [],
  );
  return (
    `INSERT INTO staged SELECT ${file}, "_line", ${fields.map((_, index) => typed(index)).join(', ')},` +
    ` ${clocks.event}, ${available}, ${clocks.deleted}, ${clocks.order}, ${listSql(bad)}, ${listSql(marks)}` +
    ` FROM (SELECT *, ${bads.join(', ')} FROM (SELECT *, ${values.join(', ')} FROM (${input.rawSql})))`
  );
}
