import { describe, expect, it } from 'vitest';
import { parseInstant, printInstant } from '../../src/core/base/time.js';
import { parseCron } from '../../src/core/define/cron.js';
import { dueTimes, startOf, timesAfter } from '../../src/core/schedule/due.js';
import { sense } from '../../src/core/schedule/sense.js';

const at = (text: string): number => parseInstant(text)!;
const times = (cron: string, timezone: string, after: string, count: number): string[] =>
  timesAfter({ cron, timezone }, at(after), count).map(printInstant);
const problem = (cron: string): string | undefined => {
  const parsed = parseCron(cron, 'UTC');
  return parsed.ok ? undefined : parsed.problem;
};

describe('cron on the clocks of a zone', () => {
  it('runs a time that the change to summer time skips once, at the end of the gap', () => {
    expect(times('30 2 * * *', 'Europe/Prague', '2026-03-28T00:00:00Z', 3)).toEqual([
      '2026-03-28T01:30:00Z',
      '2026-03-29T01:00:00Z',
      '2026-03-30T00:30:00Z',
    ]);
    expect(times('30 2 * * *', 'America/New_York', '2026-03-07T00:00:00Z', 3)).toEqual([
      '2026-03-07T07:30:00Z',
      '2026-03-08T07:00:00Z',
      '2026-03-09T06:30:00Z',
    ]);
  });

  it('runs a time that comes twice in autumn once', () => {
    expect(times('30 2 * * *', 'Europe/Prague', '2026-10-24T12:00:00Z', 2)).toEqual([
      '2026-10-25T00:30:00Z',
      '2026-10-26T01:30:00Z',
    ]);
    expect(times('30 1 * * *', 'America/New_York', '2026-10-31T12:00:00Z', 2)).toEqual([
      '2026-11-01T05:30:00Z',
      '2026-11-02T06:30:00Z',
    ]);
    // Asked between the two: it has been run.
    expect(times('30 1 * * *', 'America/New_York', '2026-11-01T05:45:00Z', 1)).toEqual([
      '2026-11-02T06:30:00Z',
    ]);
  });

  it('does so for each of several fixed times, wherever the clocks change', () => {
    // Twice in autumn, both before: neither is due again.
    expect(times('0,30 1 * * *', 'America/New_York', '2026-11-01T04:00:00Z', 3)).toEqual([
      '2026-11-01T05:00:00Z',
      '2026-11-01T05:30:00Z',
      '2026-11-02T06:00:00Z',
    ]);
    expect(times('21 0,1 * * *', 'America/Havana', '2026-11-01T03:00:00Z', 3)).toEqual([
      '2026-11-01T04:21:00Z',
      '2026-11-01T06:21:00Z',
      '2026-11-02T05:21:00Z',
    ]);
    // Of two hours one is skipped in spring; of a day all times of it, which are then one.
    expect(times('30 0,2 * * *', 'America/New_York', '2026-03-08T00:00:00Z', 3)).toEqual([
      '2026-03-08T05:30:00Z',
      '2026-03-08T07:00:00Z',
      '2026-03-09T04:30:00Z',
    ]);
    expect(times('*/15 0 * * *', 'America/Havana', '2026-03-08T04:50:00Z', 2)).toEqual([
      '2026-03-08T05:00:00Z',
      '2026-03-09T04:00:00Z',
    ]);
    // By half an hour.
    expect(times('6 2,4 * * *', 'Australia/Lord_Howe', '2026-10-03T14:00:00Z', 2)).toEqual([
      '2026-10-03T15:30:00Z',
      '2026-10-03T17:06:00Z',
    ]);
  });

  it('goes on by the real hour where every hour is meant', () => {
    for (const [zone, from] of [
      ['Europe/Prague', '2026-10-24T20:00:00Z'],
      ['Europe/Prague', '2026-03-28T20:00:00Z'],
      ['America/New_York', '2026-11-01T00:00:00Z'],
    ] as const) {
      const found = timesAfter({ cron: '0 * * * *', timezone: zone }, at(from), 12);
      for (let i = 1; i < found.length; i++) expect(found[i]! - found[i - 1]!).toBe(3_600_000_000);
    }
  });

  it('reads names, lists, ranges, steps and @daily, and the two day fields as either', () => {
    expect(times('@daily', 'Europe/Prague', '2026-06-01T00:00:00Z', 1)).toEqual(['2026-06-01T22:00:00Z']);
    expect(times('0 9 * * MON-FRI', 'UTC', '2026-01-02T10:00:00Z', 1)).toEqual(['2026-01-05T09:00:00Z']);
    expect(times('0,30 8-9/1 1 jan *', 'UTC', '2026-01-01T08:00:00Z', 2)).toEqual([
      '2026-01-01T08:30:00Z',
      '2026-01-01T09:00:00Z',
    ]);
    // The 13th, or any Friday.
    expect(times('0 0 13 * FRI', 'UTC', '2026-01-02T00:00:00Z', 2)).toEqual([
      '2026-01-09T00:00:00Z',
      '2026-01-13T00:00:00Z',
    ]);
    expect(times('0 0 29 2 *', 'UTC', '2026-01-01T00:00:00Z', 1)).toEqual(['2028-02-29T00:00:00Z']);
  });

  it('refuses what is no cron expression, and says why', () => {
    expect(problem('* * * *')).toContain('five fields');
    expect(problem('* * * * * *')).toContain('five fields');
    expect(problem('61 * * * *')).toContain('61');
    expect(problem('? * * * *')).toContain('characters');
    expect(problem('0 0 30 2 *')).toContain('never comes');
    expect(problem('@reboot')).toBeDefined();
    expect(problem('every day')).toBeDefined();
  });
});

