import type { LinearOutput, Matrix, Penalty } from './linear.js';
import { type Convex, lbfgs, type Minimum, newton } from './solve.js';

/** 1 / (1 + e^-z) without overflow. */
export function sigmoid(z: number): number {
  if (z >= 0) return 1 / (1 + Math.exp(-z));
  const e = Math.exp(z);
  return e / (1 + e);
}

/** log(1 + e^z) without overflow. */
const softplus = (z: number): number => (z > 0 ? z : 0) + Math.log1p(Math.exp(-Math.abs(z)));

/** Replaces scores by probabilities, in place; returns log Σ e^score. */
export function softmax(scores: Float64Array): number {
  let top = Number.NEGATIVE_INFINITY;
  for (const score of scores) if (score > top) top = score;
  let sum = 0;
  for (let k = 0; k < scores.length; k++) {
    const e = Math.exp(scores[k]! - top);
    scores[k] = e;
    sum += e;
  }
  for (let k = 0; k < scores.length; k++) scores[k]! /= sum;
  return top + Math.log(sum);
}

/**
 * Penalised negative log-likelihood of a binary model: Σ w (log(1 + e^z) - y z) + ½ l2 |b|², z = x·b + a. The
 * variables are b and then a.
 */
export function binaryLoss(x: Matrix, y: ArrayLike<number>, weights: Float64Array, l2: number): Convex {
  const { rows, width, values } = x;
  const dimension = width + 1;
  const score = (w: Float64Array, r: number): number => {
    const row = r * width;
    let z = w[width]!;
    for (let j = 0; j < width; j++) z += w[j]! * values[row + j]!;
    return z;
  };
  const evaluate = (w: Float64Array, gradient: Float64Array): number => {
    let loss = 0;
    for (let j = 0; j < width; j++) {
      loss += 0.5 * l2 * w[j]! * w[j]!;
      gradient[j] = l2 * w[j]!;
    }
    gradient[width] = 0;
    for (let r = 0; r < rows; r++) {
      const z = score(w, r);
      const row = r * width;
      loss += weights[r]! * (softplus(z) - y[r]! * z);
      const residual = weights[r]! * (sigmoid(z) - y[r]!);
      for (let j = 0; j < width; j++) gradient[j]! += residual * values[row + j]!;
      gradient[width]! += residual;
    }
    return loss;
  };
  const hessian = (w: Float64Array): Float64Array => {
    const h = new Float64Array(dimension * dimension);
    const last = width * dimension;
    for (let r = 0; r < rows; r++) {
      const p = sigmoid(score(w, r));
      const curvature = weights[r]! * p * (1 - p);
      if (curvature === 0) continue;
      const row = r * width;
      for (let j = 0; j < width; j++) {
        const scaled = curvature * values[row + j]!;
        if (scaled === 0) continue;
        const at = j * dimension;
        for (let k = 0; k <= j; k++) h[at + k]! += scaled * values[row + k]!;
        h[last + j]! += scaled;
      }
      h[last + width]! += curvature;
    }
    for (let j = 0; j < width; j++) h[j * dimension + j]! += l2;
    return h;
  };
  return { dimension, evaluate, hessian };
}

/**
 * Penalised negative log-likelihood of a multinomial model over all classes (each class has its own b and a, so
 * only differences between classes are determined without a penalty). Variables: b and a of class 0, of class 1, ...
 */
