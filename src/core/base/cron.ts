/** Cron expressions in a time zone: what they mean, and the instants that they name. */
import { Cron } from 'croner';
import type { Instant } from './time.js';

/** When something is due, again and again. */
export interface CronTimes {
  /** The first instant after `after`, or null when there is none. */
  next(after: Instant): Instant | null;
}

export type ParsedCron =
  | { readonly ok: true; readonly times: CronTimes }
  | { readonly ok: false; readonly problem: string };

const MICROS_PER_MS = 1000;
/** A leap day comes within twelve years of it, so what has no time after it has none. */
const LONG_AGO = Date.UTC(2000, 0, 1) * MICROS_PER_MS;

/**
 * Five fields (minute, hour, day of month, month, day of week) with names, ranges, lists, steps, `L`, `W` and `#`, or
 * `@hourly @daily @midnight @weekly @monthly @yearly @annually`. A day matches when either of two restricted day fields
 * does.
 *
 * On the clocks of `zone`: a fixed time that a change to summer time skips is due once, at the end of the gap; one that
 * comes twice in autumn is due once, the first time. Times with a wildcard, a range or a step in the hour go on by the
 * real minute and hour through both.
 */
export function parseCron(text: string, zone: string): ParsedCron {
  const written = text.trim();
  // `?` would be the minute in which the text is read, and seconds and years have no place here.
  if (!/^(@[a-z]+|[\dA-Za-z*/,#\s-]+)$/.test(written))
    return { ok: false, problem: `\`${text}\` has characters that no cron expression has` };
  let cron: Cron;
  try {
    cron = new Cron(written, { timezone: zone, paused: true, mode: '5-part' });
  } catch (error) {
    const message = (error as Error).message.replace(/^\w+: /, '');
    const parts = /parts are required|requires exactly 5 parts/.test(message);
    return {
      ok: false,
      problem: parts ? `\`${text}\` has not five fields: minute hour day month weekday` : message,
    };
  }
  const next = (after: Instant): Instant | null => {
    const found = cron.nextRun(new Date(Math.floor(after / MICROS_PER_MS)));
    return found === null ? null : found.getTime() * MICROS_PER_MS;
  };
  if (next(LONG_AGO) === null) return { ok: false, problem: `\`${text}\` names a day that never comes` };
  return { ok: true, times: { next } };
}
