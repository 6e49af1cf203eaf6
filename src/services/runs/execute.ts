/** Takes the steps of a run from its table, performs them, and settles them, until none is left. */
import { MillraceError } from '../../core/base/error.js';
import type { Instant } from '../../core/base/time.js';
import type {
  Amount,
  Lease,
  LogLine,
  RunStore,
  Settlement,
  StepRecord,
  Taken,
} from '../../ports/run-store.js';

export interface StepContext {
  readonly record: StepRecord;
  readonly lease: Lease;
  /** Aborted when the run is interrupted or cancelled, or the step's time is over. */
  readonly signal: AbortSignal;
  /** A line of the step's log. */
  log(text: string): void;
}

export interface StepOutcome {
  readonly status: 'done' | 'unchanged' | 'refused';
  readonly detail: string;
  /** What it read, where that is known better now. */
  readonly amount?: Amount;
}

export interface ExecuteOptions {
  readonly store: RunStore;
  readonly run: number;
  /** Tells this process from others; leases are kept under it. */
  readonly worker: string;
  /** Places by pool; a pool that is not named has one. */
  readonly pools: Readonly<Record<string, number>>;
  readonly leaseSeconds: number;
  /** Wait before the second try of a step; it doubles with every further one. */
  backoffSeconds(step: string): number;
  readonly now: () => Instant;
  readonly signal: AbortSignal;
  perform(context: StepContext): Promise<StepOutcome>;
  onEnd?(record: StepRecord, outcome: EndedStep): void;
}

export interface EndedStep {
  readonly step: string;
  readonly status: 'done' | 'unchanged' | 'refused' | 'failed';
  readonly seconds: number;
  readonly detail: string;
}

export interface Execution {
  readonly ended: 'done' | 'failed' | 'interrupted' | 'cancelled';
  /** In the order in which they ended. */
  readonly steps: readonly EndedStep[];
  /** What the first step that failed for good threw. */
  readonly error: unknown;
}

/** Time that a step has to stop in after it was told to; afterwards it is left behind and can publish nothing. */
const GRACE_MS = 10_000;
const POLL_MS = 1000;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The delay doubles with every failure: 1, 2, 4 … times the first. */
const backoff = (firstSeconds: number, failures: number): number =>
  firstSeconds * 1e6 * 2 ** Math.min(failures, 12);

export async function executeRun(options: ExecuteOptions): Promise<Execution> {
  const { store, run, worker, now } = options;
  const cancel = new AbortController();
  const stop = AbortSignal.any([options.signal, cancel.signal]);
  const settlements: Settlement[] = [];
  const lines: LogLine[] = [];
  const steps: EndedStep[] = [];
  let running = 0;
  let error: unknown;
  let failed = false;
  let wake = (): void => {};

  const leaseUntil = (): Instant => now() + options.leaseSeconds * 1e6;
  const heartbeat = setInterval(
    () => {
      if (running === 0) return;
      const request = { worker, now: now(), leaseUntil: leaseUntil(), lines: lines.splice(0) };
      if (store.heartbeat(run, request).cancelling) cancel.abort();
    },
    Math.min(POLL_MS, (options.leaseSeconds * 1000) / 3),
  );
  const onStop = (): void => wake();
  stop.addEventListener('abort', onStop);

  const start = (taken: Taken): void => {
    running++;
    void attempt(options, stop, taken, lines).then(({ settlement, thrown }) => {
      running--;
      settlements.push(settlement);
      const { record } = taken;
      const { seconds, detail, status } = settlement;
      const last = status !== 'failed' || settlement.retryAt === null || record.failures + 1 >= record.tries;
      if (status !== 'released' && last) {
        const ended = { step: record.step, status, seconds, detail };
        steps.push(ended);
        if (status === 'failed' && !failed) error = thrown;
        failed ||= status === 'failed';
        options.onEnd?.(record, ended);
      }
      wake();
    });
  };

  try {
    for (;;) {
      const state = store.advance(run, {
        worker,
        now: now(),
        leaseUntil: leaseUntil(),
        settlements: settlements.splice(0),
        lines: lines.splice(0),
        pools: stop.aborted ? null : options.pools,
      });
      if (state.cancelling && !cancel.signal.aborted) cancel.abort();
      for (const lease of state.lost) forget(steps, lease);
      const woken = new Promise<void>((resolve) => (wake = resolve));
      for (const taken of state.taken) start(taken);
      if (running === 0 && (state.left === 0 || stop.aborted)) break;
      if (settlements.length > 0) continue;
      const due = state.wakeAt === null ? POLL_MS : (state.wakeAt - now()) / 1000 + 1;
      await waitFor(woken, running > 0 && state.wakeAt === null ? null : Math.max(1, Math.min(POLL_MS, due)));
    }
  } finally {
    clearInterval(heartbeat);
    stop.removeEventListener('abort', onStop);
  }
  const ended = cancel.signal.aborted
    ? 'cancelled'
    : options.signal.aborted
      ? 'interrupted'
      : failed
        ? 'failed'
        : 'done';
  return { ended, steps, error };
}

