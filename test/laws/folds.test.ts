import { describe, expect, it } from 'vitest';
import { FOLDS, foldFor } from '../../src/core/algebra/catalogue.js';
import { exp2 } from '../../src/core/algebra/exp2.js';
import type { Fold, FoldContext, Member } from '../../src/core/algebra/fold.js';
import { registerOf } from '../../src/core/algebra/folds/sketches.js';
import { FUNCTION_NAMES, type FunctionArguments } from '../../src/core/define/types.js';
import {
  BOOLEAN,
  decimal,
  FLOAT64,
  INT64,
  STRING,
  type Value,
  type ValueType,
} from '../../src/core/schema/types.js';
import fc from '../property.js';
import { hostileDouble } from './reference.js';

const VALUES: readonly (readonly [ValueType, fc.Arbitrary<Value>])[] = [
  [
    FLOAT64,
    fc.oneof(
      hostileDouble,
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0),
    ),
  ],
  [FLOAT64, fc.integer({ min: -5, max: 5 }).map((x) => x / 4)],
  [
    INT64,
    fc.oneof(
      fc.integer({ min: -4, max: 4 }),
      fc.constantFrom(2n ** 62n, -(2n ** 63n), 9_007_199_254_740_991),
    ),
  ],
  [decimal(2), fc.integer({ min: -500, max: 500 })],
  [STRING, fc.constantFrom('', 'a', 'B', 'é', '\u{1F600}', '\uFFFD', 'n1')],
  [BOOLEAN, fc.boolean()],
];
const argumentsOf: fc.Arbitrary<FunctionArguments> = fc.record({
  ignoreNulls: fc.boolean(),
  k: fc.integer({ min: 1, max: 4 }),
  q: fc.constantFrom(0, 0.25, 0.5, 0.99, 1),
  halfLife: fc.constantFrom(1, 1_000_000, 86_400_000_000),
});

interface Sample {
  readonly fold: Fold;
  readonly members: readonly Member[];
  readonly cuts: readonly [number, number];
  readonly at: number;
}

/** A fold with arguments and members in member order, over one accepted type. */
function sampleOf(name: (typeof FUNCTION_NAMES)[number], byGroup: boolean): fc.Arbitrary<Sample> {
  const accepted = VALUES.filter(([type]) => FOLDS[name].accepts(type));
  return fc.constantFrom(...accepted).chain(([type, value]) =>
    fc
      .tuple(
        argumentsOf,
        fc.array(
          fc.record({
            eventTime: fc.integer({ min: 0, max: 40 }),
            value: fc.option(value, { freq: 6 }),
            by:
              name === 'ratio'
                ? fc.option(fc.boolean())
                : fc.option(fc.integer({ min: 0, max: 3 }), { freq: 6 }),
            group: fc.option(fc.constantFrom('x', 'y', '\u{1F600}'), { freq: 6 }),
          }),
          { maxLength: 24 },
        ),
        fc.nat(24),
        fc.nat(24),
      )
      .map(([args, members, a, b]): Sample => {
        const context: FoldContext = {
          inputType: FOLDS[name].needsField === false ? null : type,
          byType: INT64,
          arguments: args,
        };
        return {
          fold: foldFor(name, context, byGroup),
          members: [...members].sort((x, y) => x.eventTime - y.eventTime),
          cuts: [Math.min(a, b), Math.max(a, b)],
          at: 41,
        };
      }),
  );
}

const run = (fold: Fold, members: readonly Member[]): unknown => {
  const state = fold.init();
  for (const member of members) fold.add(state, member);
  return state;
};
/** What can be told of a state: its canonical bytes, its value, and what a null means. */
const seen = ({ fold, at }: Sample, state: unknown) => ({
  encoded: JSON.stringify(fold.encode(state)),
  value: fold.finish(state, at),
  nullStatus: fold.finish(state, at) === null ? (fold.nullStatus?.(state) ?? 'empty') : null,
});

