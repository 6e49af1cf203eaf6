/**
 * Exact sums of one entity's values as a few doubles ("limbs"): limb j holds multiples of 2^(low + j * width), and
 * width is chosen from the number of values so that no limb can leave 2^53 of its units, whatever is added and
 * subtracted. So prefix sums, their differences and running sums are exact, and two limbs are finished by one addition.
 */
import {
  addExact,
  type ExactSum,
  exactSum,
  exactValue,
  fittingInteger,
  productError,
  roundedSum,
  roundRatio,
} from '../../algebra/exact.js';
import { type Moments, spreadOf } from '../../algebra/moments.js';
import type { ValueType } from '../../schema/types.js';
import type { Field } from './view.js';

const MAX_LIMBS = 8;
const DOUBLE = new Float64Array(1);
const WORDS = new Uint32Array(DOUBLE.buffer);

export class Limbs {
  private stamp = -1;
  /** 0: the values span too many bits; sum them otherwise. */
  count = 0;
  private low = 0;
  private width = 0;
  /** cutters[j] cuts a number into multiples of limb j's unit. */
  private readonly cutters = new Float64Array(MAX_LIMBS);
  private prefixStamp = -1;
  private prefix = new Float64Array(0);

  constructor(
    readonly field: Field,
    /** 1: values; 2: their squares. */
    readonly power: 1 | 2,
  ) {}

  /** Chooses the limbs for the values of the view. */
  plan(): number {
    const { field } = this;
    if (this.stamp === field.view.stamp) return this.count;
    field.load();
    this.stamp = field.view.stamp;
    const { size } = field.view;
    let { lowest, highest } = field.bits();
    if (this.power === 2) {
      lowest *= 2;
      highest = highest * 2 + 1;
    }
    const growth = Math.ceil(Math.log2(size * this.power + 1));
    this.low = lowest;
    this.width = 52 - growth;
    const beyond = highest + 1 + growth - lowest - 52;
    const count = 1 + Math.max(0, Math.ceil(beyond / this.width));
    this.count = count > MAX_LIMBS || lowest < -960 || highest > 900 || growth > 40 ? 0 : count;
    for (let j = 0; j < this.count; j++) this.cutters[j] = 1.5 * 2 ** (this.low + j * this.width + 52);
    return this.count;
  }

  /** Adds sign * x^power to the limbs at `sums[at...]`. */
  add(sums: Float64Array, at: number, x: number, sign: 1 | -1): void {
    if (this.power === 1) {
      this.cut(sums, at, sign * x);
      return;
    }
    const square = x * x;
    this.cut(sums, at, sign * square);
    const error = productError(x, x, square);
    if (error !== 0) this.cut(sums, at, sign * error);
  }

  private cut(sums: Float64Array, at: number, x: number): void {
    let rest = x;
    for (let j = this.count - 1; j > 0; j--) {
      const cutter = this.cutters[j]!;
      const part = rest + cutter - cutter;
      sums[at + j] = sums[at + j]! + part;
      rest -= part;
    }
    sums[at] = sums[at]! + rest;
  }

  /** Prefix sums: those of the first i values stand at i * count. */
  prefixSums(): Float64Array {
    if (this.prefixStamp === this.field.view.stamp) return this.prefix;
    this.prefixStamp = this.field.view.stamp;
    const { count } = this;
    const { values, valid } = this.field;
    const { size } = this.field.view;
    if (this.prefix.length < (size + 1) * count)
      this.prefix = new Float64Array(Math.max(2 * this.prefix.length, (size + 1) * count));
    const { prefix } = this;
    prefix.fill(0, 0, count);
    if (count === 1 && this.power === 1) {
      let total = 0;
      for (let i = 0; i < size; i++) {
        if (valid[i] === 1) total += values[i]!;
        prefix[i + 1] = total;
      }
      return prefix;
    }
    if (count === 2 && this.power === 1) {
      const cutter = this.cutters[1]!;
      let high = 0;
      let low = 0;
      for (let i = 0; i < size; i++) {
        if (valid[i] === 1) {
          const x = values[i]!;
          const part = x + cutter - cutter;
          high += part;
          low += x - part;
        }
        prefix[2 * i + 2] = low;
        prefix[2 * i + 3] = high;
      }
      return prefix;
    }
    if (count === 3 && this.power === 2) {
      this.threeOfSquares(size);
      return prefix;
    }
    for (let i = 0; i < size; i++) {
      const at = i * count;
      for (let j = 0; j < count; j++) prefix[at + count + j] = prefix[at + j]!;
      if (valid[i] === 1) this.add(prefix, at + count, values[i]!, 1);
    }
    return prefix;
  }

