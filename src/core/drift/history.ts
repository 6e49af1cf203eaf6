/** A batch against the batches before it: counts, shares of nulls, ages and distributions. */

import { studentIsf } from '../base/special.js';
import type { Instant } from '../base/time.js';
import { MICROS_PER_DAY, MICROS_PER_SECOND } from '../base/time.js';
import type { FieldDefinition, HistoryMeasure, HistoryPolicy, Severity } from '../define/types.js';
import { type BatchProfile, mergeBatches } from './batch-profile.js';
import { compareProfiles } from './compare.js';
import type { ColumnSample } from './grouped.js';
import { sayScale, scaleBetween } from './scale.js';
import { profileDistance } from './schema-change.js';
import { judgeAgainstHistory } from './tests.js';

/** What is kept of every batch, small enough that hundreds of them are read at once. */
export interface BatchFacts {
  /** Rows read. */
  readonly rows: number;
  /** Rows that passed the rules for one record. */
  readonly passed: number;
  readonly null_rate: Readonly<Record<string, number>>;
  readonly distinct_count: Readonly<Record<string, number>>;
  /** Seconds from the newest event to the ingest; null without rows. */
  readonly age: number | null;
  /** The newest event; null without rows. */
  readonly newest: Instant | null;
  /** The greatest available_at; null without rows. */
  readonly known: Instant | null;
}

/** One of several stretches of time that came together, each in files of its own. */
export interface BatchPart {
  /** Its file, or the first of them. */
  readonly file: string;
  /** Without an age: they were all read at once. */
  readonly facts: BatchFacts;
  /** Its files were refused for their history and accepted by somebody. */
  readonly expected?: boolean;
}

export interface PastBatch {
  readonly at: Instant;
  readonly facts: BatchFacts;
  /** Oldest first; they count as batches of their own in all but freshness. Absent: it is one. */
  readonly parts?: readonly (BatchPart & { readonly anomalous: readonly string[] })[];
  /** expected: all of it counts as ordinary. incident: none of it does. */
  readonly mark: 'expected' | 'incident' | null;
  /** Ids of the findings that were anomalous; unless the batch is expected, these values do not count as ordinary. */
  readonly anomalous: readonly string[];
}

export interface HistoryFinding {
  /** `history.row_count`, `history.null_rate.email`. */
  readonly id: string;
  readonly measure: HistoryMeasure;
  readonly field: string | null;
  /** The part of the batch that it is about; absent: all of it. */
  readonly file?: string;
  readonly value: number;
  /** Expected bounds, null where open. */
  readonly lower: number | null;
  readonly upper: number | null;
  /** Batches that it was held against. */
  readonly points: number;
  /** Against batches of its weekday. */
  readonly seasonal: boolean;
  readonly severity: Severity;
  readonly action: 'fail' | 'warn';
  readonly message: string;
}

export interface HistoryJudgement {
  /** insufficient_data: fewer batches before than the policy asks for; then bounds come from the contract only. */
  readonly verdict: 'ok' | 'anomalous' | 'insufficient_data';
  readonly batches: number;
  readonly findings: readonly HistoryFinding[];
}

/** Weeks of batches before weekdays are told apart, and batches of a weekday. */
const SEASONAL_POINTS = 21;
const WEEKDAY_POINTS = 3;
/** Batches that values are held against. */
export const HISTORY_BATCHES = 60;
/** Batches whose distributions are pooled. */
export const DISTRIBUTION_BATCHES = 12;
const NULL_FLOOR = 0.01;
const DISTINCT_FLOOR = 0.1;
const AGE_FLOOR = 3600;
const IDENTIFIER_SHARE = 0.5;

/** The facts of a batch with the profile of its passing rows. */
export function factsOf(rows: number, profile: BatchProfile, now: Instant): BatchFacts {
  const columns = Object.entries(profile.columns);
  const newest = profile.freshness.maxEventTime;
  return {
    rows,
    passed: profile.rows,
    null_rate: Object.fromEntries(
      columns.map(([name, { nulls }]) => [name, profile.rows === 0 ? 0 : nulls / profile.rows]),
    ),
    distinct_count: Object.fromEntries(columns.map(([name, { distinct }]) => [name, distinct])),
    age: newest === null ? null : (now - newest) / MICROS_PER_SECOND,
    newest,
    known: profile.freshness.maxAvailableAt,
  };
}

interface Point {
  readonly value: number;
  readonly weekday: number;
}

interface Series {
  readonly alpha: number;
  readonly floor: number;
  readonly direction: 'both' | 'up';
  readonly minimum: number;
  readonly seasonal: boolean;
}

