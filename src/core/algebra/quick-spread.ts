/**
 * Variances and standard deviations from sums held as pairs of doubles: the correctly rounded value, or null where
 * the pairs are too short to tell which double is nearest. Every step has an error bound, and a value is given only
 * when all that the bound allows rounds alike (Ziv, "Fast evaluation of elementary mathematical functions with
 * correctly rounded last bit", 1991).
 */
import { productError } from './exact.js';

/**
 * Relative error of a Σx² made by `addSquares` and `joinSquares`, for each value: the high parts add without error,
 * and fewer than 600 rounded additions to a low part below 600 · 2^-53 of the sum come before it is made small again.
 */
const SQUARES_ERROR = 2 ** -92;
/** Relative error of all that follows, generously. */
const STEPS_ERROR = 2 ** -99;
const LEAST = 2 ** -600;
const GREATEST = 2 ** 600;
const EXACT_POWER = 11;

/** Makes the low part of the pair at `at` small against the high one, exactly. */
function settle(target: Float64Array, at: number): void {
  const high = target[at]!;
  const low = target[at + 1]!;
  const sum = high + low;
  target[at] = sum;
  target[at + 1] = low - (sum - high);
}

/** Adds the squares of the values [from, to), NaN for null, to the pair (high, low) at `at`. At most 512 at once. */
export function addSquares(
  target: Float64Array,
  at: number,
  values: Float64Array,
  from: number,
  to: number,
): void {
  let high = target[at]!;
  let low = target[at + 1]!;
  for (let i = from; i < to; i++) {
    const x = values[i]!;
    if (Number.isNaN(x)) continue;
    const square = x * x;
    const sum = high + square;
    const part = sum - high;
    low += high - (sum - part) + (square - part) + productError(x, x, square);
    high = sum;
  }
  target[at] = high;
  target[at + 1] = low;
  settle(target, at);
}

/** Adds the pair (high, low) to the pair at `at`. */
export function joinSquares(target: Float64Array, at: number, high: number, low: number): void {
  const present = target[at]!;
  const sum = present + high;
  const part = sum - present;
  target[at] = sum;
  target[at + 1] = target[at + 1]! + (present - (sum - part) + (high - part) + low);
  settle(target, at);
}

let quotient = 0;
let rest = 0;

/** (high + low) / divisor as quotient + rest. */
function divide(high: number, low: number, divisor: number): void {
  const first = high / divisor;
  const product = first * divisor;
  const second = (high - product - productError(first, divisor, product) + low) / divisor;
  quotient = first + second;
  rest = second - (quotient - first);
}

/**
 * Σ(x - mean)² / (n - correction), or its square root, of n > correction values that are not all equal: from their
 * sum (high + low, exact) and the sum of their squares; values are x / 10^scale.
 */
export function quickSpread(
  n: number,
  high: number,
  low: number,
  squaresHigh: number,
  squaresLow: number,
  scale: number,
  correction: 0 | 1,
  root: boolean,
): number | null {
  // NaN fails as well.
  if (!(squaresHigh > LEAST && squaresHigh < GREATEST) || scale > EXACT_POWER) return null;
  const sum = high + low;
  const back = sum - high;
  const small = high - (sum - back) + (low - back);
  const first = n * squaresHigh;
  const second = sum * sum;
  const difference = first - second;
  const part = difference - first;
  const lost = first - (difference - part) - (second + part);
  const tail =
    lost +
    (productError(n, squaresHigh, first) - productError(sum, sum, second)) +
    (n * squaresLow - 2 * sum * small - small * small);
  const numerator = difference + tail;
  let error = first * ((n + 1) * SQUARES_ERROR + STEPS_ERROR);
  if (!(numerator > error)) return null;
  const divisor = n * (n - correction);
  if (divisor > Number.MAX_SAFE_INTEGER) return null;
  divide(numerator, tail - (numerator - difference), divisor);
  error /= divisor;
  if (scale > 0) {
    const power = 10 ** (2 * scale);
    divide(quotient, rest, power);
    error /= power;
  }
  error += quotient * STEPS_ERROR;
  let value = quotient;
  let correctionTerm = rest;
  if (root) {
    value = Math.sqrt(quotient);
    const square = value * value;
    correctionTerm = (quotient - square - productError(value, value, square) + rest) / (2 * value);
    error = error / value + value * STEPS_ERROR;
  }
  error *= 1.001;
  const least = value + (correctionTerm - error);
  return least === value + (correctionTerm + error) ? least : null;
}
