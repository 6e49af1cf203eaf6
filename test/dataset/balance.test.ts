import { describe, expect, it } from 'vitest';
import { addLabels, balanceText, countLabels, labelBalance } from '../../src/core/dataset/balance.js';
import { BOOLEAN, INT64, STRING, type Value, type ValueType } from '../../src/core/schema/types.js';

const tallyOf = (type: ValueType, values: readonly Value[]) => {
  const counter = countLabels(type);
  for (const value of values) counter.add(value);
  return counter.tally();
};

/** Each part from two halves. */
const told = (type: ValueType, ...parts: readonly (readonly Value[])[]): readonly string[] =>
  labelBalance(
    type,
    parts.map((part) => {
      const half = part.length >> 1;
      return addLabels(type, [tallyOf(type, part.slice(0, half)), tallyOf(type, part.slice(half))]);
    }),
  ).map(balanceText);

describe('the labels of a part', () => {
  it('are told as what they are', () => {
    expect(told(BOOLEAN, [true, false, false], [true])).toEqual(['false 2, true 1 (33.3%)', 'true 1']);
    expect(told(INT64, [0, 1, 1])).toEqual(['0 1, 1 2 (66.7%)']);
    expect(told(STRING, ['b', 'a', 'b'])).toEqual(['a 1, b 2']);
  });

  it('are the most frequent ones where there are many, and a mean where they are a quantity in any part', () => {
    expect(told(STRING, [...'aabcdefghh'])).toEqual(['a 2, h 2, b 1, c 1, d 1, e 1, 2 more classes']);
    const many = Array.from({ length: 60 }, (_, i) => i);
    expect(told(INT64, many, [7])).toEqual(['mean 29.5', 'mean 7']);
  });
});
