/** A changed unit: the same values, times a factor. */
import type { NumericProfile } from './profile.js';

const MIDDLE = ['0.25', '0.5', '0.75'] as const;
/** Quartiles of batches of a few hundred rows differ by less. */
const AGREEMENT = 1.25;
const LEAST = 1.5;

/**
 * By what all values of `now` are multiples of those of `before`: the median of the ratios of the quartiles, where these
 * agree and are far from 1. Undefined where they are not, and for values that did not vary (any constant is a multiple
 * of any other).
 */
export function scaleBetween(before: NumericProfile, now: NumericProfile): number | undefined {
  const ratios = MIDDLE.flatMap((at) => {
    const [from, to] = [before.quantiles[at], now.quantiles[at]];
    return from && to && Number.isFinite(to / from) && to / from > 0 ? [to / from] : [];
  }).sort((a, b) => a - b);
  if (ratios.length < MIDDLE.length || before.quantiles['0.25'] === before.quantiles['0.75'])
    return undefined;
  if (ratios[2]! > ratios[0]! * AGREEMENT) return undefined;
  const factor = ratios[1]!;
  return factor >= LEAST || factor <= 1 / LEAST ? factor : undefined;
}

/** `about 100 times as large: has the unit changed?` */
export const sayScale = (factor: number): string =>
  `about ${Number((factor > 1 ? factor : 1 / factor).toPrecision(2))} times as ${factor > 1 ? 'large' : 'small'}: has the unit changed?`;
