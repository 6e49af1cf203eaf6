/**
 * Repairs of single values: `cap` and `impute`. A repair belongs to the record: it is kept with the value that was
 * delivered, so that whoever reads the log sees one and the same repaired value.
 *
 * Order: caps and constants in the order of the rules; then means, medians and last values in the order of the
 * rules, for the rules that the record still broke; then all rules judge the record. What a repair could not mend
 * goes to quarantine. Tombstones are not repaired.
 */
import {
  addExact,
  addInteger,
  exactSum,
  exactValue,
  integerSum,
  integerValue,
  roundRatio,
  toInteger,
} from '../algebra/exact.js';
import type { Fingerprint } from '../base/fingerprint.js';
import type { RowRule, Source } from '../define/types.js';
import { printDecimal } from '../schema/coerce-print.js';
import { duckDbType, literalSql, quoteName, quoteText } from '../schema/coerce-sql.js';
import type { Value, ValueType } from '../schema/types.js';
import {
  compareValues,
  compileRule,
  type ExpressionReadings,
  effectiveContract,
  isTombstone,
  judgedWhere,
  looksAtNull,
  type Row,
  rowRuleSql,
  tombstoneSql,
  typeOfField,
} from './rules.js';

/** What was done to one value of a record. */
export interface Repair {
  readonly field: string;
  readonly rule: string;
  /** The value before this repair. */
  readonly original: Value;
  /** Fingerprint of the source whose contract had the rule. */
  readonly contract: Fingerprint;
}

export type RepairRule = RowRule & { readonly field: string };

/** The DuckDB type of `_repairs`. */
export const REPAIRS_TYPE = 'STRUCT(field VARCHAR, rule VARCHAR, original VARCHAR, contract VARCHAR)[]';

const isRepair = (rule: RowRule): rule is RepairRule =>
  rule.field !== null && (rule.action === 'cap' || rule.action === 'impute');

/** True for repairs that need other records. */
const isLate = ({ impute }: RowRule): boolean => impute !== undefined && impute.kind !== 'constant';

export interface RepairRules {
  /** Caps and constants. */
  readonly first: readonly RepairRule[];
  /** Means, medians and last values. */
  readonly late: readonly RepairRule[];
  /** Fields that any of them may change. */
  readonly fields: readonly string[];
}

export function repairRules(source: Source): RepairRules {
  const rules = effectiveContract(source).rows.filter(isRepair);
  return {
    first: rules.filter((rule) => !isLate(rule)),
    late: rules.filter(isLate),
    fields: [...new Set(rules.map((rule) => rule.field))],
  };
}

/** What a cap or a constant puts in the place of a value that breaks the rule. */
function replacement({ check, impute }: RepairRule, value: Value): Value {
  if (impute?.kind === 'constant') return impute.value;
  if (check.kind !== 'range') return value;
  return check.min !== undefined && compareValues(value, check.min) < 0 ? check.min : (check.max ?? value);
}

/** The same in SQL. */
function replacementSql({ check, impute }: RepairRule, type: ValueType, value: string): string {
  if (impute?.kind === 'constant') return literalSql(type, impute.value);
  if (check.kind !== 'range') return value;
  const { min, max } = check;
  const high = max === undefined ? value : literalSql(type, max);
  if (min === undefined) return high;
  const low = literalSql(type, min);
  return `CASE WHEN ${value} < ${low} THEN ${low} ELSE ${high} END`;
}

export interface LateRepair {
  readonly rule: RepairRule;
  /** False for tombstones, and when judging fails: then the rule counts as broken and nothing is repaired. */
  broken(row: Row): boolean;
}

export interface RowRepairs {
  /** Caps and constants; the row itself where there is nothing to do. `unread`: see `compileRowChecks`. */
  first(row: Row, unread?: ReadonlySet<string>): { readonly row: Row; readonly repairs: readonly Repair[] };
  readonly late: readonly LateRepair[];
}

