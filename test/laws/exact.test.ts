import { describe, expect, it } from 'vitest';
import {
  addExact,
  addPower,
  decodeExact,
  type ExactSum,
  encodeExact,
  exactSum,
  exactValue,
  mergeExact,
  roundExact,
  roundRatio,
  roundSquareRoot,
} from '../../src/core/algebra/exact.js';
import fc from '../property.js';
import { hostileDouble, rationalOf, roundedRational } from './reference.js';

const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const doubles = fc.array(fc.oneof(finite, hostileDouble), { maxLength: 60 });
const sumOf = (values: readonly number[]): ExactSum => {
  const sum = exactSum();
  for (const value of values) addExact(sum, value);
  return sum;
};
const reference = (values: readonly number[]): number | null =>
  roundedRational(
    values.reduce((total, value) => total + rationalOf(value), 0n),
    1n << 1074n,
  );

describe('exact sums of doubles', () => {
  it('are correctly rounded, whatever the magnitudes', () => {
    fc.assert(
      fc.property(doubles, (values) => {
        expect(roundExact(sumOf(values))).toBe(reference(values));
      }),
      { numRuns: 2000 },
    );
  });

  it('do not depend on the order and the grouping', () => {
    fc.assert(
      fc.property(doubles, fc.nat(60), (values, cut) => {
        const left = sumOf(values.slice(0, cut));
        mergeExact(left, sumOf(values.slice(cut)));
        const backwards = sumOf([...values].reverse());
        expect(encodeExact(left)).toEqual(encodeExact(backwards));
        expect(roundExact(left)).toBe(roundExact(backwards));
      }),
    );
  });

  it('forget what is taken away', () => {
    fc.assert(
      fc.property(doubles, doubles, (kept, passing) => {
        const sum = sumOf([...kept, ...passing]);
        for (const value of passing) addExact(sum, -value);
        expect(encodeExact(sum)).toEqual(encodeExact(sumOf(kept)));
        expect(roundExact(sum)).toBe(reference(kept));
      }),
    );
  });

  it('survive encoding', () => {
    fc.assert(
      fc.property(doubles, (values) => {
        const sum = sumOf(values);
        const again = decodeExact(JSON.parse(JSON.stringify(encodeExact(sum))) as [string, number]);
        expect(encodeExact(again)).toEqual(encodeExact(sum));
        expect(roundExact(again)).toBe(roundExact(sum));
      }),
    );
  });

  it('stay exact over more additions than a bin holds without a carry', () => {
    const sum = exactSum();
    for (let i = 0; i < 1_200_000; i++) addExact(sum, 2 ** 32 - 2 ** -20);
    addExact(sum, 2 ** -60);
    const { m, exponent } = exactValue(sum);
    expect(m << BigInt(exponent + 1074)).toBe(
      1_200_000n * rationalOf(2 ** 32 - 2 ** -20) + rationalOf(2 ** -60),
    );
  });

  it('hold powers exactly', () => {
    fc.assert(
      fc.property(doubles, fc.constantFrom(2 as const, 3 as const, 4 as const), (values, power) => {
        const sum = exactSum(power);
        for (const value of values) addPower(sum, value, power, 1);
        const { m, exponent } = exactValue(sum);
        const units = values.reduce((total, value) => total + rationalOf(value) ** BigInt(power), 0n);
        expect(m << BigInt(exponent + 1074 * power)).toBe(units);
        for (const value of values) addPower(sum, value, power, -1);
        expect(encodeExact(sum)).toEqual(['0', 0]);
      }),
    );
  });
});

describe('rounding of exact numbers', () => {
  it('rounds ratios to the nearest double', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(2n ** 300n), max: 2n ** 300n }),
        fc.bigInt({ min: 1n, max: 2n ** 200n }),
        (a, b) => {
          expect(roundRatio(a, b)).toBe(roundedRational(a, b));
        },
      ),
    );
    expect(roundRatio(1n, 3n)).toBe(1 / 3);
    expect(roundRatio(1n, 1n << 1075n)).toBe(0);
    expect(roundRatio(3n, 1n << 1075n)).toBe(2 * Number.MIN_VALUE);
    expect(roundRatio(1n << 1024n, 1n)).toBeNull();
  });

  it('rounds square roots to the nearest double', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 2n ** 120n }), fc.bigInt({ min: 1n, max: 2n ** 90n }), (a, b) => {
        const root = roundSquareRoot(a, b)!;
        // The neighbouring midpoints enclose the root: (mid)^2 b <= a on the left, >= a on the right.
        const unit = 1n << 1075n;
        const ulp = rationalOf(root) - rationalOf(previous(root));
        const doubled = rationalOf(root) * 2n;
        const scaled = a * unit * unit;
        expect((doubled - ulp) ** 2n * b <= scaled).toBe(true);
        expect((doubled + (rationalOf(next(root)) - rationalOf(root))) ** 2n * b >= scaled).toBe(true);
      }),
    );
    expect(roundSquareRoot(2n, 1n)).toBe(Math.SQRT2);
    expect(roundSquareRoot(4n, 1n)).toBe(2);
  });
});

function neighbour(x: number, step: bigint): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  view.setBigInt64(0, view.getBigInt64(0) + step);
  return view.getFloat64(0);
}
const next = (x: number): number => neighbour(x, 1n);
const previous = (x: number): number => neighbour(x, -1n);
