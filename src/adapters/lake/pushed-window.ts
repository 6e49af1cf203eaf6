/** The rules for a batch over a window of pushes: what came until a tail was closed. */
import type { Instant } from '../../core/base/time.js';
import type { BatchRule, Source } from '../../core/define/types.js';
import type { BatchProfile } from '../../core/drift/batch-profile.js';
import {
  type BatchVerdict,
  batchMeasuresSql,
  effectiveContract,
  judgeBatch,
} from '../../core/quality/index.js';
import type { IngestResult } from '../../ports/record-log.js';
import type { DuckDbConnection } from '../duckdb/connection.js';
import { judgeDistributions } from './distributions.js';
import type { ProfiledRelation } from './profile.js';
import { measureSqlRules } from './sql-rules.js';

const WINDOW: Instant = 3_600 * 1_000_000;

const ofWindow = ({ check }: BatchRule): boolean => check.kind !== 'extra_columns';
/** Whether pushes to the source are judged in windows. */
export const hasWindows = (source: Source): boolean => source.contract.batch.some(ofWindow);

/** The end of the window of an instant: the next full hour, UTC. */
export const windowEnd = (at: Instant): Instant => (Math.floor(at / WINDOW) + 1) * WINDOW;

export interface PushedWindow {
  /** SELECT over its records: fields, `_seq` and the clocks. */
  readonly relation: string;
  /** Pushed, of any fate. */
  readonly rows: number;
  readonly quarantined: number;
  /** False: it was cut short, and its number of rows says nothing. */
  readonly whole: boolean;
}

export interface JudgedWindow {
  readonly warnings: IngestResult['warnings'];
  /** Broken rules whose action would have refused a file. */
  readonly broken: readonly BatchVerdict[];
  readonly profile: Readonly<Record<string, unknown>>;
}

/** Every rule but `extra_columns`, which judges each push. What is broken is said: the records are in the log. */
export async function judgeWindow(
  db: DuckDbConnection,
  source: Source,
  window: PushedWindow,
  { samples }: ProfiledRelation,
  context: { readonly projectFolder: string; profiles(limit: number): readonly BatchProfile[] },
): Promise<JudgedWindow> {
  const all = effectiveContract(source);
  const contract = {
    ...all,
    batch: all.batch.filter((rule) => ofWindow(rule) && (window.whole || rule.check.kind !== 'row_count')),
  };
  if (contract.batch.length === 0) return { warnings: [], broken: [], profile: {} };
  const measures = batchMeasuresSql(contract);
  const [measured] =
    measures.length === 0
      ? [{}]
      : await db.rows<Record<string, number | null>>(
          `SELECT ${measures.join(', ')} FROM (${window.relation})`,
        );
  const { values: bySql, errors } = await measureSqlRules(
    db,
    contract.batch,
    `SELECT "_seq" AS "_row", * EXCLUDE ("_seq") FROM (${window.relation})`,
  );
  const values = { ...measured, ...bySql };
  const distributions = await judgeDistributions(contract.batch, samples, {
    ...context,
    profileFile: async (path) => {
      throw new Error(`${path} is a file of rows: pushes are held against \`previous\` or a \`profile\``);
    },
  });
  const verdict = judgeBatch(contract, {
    rows: window.rows,
    quarantined: window.quarantined,
    extraColumns: [],
    values,
    distributions: distributions.found,
    errors: { ...errors, ...distributions.errors },
  });
  return {
    warnings: [...verdict.failures, ...verdict.warnings].map(({ rule, message }) => ({
      rule,
      message,
      rows: 0,
    })),
    broken: verdict.failures,
    profile: { rows: window.rows, quarantined: window.quarantined, ...values, ...distributions.found },
  };
}
