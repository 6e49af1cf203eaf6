/** Folds whose state is counts and exact power sums: they merge and subtract exactly in any order. */
import type { FunctionName } from '../../define/types.js';
import { FLOAT64, type Integer, type Value, type ValueType } from '../../schema/types.js';
import type { Fold, FoldContext } from '../fold.js';
import {
  addMoment,
  decodeMoments,
  emptyMoments,
  encodeMoments,
  kurtosisOf,
  type Moments,
  meanOf,
  mergeMoments,
  skewnessOf,
  spreadOf,
  sumOf,
} from '../moments.js';

interface Count {
  n: number;
}

/** Rows, or non-null values of the field when there is one. */
export const count = ({ inputType }: FoldContext): Fold<Count> => {
  const weight = (value: Value): 0 | 1 => (inputType === null || value !== null ? 1 : 0);
  return {
    function: 'count',
    commutative: true,
    init: () => ({ n: 0 }),
    add: (state, member) => {
      state.n += weight(member.value);
    },
    remove: (state, member) => {
      state.n -= weight(member.value);
    },
    merge: (into, from) => {
      into.n += from.n;
    },
    finish: (state) => state.n,
    encode: (state) => state.n,
    decode: (encoded) => ({ n: encoded as number }),
  };
};

interface Share {
  rows: number;
  trues: number;
}

/** Rows for which the predicate is true / all rows; a null predicate is not true. */
export const ratio = (): Fold<Share> => ({
  function: 'ratio',
  commutative: true,
  init: () => ({ rows: 0, trues: 0 }),
  add: (state, member) => {
    state.rows++;
    if (member.by === true) state.trues++;
  },
  remove: (state, member) => {
    state.rows--;
    if (member.by === true) state.trues--;
  },
  merge: (into, from) => {
    into.rows += from.rows;
    into.trues += from.trues;
  },
  finish: (state) => (state.rows === 0 ? null : state.trues / state.rows),
  encode: (state) => [state.rows, state.trues],
  decode: (encoded) => {
    const [rows, trues] = encoded as [number, number];
    return { rows, trues };
  },
});

/** What is read from power sums, and how many powers it needs. */
interface Finish {
  readonly powers: 1 | 2 | 3 | 4;
  readonly finish: (moments: Moments, type: ValueType) => Value;
  /** Least number of values that define it, and whether it needs two different ones. */
  readonly least: number;
  readonly spread?: true;
}

export const MOMENT_FOLDS = {
  sum: { powers: 1, finish: sumOf, least: 1 },
  mean: { powers: 1, finish: meanOf, least: 1 },
  var: { powers: 2, finish: (moments, type) => spreadOf(moments, type, 1, false), least: 2 },
  std: { powers: 2, finish: (moments, type) => spreadOf(moments, type, 1, true), least: 2 },
  var_pop: { powers: 2, finish: (moments, type) => spreadOf(moments, type, 0, false), least: 1 },
  std_pop: { powers: 2, finish: (moments, type) => spreadOf(moments, type, 0, true), least: 1 },
  skewness: { powers: 3, finish: skewnessOf, least: 3, spread: true },
  kurtosis: { powers: 4, finish: kurtosisOf, least: 4, spread: true },
} as const satisfies Partial<Record<FunctionName, Finish>>;

export type MomentName = keyof typeof MOMENT_FOLDS;

/** A null although there were enough values: the exact result is beyond int64, or beyond the doubles. */
const momentNullStatus = (name: MomentName, moments: Moments): 'empty' | 'error' => {
  const entry: Finish = MOMENT_FOLDS[name];
  return moments.n < entry.least || entry.spread === true ? 'empty' : 'error';
};

export const momentFold =
  (name: MomentName) =>
  ({ inputType }: FoldContext): Fold<Moments> => {
    const type = inputType ?? FLOAT64;
    const { powers, finish }: Finish = MOMENT_FOLDS[name];
    return {
      function: name,
      commutative: true,
      init: () => emptyMoments(type, powers),
      add: (state, { value }) => {
        if (value !== null) addMoment(state, value as Integer, 1);
      },
      remove: (state, { value }) => {
        if (value !== null) addMoment(state, value as Integer, -1);
      },
      merge: mergeMoments,
      finish: (state) => finish(state, type),
      nullStatus: (state) => momentNullStatus(name, state),
      encode: encodeMoments,
      decode: (encoded) => decodeMoments(type, encoded),
    };
  };
