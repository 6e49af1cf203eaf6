import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOnnxRuntime } from '../../src/adapters/onnx/runtime.js';
import { buildTable } from '../../src/core/learn/matrix.js';
import { compileModel } from '../../src/core/learn/model.js';
import { toOnnx } from '../../src/core/learn/onnx.js';
import { train } from '../../src/core/learn/train.js';
import type { TrainSpec } from '../../src/core/learn/training-parts.js';
import { BOOLEAN, FLOAT64, STRING, type Value } from '../../src/core/schema/types.js';

const ROWS = 900;
/** A multiplicative sequence: the same numbers everywhere. */
function sequence(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
const next = sequence(77);
const CITIES = ['Oslo', 'Bergen', 'Trondheim', 'Bodø', 'Vardø'];
const age: Value[] = Array.from({ length: ROWS }, () => (next() < 0.1 ? null : next() * 80 - 10));
const speed: Value[] = age.map(() => (next() < 0.2 ? null : Math.round(next() * 6)));
const city: Value[] = age.map(() => (next() < 0.1 ? null : CITIES[Math.floor(next() ** 2 * 5)]!));
const member: Value[] = age.map(() => next() < 0.4);
const signal = age.map(
  (value, i) =>
    Number(value ?? 20) / 40 + (city[i] === 'Bergen' ? 1.2 : 0) - Number(speed[i] ?? 9) / 5 + next() * 0.8,
);
const table = buildTable(
  [
    { name: 'age', type: FLOAT64 },
    { name: 'speed', type: FLOAT64 },
    { name: 'city', type: STRING },
    { name: 'member', type: BOOLEAN },
  ],
  [age, speed, city, member],
);
const TARGETS = {
  binary: Float64Array.from(signal, (value) => Number(value > 0.4)),
  multiclass: Float64Array.from(signal, (value) => (value < 0 ? 0 : value < 0.8 ? 1 : 2)),
  regression: Float64Array.from(signal),
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-onnx-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const boosting = { trees: 25, max_leaves: 12, min_category_rows: 5 };
const CASES: readonly TrainSpec[] = [
  { kind: 'gradient_boosted_trees', task: 'binary', parameters: boosting },
  { kind: 'gradient_boosted_trees', task: 'multiclass', classes: ['a', 'b', 'c'], parameters: boosting },
  { kind: 'gradient_boosted_trees', task: 'regression', parameters: boosting },
  { kind: 'gradient_boosted_trees', task: 'binary', parameters: { min_child_rows: 800 } },
  { kind: 'logistic_regression', task: 'binary', parameters: { min_category_rows: 150 } },
  { kind: 'logistic_regression', task: 'multiclass', classes: ['a', 'b', 'c'] },
  { kind: 'linear_regression', task: 'regression' },
];

describe('a built-in model as ONNX', () => {
  it.each(CASES)('$kind for $task scores in onnxruntime as it does here, to 1e-12', async (spec) => {
    const model = train(spec, { train: { table, target: TARGETS[spec.task] } });
    const file = path.join(folder, `${spec.kind}-${spec.task}.onnx`);
    await writeFile(file, toOnnx(model));
    const runtime = await createOnnxRuntime().open({ file, ...model });
    const ours = [compileModel(model).predictTable(table)].flat() as Float64Array[];
    const theirs = [await runtime.predictTable(table)].flat() as Float64Array[];
    expect(theirs).toHaveLength(ours.length);
    for (const [k, column] of ours.entries())
      for (const [i, value] of column.entries())
        expect(Math.abs(theirs[k]![i]! - value)).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(value)));

    const strange: Value[][] = [
      [null, null, null, null],
      [Number.POSITIVE_INFINITY, -3, 'Atlantis', true],
      [1e9, 0, 'Bodø', false],
    ];
    const rows = await runtime.predictRows(strange);
    const compiled = compileModel(model);
    for (const [i, row] of strange.entries()) {
      const numbers = (value: unknown): number[] =>
        Object.values(value as object).flatMap((each) =>
          typeof each === 'number' ? [each] : typeof each === 'object' ? numbers(each) : [],
        );
      const expected = numbers(compiled.predictRow(row));
      for (const [j, value] of numbers(rows[i]).entries())
        expect(Math.abs(value - expected[j]!)).toBeLessThanOrEqual(
          1e-12 * Math.max(1, Math.abs(expected[j]!)),
        );
    }
  });

  it('has the same bytes each time', () => {
    const model = train(CASES[0]!, { train: { table, target: TARGETS.binary } });
    expect(Buffer.compare(Buffer.from(toOnnx(model)), Buffer.from(toOnnx(model)))).toBe(0);
  });

  it('refuses what has no such form', () => {
    const model = train({ kind: 'baseline', task: 'binary' }, { train: { table, target: TARGETS.binary } });
    expect(() => toOnnx(model)).toThrow('no inputs');
  });
});
