/**
 * Exact sums of doubles and correctly rounded results.
 *
 * A sum is held in bins on an absolute grid: bin b holds an exact multiple of 2^(32 b - 1138). Adding and
 * subtracting 1.5 * 2^(q + 52) cuts a double into multiples of 2^q (Dekker; Demmel and Nguyen, "Parallel
 * reproducible summation", 2015); a double touches three bins, and a bin stays an exact double for 2^20 additions,
 * after which carries move up. So addition, subtraction and merging are exact in any order. Magnitudes from 2^900
 * up, and powers that would leave the range of doubles, go to a BigInt instead.
 */
import type { ValueType } from '../schema/types.js';

const BIN_BITS = 32;
const BIN_SHIFT = 2;
const LOWEST = -1074;
const MAX_PENDING = 2 ** 20;
/** Biased exponent from which values go to `rare`: 2^900. */
const RARE_EXPONENT = 1023 + 900;

const DOUBLE = new Float64Array(1);
const WORDS = new Uint32Array(DOUBLE.buffer);

/** m * 2^exponent, exact whenever the result is a double. */
export function scaleByPowerOfTwo(m: number, exponent: number): number {
  if (exponent > 1000) return m * 2 ** 1000 * 2 ** (exponent - 1000);
  if (exponent < -1000)
    return exponent < -2200 ? m * 0 : m * 2 ** -1000 * scaleByPowerOfTwo(1, exponent + 1000);
  return m * 2 ** exponent;
}

const binExponent = (bin: number): number => BIN_BITS * (bin - BIN_SHIFT) + LOWEST;
const CUTTERS = new Float64Array(66);
for (let bin = 0; bin < CUTTERS.length; bin++) {
  CUTTERS[bin] = bin < BIN_SHIFT ? 1 : 1.5 * scaleByPowerOfTwo(1, binExponent(bin) + 52);
}

export interface ExactSum {
  /** Grid index of bins[0]. */
  base: number;
  bins: number[];
  /** Additions since the last carry. */
  pending: number;
  /** What the bins cannot hold, in units of 2^rareExponent. */
  rare: bigint;
  readonly rareExponent: number;
}

/** `power`: the sum will also take `addPower` of up to this power. */
export const exactSum = (power = 1): ExactSum => ({
  base: 0,
  bins: [],
  pending: 0,
  rare: 0n,
  rareExponent: LOWEST * power,
});

function reserve(sum: ExactSum, low: number, high: number): void {
  if (sum.bins.length === 0) {
    sum.base = low;
    for (let bin = low; bin <= high; bin++) sum.bins.push(0);
    return;
  }
  if (low < sum.base) {
    sum.bins = [...new Array<number>(sum.base - low).fill(0), ...sum.bins];
    sum.base = low;
  }
  while (sum.base + sum.bins.length <= high) sum.bins.push(0);
}

function carry(sum: ExactSum): void {
  for (let i = 0; i < sum.bins.length; i++) {
    const value = sum.bins[i]!;
    const bin = sum.base + i;
    if (value === 0) continue;
    const cutter = CUTTERS[bin + 1]!;
    const up = bin < BIN_SHIFT ? 0 : value + cutter - cutter;
    if (up === 0) continue;
    sum.bins[i] = value - up;
    if (i + 1 === sum.bins.length) sum.bins.push(up);
    else sum.bins[i + 1] = sum.bins[i + 1]! + up;
  }
  sum.pending = 1;
}

/** The finite double x as an integer multiple of 2^-1074. */
function toUnits(x: number): bigint {
  DOUBLE[0] = x;
  const high = WORDS[1]!;
  const biased = (high >>> 20) & 0x7ff;
  const fraction = (high & 0xfffff) * 2 ** 32 + WORDS[0]!;
  const units = biased === 0 ? BigInt(fraction) : BigInt(fraction + 2 ** 52) << BigInt(biased - 1);
  return high >>> 31 === 1 ? -units : units;
}

