/** Which way a metric of the gate is better. */
import { expect, it } from 'vitest';
import type { Model } from '../../src/core/define/types.js';
import type { ModelManifest } from '../../src/services/model-manifest.js';
import { judgePromotion } from '../../src/services/promote.js';

const passes = (metric: string, ours: number, theirs: number): boolean => {
  const model = { promote: { require: [], beatChampion: { part: 'test', metric, by: 0.01 } } };
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
