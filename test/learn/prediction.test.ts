import { describe, expect, it } from 'vitest';
import { buildTable, type Feature, takeRows } from '../../src/core/learn/matrix.js';
import { compileModel, type Prediction } from '../../src/core/learn/model.js';
import { train } from '../../src/core/learn/train.js';
import type { TrainSpec } from '../../src/core/learn/training-parts.js';
import {
  BOOLEAN,
  decimal,
  FLOAT64,
  INT64,
  STRING,
  TIMESTAMP,
  type Value,
} from '../../src/core/schema/types.js';
import fc from '../property.js';

const FEATURES: readonly Feature[] = [
  { name: 'x', type: FLOAT64 },
  { name: 'n', type: INT64 },
  { name: 'price', type: decimal(2) },
  { name: 'paid', type: BOOLEAN },
  { name: 'at', type: TIMESTAMP },
  { name: 'city', type: STRING },
  { name: 'always', type: FLOAT64 },
  { name: 'embedding', type: { kind: 'float64_vector', dimension: 3 } },
];

const orNull = (value: fc.Arbitrary<Value>): fc.Arbitrary<Value> => fc.option(value, { freq: 6 });
const float = fc.double({ noNaN: true, noDefaultInfinity: true });
const row: fc.Arbitrary<Value[]> = fc.tuple(
  orNull(float),
  orNull(fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))),
  orNull(fc.integer()),
  orNull(fc.boolean()),
  orNull(fc.maxSafeInteger()),
  orNull(fc.oneof(fc.constantFrom('a', 'b', 'c', '', '__proto__'), fc.string())),
  orNull(fc.oneof(fc.constant(1), float)),
  orNull(fc.array(float, { minLength: 3, maxLength: 3 })),
);

const columnsOf = (rows: readonly (readonly Value[])[]) =>
  FEATURES.map((_, j) => rows.map((each) => each[j]!));

/** Sixty rows of all features, whose label follows some of them. */
function learnable(task: TrainSpec['task']) {
  const rows = Array.from({ length: 60 }, (_, r): Value[] => [
    r % 7 === 0 ? null : Math.sin(r),
    r * r,
    (r * 37) % 1000,
    r % 2 === 0,
    1_700_000_000_000_000 + r * 3_600_000_000,
    r % 11 === 0 ? null : 'abc'[r % 3]!,
    1,
    r % 13 === 0 ? null : [r % 5, r / 7, -r],
  ]);
  const signal = rows.map((_, r) => Math.sin(r) * 2 + (r % 3) + (r % 5) / 3);
  const target = signal.map((each) =>
    task === 'regression' ? each : task === 'binary' ? Number(each > 1.5) : Math.abs(Math.trunc(each)) % 3,
  );
  return { table: buildTable(FEATURES, columnsOf(rows)), target: Float64Array.from(target) };
}

const numbersOf = (prediction: Prediction): number[] =>
  'score' in prediction
    ? [prediction.score]
    : 'probability' in prediction
      ? [prediction.probability]
      : Object.values(prediction.probabilities);

const MODELS: readonly (readonly [string, TrainSpec['task']])[] = [
  ['gradient_boosted_trees', 'binary'],
  ['gradient_boosted_trees', 'multiclass'],
  ['gradient_boosted_trees', 'regression'],
  ['logistic_regression', 'binary'],
  ['logistic_regression', 'multiclass'],
  ['linear_regression', 'regression'],
  ['baseline', 'binary'],
  ['baseline', 'multiclass'],
];

