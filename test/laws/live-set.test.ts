import { describe, expect, test } from 'vitest';
import { LiveSet } from '../../src/core/engine/kernels/live-set.js';
import fc from '../property.js';

const contents = (set: LiveSet): number[] => {
  const found: number[] = [];
  for (let item = set.first(); item >= 0; item = set.next(item)) found.push(item);
  return found;
};

describe('the live set', () => {
  test('one used for a large entity before shows nothing of it in a smaller one', () => {
    const set = new LiveSet();
    set.reset(200);
    for (let item = 0; item < 200; item++) set.insert(item);
    set.reset(32);
    set.insert(31);
    expect(contents(set)).toEqual([31]);
    set.reset(160);
    set.insert(159);
    expect(contents(set)).toEqual([159]);
  });

  test('holds what a set of numbers holds, through any uses one after the other', () => {
    const use = fc.integer({ min: 1, max: 3000 }).chain((size) =>
      fc.record({
        size: fc.constant(size),
        items: fc.array(fc.tuple(fc.boolean(), fc.nat(size - 1)), { maxLength: 60 }),
        full: fc.boolean(),
      }),
    );
    fc.assert(
      fc.property(fc.array(use, { minLength: 2, maxLength: 6 }), (uses) => {
        const set = new LiveSet();
        for (const { size, items, full } of uses) {
          set.reset(size);
          const model = new Set<number>();
          if (full)
            for (let item = 0; item < size; item++) {
              set.insert(item);
              model.add(item);
            }
          for (const [insert, item] of items) {
            if (insert) {
              set.insert(item);
              model.add(item);
            } else {
              set.delete(item);
              model.delete(item);
            }
          }
          const sorted = [...model].sort((a, b) => a - b);
          expect(contents(set)).toEqual(sorted);
          expect(set.last()).toBe(sorted.at(-1) ?? -1);
        }
      }),
      { numRuns: 60 },
    );
  });
});
