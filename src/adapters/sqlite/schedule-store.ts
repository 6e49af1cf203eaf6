import { MillraceError } from '../../core/base/error.js';
import type { Firing, FiringStatus, ScheduleStore, TriggerState } from '../../ports/schedule-store.js';
import { acquireLock, lockHolder } from '../files/lock.js';
import {
  type Cell,
  change,
  type Database,
  type Migration,
  migrate,
  optional,
  type Row,
  rows,
  transaction,
} from './database.js';

const MIGRATIONS: readonly Migration[] = [
  {
    name: 'schedule-1',
    sql: `
CREATE TABLE trigger_state (
  name TEXT PRIMARY KEY, seen INTEGER NOT NULL, mark TEXT, reason TEXT NOT NULL
) STRICT;
CREATE TABLE trigger_firing (
  trigger TEXT NOT NULL, due INTEGER NOT NULL, start_at INTEGER NOT NULL, status TEXT NOT NULL, run INTEGER,
  started_at INTEGER, ended_at INTEGER, detail TEXT NOT NULL,
  PRIMARY KEY (trigger, due)
) STRICT, WITHOUT ROWID;
CREATE INDEX trigger_firing_open ON trigger_firing (status, start_at);
CREATE TABLE scheduler (one INTEGER PRIMARY KEY CHECK (one = 1), token INTEGER NOT NULL, alive_at INTEGER) STRICT;
INSERT INTO scheduler VALUES (1, 0, NULL);
`,
  },
];

const toFiring = (row: Row): Firing => ({
  trigger: row['trigger'] as string,
  due: Number(row['due']),
  startAt: Number(row['start_at']),
  status: row['status'] as FiringStatus,
  run: optional(row['run']),
  startedAt: optional(row['started_at']),
  endedAt: optional(row['ended_at']),
  detail: row['detail'] as string,
});

/** `lockFile` names the process that leads: one that was killed is followed at once. */
export function createScheduleStore(db: Database, lockFile: string): ScheduleStore {
  migrate(db, MIGRATIONS);

  return {
    lead: (command, now) => {
      const lock = acquireLock(lockFile, command);
      const { token, before } = transaction(db, () => {
        const [row] = rows(db, 'SELECT alive_at, token + 1 AS token FROM scheduler');
        change(db, 'UPDATE scheduler SET token = token + 1, alive_at = ?', now);
        return { token: Number(row!['token']), before: optional(row!['alive_at']) };
      });
      const mine = <T>(work: () => T): T =>
        transaction(db, () => {
          if (Number(rows(db, 'SELECT token FROM scheduler')[0]!['token']) !== token)
            throw new MillraceError('LEASE_LOST', 'another process leads the schedules of this project now');
          return work();
        });
      const update = (firing: Firing, sql: string, ...args: Cell[]): void =>
        mine(() => {
          change(
            db,
            `UPDATE trigger_firing SET ${sql} WHERE trigger = ? AND due = ?`,
            ...args,
            firing.trigger,
            firing.due,
          );
        });
      return {
        token,
        before,
        renew: (at) =>
          mine(() => {
            change(db, 'UPDATE scheduler SET alive_at = ?', at);
          }),
        observe: ({ name, seen, mark, reason }, firings) =>
          mine(() => {
            change(
              db,
              `INSERT INTO trigger_state VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
  seen = excluded.seen, mark = excluded.mark, reason = excluded.reason`,
              name,
              seen,
              mark,
              reason,
            );
            for (const { due, startAt, status, detail } of firings)
              change(
                db,
                'INSERT INTO trigger_firing VALUES (?, ?, ?, ?, NULL, NULL, NULL, ?) ON CONFLICT DO NOTHING',
                name,
                due,
                startAt,
                status,
                detail,
              );
          }),
        begin: (firing, at) => update(firing, "status = 'running', started_at = ?, detail = ''", at),
        postpone: (firing, reason) => update(firing, "status = 'due', detail = ?", reason),
        end: (firing, status, run, detail, at) =>
          update(firing, 'status = ?, run = ?, detail = ?, ended_at = ?', status, run, detail, at),
        release: () => lock.release(),
      };
    },
    leader: () => {
      const holder = lockHolder(lockFile);
      return holder === undefined ? null : { pid: holder.pid, command: holder.command };
    },
    states: () =>
      new Map(
        rows(
          db,
          `SELECT s.*, (SELECT max(coalesce(f.started_at, f.due)) FROM trigger_firing f
  WHERE f.trigger = s.name AND f.status <> 'skipped') AS fired_at FROM trigger_state s`,
        ).map((row): [string, TriggerState] => [
          row['name'] as string,
          {
            name: row['name'] as string,
            seen: Number(row['seen']),
            mark: row['mark'] as string | null,
            firedAt: optional(row['fired_at']),
            reason: row['reason'] as string,
          },
        ]),
      ),
    open: () =>
      rows(
        db,
        "SELECT * FROM trigger_firing WHERE status IN ('due', 'running') ORDER BY start_at, due, trigger",
      ).map(toFiring),
    firings: (limit, trigger) =>
      (trigger === undefined
        ? rows(db, 'SELECT * FROM trigger_firing ORDER BY due DESC, trigger LIMIT ?', limit)
        : rows(db, 'SELECT * FROM trigger_firing WHERE trigger = ? ORDER BY due DESC LIMIT ?', trigger, limit)
      ).map(toFiring),
  };
}
