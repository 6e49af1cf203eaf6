import { describe, expect, it } from 'vitest';
import { MICROS_PER_DAY } from '../../src/core/base/time.js';
import { DEFAULT_HISTORY } from '../../src/core/define/promises.js';
import type { FieldDefinition, HistoryPolicy } from '../../src/core/define/types.js';
import { BATCH_PROFILE_OPTIONS, type BatchProfile } from '../../src/core/drift/batch-profile.js';
import {
  factsOf,
  type HistoryJudgement,
  judgeHistory,
  type PastBatch,
} from '../../src/core/drift/history.js';
import { profileColumn } from '../../src/core/drift/profile.js';
import { valueSample } from '../../src/core/drift/sample.js';
import { FLOAT64, type Value } from '../../src/core/schema/types.js';
import { drawing } from '../drift/random.js';

/** A Monday. */
const START = Date.UTC(2026, 0, 5) * 1000;
const day = (n: number): number => START + n * MICROS_PER_DAY;

interface Batch extends PastBatch {
  readonly profile: BatchProfile;
  readonly samples: Readonly<Record<string, ReturnType<typeof valueSample>>>;
}

function batch(at: number, rows: number, columns: Readonly<Record<string, readonly Value[]>> = {}): Batch {
  const samples = Object.fromEntries(
    Object.entries(columns).map(([name, values]) => [name, valueSample(FLOAT64, values)]),
  );
  const profile: BatchProfile = {
    rows,
    sampled: rows,
    freshness: {
      minEventTime: rows === 0 ? null : at - MICROS_PER_DAY,
      maxEventTime: rows === 0 ? null : at,
      maxAvailableAt: rows === 0 ? null : at,
    },
    columns: Object.fromEntries(
      Object.entries(samples).map(([name, sample]) => [name, profileColumn(sample, BATCH_PROFILE_OPTIONS)]),
    ),
  };
  return { at, facts: factsOf(rows, profile, at), mark: null, anomalous: [], profile, samples };
}

function judge(
  current: Batch,
  before: readonly Batch[],
  policy: Partial<HistoryPolicy> = {},
): HistoryJudgement {
  const past = [...before].reverse();
  const fields = Object.keys(current.samples).map((name): FieldDefinition => ({ name, type: FLOAT64 }));
  return judgeHistory(
    { policy: { ...DEFAULT_HISTORY, ...policy }, fields, running: new Set(), offset: () => 0 },
    current,
    past,
    () => past.map(({ profile }) => profile),
  );
}

const ids = (judgement: HistoryJudgement): readonly string[] => judgement.findings.map(({ id }) => id);

