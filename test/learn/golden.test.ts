import { describe, expect, it } from 'vitest';
import { areaUnderRoc } from '../../src/core/learn/metrics.js';
import { compileModel, type TrainedModel } from '../../src/core/learn/model.js';
import { classesOf, fitGolden, GOLDEN, golden, partsOf } from './golden.js';

const outputsOf = (model: TrainedModel) => {
  if (model.predictor.kind !== 'linear') throw new Error('not a linear model');
  return model.predictor.outputs;
};

/** Largest difference, as a share of the largest expected number. */
function farthest(found: readonly number[], expected: readonly number[]): number {
  const scale = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((each, i) => Math.abs(each - found[i]!))) / scale;
}

describe('linear models find the same coefficients as scikit-learn', () => {
  for (const name of ['breast_cancer', 'iris', 'wine', 'digits']) {
    for (const solver of ['newton', 'lbfgs']) {
      it(`${name}: logistic regression by ${solver}, within 1e-6`, () => {
        const set = golden(name);
        const { l2, coefficients, intercepts } = set.logistic!;
        const model = fitGolden(set, 'logistic_regression', { l2, solver });
        expect(model.log.converged).toBe(true);
        const outputs = outputsOf(model);
        expect(outputs).toHaveLength(coefficients.length);
        expect(
          farthest(
            outputs.flatMap((each) => each.coefficients),
            coefficients.flat(),
          ),
        ).toBeLessThan(1e-6);
        expect(
          farthest(
            outputs.map((each) => each.intercept),
            intercepts,
          ),
        ).toBeLessThan(1e-6);
      });
    }
  }

  it('breast_cancer: with an L1 penalty the same coefficients are exactly zero', () => {
    const set = golden('breast_cancer');
    const { l1, coefficients, intercepts } = set.logistic_l1!;
    const [output] = outputsOf(fitGolden(set, 'logistic_regression', { l1, l2: 0 }));
    expect(output!.coefficients.map((each) => each === 0)).toEqual(
      coefficients[0]!.map((each) => each === 0),
    );
    expect(farthest(output!.coefficients, coefficients[0]!)).toBeLessThan(1e-6);
    expect(output!.intercept).toBeCloseTo(intercepts[0]!, 6);
  });

  it('diabetes: ridge within 1e-9, lasso within 1e-7', () => {
    const set = golden('diabetes');
    const [ridge] = outputsOf(fitGolden(set, 'linear_regression', { l2: set.ridge!.l2 }));
    expect(farthest(ridge!.coefficients, set.ridge!.coefficients)).toBeLessThan(1e-9);
    expect(Math.abs(ridge!.intercept / set.ridge!.intercept - 1)).toBeLessThan(1e-9);
    const [lasso] = outputsOf(fitGolden(set, 'linear_regression', { l2: 0, l1: set.lasso!.l1 }));
    expect(lasso!.coefficients.map((each) => each === 0)).toEqual(
      set.lasso!.coefficients.map((each) => each === 0),
    );
    expect(farthest(lasso!.coefficients, set.lasso!.coefficients)).toBeLessThan(1e-7);
  });
});

describe('boosted trees are as good on unseen rows as HistGradientBoosting with the same parameters', () => {
  for (const set of GOLDEN) {
    it(`${set.name}: AUC within 0.01, log-loss and RMSE within 10 %, accuracy within 0.02`, () => {
      const { test } = partsOf(set);
      const model = fitGolden(set, 'gradient_boosted_trees', { trees: 100, min_category_rows: 1 });
      const found = compileModel(model).predictTable(test.table);
      const y = Array.from(test.target);
      if (set.task === 'regression') {
        const scores = found as Float64Array;
        const squares = y.reduce((sum, each, i) => sum + (each - scores[i]!) ** 2, 0);
        expect(Math.sqrt(squares / y.length)).toBeLessThan(set.boosting.rmse! * 1.1);
        return;
      }
      const columns =
        set.task === 'binary'
          ? [(found as Float64Array).map((p) => 1 - p), found as Float64Array]
          : (found as Float64Array[]);
      const loss = y.reduce((sum, each, i) => sum - Math.log(columns[each]![i]!), 0) / y.length;
      const right = y.filter((each, i) => columns.every((column) => column[i]! <= columns[each]![i]!)).length;
      expect(loss).toBeLessThan(set.boosting.log_loss! * 1.1 + 0.005);
      expect(right / y.length).toBeGreaterThanOrEqual(set.boosting.accuracy! - 0.02);
      if (set.task === 'binary') {
        expect(areaUnderRoc(test.target, columns[1]!)).toBeGreaterThan(set.boosting.auc! - 0.01);
      }
    });
  }
});

describe('a model predicts the same bits by row, by table, and after a trip through JSON', () => {
  for (const set of GOLDEN) {
    const kinds = [
      'gradient_boosted_trees',
      set.task === 'regression' ? 'linear_regression' : 'logistic_regression',
    ];
    for (const kind of set.name === 'digits' ? kinds.slice(0, 1) : kinds) {
      it(`${set.name}, ${kind}`, () => {
        const model = fitGolden(set, kind, kind === 'gradient_boosted_trees' ? { trees: 20 } : {});
        const { test } = partsOf(set);
        const compiled = compileModel(model);
        const found = compiled.predictTable(test.table);
        const text = JSON.stringify(model);
        const copy = JSON.parse(text) as TrainedModel;
        expect(copy).toEqual(model);
        expect(compileModel(copy).predictTable(test.table)).toEqual(found);
        for (let r = 0; r < test.table.rows; r++) {
          const values = test.table.columns.map((column) =>
            column.kind === 'categorical'
              ? (column.dictionary[column.codes[r]!] ?? null)
              : Number.isNaN(column.values[r]!)
                ? null
                : column.values[r]!,
          );
          const row = compiled.predictRow(values);
          if ('score' in row) expect(Object.is(row.score, (found as Float64Array)[r])).toBe(true);
          else if ('probability' in row)
            expect(Object.is(row.probability, (found as Float64Array)[r])).toBe(true);
          else {
            classesOf(set)!.forEach((name, k) => {
              expect(Object.is(row.probabilities[name], (found as Float64Array[])[k]![r])).toBe(true);
            });
          }
        }
      });
    }
  }
});
