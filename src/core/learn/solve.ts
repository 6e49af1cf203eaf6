/** Dense symmetric systems and convex minimisation. Matrices are row-major and only their lower triangle is read. */

/** A pivot below this share of its diagonal entry marks a column that depends on earlier ones. */
const DEPENDENT = 1e-11;

/**
 * Solves A x = b for a symmetric positive semi-definite A by Cholesky factorisation. A column that depends linearly
 * on earlier ones gets x = 0 (a basic solution). Overwrites A; returns x.
 */
export function solveSymmetric(a: Float64Array, b: Float64Array): Float64Array {
  const n = b.length;
  for (let j = 0; j < n; j++) {
    const rowJ = j * n;
    const diagonal = a[rowJ + j]!;
    let pivot = diagonal;
    for (let k = 0; k < j; k++) pivot -= a[rowJ + k]! * a[rowJ + k]!;
    if (!(pivot > DEPENDENT * diagonal)) {
      a[rowJ + j] = 0;
      for (let i = j + 1; i < n; i++) a[i * n + j] = 0;
      continue;
    }
    const root = Math.sqrt(pivot);
    a[rowJ + j] = root;
    for (let i = j + 1; i < n; i++) {
      const rowI = i * n;
      let sum = a[rowI + j]!;
      for (let k = 0; k < j; k++) sum -= a[rowI + k]! * a[rowJ + k]!;
      a[rowI + j] = sum / root;
    }
  }
  const x = Float64Array.from(b);
  for (let i = 0; i < n; i++) {
    let sum = x[i]!;
    for (let k = 0; k < i; k++) sum -= a[i * n + k]! * x[k]!;
    x[i] = a[i * n + i] === 0 ? 0 : sum / a[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    if (a[i * n + i] === 0) {
      x[i] = 0;
      continue;
    }
    let sum = x[i]!;
    for (let k = i + 1; k < n; k++) sum -= a[k * n + i]! * x[k]!;
    x[i] = sum / a[i * n + i]!;
  }
  return x;
}

/**
 * The step d that minimises g·d + ½ dᵀA d + Σ l1[j] |w[j] + d[j]| by cyclic coordinate descent (Friedman, Hastie,
 * Tibshirani 2010, covariance updates). A must be full here (both triangles).
 */
export function solveLasso(
  a: Float64Array,
  g: Float64Array,
  w: Float64Array,
  l1: Float64Array,
  tolerance = 1e-13,
  sweeps = 20_000,
): Float64Array {
  const n = g.length;
  const d = new Float64Array(n);
  const slope = Float64Array.from(g);
  for (let sweep = 0; sweep < sweeps; sweep++) {
    let moved = 0;
    let size = 0;
    for (let j = 0; j < n; j++) {
      const curvature = a[j * n + j]!;
      if (!(curvature > 0)) continue;
      const at = w[j]! + d[j]!;
      const free = at - slope[j]! / curvature;
      const limit = l1[j]! / curvature;
      const next = free > limit ? free - limit : free < -limit ? free + limit : 0;
      const change = next - at;
      size = Math.max(size, Math.abs(next) * Math.sqrt(curvature));
      if (change === 0) continue;
      d[j]! += change;
      moved = Math.max(moved, Math.abs(change) * Math.sqrt(curvature));
      const row = j * n;
      for (let k = 0; k < n; k++) slope[k]! += change * a[row + k]!;
    }
    if (moved <= tolerance * size) break;
  }
  return d;
}

export function mirrorLower(a: Float64Array, n: number): void {
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) a[j * n + i] = a[i * n + j]!;
}

/** A smooth convex function of `dimension` variables. */
export interface Convex {
  readonly dimension: number;
  /** The value at w; writes the gradient. */
  readonly evaluate: (w: Float64Array, gradient: Float64Array) => number;
  /** The lower triangle of the matrix of second derivatives at w. */
  readonly hessian: (w: Float64Array) => Float64Array;
}

export interface Minimum {
  readonly w: Float64Array;
  readonly value: number;
  readonly iterations: number;
  readonly converged: boolean;
}

const dot = (a: Float64Array, b: Float64Array): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

const absolute = (w: Float64Array, l1: Float64Array | undefined): number => {
  let sum = 0;
  if (l1) for (let i = 0; i < w.length; i++) sum += l1[i]! * Math.abs(w[i]!);
  return sum;
};

export interface Stop {
  readonly maxIterations: number;
  readonly tolerance: number;
  readonly onStep?: (iteration: number, value: number) => void;
}

/**
 * Newton's method with backtracking, proximal when `l1` is given (Lee, Sun, Saunders 2014). Stops after a step whose
 * predicted decrease is below tolerance · (1 + value); the error left is about the square of that step.
 */
