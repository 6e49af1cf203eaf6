/** Rules that judge a whole batch before any of it is appended. */
import type { BatchRule, Contract, Statistic } from '../define/types.js';
import { quoteName } from '../schema/coerce-sql.js';
import { notJudged } from './rules.js';

/** How the values of a field compare with their reference. */
export interface DistributionFinding {
  readonly verdict: 'ok' | 'drifted' | 'insufficient_data';
  /** What was found, to stand in a sentence: `KS D 0.31 of 3 batches before it`. */
  readonly found: string;
}

/** What was measured. Field measures are over the rows that passed the row rules. */
export interface BatchMeasures {
  /** Rows read, of any fate. */
  readonly rows: number;
  /** Rows that go to quarantine. */
  readonly quarantined: number;
  readonly extraColumns: readonly string[];
  /** Rule id → measured value, for rules over fields and SQL; null or absent when there is nothing to measure. */
  readonly values: Readonly<Record<string, number | null>>;
  /** Rule id → finding, for distribution rules. */
  readonly distributions: Readonly<Record<string, DistributionFinding>>;
  /** Rule id → why it could not be judged. */
  readonly errors: Readonly<Record<string, string>>;
}

export interface BatchVerdict {
  readonly rule: string;
  readonly message: string;
  readonly severity: BatchRule['severity'];
}

const round = (value: number): string => String(Number(value.toPrecision(6)));
const percent = (rate: number): string => `${round(rate * 100)} %`;

/** stddev_samp raises an error where a square leaves the doubles: there it is NULL. */
export const deviationSql = (number: string): string =>
  `CASE WHEN max(abs(${number})) < 1e150 THEN stddev_samp(${number}) FILTER (WHERE abs(${number}) < 1e150) END`;

/** The aggregate that a rule over one field measures, DOUBLE; undefined for other rules. */
function measureSql(check: BatchRule['check'], column: (field: string) => string): string | undefined {
  if (!('field' in check)) return undefined;
  const value = column(check.field);
  switch (check.kind) {
    case 'null_rate':
      return `CASE WHEN count(*) > 0 THEN (count(*) - count(${value}))::DOUBLE / count(*) END`;
    case 'distinct_count':
      return `count(DISTINCT ${value})::DOUBLE`;
    case 'mean':
      return `fsum(${value}::DOUBLE) / nullif(count(${value}), 0)`;
    case 'statistic':
      switch (check.statistic) {
        case 'std':
          return deviationSql(`${value}::DOUBLE`);
        case 'sum':
          return `fsum(${value}::DOUBLE)`;
        case 'quantile':
          return `quantile_cont(${value}::DOUBLE, ${check.q ?? 0.5})`;
        default:
          return `${check.statistic}(${value})::DOUBLE`;
      }
    default:
      return undefined;
  }
}

/** Columns to select from a relation of typed rows: one DOUBLE for each measured rule, named by its id. */
export const batchMeasuresSql = (
  contract: Contract,
  column: (field: string) => string = quoteName,
): readonly string[] =>
  contract.batch.flatMap(({ id, check }) => {
    const sql = measureSql(check, column);
    return sql === undefined ? [] : [`${sql} AS ${quoteName(id)}`];
  });

function outside(
  what: string,
  value: number,
  min: number | undefined,
  max: number | undefined,
): string | undefined {
  if (Number.isNaN(value)) return `${what} is beyond the range of doubles`;
  if (min !== undefined && value < min) return `${what} is ${round(value)}, expected at least ${round(min)}`;
  if (max !== undefined && value > max) return `${what} is ${round(value)}, expected at most ${round(max)}`;
  return undefined;
}

const rate = (what: string, value: number, min: number | undefined, max: number): string | undefined =>
  value > max
    ? `${what} ${percent(value)}, expected at most ${percent(max)}`
    : min !== undefined && value < min
      ? `${what} ${percent(value)}, expected at least ${percent(min)}`
      : undefined;

const NAMES: Readonly<Record<Statistic, string>> = {
  std: 'standard deviation',
  sum: 'sum',
  min: 'least value',
  max: 'greatest value',
  quantile: 'quantile',
};

/** What is wrong with the batch under this rule; undefined when nothing is, or when nothing was measured. */
function judge(rule: BatchRule, measures: BatchMeasures): string | undefined {
  const { id, check } = rule;
  const error = measures.errors[id];
  if (error !== undefined) return notJudged(rule, error);
  const measured = measures.values[id] ?? null;
  const limited = (what: string): string | undefined =>
    measured === null
      ? undefined
      : outside(
          what,
          measured,
          'min' in check ? check.min : undefined,
          'max' in check ? check.max : undefined,
        );
  switch (check.kind) {
    case 'row_count':
      return outside('the number of rows', measures.rows, check.min, check.max);
    case 'quarantine_rate':
      return measures.rows === 0
        ? undefined
        : rate('rows in quarantine are', measures.quarantined / measures.rows, undefined, check.max);
    case 'null_rate':
      return measured === null
        ? undefined
        : rate(`nulls of ${check.field} are`, measured, check.min, check.max ?? 1);
    case 'distinct_count':
      return limited(`the number of distinct values of ${check.field}`);
    case 'mean':
      return limited(`the mean of ${check.field}`);
    case 'statistic':
      return limited(
        check.statistic !== 'quantile'
          ? `the ${NAMES[check.statistic]} of ${check.field}`
          : check.q === 0.5
            ? `the median of ${check.field}`
            : `the ${round((check.q ?? 0.5) * 100)} % quantile of ${check.field}`,
      );
    case 'distribution': {
      const finding = measures.distributions[id];
      return finding?.verdict === 'drifted'
        ? `the values of ${check.field} changed: ${finding.found}`
        : undefined;
    }
    case 'sql':
      if (check.min !== undefined || check.max !== undefined)
        return measured === null ? `${id} gives no number` : limited(id);
      return measured === null || measured === 0
        ? undefined
        : `${id} gives ${round(measured)} row${measured === 1 ? '' : 's'}, expected none`;
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