describe('what is due', () => {
  const daily = { cron: '0 2 * * *', timezone: 'UTC' };
  const [seen, now] = [at('2026-01-01T00:00:00Z'), at('2026-01-04T12:00:00Z')];

  it('is each time, the last, or none of those that nobody was there for', () => {
    const of = (catchUp: 'all' | 'latest' | 'none') => dueTimes({ ...daily, catchUp }, seen, now, now);
    expect(of('all').run.map(printInstant)).toEqual([
      '2026-01-01T02:00:00Z',
      '2026-01-02T02:00:00Z',
      '2026-01-03T02:00:00Z',
      '2026-01-04T02:00:00Z',
    ]);
    expect(of('latest').run.map(printInstant)).toEqual(['2026-01-04T02:00:00Z']);
    expect(of('latest').skipped).toHaveLength(3);
    expect(of('none').run).toEqual([]);
    expect(of('none').skipped).toHaveLength(4);
  });

  it('is the last time where somebody was there, though it caught up with nothing', () => {
    const since = at('2026-01-04T01:00:00Z');
    expect(dueTimes({ ...daily, catchUp: 'none' }, seen, now, since).run.map(printInstant)).toEqual([
      '2026-01-04T02:00:00Z',
    ]);
  });

  it('is nothing twice: what follows the last time seen is in the future', () => {
    const { run } = dueTimes({ ...daily, catchUp: 'all' }, seen, now, now);
    expect(dueTimes({ ...daily, catchUp: 'all' }, run.at(-1)!, now, now).run).toEqual([]);
  });

  it('is bounded after a long absence', () => {
    const minutely = { cron: '* * * * *', timezone: 'Europe/Prague', catchUp: 'all' as const };
    const { run } = dueTimes(minutely, at('2020-01-01T00:00:00Z'), now, now);
    expect(run).toHaveLength(1000);
    expect(printInstant(run.at(-1)!)).toBe('2026-01-04T12:00:00Z');
  });

  it('starts within its jitter, always alike', () => {
    const schedule = { name: 'nightly', jitter: 600_000_000 };
    const starts = new Set<number>();
    for (let day = 0; day < 20; day++) {
      const due = seen + day * 86_400_000_000;
      const start = startOf(schedule, due);
      expect(start - due).toBeGreaterThanOrEqual(0);
      expect(start - due).toBeLessThan(600_000_000);
      expect(startOf(schedule, due)).toBe(start);
      starts.add(start - due);
    }
    expect(starts.size).toBeGreaterThan(10);
  });
});

describe('a sensor', () => {
  const minute = 60_000_000;
  it('fires once for what it sees, and says why it does not', () => {
    const sight = { mark: 'a', reason: '1 new file' };
    expect(sense(sight, { mark: null, firedAt: null }, 0, 0)).toEqual({ fires: true, reason: '1 new file' });
    expect(sense(sight, { mark: 'a', firedAt: 0 }, 0, minute).reason).toContain('nothing has changed');
    expect(sense({ mark: null, reason: 'no new file' }, { mark: 'a', firedAt: 0 }, 0, minute)).toEqual({
      fires: false,
      reason: 'no new file',
    });
  });

  it('keeps its minimum interval, and fires at its end for what came in between', () => {
    const sight = { mark: 'b', reason: '2 new files' };
    const early = sense(sight, { mark: 'a', firedAt: 0 }, 10 * minute, minute);
    expect(early.fires).toBe(false);
    expect(early.reason).toContain('until 1970-01-01T00:10:00Z');
    expect(sense(sight, { mark: 'a', firedAt: 0 }, 10 * minute, 10 * minute).fires).toBe(true);
    // The clock was put back by a day since.
    expect(sense(sight, { mark: 'a', firedAt: 1440 * minute }, 10 * minute, minute).fires).toBe(true);
  });
});
