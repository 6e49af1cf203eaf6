/** Folds over exact counts by value: how often each non-null value occurs. */
import type { FunctionName } from '../../define/types.js';
import { FLOAT64, type Integer, type Value, type ValueType } from '../../schema/types.js';
import { categoryText, compareValues, decodeValue, encodeValue, keyOf } from '../compare.js';
import { addExact, exactSum, roundExact } from '../exact.js';
import type { Fold, FoldContext } from '../fold.js';

interface Entry {
  readonly value: Value;
  n: number;
}
export type Frequencies = Map<unknown, Entry>;

function change(state: Frequencies, value: Value, by: number): void {
  const key = keyOf(value);
  const entry = state.get(key);
  if (entry === undefined) {
    if (by !== 0) state.set(key, { value, n: by });
  } else {
    entry.n += by;
    if (entry.n === 0) state.delete(key);
  }
}

const byValue = (state: Frequencies): Entry[] =>
  [...state.values()].sort((a, b) => compareValues(a.value, b.value));

/** Most frequent first; of equally frequent values the smaller first. */
const byFrequency = (state: Frequencies): Entry[] =>
  [...state.values()].sort((a, b) => b.n - a.n || compareValues(a.value, b.value));

/** The folds whose state is counts by value. */
export const FREQUENCY_NAMES: ReadonlySet<FunctionName> = new Set([
  'count_distinct',
  'mode',
  'top_k',
  'histogram',
  'entropy',
  'median',
  'quantile',
]);

const frequencyFold = (name: FunctionName, finish: (state: Frequencies) => Value): Fold<Frequencies> => ({
  function: name,
  commutative: true,
  init: () => new Map(),
  add: (state, { value }) => {
    if (value !== null) change(state, value, 1);
  },
  remove: (state, { value }) => {
    if (value !== null) change(state, value, -1);
  },
  merge: (into, from) => {
    for (const { value, n } of from.values()) change(into, value, n);
  },
  finish: (state) => (state.size === 0 && name !== 'count_distinct' ? null : finish(state)),
  encode: (state) => byValue(state).map(({ value, n }) => [encodeValue(value), n]),
  decode: (encoded) => {
    const state: Frequencies = new Map();
    for (const [value, n] of encoded as [unknown, number][]) change(state, decodeValue(value), n);
    return state;
  },
});

export const countDistinct = (): Fold<Frequencies> => frequencyFold('count_distinct', (state) => state.size);

export const mode = (): Fold<Frequencies> =>
  frequencyFold('mode', (state) => {
    let best: Entry | undefined;
    for (const entry of state.values()) {
      if (!best || entry.n > best.n || (entry.n === best.n && compareValues(entry.value, best.value) < 0))
        best = entry;
    }
    return best!.value;
  });

/** The k most frequent values, most frequent first. */
export const topK = (context: FoldContext): Fold<Frequencies> =>
  frequencyFold('top_k', (state) =>
    byFrequency(state)
      .slice(0, context.arguments.k ?? 1)
      .map(({ value }) => value),
  );

/** A number, or a decimal's unscaled integer, as a double. */
export function toDouble(type: ValueType, value: Value): number {
  if (type.kind !== 'decimal') return Number(value as Integer);
  return typeof value === 'bigint' ? Number(`${value}e-${type.scale}`) : (value as number) / 10 ** type.scale;
}

/** The name of the bucket that holds x: `(-inf,e0)`, `[e0,e1)`, ..., `[en,+inf)`. */
const bucketNames = (edges: readonly number[]): readonly string[] => [
  `(-inf,${edges[0]})`,
  ...edges.map((edge, i) => `[${edge},${i + 1 < edges.length ? edges[i + 1] : '+inf'})`),
];

/** Counts by value in value order; with edges, counts of all buckets, empty ones too. */
export const histogram = (context: FoldContext): Fold<Frequencies> => {
  const type = context.inputType ?? FLOAT64;
  const { edges } = context.arguments;
  if (edges === undefined)
    return frequencyFold(
      'histogram',
      (state) => new Map(byValue(state).map(({ value, n }) => [categoryText(type, value), n])),
    );
  const names = bucketNames(edges);
  return frequencyFold('histogram', (state) => {
    const counts = new Array<number>(names.length).fill(0);
    for (const { value, n } of state.values()) {
      const x = toDouble(type, value);
      let bucket = 0;
      while (bucket < edges.length && x >= edges[bucket]!) bucket++;
      counts[bucket] = counts[bucket]! + n;
    }
    return new Map(names.map((name, i) => [name, counts[i]!]));
  });
};

/** Shannon entropy of the value frequencies in bits: -Σ p log2 p, terms by ascending count, added exactly. */
export const entropy = (): Fold<Frequencies> => frequencyFold('entropy', entropyOf);

function entropyOf(state: Frequencies): number {
  const counts = [...state.values()].map(({ n }) => n).sort((a, b) => a - b);
  const total = counts.reduce((sum, n) => sum + n, 0);
  const sum = exactSum();
  for (const n of counts) if (n !== total) addExact(sum, (-n / total) * Math.log2(n / total));
  return roundExact(sum) ?? 0;
}

/**
 * Type 7 (NumPy's linear, SQL's quantile_cont): at position h = (n - 1) q of the ascending values,
 * lo * (1 - f) + hi * f in doubles, where f is the fraction of h.
 */
function quantileOf(type: ValueType, state: Frequencies, q: number): number {
  const entries = byValue(state);
  const n = entries.reduce((sum, entry) => sum + entry.n, 0);
  const position = (n - 1) * q;
  const below = Math.floor(position);
  const fraction = position - below;
  let seen = 0;
  let index = 0;
  while (seen + entries[index]!.n <= below) seen += entries[index++]!.n;
  const low = toDouble(type, entries[index]!.value);
  if (fraction === 0) return low;
  const high = seen + entries[index]!.n > below + 1 ? low : toDouble(type, entries[index + 1]!.value);
  return low === high ? low : low * (1 - fraction) + high * fraction + 0;
}

export const quantile = ({ inputType, arguments: { q } }: FoldContext): Fold<Frequencies> =>
  frequencyFold('quantile', (state) => quantileOf(inputType ?? FLOAT64, state, q ?? 0.5));

export const median = ({ inputType }: FoldContext): Fold<Frequencies> =>
  frequencyFold('median', (state) => quantileOf(inputType ?? FLOAT64, state, 0.5));
