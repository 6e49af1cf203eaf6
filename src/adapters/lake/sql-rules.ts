/** Batch rules in SQL: one number each, or how many rows must not be. */
import type { BatchRule } from '../../core/define/types.js';
import { batchSql, batchViewSql } from '../../core/quality/index.js';
import type { DuckDbConnection } from '../duckdb/connection.js';

export interface MeasuredRules {
  /** Rule id → what its query gives. */
  readonly values: Readonly<Record<string, number | null>>;
  /** Rule id → why it could not be measured. */
  readonly errors: Readonly<Record<string, string>>;
}

/** The first line of what DuckDB says is wrong with a query. */
export const queryFault = (error: unknown): string =>
  error instanceof Error ? error.message.split('\n')[0]! : String(error);

/** `relation`: SELECT that gives `{batch}`. An error of a query is kept, one that the signal made is thrown. */
export async function measureSqlRules(
  db: DuckDbConnection,
  rules: readonly BatchRule[],
  relation: string,
  signal?: AbortSignal,
): Promise<MeasuredRules> {
  const values: Record<string, number | null> = {};
  const errors: Record<string, string> = {};
  const checks = rules.flatMap(({ id, check }) => (check.kind === 'sql' ? [{ id, check }] : []));
  if (checks.length === 0) return { values, errors };
  await db.run(batchViewSql(relation));
  for (const { id, check } of checks) {
    const inner = batchSql(check.sql);
    const limited = check.min !== undefined || check.max !== undefined;
    try {
      const rows = await db.rows<{ n: number | null }>(
        limited
          ? `SELECT CAST(n AS DOUBLE) AS n FROM (${inner}) AS measured(n)`
          : `SELECT count(*)::DOUBLE AS n FROM (${inner})`,
      );
      if (rows.length === 1) values[id] = rows[0]!.n;
      else errors[id] = `it gives ${rows.length} rows, expected one number`;
    } catch (error) {
      if (signal?.aborted) throw error;
      errors[id] = queryFault(error);
    }
  }
  return { values, errors };
}
