import { MillraceError } from '../../core/base/error.js';
import type { Instant } from '../../core/base/time.js';
import type { RunRecord } from '../../ports/registry.js';
import type { Advanced, RunDetail, RunStore, Timing } from '../../ports/run-store.js';
import { processLives } from '../files/lock.js';
import {
  change,
  type Database,
  firstRow,
  migrate,
  optional,
  type Row,
  rows,
  statement,
  transaction,
} from './database.js';
import { createRegistry } from './registry.js';
import { holds, insertSteps, settle, take, toStep, writeLines } from './runs/steps.js';
import { RUN_MIGRATIONS } from './runs/tables.js';

const scopeText = (scope: readonly string[]): string => JSON.stringify([...new Set(scope)].sort());

/** A process renews its hold on the run, and has not ended since: a killed one is not waited for. */
function isAlive(row: Row, now: Instant): boolean {
  if (row['status'] !== 'running' || Number(row['alive_until'] ?? 0) <= now) return false;
  const pid = /^(\d+)(?:-|$)/.exec((row['worker'] as string | null) ?? '')?.[1];
  return pid === undefined || processLives(Number(pid));
}

/**
 * The journal is not flushed: the death of the process loses nothing. The death of the machine may lose the last
 * steps' endings but not what they published, and a step whose work is published is found so when it is resumed.
 */
function transact<T>(db: Database, work: () => T): T {
  db.exec('PRAGMA synchronous = NORMAL');
  try {
    return transaction(db, work);
  } finally {
    db.exec('PRAGMA synchronous = FULL');
  }
}

