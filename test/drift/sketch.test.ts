import { describe, expect, it } from 'vitest';
import { compareColumns } from '../../src/core/drift/compare.js';
import { DISTINCT_ERROR } from '../../src/core/drift/hyperloglog.js';
import { EXACT_VALUES, NumberState } from '../../src/core/drift/number-state.js';
import { DEFAULT_PROBABILITIES, moments, profileColumn } from '../../src/core/drift/profile.js';
import { type NumericSketch, sketchQuantiles } from '../../src/core/drift/sketch.js';
import { EXACT_TEXTS, TextState } from '../../src/core/drift/text-state.js';
import { drawing } from './random.js';

const N = 300_000;

function stateOf(values: ArrayLike<number>, chunk = 2_048): ReturnType<NumberState['finish']> {
  const state = new NumberState();
  const all = Float64Array.from(values);
  for (let from = 0; from < all.length; from += chunk) {
    const part = all.slice(from, from + chunk);
    state.add(part, part.length);
  }
  return state.finish();
}

const { uniform, normal } = drawing(11);

const HOSTILE: Readonly<Record<string, (i: number) => number>> = {
  uniform: () => uniform(),
  'normal around zero': () => normal(),
  'log-normal of six decades': () => Math.exp(3 * normal()),
  'ascending identifiers': (i) => i,
  'descending identifiers': (i) => N - i,
  'instants of a year in order': (i) => 1.7e15 + i * 5e7 + Math.floor(uniform() * 1e9),
  'far from zero in a narrow band': () => 1e6 + normal() * 1e-5,
  'one value and its nearest neighbours': () =>
    uniform() < 0.6 ? 1 : 1 + Math.floor(uniform() * 1e6) * 2 ** -52,
  'first one half, then the other': (i) => (i < N / 2 ? uniform() : 0.5 + uniform() / 1e6),
  'mostly zero, negative zero among them': () => (uniform() < 0.9 ? (uniform() < 0.5 ? -0 : 0) : normal()),
  'signs and extremes': () =>
    [Number.MIN_VALUE, -Number.MAX_VALUE, 1e300, -1e-300, normal()][Math.floor(uniform() * 5)]!,
};

describe('A sketch of numbers', () => {
  for (const [name, draw] of Object.entries(HOSTILE))
    it(`gives ranks within the error it states: ${name}`, () => {
      const values = Float64Array.from({ length: N }, (_, i) => draw(i));
      const sketch = stateOf(values) as NumericSketch;
      expect(sketch.type).toBe('numeric_sketch');
      expect(sketch.rankError).toBeLessThan(0.004);
      const sorted = values.toSorted();
      const below = (value: number, inclusive: boolean): number => {
        let [low, high] = [0, N];
        while (low < high) {
          const middle = (low + high) >> 1;
          if (sorted[middle]! < value || (inclusive && sorted[middle] === value)) low = middle + 1;
          else high = middle;
        }
        return low;
      };
      const probabilities = [0, 0.001, ...DEFAULT_PROBABILITIES, 0.999, 1];
      for (const [i, value] of sketchQuantiles(sketch, probabilities).entries()) {
        const rank = probabilities[i]! * (N - 1);
        const allowed = sketch.rankError * N + 1;
        expect(below(value, false) - allowed).toBeLessThanOrEqual(rank);
        expect(below(value, true) + allowed).toBeGreaterThanOrEqual(rank);
      }
      expect(sketch.counts.reduce((sum, count) => sum + count, 0)).toBeCloseTo(N, 3);
      expect([sketch.min, sketch.max]).toEqual(
        [sorted[0], sorted[N - 1]].map((end) => (end === 0 ? expect.closeTo(0) : end)),
      );
      const exact = new Set(values.map((value) => (value === 0 ? 0 : value))).size;
      if (sketch.distinctError === 0) expect(sketch.distinct).toBe(exact);
      else expect(Math.abs(sketch.distinct / exact - 1)).toBeLessThan(5 * DISTINCT_ERROR);
    });

  it('has the mean and the deviation of two exact passes, far from zero too', () => {
    for (const draw of [() => 1e9 + normal(), () => normal(), () => Math.exp(2 * normal())]) {
      const values = Float64Array.from({ length: N }, draw);
      const sketch = stateOf(values) as NumericSketch;
      const { mean, std } = moments(values);
      expect(Math.abs(sketch.mean! - mean!)).toBeLessThanOrEqual(4e-16 * Math.abs(mean!) + 1e-15 * std!);
      expect(Math.abs(sketch.std! / std! - 1)).toBeLessThan(1e-12);
    }
  });

  it('is exact where values repeat: quantiles, distinct count and distribution', () => {
    const values = Float64Array.from({ length: N }, () => Math.floor(40 * uniform() ** 3) / 4);
    const sketch = stateOf(values) as NumericSketch;
    expect(sketch.rankError).toBe(0);
    const [ours, whole] = [profileColumn(sketch), profileColumn({ type: 'numeric', values, nulls: 0 })];
    if (ours.type !== 'numeric' || whole.type !== 'numeric') throw new Error('numeric');
    expect(ours.quantiles).toEqual(whole.quantiles);
    expect(ours.distinct).toBe(whole.distinct);
    expect(ours.histogram).toEqual(whole.histogram);
  });

  it('does not depend on how the values come in chunks', () => {
    const values = Float64Array.from({ length: N }, () => normal());
    expect(stateOf(values, 2_048)).toEqual(stateOf(values, 777));
  });

  it('counts NaN apart and has no mean where there are infinities', () => {
    const values = Float64Array.from({ length: N }, (_, i) =>
      i % 3 === 0 ? Number.NaN : i % 5 === 0 ? Number.POSITIVE_INFINITY : 1,
    );
    const sketch = stateOf(values) as NumericSketch;
    expect(sketch).toMatchObject({
      nans: N / 3,
      count: (2 * N) / 3,
      mean: null,
      std: null,
      distinct: 2,
      rankError: 0,
    });
    expect(profileColumn(sketch)).toMatchObject({ max: null, min: 1 });
  });

  it('keeps all values up to the limit, and starts after it', () => {
    const at = stateOf(Float64Array.from({ length: EXACT_VALUES }, (_, i) => i));
    expect(at.type).toBe('numeric');
    expect(stateOf(Float64Array.from({ length: EXACT_VALUES + 1 }, (_, i) => i)).type).toBe('numeric_sketch');
  });

  it('compares like the whole values, with the error stated', () => {
    const a = Float64Array.from({ length: N }, () => normal());
    const b = Float64Array.from({ length: N }, () => 0.2 + normal());
    const exact = compareColumns(
      { x: { type: 'numeric', values: a, nulls: 3 } },
      { x: { type: 'numeric', values: b, nulls: 0 } },
    ).columns['x']!;
    const ours = compareColumns({ x: stateOf(a) }, { x: stateOf(b) }).columns['x']!;
    expect(ours.verdict).toBe('drifted');
    expect(ours.mode).toBe('sketch');
    expect(Math.abs(ours.tests.ks!.statistic - exact.tests.ks!.statistic)).toBeLessThanOrEqual(
      ours.rank_error!,
    );
    expect(ours.tests.psi!.value).toBeCloseTo(exact.tests.psi!.value, 3);
    expect(ours.tests.jensen_shannon!.distance).toBeCloseTo(exact.tests.jensen_shannon!.distance, 3);
    expect(ours.tests.wasserstein!.value).toBeCloseTo(exact.tests.wasserstein!.value, 3);
    const same = compareColumns({ x: stateOf(a) }, { x: stateOf(a.toReversed()) }).columns['x']!;
    expect(same.verdict).toBe('ok');
  });
});

