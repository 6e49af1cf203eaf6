/** Arithmetic in the most literal way, for comparison: BigInt rationals and a rounding that shares no code. */
import fc from '../property.js';

/** A finite double in units of 2^-1074. */
export function rationalOf(x: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  const bits = view.getBigUint64(0);
  const exponent = (bits >> 52n) & 0x7ffn;
  const fraction = bits & 0xfffffffffffffn;
  const size = exponent === 0n ? fraction : (fraction | (1n << 52n)) << (exponent - 1n);
  return bits >> 63n ? -size : size;
}

function fromOrdinal(ordinal: bigint): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, ordinal);
  return view.getFloat64(0);
}

/** numerator / denominator to the nearest double, ties to even, by bisection over all doubles; null if too large. */
export function roundedRational(numerator: bigint, denominator: bigint): number | null {
  if (numerator === 0n) return 0;
  const size = numerator < 0n ? -numerator : numerator;
  const scaled = size << 1074n;
  let low = 0n;
  let high = 0x7ff0000000000000n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (rationalOf(fromOrdinal(middle)) * denominator <= scaled) low = middle;
    else high = middle;
  }
  const below = rationalOf(fromOrdinal(low));
  const above = high === 0x7ff0000000000000n ? 1n << (1024n + 1074n) : rationalOf(fromOrdinal(high));
  const twice = 2n * scaled - (below + above) * denominator;
  const ordinal = twice > 0n || (twice === 0n && (low & 1n) === 1n) ? high : low;
  const value = fromOrdinal(ordinal);
  return value === Infinity ? null : numerator < 0n ? -value : value;
}

const HOSTILE = [
  0,
  1,
  -1,
  0.1,
  0.2,
  0.3,
  -0.1,
  1e308,
  -1e308,
  1.7976931348623157e308,
  -1.7976931348623157e308,
  5e-324,
  -5e-324,
  2.2250738585072014e-308,
  1e-308,
  -1e-308,
  1e16,
  -1e16,
  1e16 + 2,
  2 ** 53,
  2 ** 53 - 1,
  2 ** -52,
  2 ** -53,
  1 + 2 ** -52,
  123456789.125,
  1e100,
  -1e100,
  2 ** 900,
  2 ** 899,
  -(2 ** 900),
  2 ** 200,
  2 ** -200,
  2 ** 32,
  2 ** 31,
  3 * 2 ** -1074,
] as const;

/** Doubles where sums go wrong: cancellations, half-way cases, denormals, the ends of the range. */
export const hostileDouble = fc.constantFrom(...HOSTILE);