/** Adds the finite double x. To subtract, add -x. */
export function addExact(sum: ExactSum, x: number): void {
  DOUBLE[0] = x;
  const biased = (WORDS[1]! >>> 20) & 0x7ff;
  if (biased >= RARE_EXPONENT) {
    sum.rare += toUnits(x) << BigInt(LOWEST - sum.rareExponent);
    return;
  }
  const top = (((biased || 1) + 51) >> 5) + BIN_SHIFT;
  if (top - 2 < sum.base || top >= sum.base + sum.bins.length) reserve(sum, top - 2, top);
  const bins = sum.bins;
  const index = top - sum.base;
  const first = x + CUTTERS[top]! - CUTTERS[top]!;
  bins[index] = bins[index]! + first;
  const rest = x - first;
  if (rest !== 0) {
    const second = rest + CUTTERS[top - 1]! - CUTTERS[top - 1]!;
    bins[index - 1] = bins[index - 1]! + second;
    bins[index - 2] = bins[index - 2]! + (rest - second);
  }
  if (++sum.pending > MAX_PENDING) carry(sum);
}

const SPLITTER = 134_217_729;

/** The rounding error of a * b (Dekker): exact while neither the product nor its error leaves the normal range. */
export function productError(a: number, b: number, product: number): number {
  const aScaled = SPLITTER * a;
  const aHigh = aScaled - (aScaled - a);
  const aLow = a - aHigh;
  const bScaled = SPLITTER * b;
  const bHigh = bScaled - (bScaled - b);
  const bLow = b - bHigh;
  return aLow * bLow - (product - aHigh * bHigh - aLow * bHigh - aHigh * bLow);
}

function addProduct(sum: ExactSum, a: number, b: number): void {
  const product = a * b;
  addExact(sum, product);
  const error = productError(a, b, product);
  if (error !== 0) addExact(sum, error);
}

/** Adds sign * x^power exactly, power 1 to 4. */
export function addPower(sum: ExactSum, x: number, power: 1 | 2 | 3 | 4, sign: 1 | -1): void {
  if (power === 1) {
    addExact(sum, sign * x);
    return;
  }
  if (x === 0) return;
  const size = Math.abs(x);
  if (size >= 2 ** 200 || size < 2 ** -200) {
    const units = (toUnits(x) ** BigInt(power)) << BigInt(LOWEST * power - sum.rareExponent);
    sum.rare += sign === 1 ? units : -units;
    return;
  }
  const square = x * x;
  const error = productError(x, x, square);
  if (power === 2) {
    addExact(sum, sign * square);
    if (error !== 0) addExact(sum, sign * error);
  } else if (power === 3) {
    addProduct(sum, sign * square, x);
    if (error !== 0) addProduct(sum, sign * error, x);
  } else {
    addProduct(sum, sign * square, square);
    if (error !== 0) {
      addProduct(sum, sign * 2 * square, error);
      addProduct(sum, sign * error, error);
    }
  }
}

export function mergeExact(into: ExactSum, from: ExactSum): void {
  into.rare += from.rare;
  if (from.bins.length === 0) return;
  reserve(into, from.base, from.base + from.bins.length - 1);
  const offset = from.base - into.base;
  for (let i = 0; i < from.bins.length; i++) into.bins[i + offset] = into.bins[i + offset]! + from.bins[i]!;
  into.pending += from.pending;
  if (into.pending > MAX_PENDING) carry(into);
}

/** An exact value m * 2^exponent. */
export interface Dyadic {
  readonly m: bigint;
  readonly exponent: number;
}