/** `root` is the project's folder. */
export function createRunStore(db: Database, root = '/'): RunStore {
  migrate(db, RUN_MIGRATIONS);
  const renew = (run: number, worker: string, leaseUntil: Instant): void => {
    change(db, 'UPDATE run_state SET worker = ?, alive_until = ? WHERE run = ?', worker, leaseUntil, run);
  };

  const isCancelling = (run: number): boolean =>
    Number(firstRow(db, 'SELECT cancelling FROM run_state WHERE run = ?', run)?.['cancelling'] ?? 0) === 1;

  const toDetail = (row: Row, now: Instant): RunDetail => {
    const id = Number(row['id']);
    return {
      id,
      command: row['command'] as string,
      startedAt: Number(row['started_at']),
      endedAt: optional(row['ended_at']),
      status: row['status'] as RunRecord['status'],
      summary: JSON.parse(row['summary'] as string),
      scope: row['scope'] === null ? [] : JSON.parse(row['scope'] as string),
      alive: isAlive(row, now),
      cancelling: Number(row['cancelling'] ?? 0) === 1,
      resumed: Number(row['resumed'] ?? 0),
      steps: rows(db, 'SELECT * FROM run_step WHERE run = ? ORDER BY position, step', id).map(toStep),
    };
  };
  const DETAIL =
    'SELECT run.*, s.scope, s.worker, s.alive_until, s.cancelling, s.resumed FROM run LEFT JOIN run_state s ON s.run = run.id';

  const tieKey = (key: string | null, scope: readonly string[], run: number | null, at: Instant): void => {
    if (key !== null)
      change(
        db,
        `INSERT INTO run_key (key, scope, run, at) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET run = coalesce(excluded.run, run) WHERE exit IS NULL`,
        key,
        scopeText(scope),
        run,
        at,
      );
  };

  const finish: RunStore['finish'] = (run, status, at, summary) => {
    transact(db, () => {
      change(
        db,
        'UPDATE run SET status = ?, ended_at = ?, summary = ? WHERE id = ?',
        status,
        at,
        JSON.stringify(summary),
        run,
      );
      change(db, 'UPDATE run_state SET alive_until = 0, worker = NULL WHERE run = ?', run);
      if (status === 'cancelled')
        change(
          db,
          `UPDATE run_step SET status = 'cancelled', ended_at = ?, token = token + 1
WHERE run = ? AND status IN ('waiting', 'ready', 'running')`,
          at,
          run,
        );
    });
  };

  return {
    start: (command, scope, steps, at, key = null) =>
      transact(db, () => {
        const run = Number(
          statement(
            db,
            "INSERT INTO run (command, started_at, status, summary) VALUES (?, ?, 'running', '{}')",
          ).run(command, at).lastInsertRowid,
        );
        change(db, 'INSERT INTO run_state VALUES (?, ?, 0, NULL, 0, 0)', run, scopeText(scope));
        insertSteps(db, run, steps, 0);
        tieKey(key, scope, run, at);
        return run;
      }),
    key: (key) => {
      const row = firstRow(db, 'SELECT * FROM run_key WHERE key = ?', key);
      return (
        row && {
          scope: JSON.parse(row['scope'] as string),
          run: optional(row['run']),
          ended:
            row['exit'] === null
              ? null
              : { exit: Number(row['exit']), result: JSON.parse(row['result'] as string) },
        }
      );
    },
    endKey: (key, scope, { exit, result }, at) =>
      transact(db, () => {
        tieKey(key, scope, null, at);
        change(
          db,
          'UPDATE run_key SET exit = ?, result = ? WHERE key = ? AND exit IS NULL',
          exit,
          JSON.stringify(result),
          key,
        );
      }),
    unfinished: (scope) => {
      const row = firstRow(db, `${DETAIL} WHERE s.scope = ? ORDER BY run.id DESC LIMIT 1`, scopeText(scope));
      if (!row || (row['status'] !== 'running' && row['status'] !== 'interrupted')) return undefined;
      return toDetail(row, 0);
    },
    resume: (run, steps, at, key = null) => {
      transact(db, () => {
        const scope = firstRow(db, 'SELECT scope FROM run_state WHERE run = ?', run)!['scope'] as string;
        tieKey(key, JSON.parse(scope) as readonly string[], run, at);
        change(db, 'DELETE FROM run_edge WHERE run = ?', run);
        change(
          db,
          `UPDATE run_step SET status = 'unchanged', ended_at = ?, token = token + 1,
  detail = iif(status = 'running', 'published before its process ended', 'not needed any more')
WHERE run = ? AND status IN ('waiting', 'ready', 'running')`,
          at,
          run,
        );
        const last = firstRow(db, 'SELECT max(position) AS p FROM run_step WHERE run = ?', run);
        insertSteps(db, run, steps, Number(last?.['p'] ?? -1) + 1);
        change(db, "UPDATE run SET status = 'running', ended_at = NULL WHERE id = ?", run);
        change(db, 'UPDATE run_state SET resumed = resumed + 1, cancelling = 0 WHERE run = ?', run);
      });
    },
    advance: (run, request): Advanced =>
      transact(db, () => {
        writeLines(db, run, request.lines);
        const lost = request.settlements
          .filter((item) => !settle(db, item, request.now))
          .map((item) => item.lease);
        change(
          db,
          `UPDATE run_step SET status = 'ready', token = token + 1, worker = NULL, lease_until = NULL
WHERE run = ? AND status = 'running' AND lease_until < ?`,
          run,
          request.now,
        );
        const cancelling = isCancelling(run);
        const taken = cancelling ? [] : take(db, run, request);
        if (taken.length > 0) renew(run, request.worker, request.leaseUntil);
        const open = firstRow(
          db,
          `SELECT count(*) AS n, min(CASE status WHEN 'ready' THEN nullif(not_before, 0) WHEN 'running' THEN lease_until END)
  AS wake FROM run_step WHERE run = ? AND status IN ('waiting', 'ready', 'running')`,
          run,
        )!;
        return { taken, lost, left: Number(open['n']), wakeAt: optional(open['wake']), cancelling };
      }),
    heartbeat: (run, { worker, leaseUntil, lines }) =>
      transact(db, () => {
        writeLines(db, run, lines);
        change(
          db,
          "UPDATE run_step SET lease_until = ? WHERE run = ? AND worker = ? AND status = 'running'",
          leaseUntil,
          run,
          worker,
        );
        renew(run, worker, leaseUntil);
        return { cancelling: isCancelling(run) };
      }),
    finish,
    registry: (lease) =>
      createRegistry(db, {
        root,
        guard: () => {
          if (!holds(db, lease))
            throw new MillraceError(
              'LEASE_LOST',
              `step ${lease.step} of run ${lease.run} is not this process's any more; nothing of it was published`,
            );
        },
      }),
    detail: (run, now) => {
      const row = firstRow(db, `${DETAIL} WHERE run.id = ?`, run);
      return row && toDetail(row, now);
    },
    list: (limit, now) =>
      rows(db, `${DETAIL} ORDER BY run.id DESC LIMIT ?`, limit).map((row) => toDetail(row, now)),
    lines: (run, step) =>
      (step === undefined
        ? rows(db, 'SELECT * FROM run_line WHERE run = ? ORDER BY id', run)
        : rows(db, 'SELECT * FROM run_line WHERE run = ? AND step = ? ORDER BY id', run, step)
      ).map((row) => ({
        step: row['step'] as string,
        token: Number(row['token']),
        at: Number(row['at']),
        text: row['text'] as string,
      })),
    cancel: (run, now) => {
      const asked = transact(db, (): 'asked' | 'dead' | 'ended' => {
        const row = firstRow(db, `${DETAIL} WHERE run.id = ?`, run);
        if (!row || (row['status'] !== 'running' && row['status'] !== 'interrupted')) return 'ended';
        change(db, 'UPDATE run_state SET cancelling = 1 WHERE run = ?', run);
        return isAlive(row, now) ? 'asked' : 'dead';
      });
      if (asked !== 'dead') return asked;
      finish(run, 'cancelled', now, { error: 'cancelled; its process had ended' });
      return 'cancelled';
    },
    ended: (step, limit) =>
      rows(
        db,
        "SELECT ended_at FROM run_step WHERE step = ? AND status IN ('done', 'refused') ORDER BY ended_at DESC LIMIT ?",
        step,
        limit,
      ).map((row) => Number(row['ended_at'])),
    timings: (limit) =>
      rows(
        db,
        `SELECT step, action, seconds, rows, bytes FROM run_step WHERE status IN ('done', 'refused') AND seconds IS NOT NULL
ORDER BY ended_at DESC LIMIT ?`,
        limit,
      ).map(
        (row): Timing => ({
          step: row['step'] as string,
          action: row['action'] as string,
          seconds: Number(row['seconds']),
          rows: optional(row['rows']),
          bytes: optional(row['bytes']),
        }),
      ),
  };
}