describe('history', () => {
  it('catches a batch without rows after six ordinary ones, however they vary', () => {
    const before = [900, 1400, 700, 1250, 1000, 600].map((rows, i) => batch(day(i), rows));
    const judged = judge(batch(day(6), 0), before);
    expect(judged.verdict).toBe('anomalous');
    expect(judged.findings[0]).toMatchObject({ id: 'history.row_count', value: 0, points: 6 });
  });

  it('catches ten times the rows after six batches', () => {
    const before = [950, 1040, 1000, 980, 1020, 1010].map((rows, i) => batch(day(i), rows));
    expect(ids(judge(batch(day(6), 10_000), before))).toEqual(['history.row_count']);
  });

  it('says that five batches are too few', () => {
    const before = [1000, 1000, 1000, 1000, 1000].map((rows, i) => batch(day(i), rows));
    expect(judge(batch(day(5), 0), before)).toMatchObject({
      verdict: 'insufficient_data',
      batches: 5,
      findings: [],
    });
  });

  it('lets a trifle pass where nothing ever varied, and no more', () => {
    const before = Array.from({ length: 8 }, (_, i) => batch(day(i), 10_000));
    expect(judge(batch(day(8), 10_050), before).verdict).toBe('ok');
    expect(judge(batch(day(8), 10_300), before).verdict).toBe('anomalous');
  });

  it.each([6, 9, 13, 20, 30])('alarms in 27 of 10,000 ordinary batches after %i of them', (points) => {
    const { normal } = drawing(points * 7);
    const draws = 4000;
    let alarms = 0;
    for (let draw = 0; draw < draws; draw++) {
      const rows = (): number => Math.exp(12 + 0.1 * normal());
      const before = Array.from({ length: points }, (_, i) => batch(day(i), rows()));
      if (judge(batch(day(points), rows()), before, { ratioFloor: 0 }).verdict === 'anomalous') alarms++;
    }
    // Four standard errors of a share of 0.27 %.
    expect(Math.abs(alarms / draws - 0.0027)).toBeLessThan(4 * Math.sqrt((0.0027 * 0.9973) / draws));
  });

  it('learns weekdays: a quiet Sunday is as usual, a quiet Wednesday is not', () => {
    const { normal } = drawing(5);
    const rows = (n: number): number => Math.round((n % 7 >= 5 ? 100 : 1000) * Math.exp(0.03 * normal()));
    const before = Array.from({ length: 34 }, (_, i) => batch(day(i), rows(i)));
    expect(judge(batch(day(34), 100), before).verdict).toBe('ok');
    const sunday = judge(batch(day(34), 1000), before);
    expect(sunday.findings[0]).toMatchObject({ id: 'history.row_count', seasonal: true });
    const wednesday = batch(day(37), 100);
    expect(ids(judge(wednesday, before))).toEqual(['history.row_count']);
    expect(judge(wednesday, before, { seasonality: 'none' }).verdict).toBe('ok');
  });

  it('holds its false alarms with weekdays', () => {
    const { normal } = drawing(77);
    const draws = 1500;
    let alarms = 0;
    for (let draw = 0; draw < draws; draw++) {
      const rows = (n: number): number => (n % 7 >= 5 ? 1e5 : 1e6) * Math.exp(0.05 * normal());
      const before = Array.from({ length: 28 }, (_, i) => batch(day(i), rows(i)));
      if (
        judge(batch(day(28), rows(28)), before, { ratioFloor: 0, falseAlarms: 0.02 }).verdict === 'anomalous'
      )
        alarms++;
    }
    expect(Math.abs(alarms / draws - 0.02)).toBeLessThan(4 * Math.sqrt((0.02 * 0.98) / draws));
  });

  it('leaves anomalous batches and incidents out of what is ordinary, until people say otherwise', () => {
    const before = [1000, 1010, 990, 1005, 995, 1000, 1002].map((rows, i) => batch(day(i), rows));
    const jump: Batch = { ...batch(day(7), 3000), anomalous: ['history.row_count'] };
    expect(judge(batch(day(8), 3000), [...before, jump]).verdict).toBe('anomalous');
    expect(judge(batch(day(8), 3000), [...before, { ...jump, mark: 'expected' }]).verdict).toBe('ok');
    const incident: Batch = { ...batch(day(7), 3000), mark: 'incident' };
    expect(judge(batch(day(8), 3000), [...before, incident]).verdict).toBe('anomalous');
  });

  it('ignores what it is told to ignore, and fails where it is told to', () => {
    const before = Array.from({ length: 7 }, (_, i) => batch(day(i), 1000));
    const rule = (action: 'fail' | 'ignore') => ({
      measures: { ...DEFAULT_HISTORY.measures, row_count: { action, severity: 'critical' as const } },
    });
    expect(judge(batch(day(7), 10), before, rule('ignore')).verdict).toBe('ok');
    expect(judge(batch(day(7), 10), before, rule('fail')).findings[0]).toMatchObject({
      action: 'fail',
      severity: 'critical',
    });
  });

  it('finds nulls, lost categories and other values, each under its field, and nothing in batches alike', () => {
    const { normal, uniform } = drawing(11);
    const columns = (change: { nulls?: number; shift?: number; kinds?: number } = {}) => ({
      price: Array.from({ length: 600 }, () => 20 + 5 * normal() + (change.shift ?? 0)),
      email: Array.from({ length: 600 }, () => (uniform() < (change.nulls ?? 0.02) ? null : uniform())),
      kind: Array.from({ length: 600 }, () => Math.floor(uniform() * (change.kinds ?? 12))),
    });
    const before = Array.from({ length: 10 }, (_, i) => batch(day(i), 600, columns()));
    expect(judge(batch(day(10), 600, columns()), before)).toMatchObject({ verdict: 'ok', findings: [] });
    expect(ids(judge(batch(day(10), 600, columns({ nulls: 0.3 })), before))).toEqual([
      'history.null_rate.email',
    ]);
    expect(ids(judge(batch(day(10), 600, columns({ shift: 2 })), before))).toEqual([
      'history.distribution.price',
    ]);
    expect(ids(judge(batch(day(10), 600, columns({ kinds: 6 })), before))).toEqual([
      'history.distinct_count.kind',
      'history.distribution.kind',
    ]);
  });

  it('says the factor where all values are multiples of those before: a changed unit', () => {
    const { normal } = drawing(12);
    const columns = (unit: number) => ({
      weight: Array.from({ length: 400 }, () => unit * Math.exp(normal() / 2)),
    });
    const before = Array.from({ length: 8 }, (_, i) => batch(day(i), 400, columns(1)));
    const messageAt = (unit: number): string =>
      judge(batch(day(8), 400, columns(unit)), before).findings.find(
        ({ measure }) => measure === 'distribution',
      )!.message;
    expect(messageAt(1000)).toMatch(/; they are about (\d+) times as large: has the unit changed\?$/);
    expect(Math.abs(Number(/about (\d+) times/.exec(messageAt(1000))![1]) - 1000)).toBeLessThan(150);
    expect(messageAt(1 / 2.2)).toMatch(/about 2\.?\d? times as small/);
  });

  it('is quiet over fifty columns of clean batches', () => {
    const { normal } = drawing(23);
    const columns = (): Record<string, number[]> =>
      Object.fromEntries(
        Array.from({ length: 50 }, (_, c) => [
          `c${c}`,
          Array.from({ length: 100 }, () => Math.round(normal() * 3)),
        ]),
      );
    const all = Array.from({ length: 18 }, (_, i) => batch(day(i), 100, columns()));
    const findings = all.slice(8).flatMap((one, i) => judge(one, all.slice(i, i + 8)).findings);
    expect(findings.length).toBeLessThanOrEqual(1);
  });

  it('tells late data by their age, and never early ones', () => {
    const late = (n: number, hours: number): Batch => {
      const made = batch(day(n), 1000);
      return { ...made, facts: { ...made.facts, age: hours * 3600 } };
    };
    const before = [5, 5.5, 6, 5.2, 5.8, 5.4, 5.6].map((hours, i) => late(i, hours));
    expect(ids(judge(late(7, 20), before))).toEqual(['history.freshness']);
    expect(judge(late(7, 0.1), before).verdict).toBe('ok');
  });
});