describe('A sketch of texts', () => {
  const hashes = (codes: ArrayLike<number>): Uint32Array => {
    const words = new Uint32Array(2 * codes.length);
    for (let i = 0; i < codes.length; i++) {
      words[2 * i] = Math.imul(codes[i]! + 1, 0x9e3779b1);
      words[2 * i + 1] = Math.imul(codes[i]! ^ 0x5bd1e995, 0x85ebca6b);
    }
    return words;
  };
  const take = (codes: ArrayLike<number>, most = 1_000): ReturnType<TextState['finish']> => {
    const state = new TextState();
    for (let from = 0; from < codes.length; from += 2_048) {
      const part = Array.from({ length: Math.min(2_048, codes.length - from) }, (_, i) => codes[from + i]!);
      state.add(hashes(part), part.length, null, (row) => `text ${part[row]}`);
    }
    return state.finish(most);
  };

  it('counts every text while there are few of them', () => {
    const codes = Array.from({ length: 100_000 }, () => Math.floor(EXACT_TEXTS * 0.9 * uniform()));
    const found = take(codes);
    if ('hashes' in found) throw new Error('few');
    const exact = new Map<string, number>();
    for (const code of codes) exact.set(`text ${code}`, (exact.get(`text ${code}`) ?? 0) + 1);
    expect(found.counts.size).toBe(exact.size);
    expect([...exact].filter(([text, count]) => found.counts.get(text) !== count)).toEqual([]);
  });

  it('beyond, follows every text above the stated count and tells how many there are', () => {
    const codes = Array.from({ length: 600_000 }, (_, i) =>
      i % 2 === 0 ? i + 10_000 : Math.floor(3_000 * uniform() ** 4),
    );
    const found = take(codes, 5_000);
    if (!('hashes' in found)) throw new Error('many');
    const counts = new Map<number, number>();
    for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
    expect(found.count).toBe(codes.length);
    expect(Math.abs(found.distinct / counts.size - 1)).toBeLessThan(5 * DISTINCT_ERROR);
    expect(found.complete).toBeLessThan(codes.length / 1_000);
    const followed = new Set(found.hashes);
    const frequent = [...counts].filter(([, count]) => count > found.complete);
    expect(frequent.length).toBeGreaterThan(50);
    for (const [code] of frequent) {
      const [low, high] = hashes([code]);
      expect(followed.has((BigInt(high!) << 32n) | BigInt(low!))).toBe(true);
    }
  });
});
