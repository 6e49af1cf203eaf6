/**
 * What schedules and sensors have seen and what became of it. One process at a time leads: each change shows the token
 * that it was given, and whoever leads next gets another.
 */
import type { Instant } from '../core/base/time.js';

export interface TriggerState {
  readonly name: string;
  /** Schedules: times up to here are settled. Sensors: when it looked last. */
  readonly seen: Instant;
  /** Sensors: what it fired for last, or began with. */
  readonly mark: string | null;
  readonly firedAt: Instant | null;
  /** Why it did not fire when it was looked at last; empty when it did. */
  readonly reason: string;
}

export type FiringStatus =
  | 'due'
  | 'running'
  | 'done'
  /** There was nothing to compute. */
  | 'nothing'
  /** A gate refused, or the policy asks. */
  | 'refused'
  | 'failed'
  /** It was not to be run. */
  | 'skipped';

export interface Firing {
  readonly trigger: string;
  /** With the trigger it is unique: nothing fires twice for one time. */
  readonly due: Instant;
  readonly startAt: Instant;
  readonly status: FiringStatus;
  readonly run: number | null;
  readonly startedAt: Instant | null;
  readonly endedAt: Instant | null;
  readonly detail: string;
}

export type NewFiring = Pick<Firing, 'due' | 'startAt' | 'detail'> & { readonly status: 'due' | 'skipped' };

export interface Leadership {
  readonly token: number;
  /** When the one before was last there; null: there was none. */
  readonly before: Instant | null;
  /** Says that it is still there. @throws LEASE_LOST when another leads. */
  renew(now: Instant): void;
  /** Notes what a trigger has seen and what is to be run for it: all or nothing. A firing that is there stays. */
  observe(state: Omit<TriggerState, 'firedAt'>, firings: readonly NewFiring[]): void;
  begin(firing: Firing, now: Instant): void;
  /** Goes on waiting: it could not be begun. */
  postpone(firing: Firing, reason: string): void;
  end(firing: Firing, status: FiringStatus, run: number | null, detail: string, now: Instant): void;
  release(): void;
}

export interface ScheduleStore {
  /** @throws STORE_LOCKED while a living process leads. */
  lead(command: string, now: Instant): Leadership;
  /** When somebody who leads was last there, and who; null: nobody leads. */
  leader(): { readonly pid: number; readonly command: string } | null;
  states(): ReadonlyMap<string, TriggerState>;
  /** What is due or was left running, by when it starts. */
  open(): readonly Firing[];
  /** Newest first. */
  firings(limit: number, trigger?: string): readonly Firing[];
}