  /** The usual case of squares, in one plain loop. */
  private threeOfSquares(size: number): void {
    const { values, valid } = this.field;
    const { prefix } = this;
    const first = this.cutters[2]!;
    const second = this.cutters[1]!;
    let a = 0;
    let b = 0;
    let c = 0;
    for (let i = 0; i < size; i++) {
      if (valid[i] === 1) {
        const x = values[i]!;
        const square = x * x;
        const error = productError(x, x, square);
        const high = square + first - first;
        const rest = square - high;
        const middle = rest + second - second;
        const highOfError = error + first - first;
        const restOfError = error - highOfError;
        const middleOfError = restOfError + second - second;
        c += high + highOfError;
        b += middle + middleOfError;
        a += rest - middle + (restOfError - middleOfError);
      }
      prefix[3 * i + 3] = a;
      prefix[3 * i + 4] = b;
      prefix[3 * i + 5] = c;
    }
  }
}

const toExact = (parts: readonly number[]): ExactSum => {
  const sum = exactSum();
  for (const part of parts) addExact(sum, part);
  return sum;
};

/** The rounded total of exact parts. */
export function roundParts(parts: readonly number[]): number {
  if (parts.length === 1) return parts[0]! + 0;
  if (parts.length === 2) return parts[0]! + parts[1]! + 0;
  return parts.length === 3 ? roundThree(parts[0]!, parts[1]!, parts[2]!) + 0 : roundedSum(parts);
}

/** What rounding a + b to `sum` has left (Knuth). */
function rest(a: number, b: number, sum: number): number {
  const virtual = sum - a;
  return a - (sum - virtual) + (b - virtual);
}

/** a + b + c correctly rounded: the two errors are added to odd (Boldo and Melquiond 2008). */
function roundThree(a: number, b: number, c: number): number {
  const low = b + c;
  const lowRest = rest(b, c, low);
  const high = a + low;
  const highRest = rest(a, low, high);
  const error = highRest + lowRest;
  const lost = rest(highRest, lowRest, error);
  return high + (lost === 0 ? error : toOdd(error, lost));
}

/** The neighbour of x, in the direction of what x lacks, whose last bit is odd; x itself when its own is. */
function toOdd(x: number, lost: number): number {
  DOUBLE[0] = x;
  const bottom = WORDS[0]!;
  if ((bottom & 1) === 1) return x;
  if (lost > 0 === x > 0) WORDS[0] = bottom + 1;
  else {
    if (bottom === 0) WORDS[1] = WORDS[1]! - 1;
    WORDS[0] = bottom - 1;
  }
  return DOUBLE[0]!;
}

/** An exact integer total as a value of the type; null where it does not fit. */
export function integerOfParts(parts: readonly number[], type: ValueType): number | bigint | null {
  const rounded = roundParts(parts);
  if (Math.abs(rounded) <= Number.MAX_SAFE_INTEGER) return rounded;
  return fittingInteger(
    parts.reduce((sum, part) => sum + BigInt(part), 0n),
    type,
  );
}

/** What `head` misses of the exact total. */
function remainder(parts: readonly number[], head: number): number {
  if (parts.length === 1) return 0;
  if (parts.length === 2) {
    const [a, b] = parts as readonly [number, number];
    const virtual = head - a;
    return a - (head - virtual) + (b - virtual);
  }
  if (parts.length === 3) {
    const [a, b, c] = parts as readonly [number, number, number];
    // Without much cancellation three additions miss less than 2^-100 of the total.
    if (16 * Math.abs(head) >= Math.max(Math.abs(a), Math.abs(b), Math.abs(c))) {
      const low = b + c;
      const high = a + low;
      return high - head + rest(a, low, high) + rest(b, c, low);
    }
  }
  return roundedSum([...parts, -head]);
}

