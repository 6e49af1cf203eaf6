import { describe, expect, it } from 'vitest';
import {
  areaUnderRoc,
  evaluateBinary,
  evaluateMulticlass,
  evaluateRegression,
} from '../../src/core/learn/metrics.js';
import { expectClose } from '../drift/close.js';
import { golden } from '../drift/golden.js';
import { drawing } from '../drift/random.js';
import fc from '../property.js';

type Numbers = Readonly<Record<string, number | null>>;
interface MetricsGolden {
  readonly binary: readonly {
    readonly labels: readonly number[];
    readonly scores: readonly number[];
    readonly weights: readonly number[];
    readonly error: number;
    readonly plain: Numbers;
    readonly weighted: Numbers;
    readonly calibration: readonly (readonly [mean: number, rate: number])[];
  }[];
  readonly multiclass: readonly {
    readonly classes: number;
    readonly labels: readonly number[];
    readonly probabilities: readonly number[];
    readonly log_loss: number;
    readonly accuracy: number;
    readonly macro_f1: number;
    readonly macro_auc: number;
  }[];
  readonly regression: readonly {
    readonly truth: readonly number[];
    readonly predicted: readonly number[];
    readonly weights: readonly number[];
    readonly median_absolute_error: number;
    readonly plain: Numbers;
    readonly weighted: Numbers;
  }[];
}
const { binary, multiclass, regression } = golden<MetricsGolden>('metrics');

function expectMetrics(actual: Numbers, expected: Numbers): void {
  for (const [name, value] of Object.entries(expected)) expectClose(actual[name], value, 1e-12);
}

describe('binary metrics', () => {
  it('agree with scikit-learn, with and without weights, ties included', () => {
    for (const { labels, scores, weights, plain, weighted } of binary) {
      expectMetrics(evaluateBinary(labels, scores).metrics, plain);
      expectMetrics(evaluateBinary(labels, scores, { weights }).metrics, weighted);
    }
  });

  it('calibration bins are those of calibration_curve', () => {
    for (const { labels, scores, calibration } of binary) {
      const bins = evaluateBinary(labels, scores).curves.calibration;
      expect(bins).toHaveLength(calibration.length);
      bins.forEach((bin, i) => {
        expectClose(bin.mean_score, calibration[i][0], 1e-12);
        expectClose(bin.positive_rate, calibration[i][1], 1e-12);
      });
    }
  });

  it("the AUC interval is DeLong's", () => {
    for (const { labels, scores, error, plain } of binary) {
      const [low, high] = evaluateBinary(labels, scores).intervals.auc;
      expectClose(low, Math.max(0, plain.auc! - 1.959963984540054 * error), 1e-11, 1e-13);
      expectClose(high, Math.min(1, plain.auc! + 1.959963984540054 * error), 1e-11);
    }
  });

  it('one class, no rows and scores that are no probabilities give null with the reason', () => {
    const one = evaluateBinary([1, 1], [0.2, 0.9]);
    expect(one.metrics).toMatchObject({ auc: null, specificity: null, average_precision: 1 });
    expect(one.reasons.auc).toBe('only one class is present');
    const none = evaluateBinary([], []);
    expect(none.metrics).toMatchObject({ auc: null, log_loss: null, accuracy: null, ece: null });
    expect(new Set(Object.values(none.metrics))).toEqual(new Set([null]));
    const margin = evaluateBinary([0, 1, 0, 1], [-3, 2.5, 0.1, 7]);
    expect(margin.metrics).toMatchObject({ auc: 1, log_loss: null, brier: null, ece: null });
    expect(margin.reasons.brier).toContain('not probabilities');
  });

  it('certain and wrong costs 36 nats, not infinity', () => {
    expectClose(evaluateBinary([0, 1], [1, 0]).metrics.log_loss, -Math.log(2 ** -52), 1e-13);
  });

  it('AUC counts pairs, ignores order of rows and reverses with the labels', () => {
    const rows = fc.array(fc.tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 0, max: 6 })), {
      minLength: 2,
      maxLength: 40,
    });
    fc.assert(
      fc.property(rows, (pairs) => {
        const positives = pairs.filter(([label]) => label === 1).map(([, score]) => score);
        const negatives = pairs.filter(([label]) => label === 0).map(([, score]) => score);
        const [labels, scores] = [pairs.map(([label]) => label), pairs.map(([, score]) => score)];
        if (positives.length === 0 || negatives.length === 0) {
          expect(areaUnderRoc(labels, scores)).toBeNull();
          return;
        }
        let right = 0;
        for (const p of positives) for (const n of negatives) right += p > n ? 1 : p === n ? 0.5 : 0;
        const auc = areaUnderRoc(labels, scores);
        expectClose(auc, right / positives.length / negatives.length, 1e-14);
        expect(areaUnderRoc(labels.toReversed(), scores.toReversed())).toBe(auc);
        expectClose(
          areaUnderRoc(
            labels.map((label) => 1 - label),
            scores,
          ),
          1 - auc!,
          1e-13,
          1e-14,
        );
      }),
    );
  });

  it('an integer weight is that many equal rows', () => {
    const { labels, scores } = binary[2];
    const weights = labels.map((_, i) => 1 + (i % 3));
    const repeat = (values: readonly number[]): number[] =>
      values.flatMap((value, i) => new Array<number>(weights[i]).fill(value));
    const [few, many] = [
      evaluateBinary(labels, scores, { weights }),
      evaluateBinary(repeat(labels), repeat(scores)),
    ];
    for (const [name, value] of Object.entries(many.metrics)) expectClose(few.metrics[name], value, 1e-12);
    expect(few.rows).toBe(labels.length);
  });

  it('curves are bounded, monotone and end where all is predicted positive', () => {
    const { uniform } = drawing(8);
    const scores = Array.from({ length: 5000 }, uniform);
    const { curves, confusion } = evaluateBinary(
      scores.map((p) => (uniform() < p ? 1 : 0)),
      scores,
      { curvePoints: 50, threshold: 0 },
    );
    expect(curves.roc).toHaveLength(50);
    expect(curves.roc.at(-1)).toMatchObject({ x: 1, y: 1 });
    for (let i = 1; i < 50; i++) expect(curves.roc[i].y).toBeGreaterThanOrEqual(curves.roc[i - 1].y);
    expect(confusion).toMatchObject({ true_negatives: 0, false_negatives: 0 });
  });

  it('equal-mass bins hold about the same number of rows', () => {
    const { uniform } = drawing(9);
    const scores = Array.from({ length: 1000 }, () => uniform() ** 4);
    const { curves } = evaluateBinary(
      scores.map((p) => (uniform() < p ? 1 : 0)),
      scores,
      { binning: 'equal_mass' },
    );
    expect(curves.calibration.map((bin) => bin.weight)).toEqual(new Array(10).fill(100));
  });

  it('95 % intervals cover the truth about as often as they say', () => {
    const { uniform } = drawing(10);
    const covered = { auc: 0, log_loss: 0, brier: 0, accuracy: 0 };
    // p is uniform and true: AUC 5/6, Brier 1/6, log loss 1/2, accuracy at one half 3/4.
    const truth = { auc: 5 / 6, log_loss: 0.5, brier: 1 / 6, accuracy: 0.75 };
    const draws = 400;
    for (let draw = 0; draw < draws; draw++) {
      const scores = Array.from({ length: 300 }, uniform);
      const { intervals } = evaluateBinary(
        scores.map((p) => (uniform() < p ? 1 : 0)),
        scores,
      );
      for (const name of Object.keys(covered) as (keyof typeof covered)[]) {
        const [low, high] = intervals[name];
        if (low <= truth[name] && truth[name] <= high) covered[name]++;
      }
    }
    for (const hits of Object.values(covered)) {
      expect(hits / draws).toBeGreaterThan(0.91);
      expect(hits / draws).toBeLessThan(0.985);
    }
  });
});

