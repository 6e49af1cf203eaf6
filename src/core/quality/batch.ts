/** Rules that judge a whole batch before any of it is appended. */
import type { BatchRule, Contract, FieldDefinition } from '../define/types.js';
import { printDecimal } from '../schema/coerce-print.js';
import { quoteName } from '../schema/coerce-sql.js';
import type { Value } from '../schema/types.js';
import { tupleKey } from './relations.js';
import { type Row, typeOfField } from './rules.js';

/** What was measured. Field measures are over the rows that passed the row rules. */
export interface BatchMeasures {
  /** Rows read, of any fate. */
  readonly rows: number;
  /** Rows that go to quarantine. */
  readonly quarantined: number;
  readonly extraColumns: readonly string[];
  /** Rule id → measured value, for null_rate, distinct_count and mean; null when there is nothing to measure. */
  readonly values: Readonly<Record<string, number | null>>;
}

export interface BatchVerdict {
  readonly rule: string;
  readonly message: string;
  readonly severity: BatchRule['severity'];
}

const round = (value: number): string => String(Number(value.toPrecision(6)));
const percent = (rate: number): string => `${round(rate * 100)} %`;

/** Columns to select from a relation of typed rows: one DOUBLE for each measured rule, named by its id. */
export function batchMeasuresSql(
  contract: Contract,
  column: (field: string) => string = quoteName,
): readonly string[] {
  return contract.batch.flatMap(({ id, check }) => {
    const name = ` AS ${quoteName(id)}`;
    switch (check.kind) {
      case 'null_rate':
        return [
          `CASE WHEN count(*) > 0 THEN (count(*) - count(${column(check.field)}))::DOUBLE / count(*) END${name}`,
        ];
      case 'distinct_count':
        return [`count(DISTINCT ${column(check.field)})::DOUBLE${name}`];
      case 'mean':
        return [`fsum(${column(check.field)}::DOUBLE) / nullif(count(${column(check.field)}), 0)${name}`];
      default:
        return [];
    }
  });
}

/** The `values` of `BatchMeasures` from rows in hand. */
export function measureBatch(
  contract: Contract,
  fields: readonly FieldDefinition[],
  rows: readonly Row[],
): Readonly<Record<string, number | null>> {
  const values: Record<string, number | null> = {};
  for (const { id, check } of contract.batch) {
    if (check.kind !== 'null_rate' && check.kind !== 'distinct_count' && check.kind !== 'mean') continue;
    const present = rows.map((row) => row[check.field] ?? null).filter((value) => value !== null);
    if (check.kind === 'null_rate')
      values[id] = rows.length === 0 ? null : (rows.length - present.length) / rows.length;
    else if (check.kind === 'distinct_count')
      values[id] = new Set(present.map((value) => tupleKey([value]))).size;
    else
      values[id] =
        present.length === 0 ? null : compensatedSum(present, fields, check.field) / present.length;
  }
  return values;
}

/** Kahan's sum, as `fsum` of DuckDB. */
function compensatedSum(values: readonly Value[], fields: readonly FieldDefinition[], field: string): number {
  const type = typeOfField(fields, field);
  let sum = 0;
  let lost = 0;
  for (const value of values) {
    const number =
      type.kind === 'decimal' ? Number(printDecimal(value as number | bigint, type.scale)) : Number(value);
    const next = number - lost;
    const total = sum + next;
    lost = total - sum - next;
    sum = total;
  }
  return sum;
}

function outside(
  what: string,
  value: number,
  min: number | undefined,
  max: number | undefined,
): string | undefined {
  if (min !== undefined && value < min) return `${what} is ${round(value)}, expected at least ${round(min)}`;
  if (max !== undefined && value > max) return `${what} is ${round(value)}, expected at most ${round(max)}`;
  return undefined;
}

const share = (what: string, value: number, max: number): string | undefined =>
  value > max ? `${what} ${percent(value)}, expected at most ${percent(max)}` : undefined;

/** What is wrong with the batch under this rule; undefined when nothing is, or when nothing was measured. */
function judge({ id, check }: BatchRule, measures: BatchMeasures): string | undefined {
  const measured = measures.values[id] ?? null;
  switch (check.kind) {
    case 'row_count':
      return outside('the number of rows', measures.rows, check.min, check.max);
    case 'quarantine_rate':
      return measures.rows === 0
        ? undefined
        : share('rows in quarantine are', measures.quarantined / measures.rows, check.max);
    case 'null_rate':
      return measured === null ? undefined : share(`nulls of ${check.field} are`, measured, check.max);
    case 'distinct_count':
      return measured === null
        ? undefined
        : outside(`the number of distinct values of ${check.field}`, measured, check.min, check.max);
    case 'mean':
      return measured === null
        ? undefined
        : outside(`the mean of ${check.field}`, measured, check.min, check.max);
    case 'extra_columns':
      return check.policy === 'ignore' || measures.extraColumns.length === 0
        ? undefined
        : `columns that the source does not declare: ${measures.extraColumns.join(', ')}`;
  }
}

/** Failures refuse the batch; warnings are reported with it. */
export function judgeBatch(
  contract: Contract,
  measures: BatchMeasures,
): { readonly failures: readonly BatchVerdict[]; readonly warnings: readonly BatchVerdict[] } {
  const failures: BatchVerdict[] = [];
  const warnings: BatchVerdict[] = [];
  for (const rule of contract.batch) {
    const message = judge(rule, measures);
    if (message === undefined) continue;
    const fails =
      rule.check.kind === 'extra_columns' ? rule.check.policy === 'refuse' : rule.action === 'fail';
    (fails ? failures : warnings).push({ rule: rule.id, message, severity: rule.severity });
  }
  return { failures, warnings };
}
