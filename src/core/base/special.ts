/**
 * Special functions with small relative error in both tails. Prefactors are written with Loader's deviance
 * form (C. Loader, "Fast and accurate computation of binomial probabilities", 2000), which does not cancel;
 * the rest are the classical series and continued fractions (Abramowitz & Stegun 6.5, 26.2, 26.5).
 */

const HALF_LOG_TWO_PI = 0.9189385332046727;
const SQRT_TWO_PI = 2.5066282746310002;
const TINY = 1e-300;
const EPSILON = 2 ** -53;

/** B(2k) / (2k (2k - 1)), k = 1 … 8: the coefficients of Binet's series. */
const BINET = [
  1 / 12,
  -1 / 360,
  1 / 1260,
  -1 / 1680,
  1 / 1188,
  -691 / 360360,
  1 / 156,
  -3617 / 122400,
] as const;

/** Binet's function: ln Γ(x) − (x − ½) ln x + x − ½ ln 2π, for x > 0. */
function binet(x: number): number {
  let shifted = x;
  let correction = 0;
  while (shifted < 12) {
    correction += (shifted + 0.5) * Math.log1p(1 / shifted) - 1;
    shifted += 1;
  }
  const inverse = 1 / shifted;
  const square = inverse * inverse;
  let series = 0;
  for (let k = BINET.length - 1; k >= 0; k--) series = series * square + BINET[k];
  return correction + series * inverse;
}

/** ln Γ(x) for x > 0; NaN elsewhere. */
export function logGamma(x: number): number {
  if (!(x > 0)) return Number.NaN;
  if (x === 1 || x === 2) return 0;
  if (x === Number.POSITIVE_INFINITY) return x;
  if (x < 0.5) return logGamma(x + 1) - Math.log(x);
  return (x - 0.5) * Math.log(x) - x + HALF_LOG_TWO_PI + binet(x);
}

/** Deviance part x ln(x/mean) + mean − x, without cancellation near x = mean. */
function deviance(x: number, mean: number): number {
  if (x === 0) return mean;
  const difference = x - mean;
  if (Math.abs(difference) >= 0.1 * (x + mean)) return x * Math.log(x / mean) - difference;
  const ratio = difference / (x + mean);
  const square = ratio * ratio;
  let sum = difference * ratio;
  let power = 2 * x * ratio;
  for (let j = 3; ; j += 2) {
    power *= square;
    const next = sum + power / j;
    if (next === sum) return sum;
    sum = next;
  }
}

/** x^a e^−x / Γ(a + 1). */
function gammaPrefix(a: number, x: number): number {
  return Math.exp(-binet(a) - deviance(a, x)) / (SQRT_TWO_PI * Math.sqrt(a));
}

/**
 * A binomial term C(n, k) p^k q^(n−k) for real 0 ≤ k ≤ n, given both p and q = 1 − p and, where they are known
 * more exactly than n·p and n·q can be multiplied, the two means.
 */
export function binomialTerm(n: number, k: number, p: number, q: number, np = n * p, nq = n * q): number {
  const rest = n - k;
  if (k <= 0) return rest === 0 ? 1 : Math.exp(n * (p < 0.5 ? Math.log1p(-p) : Math.log(q)));
  if (rest <= 0) return Math.exp(n * (q < 0.5 ? Math.log1p(-q) : Math.log(p)));
  const exponent = binet(n) - binet(k) - binet(rest) - deviance(k, np) - deviance(rest, nq);
  return (Math.exp(exponent) * Math.sqrt(n / k / rest)) / SQRT_TWO_PI;
}

/** Evaluates b0 + a1/(b1 + a2/(b2 + …)) by Lentz's method. */
function continuedFraction(b0: number, term: (j: number) => readonly [a: number, b: number]): number {
  let value = b0 === 0 ? TINY : b0;
  let c = value;
  let d = 0;
  for (let j = 1; j < 1_000_000; j++) {
    const [a, b] = term(j);
    d = b + a * d;
    c = b + a / c;
    if (d === 0) d = TINY;
    if (c === 0) c = TINY;
    d = 1 / d;
    const factor = c * d;
    value *= factor;
    if (Math.abs(factor - 1) <= EPSILON * 2) break;
  }
  return value;
}

function gammaTails(a: number, x: number): readonly [lower: number, upper: number] {
  if (!(a > 0) || !(x >= 0)) return [Number.NaN, Number.NaN];
  if (x === 0) return [0, 1];
  if (x === Number.POSITIVE_INFINITY) return [1, 0];
  const prefix = gammaPrefix(a, x);
  if (x < a + 1) {
    let term = 1;
    let sum = 1;
    for (let k = 1; term > sum * EPSILON; k++) {
      term *= x / (a + k);
      sum += term;
    }
    const lower = Math.min(1, prefix * sum);
    return [lower, 1 - lower];
  }
  const fraction = continuedFraction(x + 1 - a, (j) => [-j * (j - a), x + 2 * j + 1 - a]);
  const upper = Math.min(1, (prefix * a) / fraction);
  return [1 - upper, upper];
}

/** Regularised lower incomplete gamma P(a, x), a > 0, x ≥ 0. */
export const gammaP = (a: number, x: number): number => gammaTails(a, x)[0];

/** Regularised upper incomplete gamma Q(a, x), a ≥ ½, x ≥ 0; its relative precision falls as a goes to 0. */
export const gammaQ = (a: number, x: number): number => gammaTails(a, x)[1];

