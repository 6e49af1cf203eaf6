import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MillraceError } from '../../src/core/base/error.js';
import { checkTrainer, TRAINERS, trainersReference } from '../../src/core/define/trainers.js';
import { constantScores, fitBoosting } from '../../src/core/learn/boosting.js';
import type { Matrix } from '../../src/core/learn/linear.js';
import { binaryLoss, multinomialLoss } from '../../src/core/learn/logistic.js';
import { buildTable, type Feature, takeRows } from '../../src/core/learn/matrix.js';
import { compileModel, type TrainedModel } from '../../src/core/learn/model.js';
import { type Convex, lbfgs, newton, solveSymmetric } from '../../src/core/learn/solve.js';
import { train } from '../../src/core/learn/train.js';
import type { TrainPart } from '../../src/core/learn/training-parts.js';
import { BOOLEAN, FLOAT64, STRING, type Value } from '../../src/core/schema/types.js';
import fc from '../property.js';
import { golden, partsOf } from './golden.js';

/** Numbers in [0, 1) that are the same in every run. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const part = (features: Feature[], columns: (Value | undefined)[][], target: number[]): TrainPart => ({
  table: buildTable(features, columns),
  target: Float64Array.from(target),
});
const X: Feature = { name: 'x', type: FLOAT64 };
const C: Feature = { name: 'c', type: STRING };

const errorOf = (run: () => unknown): MillraceError => {
  try {
    run();
  } catch (error) {
    if (error instanceof MillraceError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

function randomMatrix(rows: number, width: number, seed: number): Matrix {
  const next = numbers(seed);
  return { rows, width, values: Float64Array.from({ length: rows * width }, () => next() * 4 - 2) };
}

describe('derivatives', () => {
  const x = randomMatrix(40, 3, 5);
  const next = numbers(9);
  const weights = Float64Array.from({ length: 40 }, () => next() * 2);
  const losses: [string, Convex][] = [
    [
      'binary',
      binaryLoss(
        x,
        Array.from({ length: 40 }, () => Math.floor(next() * 2)),
        weights,
        0.7,
      ),
    ],
    [
      'multinomial',
      multinomialLoss(
        x,
        Array.from({ length: 40 }, () => Math.floor(next() * 4)),
        4,
        weights,
        0.7,
      ),
    ],
  ];
  for (const [name, loss] of losses) {
    it(`of the ${name} loss agree with differences of the loss and of its gradient`, () => {
      const n = loss.dimension;
      const w = Float64Array.from({ length: n }, () => next() - 0.5);
      const gradient = new Float64Array(n);
      loss.evaluate(w, gradient);
      const hessian = loss.hessian(w);
      const step = 1e-5;
      for (let i = 0; i < n; i++) {
        const [up, down] = [w.slice(), w.slice()];
        up[i]! += step;
        down[i]! -= step;
        const [gradientUp, gradientDown] = [new Float64Array(n), new Float64Array(n)];
        const difference = loss.evaluate(up, gradientUp) - loss.evaluate(down, gradientDown);
        expect(Math.abs(difference / (2 * step) - gradient[i]!)).toBeLessThan(1e-6);
        for (let j = 0; j <= i; j++) {
          expect(
            Math.abs((gradientUp[j]! - gradientDown[j]!) / (2 * step) - hessian[i * n + j]!),
          ).toBeLessThan(1e-6);
        }
      }
    });

    it(`of the ${name} loss vanish at the minimum that Newton and L-BFGS agree on`, () => {
      const exact = newton(loss, { maxIterations: 50, tolerance: 1e-12 });
      const close = lbfgs(loss, { maxIterations: 2000, tolerance: 1e-9 });
      const gradient = new Float64Array(loss.dimension);
      loss.evaluate(exact.w, gradient);
      expect(Math.max(...gradient.map(Math.abs))).toBeLessThan(1e-8);
      expect(exact.converged && close.converged).toBe(true);
      expect(close.value).toBeCloseTo(exact.value, 10);
    });
  }
});

describe('systems', () => {
  it('with columns that depend on each other get a basic solution', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 0, max: 1e6 }),
        (n, rank, seed) => {
          const x = randomMatrix(Math.min(rank, n), n, seed);
          const a = new Float64Array(n * n);
          for (let i = 0; i < n; i++) {
            for (let j = 0; j < n; j++) {
              for (let r = 0; r < x.rows; r++) a[i * n + j]! += x.values[r * n + i]! * x.values[r * n + j]!;
            }
          }
          const known = Float64Array.from({ length: n }, (_, i) => i - 1.5);
          const b = new Float64Array(n);
          for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) b[i]! += a[i * n + j]! * known[j]!;
          const found = solveSymmetric(a.slice(), b);
          const scale = Math.max(1, ...b.map(Math.abs), ...found.map(Math.abs));
          for (let i = 0; i < n; i++) {
            let left = -b[i]!;
            for (let j = 0; j < n; j++) left += a[i * n + j]! * found[j]!;
            expect(Math.abs(left) / scale).toBeLessThan(1e-4);
          }
        },
      ),
      { seed: 1 },
    );
  });
});

describe('determinism', () => {
  const set = golden('mixed_binary');
  const { train: rows, test } = partsOf(set);
  const fitted = (seed: number, parameters: Record<string, unknown> = {}) =>
    train(
      { kind: 'gradient_boosted_trees', task: 'binary', seed, parameters: { trees: 15, ...parameters } },
      { train: rows, validation: test },
    );

  it('the same seed gives the same JSON, byte for byte, and another seed another model when rows or columns are drawn', () => {
    for (const drawn of [{ subsample: 0.5 }, { colsample: 0.5 }]) {
      expect(JSON.stringify(fitted(1, drawn))).toBe(JSON.stringify(fitted(1, drawn)));
      expect(fitted(2, drawn).predictor).not.toEqual(fitted(1, drawn).predictor);
    }
    expect(fitted(2).predictor).toEqual(fitted(1).predictor);
  });

  it('the record is frozen through and through', () => {
    const model = fitted(1);
    const frozen = (value: unknown): boolean =>
      typeof value !== 'object' ||
      value === null ||
      (Object.isFrozen(value) && Object.values(value).every(frozen));
    expect(frozen(model)).toBe(true);
  });
});

describe('boosted trees', () => {
  it('report losses of exactly the scores that the model predicts, with drawn rows, categories and missing values', () => {
    for (const name of ['mixed_binary', 'mixed_regression', 'iris']) {
      const set = golden(name);
      const { train: rows, test } = partsOf(set);
      const classes = set.task === 'multiclass' ? ['a', 'b', 'c'] : undefined;
      const model = train(
        {
          kind: 'gradient_boosted_trees',
          task: set.task,
          classes,
          seed: 3,
          parameters: { trees: 12, subsample: 0.6, colsample: 0.7, early_stopping_rounds: 0 },
        },
        { train: rows, validation: test },
      );
      const last = model.log.rounds.at(-1)!;
      for (const [examples, expected] of [
        [rows, last.training],
        [test, last.validation!],
      ] as const) {
        const found = compileModel(model).predictTable(examples.table);
        let loss = 0;
        examples.target.forEach((y, r) => {
          if (set.task === 'regression') loss += 0.5 * ((found as Float64Array)[r]! - y) ** 2;
          else if (set.task === 'binary')
            loss -= Math.log(y === 1 ? (found as Float64Array)[r]! : 1 - (found as Float64Array)[r]!);
          else loss -= Math.log((found as Float64Array[])[y]![r]!);
        });
        expect(loss / examples.target.length).toBeCloseTo(expected, 9);
      }
    }
  });

  it('keep the leaf values and row counts that the definition gives', () => {
    const x = Array.from({ length: 60 }, (_, i) => i);
    const y = x.map((value) => (value < 25 ? 1 : 4));
    const model = train(
      {
        kind: 'gradient_boosted_trees',
        task: 'regression',
        parameters: { trees: 1, learning_rate: 0.5, l2: 2 },
      },
      { train: part([X], [x], y) },
    );
    if (model.predictor.kind !== 'forest') throw new Error('not a forest');
    const [[tree]] = model.predictor.forest.rounds as [[(typeof model.predictor.forest.rounds)[0][0]]];
    const mean = (25 + 35 * 4) / 60;
    expect(tree.feature).toEqual([0, -1, -1]);
    expect(tree.threshold[0]).toBe(24.5);
    expect(tree.rows).toEqual([60, 25, 35]);
    expect(tree.value[tree.left[0]!]).toBeCloseTo((0.5 * 25 * (1 - mean)) / 27, 12);
    expect(tree.value[tree.right[0]!]).toBeCloseTo((0.5 * 35 * (4 - mean)) / 37, 12);
    expect(tree.gain[0]).toBeCloseTo((25 * (1 - mean)) ** 2 / 27 + (35 * (4 - mean)) ** 2 / 37, 9);
  });

  it('learn what a missing value means, and send it with the larger side when training had none', () => {
    const x = Array.from({ length: 200 }, (_, i) => (i % 4 === 0 ? null : i));
    const y = x.map((value) => (value === null ? 1 : 0));
    const compiled = compileModel(
      train({ kind: 'gradient_boosted_trees', task: 'regression' }, { train: part([X], [x], y) }),
    );
    expect(compiled.predictRow([null])).toEqual({ score: expect.closeTo(1, 2) });
    expect(compiled.predictRow([1e9])).toEqual({ score: expect.closeTo(0, 2) });
    const full = Array.from({ length: 200 }, (_, i) => i);
    const steep = compileModel(
      train(
        { kind: 'gradient_boosted_trees', task: 'regression' },
        {
          train: part(
            [X],
            [full],
            full.map((value) => (value < 50 ? 7 : 2)),
          ),
        },
      ),
    );
    expect(steep.predictRow([null])).toEqual(steep.predictRow([199]));
  });

  it('part many categories by their effect, and take unseen ones like rare ones', () => {
    const next = numbers(4);
    const names = Array.from({ length: 40 }, (_, k) => `c${k}`);
    const c = Array.from({ length: 4000 }, () => names[Math.floor(next() * 40)]!);
    const y = c.map((name) => (Number(name.slice(1)) % 3 === 0 ? 10 : -10));
    const model = train(
      { kind: 'gradient_boosted_trees', task: 'regression', parameters: { trees: 60, max_leaves: 2 } },
      { train: part([C], [c], y) },
    );
    const compiled = compileModel(model);
    for (const [k, name] of names.entries())
      expect(compiled.predictRow([name])).toEqual({ score: expect.closeTo(k % 3 === 0 ? 10 : -10, 0) });
    if (model.predictor.kind !== 'forest') throw new Error('not a forest');
    const first = model.predictor.forest.rounds[0]![0]!;
    const high = names.filter((_, k) => k % 3 === 0);
    const encoding = model.encoder.features[0]!;
    if (encoding.kind !== 'category') throw new Error('not a category');
    expect(
      first.categories['0']!.filter((code) => code < 40)
        .map((code) => encoding.categories[code]!)
        .sort(),
    ).toEqual(high.sort());
    expect(compiled.predictRow(['never seen'])).toEqual(compiled.predictRow([null]));
    const lone = [...c.slice(0, 3990), ...Array.from({ length: 10 }, (_, i) => `rare ${i}`)];
    const rare = train(
      { kind: 'gradient_boosted_trees', task: 'regression', parameters: { min_child_rows: 5 } },
      { train: part([C], [lone], [...y.slice(0, 3990), ...Array(10).fill(50)]) },
    );
    expect(compileModel(rare).predictRow(['never seen'])).toEqual(compileModel(rare).predictRow(['rare 3']));
    expect((compileModel(rare).predictRow(['never seen']) as { score: number }).score).toBeGreaterThan(20);
  });

  it('stop when validation no longer improves, and keep the best round', () => {
    const next = numbers(8);
    const make = (rows: number): TrainPart => {
      const x = Array.from({ length: rows }, () => next());
      return part(
        [X, { name: 'noise', type: FLOAT64 }],
        [x, x.map(() => next())],
        x.map((value) => (value + next() > 1 ? 1 : 0)),
      );
    };
    const model = train(
      {
        kind: 'gradient_boosted_trees',
        task: 'binary',
        parameters: { trees: 500, early_stopping_rounds: 5, learning_rate: 0.3 },
      },
      { train: make(600), validation: make(600) },
    );
    const { rounds, best_round: best } = model.log;
    if (model.predictor.kind !== 'forest') throw new Error('not a forest');
    expect(rounds).toHaveLength(best! + 5);
    expect(model.predictor.forest.rounds).toHaveLength(best!);
    expect(rounds[best! - 1]!.validation).toBe(Math.min(...rounds.map((each) => each.validation!)));
    expect(model.importance[0]!.feature).toBe('x');
  });

  it('of constant columns, or of too few rows, are the best constant', () => {
    const y = Array.from({ length: 30 }, (_, i) => (i % 3 === 0 ? 1 : 0));
    for (const rows of [
      [X, y.map(() => 5)],
      [X, y.map((_, i) => i)],
    ] as const) {
      const model = train(
        { kind: 'gradient_boosted_trees', task: 'binary' },
        { train: part([rows[0]], [[...rows[1]]], y) },
      );
      expect(compileModel(model).predictRow([3])).toEqual({
        probability: expect.closeTo(1 / 3, 12),
        label: 0,
      });
    }
    const warned = train(
      { kind: 'gradient_boosted_trees', task: 'binary' },
      { train: part([X], [y.map((_, i) => i)], y) },
    );
    expect(warned.log.warnings[0]).toContain('no tree can split 30 rows');
    const one = train(
      { kind: 'gradient_boosted_trees', task: 'regression' },
      { train: part([X], [[1]], [42]) },
    );
    expect(compileModel(one).predictRow([7])).toEqual({ score: 42 });
  });

  it('obey the limits of leaves, depth and rows a leaf', () => {
    const { train: rows } = partsOf(golden('mixed_regression'));
    const model = train(
      {
        kind: 'gradient_boosted_trees',
        task: 'regression',
        parameters: { trees: 5, max_leaves: 9, max_depth: 4, min_child_rows: 37 },
      },
      { train: rows },
    );
    if (model.predictor.kind !== 'forest') throw new Error('not a forest');
    for (const tree of model.predictor.forest.rounds.flat()) {
      const depth = (node: number): number =>
        tree.feature[node] === -1 ? 0 : 1 + Math.max(depth(tree.left[node]!), depth(tree.right[node]!));
      expect(depth(0)).toBeLessThanOrEqual(4);
      expect(tree.feature.filter((column) => column === -1).length).toBeLessThanOrEqual(9);
      expect(Math.min(...tree.rows)).toBeGreaterThanOrEqual(37);
      tree.feature.forEach((column, node) => {
        if (column >= 0)
          expect(tree.rows[tree.left[node]!]! + tree.rows[tree.right[node]!]!).toBe(tree.rows[node]);
      });
    }
  });

  it('count a row of weight 2 like two rows in their losses', () => {
    const next = numbers(2);
    const values = Float64Array.from({ length: 100 }, () => next());
    const target = values.map((value) => value * 3 + next());
    const options = {
      trees: 10,
      learningRate: 0.3,
      maxLeaves: 4,
      maxDepth: 0,
      minChildRows: 1,
      minGain: 0,
      l2: 1,
      subsample: 1,
      colsample: 1,
      maxBins: 255,
      categorySmoothing: 10,
      earlyStoppingRounds: 0,
      seed: 1,
    };
    const heavy = fitBoosting(
      'squared',
      1,
      { rows: 100, columns: [{ values, codes: 0 }], target, weights: new Float64Array(100).fill(2) },
      undefined,
      options,
    );
    const twice = { values: Float64Array.from([...values, ...values]), codes: 0 };
    const doubled = fitBoosting(
      'squared',
      1,
      {
        rows: 200,
        columns: [twice],
        target: Float64Array.from([...target, ...target]),
        weights: new Float64Array(200).fill(1),
      },
      undefined,
      options,
    );
    heavy.rounds.forEach((round, i) => {
      expect(round.training).toBeCloseTo(doubled.rounds[i]!.training, 9);
    });
  });
});

describe('linear models', () => {
  it('count a row of weight 2 like two rows', () => {
    const set = golden('breast_cancer');
    const { train: rows } = partsOf(set);
    const order = Array.from(rows.target, (_, r) => r);
    const doubled = {
      table: takeRows(rows.table, [...order, ...order]),
      target: Float64Array.from([...rows.target, ...rows.target]),
    };
    for (const [kind, task] of [
      ['logistic_regression', 'binary'],
      ['linear_regression', 'regression'],
    ] as const) {
      const a = train(
        { kind, task },
        { train: { ...rows, weights: new Float64Array(order.length).fill(2) } },
      );
      const b = train({ kind, task }, { train: doubled });
      const [left, right] = [a, b].map(
        (model) => compileModel(model).predictTable(rows.table) as Float64Array,
      );
      left!.forEach((each, r) => {
        expect(each).toBeCloseTo(right![r]!, 9);
      });
    }
  });

  it('balance classes by weight: the mean probability becomes one half', () => {
    const { train: rows } = partsOf(golden('breast_cancer'));
    const model = train(
      { kind: 'logistic_regression', task: 'binary', parameters: { class_weight: 'balanced' } },
      { train: rows },
    );
    const found = compileModel(model).predictTable(rows.table) as Float64Array;
    const mean = (label: number): number => {
      const own = found.filter((_, r) => rows.target[r] === label);
      return own.reduce((sum, each) => sum + each, 0) / own.length;
    };
    expect((mean(0) + mean(1)) / 2).toBeCloseTo(0.5, 8);
  });

  it('without a penalty stay finite on columns that depend on each other and on constants', () => {
    const x = Array.from({ length: 50 }, (_, i) => i / 7);
    const features = ['a', 'b', 'c', 'd'].map((name) => ({ name, type: FLOAT64 }));
    const columns = [
      x,
      x.map((value) => 3 - 2 * value),
      x.map(() => 8),
      x.map((value, i) => (i % 2 ? value : 1)),
    ];
    const y = x.map((value, i) => 5 + value - (i % 2 ? 2 * value : 2));
    const model = train(
      { kind: 'linear_regression', task: 'regression', parameters: { l2: 0 } },
      { train: part(features, columns, y) },
    );
    const found = compileModel(model).predictTable(buildTable(features, columns)) as Float64Array;
    found.forEach((each, r) => {
      expect(each).toBeCloseTo(y[r]!, 8);
    });
  });

  it('say when separable classes keep them from converging', () => {
    const x = Array.from({ length: 20 }, (_, i) => i);
    const model = train(
      { kind: 'logistic_regression', task: 'binary', parameters: { l2: 0, max_iterations: 5 } },
      {
        train: part(
          [X],
          [x],
          x.map((value) => (value < 9 ? 0 : 1)),
        ),
      },
    );
    expect(model.log.converged).toBe(false);
    expect(model.log.warnings[0]).toContain('without converging');
  });

  it('fit two named classes as one binary output and give both probabilities', () => {
    const x = Array.from({ length: 40 }, (_, i) => i);
    const model = train(
      { kind: 'logistic_regression', task: 'multiclass', classes: ['no', 'yes'] },
      {
        train: part(
          [X],
          [x],
          x.map((value) => (value % 7 < value / 8 ? 1 : 0)),
        ),
      },
    );
    const compiled = compileModel(model);
    const row = compiled.predictRow([39]);
    const table = compiled.predictTable(buildTable([X], [[39]])) as Float64Array[];
    if (!('probabilities' in row)) throw new Error('not a multiclass prediction');
    expect(row.probabilities.no! + row.probabilities.yes!).toBeCloseTo(1, 15);
    expect([table[0]![0], table[1]![0]]).toEqual([row.probabilities.no, row.probabilities.yes]);
    expect(row.label).toBe('yes');
  });
});

describe('the baseline', () => {
  it('predicts the weighted mean or the class shares, of one class too', () => {
    const weighted = { ...part([X], [[1, 2, 3]], [1, 0, 0]), weights: Float64Array.of(2, 1, 1) };
    expect(
      compileModel(train({ kind: 'baseline', task: 'binary' }, { train: weighted })).predictRow([9]),
    ).toEqual({ probability: expect.closeTo(0.5, 15), label: expect.any(Number) });
    const mean = train({ kind: 'baseline', task: 'regression' }, { train: part([X], [[1, 2]], [10, 20]) });
    expect([...(compileModel(mean).predictTable(buildTable([X], [[5, 6, 7]])) as Float64Array)]).toEqual([
      15, 15, 15,
    ]);
    const sole = train({ kind: 'baseline', task: 'binary' }, { train: part([X], [[1, 2]], [1, 1]) });
    expect(compileModel(sole).predictRow([1])).toEqual({ probability: expect.closeTo(1, 12), label: 1 });
    expect(constantScores('softmax', [0, 1, 1, 2], new Float64Array(4).fill(1), 3).map(Math.exp)).toEqual(
      [0.25, 0.5, 0.25].map((p) => expect.closeTo(p, 15)),
    );
  });
});

describe('what cannot be learnt from is refused', () => {
  const fitted = (spec: Partial<Parameters<typeof train>[0]>, data: TrainPart) =>
    errorOf(() => train({ kind: 'gradient_boosted_trees', task: 'binary', ...spec }, { train: data }));

  it('no rows, one class, wrong or missing labels, wrong weights, unusable features', () => {
    expect(fitted({}, part([X], [[]], [])).code).toBe('DATASET_EMPTY');
    for (const kind of ['gradient_boosted_trees', 'logistic_regression']) {
      const error = fitted({ kind }, part([X], [[1, 2, 3]], [1, 1, 1]));
      expect(error.code).toBe('TRAIN_FAILED');
      expect(error.message).toContain('every row of the train part has the label 1');
    }
    expect(
      fitted({ task: 'multiclass', classes: ['cat', 'dog'] }, part([X], [[1, 2]], [1, 1])).message,
    ).toContain('the label dog');
    expect(fitted({}, part([X], [[1, 2]], [0, 2])).message).toContain(
      'row 2 of the train part has the label 2',
    );
    expect(fitted({ task: 'regression' }, part([X], [[1, 2]], [0, Number.NaN])).message).toContain(
      'row 2 of the train part has no target',
    );
    expect(
      fitted({ task: 'multiclass', classes: ['a', 'b'] }, part([X], [[1, 2]], [0, 2])).message,
    ).toContain('not the code of one of 2 classes');
    expect(fitted({}, { ...part([X], [[1, 2]], [0, 1]), weights: Float64Array.of(1, -1) }).message).toContain(
      'row 2 of the train part has the weight -1',
    );
    expect(fitted({}, { ...part([X], [[1, 2]], [0, 1]), weights: Float64Array.of(0, 0) }).code).toBe(
      'TRAIN_FAILED',
    );
    expect(fitted({}, { table: { rows: 2, columns: [] }, target: Float64Array.of(0, 1) }).message).toContain(
      'no features',
    );
  });

  it('trainers, tasks and parameters that do not exist, with the nearest name', () => {
    const data = part(
      [X, { name: 'b', type: BOOLEAN }],
      [
        [1, 2],
        [true, false],
      ],
      [0, 1],
    );
    expect(fitted({ kind: 'gradient_boosted_tree' }, data).message).toContain('gradient_boosted_trees');
    expect(fitted({ kind: 'linear_regression' }, data).message).toContain('does not do binary');
    expect(fitted({ parameters: { learning_rat: 0.1 } }, data).message).toContain(
      'did you mean `learning_rate`',
    );
    expect(fitted({ parameters: { trees: 2.5 } }, data).message).toContain('expected a whole number');
    expect(fitted({ parameters: { subsample: 0 } }, data).message).toContain('expected at least');
    expect(fitted({ parameters: { constructor: 1 } }, data).message).toContain('no parameter `constructor`');
    expect(fitted({ seed: 1.5 }, data).message).toContain('seed');
  });
});

describe('the table of trainers', () => {
  it('has defaults that it accepts, for every task, and is what the reference page says', () => {
    for (const [kind, trainer] of Object.entries(TRAINERS)) {
      const defaults = Object.fromEntries(
        Object.entries(trainer.parameters).map(([name, shape]) => [name, shape.default]),
      );
      for (const task of trainer.tasks) expect(checkTrainer(kind, task, 0, defaults)).toEqual([]);
    }
    const page = readFileSync(new URL('../../docs/reference/trainers.md', import.meta.url), 'utf8');
    expect(page).toBe(trainersReference());
  });
});

describe('speed', () => {
  it('one row through 200 trees takes well under 200 µs even on a busy machine', () => {
    const set = golden('mixed_binary');
    const model = train(
      { kind: 'gradient_boosted_trees', task: 'binary', seed: 1 },
      { train: partsOf(set).train },
    ) as TrainedModel;
    const compiled = compileModel(model);
    const row = [0.3, -1, null, 'city 3', 'plan 1'];
    for (let i = 0; i < 2000; i++) compiled.predictRow(row);
    const best = Math.min(
      ...Array.from({ length: 10 }, () => {
        const start = performance.now();
        for (let i = 0; i < 200; i++) compiled.predictRow(row);
        return (performance.now() - start) / 200;
      }),
    );
    expect(best).toBeLessThan(0.2);
  });
});
