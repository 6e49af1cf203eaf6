import { binomialTerm, greatestCommonDivisor } from '../base/special.js';

/**
 * Distributions of the Kolmogorov–Smirnov statistics. Choice of method for one sample of size n: R. Simard and
 * P. L'Ecuyer, "Computing the two-sided Kolmogorov–Smirnov distribution", J. Stat. Softw. 39(11), 2011.
 */

/** P(D⁺ ≥ x) of the one-sided statistic: the Birnbaum–Tingey sum, whose terms are all positive. */
export function smirnovSf(n: number, x: number): number {
  if (x <= 0) return 1;
  if (x >= 1) return 0;
  const nx = n * x;
  const last = Math.floor(n - nx);
  const term = (j: number): number => {
    const b = x + j / n;
    if (n - j - nx <= 0) return 0;
    return binomialTerm(n, j, b, 1 - b, nx + j, n - j - nx) / b;
  };
  // The terms rise to one peak near n (1 - x) / 2 and fall; both walks stop where they no longer count.
  const middle = Math.max(0, Math.min(last, Math.round((n * (1 - x)) / 2)));
  let sum = term(middle);
  for (let j = middle + 1; j <= last; j++) {
    const t = term(j);
    sum += t;
    if (t < sum * 1e-19 && j > middle + 20) break;
  }
  for (let j = middle - 1; j > 0; j--) {
    const t = term(j);
    sum += t;
    if (t < sum * 1e-19 && j < middle - 20) break;
  }
  if (middle > 0) sum += term(0);
  return Math.min(1, sum * x);
}

function multiply(a: Float64Array, b: Float64Array, size: number): Float64Array {
  const out = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < size; k++) {
      const left = a[i * size + k];
      if (left === 0) continue;
      for (let j = 0; j < size; j++) out[i * size + j] += left * b[k * size + j];
    }
  }
  return out;
}

const SCALE_BITS = 128;
const SCALE = 2 ** SCALE_BITS;

/** P(D ≤ x) by Durbin's matrix (G. Marsaglia, W. W. Tsang, J. Wang, J. Stat. Softw. 8(18), 2003). */
function durbinCdf(n: number, x: number): number {
  const nx = n * x;
  const k = Math.ceil(nx);
  const h = k - nx;
  const size = 2 * k - 1;
  const inverseFactorial = new Float64Array(size + 1);
  inverseFactorial[0] = 1;
  for (let i = 1; i <= size; i++) inverseFactorial[i] = inverseFactorial[i - 1] / i;
  let matrix: Float64Array = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 1; j <= Math.min(i + 1, size - 1); j++) matrix[i * size + j] = inverseFactorial[i - j + 1];
  }
  for (let i = 0; i < size; i++) {
    const edge = (1 - h ** (i + 1)) * inverseFactorial[i + 1];
    matrix[i * size] = edge;
    matrix[(size - 1) * size + (size - 1 - i)] = edge;
  }
  matrix[(size - 1) * size] = (1 - 2 * h ** size + Math.max(0, 2 * h - 1) ** size) * inverseFactorial[size];

  const centre = (k - 1) * size + k - 1;
  let power: Float64Array = new Float64Array(size * size);
  for (let i = 0; i < size; i++) power[i * size + i] = 1;
  let powerExponent = 0;
  let matrixExponent = 0;
  for (let rest = n; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) {
      power = multiply(power, matrix, size);
      powerExponent += matrixExponent;
      if (Math.abs(power[centre]) > SCALE) {
        for (let i = 0; i < power.length; i++) power[i] /= SCALE;
        powerExponent += SCALE_BITS;
      }
    }
    if (rest === 1) break;
    matrix = multiply(matrix, matrix, size);
    matrixExponent *= 2;
    if (Math.abs(matrix[centre]) > SCALE) {
      for (let i = 0; i < matrix.length; i++) matrix[i] /= SCALE;
      matrixExponent += SCALE_BITS;
    }
  }
  let p = power[centre];
  for (let i = 1; i <= n; i++) {
    p *= i / n;
    if (p < 1 / SCALE) {
      p *= SCALE;
      powerExponent -= SCALE_BITS;
    }
  }
  return Math.min(1, Math.max(0, p * 2 ** powerExponent));
}

