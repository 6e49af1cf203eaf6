import { describe, expect, it } from 'vitest';
import { addExact, exactSum, exactValue } from '../../src/core/algebra/exact.js';
import { addMoment, emptyMoments, spreadOf } from '../../src/core/algebra/moments.js';
import { addSquares, joinSquares, quickSpread } from '../../src/core/algebra/quick-spread.js';
import type { ValueType } from '../../src/core/schema/types.js';
import fc from '../property.js';

/** Σx as the exact sum of two doubles, or null when two do not hold it. */
function pairOf(values: readonly number[]): readonly [number, number] | null {
  let high = 0;
  let low = 0;
  for (const x of values) {
    const sum = high + x;
    const part = sum - high;
    low += high - (sum - part) + (x - part);
    high = sum;
  }
  const check = exactSum();
  for (const x of [...values, -high, -low]) addExact(check, x);
  return exactValue(check).m === 0n ? [high, low] : null;
}

/** Squares summed in parts of this many values, as segments keep them. */
function squaresOf(values: readonly number[], parts: number): Float64Array {
  const total = new Float64Array(2);
  for (let at = 0; at < values.length; at += parts) {
    const some = Float64Array.from(values.slice(at, at + parts));
    const pair = new Float64Array(2);
    addSquares(pair, 0, some, 0, some.length);
    joinSquares(total, 0, pair[0]!, pair[1]!);
  }
  return total;
}

const FLOAT64: ValueType = { kind: 'float64' };
const decimal = (scale: number): ValueType => ({ kind: 'decimal', scale });

function both(values: readonly number[], type: ValueType, parts: number): { quick: number; all: number } {
  const exact = emptyMoments(type, 2);
  for (const x of values) addMoment(exact, x, 1);
  const pair = pairOf(values);
  let quick = 0;
  let all = 0;
  if (new Set(values).size < 2 || pair === null) return { quick, all };
  const [high, low] = pair;
  const [squares, rest] = squaresOf(values, parts) as unknown as readonly [number, number];
  const scale = type.kind === 'decimal' ? type.scale : 0;
  for (const correction of [0, 1] as const) {
    for (const root of [false, true]) {
      const value = quickSpread(values.length, high, low, squares, rest, scale, correction, root);
      all++;
      if (value === null) continue;
      quick++;
      expect(Object.is(value, spreadOf(exact, type, correction, root))).toBe(true);
    }
  }
  return { quick, all };
}

const doubles = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.double({ min: -1e3, max: 1e3, noNaN: true }),
  fc.integer({ min: -1e6, max: 1e6 }).map((cents) => cents / 100),
  fc.double({ min: 1e9, max: 1e9 + 1, noNaN: true }),
  fc.constantFrom(0, 5e-324, 1e-160, -1e-160, 1e150, -1e155, 1 + 2 ** -52),
);

describe('a spread from pairs of doubles', () => {
  it('is the correctly rounded one to the bit, or none', () => {
    fc.assert(
      fc.property(
        fc.array(doubles, { minLength: 2, maxLength: 60 }),
        fc.integer({ min: 1, max: 20 }),
        (values, parts) => {
          both(values, FLOAT64, parts);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('holds for integers and decimals of any scale', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -(10 ** 12), max: 10 ** 12 }), { minLength: 2, maxLength: 60 }),
        fc.integer({ min: 0, max: 12 }),
        (values, scale) => {
          both(values, decimal(scale), 7);
          both(values, { kind: 'int64' }, 7);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is there for values as they come: amounts, measurements, small integers', () => {
    let quick = 0;
    let all = 0;
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(
            fc.integer({ min: 1, max: 1e6 }).map((cents) => cents / 100),
            { minLength: 2, maxLength: 200 },
          ),
          fc.array(fc.double({ min: 36, max: 41, noNaN: true }), { minLength: 2, maxLength: 200 }),
          fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 2, maxLength: 200 }),
        ),
        (values) => {
          const found = both(values, FLOAT64, 64);
          quick += found.quick;
          all += found.all;
        },
      ),
      { numRuns: 500 },
    );
    expect(quick / all).toBeGreaterThan(0.98);
  });
});