/** I_x(a, b) by its continued fraction, for x below the mean, where it converges quickly. */
function betaFraction(a: number, b: number, x: number, y: number): number {
  const prefix = binomialTerm(a + b, a, x, y) * (b / (a + b));
  const fraction = continuedFraction(1, (j) => {
    const m = j >> 1;
    const numerator =
      j % 2 === 1
        ? (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))
        : (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    return [numerator, 1];
  });
  return prefix / fraction;
}

/** Regularised incomplete beta I_x(a, b). Pass `y` = 1 − x where it is known without rounding. */
export function betaI(a: number, b: number, x: number, y = 1 - x): number {
  if (!(a > 0) || !(b > 0) || !(x >= 0) || !(y >= 0)) return Number.NaN;
  if (x === 0) return 0;
  if (y === 0) return 1;
  return x < (a + 1) / (a + b + 2) ? betaFraction(a, b, x, y) : 1 - betaFraction(b, a, y, x);
}

/** Density of the standard normal, with z² split so that the far tail keeps its digits. */
function normalDensity(z: number): number {
  const coarse = Math.trunc(z * 16) / 16;
  const fine = (z - coarse) * (z + coarse);
  return (Math.exp(-0.5 * coarse * coarse) * Math.exp(-0.5 * fine)) / SQRT_TWO_PI;
}

/** P(Z > z) for a standard normal Z. */
export function normalSf(z: number): number {
  if (Number.isNaN(z)) return z;
  if (z < 0) return 1 - normalSf(-z);
  if (z > 39) return 0;
  if (z < 2) {
    let term = z;
    let sum = z;
    for (let k = 3; term > sum * EPSILON; k += 2) {
      term *= (z * z) / k;
      sum += term;
    }
    return 0.5 - normalDensity(z) * sum;
  }
  return normalDensity(z) / continuedFraction(z, (j) => [j, z]);
}

/** P(Z ≤ z) for a standard normal Z. */
export const normalCdf = (z: number): number => normalSf(-z);

/** The z with P(Z > z) = p. */
export function normalIsf(p: number): number {
  if (!(p >= 0 && p <= 1)) return Number.NaN;
  if (p === 0) return Number.POSITIVE_INFINITY;
  if (p > 0.5) return -normalIsf(1 - p);
  const target = Math.log(p);
  let z = Math.sqrt(Math.max(0, -2 * target - Math.log(Math.max(1, -4 * Math.PI * target)))); // first term of the tail
  for (let round = 0; round < 60; round++) {
    const tail = normalSf(z);
    const step = ((Math.log(tail) - target) * tail) / normalDensity(z);
    z += step;
    if (Math.abs(step) <= 4 * EPSILON * Math.max(Math.abs(z), EPSILON)) break;
  }
  return z;
}

/** The z with P(Z ≤ z) = p. */
export const normalPpf = (p: number): number => -normalIsf(p);

/** P(X > x) for chi-squared with `df` > 0 degrees of freedom. */
export const chiSquaredSf = (x: number, df: number): number => (x <= 0 ? 1 : gammaQ(df / 2, x / 2));

/** P(X ≤ x) for chi-squared with `df` > 0 degrees of freedom. */
export const chiSquaredCdf = (x: number, df: number): number => (x <= 0 ? 0 : gammaP(df / 2, x / 2));

/** The x where the decreasing `tail` equals `p`: doubling to a bracket from `start`, then bisection. */
function invertTail(tail: (x: number) => number, p: number, start: number): number {
  let low = 0;
  let high = start;
  while (tail(high) > p) {
    low = high;
    high *= 2;
  }
  for (let round = 0; round < 200; round++) {
    const middle = low + (high - low) / 2;
    if (middle === low || middle === high) break;
    if (tail(middle) > p) low = middle;
    else high = middle;
  }
  return low + (high - low) / 2;
}

/** The x with P(X > x) = p for chi-squared. */
export function chiSquaredIsf(p: number, df: number): number {
  if (!(p >= 0 && p <= 1)) return Number.NaN;
  if (p === 0) return Number.POSITIVE_INFINITY;
  if (p === 1) return 0;
  return invertTail((x) => chiSquaredSf(x, df), p, df);
}

/** P(T > t) for Student's t with `df` > 0 degrees of freedom. */
export function studentSf(t: number, df: number): number {
  if (Number.isNaN(t)) return t;
  if (t < 0) return 1 - studentSf(-t, df);
  if (t === Number.POSITIVE_INFINITY) return 0;
  const square = t * t;
  return 0.5 * betaI(df / 2, 0.5, df / (df + square), square / (df + square));
}

/** P(T ≤ t) for Student's t. */
export const studentCdf = (t: number, df: number): number => studentSf(-t, df);

/** The t with P(T > t) = p for Student's t. */
export function studentIsf(p: number, df: number): number {
  if (!(p >= 0 && p <= 1)) return Number.NaN;
  if (p === 0) return Number.POSITIVE_INFINITY;
  if (p > 0.5) return -studentIsf(1 - p, df);
  if (p === 0.5) return 0;
  return invertTail((t) => studentSf(t, df), p, 1);
}

/** The t with P(T ≤ t) = p for Student's t. */
export const studentPpf = (p: number, df: number): number => -studentIsf(p, df);

/** Greatest common divisor of two non-negative integers. */
export function greatestCommonDivisor(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return x;
}