for (const byGroup of [false, true]) {
  describe(byGroup ? 'laws of every fold by group' : 'laws of every fold', () => {
    for (const name of FUNCTION_NAMES) {
      const check = (law: (sample: Sample) => void): void => {
        fc.assert(fc.property(sampleOf(name, byGroup), law), { numRuns: byGroup ? 25 : 60 });
      };

      it(`${name}: merging runs is folding the whole, associatively, with init as identity`, () => {
        check((sample) => {
          const { fold, members, cuts } = sample;
          const parts = () =>
            [members.slice(0, cuts[0]), members.slice(cuts[0], cuts[1]), members.slice(cuts[1])].map((part) =>
              run(fold, part),
            );
          const whole = seen(sample, run(fold, members));
          const [a, b, c] = parts();
          fold.merge(a, b);
          fold.merge(a, c);
          expect(seen(sample, a)).toEqual(whole);
          const [d, e, f] = parts();
          fold.merge(e, f);
          fold.merge(d, e);
          expect(seen(sample, d)).toEqual(whole);
          fold.merge(d, fold.init());
          expect(seen(sample, d)).toEqual(whole);
          const empty = fold.init();
          fold.merge(empty, d);
          expect(seen(sample, empty)).toEqual(whole);
        });
      });

      it(`${name}: decoding undoes encoding through JSON, and what is decoded goes on folding`, () => {
        check((sample) => {
          const { fold, members, cuts } = sample;
          const state = fold.decode(
            JSON.parse(JSON.stringify(fold.encode(run(fold, members.slice(0, cuts[1]))))),
          );
          expect(seen(sample, state)).toEqual(seen(sample, run(fold, members.slice(0, cuts[1]))));
          for (const member of members.slice(cuts[1])) fold.add(state, member);
          expect(seen(sample, state)).toEqual(seen(sample, run(fold, members)));
        });
      });

      it(`${name}: finishing and merging from a state leave it as it was`, () => {
        check((sample) => {
          const { fold, members, cuts } = sample;
          const state = run(fold, members);
          const before = seen(sample, state);
          const other = run(fold, members.slice(0, cuts[0]));
          fold.merge(other, state);
          for (const member of members) fold.add(other, member);
          expect(seen(sample, state)).toEqual(before);
        });
      });

      if (FOLDS[name].commutative)
        it(`${name}: the order does not matter`, () => {
          check((sample) => {
            const { fold, members } = sample;
            expect(seen(sample, run(fold, [...members].reverse()))).toEqual(seen(sample, run(fold, members)));
          });
        });

      if (FOLDS[name].invertible)
        it(`${name}: removing undoes adding exactly`, () => {
          check((sample) => {
            const { fold, members, cuts } = sample;
            const state = run(fold, members);
            for (const member of members.slice(0, cuts[1])) fold.remove!(state, member);
            expect(seen(sample, state)).toEqual(seen(sample, run(fold, members.slice(cuts[1]))));
          });
        });

      it(`${name}: nothing to aggregate gives its empty value`, () => {
        check((sample) => {
          expect(sample.fold.finish(sample.fold.init(), 0)).toBe(byGroup ? null : FOLDS[name].emptyValue);
        });
      });
    }
  });
}

