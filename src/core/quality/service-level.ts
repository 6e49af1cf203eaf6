/** Service levels of sources: what was promised, what was kept, what is left of the error budget. */
import {
  type Instant,
  MICROS_PER_DAY,
  MICROS_PER_SECOND,
  printDuration,
  printInstant,
} from '../base/time.js';
import type { ServiceLevels } from '../define/types.js';
import { zoneOffset } from '../expression/zone.js';
import { resolveLocal } from '../schema/coerce-zone.js';

/** A committed batch as service levels see it. */
export interface Arrival {
  readonly at: Instant;
  readonly rows: number;
  /** Rows that a rule kept out: quarantined and dropped ones. */
  readonly failed: number;
  /** Greatest available_at of its records; null when it is not known. */
  readonly known: Instant | null;
}

export interface BurnRate {
  readonly window: '1h' | '6h';
  /** How many times faster than allowed the budget is spent; 1 spends it just by the end of the period. */
  readonly rate: number;
  readonly limit: number;
  readonly alert: boolean;
}

export interface LevelStatus {
  readonly level: 'passing' | 'freshness' | 'completeness';
  /** What is promised, in words. */
  readonly objective: string;
  readonly target: number;
  /** Over the period; null while there is nothing to measure. */
  readonly share: number | null;
  readonly met: boolean | null;
  /** Records, seconds or days. */
  readonly unit: 'records' | 'seconds' | 'days';
  readonly total: number;
  readonly failed: number;
  /** Share of the error budget that is left; negative when more than all of it is spent. */
  readonly budget: number | null;
  readonly burn: readonly BurnRate[];
  /** Whether what depends on the source may go on now; null for levels that nothing waits for. */
  readonly available: boolean | null;
  /** Why not, in words; null when available. */
  readonly reason: string | null;
}

const HOUR = 3600 * MICROS_PER_SECOND;
/** A budget of 30 days is spent in 50 hours at 14.4, in 10 days at 3. */
const BURNS = [
  { window: '1h', length: HOUR, limit: 14.4 },
  { window: '6h', length: 6 * HOUR, limit: 3 },
] as const;

const percent = (share: number): string => `${Number((share * 100).toPrecision(4))} %`;

function summary(
  target: number,
  total: number,
  failed: number,
): Pick<LevelStatus, 'target' | 'share' | 'met' | 'budget' | 'total' | 'failed'> {
  if (total === 0) return { target, share: null, met: null, budget: null, total, failed };
  const share = (total - failed) / total;
  const allowed = (1 - target) * total;
  const budget = failed === 0 ? 1 : allowed <= 0 ? -failed : 1 - failed / allowed;
  return { target, share, met: share >= target, budget, total, failed };
}

const burnOf = (
  target: number,
  measure: (from: Instant) => { readonly total: number; readonly failed: number },
  now: Instant,
): readonly BurnRate[] =>
  BURNS.map(({ window, length, limit }) => {
    const { total, failed } = measure(now - length);
    const rate = total === 0 || failed === 0 ? 0 : failed / total / Math.max(1 - target, 1e-9);
    return { window, rate, limit, alert: rate >= limit };
  });

function passingStatus(
  level: NonNullable<ServiceLevels['passing']>,
  arrivals: readonly Arrival[],
  now: Instant,
): LevelStatus {
  const measure = (from: Instant): { total: number; failed: number } => {
    let [total, failed] = [0, 0];
    for (const arrival of arrivals) {
      if (arrival.at <= from || arrival.at > now) continue;
      total += arrival.rows;
      failed += arrival.failed;
    }
    return { total, failed };
  };
  const { total, failed } = measure(now - level.over);
  return {
    level: 'passing',
    objective: `${percent(level.share)} of records pass${period(level.over)}`,
    unit: 'records',
    ...summary(level.share, total, failed),
    burn: burnOf(level.share, measure, now),
    available: null,
    reason: null,
  };
}

const period = (over: number): string =>
  over >= Number.MAX_SAFE_INTEGER ? '' : `, over ${printDuration(over)}`;

/** Time in (from, now] for which the newest known record was older than `within`; it begins with the first arrival. */
function staleTime(
  arrivals: readonly Arrival[],
  within: number,
  from: Instant,
  now: Instant,
): { readonly total: number; readonly failed: number } {
  let known = Number.NEGATIVE_INFINITY;
  let failed = 0;
  const begin = Math.max(from, arrivals[0]?.at ?? now);
  for (const [i, arrival] of arrivals.entries()) {
    known = Math.max(known, arrival.known ?? Number.NEGATIVE_INFINITY);
    const start = Math.max(begin, arrival.at);
    const end = Math.min(now, arrivals[i + 1]?.at ?? now);
    failed += Math.max(0, end - Math.max(start, known + within));
  }
  return { total: Math.max(0, now - begin) / MICROS_PER_SECOND, failed: failed / MICROS_PER_SECOND };
}

