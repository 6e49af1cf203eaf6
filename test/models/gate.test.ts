/** Which way a metric of the gate is better. */
import { expect, it } from 'vitest';
import type { Model } from '../../src/core/define/types.js';
import type { ModelManifest } from '../../src/services/model-manifest.js';
import { judgePromotion, observedText } from '../../src/services/promote.js';

const passes = (metric: string, ours: number, theirs: number, by = 0.01): boolean => {
  const model = { promote: { require: [], beatChampion: { part: 'test', metric, by } } };
  const candidate = { metrics: { test: { [metric]: ours } } };
  const [check] = judgePromotion(model as unknown as Model, candidate as unknown as ModelManifest, {
    value: theirs,
    rows: 'both on the same rows',
  });
  return check!.passed;
};

it.each(['log_loss', 'brier', 'ece', 'rmse', 'mse', 'mae', 'median_absolute_error', 'mape'])(
  'of %s less is better',
  (metric) => {
    expect(passes(metric, 0.2, 0.3)).toBe(true);
    expect(passes(metric, 0.3, 0.2)).toBe(false);
  },
);

it.each(['auc', 'average_precision', 'accuracy', 'macro_f1', 'r2'])('of %s more is better', (metric) => {
  expect(passes(metric, 0.3, 0.2)).toBe(true);
  expect(passes(metric, 0.2, 0.3)).toBe(false);
});

it('of a mean error the one nearer to nought is better, on either side', () => {
  expect(passes('mean_error', 0.1, -0.5)).toBe(true);
  expect(passes('mean_error', -0.5, 0.1)).toBe(false);
});

it('a tie beats nobody, where the least improvement is nought too', () => {
  expect(passes('auc', 0.7, 0.7, 0)).toBe(false);
  expect(passes('auc', 0.7000001, 0.7, 0)).toBe(true);
  expect(passes('rmse', 3, 3, 0)).toBe(false);
});

it('says why it saw nothing', () => {
  const model = {
    promote: {
      require: [
        { text: 'test.auc >= 0.7', part: 'test', metric: 'auc', operator: '>=', value: 0.7 },
        { text: 'holdout.auc >= 0.7', part: 'holdout', metric: 'auc', operator: '>=', value: 0.7 },
      ],
      beatChampion: null,
    },
  };
  const reason = 'only one class is present';
  const candidate = {
    metrics: { holdout: { auc: null } },
    evaluation: { holdout: { reasons: { auc: reason } } },
  };
  expect(
    judgePromotion(model as unknown as Model, candidate as unknown as ModelManifest, null).map(observedText),
  ).toEqual(['nothing: its training set has no rows in part test', `nothing: ${reason}`]);
});