interface Expected {
  readonly anomalous: boolean;
  readonly lower: number | null;
  readonly upper: number | null;
  readonly points: number;
  readonly seasonal: boolean;
}

/**
 * Student's prediction interval over the points, which must not contain the one that is judged. With three weeks of
 * points and three of the weekday: |x − m_w| ≤ t(1 − α/2, ν) · s · √(1 + 1/n_w), where s² and ν are pooled over the
 * weekdays. Undefined with fewer points than the minimum.
 */
function expectPoint(history: readonly Point[], point: Point, series: Series): Expected | undefined {
  if (history.length < series.minimum) return undefined;
  const groups = new Map<number, number[]>();
  for (const { value, weekday } of history) groups.set(weekday, [...(groups.get(weekday) ?? []), value]);
  const own = groups.get(point.weekday) ?? [];
  if (series.seasonal && history.length >= SEASONAL_POINTS && own.length >= WEEKDAY_POINTS) {
    let squares = 0;
    for (const values of groups.values()) {
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      squares += values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    }
    const freedom = history.length - groups.size;
    const mean = own.reduce((sum, value) => sum + value, 0) / own.length;
    const t = studentIsf(series.direction === 'both' ? series.alpha / 2 : series.alpha, freedom);
    const half = Math.max(t * Math.sqrt((squares / freedom) * (1 + 1 / own.length)), series.floor);
    const lower = series.direction === 'up' ? null : mean - half;
    const upper = mean + half;
    return {
      anomalous: point.value > upper || (lower !== null && point.value < lower),
      lower,
      upper,
      points: own.length,
      seasonal: true,
    };
  }
  const judged = judgeAgainstHistory(
    history.map(({ value }) => value),
    point.value,
    {
      alpha: series.alpha,
      direction: series.direction,
      relativeFloor: 0,
      floor: series.floor,
      minimumPoints: series.minimum,
    },
  );
  return judged.verdict === 'insufficient_data'
    ? undefined
    : {
        anomalous: judged.verdict === 'anomalous',
        lower: judged.lower,
        upper: judged.upper,
        points: judged.points,
        seasonal: false,
      };
}

const round = (value: number): string => String(Number(value.toPrecision(4)));
const percent = (value: number): string => `${round(value * 100)} %`;
const whole = (value: number): string => String(Math.round(value));
const hours = (seconds: number): string =>
  seconds < 7200 ? `${round(seconds / 60)} min` : `${round(seconds / 3600)} h`;

export interface HistoryContext {
  readonly policy: HistoryPolicy;
  /** Fields whose values are judged, in order. */
  readonly fields: readonly FieldDefinition[];
  /** Record key and sequence: their values are not like those before. */
  readonly running: ReadonlySet<string>;
  /** Microseconds that local clocks are ahead of UTC, for weekdays. */
  readonly offset: (instant: Instant) => number;
}

export interface JudgedBatch {
  readonly at: Instant;
  readonly facts: BatchFacts;
  /** Oldest first. Absent: it is one. */
  readonly parts?: readonly BatchPart[];
  readonly profile: BatchProfile;
  readonly samples: Readonly<Record<string, ColumnSample>>;
}

/** Batches that were not incidents, each of their parts for itself, newest first. */
const unitsOf = (past: readonly PastBatch[]): readonly PastBatch[] =>
  past
    .filter(({ mark }) => mark !== 'incident')
    .flatMap(({ at, mark, parts, ...whole }): readonly PastBatch[] =>
      parts === undefined
        ? [{ at, mark, ...whole }]
        : [...parts].reverse().map(({ facts, anomalous, expected }) => ({
            at,
            mark: mark ?? (expected ? 'expected' : null),
            facts,
            anomalous,
          })),
    )
    .slice(0, HISTORY_BATCHES);

/**
 * Judges a batch against those before it, newest first; it is not among them. `profiles` gives the profiles of the
 * last ordinary ones, newest first. False alarms are shared out among the fields of a measure. Parts are judged as if
 * they had come one after another; those of the first batch of all refuse nothing.
 */
