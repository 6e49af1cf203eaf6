import { describe, expect, it } from 'vitest';
import { define, readYaml } from '../../src/core/define/index.js';
import { type AssetState, planRun } from '../../src/core/plan/plan.js';

const TEXT = `
entities: [{ name: user, join_key: user_id }]
sources:
  - { name: orders, kind: events, read: { files: '*.csv' }, record_key: id, event_time: at, fields: { id: string, user_id: int64, late: boolean, at: timestamp } }
features: [{ name: n, entity: user, aggregation: { function: count, source: orders, window: 1d } }]
labels: [{ name: late, source: orders, expression: late, horizon: 1h }]
datasets:
  - { name: train, observations: { source: orders }, features: [n], label: late, split: { by: time, parts: { train: 0.8, test: 0.2 } } }
models: [{ name: m, dataset: train, task: binary, trainer: { kind: logistic_regression } }]
`;

describe('a plan for a model', () => {
  const { documents } = readYaml(TEXT, 'all.yaml');
  const { definitions, diagnostics } = define(
    documents.map((root) => ({ root, settings: false, typescript: false })),
    { root: '/project', memoryLimitBytes: 2 ** 30, threads: 1 },
    [],
  );
  const promotions = (dataset: AssetState, model: AssetState, champion: number) =>
    planRun(
      definitions,
      {
        assets: new Map<string, AssetState>([
          ['source.orders', { stale: null }],
          ['online.store', { stale: null }],
          ['dataset.train', dataset],
          ['model.m', model],
        ]),
        champions: new Map([['m', champion]]),
      },
      ['m'],
    ).promotions;

  it('names the version that its gate judges, where it is there already', () => {
    expect(diagnostics).toEqual([]);
    const gate = { stale: 'its gate has changed', trained: 2 };
    expect(promotions({ stale: null }, gate, 2)).toEqual([{ model: 'm', version: 2, champion: 2 }]);
    expect(promotions({ stale: null }, gate, 1)).toEqual([{ model: 'm', version: 2, champion: 1 }]);
    // Other data may make another version.
    expect(promotions({ stale: 'new records' }, gate, 2)).toEqual([
      { model: 'm', version: null, champion: 2 },
    ]);
    expect(promotions({ stale: null }, { stale: 'never trained' }, 1)).toEqual([
      { model: 'm', version: null, champion: 1 },
    ]);
  });
});
