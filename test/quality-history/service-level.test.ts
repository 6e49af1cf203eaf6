import { describe, expect, it } from 'vitest';
import { parseInstant } from '../../src/core/base/time.js';
import { type Arrival, serviceLevelStatus } from '../../src/core/quality/service-level.js';
import fc from '../property.js';

const HOUR = 3_600_000_000;
const DAY = 24 * HOUR;
const at = (text: string): number => parseInstant(text)!;
const arrival = (time: string, rows: number, failed = 0, known: string | null = time): Arrival => ({
  at: at(time),
  rows,
  failed,
  known: known === null ? null : at(known),
});

describe('the share of records that pass', () => {
  const levels = { passing: { share: 0.99, over: 30 * DAY } };

  it('has a budget, and burns it by the hour and by six hours', () => {
    const now = at('2026-03-31T12:00:00Z');
    const [level] = serviceLevelStatus(
      levels,
      [
        arrival('2026-02-01T00:00:00Z', 1_000_000, 1_000_000),
        arrival('2026-03-20T00:00:00Z', 9000, 20),
        arrival('2026-03-31T07:00:00Z', 500, 0),
        arrival('2026-03-31T11:30:00Z', 500, 100),
      ],
      null,
      now,
    );
    expect(level).toMatchObject({ total: 10_000, failed: 120, share: 0.988, met: false, available: null });
    expect(level!.budget).toBeCloseTo(-0.2, 10);
    expect(level!.burn.map(({ window, alert }) => [window, alert])).toEqual([
      ['1h', true],
      ['6h', true],
    ]);
    expect(level!.burn[0]!.rate).toBeCloseTo(20, 9);
    expect(level!.burn[1]!.rate).toBeCloseTo(10, 9);
  });

  it('says nothing where nothing came', () => {
    expect(serviceLevelStatus(levels, [], null, at('2026-03-31'))[0]).toMatchObject({
      share: null,
      met: null,
    });
  });

  it('is met exactly while the budget is not overspent', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(1000), fc.nat(50)), { minLength: 1, maxLength: 20 }),
        fc.double({ min: 0.5, max: 0.999, noNaN: true }),
        (batches, share) => {
          const now = at('2026-03-31');
          const arrivals = batches.map(([rows, failed], i) => ({
            at: now - (20 - i) * HOUR,
            rows: rows + failed + 1,
            failed,
            known: null,
          }));
          const [level] = serviceLevelStatus({ passing: { share, over: 30 * DAY } }, arrivals, null, now);
          if (Math.abs(level!.budget!) > 1e-9) expect(level!.met).toBe(level!.budget! > 0);
        },
      ),
    );
  });
});

describe('freshness', () => {
  const levels = { freshness: { within: 2 * HOUR, share: 0.9, over: 30 * DAY } };

  it('counts the time for which the newest record was too old', () => {
    const [level] = serviceLevelStatus(
      levels,
      [
        arrival('2026-03-31T00:00:00Z', 1),
        arrival('2026-03-31T05:00:00Z', 1),
        arrival('2026-03-31T06:00:00Z', 1, 0, null),
      ],
      at('2026-03-31T05:00:00Z'),
      at('2026-03-31T10:00:00Z'),
    );
    // Stale from 02:00 to 05:00 and from 07:00 to 10:00.
    expect(level).toMatchObject({ total: 10 * 3600, failed: 6 * 3600, met: false, available: false });
    expect(level!.reason).toContain('2026-03-31T05:00:00Z');
    expect(level!.reason).toContain('5h 0m ago');
  });

  it('is there again with the next record', () => {
    const [level] = serviceLevelStatus(levels, [], at('2026-03-31T09:00:00Z'), at('2026-03-31T10:00:00Z'));
    expect(level).toMatchObject({ available: true, reason: null });
  });
});

describe('completeness by a time of day', () => {
  const levels = {
    completeness: { by: 6 * 60, timezone: 'Europe/Berlin', rows: 100, share: 0.9, over: 30 * DAY },
  };

  it('is on the clocks of its zone, also on the night they change', () => {
    // 06:00 in Berlin is 05:00Z before and 04:00Z after 2026-03-29.
    const arrivals = [
      arrival('2026-03-27T04:30:00Z', 120),
      arrival('2026-03-28T04:59:00Z', 120),
      arrival('2026-03-29T04:30:00Z', 120),
      arrival('2026-03-30T03:59:00Z', 99),
    ];
    const status = (now: string) => serviceLevelStatus(levels, arrivals, null, at(now))[0]!;
    expect(status('2026-03-28T12:00:00Z')).toMatchObject({ total: 2, failed: 0, available: true });
    // What came at 04:30Z on the 29th is half an hour late.
    expect(status('2026-03-29T04:10:00Z')).toMatchObject({ total: 3, failed: 1, available: false });
    expect(status('2026-03-29T04:40:00Z')).toMatchObject({ total: 3, failed: 1, available: true });
    const last = status('2026-03-30T12:00:00Z');
    expect(last).toMatchObject({ total: 4, failed: 1, available: true });
  });

  it('waits for all the rows', () => {
    const [level] = serviceLevelStatus(
      levels,
      [arrival('2026-03-27T04:30:00Z', 120), arrival('2026-03-28T04:30:00Z', 60, 10)],
      null,
      at('2026-03-28T12:00:00Z'),
    );
    expect(level).toMatchObject({ available: false, failed: 1 });
    expect(level!.reason).toContain('50 of 100 rows');
  });
});
