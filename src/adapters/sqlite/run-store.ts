import { MillraceError } from '../../core/base/error.js';
import type { Instant } from '../../core/base/time.js';
import type { RunRecord } from '../../ports/registry.js';
import type {
  Advance,
  Advanced,
  Lease,
  LogLine,
  NewStep,
  RunDetail,
  RunStore,
  Settlement,
  StepRecord,
  StepStatus,
  Taken,
  Timing,
} from '../../ports/run-store.js';
import { processLives } from '../files/lock.js';
import { type Database, type Migration, migrate, transaction } from './database.js';
import { createRegistry, RUN_TABLE } from './registry.js';

const RUN_MIGRATIONS: readonly Migration[] = [
  {
    name: 'run-1',
    sql: `
${RUN_TABLE}
CREATE TABLE run_state (
  run INTEGER PRIMARY KEY REFERENCES run (id), scope TEXT NOT NULL, cancelling INTEGER NOT NULL,
  worker TEXT, alive_until INTEGER NOT NULL, resumed INTEGER NOT NULL
) STRICT;
CREATE TABLE run_step (
  run INTEGER NOT NULL REFERENCES run (id), step TEXT NOT NULL, position INTEGER NOT NULL, action TEXT NOT NULL,
  reason TEXT NOT NULL, pool TEXT NOT NULL, priority INTEGER NOT NULL, tries INTEGER NOT NULL,
  timeout_seconds REAL, rows INTEGER, bytes INTEGER, status TEXT NOT NULL, deps_left INTEGER NOT NULL,
  failures INTEGER NOT NULL, token INTEGER NOT NULL, not_before INTEGER NOT NULL, worker TEXT, lease_until INTEGER,
  started_at INTEGER, ended_at INTEGER, seconds REAL, detail TEXT NOT NULL,
  PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_step_ready ON run_step (run, status, priority DESC, position);
CREATE INDEX run_step_ended ON run_step (status, ended_at);
CREATE TABLE run_edge (
  run INTEGER NOT NULL, parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (run, parent, child)
) STRICT, WITHOUT ROWID;
CREATE TABLE run_line (
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL, step TEXT NOT NULL, token INTEGER NOT NULL, at INTEGER NOT NULL,
  text TEXT NOT NULL
) STRICT;
CREATE INDEX run_line_by_step ON run_line (run, step, id);
`,
  },
  {
    name: 'run-2',
    sql: `
CREATE TABLE run_key (
  key TEXT PRIMARY KEY, scope TEXT NOT NULL, run INTEGER REFERENCES run (id), exit INTEGER, result TEXT,
  at INTEGER NOT NULL
) STRICT;
`,
  },
];

type Row = Record<string, unknown>;
type Cell = string | number | null;

const nullable = (value: unknown): number | null => (value === null ? null : Number(value));

const toStep = (row: Row): StepRecord => ({
  run: Number(row['run']),
  step: row['step'] as string,
  position: Number(row['position']),
  action: row['action'] as string,
  reason: row['reason'] as string,
  pool: row['pool'] as string,
  priority: Number(row['priority']),
  tries: Number(row['tries']),
  timeoutSeconds: nullable(row['timeout_seconds']),
  rows: nullable(row['rows']),
  bytes: nullable(row['bytes']),
  status: row['status'] as StepStatus,
  failures: Number(row['failures']),
  token: Number(row['token']),
  startedAt: nullable(row['started_at']),
  endedAt: nullable(row['ended_at']),
  seconds: nullable(row['seconds']),
  detail: row['detail'] as string,
});

const scopeText = (scope: readonly string[]): string => JSON.stringify([...new Set(scope)].sort());

/** A process renews its hold on the run, and has not ended since: a killed one is not waited for. */
function isAlive(row: Row, now: Instant): boolean {
  if (row['status'] !== 'running' || Number(row['alive_until'] ?? 0) <= now) return false;
  const pid = /^(\d+)(?:-|$)/.exec((row['worker'] as string | null) ?? '')?.[1];
  return pid === undefined || processLives(Number(pid));
}