describe('sketches', () => {
  const uniform = (seed: number): (() => number) => {
    let state = seed >>> 0;
    return () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
  };
  const normal = (next: () => number): number =>
    Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  /** One value of each shape that a quantile of it is asked for. */
  const DISTRIBUTIONS: Readonly<Record<string, (next: () => number, i: number) => number>> = {
    uniform: (next) => next(),
    'normal around zero': (next) => normal(next),
    'log-normal over many orders': (next) => Math.exp(20 * normal(next)),
    'Pareto without a mean': (next) => (1 - next()) ** -2,
    'two peaks, one negative': (next) => (next() < 0.3 ? -1000 - next() : 5 + next()),
    'few values': (next) => Math.floor(next() * 3),
    sorted: (_, i) => i,
    'tiny and huge': (next) => (next() < 0.5 ? 1e-300 : 1e300) * (0.5 + next()),
  };
  const N = 4000;
  const PARTS = 7;

  for (const [name, draw] of Object.entries(DISTRIBUTIONS)) {
    it(`approx_quantile of ${name} is within 1/128 of the value of the exact rank, merged or not`, () => {
      const next = uniform(name.length);
      const values = Array.from({ length: N }, (_, i) => draw(next, i));
      const sorted = [...values].sort((x, y) => x - y);
      for (const q of [0, 0.001, 0.05, 0.25, 0.5, 0.9, 0.999, 1]) {
        const fold = foldFor('approx_quantile', {
          inputType: FLOAT64,
          byType: null,
          arguments: { q, ignoreNulls: false },
        });
        const parts = Array.from({ length: PARTS }, (_, part) =>
          run(
            fold,
            values.filter((_, i) => i % PARTS === part).map((value) => ({ eventTime: 0, value, by: null })),
          ),
        );
        const merged = fold.init();
        for (const part of parts) fold.merge(merged, part);
        const whole = run(
          fold,
          values.map((value) => ({ eventTime: 0, value, by: null })),
        );
        expect(fold.encode(merged)).toEqual(fold.encode(whole));
        const exact = sorted[Math.floor((N - 1) * q)]!;
        expect(Math.abs((fold.finish(merged, 0) as number) - exact)).toBeLessThanOrEqual(
          Math.abs(exact) / 128,
        );
      }
    });
  }

  const KEYS: Readonly<Record<string, readonly [ValueType, (i: number) => Value]>> = {
    'small integers': [INT64, (i) => i],
    'integers beyond 2^53': [INT64, (i) => 2n ** 62n + BigInt(i)],
    'close doubles': [FLOAT64, (i) => 1 + i * 2 ** -52],
    'texts with a common start': [STRING, (i) => `https://example.org/item/${i}`],
    decimals: [decimal(2), (i) => i * 7],
  };
  for (const [name, [type, key]] of Object.entries(KEYS)) {
    it(`approx_count_distinct of ${name} is within four standard errors, whatever repeats and merges`, () => {
      const fold = foldFor('approx_count_distinct', {
        inputType: type,
        byType: null,
        arguments: { ignoreNulls: false },
      });
      for (const n of [1, 10, 300, 3000, 12_000]) {
        const parts = Array.from({ length: 3 }, () => fold.init());
        for (let i = 0; i < n; i++)
          for (const part of i % 5 === 0 ? [0, 1, 2] : [i % 3])
            fold.add(parts[part], { eventTime: 0, value: key(i), by: null });
        const merged = fold.init();
        for (const part of parts) fold.merge(merged, part);
        fold.merge(merged, parts[0]);
        expect(Math.abs((fold.finish(merged, 0) as number) - n)).toBeLessThanOrEqual(
          Math.max(1, 4 * 0.0163 * n),
        );
      }
    });
  }

  it('approx_count_distinct holds at 200,000 values, and no state is more than 4096 small integers', () => {
    const fold = foldFor('approx_count_distinct', {
      inputType: INT64,
      byType: null,
      arguments: { ignoreNulls: false },
    });
    const state = fold.init();
    let next = 1;
    for (let n = 1; n <= 200_000; n++) {
      fold.add(state, { eventTime: 0, value: n, by: null });
      if (n < next) continue;
      next = Math.ceil(n * 1.7);
      expect(Math.abs((fold.finish(state, 0) as number) - n)).toBeLessThanOrEqual(
        Math.max(1, 4 * 0.0163 * n),
      );
    }
    const registers = fold.encode(state) as [number, number][];
    expect(registers.length).toBeLessThanOrEqual(4096);
    expect(registers.flat().every((item) => Number.isInteger(item) && item >= 0 && item < 4096)).toBe(true);
  });

  it('top_k over unbounded keys is exact: counts of all values, ties by value', () => {
    const fold = foldFor('top_k', {
      inputType: STRING,
      byType: null,
      arguments: { k: 3, ignoreNulls: false },
    });
    const state = fold.init();
    const add = (value: string, times: number): void => {
      for (let i = 0; i < times; i++) fold.add(state, { eventTime: 0, value, by: null });
    };
    // Each of the frequent ones comes when 5,000 others have come once: a bounded sketch would have lost it.
    for (let i = 0; i < 5000; i++) add(`once-${i}`, 1);
    add('z', 3);
    for (let i = 5000; i < 10_000; i++) add(`once-${i}`, 1);
    add('y', 3);
    add('x', 2);
    expect(fold.finish(state, 0)).toEqual(['y', 'z', 'x']);
  });

  it('takes register and rank from the MD5 of the text, as SQL can', () => {
    // md5('a') = 0cc175b9c0f1b6a8..., md5('b') = 92eb5ffee6ae2fec...
    expect(registerOf(STRING, 'a')).toEqual([0x0cc, 4]);
    expect(registerOf(STRING, 'b')).toEqual([0x92e, 1]);
  });
});

describe('2^x', () => {
  it('is within 2 units of the last place and exact for whole x', () => {
    fc.assert(
      fc.property(fc.double({ min: -1000, max: 1000, noNaN: true }), (x) => {
        const reference = 2 ** x;
        expect(Math.abs(exp2(x) - reference)).toBeLessThanOrEqual(2 ** -51 * reference);
      }),
    );
    for (let k = -1074; k <= 1023; k++) expect(exp2(k)).toBe(2 ** k);
  });
});
