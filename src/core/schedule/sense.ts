/** Whether a sensor fires. Pure: what was looked at is an argument. */
import { type Duration, type Instant, printDuration, printInstant } from '../base/time.js';

/** What a sensor sees. */
export interface Sight {
  /** Changes with what it waits for; null: it is not there. */
  readonly mark: string | null;
  /** Why it is not there, or what there is. */
  readonly reason: string;
}

/** What is known of a sensor's past. */
export interface SensorPast {
  /** The mark for which it fired last, or with which it began. */
  readonly mark: string | null;
  readonly firedAt: Instant | null;
}

export interface Sensed {
  readonly fires: boolean;
  /** Why, or why not. */
  readonly reason: string;
}

/** A sensor fires once for a mark, and at most once in its minimum interval: what came in between fires at its end. */
export function sense(sight: Sight, past: SensorPast, minimumInterval: Duration, now: Instant): Sensed {
  if (sight.mark === null) return { fires: false, reason: sight.reason };
  if (sight.mark === past.mark)
    return {
      fires: false,
      reason:
        past.firedAt === null
          ? 'nothing has changed since it first looked'
          : `nothing has changed since it fired at ${printInstant(past.firedAt)}`,
    };
  // A firing in the future is of before the clock was put back, and holds nothing up.
  if (past.firedAt !== null && past.firedAt <= now && now < past.firedAt + minimumInterval)
    return {
      fires: false,
      reason: `${sight.reason}; it fired at ${printInstant(past.firedAt)} and waits ${printDuration(minimumInterval)}, until ${printInstant(past.firedAt + minimumInterval)}`,
    };
  return { fires: true, reason: sight.reason };
}
