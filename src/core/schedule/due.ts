/** Which times of a schedule are to be run now, and which are not. Pure: the clock is an argument. */

import { invariant } from '../base/error.js';
import { fingerprint } from '../base/fingerprint.js';
import { type Instant, MICROS_PER_DAY, MICROS_PER_SECOND, printInstant } from '../base/time.js';
import { parseCron } from '../define/cron.js';
import type { Schedule } from '../define/types.js';

/** More times that were missed than these are not caught up with: the last ones are. */
const MOST_CAUGHT_UP = 1000;
/** A time is on time for so long. */
const ON_TIME = 60 * MICROS_PER_SECOND;

const timesOf = (schedule: Pick<Schedule, 'cron' | 'timezone'>) => {
  const parsed = parseCron(schedule.cron, schedule.timezone);
  invariant(parsed.ok, `the cron expression ${schedule.cron} was checked when it was read`);
  return parsed.times;
};

/** The first `count` times after an instant. */
export function timesAfter(
  schedule: Pick<Schedule, 'cron' | 'timezone'>,
  after: Instant,
  count: number,
): readonly Instant[] {
  const { next } = timesOf(schedule);
  const found: Instant[] = [];
  for (let at = next(after); at !== null && found.length < count; at = next(at)) found.push(at);
  return found;
}

/** When a time really starts: the time and its share of the jitter, the same whenever it is asked for. */
export function startOf(schedule: Pick<Schedule, 'name' | 'jitter'>, due: Instant): Instant {
  if (schedule.jitter === 0) return due;
  const draw = Number.parseInt(fingerprint({ schedule: schedule.name, due }).slice(0, 12), 16);
  return due + Math.floor((draw / 2 ** 48) * schedule.jitter);
}

export interface DueTimes {
  /** To be run, oldest first. */
  readonly run: readonly Instant[];
  readonly skipped: readonly { readonly due: Instant; readonly reason: string }[];
}

/**
 * The times in `(seen, now]`. `since`: from when on somebody was there to run them; what passed before that was missed,
 * and `catch_up` says what becomes of it.
 */
export function dueTimes(
  schedule: Pick<Schedule, 'cron' | 'timezone' | 'catchUp'>,
  seen: Instant,
  now: Instant,
  since: Instant,
): DueTimes {
  const due = lastTimes(schedule, seen, now);
  if (due.length === 0) return { run: [], skipped: [] };
  if (schedule.catchUp === 'all') return { run: due, skipped: [] };
  const last = due.at(-1)!;
  const missed = schedule.catchUp === 'none' && last < since && last < now - ON_TIME;
  return {
    run: missed ? [] : [last],
    skipped: due
      .filter((time) => missed || time !== last)
      .map((time) => ({
        due: time,
        reason: missed
          ? 'it passed while no scheduler was there, and catch_up is none'
          : `the one at ${printInstant(last)} stands for it`,
      })),
  };
}

/** Looked for in growing spans before `now`, so that a long absence does not take long. At most MOST_CAUGHT_UP. */
function lastTimes(
  schedule: Pick<Schedule, 'cron' | 'timezone'>,
  seen: Instant,
  now: Instant,
): readonly Instant[] {
  const { next } = timesOf(schedule);
  for (let span = MICROS_PER_DAY; ; span *= 8) {
    const from = Math.max(seen, now - span);
    const found: Instant[] = [];
    for (let at = next(from); at !== null && at <= now; at = next(at)) found.push(at);
    if (from === seen || found.length >= MOST_CAUGHT_UP) return found.slice(-MOST_CAUGHT_UP);
  }
}