describe('multiclass metrics', () => {
  it('agree with scikit-learn', () => {
    for (const { classes, labels, probabilities, ...expected } of multiclass) {
      const columns = Array.from({ length: classes }, (_, c) =>
        Float64Array.from(labels, (_, i) => probabilities[i * classes + c]),
      );
      const result = evaluateMulticlass(labels, columns);
      expectMetrics(result.metrics, expected);
      expect(result.confusion.flat().reduce((sum, count) => sum + count, 0)).toBe(labels.length);
    }
  });

  it('one class alone has no AUC and says so', () => {
    const result = evaluateMulticlass(
      [0, 0],
      [
        [0.9, 0.6],
        [0.1, 0.4],
      ],
      { classes: ['no', 'yes'] },
    );
    expect(result).toMatchObject({
      classes: ['no', 'yes'],
      metrics: { macro_auc: null, accuracy: 1, macro_f1: 1 },
    });
    expect(result.reasons.macro_auc).toBe('only one class is present');
  });
});

describe('regression metrics', () => {
  it('agree with scikit-learn, with and without weights', () => {
    for (const { truth, predicted, weights, median_absolute_error, plain, weighted } of regression) {
      const result = evaluateRegression(truth, predicted);
      expectMetrics(result.metrics, { ...plain, median_absolute_error });
      expectMetrics(evaluateRegression(truth, predicted, { weights }).metrics, weighted);
    }
  });

  it('a constant truth has no R², zeros no MAPE, no rows nothing', () => {
    const flat = evaluateRegression([0, 0, 0], [1, 2, 3]);
    expect(flat.metrics).toMatchObject({ r2: null, mape: null, mae: 2, mean_error: 2 });
    expect(flat.reasons).toEqual({ r2: 'the truth is constant', mape: 'every true value is 0' });
    expect(new Set(Object.values(evaluateRegression([], []).metrics))).toEqual(new Set([null]));
  });
});
