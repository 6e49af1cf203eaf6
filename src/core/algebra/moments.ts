/**
 * Exact power sums Σx^p (p up to 4) of one numeric type and what is finished from them, correctly rounded from the
 * exact rational. Integers and decimals are summed as (scaled) integers, doubles exactly.
 */
import type { Integer, Value, ValueType } from '../schema/types.js';
import {
  addInteger,
  addIntegerPower,
  addPower,
  type Dyadic,
  decodeExact,
  type ExactSum,
  encodeExact,
  exactSum,
  exactValue,
  fittingInteger,
  type IntegerSum,
  integerSum,
  integerValue,
  mergeExact,
  mergeInteger,
  roundExact,
  roundRatio,
  roundSquareRoot,
  toInteger,
} from './exact.js';

export interface Moments {
  n: number;
  /** Power sums of doubles (sums[p - 1]), or of integers. */
  readonly doubles: ExactSum[] | null;
  readonly integers: IntegerSum[] | null;
}

const isDouble = (type: ValueType): boolean => type.kind === 'float64';
const scaleOf = (type: ValueType): number => (type.kind === 'decimal' ? type.scale : 0);
const powerOfTen = (scale: number): bigint => 10n ** BigInt(scale);

export function emptyMoments(type: ValueType, powers: number): Moments {
  const orders = Array.from({ length: powers }, (_, i) => i + 1);
  return isDouble(type)
    ? { n: 0, doubles: orders.map((power) => exactSum(power)), integers: null }
    : { n: 0, doubles: null, integers: orders.map(() => integerSum()) };
}

export function addMoment(moments: Moments, value: Integer, sign: 1 | -1): void {
  moments.n += sign;
  const { doubles, integers } = moments;
  if (doubles) {
    for (let i = 0; i < doubles.length; i++)
      addPower(doubles[i]!, value as number, (i + 1) as 1 | 2 | 3 | 4, sign);
  } else {
    for (let i = 0; i < integers!.length; i++) addIntegerPower(integers![i]!, value, i + 1, sign);
  }
}

export function mergeMoments(into: Moments, from: Moments): void {
  into.n += from.n;
  into.doubles?.forEach((sum, i) => {
    mergeExact(sum, from.doubles![i]!);
  });
  into.integers?.forEach((sum, i) => {
    mergeInteger(sum, from.integers![i]!);
  });
}

export function encodeMoments(moments: Moments): unknown {
  const sums = moments.doubles?.map(encodeExact) ?? moments.integers!.map((sum) => String(integerValue(sum)));
  return [moments.n, ...sums];
}

export function decodeMoments(type: ValueType, encoded: unknown): Moments {
  const [n, ...sums] = encoded as [number, ...unknown[]];
  if (isDouble(type)) {
    const doubles = sums.map((sum, i) => decodeExact(sum as [string, number], i + 1));
    return { n, doubles, integers: null };
  }
  const integers = sums.map((sum) => {
    const total = integerSum();
    addInteger(total, toInteger(BigInt(sum as string)));
    return total;
  });
  return { n, doubles: null, integers };
}

/** Σx. Doubles: correctly rounded. Integers and decimals: exact. Null also when the sum does not fit its type. */
export function sumOf(moments: Moments, type: ValueType): Value {
  if (moments.n === 0) return null;
  if (moments.doubles) return roundExact(moments.doubles[0]!);
  const sum = moments.integers![0]!;
  return sum.big === 0n ? sum.small : fittingInteger(integerValue(sum), type);
}

/** Power sums over one common power of two: Σx^p = sums[p - 1] * 2^(p * exponent). */
function aligned(moments: Moments): { readonly sums: readonly bigint[]; readonly exponent: number } {
  if (moments.integers) return { sums: moments.integers.map(integerValue), exponent: 0 };
  const values = moments.doubles!.map(exactValue);
  const exponent = Math.min(...values.map((value: Dyadic, i) => Math.floor(value.exponent / (i + 1))));
  return { sums: values.map((value, i) => value.m << BigInt(value.exponent - (i + 1) * exponent)), exponent };
}

export function meanOf(moments: Moments, type: ValueType): number | null {
  const { n } = moments;
  if (n === 0) return null;
  if (moments.integers) {
    const sum = moments.integers[0]!;
    const divisor = n * 10 ** scaleOf(type);
    if (sum.big === 0n && divisor <= Number.MAX_SAFE_INTEGER) return sum.small / divisor + 0;
    return roundRatio(integerValue(sum), BigInt(n) * powerOfTen(scaleOf(type)));
  }
  const { m, exponent } = exactValue(moments.doubles![0]!);
  return roundRatio(m, BigInt(n), exponent);
}

/** Σ(x - mean)² / (n - correction), or its square root; null below 1 + correction values. */
export function spreadOf(moments: Moments, type: ValueType, correction: 0 | 1, root: boolean): number | null {
  const { n } = moments;
  if (n < 1 + correction) return null;
  const { sums, exponent } = aligned(moments);
  const count = BigInt(n);
  const squares = count * sums[1]! - sums[0]! * sums[0]!;
  const divisor = count * (count - BigInt(correction)) * powerOfTen(2 * scaleOf(type));
  return root ? roundSquareRoot(squares, divisor, 2 * exponent) : roundRatio(squares, divisor, 2 * exponent);
}

/**
 * Bias-adjusted sample skewness G1 = sqrt(n (n - 1)) / (n - 2) * m3 / m2^1.5, as DuckDB and pandas give it.
 * Null below three values or when all are equal.
 */
export function skewnessOf(moments: Moments): number | null {
  if (moments.n < 3) return null;
  const [s1, s2, s3] = aligned(moments).sums as readonly [bigint, bigint, bigint];
  const n = BigInt(moments.n);
  const second = n * s2 - s1 * s1;
  if (second === 0n) return null;
  const third = n * n * s3 - 3n * n * s1 * s2 + 2n * s1 * s1 * s1;
  const size = roundSquareRoot(n * (n - 1n) * third * third, (n - 2n) * (n - 2n) * second * second * second);
  return size === null ? null : third < 0n ? -size : size;
}

/**
 * Sample excess kurtosis G2 = (n - 1) / ((n - 2) (n - 3)) * ((n + 1) m4 / m2² - 3 (n - 1)), as DuckDB and pandas
 * give it. Null below four values or when all are equal.
 */
export function kurtosisOf(moments: Moments): number | null {
  if (moments.n < 4) return null;
  const [s1, s2, s3, s4] = aligned(moments).sums as readonly [bigint, bigint, bigint, bigint];
  const n = BigInt(moments.n);
  const second = n * s2 - s1 * s1;
  if (second === 0n) return null;
  const fourth = n * n * n * s4 - 4n * n * n * s1 * s3 + 6n * n * s1 * s1 * s2 - 3n * s1 ** 4n;
  const square = second * second;
  return roundRatio((n - 1n) * ((n + 1n) * fourth - 3n * (n - 1n) * square), (n - 2n) * (n - 3n) * square);
}