function freshnessStatus(
  level: NonNullable<ServiceLevels['freshness']>,
  arrivals: readonly Arrival[],
  newest: Instant | null,
  now: Instant,
): LevelStatus {
  const { total, failed } = staleTime(arrivals, level.within, now - level.over, now);
  const age = newest === null ? null : now - newest;
  const available = age !== null && age <= level.within;
  return {
    level: 'freshness',
    objective: `the newest record is at most ${printDuration(level.within)} old, ${percent(level.share)} of the time${period(level.over)}`,
    unit: 'seconds',
    ...summary(level.share, total, failed),
    burn: burnOf(level.share, (from) => staleTime(arrivals, level.within, from, now), now),
    available,
    reason: available
      ? null
      : newest === null
        ? 'it has no records yet'
        : `its newest record is of ${printInstant(newest)}, ${printAge(age!)} ago: expected at most ${printDuration(level.within)}`,
  };
}

/** An age for people: its two largest units. */
function printAge(micros: number): string {
  const minutes = Math.floor(micros / (60 * MICROS_PER_SECOND));
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24];
  if (days > 0) return `${days}d ${hours}h`;
  if (hours > 0) return `${hours}h ${minutes % 60}m`;
  return minutes > 0 ? `${minutes}m` : `${Math.floor(micros / MICROS_PER_SECOND)}s`;
}

function completenessStatus(
  level: NonNullable<ServiceLevels['completeness']>,
  arrivals: readonly Arrival[],
  now: Instant,
): LevelStatus {
  const deadline = (day: number): Instant => {
    const resolved = resolveLocal(
      day * MICROS_PER_DAY + level.by * 60 * MICROS_PER_SECOND,
      level.timezone,
      'earlier',
    );
    return resolved.ok ? resolved.instant : day * MICROS_PER_DAY;
  };
  const dayOf = (instant: Instant): number =>
    Math.floor((instant + zoneOffset(level.timezone)(instant)) / MICROS_PER_DAY);
  const today = dayOf(now);
  const last = deadline(today) <= now ? today : today - 1;
  const arrived = (from: Instant, to: Instant): number =>
    arrivals.reduce((sum, { at, rows, failed }) => (at > from && at <= to ? sum + rows - failed : sum), 0);
  let [total, failed] = [0, 0];
  const first = arrivals[0];
  if (first) {
    const start = Math.max(dayOf(first.at), dayOf(Math.max(now - level.over, first.at)));
    for (let day = last; day >= start; day--) {
      const by = deadline(day);
      // The first day counts from what came on it.
      if (by < first.at || by <= now - level.over) break;
      total++;
      if (arrived(deadline(day - 1), by) < level.rows) failed++;
    }
  }
  const since = deadline(last - 1);
  const rows = arrived(since, now);
  const available = rows >= level.rows;
  const clock = `${String(Math.floor(level.by / 60)).padStart(2, '0')}:${String(level.by % 60).padStart(2, '0')}`;
  return {
    level: 'completeness',
    objective: `${level.rows === 1 ? 'records' : `${level.rows.toLocaleString('en-US')} rows`} are there by ${clock} (${level.timezone}), ${percent(level.share)} of the days${period(level.over)}`,
    unit: 'days',
    ...summary(level.share, total, failed),
    burn: [],
    available,
    reason: available
      ? null
      : `${rows.toLocaleString('en-US')} of ${level.rows.toLocaleString('en-US')} rows have come since ${printInstant(since)}; they were due by ${printInstant(deadline(last))}`,
  };
}

/**
 * Every promised level at `now`. Arrivals are the committed batches, oldest first; `newest` is the greatest
 * available_at of the log.
 */
export const serviceLevelStatus = (
  levels: ServiceLevels,
  arrivals: readonly Arrival[],
  newest: Instant | null,
  now: Instant,
): readonly LevelStatus[] => [
  ...(levels.passing ? [passingStatus(levels.passing, arrivals, now)] : []),
  ...(levels.freshness ? [freshnessStatus(levels.freshness, arrivals, newest, now)] : []),
  ...(levels.completeness ? [completenessStatus(levels.completeness, arrivals, now)] : []),
];
