import { describe, expect, it } from 'vitest';
import { compareColumns } from '../../src/core/drift/compare.js';
import type { ColumnSample } from '../../src/core/drift/grouped.js';
import { chiSquaredContingency, judgeAgainstHistory, ksTwoSample } from '../../src/core/drift/tests.js';
import { drawing } from './random.js';

/** Four standard errors around a share of alarms. */
const band = (share: number, draws: number): readonly [number, number] => {
  const half = 4 * Math.sqrt((share * (1 - share)) / draws);
  return [share - half, share + half];
};

function expectShare(alarms: number, draws: number, share: number, slack = 0): void {
  const [low, high] = band(share, draws);
  expect(alarms / draws).toBeGreaterThan(low - slack);
  expect(alarms / draws).toBeLessThan(high + slack);
}

describe('false alarms on data that did not change', () => {
  it.each([
    [2, 1000, 1000],
    [5, 1000, 100],
    [20, 500, 5000],
  ])('the contingency test at 5 %% holds its level for %i categories, %i and %i rows', (k, n, m) => {
    const { uniform } = drawing(k * 1000 + n);
    const draws = 1200;
    const counts = (size: number): number[] => {
      const row = new Array<number>(k).fill(0);
      for (let i = 0; i < size; i++) row[Math.floor(uniform() * k)]++;
      return row;
    };
    let alarms = 0;
    for (let draw = 0; draw < draws; draw++) {
      if (chiSquaredContingency(counts(n), counts(m)).p_value < 0.05) alarms++;
    }
    expectShare(alarms, draws, 0.05, 0.003);
  });

  it.each([
    [100, 63],
    [200, 600],
  ])('Kolmogorov–Smirnov at 5 %% holds its level for %i and %i rows', (n, m) => {
    const { uniform } = drawing(n + m);
    const draws = 1500;
    const sample = (size: number): Float64Array => Float64Array.from({ length: size }, uniform).sort();
    let alarms = 0;
    for (let draw = 0; draw < draws; draw++) {
      if (ksTwoSample(sample(n), sample(m)).p_value < 0.05) alarms++;
    }
    expectShare(alarms, draws, 0.05, 0.005);
  });

  it.each([6, 20])('the history rule alarms in 1 %% at alpha 1 %% with %i past points', (points) => {
    const { normal } = drawing(points);
    const draws = 6000;
    let alarms = 0;
    for (let draw = 0; draw < draws; draw++) {
      const history = Float64Array.from({ length: points }, () => 10 + normal());
      if (
        judgeAgainstHistory(history, 10 + normal(), { alpha: 0.01, relativeFloor: 0 }).verdict === 'anomalous'
      )
        alarms++;
    }
    expectShare(alarms, draws, 0.01);
  });

  it('fifty clean columns give at most one false alarm in ten windows of two hundred rows', () => {
    const { normal, uniform } = drawing(42);
    const column = (index: number, rows: number): ColumnSample => {
      if (index % 5 === 0) {
        const counts = new Map<string, number>();
        for (let i = 0; i < rows; i++) {
          const name = `c${Math.floor(uniform() ** 2 * 8)}`;
          counts.set(name, (counts.get(name) ?? 0) + 1);
        }
        return { type: 'categorical', counts, nulls: 0 };
      }
      const values = Float64Array.from({ length: rows }, () =>
        index % 3 === 0 ? Math.exp(normal()) : normal(),
      );
      return { type: 'numeric', values, nulls: Math.round(rows * 0.02) };
    };
    const table = (rows: number) =>
      Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`x${i}`, column(i, rows)]));
    const reference = table(2000);
    let alarms = 0;
    for (let window = 0; window < 20; window++)
      alarms += compareColumns(reference, table(200)).drifted.length;
    expect(alarms).toBeLessThanOrEqual(2);
  });

  it('five shifted columns of fifty are found at a thousand rows, and nothing else', () => {
    const { normal } = drawing(77);
    const sample = (rows: number, shift: number): ColumnSample => ({
      type: 'numeric',
      values: Float64Array.from({ length: rows }, () => shift + normal()),
      nulls: 0,
    });
    const table = (rows: number, shift: number) =>
      Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`x${i}`, sample(rows, i < 5 ? shift : 0)]));
    const { drifted } = compareColumns(table(5000, 0), table(1000, 0.35));
    expect(drifted).toEqual(['x0', 'x1', 'x2', 'x3', 'x4']);
  });
});