export function newton(f: Convex, stop: Stop, l1?: Float64Array): Minimum {
  const n = f.dimension;
  let w: Float64Array = new Float64Array(n);
  let gradient: Float64Array = new Float64Array(n);
  let value = f.evaluate(w, gradient) + absolute(w, l1);
  for (let iteration = 1; iteration <= stop.maxIterations; iteration++) {
    const hessian = f.hessian(w);
    let step: Float64Array;
    if (l1) {
      mirrorLower(hessian, n);
      step = solveLasso(hessian, gradient, w, l1);
    } else {
      step = solveSymmetric(
        hessian,
        gradient.map((each) => -each),
      );
    }
    const full = w.map((each, i) => each + step[i]!);
    const decrease = -(dot(gradient, step) + absolute(full, l1) - absolute(w, l1));
    const last = decrease <= stop.tolerance * (1 + Math.abs(value));
    let next = full;
    let nextGradient: Float64Array = new Float64Array(n);
    let nextValue = f.evaluate(next, nextGradient) + absolute(next, l1);
    for (let length = 0.5; !last && !(nextValue <= value - 1e-4 * 2 * length * decrease); length /= 2) {
      if (length < 1e-12) return { w, value, iterations: iteration, converged: false };
      next = w.map((each, i) => each + length * step[i]!);
      nextGradient = new Float64Array(n);
      nextValue = f.evaluate(next, nextGradient) + absolute(next, l1);
    }
    if (last && !(nextValue <= value + 1e-9 * (1 + Math.abs(value)))) {
      return { w, value, iterations: iteration, converged: true };
    }
    [w, gradient, value] = [next, nextGradient, nextValue];
    stop.onStep?.(iteration, value);
    if (last) return { w, value, iterations: iteration, converged: true };
  }
  return { w, value, iterations: stop.maxIterations, converged: false };
}

const MEMORY = 12;

/**
 * Limited-memory BFGS (Nocedal, Wright 2006, algorithm 7.5) with backtracking that accepts Hager and Zhang's
 * approximate Wolfe condition, so that rounding in the value does not stop it early. Stops when no component of the
 * gradient exceeds `tolerance`.
 */
export function lbfgs(f: Omit<Convex, 'hessian'>, stop: Stop): Minimum {
  const n = f.dimension;
  let w: Float64Array = new Float64Array(n);
  let gradient: Float64Array = new Float64Array(n);
  let value = f.evaluate(w, gradient);
  const pairs: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  for (let iteration = 1; iteration <= stop.maxIterations; iteration++) {
    const steepest = gradient.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
    if (steepest <= stop.tolerance) return { w, value, iterations: iteration - 1, converged: true };
    const direction = gradient.map((each) => -each);
    const alphas: number[] = [];
    for (const { s, y, rho } of [...pairs].reverse()) {
      const alpha = rho * dot(s, direction);
      alphas.unshift(alpha);
      for (let i = 0; i < n; i++) direction[i]! -= alpha * y[i]!;
    }
    const newest = pairs.at(-1);
    const scale = newest
      ? 1 / (newest.rho * dot(newest.y, newest.y))
      : 1 / Math.sqrt(dot(gradient, gradient));
    for (let i = 0; i < n; i++) direction[i]! *= scale;
    pairs.forEach(({ s, y, rho }, k) => {
      const beta = rho * dot(y, direction);
      for (let i = 0; i < n; i++) direction[i]! += (alphas[k]! - beta) * s[i]!;
    });
    const slope = dot(gradient, direction);
    let accepted = false;
    for (let length = 1; length > 1e-14; length /= 2) {
      const next = w.map((each, i) => each + length * direction[i]!);
      const nextGradient = new Float64Array(n);
      const nextValue = f.evaluate(next, nextGradient);
      const nextSlope = dot(nextGradient, direction);
      const flat = nextValue <= value + 1e-12 * Math.abs(value) && nextSlope <= -0.8 * slope;
      if (!(nextValue <= value + 1e-4 * length * slope || flat)) continue;
      const s = next.map((each, i) => each - w[i]!);
      const y = nextGradient.map((each, i) => each - gradient[i]!);
      const curvature = dot(s, y);
      if (curvature > 0) {
        pairs.push({ s, y, rho: 1 / curvature });
        if (pairs.length > MEMORY) pairs.shift();
      }
      [w, gradient, value] = [next, nextGradient, nextValue];
      accepted = true;
      break;
    }
    if (!accepted) return { w, value, iterations: iteration, converged: false };
    stop.onStep?.(iteration, value);
  }
  return { w, value, iterations: stop.maxIterations, converged: false };
}
