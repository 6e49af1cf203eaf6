import { describe, expect, it } from 'vitest';
import { cutRanks, partIndex, partRule, placeOf } from '../../src/core/dataset/split.js';
import type { PartName, Split } from '../../src/core/define/types.js';
import fc from '../property.js';

const HOUR = 3_600_000_000;

/** The rule of the split over all rows at once, and what it makes of each. */
function splitRows(
  given: Split,
  { at, horizon, identity }: { at: Float64Array; horizon: number; identity: readonly string[] },
) {
  const sorted = Float64Array.from(at).sort();
  const rule = partRule(
    given,
    horizon,
    cutRanks(given, at.length).map((rank) => sorted[rank]!),
  );
  const seed = 'seed' in given ? given.seed : 0;
  const part = Int8Array.from(identity, (name, i) => partIndex(rule, at[i]!, placeOf(seed, name)));
  return {
    names: rule.parts.map(({ name }) => name),
    part,
    purged: part.filter((index) => index < 0).length,
    until: rule.parts.map((item) => ('until' in item ? item.until : null)),
  };
}

const byTime = (...shares: number[]): Split => ({
  by: 'time',
  parts: shares.map((share, i) => ({ name: (['train', 'validation', 'test'] as const)[i]!, share })),
});

const instants = fc.array(
  fc.integer({ min: 0, max: 2000 }).map((hour) => hour * HOUR),
  { minLength: 1, maxLength: 200 },
);
const split = fc.oneof(
  fc.constantFrom(byTime(0.7, 0.15, 0.15), byTime(0.5, 0.5), byTime(1)),
  fc.uniqueArray(fc.integer({ min: 1, max: 1999 }), { minLength: 1, maxLength: 2 }).map((cuts): Split => {
    const until = [...cuts].sort((a, b) => a - b).map((hour) => hour * HOUR);
    return {
      by: 'time_cuts',
      parts: [...until, null].map((end, i) => ({
        name: (['train', 'validation', 'test'] as const)[i]!,
        until: end,
      })),
    };
  }),
);

describe('a split by time', () => {
  it('lets no label window reach into a later part', () => {
    fc.assert(
      fc.property(split, instants, fc.integer({ min: 0, max: 100 }), (given, hours, horizon) => {
        const at = Float64Array.from(hours);
        const result = splitRows(given, { at, horizon: horizon * HOUR, identity: hours.map(() => '') });
        const first = result.names.map((_, part) =>
          Math.min(...hours.filter((_t, i) => result.part[i] === part)),
        );
        for (const [i, t] of hours.entries()) {
          const part = result.part[i]!;
          if (part < 0) continue;
          for (let later = part + 1; later < result.names.length; later++)
            expect(t + horizon * HOUR).toBeLessThanOrEqual(first[later]!);
        }
      }),
    );
  });

  it('purges a row only when its label window crosses the end of its part, and counts it', () => {
    fc.assert(
      fc.property(split, instants, fc.integer({ min: 0, max: 100 }), (given, hours, horizon) => {
        const at = Float64Array.from(hours);
        const result = splitRows(given, { at, horizon: horizon * HOUR, identity: hours.map(() => '') });
        expect([...result.part].filter((part) => part < 0)).toHaveLength(result.purged);
        for (const [i, t] of hours.entries()) {
          if (result.part[i] !== -1) continue;
          expect(result.until.some((end) => end !== null && t < end && t + horizon * HOUR > end)).toBe(true);
        }
        if (horizon === 0) expect(result.purged).toBe(0);
      }),
    );
  });

  it('keeps equal times together and parts in order of time', () => {
    fc.assert(
      fc.property(split, instants, (given, hours) => {
        const result = splitRows(given, {
          at: Float64Array.from(hours),
          horizon: 0,
          identity: hours.map(() => ''),
        });
        const rows = hours.map((t, i) => ({ t, part: result.part[i]! })).sort((a, b) => a.t - b.t);
        for (let i = 1; i < rows.length; i++) {
          expect(rows[i]!.part).toBeGreaterThanOrEqual(rows[i - 1]!.part);
          if (rows[i]!.t === rows[i - 1]!.t) expect(rows[i]!.part).toBe(rows[i - 1]!.part);
        }
      }),
    );
  });

  it('gives the shares it is asked for where times differ', () => {
    const at = Float64Array.from({ length: 1000 }, (_, i) => i * HOUR);
    const { part } = splitRows(byTime(0.7, 0.15, 0.15), { at, horizon: 0, identity: [...at].map(() => '') });
    expect([0, 1, 2].map((name) => [...part].filter((item) => item === name).length)).toEqual([
      700, 150, 150,
    ]);
  });

  it('ends a part just before its cut, and lets a window end exactly at it', () => {
    const given: Split = {
      by: 'time_cuts',
      parts: [
        { name: 'train', until: 10 * HOUR },
        { name: 'test', until: null },
      ],
    };
    const at = Float64Array.from([7, 8, 9, 10].map((hour) => hour * HOUR));
    const result = splitRows(given, { at, horizon: 2 * HOUR, identity: ['', '', '', ''] });
    expect([...result.part]).toEqual([0, 0, -1, 1]);
    expect(result.purged).toBe(1);
  });
});

describe('a split by entity or at random', () => {
  const parts: readonly { name: PartName; share: number }[] = [
    { name: 'train', share: 0.8 },
    { name: 'test', share: 0.2 },
  ];

  it('puts every row of one identity into one part, whatever else is in the set and in what order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ maxLength: 6 }), { minLength: 1, maxLength: 50 }),
        fc.nat(100),
        (identity, seed) => {
          const given: Split = { by: 'entity', parts, seed, entity: 'user' };
          const all = splitRows(given, { at: new Float64Array(identity.length), horizon: HOUR, identity });
          const back = splitRows(given, {
            at: new Float64Array(identity.length),
            horizon: HOUR,
            identity: [...identity].reverse(),
          });
          expect([...back.part].reverse()).toEqual([...all.part]);
          for (const [i, name] of identity.entries()) {
            const alone = splitRows(given, { at: new Float64Array(1), horizon: HOUR, identity: [name] });
            expect(alone.part[0]).toBe(all.part[i]);
          }
          expect(all.purged).toBe(0);
        },
      ),
    );
  });

  it('comes near its shares, and moves with the seed', () => {
    const identity = Array.from({ length: 5000 }, (_, i) => `user-${i}`);
    const of = (seed: number): Int8Array =>
      splitRows({ by: 'random', parts, seed }, { at: new Float64Array(5000), horizon: 0, identity }).part;
    const test = [...of(1)].filter((part) => part === 1).length;
    expect(Math.abs(test - 1000)).toBeLessThan(5 * Math.sqrt(5000 * 0.2 * 0.8));
    expect([...of(1)]).toEqual([...of(1)]);
    expect([...of(2)]).not.toEqual([...of(1)]);
  });
});