/** P(D ≤ x) by the expansion of W. Pelz and I. J. Good, J. R. Stat. Soc. B 38(2), 1976: four terms in 1/√n. */
function pelzGoodCdf(n: number, x: number): number {
  const z = Math.sqrt(n) * x;
  const pi2 = Math.PI ** 2;
  const pi4 = pi2 * pi2;
  const pi6 = pi4 * pi2;
  const [z2, z3, z4, z6] = [z ** 2, z ** 3, z ** 4, z ** 6];
  if (pi2 / (8 * z2) > 708) return 0;
  let [k0, k1, k2, k3] = [0, 0, 0, 0];
  for (let k = Math.ceil((16 * z) / Math.PI); k >= 1; k--) {
    const odd2 = (2 * k - 1) ** 2;
    const odd4 = odd2 * odd2;
    const weight = Math.exp((-odd2 * pi2) / (8 * z2));
    k0 += weight;
    k1 += weight * ((pi2 / 4) * odd2 - z2);
    k2 +=
      weight * (6 * z6 + 2 * z4 + (pi2 / 4) * (2 * z4 - 5 * z2) * odd2 + (pi4 / 16) * (1 - 2 * z2) * odd4);
    k3 +=
      weight *
      (-30 * z6 -
        90 * z ** 8 +
        (pi2 / 4) * (135 * z4 - 96 * z6) * odd2 +
        (pi4 / 16) * (212 * z4 - 60 * z2) * odd4 +
        (pi6 / 64) * (5 - 30 * z2) * odd4 * odd2);
  }
  let [extra2, extra3] = [0, 0];
  for (let k = Math.ceil((16 * z) / Math.PI); k >= 1; k--) {
    const weight = k * k * Math.exp((-k * k * pi2) / (2 * z2));
    extra2 += weight;
    extra3 += weight * (3 * z2 - pi2 * k * k);
  }
  const root = Math.sqrt(2 * Math.PI);
  const t0 = (root / z) * k0;
  const t1 = (root / (6 * z4)) * k1;
  const t2 = (root / (72 * z ** 7)) * k2 - ((pi2 * root) / (36 * z3)) * extra2;
  const t3 = (root / (6480 * z ** 10)) * k3 + ((pi2 * root) / (216 * z6)) * extra3;
  return t0 + t1 / Math.sqrt(n) + t2 / n + t3 / n ** 1.5;
}

/** P(D > x) of the two-sided one-sample statistic for n points. */
export function kolmogorovSf(n: number, x: number): number {
  if (!(n >= 1) || Number.isNaN(x)) return Number.NaN;
  if (x >= 1) return 0;
  const nx = n * x;
  if (nx <= 0.5) return 1;
  if (nx <= 1) {
    let cdf = 1;
    for (let i = 1; i <= n && cdf > 0; i++) cdf *= (i / n) * (2 * nx - 1);
    return 1 - cdf;
  }
  if (nx >= n - 1) return 2 * (1 - x) ** n;
  if (x >= 0.5) return Math.min(1, 2 * smirnovSf(n, x));
  const nxx = nx * x;
  if (nxx >= 370) return 0;
  if (n <= 140) return nxx > 4 ? 2 * smirnovSf(n, x) : 1 - durbinCdf(n, x);
  if (nxx >= 2.2) return Math.min(1, 2 * smirnovSf(n, x));
  const cdf = n <= 100_000 && n * x ** 1.5 <= 1.4 ? durbinCdf(n, x) : pelzGoodCdf(n, x);
  return Math.min(1, Math.max(0, 1 - cdf));
}

/** The limiting law P(√n D > x) as n → ∞. */
export function kolmogorovLimitSf(x: number): number {
  if (x <= 0) return 1;
  if (x < 0.82) {
    let sum = 0;
    for (let k = 1; k < 40; k += 2) sum += Math.exp(-((k * Math.PI) ** 2) / (8 * x * x));
    return 1 - (Math.sqrt(2 * Math.PI) / x) * sum;
  }
  let sum = 0;
  for (let k = 20; k >= 1; k--) sum += (k % 2 === 1 ? 1 : -1) * Math.exp(-2 * (k * x) ** 2);
  return 2 * sum;
}

/**
 * P(D ≥ h / lcm(n, m)) of the two-sample statistic when all orders of the n + m points are equally likely
 * (J. L. Hodges, Ark. Mat. 3, 1958). Conditional on ties it is conservative, as in every common implementation.
 * `h` is the integer max |i·m − j·n| / gcd. Equal sizes: a closed alternating form in O(n); otherwise the share
 * of lattice paths that have left the band, cell by cell, in O(n·m·D).
 */
export function exactTwoSampleSf(n: number, m: number, h: number): number {
  if (h <= 0) return 1;
  if (n === m) {
    let p = 0;
    for (let k = Math.floor(n / h); k >= 0; k--) {
      let ratio = 1;
      for (let j = 0; j < h; j++) ratio = ((n - k * h - j) * ratio) / (n + k * h + j + 1);
      p = ratio * (1 - p);
    }
    return Math.min(1, 2 * p);
  }
  const [rows, columns] = n < m ? [n, m] : [m, n];
  const limit = h * greatestCommonDivisor(n, m);
  const inverse = new Float64Array(rows + columns + 1);
  for (let s = 1; s < inverse.length; s++) inverse[s] = 1 / s;
  // outside[j] = share of the paths from (0, 0) to (i, j) that touched |i·columns − j·rows| ≥ limit.
  const outside = new Float64Array(columns + 1).fill(1);
  for (let i = 0; i <= rows; i++) {
    const from = Math.max(0, Math.floor((i * columns - limit) / rows) + 1);
    const to = Math.min(columns, Math.ceil((i * columns + limit) / rows) - 1);
    if (from > 0) outside[from - 1] = 1;
    let left = from > 0 ? 1 : 0;
    for (let j = from; j <= to; j++) {
      const share = inverse[i + j];
      const above = i * share * outside[j];
      left = i + j === 0 ? 0 : above + j * share * left;
      outside[j] = left;
    }
  }
  return Math.min(1, outside[columns]);
}
