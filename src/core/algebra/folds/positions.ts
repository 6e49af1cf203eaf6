/** Folds that keep members by their place in the order (event_time, available_at, seq). */
import type { FunctionName } from '../../define/types.js';
import type { Value } from '../../schema/types.js';
import { decodeValue, encodeValue, keyOf } from '../compare.js';
import type { Fold, FoldContext } from '../fold.js';

interface One {
  held: boolean;
  value: Value;
}

/** The value of the first or last member, null or not; with `ignore_nulls` of the first or last that has one. */
const end =
  (name: 'first' | 'last') =>
  (context: FoldContext): Fold<One> => {
    const { ignoreNulls } = context.arguments;
    const take = (state: One, value: Value): void => {
      if ((ignoreNulls && value === null) || (name === 'first' && state.held)) return;
      state.held = true;
      state.value = value;
    };
    return {
      function: name,
      commutative: false,
      init: () => ({ held: false, value: null }),
      add: (state, member) => take(state, member.value),
      merge: (into, from) => {
        if (from.held) take(into, from.value);
      },
      finish: (state) => state.value,
      nullStatus: (state) => (state.held ? 'ok' : 'empty'),
      encode: (state) => (state.held ? [encodeValue(state.value)] : []),
      decode: (encoded) => {
        const held = encoded as unknown[];
        return { held: held.length > 0, value: held.length > 0 ? decodeValue(held[0]) : null };
      },
    };
  };

export const first = end('first');
export const last = end('last');

interface Run {
  /** Non-null values in member order. */
  values: Value[];
}

/** A run of non-null values: `trim` keeps what can still matter, `finish` reads it. */
const runFold = (
  name: FunctionName,
  trim: (values: Value[]) => Value[],
  finish: (values: readonly Value[]) => Value,
): Fold<Run> => ({
  function: name,
  commutative: false,
  init: () => ({ values: [] }),
  add: (state, { value }) => {
    if (value === null) return;
    state.values.push(value);
    state.values = trim(state.values);
  },
  merge: (into, from) => {
    into.values = trim([...into.values, ...from.values]);
  },
  finish: (state) => finish(state.values),
  encode: (state) => state.values.map(encodeValue),
  decode: (encoded) => ({ values: (encoded as unknown[]).map(decodeValue) }),
});

const orNull = (values: readonly Value[]): Value => (values.length === 0 ? null : [...values]);
const keepFirst = (k: number) => (values: Value[]) => (values.length > k ? values.slice(0, k) : values);
const keepLast = (k: number) => (values: Value[]) => (values.length > k ? values.slice(-k) : values);
const howMany = (context: FoldContext): number => context.arguments.k ?? 1;

/** The first k non-null values, oldest first. */
export const firstK = (context: FoldContext): Fold<Run> =>
  runFold('first_k', keepFirst(howMany(context)), orNull);

/** The last k non-null values, newest first. */
export const lastK = (context: FoldContext): Fold<Run> =>
  runFold('last_k', keepLast(howMany(context)), (values) => orNull([...values].reverse()));

/** The non-null value k members from the end, 1 being the last; null when there are fewer. */
export const lag = (context: FoldContext): Fold<Run> => {
  const k = howMany(context);
  return runFold('lag', keepLast(k), (values) => (values.length < k ? null : values[values.length - k]!));
};

/** Non-null values in member order, oldest first; with k the newest k of them. */
export const list = (context: FoldContext): Fold<Run> =>
  runFold('list', keepLast(context.arguments.k ?? Number.POSITIVE_INFINITY), orNull);

/** The k most recent distinct non-null values, newest first. The state is oldest first. */
export const lastDistinctK = (context: FoldContext): Fold<Run> => {
  const k = howMany(context);
  const trim = (values: Value[]): Value[] => {
    const seen = new Set<unknown>();
    const kept: Value[] = [];
    for (let i = values.length - 1; i >= 0 && kept.length < k; i--) {
      const key = keyOf(values[i]!);
      if (seen.has(key)) continue;
      seen.add(key);
      kept.push(values[i]!);
    }
    return kept.reverse();
  };
  return runFold('last_distinct_k', trim, (values) => orNull([...values].reverse()));
};
