import { mirrorLower, solveLasso, solveSymmetric } from './solve.js';

/** Encoded rows one after the other: column j of row r is `values[r * width + j]`. No missing numbers. */
export interface Matrix {
  readonly rows: number;
  readonly width: number;
  readonly values: Float64Array;
}

/** One linear function of the encoded columns; a multinomial model has one for each class. */
export interface LinearOutput {
  readonly intercept: number;
  readonly coefficients: readonly number[];
}

export function linearScore(
  output: { readonly intercept: number; readonly coefficients: ArrayLike<number> },
  encoded: Float64Array,
): number {
  const { coefficients } = output;
  let sum = output.intercept;
  for (let j = 0; j < coefficients.length; j++) sum += coefficients[j]! * encoded[j]!;
  return sum;
}

export interface Penalty {
  /** Of ½ l2 Σ b², added to the sum (not the mean) of the losses. */
  readonly l2: number;
  /** Of l1 Σ |b|. */
  readonly l1: number;
}

/**
 * Minimises ½ Σ w (y - a - x·b)² + ½ l2 |b|² + l1 |b|₁; the intercept a is free. Ridge by Cholesky on centred
 * columns, lasso and elastic net by coordinate descent. `l2` is scikit-learn's Ridge alpha; its Lasso alpha is l1 / n.
 */
export function fitLinear(x: Matrix, y: Float64Array, weights: Float64Array, penalty: Penalty): LinearOutput {
  const { rows, width, values } = x;
  let total = 0;
  let yMean = 0;
  const means = new Float64Array(width);
  for (let r = 0; r < rows; r++) {
    const weight = weights[r]!;
    total += weight;
    yMean += weight * y[r]!;
    for (let j = 0; j < width; j++) means[j]! += weight * values[r * width + j]!;
  }
  yMean /= total;
  for (let j = 0; j < width; j++) means[j]! /= total;
  const a = new Float64Array(width * width);
  const b = new Float64Array(width);
  const centred = new Float64Array(width);
  for (let r = 0; r < rows; r++) {
    const weight = weights[r]!;
    if (weight === 0) continue;
    for (let j = 0; j < width; j++) centred[j] = values[r * width + j]! - means[j]!;
    const residual = y[r]! - yMean;
    for (let j = 0; j < width; j++) {
      const scaled = weight * centred[j]!;
      b[j]! += scaled * residual;
      const row = j * width;
      for (let k = 0; k <= j; k++) a[row + k]! += scaled * centred[k]!;
    }
  }
  for (let j = 0; j < width; j++) a[j * width + j]! += penalty.l2;
  let coefficients: Float64Array;
  if (penalty.l1 > 0) {
    mirrorLower(a, width);
    const zero = new Float64Array(width);
    coefficients = solveLasso(
      a,
      b.map((each) => -each),
      zero,
      zero.map(() => penalty.l1),
    );
  } else {
    coefficients = solveSymmetric(a, b);
  }
  let intercept = yMean;
  for (let j = 0; j < width; j++) intercept -= coefficients[j]! * means[j]!;
  return { intercept: intercept + 0, coefficients: Array.from(coefficients, (each) => each + 0) };
}
