import type { QuarantinedRow, QuarantineFilter } from '../../../ports/record-log.js';
import { type Database, rows, transaction } from '../../sqlite/database.js';
import {
  type BatchCommit,
  type Ledger,
  type NewQuarantinedRow,
  type PrintedQuarantinedRow,
  toJsonText,
} from '../ledger.js';

const reasonsText = (row: NewQuarantinedRow | PrintedQuarantinedRow): string =>
  'reasonsText' in row ? row.reasonsText : toJsonText(row.reasons);

/** Rows that a batch refused; those that are there already take their present reasons. */
export function keepRefused(db: Database, { result, at, quarantined, again }: BatchCommit): void {
  const insert = db.prepare(
    'INSERT INTO quarantine (source, batch, file, line, row, reasons, status, at, digest)' +
      " VALUES (?, ?, ?, ?, ?, ?, 'open', ?, ?) ON CONFLICT (source, digest) DO UPDATE SET" +
      " batch = excluded.batch, reasons = excluded.reasons, at = excluded.at, status = 'open'",
  );
  for (const row of quarantined) {
    insert.run(
      result.source,
      result.batch,
      row.file,
      row.line,
      'rowText' in row ? row.rowText : toJsonText(row.row),
      reasonsText(row),
      at,
      row.digest,
    );
  }
  const update = db.prepare(
    "UPDATE quarantine SET reasons = ? WHERE source = ? AND digest = ? AND status = 'open'",
  );
  for (const row of again ?? []) update.run(reasonsText(row), result.source, row.digest);
}

function where(filter: QuarantineFilter): { sql: string; args: (string | number)[] } {
  const parts: string[] = [];
  const args: (string | number)[] = [];
  const add = (column: string, value: string | undefined): void => {
    if (value === undefined) return;
    parts.push(`${column} = ?`);
    args.push(value);
  };
  add('source', filter.source);
  add('status', filter.status);
  add('batch', filter.batch);
  if (filter.rule !== undefined) {
    parts.push("EXISTS (SELECT 1 FROM json_each(reasons) r WHERE r.value ->> 'rule' = ?)");
    args.push(filter.rule);
  }
  if (filter.ids) {
    parts.push('id IN (SELECT value FROM json_each(?))');
    args.push(JSON.stringify(filter.ids));
  }
  return { sql: parts.length > 0 ? ` WHERE ${parts.join(' AND ')}` : '', args };
}

/** Rows that were refused, and what became of them. */
export function quarantine(
  db: Database,
): Pick<Ledger, 'quarantine' | 'held' | 'quarantineCount' | 'explain' | 'mark'> {
  return {
    quarantine: (filter) => {
      const { sql, args } = where(filter);
      return rows(
        db,
        `SELECT q.*, (SELECT reason FROM quarantine_note n WHERE n.id = q.id) AS note FROM quarantine q${sql} ORDER BY id LIMIT ?`,
        ...args,
        filter.limit ?? -1,
      ).map((row) => ({
        id: Number(row['id']),
        source: row['source'] as string,
        batch: row['batch'] as string,
        file: row['file'] as string | null,
        line: Number(row['line']),
        row: JSON.parse(row['row'] as string),
        reasons: JSON.parse(row['reasons'] as string),
        status: row['status'] as QuarantinedRow['status'],
        at: Number(row['at']),
        note: row['note'] as string | null,
      }));
    },
    held: (source, digests) =>
      new Set(
        rows(
          db,
          'SELECT digest FROM quarantine WHERE source = ? AND digest IN (SELECT value FROM json_each(?))',
          source,
          JSON.stringify(digests),
        ).map((row) => row['digest'] as string),
      ),
    quarantineCount: (filter) => {
      const { sql, args } = where(filter);
      return Number(rows(db, `SELECT count(*) AS n FROM quarantine${sql}`, ...args)[0]!['n']);
    },
    explain: (rows) =>
      transaction(db, () => {
        const update = db.prepare('UPDATE quarantine SET reasons = ? WHERE id = ?');
        for (const { id, reasons } of rows) update.run(toJsonText(reasons), id);
      }),
    mark: (ids, status, note) =>
      transaction(db, () => {
        db.prepare('DELETE FROM quarantine_note WHERE id IN (SELECT value FROM json_each(?))').run(
          JSON.stringify(ids),
        );
        if (note)
          db.prepare('INSERT INTO quarantine_note SELECT value, ?, ? FROM json_each(?)').run(
            note.reason,
            note.at,
            JSON.stringify(ids),
          );
        db.prepare('UPDATE quarantine SET status = ? WHERE id IN (SELECT value FROM json_each(?))').run(
          status,
          JSON.stringify(ids),
        );
      }),
  };
}
