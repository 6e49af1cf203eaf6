/**
 * 2^x from additions and multiplications only, so that every JavaScript engine gives the same bits (Math.pow may
 * not). Within 2 ulp. 2^x = 2^k * e^(f ln 2), |f| <= 1/2, by the Taylor series to degree 14.
 */
import { scaleByPowerOfTwo } from './exact.js';

const COEFFICIENTS: number[] = [1];
for (let i = 1; i <= 14; i++) COEFFICIENTS.push(COEFFICIENTS[i - 1]! / i);

export function exp2(x: number): number {
  if (x < -1100) return 0;
  const whole = Math.round(x);
  const y = (x - whole) * Math.LN2;
  let sum = COEFFICIENTS[14]!;
  for (let i = 13; i >= 0; i--) sum = sum * y + COEFFICIENTS[i]!;
  return scaleByPowerOfTwo(sum, whole);
}