export function multinomialLoss(
  x: Matrix,
  y: ArrayLike<number>,
  classes: number,
  weights: Float64Array,
  l2: number,
): Convex {
  const { rows, width, values } = x;
  const block = width + 1;
  const dimension = classes * block;
  const p = new Float64Array(classes);
  const scores = (w: Float64Array, r: number): void => {
    const row = r * width;
    for (let k = 0; k < classes; k++) {
      const at = k * block;
      let z = w[at + width]!;
      for (let j = 0; j < width; j++) z += w[at + j]! * values[row + j]!;
      p[k] = z;
    }
  };
  const evaluate = (w: Float64Array, gradient: Float64Array): number => {
    let loss = 0;
    for (let k = 0; k < classes; k++) {
      const at = k * block;
      for (let j = 0; j < width; j++) {
        loss += 0.5 * l2 * w[at + j]! * w[at + j]!;
        gradient[at + j] = l2 * w[at + j]!;
      }
      gradient[at + width] = 0;
    }
    for (let r = 0; r < rows; r++) {
      scores(w, r);
      const own = p[y[r]!]!;
      loss += weights[r]! * (softmax(p) - own);
      const row = r * width;
      for (let k = 0; k < classes; k++) {
        const at = k * block;
        const residual = weights[r]! * (p[k]! - (y[r] === k ? 1 : 0));
        for (let j = 0; j < width; j++) gradient[at + j]! += residual * values[row + j]!;
        gradient[at + width]! += residual;
      }
    }
    return loss;
  };
  const hessian = (w: Float64Array): Float64Array => {
    const h = new Float64Array(dimension * dimension);
    const extended = new Float64Array(block);
    extended[width] = 1;
    for (let r = 0; r < rows; r++) {
      scores(w, r);
      softmax(p);
      extended.set(values.subarray(r * width, (r + 1) * width));
      for (let k = 0; k < classes; k++) {
        for (let l = 0; l <= k; l++) {
          const curvature = weights[r]! * p[k]! * ((k === l ? 1 : 0) - p[l]!);
          for (let i = 0; i < block; i++) {
            const scaled = curvature * extended[i]!;
            if (scaled === 0) continue;
            const at = (k * block + i) * dimension + l * block;
            for (let j = 0; j <= i; j++) h[at + j]! += scaled * extended[j]!;
          }
        }
      }
    }
    for (let k = 0; k < classes; k++) {
      for (let l = 0; l < k; l++) {
        for (let i = 0; i < block; i++) {
          for (let j = 0; j < i; j++) {
            h[(k * block + j) * dimension + l * block + i] = h[(k * block + i) * dimension + l * block + j]!;
          }
        }
      }
      for (let j = 0; j < width; j++) h[(k * block + j) * (dimension + 1)]! += l2;
    }
    return h;
  };
  return { dimension, evaluate, hessian };
}

export interface LogisticOptions extends Penalty {
  readonly maxIterations: number;
  readonly tolerance: number;
  /** `auto` takes Newton's method unless its work would be large; an l1 penalty always needs it. */
  readonly solver: 'auto' | 'newton' | 'lbfgs';
  readonly onStep?: (iteration: number, value: number) => void;
}

export interface LogisticFit {
  readonly outputs: readonly LinearOutput[];
  readonly solver: 'newton' | 'lbfgs';
  readonly iterations: number;
  readonly converged: boolean;
  /** Penalised sum of the losses at the end. */
  readonly objective: number;
}

/** Multiply-adds for one matrix of second derivatives beyond which `auto` prefers L-BFGS. */
const NEWTON_WORK = 4e9;

/**
 * Logistic regression: one output for a binary target (classes = 2), one a class for more. `l2` is 1 / C of
 * scikit-learn's LogisticRegression.
 */
export function fitLogistic(
  x: Matrix,
  y: ArrayLike<number>,
  classes: number,
  weights: Float64Array,
  options: LogisticOptions,
): LogisticFit {
  const outputsCount = classes === 2 ? 1 : classes;
  const f =
    classes === 2
      ? binaryLoss(x, y, weights, options.l2)
      : multinomialLoss(x, y, classes, weights, options.l2);
  const work = (x.rows * f.dimension * f.dimension) / 2 + f.dimension ** 3 / 3;
  const solver =
    options.l1 > 0
      ? 'newton'
      : options.solver === 'auto'
        ? work <= NEWTON_WORK
          ? 'newton'
          : 'lbfgs'
        : options.solver;
  const { maxIterations, tolerance, onStep } = options;
  let minimum: Minimum;
  const block = x.width + 1;
  if (solver === 'newton') {
    const l1 =
      options.l1 > 0
        ? Float64Array.from({ length: f.dimension }, (_, i) => (i % block === x.width ? 0 : options.l1))
        : undefined;
    minimum = newton(f, { maxIterations, tolerance, onStep }, l1);
  } else {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    minimum = lbfgs(f, {
      maxIterations: maxIterations * 20,
      tolerance: tolerance * Math.max(1, total),
      onStep,
    });
  }
  const { w } = minimum;
  const intercepts = Array.from({ length: outputsCount }, (_, k) => w[k * block + x.width]!);
  const centre = outputsCount === 1 ? 0 : intercepts.reduce((sum, each) => sum + each, 0) / outputsCount;
  const outputs = intercepts.map((intercept, k) => ({
    intercept: intercept - centre + 0,
    coefficients: Array.from(w.subarray(k * block, k * block + x.width), (each) => each + 0),
  }));
  const { iterations, converged, value } = minimum;
  return { outputs, solver, iterations, converged, objective: value };
}