/** The sum as an exact number. */
export function exactValue(sum: ExactSum): Dyadic {
  const low = Math.max(sum.base, BIN_SHIFT);
  let exponent = binExponent(low);
  let m = 0n;
  for (let i = sum.bins.length - 1; i >= low - sum.base; i--) {
    const units = scaleByPowerOfTwo(sum.bins[i]!, -binExponent(sum.base + i));
    m = (m << BigInt(BIN_BITS)) + BigInt(units);
  }
  if (sum.bins.length === 0) exponent = LOWEST;
  if (sum.rare !== 0n) {
    m = (m << BigInt(exponent - sum.rareExponent)) + sum.rare;
    exponent = sum.rareExponent;
  }
  return { m, exponent };
}

export const encodeExact = (sum: ExactSum): readonly [string, number] => encodeDyadic(exactValue(sum));

/** Canonical: `[hex of the odd mantissa, exponent]`; zero is `['0', 0]`. */
export function encodeDyadic(value: Dyadic): readonly [string, number] {
  let { m, exponent } = value;
  if (m === 0n) return ['0', 0];
  while ((m & 0xffff_ffffn) === 0n) {
    m >>= 32n;
    exponent += 32;
  }
  while ((m & 1n) === 0n) {
    m >>= 1n;
    exponent++;
  }
  return [m.toString(16), exponent];
}

const parseHex = (text: string): bigint =>
  text.startsWith('-') ? -BigInt(`0x${text.slice(1)}`) : BigInt(`0x${text}`);

export function decodeExact(encoded: readonly [string, number], power = 1): ExactSum {
  const sum = exactSum(power);
  const negative = encoded[0].startsWith('-');
  let m = parseHex(encoded[0]);
  if (negative) m = -m;
  let exponent = encoded[1];
  if (exponent < LOWEST || exponent + bitLength(m) > 900) {
    m <<= BigInt(exponent - sum.rareExponent);
    sum.rare = negative ? -m : m;
    return sum;
  }
  while (m !== 0n) {
    const digit = scaleByPowerOfTwo(Number(m & 0xffff_ffffn), exponent);
    addExact(sum, negative ? -digit : digit);
    m >>= 32n;
    exponent += 32;
  }
  return sum;
}

/** The parts added up and rounded once, half to even (Shewchuk 1997; the `fsum` of CPython). Finite range only. */
export function roundedSum(parts: readonly number[]): number {
  const partials: number[] = [];
  for (let x of parts) {
    let kept = 0;
    for (const partial of partials) {
      let y = partial;
      if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x];
      const high = x + y;
      const low = y - (high - x);
      if (low !== 0) partials[kept++] = low;
      x = high;
    }
    partials.length = kept;
    partials.push(x);
  }
  let n = partials.length;
  if (n === 0) return 0;
  let high = partials[--n]!;
  let low = 0;
  while (n > 0) {
    const x = high;
    const y = partials[--n]!;
    high = x + y;
    low = y - (high - x);
    if (low !== 0) break;
  }
  if (n > 0 && low !== 0 && low < 0 === partials[n - 1]! < 0) {
    const doubled = low * 2;
    const candidate = high + doubled;
    if (candidate - high === doubled) high = candidate;
  }
  return high + 0;
}

/** The correctly rounded sum; null when it is out of the range of doubles. */
export function roundExact(sum: ExactSum): number | null {
  if (sum.rare === 0n) return roundedSum(sum.bins);
  const { m, exponent } = exactValue(sum);
  return roundRatio(m, 1n, exponent);
}

function bitLength(value: bigint): number {
  const hex = (value < 0n ? -value : value).toString(16);
  return hex === '0' ? 0 : hex.length * 4 - (Math.clz32(Number.parseInt(hex[0]!, 16)) - 28);
}

/** m * 2^exponent rounded half to even; `sticky`: the true value is a little above. Null beyond the range. */
function roundBits(m: bigint, exponent: number, sticky: boolean): number | null {
  const bits = bitLength(m);
  const drop = Math.max(bits - 53, LOWEST - exponent);
  let kept = m;
  if (drop > 0) {
    const shift = BigInt(drop);
    kept = m >> shift;
    const rest = m - (kept << shift);
    const half = 1n << (shift - 1n);
    if (rest > half || (rest === half && (sticky || (kept & 1n) === 1n))) kept += 1n;
  }
  const value = scaleByPowerOfTwo(Number(kept), exponent + Math.max(drop, 0));
  return value === Infinity ? null : value;
}