/** One value put in the place of another, and what is kept of it. */
export function repaired(
  source: Source,
  rule: RepairRule,
  row: Row,
  value: Value,
): { readonly row: Row; readonly repair: Repair } {
  const original = row[rule.field] ?? null;
  return {
    row: { ...row, [rule.field]: value },
    repair: { field: rule.field, rule: rule.id, original, contract: source.fingerprint },
  };
}

/** The repairs of a contract over typed rows; undefined where it has none. */
export function compileRepairs(source: Source, readings: ExpressionReadings): RowRepairs | undefined {
  const { first, late, fields } = repairRules(source);
  if (fields.length === 0) return undefined;
  const compiled = (rule: RepairRule): LateRepair => {
    const judge = compileRule(rule, readings)!;
    const broken = (row: Row): boolean => {
      try {
        return judge(row);
      } catch {
        return false;
      }
    };
    return { rule, broken };
  };
  const early = first.map(compiled);
  return {
    first: (given, unread) => {
      if (isTombstone(source, given)) return { row: given, repairs: [] };
      let row = given;
      const repairs: Repair[] = [];
      for (const { rule, broken } of early) {
        if (!broken(row) || looksAtNull(rule).some((field) => unread?.has(field))) continue;
        const done = repaired(source, rule, row, replacement(rule, row[rule.field] ?? null));
        row = done.row;
        repairs.push(done.repair);
      }
      return { row, repairs };
    },
    late: late
      .map(compiled)
      .map(({ rule, broken }) => ({ rule, broken: (row) => !isTombstone(source, row) && broken(row) })),
  };
}

export interface FirstRepairsSql {
  /** Layers of `SELECT * REPLACE (...), ...` over a relation of typed columns, innermost first. */
  readonly layers: readonly string[];
  /** The list of what was done, of the type of `_repairs`; null where nothing was. */
  readonly repairs: string;
  /** The names of late rules that the repaired row breaks, a list; null where it breaks none. */
  readonly open: string;
}

const mark = (index: number): string => quoteName(`_fix${index}`);

/** A list of the items whose condition holds; null where none does. `any`: SQL that is true where one does. */
export const itemsSql = (
  type: string,
  items: readonly (readonly [condition: string, item: string])[],
  any = items.map(([condition]) => condition).join(' OR '),
): string =>
  items.length === 0
    ? `CAST(NULL AS ${type})`
    : `CASE WHEN ${any} THEN list_filter([${items
        .map(([condition, item]) => `CASE WHEN ${condition} THEN ${item} END`)
        .join(', ')}], lambda item: item IS NOT NULL) END`;

/** An item of `_repairs`. */
export const repairSql = (source: Source, rule: RepairRule, original: string): string =>
  `{'field': ${quoteText(rule.field)}, 'rule': ${quoteText(rule.id)}, 'original': ${encodeSql(
    typeOfField(source.fields, rule.field),
    original,
  )}, 'contract': ${quoteText(source.fingerprint)}}`;

/**
 * `RowRepairs.first` in SQL. `column` gives plain column names of the innermost relation; `unread` what is true there
 * of a value that could not be read.
 */
export function firstRepairsSql(
  source: Source,
  column: (field: string) => string,
  print: ExpressionReadings['print'],
  unread: (field: string) => string | undefined = () => undefined,
): FirstRepairsSql {
  const { first, late } = repairRules(source);
  const dead = tombstoneSql(source, column);
  const violated = (rule: RepairRule): string => {
    const sql = rowRuleSql(rule, source.fields, column, print);
    if (sql === undefined) return 'false';
    const judged = judgedWhere(rule, sql, unread);
    return dead === 'false' ? judged : `(NOT ${dead} AND ${judged})`;
  };
  const layers: string[] = [];
  for (const [index, rule] of first.entries()) {
    const value = column(rule.field);
    const type = typeOfField(source.fields, rule.field);
    layers.push(`SELECT *, ${violated(rule)} AS ${mark(index)}, ${value} AS ${quoteName(`_was${index}`)}`);
    layers.push(
      `SELECT * REPLACE (CASE WHEN ${mark(index)} THEN ${replacementSql(rule, type, value)} ELSE ${value} END AS ${value})`,
    );
  }
  return {
    layers,
    repairs: itemsSql(
      REPAIRS_TYPE,
      first.map((rule, index) => [mark(index), repairSql(source, rule, quoteName(`_was${index}`))]),
    ),
    open: itemsSql(
      'VARCHAR[]',
      late.map((rule) => [violated(rule), quoteText(rule.id)]),
    ),
  };
}

