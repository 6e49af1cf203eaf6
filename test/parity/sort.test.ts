import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byEntityBlocks } from '../../src/adapters/duckdb/entity-blocks.js';
import { roundedSum } from '../../src/core/algebra/exact.js';
import { roundParts } from '../../src/core/engine/kernels/limbs.js';
import { sortByTime } from '../../src/core/engine/kernels/sort.js';
import type { RecordColumns } from '../../src/core/engine/types.js';

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

describe('records by blocks of entities', () => {
  test('are the same records, those of one entity in the order they came in', () => {
    const rows = 300_000;
    const entities = 5000;
    const entity = Int32Array.from({ length: rows }, (_, i) => (i * 7919 + (i >> 3)) % entities);
    const numbers = (factor: number): Float64Array =>
      Float64Array.from({ length: rows }, (_, i) => i * factor);
    const eventTime = numbers(1);
    const build = (): RecordColumns => ({
      rows,
      entity: entity.slice(),
      eventTime: eventTime.slice(),
      availableAt: numbers(2),
      seq: numbers(3),
      until: numbers(4),
      masks: new Map([['m', Uint8Array.from({ length: rows }, (_, i) => i % 3)]]),
      columns: new Map([
        [
          'n',
          {
            type: { kind: 'float64' },
            kind: 'numbers',
            values: numbers(5),
            valid: Uint8Array.from({ length: rows }, (_, i) => i % 2),
          },
        ],
        [
          'c',
          {
            type: { kind: 'string' },
            kind: 'codes',
            codes: Int32Array.from({ length: rows }, (_, i) => i % 11),
            dictionary: [],
          },
        ],
        [
          'v',
          {
            type: { kind: 'int64' },
            kind: 'values',
            values: Array.from({ length: rows }, (_, i) => BigInt(i)),
          },
        ],
      ]),
    });
    const arranged = byEntityBlocks(build(), entities);
    const seen = new Uint8Array(rows);
    const last = new Int32Array(entities).fill(-1);
    let moves = 0;
    for (let i = 0; i < rows; i++) {
      const from = arranged.eventTime[i]!;
      const number = arranged.columns.get('n') as { values: Float64Array; valid: Uint8Array };
      const code = arranged.columns.get('c') as { codes: Int32Array };
      const value = arranged.columns.get('v') as { values: readonly bigint[] };
      const same =
        arranged.entity[i] === entity[from] &&
        arranged.availableAt[i] === from * 2 &&
        arranged.seq[i] === from * 3 &&
        arranged.until![i] === from * 4 &&
        arranged.masks.get('m')![i] === from % 3 &&
        number.values[i] === from * 5 &&
        number.valid[i] === from % 2 &&
        code.codes[i] === from % 11 &&
        value.values[i] === BigInt(from);
      if (!same || seen[from] === 1 || last[entity[from]!]! >= from) throw new Error(`row ${i} is wrong`);
      seen[from] = 1;
      last[entity[from]!] = from;
      if (i > 0 && Math.abs(arranged.entity[i]! - arranged.entity[i - 1]!) > entities / 2) moves++;
    }
    expect(moves).toBe(0);
  });
});