/** numerator / denominator * 2^exponent, correctly rounded; denominator > 0. Null beyond the range of doubles. */
export function roundRatio(numerator: bigint, denominator: bigint, exponent = 0): number | null {
  if (numerator === 0n) return 0;
  const size = numerator < 0n ? -numerator : numerator;
  const shift = Math.max(0, 66 - (bitLength(size) - bitLength(denominator)));
  const scaled = size << BigInt(shift);
  const quotient = scaled / denominator;
  const value = roundBits(quotient, exponent - shift, quotient * denominator !== scaled);
  return value === null ? null : numerator < 0n ? -value : value;
}

function integerSquareRoot(value: bigint): bigint {
  if (value < 2n) return value;
  let root = 1n << BigInt((bitLength(value) + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** sqrt(numerator / denominator * 2^exponent), correctly rounded; both positive. */
export function roundSquareRoot(numerator: bigint, denominator: bigint, exponent = 0): number | null {
  if (numerator === 0n) return 0;
  let shift = Math.max(0, 134 - (bitLength(numerator) - bitLength(denominator)));
  if ((exponent - shift) % 2 !== 0) shift++;
  const scaled = numerator << BigInt(shift);
  const quotient = scaled / denominator;
  const root = integerSquareRoot(quotient);
  const sticky = root * root !== quotient || quotient * denominator !== scaled;
  return roundBits(root, (exponent - shift) / 2, sticky);
}

/** Σ of integers: a number while it is safe, BigInt beyond. */
export interface IntegerSum {
  small: number;
  big: bigint;
}

export const integerSum = (): IntegerSum => ({ small: 0, big: 0n });

export function addInteger(sum: IntegerSum, value: number | bigint): void {
  if (typeof value === 'number') {
    const next = sum.small + value;
    if (next <= Number.MAX_SAFE_INTEGER && next >= -Number.MAX_SAFE_INTEGER) {
      sum.small = next;
      return;
    }
    sum.big += BigInt(sum.small) + BigInt(value);
    sum.small = 0;
  } else sum.big += value;
}

export function addIntegerPower(sum: IntegerSum, value: number | bigint, power: number, sign: 1 | -1): void {
  let quick = typeof value === 'number' ? value : Infinity;
  for (let factors = 1; factors < power; factors++) quick *= typeof value === 'number' ? value : 1;
  if (quick <= Number.MAX_SAFE_INTEGER && quick >= -Number.MAX_SAFE_INTEGER) addInteger(sum, sign * quick);
  else {
    const exact = BigInt(value) ** BigInt(power);
    addInteger(sum, sign === 1 ? exact : -exact);
  }
}

export function mergeInteger(into: IntegerSum, from: IntegerSum): void {
  into.big += from.big;
  addInteger(into, from.small);
}

export const integerValue = (sum: IntegerSum): bigint => sum.big + BigInt(sum.small);

/** The integer as JavaScript holds an int64: a number when it is safe. */
export const toInteger = (value: bigint): number | bigint =>
  value <= 9_007_199_254_740_991n && value >= -9_007_199_254_740_991n ? Number(value) : value;

/** An exact integer as a value: null beyond int64, or beyond the 18 digits of a decimal. */
export function fittingInteger(total: bigint, type: ValueType): number | bigint | null {
  const fits =
    type.kind === 'decimal'
      ? total < DECIMAL_LIMIT && total > -DECIMAL_LIMIT
      : total <= INT64_MAX && total >= INT64_MIN;
  return fits ? toInteger(total) : null;
}

const DECIMAL_LIMIT = 10n ** 18n;
const INT64_MAX = 9_223_372_036_854_775_807n;
const INT64_MIN = -9_223_372_036_854_775_808n;
