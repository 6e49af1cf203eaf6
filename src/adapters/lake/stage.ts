import { MAX_INSTANT, MICROS_PER_DAY } from '../../core/base/time.js';
import type { FileFormat, RowRule, Source } from '../../core/define/types.js';
import { compileJsRow, isSqlExpressible, printSql } from '../../core/expression/index.js';
import {
  type ExpressionReadings,
  firstRepairsSql,
  itemsSql,
  judgedAction,
  judgedWhere,
  REPAIRS_TYPE,
  repairRules,
  rowChecksSql,
  tombstoneSql,
} from '../../core/quality/index.js';
import type { CoerceOptions } from '../../core/schema/coerce.js';
import {
  type CoerceSql,
  coerceNativeSql,
  coerceSql,
  duckDbType,
  NEVER,
} from '../../core/schema/coerce-sql.js';
import { inTimeFormatSql } from '../../core/schema/time-format.js';
import { quoteName, quoteText } from '../duckdb/text.js';
import { fastCoerce } from './fast-coerce.js';
import { type InputField, inputFields } from './shape.js';

/** A file made ready for SQL: where its rows are and what its columns are. */
export interface StagedInput {
  /** SELECT of `_line` and the raw columns; of a pile also `_file`, the numbers of its files in the batch. */
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
function clocksSql(
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

/** The column of the staged table that holds what was delivered for a field that rules may repair. */
export const deliveredColumn = (field: string): string => quoteName(`_was_${field}`);

/** A whole number that ascends with the rows of a batch: file by file, line by line. */
export const POSITION = '("_file"::BIGINT * 1099511627776 + "_line")';

/**
 * The staged table: one row for each row that could be split.
 * `_file`, `_line`, the input fields typed, `_event_time`, `_available_at`, `_deleted`, `_declared_order`,
 * `_reasons` (ids of what sends the row to quarantine), `_marks` (ids of the other broken rules); lists are null
 * when empty. Where the contract repairs: `_repairs` as in the log, `_open` (ids of broken rules whose repair needs
 * other records), and what was delivered for each field that may be repaired.
 */
export function createStagedSql(source: Source, table = 'staged'): string {
  const types = new Map(inputFields(source).map((field) => [field.name, duckDbType(field.type)]));
  const repairing = repairRules(source).fields;
  const columns = [
    '"_file" INTEGER',
    '"_line" BIGINT',
    ...[...types].map(([name, type]) => `${quoteName(name)} ${type}`),
    '"_event_time" BIGINT',
    '"_available_at" BIGINT',
    '"_deleted" BOOLEAN',
    '"_declared_order" BIGINT',
    '"_reasons" VARCHAR[]',
    '"_marks" VARCHAR[]',
    ...(repairing.length === 0
      ? []
      : [
          `"_repairs" ${REPAIRS_TYPE}`,
          '"_open" VARCHAR[]',
          ...repairing.map((name) => `${deliveredColumn(name)} ${types.get(name)}`),
        ]),
  ];
  return `CREATE OR REPLACE TEMP TABLE ${table} (${columns.join(', ')})`;
}

export const RANGE_RULE = 'available_at.range';

interface Judgement {
  /** Condition and id of what sends a row to quarantine. */
  readonly bad: (readonly [string, string])[];
  /** The same of the other rules. */
  readonly marks: (readonly [string, string])[];
}

/**
 * The rules of the contract over typed columns. `unread` gives the SQL that is true where the field's value could
 * not be read: it is null then, and its type reason already says why.
 */
function judgement(
  source: Source,
  column: (field: string) => string,
  available: string,
  unread: (field: string) => string | undefined,
): Judgement {
  const out: Judgement = { bad: [], marks: [] };
  for (const { rule, violated } of rowChecksSql(wideSource(source), column, READINGS.print)) {
    if (violated === undefined) continue;
    const broken = judgedWhere(rule, violated, unread);
    (judgedAction(rule) === 'quarantine' ? out.bad : out.marks).push([`(${broken})`, rule.id]);
  }
  if (source.availableAt.kind === 'delay')
    out.bad.push([
      `coalesce(${available} NOT BETWEEN -${MAX_INSTANT} AND ${MAX_INSTANT}, false)`,
      RANGE_RULE,
    ]);
  return out;
}

/** The ids of the conditions that hold; null when none does. `any`, a column, says whether one does. */
const idsSql = (items: readonly (readonly [string, string])[], any?: string): string =>
  itemsSql(
    'VARCHAR[]',
    items.map(([condition, id]) => [condition, quoteText(id)]),
    any,
  );

const anyOf = (items: readonly (readonly [string, string])[]): string =>
  items.map(([condition]) => condition).join(' OR ') || NEVER;

/** Judges the staged rows that waited for a repair anew. None of them has a value that could not be read. */
export function rejudgeSql(source: Source): string {
  const { bad, marks } = judgement(source, quoteName, '"_available_at"', () => undefined);
  return `UPDATE staged SET "_reasons" = ${idsSql(bad)}, "_marks" = ${idsSql(marks)} WHERE "_open" IS NOT NULL`;
}

/** A column in the form that its field's type reads: texts, JSON values and whole numbers of a declared time format as ISO text. */
export function writtenSql(
  field: Pick<InputField, 'type' | 'format'>,
  column: { readonly sql: string; readonly type: string },
): { readonly sql: string; readonly type: string } {
  if (field.format === undefined || !/^(VARCHAR|JSON|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?)$/i.test(column.type))
    return column;
  const text = column.type === 'JSON' ? `(${column.sql} ->> '$')` : `(${column.sql})::VARCHAR`;
  return { sql: inTimeFormatSql(field, text), type: 'VARCHAR' };
}

/** Adds the rows of one input to the staged table, in file order. */
export const insertStagedSql = (
  source: Source,
  input: StagedInput,
  file: number | '"_file"',
  now: number,
  table = 'staged',
): string => `INSERT INTO ${table} ${stagedSql(source, input, file, now)}`;

/**
 * A SELECT of the columns of the staged table over one input: types every row, repairs it and finds what is wrong with
 * it. `file`: the number of the input in its batch, or the column that has it. With `raw`, SQL over the raw columns, a column `_raw` holds it for every row that has reasons, and `_broken`
 * is true of the rows that have reasons or marks.
 */
export function stagedSql(
  source: Source,
  input: StagedInput,
  file: number | '"_file"',
  now: number,
  raw?: string,
): string {
  const fields = inputFields(source);
  const options = coerceOptions(source);
  const present = (field: InputField): string | undefined => {
    const name = field.from ?? field.name;
    return input.column(name).sql === '' ? undefined : name;
  };
  const readings = fields.map((field): CoerceSql | undefined => {
    const name = present(field);
    if (name === undefined) return undefined;
    const { sql, type } = writtenSql(field, input.column(name));
    return type === 'VARCHAR' && input.format === 'csv'
      ? fastCoerce(field.type, sql, coerceSql(field.type, sql, options), options)
      : coerceNativeSql(field.type, sql, type, options);
  });
  const typed = (index: number): string => `"_v${index}"`;
  const indexOf = new Map(fields.map((field, index) => [field.name, index]));
  const column = (name: string): string => typed(indexOf.get(name)!);
  const clocks = clocksSql(source, column);
  const available = clocks.available.replaceAll('$now', String(now));
  const refuses = readings.map((reading) => reading !== undefined && reading.bad !== NEVER);
  const unread = (name: string): string | undefined =>
    refuses[indexOf.get(name)!] ? `"_b${indexOf.get(name)!}"` : undefined;
  const { bad, marks } = judgement(source, column, available, unread);
  const types = fields.flatMap(({ name }, index): [string, string][] =>
    refuses[index] ? [[`"_b${index}"`, `${name}.type`]] : [],
  );
  const values = readings.map(
    (reading, index) =>
      `${reading?.value ?? `CAST(NULL AS ${duckDbType(fields[index]!.type)})`} AS ${typed(index)}`,
  );
  const bads = readings.flatMap((reading, index) =>
    refuses[index] ? [`${reading!.badOf(typed(index))} AS "_b${index}"`] : [],
  );
  const { fields: repairing, late } = repairRules(source);
  const repairs = firstRepairsSql(wideSource(source), column, READINGS.print, unread);
  const anyUnread = `(${anyOf(types)})`;
  const lateIds = new Set(late.map((rule) => rule.id));
  const delivered = repairing.map((name) => `${column(name)} AS "_d${indexOf.get(name)!}"`);
  const read =
    `SELECT ${['*', ...bads, ...delivered].join(', ')} FROM` +
    ` (SELECT *, ${values.join(', ')} FROM (${input.rawSql}))`;
  const repaired = repairs.layers.reduce((inner, layer) => `${layer} FROM (${inner})`, read);
  const reasons = [...types, ...bad.filter(([, id]) => !lateIds.has(id))];
  const judged = `SELECT *, ${anyOf(reasons)} AS "_refused", ${anyOf(marks)} AS "_marked" FROM (${repaired})`;
  const more =
    repairing.length === 0
      ? ''
      : `, ${repairs.repairs}, CASE WHEN NOT ${anyUnread} THEN ${repairs.open} END` +
        repairing.map((name) => `, "_d${indexOf.get(name)!}"`).join('');
  const columns = fields.map(
    ({ name, type }, index) => `CAST(${typed(index)} AS ${duckDbType(type)}) AS ${quoteName(name)}`,
  );
  const said =
    raw === undefined
      ? ''
      : `, CASE WHEN "_refused" THEN ${raw} END AS "_raw", "_refused" OR "_marked" AS "_broken"`;
  return (
    `SELECT CAST(${file} AS INTEGER) AS "_file", "_line", ${columns.join(', ')}, CAST(${clocks.event} AS BIGINT) AS "_event_time",` +
    ` CAST(${available} AS BIGINT) AS "_available_at", ${clocks.deleted} AS "_deleted",` +
    ` CAST(${clocks.order} AS BIGINT) AS "_declared_order", ${idsSql(reasons, '"_refused"')} AS "_reasons", ${idsSql(marks, '"_marked"')} AS "_marks"${said}${more}` +
    ` FROM (${judged})`
  );
}