/** `root` is the project's folder. */
export function createRunStore(db: Database, root = '/'): RunStore {
  migrate(db, RUN_MIGRATIONS);
  const statements = new Map<string, ReturnType<Database['prepare']>>();
  const prepared = (sql: string): ReturnType<Database['prepare']> => {
    const known = statements.get(sql);
    if (known !== undefined) return known;
    const statement = db.prepare(sql);
    statements.set(sql, statement);
    return statement;
  };
  const all = (sql: string, ...args: Cell[]): Row[] => prepared(sql).all(...args) as Row[];
  const first = (sql: string, ...args: Cell[]): Row | undefined => all(sql, ...args)[0];
  const change = (sql: string, ...args: Cell[]): number => Number(prepared(sql).run(...args).changes);

  /**
   * The journal is not flushed: the death of the process loses nothing. The death of the machine may lose the last
   * steps' endings but not what they published, and a step whose work is published is found so when it is resumed.
   */
  const transact = <T>(work: () => T): T => {
    db.exec('PRAGMA synchronous = NORMAL');
    try {
      return transaction(db, work);
    } finally {
      db.exec('PRAGMA synchronous = FULL');
    }
  };

  const insertSteps = (run: number, steps: readonly NewStep[], from: number): void => {
    const names = new Set(steps.map(({ step }) => step));
    steps.forEach((step, index) => {
      const after = [...new Set(step.after)].filter((name) => names.has(name));
      change(
        `INSERT INTO run_step VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, '')
ON CONFLICT (run, step) DO UPDATE SET
  reason = excluded.reason, action = excluded.action, status = excluded.status, deps_left = excluded.deps_left,
  rows = excluded.rows, bytes = excluded.bytes, pool = excluded.pool, priority = excluded.priority,
  tries = excluded.tries, timeout_seconds = excluded.timeout_seconds, token = token + 1, worker = NULL,
  lease_until = NULL, ended_at = NULL, detail = ''`,
        run,
        step.step,
        from + index,
        step.action,
        step.reason,
        step.pool,
        step.priority,
        step.tries,
        step.timeoutSeconds,
        step.expected.rows,
        step.expected.bytes,
        after.length === 0 ? 'ready' : 'waiting',
        after.length,
      );
      for (const parent of after) change('INSERT INTO run_edge VALUES (?, ?, ?)', run, parent, step.step);
    });
  };

  const writeLines = (run: number, lines: readonly LogLine[]): void => {
    for (const { step, token, at, text } of lines)
      change(
        'INSERT INTO run_line (run, step, token, at, text) VALUES (?, ?, ?, ?, ?)',
        run,
        step,
        token,
        at,
        text,
      );
  };

  const holds = ({ run, step, token }: Lease): boolean =>
    first(
      "SELECT 1 FROM run_step WHERE run = ? AND step = ? AND token = ? AND status = 'running'",
      run,
      step,
      token,
    ) !== undefined;

  /** False: the lease is another's. */
  const settle = (settlement: Settlement, now: Instant): boolean => {
    const { lease, seconds, detail } = settlement;
    const { run, step } = lease;
    if (!holds(lease)) return false;
    const end = (status: StepStatus, ended: Instant | null, notBefore = 0): void => {
      change(
        `UPDATE run_step SET status = ?, ended_at = ?, seconds = ?, detail = ?, not_before = ?, worker = NULL,
  lease_until = NULL WHERE run = ? AND step = ?`,
        status,
        ended,
        seconds,
        detail,
        notBefore,
        run,
        step,
      );
    };
    if (settlement.status === 'released') end('ready', null);
    else if (settlement.status === 'failed') {
      const tries = first(
        'UPDATE run_step SET failures = failures + 1 WHERE run = ? AND step = ? RETURNING tries - failures AS left',
        run,
        step,
      );
      if (settlement.retryAt !== null && Number(tries!['left']) > 0) end('ready', null, settlement.retryAt);
      else {
        end('failed', now);
        change(
          `WITH RECURSIVE behind (step) AS (
  SELECT child FROM run_edge WHERE run = ?1 AND parent = ?2
  UNION SELECT e.child FROM run_edge e JOIN behind b ON e.run = ?1 AND e.parent = b.step
) UPDATE run_step SET status = 'skipped', ended_at = ?3, detail = ?4
WHERE run = ?1 AND status = 'waiting' AND step IN (SELECT step FROM behind)`,
          run,
          step,
          now,
          `${step} failed`,
        );
      }
    } else {
      end(settlement.status, now);
      const { amount } = settlement;
      if (amount)
        change(
          'UPDATE run_step SET rows = ?, bytes = coalesce(?, bytes) WHERE run = ? AND step = ?',
          amount.rows,
          amount.bytes,
          run,
          step,
        );
      change(
        `UPDATE run_step SET deps_left = deps_left - 1, status = iif(deps_left = 1, 'ready', 'waiting')
WHERE run = ?1 AND status = 'waiting' AND step IN (SELECT child FROM run_edge WHERE run = ?1 AND parent = ?2)`,
        run,
        step,
      );
    }
    return true;
  };

  const take = (run: number, request: Advance): Taken[] => {
    const { pools, now, leaseUntil, worker } = request;
    if (pools === null) return [];
    const used = new Map(
      all(
        "SELECT pool, count(*) AS n FROM run_step WHERE run = ? AND status = 'running' GROUP BY pool",
        run,
      ).map((row) => [row['pool'] as string, Number(row['n'])]),
    );
    const taken: Taken[] = [];
    for (const row of all(
      `SELECT * FROM run_step WHERE run = ? AND status = 'ready' AND not_before <= ? ORDER BY priority DESC, position`,
      run,
      now,
    )) {
      const record = toStep(row);
      const busy = used.get(record.pool) ?? 0;
      if (busy >= (pools[record.pool] ?? 1)) continue;
      used.set(record.pool, busy + 1);
      const token = record.token + 1;
      change(
        `UPDATE run_step SET status = 'running', token = ?, worker = ?, lease_until = ?, started_at = ?, ended_at = NULL
WHERE run = ? AND step = ?`,
        token,
        worker,
        leaseUntil,
        now,
        run,
        record.step,
      );
      taken.push({
        run,
        step: record.step,
        token,
        record: { ...record, token, status: 'running', startedAt: now },
      });
    }
    return taken;
  };

  const renew = (run: number, worker: string, leaseUntil: Instant): void => {
    change('UPDATE run_state SET worker = ?, alive_until = ? WHERE run = ?', worker, leaseUntil, run);
  };

  const isCancelling = (run: number): boolean =>
    Number(first('SELECT cancelling FROM run_state WHERE run = ?', run)?.['cancelling'] ?? 0) === 1;

  const toDetail = (row: Row, now: Instant): RunDetail => {
    const id = Number(row['id']);
    return {
      id,
      command: row['command'] as string,
      startedAt: Number(row['started_at']),
      endedAt: nullable(row['ended_at']),
      status: row['status'] as RunRecord['status'],
      summary: JSON.parse(row['summary'] as string),
      scope: row['scope'] === null ? [] : JSON.parse(row['scope'] as string),
      alive: isAlive(row, now),
      cancelling: Number(row['cancelling'] ?? 0) === 1,
      resumed: Number(row['resumed'] ?? 0),
      steps: all('SELECT * FROM run_step WHERE run = ? ORDER BY position, step', id).map(toStep),
    };
  };
  const DETAIL =
    'SELECT run.*, s.scope, s.worker, s.alive_until, s.cancelling, s.resumed FROM run LEFT JOIN run_state s ON s.run = run.id';

  const tieKey = (key: string | null, scope: readonly string[], run: number | null, at: Instant): void => {
    if (key !== null)
      change(
        `INSERT INTO run_key (key, scope, run, at) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET run = coalesce(excluded.run, run) WHERE exit IS NULL`,
        key,
        scopeText(scope),
        run,
        at,
      );
  };

  const finish: RunStore['finish'] = (run, status, at, summary) => {
    transact(() => {
      change(
        'UPDATE run SET status = ?, ended_at = ?, summary = ? WHERE id = ?',
        status,
        at,
        JSON.stringify(summary),
        run,
      );
      change('UPDATE run_state SET alive_until = 0, worker = NULL WHERE run = ?', run);
      if (status === 'cancelled')
        change(
          `UPDATE run_step SET status = 'cancelled', ended_at = ?, token = token + 1
WHERE run = ? AND status IN ('waiting', 'ready', 'running')`,
          at,
          run,
        );
    });
  };

  return {
    start: (command, scope, steps, at, key = null) =>
      transact(() => {
        const run = Number(
          prepared(
            "INSERT INTO run (command, started_at, status, summary) VALUES (?, ?, 'running', '{}')",
          ).run(command, at).lastInsertRowid,
        );
        change('INSERT INTO run_state VALUES (?, ?, 0, NULL, 0, 0)', run, scopeText(scope));
        insertSteps(run, steps, 0);
        tieKey(key, scope, run, at);
        return run;
      }),
    key: (key) => {
      const row = first('SELECT * FROM run_key WHERE key = ?', key);
      return (
        row && {
          scope: JSON.parse(row['scope'] as string),
          run: nullable(row['run']),
          ended:
            row['exit'] === null
              ? null
              : { exit: Number(row['exit']), result: JSON.parse(row['result'] as string) },
        }
      );
    },
    endKey: (key, scope, { exit, result }, at) =>
      transact(() => {
        tieKey(key, scope, null, at);
        change(
          'UPDATE run_key SET exit = ?, result = ? WHERE key = ? AND exit IS NULL',
          exit,
          JSON.stringify(result),
          key,
        );
      }),
    unfinished: (scope) => {
      const row = first(`${DETAIL} WHERE s.scope = ? ORDER BY run.id DESC LIMIT 1`, scopeText(scope));
      if (!row || (row['status'] !== 'running' && row['status'] !== 'interrupted')) return undefined;
      return toDetail(row, 0);
    },
    resume: (run, steps, at, key = null) => {
      transact(() => {
        const scope = first('SELECT scope FROM run_state WHERE run = ?', run)!['scope'] as string;
        tieKey(key, JSON.parse(scope) as readonly string[], run, at);
        change('DELETE FROM run_edge WHERE run = ?', run);
        change(
          `UPDATE run_step SET status = 'unchanged', ended_at = ?, token = token + 1,
  detail = iif(status = 'running', 'published before its process ended', 'not needed any more')
WHERE run = ? AND status IN ('waiting', 'ready', 'running')`,
          at,
          run,
        );
        const last = first('SELECT max(position) AS p FROM run_step WHERE run = ?', run);
        insertSteps(run, steps, Number(last?.['p'] ?? -1) + 1);
        change("UPDATE run SET status = 'running', ended_at = NULL WHERE id = ?", run);
        change('UPDATE run_state SET resumed = resumed + 1, cancelling = 0 WHERE run = ?', run);
      });
    },
    advance: (run, request): Advanced =>
      transact(() => {
        writeLines(run, request.lines);
        const lost = request.settlements
          .filter((item) => !settle(item, request.now))
          .map((item) => item.lease);
        change(
          `UPDATE run_step SET status = 'ready', token = token + 1, worker = NULL, lease_until = NULL
WHERE run = ? AND status = 'running' AND lease_until < ?`,
          run,
          request.now,
        );
        const cancelling = isCancelling(run);
        const taken = cancelling ? [] : take(run, request);
        if (taken.length > 0) renew(run, request.worker, request.leaseUntil);
        const open = first(
          `SELECT count(*) AS n, min(CASE status WHEN 'ready' THEN nullif(not_before, 0) WHEN 'running' THEN lease_until END)
  AS wake FROM run_step WHERE run = ? AND status IN ('waiting', 'ready', 'running')`,
          run,
        )!;
        return { taken, lost, left: Number(open['n']), wakeAt: nullable(open['wake']), cancelling };
      }),
    heartbeat: (run, { worker, leaseUntil, lines }) =>
      transact(() => {
        writeLines(run, lines);
        change(
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
          if (!holds(lease))
            throw new MillraceError(
              'LEASE_LOST',
              `step ${lease.step} of run ${lease.run} is not this process's any more; nothing of it was published`,
            );
        },
      }),
    detail: (run, now) => {
      const row = first(`${DETAIL} WHERE run.id = ?`, run);
      return row && toDetail(row, now);
    },
    list: (limit, now) =>
      all(`${DETAIL} ORDER BY run.id DESC LIMIT ?`, limit).map((row) => toDetail(row, now)),
    lines: (run, step) =>
      (step === undefined
        ? all('SELECT * FROM run_line WHERE run = ? ORDER BY id', run)
        : all('SELECT * FROM run_line WHERE run = ? AND step = ? ORDER BY id', run, step)
      ).map((row) => ({
        step: row['step'] as string,
        token: Number(row['token']),
        at: Number(row['at']),
        text: row['text'] as string,
      })),
    cancel: (run, now) => {
      const asked = transact((): 'asked' | 'dead' | 'ended' => {
        const row = first(`${DETAIL} WHERE run.id = ?`, run);
        if (!row || (row['status'] !== 'running' && row['status'] !== 'interrupted')) return 'ended';
        change('UPDATE run_state SET cancelling = 1 WHERE run = ?', run);
        return isAlive(row, now) ? 'asked' : 'dead';
      });
      if (asked !== 'dead') return asked;
      finish(run, 'cancelled', now, { error: 'cancelled; its process had ended' });
      return 'cancelled';
    },
    ended: (step, limit) =>
      all(
        "SELECT ended_at FROM run_step WHERE step = ? AND status IN ('done', 'refused') ORDER BY ended_at DESC LIMIT ?",
        step,
        limit,
      ).map((row) => Number(row['ended_at'])),
    timings: (limit) =>
      all(
        `SELECT step, action, seconds, rows, bytes FROM run_step WHERE status IN ('done', 'refused') AND seconds IS NOT NULL
ORDER BY ended_at DESC LIMIT ?`,
        limit,
      ).map(
        (row): Timing => ({
          step: row['step'] as string,
          action: row['action'] as string,
          seconds: Number(row['seconds']),
          rows: nullable(row['rows']),
          bytes: nullable(row['bytes']),
        }),
      ),
  };
}
