/** Approximate folds. Their states are plain integers: equal member sets give equal states on any path. */
import { createHash } from 'node:crypto';
import { FLOAT64, type Value, type ValueType } from '../../schema/types.js';
import type { Fold, FoldContext } from '../fold.js';
import { toDouble } from './frequencies.js';

const DOUBLE = new Float64Array(1);
const WORDS = new Uint32Array(DOUBLE.buffer);
const BITS = new BigInt64Array(DOUBLE.buffer);
/** Mantissa bits kept: buckets are 1/64 of a power of two wide. */
const KEPT_BITS = 6;

/** Signed bucket of a double: sign, exponent and the top 6 mantissa bits; 0 is the bucket of zero. */
function bucketOf(x: number): number {
  if (x === 0) return 0;
  DOUBLE[0] = Math.abs(x);
  const bucket = (WORDS[1]! >>> (20 - KEPT_BITS)) + 1;
  return x < 0 ? -bucket : bucket;
}

/** The middle of a bucket. */
function bucketMiddle(bucket: number): number {
  if (bucket === 0) return 0;
  WORDS[0] = 0;
  WORDS[1] = (Math.abs(bucket) - 1) * 2 ** (20 - KEPT_BITS) + 2 ** (19 - KEPT_BITS);
  return bucket < 0 ? -DOUBLE[0]! : DOUBLE[0]!;
}

type Buckets = Map<number, number>;

/**
 * The value of rank floor((n - 1) q), from counts by logarithmic bucket: relative error of at most 1/128 (0.8 %) for
 * magnitudes from 2.3e-308 up.
 */
export const approximateQuantile = ({ inputType, arguments: { q } }: FoldContext): Fold<Buckets> => {
  const type = inputType ?? FLOAT64;
  const change = (state: Buckets, bucket: number, by: number): void => {
    const n = (state.get(bucket) ?? 0) + by;
    if (n === 0) state.delete(bucket);
    else state.set(bucket, n);
  };
  const sorted = (state: Buckets): [number, number][] => [...state].sort((a, b) => a[0] - b[0]);
  return {
    function: 'approx_quantile',
    commutative: true,
    init: () => new Map(),
    add: (state, { value }) => {
      if (value !== null) change(state, bucketOf(toDouble(type, value)), 1);
    },
    remove: (state, { value }) => {
      if (value !== null) change(state, bucketOf(toDouble(type, value)), -1);
    },
    merge: (into, from) => {
      for (const [bucket, n] of from) change(into, bucket, n);
    },
    finish: (state) => {
      if (state.size === 0) return null;
      const entries = sorted(state);
      const rank = Math.floor((entries.reduce((sum, [, n]) => sum + n, 0) - 1) * (q ?? 0.5));
      let seen = 0;
      for (const [bucket, n] of entries) {
        seen += n;
        if (seen > rank) return bucketMiddle(bucket);
      }
      return null;
    },
    encode: sorted,
    decode: (encoded) => new Map(encoded as [number, number][]),
  };
};

const REGISTER_DIGITS = 3;
const REGISTERS = 16 ** REGISTER_DIGITS;
type Registers = Map<number, number>;

/**
 * The text that stands for a value: every engine can write the same. Texts are themselves; numbers, instants and days
 * are the digits of an integer (a decimal's unscaled one, a double's 64 bits).
 */
function hashText(type: ValueType, value: Value): string {
  if (type.kind !== 'float64') return String(value);
  DOUBLE[0] = value as number;
  return String(BITS[0]);
}

/** One more than the leading zero bits of 13 hex digits. */
export function rankOf(digits: string): number {
  const high = Number.parseInt(digits.slice(0, 5), 16);
  return high !== 0
    ? Math.clz32(high) - 12 + 1
    : 20 + Math.clz32(Number.parseInt(digits.slice(5, 13), 16)) + 1;
}

/**
 * Register and rank from the first 64 bits of the MD5 of the value's text: SQL can compute the same from `md5`.
 * The first three hex digits choose the register; the rank is one more than the leading zero bits of the next 13.
 */
export function registerOf(type: ValueType, value: Value): readonly [register: number, rank: number] {
  const digits = createHash('md5').update(hashText(type, value), 'utf8').digest('hex');
  return [Number.parseInt(digits.slice(0, REGISTER_DIGITS), 16), rankOf(digits.slice(REGISTER_DIGITS, 16))];
}

/**
 * HyperLogLog with 4096 registers (Flajolet et al. 2007; linear counting while registers are empty): relative
 * standard error 1.6 %. The estimate is rounded to an integer.
 */
export const approximateCountDistinct = ({ inputType }: FoldContext): Fold<Registers> => {
  const type = inputType ?? FLOAT64;
  const raise = (state: Registers, register: number, rank: number): void => {
    if (rank > (state.get(register) ?? 0)) state.set(register, rank);
  };
  return {
    function: 'approx_count_distinct',
    commutative: true,
    init: () => new Map(),
    add: (state, { value }) => {
      if (value !== null) raise(state, ...registerOf(type, value));
    },
    merge: (into, from) => {
      for (const [register, rank] of from) raise(into, register, rank);
    },
    finish: (state) => {
      if (state.size === 0) return null;
      const empty = REGISTERS - state.size;
      let sum = empty;
      for (const rank of state.values()) sum += 2 ** -rank;
      const raw = ((0.7213 / (1 + 1.079 / REGISTERS)) * REGISTERS * REGISTERS) / sum;
      return Math.round(raw <= 2.5 * REGISTERS && empty > 0 ? REGISTERS * Math.log(REGISTERS / empty) : raw);
    },
    encode: (state) => [...state].sort((a, b) => a[0] - b[0]),
    decode: (encoded) => new Map(encoded as [number, number][]),
  };
};
