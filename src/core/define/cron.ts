/** Cron expressions in a time zone: what they mean, and the instants that they name. */
import { Cron } from 'croner';
import { type Instant, MICROS_PER_DAY, MICROS_PER_SECOND } from '../base/time.js';
import { zoneOffset } from '../expression/zone.js';

/** When something is due, again and again. */
export interface CronTimes {
  /** The first instant after `after`, or null when there is none. */
  next(after: Instant): Instant | null;
}

export type ParsedCron =
  | { readonly ok: true; readonly times: CronTimes }
  | { readonly ok: false; readonly problem: string };

/** What a clock on the wall shows, as the instant at which one of UTC shows it. */
type Wall = number;

const MICROS_PER_MS = 1000;
/** A leap day comes within twelve years of it, so what has no time after it has none. */
const LONG_AGO: Wall = Date.UTC(2000, 0, 1) * MICROS_PER_MS;
/** Clocks are put back by less, and changed less often than in each of these. */
const CHANGE = 3 * 3600 * MICROS_PER_SECOND;

/**
 * Five fields (minute, hour, day of month, month, day of week) with names, ranges, lists, steps, `L`, `W` and `#`, or
 * `@hourly @daily @midnight @weekly @monthly @yearly @annually`. A day matches when either of two restricted day fields
 * does.
 *
 * On the clocks of `zone`: fixed times that a change to summer time skips are due once, at the end of the gap; those
 * that come twice in autumn are due once, the first time. Times with a wildcard, a range or a step in the hour go on by
 * the real minute and hour through both.
 */
export function parseCron(text: string, zone: string): ParsedCron {
  const written = text.trim();
  // `?` would be the minute in which the text is read, and seconds and years have no place here.
  if (!/^(@[a-z]+|[\dA-Za-z*/,#\s-]+)$/.test(written))
    return { ok: false, problem: `\`${text}\` has characters that no cron expression has` };
  let cron: Cron;
  try {
    cron = new Cron(written, { timezone: 'UTC', paused: true, mode: '5-part' });
  } catch (error) {
    const message = (error as Error).message.replace(/^\w+: /, '');
    const parts = /parts are required|requires exactly 5 parts/.test(message);
    return {
      ok: false,
      problem: parts ? `\`${text}\` has not five fields: minute hour day month weekday` : message,
    };
  }
  const nextWall = (after: Wall): Wall | null => {
    const found = cron.nextRun(new Date(Math.floor(after / MICROS_PER_MS)));
    return found === null ? null : found.getTime() * MICROS_PER_MS;
  };
  if (nextWall(LONG_AGO) === null) return { ok: false, problem: `\`${text}\` names a day that never comes` };
  const fixed = written.startsWith('@') ? written !== '@hourly' : !/[*/-]/.test(written.split(/\s+/)[1]!);
  return { ok: true, times: { next: fixed ? fixedTimes(nextWall, zone) : realTimes(nextWall, zone) } };
}

type NextWall = (after: Wall) => Wall | null;

/** One instant a wall time, never before that of an earlier one. */
function fixedTimes(nextWall: NextWall, zone: string): CronTimes['next'] {
  const offset = zoneOffset(zone);
  return (after) => {
    for (let wall = nextWall(after + offset(after)); wall !== null; wall = nextWall(wall)) {
      const at = instantsOf(offset, wall)[0] ?? endOfGap(offset, wall);
      if (at > after) return at;
    }
    return null;
  };
}

/** Each instant at which the wall shows such a time: none in a gap, two where clocks are put back. */
function realTimes(nextWall: NextWall, zone: string): CronTimes['next'] {
  const offset = zoneOffset(zone);
  return (after) => {
    const here = offset(after);
    // Near a change a time that the wall has shown may be shown again, before others that it shows once.
    const changes = offset(after - CHANGE) !== here || offset(after + CHANGE) !== here;
    let best: Instant | null = null;
    let wall = nextWall(after + here - (changes ? CHANGE : 0));
    for (; wall !== null; wall = nextWall(wall)) {
      const [first, second] = instantsOf(offset, wall);
      if (best !== null && first !== undefined && first >= best) break;
      const at = first !== undefined && first > after ? first : second;
      if (at !== undefined && at > after && (best === null || at < best)) best = at;
      if (!changes && best !== null) break;
    }
    return best;
  };
}

type Offset = (instant: Instant) => number;

/** Offsets before and after any change near a wall time. */
const offsetsAround = (offset: Offset, wall: Wall): readonly [number, number] => [
  offset(wall - MICROS_PER_DAY),
  offset(wall + MICROS_PER_DAY),
];

/** When the wall shows it: earlier first. */
function instantsOf(offset: Offset, wall: Wall): readonly Instant[] {
  const [before, after] = offsetsAround(offset, wall);
  return [...new Set([wall - before, wall - after])].filter((at) => at + offset(at) === wall);
}

/** The instant at which clocks are put forward over a wall time that they never show. */
function endOfGap(offset: Offset, wall: Wall): Instant {
  const [before, after] = offsetsAround(offset, wall);
  let low = (wall - after) / MICROS_PER_SECOND;
  let high = (wall - before) / MICROS_PER_SECOND;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offset(middle * MICROS_PER_SECOND) === before) low = middle;
    else high = middle;
  }
  return high * MICROS_PER_SECOND;
}