describe('rows of extreme numbers, missing values and unseen categories get the same bits alone and in a table', () => {
  it.each(MODELS)('%s, %s', (kind, task) => {
    const parameters: Readonly<Record<string, unknown>> =
      kind === 'gradient_boosted_trees'
        ? { trees: 10, min_child_rows: 3, min_category_rows: 1 }
        : kind === 'baseline'
          ? {}
          : { min_category_rows: 1 };
    const classes = task === 'multiclass' ? ['p', 'q', 'r'] : undefined;
    const model = train({ kind, task, parameters, classes }, { train: learnable(task) });
    const compiled = compileModel(model);
    const again = compileModel(JSON.parse(JSON.stringify(model)));
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 8 }), (rows) => {
        const found = compiled.predictTable(buildTable(FEATURES, columnsOf(rows)));
        const columns = Array.isArray(found) ? found : [found];
        rows.forEach((values, r) => {
          const alone = numbersOf(compiled.predictRow(values));
          expect(alone).toEqual(columns.map((column) => column[r]));
          expect(numbersOf(again.predictRow(values))).toEqual(alone);
          expect(alone.some(Number.isNaN)).toBe(false);
          if (task === 'regression') return;
          for (const p of alone) expect(p >= 0 && p <= 1).toBe(true);
          if (task === 'multiclass') expect(alone.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
        });
      }),
      { numRuns: 60 },
    );
  });
});

describe('boosted trees', () => {
  const integers = (rows: number) => {
    const columns = Array.from({ length: 33 }, (_, j) =>
      Array.from({ length: rows }, (_, r) => (r * (j + 3) + (r >> (j % 5))) % (j + 2)),
    );
    const features = columns.map((_, j): Feature => ({ name: `x${j}`, type: FLOAT64 }));
    const target = Float64Array.from({ length: rows }, (_, r) => (r % 2 === 0 ? 64 : -64));
    return { table: buildTable(features, columns), target };
  };

  it('are the same whether histograms are subtracted or, for want of memory, built anew', () => {
    const data = integers(4200);
    const grown = (maxLeaves: number) =>
      train(
        {
          kind: 'gradient_boosted_trees',
          task: 'regression',
          parameters: { trees: 1, max_leaves: maxLeaves, min_child_rows: 1, max_depth: 6 },
        },
        { train: data },
      ).predictor;
    expect(grown(4096)).toEqual(grown(64));
  });

  it('predict the same in whatever order the columns of a table stand', () => {
    const { table, target } = learnable('binary');
    const model = train(
      { kind: 'gradient_boosted_trees', task: 'binary', parameters: { trees: 5, min_child_rows: 3 } },
      { train: { table, target } },
    );
    const { predictTable } = compileModel(model);
    const turned = { rows: table.rows, columns: [...table.columns].reverse() };
    expect(predictTable(turned)).toEqual(predictTable(table));
    expect(predictTable(takeRows(table, [5]))).toEqual((predictTable(table) as Float64Array).slice(5, 6));
  });

  it('refuse labels whose losses overflow', () => {
    const target = Float64Array.from({ length: 60 }, (_, r) => (r % 2 === 0 ? 1e200 : -1e200));
    const { table } = learnable('regression');
    expect(() =>
      train({ kind: 'gradient_boosted_trees', task: 'regression' }, { train: { table, target } }),
    ).toThrow('overflow');
  });
});

describe('training', () => {
  it('refuses two features of one name: a table could not tell them apart', () => {
    const x: Feature = { name: 'x', type: FLOAT64 };
    const table = buildTable(
      [x, x],
      [
        [1, 2, 3, 4],
        [4, 3, 2, 1],
      ],
    );
    const target = Float64Array.of(0, 1, 0, 1);
    expect(() =>
      train({ kind: 'logistic_regression', task: 'binary' }, { train: { table, target } }),
    ).toThrow('two features named "x"');
  });

  it.each(['logistic_regression', 'gradient_boosted_trees'])(
    '%s: a class without training rows gets next to no probability, and the fit converges',
    (kind) => {
      const { table, target } = learnable('binary');
      const classes = ['no', 'yes', 'never'];
      const parameters = kind === 'gradient_boosted_trees' ? { trees: 5, min_child_rows: 3 } : {};
      const model = train({ kind, task: 'multiclass', classes, parameters }, { train: { table, target } });
      expect(model.log.warnings).toEqual([]);
      const never = (compileModel(model).predictTable(table) as Float64Array[])[2]!;
      expect(Math.max(...never)).toBeLessThan(1e-9);
    },
  );
});