/** A value as text that reads back exactly: instants in microseconds, dates in days. Null stays null. */
export function encodeValue(type: ValueType, value: Value): string | null {
  if (value === null) return null;
  return type.kind === 'decimal' ? printDecimal(value as number | bigint, type.scale) : String(value);
}

/** Null for what was written under another type and is none of this one. */
export function decodeValue(type: ValueType, text: string | null): Value {
  if (text === null) return null;
  if (type.kind === 'string') return text;
  if (type.kind === 'boolean') return text === 'true' ? true : text === 'false' ? false : null;
  if (type.kind === 'int64' || type.kind === 'decimal')
    return /^-?\d+(\.\d+)?$/.test(text) ? toInteger(BigInt(text.replace('.', ''))) : null;
  const number = Number(text);
  return Number.isFinite(number) ? number : null;
}

export function encodeSql(type: ValueType, value: string): string {
  if (type.kind === 'timestamp') return `CAST(epoch_us(${value}) AS VARCHAR)`;
  if (type.kind === 'date') return `CAST(${value} - DATE '1970-01-01' AS VARCHAR)`;
  return `CAST(${value} AS VARCHAR)`;
}

export function decodeSql(type: ValueType, text: string): string {
  if (type.kind === 'timestamp') return `make_timestamptz(TRY_CAST(${text} AS BIGINT))`;
  if (type.kind === 'date') return `(DATE '1970-01-01' + TRY_CAST(${text} AS INTEGER))`;
  return `TRY_CAST(${text} AS ${duckDbType(type)})`;
}

/** The record's fields as they were delivered. */
export function deliveredFields(fields: Row, repairs: readonly Repair[] | undefined): Row {
  if (!repairs || repairs.length === 0) return fields;
  const out: Record<string, Value> = { ...fields };
  for (const { field, original } of [...repairs].reverse()) out[field] = original;
  return out;
}

/** The delivered value of a field in SQL: that before the first repair of it. */
export function deliveredSql(type: ValueType, field: string, value: string, repairs = '"_repairs"'): string {
  const first = `list_filter(${repairs}, lambda r: r.field = ${quoteText(field)})`;
  return `CASE WHEN ${repairs} IS NULL OR len(${first}) = 0 THEN ${value} ELSE ${decodeSql(type, `${first}[1].original`)} END`;
}

/** The mean of the values, exact and rounded once: to the type's own steps, half to even. Undefined without any. */
export function meanOf(type: ValueType): {
  add(value: Value): void;
  finish(): { readonly value: Value; readonly count: number } | undefined;
} {
  let count = 0;
  if (type.kind === 'float64') {
    const sum = exactSum();
    return {
      add: (value) => {
        addExact(sum, value as number);
        count++;
      },
      finish: () => {
        if (count === 0) return undefined;
        const { m, exponent } = exactValue(sum);
        const value = roundRatio(m, BigInt(count), exponent);
        return value === null ? undefined : { value, count };
      },
    };
  }
  const sum = integerSum();
  return {
    add: (value) => {
      addInteger(sum, value as number | bigint);
      count++;
    },
    finish: () =>
      count === 0 ? undefined : { value: toInteger(halfEven(integerValue(sum), BigInt(count))), count },
  };
}

function halfEven(numerator: bigint, denominator: bigint): bigint {
  const floor = numerator / denominator - (numerator % denominator < 0n ? 1n : 0n);
  const twice = 2n * (numerator - floor * denominator);
  return twice > denominator || (twice === denominator && (floor & 1n) === 1n) ? floor + 1n : floor;
}

/** The lower median. */
export function medianOf(values: readonly Value[]): Value | undefined {
  return [...values].sort(compareValues)[(values.length - 1) >> 1];
}