const inRange = (x: number): boolean => {
  const size = Math.abs(x);
  return size > 1e-250 && size < 1e250;
};

/** (head + tail) / divisor in double-double; null where its error could show. */
function quickMean(head: number, tail: number, divisor: number): number | null {
  if (tail === 0) return head / divisor + 0;
  if (!inRange(head)) return null;
  const quotient = head / divisor;
  const product = quotient * divisor;
  const correction = (head - product - productError(quotient, divisor, product) + tail) / divisor;
  const slack = Math.abs(quotient) * 2 ** -98;
  const result = quotient + (correction - slack);
  return result === quotient + (correction + slack) ? result : null;
}

/** `meanOfParts` of two parts of doubles. */
export function meanOfTwo(a: number, b: number, n: number): number | null {
  const head = a + b + 0;
  if ((n & (n - 1)) === 0 && inRange(head)) return head / n;
  return quickMean(head, rest(a, b, head), n) ?? meanOfParts([a, b], n, 0);
}

/** Exact total / (n * 10^scale), correctly rounded: double-double with a checked error, else exact integers. */
export function meanOfParts(parts: readonly number[], n: number, scale: number): number | null {
  const head = roundParts(parts);
  const divisor = n * 10 ** scale;
  // A power of two moves the point, whatever was rounded before.
  if (scale === 0 && n < 2 ** 31 && (n & (n - 1)) === 0 && inRange(head)) return head / n;
  if (divisor <= Number.MAX_SAFE_INTEGER) {
    const quick = quickMean(head, remainder(parts, head), divisor);
    if (quick !== null) return quick;
  }
  const { m, exponent } = exactValue(toExact(parts));
  return roundRatio(m, BigInt(n) * 10n ** BigInt(scale), exponent);
}

/**
 * Σ(x - mean)² / (n - correction) or its root from exact Σx and Σx², correctly rounded: double-double with a
 * checked error, else exact integers. Null below 1 + correction values.
 */
export function spreadOfParts(
  sums: readonly number[],
  squares: readonly number[],
  n: number,
  type: ValueType,
  correction: 0 | 1,
  root: boolean,
): number | null {
  if (n < 1 + correction) return null;
  const quick = quickSpread(sums, squares, n, type.kind === 'decimal' ? type.scale : 0, correction, root);
  if (quick !== null) return quick;
  const moments: Moments = { n, doubles: [toExact(sums), toExact(squares)], integers: null };
  return spreadOf(moments, type, correction, root);
}

function quickSpread(
  sums: readonly number[],
  squares: readonly number[],
  n: number,
  scale: number,
  correction: 0 | 1,
  root: boolean,
): number | null {
  const divisor = n * (n - correction) * 10 ** (2 * scale);
  const s1 = roundParts(sums);
  const s2 = roundParts(squares);
  if (
    divisor > Number.MAX_SAFE_INTEGER ||
    !inRange(s2) ||
    Math.abs(s1) > 1e120 ||
    (s1 !== 0 && Math.abs(s1) < 1e-120)
  )
    return null;
  const left = n * s2;
  const leftTail = productError(n, s2, left) + n * remainder(squares, s2);
  const right = s1 * s1;
  const rightTail = productError(s1, s1, right) + 2 * s1 * remainder(sums, s1);
  const difference = left - right;
  const virtual = difference - left;
  const differenceTail = left - (difference - virtual) - (right + virtual) + (leftTail - rightTail);
  const over = difference + differenceTail;
  const overTail = difference - over + differenceTail;
  const error = (left + right) * 2 ** -96;
  if (!(over > error * 2 ** 50) || !inRange(over)) return null;
  const quotient = over / divisor;
  const product = quotient * divisor;
  const quotientTail = (over - product - productError(quotient, divisor, product) + overTail) / divisor;
  const slack = error / divisor + quotient * 2 ** -96;
  if (!root) {
    const result = quotient + (quotientTail - slack);
    return result === quotient + (quotientTail + slack) ? result : null;
  }
  const y = Math.sqrt(quotient);
  const square = y * y;
  const tail = (quotient - square - productError(y, y, square) + quotientTail) / (2 * y);
  const rootSlack = slack / y + y * 2 ** -96;
  const result = y + (tail - rootSlack);
  return result === y + (tail + rootSlack) ? result : null;
}
