/** Steps of runs: who holds them, and what comes of settling one. */
import type { Instant } from '../../../core/base/time.js';
import type {
  Advance,
  Lease,
  LogLine,
  NewStep,
  Settlement,
  StepRecord,
  StepStatus,
  Taken,
} from '../../../ports/run-store.js';
import { change, type Database, firstRow, optional, type Row, rows } from '../database.js';

export const toStep = (row: Row): StepRecord => ({
  run: Number(row['run']),
  step: row['step'] as string,
  position: Number(row['position']),
  action: row['action'] as string,
  reason: row['reason'] as string,
  pool: row['pool'] as string,
  priority: Number(row['priority']),
  tries: Number(row['tries']),
  timeoutSeconds: optional(row['timeout_seconds']),
  rows: optional(row['rows']),
  bytes: optional(row['bytes']),
  status: row['status'] as StepStatus,
  failures: Number(row['failures']),
  token: Number(row['token']),
  startedAt: optional(row['started_at']),
  endedAt: optional(row['ended_at']),
  seconds: optional(row['seconds']),
  detail: row['detail'] as string,
});

export function insertSteps(db: Database, run: number, steps: readonly NewStep[], from: number): void {
  const names = new Set(steps.map(({ step }) => step));
  steps.forEach((step, index) => {
    const after = [...new Set(step.after)].filter((name) => names.has(name));
    change(
      db,
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
    for (const parent of after) change(db, 'INSERT INTO run_edge VALUES (?, ?, ?)', run, parent, step.step);
  });
}

export function writeLines(db: Database, run: number, lines: readonly LogLine[]): void {
  for (const { step, token, at, text } of lines)
    change(
      db,
      'INSERT INTO run_line (run, step, token, at, text) VALUES (?, ?, ?, ?, ?)',
      run,
      step,
      token,
      at,
      text,
    );
}

export const holds = (db: Database, { run, step, token }: Lease): boolean =>
  firstRow(
    db,
    "SELECT 1 FROM run_step WHERE run = ? AND step = ? AND token = ? AND status = 'running'",
    run,
    step,
    token,
  ) !== undefined;

/** False: the lease is another's. */
export function settle(db: Database, settlement: Settlement, now: Instant): boolean {
  const { lease, seconds, detail } = settlement;
  const { run, step } = lease;
  if (!holds(db, lease)) return false;
  const end = (status: StepStatus, ended: Instant | null, notBefore = 0): void => {
    change(
      db,
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
    const tries = firstRow(
      db,
      'UPDATE run_step SET failures = failures + 1 WHERE run = ? AND step = ? RETURNING tries - failures AS left',
      run,
      step,
    );
    if (settlement.retryAt !== null && Number(tries!['left']) > 0) end('ready', null, settlement.retryAt);
    else {
      end('failed', now);
      change(
        db,
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
        db,
        'UPDATE run_step SET rows = ?, bytes = coalesce(?, bytes) WHERE run = ? AND step = ?',
        amount.rows,
        amount.bytes,
        run,
        step,
      );
    change(
      db,
      `UPDATE run_step SET deps_left = deps_left - 1, status = iif(deps_left = 1, 'ready', 'waiting')
WHERE run = ?1 AND status = 'waiting' AND step IN (SELECT child FROM run_edge WHERE run = ?1 AND parent = ?2)`,
      run,
      step,
    );
  }
  return true;
}

export function take(db: Database, run: number, request: Advance): Taken[] {
  const { pools, now, leaseUntil, worker } = request;
  if (pools === null) return [];
  const used = new Map(
    rows(
      db,
      "SELECT pool, count(*) AS n FROM run_step WHERE run = ? AND status = 'running' GROUP BY pool",
      run,
    ).map((row) => [row['pool'] as string, Number(row['n'])]),
  );
  const taken: Taken[] = [];
  for (const row of rows(
    db,
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
      db,
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
}
