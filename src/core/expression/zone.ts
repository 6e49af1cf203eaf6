import { MICROS_PER_SECOND } from '../base/time.js';

const MICROS_PER_HOUR = 3_600 * MICROS_PER_SECOND;
const MAX_CACHED_HOURS = 50_000;

/** Whether the name is an IANA time zone (offsets such as `+02:00` are none). */
export function knownZone(name: string): boolean {
  if (name !== 'UTC' && !/^[A-Za-z_]+(?:\/[A-Za-z0-9_+-]+)+$/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}

/**
 * Microseconds to add to an instant for the local time of a zone. Asked of Intl once for each hour that has one
 * offset; hours with a change are asked by the second.
 */
export function zoneOffset(zone: string): (instant: number) => number {
  if (zone === 'UTC') return () => 0;
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    calendar: 'iso8601',
    numberingSystem: 'latn',
    hourCycle: 'h23',
    era: 'short',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const ask = (second: number): number => {
    const parts: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(second * 1000)) parts[type] = Number(value);
    const local = Date.UTC(
      parts['year']!,
      parts['month']! - 1,
      parts['day'],
      parts['hour'],
      parts['minute'],
      parts['second'],
    );
    return (local / 1000 - second) * MICROS_PER_SECOND;
  };
  const hours = new Map<number, number | undefined>();
  return (instant) => {
    const hour = Math.floor(instant / MICROS_PER_HOUR);
    let offset = hours.get(hour);
    if (offset === undefined && !hours.has(hour)) {
      const first = ask(hour * 3600);
      offset = first === ask(hour * 3600 + 3599) ? first : undefined;
      if (hours.size >= MAX_CACHED_HOURS) hours.clear();
      hours.set(hour, offset);
    }
    return offset ?? ask(Math.floor(instant / MICROS_PER_SECOND));
  };
}
