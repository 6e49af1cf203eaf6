import { type Database, rows } from '../../sqlite/database.js';
import type { Ledger } from '../ledger.js';

/** Means and medians as they were taken, for imputations. */
export function references(db: Database): Pick<Ledger, 'reference' | 'keepReference'> {
  return {
    reference: (source, rule, fingerprint) => {
      const row = rows(
        db,
        'SELECT * FROM log_reference WHERE source = ? AND rule = ? AND fingerprint = ?',
        source,
        rule,
        fingerprint,
      )[0];
      return (
        row && {
          statistic: row['statistic'] as string,
          value: row['value'] as string,
          count: Number(row['count']),
          throughSeq: Number(row['through_seq']),
          at: Number(row['at']),
        }
      );
    },
    keepReference: (source, rule, fingerprint, { statistic, value, count, throughSeq, at }) =>
      void db
        .prepare('INSERT OR REPLACE INTO log_reference VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
        .run(source, rule, fingerprint, statistic, value, count, throughSeq, at),
  };
}
