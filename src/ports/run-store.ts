/**
 * Runs as a table of steps that processes take on lease. A step is finished once: what finishes it, or publishes for
 * it, shows the token of its lease, and every change of hands changes the token.
 */
import type { Instant } from '../core/base/time.js';
import type { Registry, RunRecord } from './registry.js';

export type StepStatus =
  | 'waiting'
  | 'ready'
  | 'running'
  | 'done'
  | 'unchanged'
  | 'refused'
  | 'failed'
  | 'skipped'
  | 'cancelled';

export interface NewStep {
  /** Unique within the run. */
  readonly step: string;
  readonly action: string;
  readonly reason: string;
  /** Steps of the run that must end well before it. */
  readonly after: readonly string[];
  /** Steps of one pool share its places. */
  readonly pool: string;
  /** Of several ready steps the greatest goes first, then the one named first. */
  readonly priority: number;
  /** Tries that may fail before the step has failed. */
  readonly tries: number;
  /** A try is stopped after so long; null: never. */
  readonly timeoutSeconds: number | null;
  readonly expected: Amount;
}

/** What a step reads. */
export interface Amount {
  readonly rows: number | null;
  readonly bytes: number | null;
}

export interface StepRecord extends Omit<NewStep, 'after' | 'expected'>, Amount {
  readonly run: number;
  readonly position: number;
  readonly status: StepStatus;
  /** Tries that failed. */
  readonly failures: number;
  /** Times it was taken on lease. */
  readonly token: number;
  readonly startedAt: Instant | null;
  readonly endedAt: Instant | null;
  /** Of the last try. */
  readonly seconds: number | null;
  readonly detail: string;
}

export interface RunDetail extends RunRecord {
  /** Assets asked for, sorted; none: all. */
  readonly scope: readonly string[];
  readonly steps: readonly StepRecord[];
  /** A process renews its hold on the run. */
  readonly alive: boolean;
  readonly cancelling: boolean;
  /** Times another process took the run up again. */
  readonly resumed: number;
}

export interface Lease {
  readonly run: number;
  readonly step: string;
  readonly token: number;
}

export interface Taken extends Lease {
  readonly record: StepRecord;
}

export interface LogLine {
  readonly step: string;
  /** Token of the try that wrote it. */
  readonly token: number;
  readonly at: Instant;
  readonly text: string;
}

/** How a try ended. */
export type Settlement = {
  readonly lease: Lease;
  readonly seconds: number;
  readonly detail: string;
} & (
  | { readonly status: 'done' | 'unchanged' | 'refused'; readonly amount?: Amount }
  /** Failed for good when `retryAt` is null or no try is left: what waits for it is skipped. */
  | { readonly status: 'failed'; readonly retryAt: Instant | null }
  /** Given back as it was: the process was asked to stop. */
  | { readonly status: 'released' }
);

export interface Advance {
  /** Begins with the number of its process, where that can be asked for. */
  readonly worker: string;
  readonly now: Instant;
  readonly leaseUntil: Instant;
  readonly settlements: readonly Settlement[];
  readonly lines: readonly LogLine[];
  /** Places by pool; 0 places: nothing is taken. Null: nothing at all is taken. */
  readonly pools: Readonly<Record<string, number>> | null;
}

export interface Advanced {
  readonly taken: readonly Taken[];
  /** Settlements that came too late: their lease had gone to somebody else, and they changed nothing. */
  readonly lost: readonly Lease[];
  /** Steps that are waiting, ready or running. */
  readonly left: number;
  /** When the next of them may become ready by time alone: a delay or a lease that ends. */
  readonly wakeAt: Instant | null;
  readonly cancelling: boolean;
}

/** How long a step of an asset took, of so much. */
export interface Timing extends Amount {
  readonly step: string;
  readonly action: string;
  readonly seconds: number;
}

/** What is known of a key that a run was asked for under. */
export interface RunKey {
  readonly scope: readonly string[];
  /** Null: there was nothing to do. */
  readonly run: number | null;
  /** Exit status and result, once it has ended. */
  readonly ended: { readonly exit: number; readonly result: unknown } | null;
}

export interface RunStore {
  /** With a key: it is tied to the run in the same transaction. */
  start(
    command: string,
    scope: readonly string[],
    steps: readonly NewStep[],
    at: Instant,
    key?: string | null,
  ): number;
  key(key: string): RunKey | undefined;
  /** How what was asked for under the key ended. The first ending stays. */
  endKey(key: string, scope: readonly string[], ended: NonNullable<RunKey['ended']>, at: Instant): void;
  /** The last run of the scope that no process finished. */
  unfinished(scope: readonly string[]): RunDetail | undefined;
  /**
   * Takes up a run that its process left: steps that are still planned wait again with the tries they had, steps that
   * are not planned any more had been published, finished steps stay unless they are planned again.
   */
  resume(run: number, steps: readonly NewStep[], at: Instant, key?: string | null): void;
  /** Settles, takes back leases that have ended, and takes what is ready: one transaction. */
  advance(run: number, request: Advance): Advanced;
  /** Renews the leases of a worker and its hold on the run. */
  heartbeat(
    run: number,
    request: Pick<Advance, 'worker' | 'now' | 'leaseUntil' | 'lines'>,
  ): { readonly cancelling: boolean };
  /** Steps that are left are cancelled when the run was, and stay for the next process when it was not. */
  finish(
    run: number,
    status: RunRecord['status'],
    at: Instant,
    summary: Readonly<Record<string, unknown>>,
  ): void;
  /** The registry as the holder of a lease may use it: each write fails with LEASE_LOST when the lease is another's. */
  registry(lease: Lease): Registry;
  detail(run: number, now: Instant): RunDetail | undefined;
  list(limit: number, now: Instant): readonly RunDetail[];
  lines(run: number, step?: string): readonly LogLine[];
  /** A living run is asked to stop; one without a process is cancelled at once. */
  cancel(run: number, now: Instant): 'asked' | 'cancelled' | 'ended';
  /** The last finished steps of an asset that did something, newest first. */
  timings(limit: number): readonly Timing[];
  /** When steps of an asset last did something, newest first. */
  ended(step: string, limit: number): readonly Instant[];
}
