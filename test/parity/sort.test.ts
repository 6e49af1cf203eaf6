import { describe, expect, test } from 'vitest';
import { roundedSum } from '../../src/core/algebra/exact.js';
import { roundParts } from '../../src/core/engine/kernels/limbs.js';
import { sortByTime } from '../../src/core/engine/kernels/sort.js';
import fc from '../property.js';

describe('sorting by time', () => {
  test('orders rows by time, then by the tie-break, and leaves the times beside them', () => {
    const sizes = fc.oneof(fc.nat(40), fc.integer({ min: 500, max: 3000 }));
    const spans = fc.constantFrom(3, 1000, 2 ** 31, 2 ** 33, 2 ** 45, 2 ** 53);
    fc.assert(
      fc.property(
        sizes,
        spans,
        fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
        fc.nat(),
        (size, span, least, seed) => {
          let state = seed;
          const random = (): number => {
            state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
            return state / 2 ** 32;
          };
          const times = Float64Array.from({ length: size + 5 }, () => least + Math.floor(random() * span));
          const ties = Float64Array.from({ length: size + 5 }, () => Math.floor(random() * 3));
          const rows = Int32Array.from({ length: size + 5 }, (_, i) => i);
          const compare = (a: number, b: number): number => ties[a]! - ties[b]! || a - b;
          const expected = [...rows.subarray(5)].sort((a, b) => times[a]! - times[b]! || compare(a, b));
          const keys = new Float64Array(size);
          sortByTime(rows, 5, size + 5, times, keys, compare);
          expect([...rows.subarray(5)]).toEqual(expected);
          expect([...keys]).toEqual(expected.map((row) => times[row]!));
          expect([...rows.subarray(0, 5)]).toEqual([0, 1, 2, 3, 4]);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('rounding three exact parts', () => {
  test('gives the double nearest to their sum, ties and cancellation included', () => {
    const part = fc.oneof(
      fc.double({ min: -1e300, max: 1e300, noNaN: true }),
      fc
        .tuple(fc.integer({ min: -(2 ** 53), max: 2 ** 53 }), fc.integer({ min: -130, max: 130 }))
        .map(([m, e]) => m * 2 ** e),
    );
    fc.assert(
      fc.property(part, part, part, (a, b, c) => {
        expect(roundParts([a, b, c])).toBe(roundedSum([a, b, c]) + 0);
        expect(roundParts([a, b, c])).toBe(roundParts([a, b, c, 0]));
      }),
      { numRuns: 20_000 },
    );
  });
});