/** Another process has taken the step over: what this one made of it does not count. */
function forget(steps: EndedStep[], lease: Lease): void {
  const at = steps.findLastIndex(({ step }) => step === lease.step);
  if (at >= 0) steps.splice(at, 1);
}

async function waitFor(woken: Promise<void>, milliseconds: number | null): Promise<void> {
  if (milliseconds === null) return woken;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([woken, late]);
  clearTimeout(timer);
}

/** One try of a step. Does not throw. */
async function attempt(
  options: ExecuteOptions,
  stop: AbortSignal,
  { record, ...lease }: Taken,
  lines: LogLine[],
): Promise<{ readonly settlement: Settlement; readonly thrown?: unknown }> {
  const { now } = options;
  const over = new AbortController();
  const signal = AbortSignal.any([stop, over.signal]);
  const log = (text: string): void => {
    for (const line of text.split('\n'))
      lines.push({ step: record.step, token: lease.token, at: now(), text: line });
  };
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  const limit = record.timeoutSeconds;
  let timer: NodeJS.Timeout | undefined;
  let grace: NodeJS.Timeout | undefined;
  let leftBehind = false;
  try {
    const work = options.perform({ record, lease, signal, log });
    const { amount, ...outcome } = await (limit === null
      ? work
      : Promise.race([
          work,
          new Promise<never>((_, reject) => {
            timer = setTimeout(() => {
              over.abort();
              grace = setTimeout(() => {
                leftBehind = true;
                reject(new Error('it did not stop'));
              }, GRACE_MS);
            }, limit * 1000);
          }),
        ]));
    log(outcome.detail);
    return { settlement: { lease, seconds: seconds(), ...outcome, ...(amount ? { amount } : {}) } };
  } catch (caught) {
    const late = over.signal.aborted;
    const thrown = late
      ? new MillraceError(
          'STEP_TIMEOUT',
          `${record.step} was stopped after ${limit} s${leftBehind ? '; it did not end and is left behind' : ''}`,
          { cause: caught },
        )
      : caught;
    const detail = messageOf(thrown);
    if (!late && stop.aborted && caught instanceof MillraceError && caught.code === 'INTERRUPTED') {
      log('interrupted');
      return { settlement: { lease, seconds: seconds(), detail: '', status: 'released' } };
    }
    const again = thrown instanceof MillraceError && thrown.retryable && !leftBehind && !stop.aborted;
    const retryAt = again ? now() + backoff(options.backoffSeconds(record.step), record.failures) : null;
    log(thrown instanceof MillraceError ? `${thrown.code} ${detail}` : detail);
    if (again && record.failures + 1 < record.tries)
      log(`tried again in ${((retryAt! - now()) / 1e6).toFixed(1)} s`);
    return { settlement: { lease, seconds: seconds(), detail, status: 'failed', retryAt }, thrown };
  } finally {
    clearTimeout(timer);
    clearTimeout(grace);
  }
}