export function judgeHistory(
  context: HistoryContext,
  batch: JudgedBatch,
  past: readonly PastBatch[],
  profiles: () => readonly BatchProfile[],
): HistoryJudgement {
  const { policy } = context;
  const ordinary = past.filter(({ mark }) => mark !== 'incident').slice(0, HISTORY_BATCHES);
  const findings: HistoryFinding[] = [...judgeAge(context, batch, ordinary)];
  let units = unitsOf(past);
  if (batch.parts === undefined) findings.push(...judgeCounts(context, batch, units));
  for (const { file, facts } of batch.parts ?? []) {
    const found = judgeCounts(context, { at: batch.at, facts }, units);
    const settled = { at: batch.at, facts, mark: null, anomalous: found.map(({ id }) => id) };
    units = [settled, ...units].slice(0, HISTORY_BATCHES);
    for (const finding of found)
      findings.push({
        ...finding,
        file,
        action: past.length === 0 ? 'warn' : finding.action,
        message: `${file}: ${finding.message}`,
      });
  }
  const batches = units.length - (batch.parts === undefined ? 0 : 1);
  const enough = batches >= policy.minimumBatches;
  if (enough && batch.facts.passed > 0 && policy.measures.distribution.action !== 'ignore')
    findings.push(...judgeDistribution(context, batch, profiles()));
  return {
    verdict: findings.length > 0 ? 'anomalous' : enough ? 'ok' : 'insufficient_data',
    batches,
    findings,
  };
}

interface Measured {
  readonly floor: number | ((history: readonly number[]) => number);
  /** Measures that share the false alarms. */
  readonly among: number;
  /** Counts are compared by ratio: on the scale of logarithms. */
  readonly logarithmic: boolean;
  readonly direction: 'both' | 'up';
  readonly print: (value: number) => string;
  readonly what: string;
}

type Unit = Pick<JudgedBatch, 'at' | 'facts'>;

/** What is found of one number of a batch, against that number of others. */
function judgeNumber(
  { policy, offset }: HistoryContext,
  batch: Unit,
  ordinary: readonly PastBatch[],
  measure: HistoryMeasure,
  field: string | null,
  of: (facts: BatchFacts) => number | null | undefined,
  how: Measured,
): readonly HistoryFinding[] {
  const { action, severity } = policy.measures[measure];
  const value = of(batch.facts);
  if (action === 'ignore' || value === null || value === undefined) return [];
  const weekdayOf = ({ at, facts }: Unit): number => {
    const instant = facts.newest ?? at;
    return (((Math.floor((instant + offset(instant)) / MICROS_PER_DAY) + 4) % 7) + 7) % 7;
  };
  const id = field === null ? `history.${measure}` : `history.${measure}.${field}`;
  const scale = how.logarithmic ? Math.log1p : (x: number): number => x;
  const back = how.logarithmic ? Math.expm1 : (x: number): number => x;
  const raw: number[] = [];
  const history = ordinary.flatMap((one): Point[] => {
    const known = of(one.facts);
    if (known === null || known === undefined || (one.mark !== 'expected' && one.anomalous.includes(id)))
      return [];
    raw.push(known);
    return [{ value: scale(known), weekday: weekdayOf(one) }];
  });
  const expected = expectPoint(
    history,
    { value: scale(value), weekday: weekdayOf(batch) },
    {
      alpha: policy.falseAlarms / Math.max(1, how.among),
      floor: typeof how.floor === 'number' ? how.floor : how.floor(raw),
      direction: how.direction,
      minimum: policy.minimumBatches,
      seasonal: policy.seasonality === 'weekday',
    },
  );
  if (!expected?.anomalous) return [];
  const lower = expected.lower === null ? null : Math.max(0, back(expected.lower));
  const upper = expected.upper === null ? null : back(expected.upper);
  const bounds =
    lower === null ? `at most ${how.print(upper!)}` : `${how.print(lower)} to ${how.print(upper!)}`;
  return [
    {
      id,
      measure,
      field,
      value,
      lower,
      upper,
      points: expected.points,
      seasonal: expected.seasonal,
      severity,
      action,
      message: `${how.what} ${how.print(value)}, expected ${bounds} after ${expected.points} batches${expected.seasonal ? ' of this weekday' : ''}`,
    },
  ];
}

const judgeAge = (context: HistoryContext, batch: Unit, ordinary: readonly PastBatch[]) =>
  judgeNumber(context, batch, ordinary, 'freshness', null, (one) => one.age, {
    floor: AGE_FLOOR,
    among: 1,
    logarithmic: false,
    direction: 'up',
    print: hours,
    what: 'the newest record is older than usual:',
  });

