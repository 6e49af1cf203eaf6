/** Folds that read the observation instant: their value moves with the clock. */
import { type Instant, MICROS_PER_SECOND } from '../../base/time.js';
import { FLOAT64 } from '../../schema/types.js';
import { addExact, exactSum, exactValue, roundExact, roundRatio } from '../exact.js';
import { exp2 } from '../exp2.js';
import type { Fold, FoldContext } from '../fold.js';
import { toDouble } from './frequencies.js';

interface Moment {
  at: Instant | null;
}

/** Seconds from the last (first) member's event time to the observation instant, rounded once. */
const secondsSince =
  (name: 'seconds_since_last' | 'seconds_since_first', sign: 1 | -1) => (): Fold<Moment> => {
    const take = (state: Moment, at: Instant | null): void => {
      if (at !== null && (state.at === null || sign * (at - state.at) > 0)) state.at = at;
    };
    return {
      function: name,
      commutative: true,
      init: () => ({ at: null }),
      add: (state, member) => take(state, member.eventTime),
      merge: (into, from) => take(into, from.at),
      finish: (state, at) => (state.at === null ? null : (at - state.at) / MICROS_PER_SECOND),
      encode: (state) => state.at,
      decode: (encoded) => ({ at: encoded as Instant | null }),
    };
  };

export const secondsSinceLast = secondsSince('seconds_since_last', 1);
export const secondsSinceFirst = secondsSince('seconds_since_first', -1);

interface Series {
  times: Instant[];
  values: number[];
}

/**
 * Each non-null value x at event time e weighs w = 2^-((t - e) / half_life). `decayed_sum` is Σ w x; `ewma` is
 * Σ w x / Σ w. Every weight and product is rounded once, their sums are exact, the result is rounded once.
 */
const decayed =
  (name: 'decayed_sum' | 'ewma') =>
  ({ inputType, arguments: { halfLife } }: FoldContext): Fold<Series> => {
    const type = inputType ?? FLOAT64;
    return {
      function: name,
      commutative: false,
      init: () => ({ times: [], values: [] }),
      add: (state, { value, eventTime }) => {
        if (value === null) return;
        state.times.push(eventTime);
        state.values.push(toDouble(type, value));
      },
      merge: (into, from) => {
        into.times = into.times.concat(from.times);
        into.values = into.values.concat(from.values);
      },
      finish: ({ times, values }, at) => decayedValue(name, times, values, at, halfLife ?? 1),
      nullStatus: (state) => (state.values.length === 0 ? 'empty' : 'error'),
      encode: ({ times, values }) => [times, values],
      decode: (encoded) => {
        const [times, values] = encoded as [number[], number[]];
        return { times: [...times], values: [...values] };
      },
    };
  };

function decayedValue(
  name: 'decayed_sum' | 'ewma',
  times: readonly Instant[],
  values: readonly number[],
  at: Instant,
  halfLife: number,
): number | null {
  if (values.length === 0) return null;
  // The mean does not change when all weights are scaled: from the newest member, so that old windows do not vanish.
  const origin = name === 'ewma' ? times.reduce((latest, time) => Math.max(latest, time), times[0]!) : at;
  const products = exactSum();
  const weights = exactSum();
  for (let i = 0; i < values.length; i++) {
    const weight = exp2((times[i]! - origin) / halfLife);
    const product = weight * values[i]!;
    if (!Number.isFinite(product)) return null;
    addExact(products, product);
    addExact(weights, weight);
  }
  if (name === 'decayed_sum') return roundExact(products);
  const over = exactValue(products);
  const under = exactValue(weights);
  return roundRatio(over.m, under.m, over.exponent - under.exponent);
}

export const decayedSum = decayed('decayed_sum');
export const ewma = decayed('ewma');