/** Rows, nulls and different values. */
function judgeCounts(
  context: HistoryContext,
  batch: Unit,
  ordinary: readonly PastBatch[],
): readonly HistoryFinding[] {
  const { policy, fields, running } = context;
  const { facts } = batch;
  const rows = judgeNumber(context, batch, ordinary, 'row_count', null, (one) => one.rows, {
    floor: Math.log1p(policy.ratioFloor),
    among: 1,
    logarithmic: true,
    direction: 'both',
    print: whole,
    what: 'the number of rows is',
  });
  if (facts.passed === 0) return rows;
  const values = fields.flatMap(({ name }) => {
    const ofPassed = (of: (one: BatchFacts) => number | null | undefined) => (one: BatchFacts) =>
      one.passed === 0 ? null : of(one);
    const nulls = judgeNumber(
      context,
      batch,
      ordinary,
      'null_rate',
      name,
      ofPassed((one) => one.null_rate[name]),
      {
        floor: (rates) => {
          const mean = rates.reduce((sum, rate) => sum + rate, 0) / Math.max(1, rates.length);
          const smooth = (mean * facts.passed + 1) / (facts.passed + 2);
          return Math.max(NULL_FLOOR, 3 * Math.sqrt((smooth * (1 - smooth)) / facts.passed));
        },
        among: fields.length,
        logarithmic: false,
        direction: 'both',
        print: percent,
        what: `nulls of ${name} are`,
      },
    );
    const identifier = (one: BatchFacts): boolean =>
      (one.distinct_count[name] ?? 0) > IDENTIFIER_SHARE * one.passed;
    if (identifier(facts) || running.has(name)) return nulls;
    const different = judgeNumber(
      context,
      batch,
      ordinary,
      'distinct_count',
      name,
      ofPassed((one) => (identifier(one) ? null : one.distinct_count[name])),
      {
        floor: Math.log1p(Math.max(DISTINCT_FLOOR, policy.ratioFloor)),
        among: fields.length,
        logarithmic: true,
        direction: 'both',
        print: whole,
        what: `the number of different values of ${name} is`,
      },
    );
    return [...nulls, ...different];
  });
  return [...rows, ...values];
}

/**
 * A distribution has changed when core/drift says so of the batch and the pool of those before, and its distance to
 * the pool is larger than theirs to each other.
 */
function judgeDistribution(
  { policy, fields, running }: HistoryContext,
  batch: JudgedBatch,
  profiles: readonly BatchProfile[],
): HistoryFinding[] {
  const { action, severity } = policy.measures.distribution;
  if (action === 'ignore' || profiles.length < policy.minimumBatches) return [];
  const judged = fields.filter(
    ({ name, type }) => !running.has(name) && type.kind !== 'timestamp' && type.kind !== 'date',
  );
  const pooled = judged.flatMap(({ name }) => {
    const profile = mergeBatches(profiles, name);
    return profile && batch.samples[name] ? [[name, profile] as const] : [];
  });
  const comparison = compareProfiles(
    Object.fromEntries(pooled),
    Object.fromEntries(pooled.map(([name]) => [name, batch.samples[name]!])),
  );
  return comparison.drifted.flatMap((name): HistoryFinding[] => {
    const column = comparison.columns[name]!;
    if (!column.reasons.includes('distribution_changed')) return [];
    const pool = pooled.find(([other]) => other === name)![1];
    const distance = profileDistance(pool, batch.profile.columns[name]!) ?? 0;
    const before = profiles.flatMap((one, i) => {
      const rest = mergeBatches([...profiles.slice(0, i), ...profiles.slice(i + 1)], name);
      const own = one.columns[name];
      const between = rest && own && profileDistance(rest, own);
      return between === undefined ? [] : [between];
    });
    const verdict = judgeAgainstHistory(before, distance, {
      alpha: policy.falseAlarms / Math.max(1, judged.length),
      direction: 'up',
      relativeFloor: 0.1,
      floor: 0.05,
      minimumPoints: policy.minimumBatches,
    });
    if (verdict.verdict !== 'anomalous') return [];
    const now = batch.profile.columns[name]!;
    const factor = pool.type === 'numeric' && now.type === 'numeric' ? scaleBetween(pool, now) : undefined;
    return [
      {
        id: `history.distribution.${name}`,
        measure: 'distribution',
        field: name,
        value: distance,
        lower: null,
        upper: verdict.upper,
        points: verdict.points,
        seasonal: false,
        severity,
        action,
        message: `the values of ${name} are not like those of the ${verdict.points} batches before: ${column.type === 'numeric' ? 'KS D' : 'total variation'} ${round(distance)}, expected at most ${round(verdict.upper!)}${factor === undefined ? '' : `; they are ${sayScale(factor)}`}`,
      },
    ];
  });
}
