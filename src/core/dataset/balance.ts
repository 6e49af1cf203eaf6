/** What the labels of a part are, for its manifest and for people. */
import type { Value, ValueType } from '../schema/types.js';

/** Rows by value, in the order of the values; `mean` alone of a label that is a quantity. */
export type LabelBalance = Readonly<Record<string, number>>;

/** A whole number with more values than this is a quantity, not a class. */
const CLASSES = 50;

/** The labels of some rows, such that those of more rows can be added. JSON-safe. */
export interface LabelTally {
  readonly rows: number;
  /** Rows by value; null of a quantity. */
  readonly counts: Readonly<Record<string, number>> | null;
  /** Of numbers, as JavaScript prints it: every double comes back as it was. */
  readonly sum: string | null;
}

const isNumber = ({ kind }: ValueType): boolean => ['int64', 'float64', 'decimal'].includes(kind);
const mayBeClasses = ({ kind }: ValueType): boolean => kind !== 'float64' && kind !== 'decimal';

/** Whether values of that type, of which there are so many kinds, are quantities. */
const isQuantity = (type: ValueType, kinds: number): boolean =>
  !mayBeClasses(type) || (type.kind === 'int64' && kinds > CLASSES);

export interface LabelCounter {
  add(value: Value): void;
  tally(): LabelTally;
}

export function countLabels(type: ValueType): LabelCounter {
  const counts = new Map<string, number>();
  let rows = 0;
  let sum = 0;
  return {
    add: (value) => {
      rows++;
      if (isNumber(type)) sum += Number(value);
      if (isQuantity(type, counts.size)) return;
      const name = String(value);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    },
    tally: () => ({
      rows,
      counts: isQuantity(type, counts.size) ? null : Object.fromEntries(counts),
      sum: isNumber(type) ? String(sum) : null,
    }),
  };
}

/** In the order given: sums of doubles know it. */
export function addLabels(type: ValueType, tallies: readonly LabelTally[]): LabelTally {
  const counts = new Map<string, number>();
  let rows = 0;
  let sum = 0;
  let quantity = false;
  for (const tally of tallies) {
    rows += tally.rows;
    sum += Number(tally.sum ?? 0);
    quantity ||= tally.counts === null;
    for (const [name, count] of Object.entries(tally.counts ?? {}))
      counts.set(name, (counts.get(name) ?? 0) + count);
  }
  return {
    rows,
    counts: quantity || isQuantity(type, counts.size) ? null : Object.fromEntries(counts),
    sum: isNumber(type) ? String(sum) : null,
  };
}

/** One answer says how all parts are told. */
export function labelBalance(type: ValueType, parts: readonly LabelTally[]): readonly LabelBalance[] {
  if (addLabels(type, parts).counts === null) {
    const scale = type.kind === 'decimal' ? 10 ** type.scale : 1;
    return parts.map(({ rows, sum }) => ({ mean: rows === 0 ? 0 : Number(sum) / rows / scale }));
  }
  return parts.map(({ counts }) =>
    Object.fromEntries(Object.entries(counts!).sort(([a], [b]) => (a < b ? -1 : 1))),
  );
}

export const isMean = (balance: LabelBalance): boolean => Object.keys(balance).join() === 'mean';

/** The positive class of a binary label, of the names of its classes. */
export const positiveClass = (classes: readonly string[]): string | null => {
  const names = [...classes].sort().join();
  return names === 'false,true' ? 'true' : names === '0,1' ? '1' : null;
};

const NAMED = 6;

/** `false 908, true 516 (36.2%)`; the most frequent classes where there are many. */
export function balanceText(balance: LabelBalance): string {
  if (isMean(balance)) return `mean ${Number(balance['mean']!.toPrecision(6))}`;
  const all = Object.entries(balance);
  const rows = all.reduce((sum, [, n]) => sum + n, 0);
  const positive = positiveClass(all.map(([name]) => name));
  const shown = all.length <= NAMED ? all : [...all].sort(([, a], [, b]) => b - a).slice(0, NAMED);
  const text = shown.map(
    ([name, n]) => `${name} ${n}${name === positive ? ` (${((n / rows) * 100).toFixed(1)}%)` : ''}`,
  );
  return [...text, ...(shown.length < all.length ? [`${all.length - shown.length} more classes`] : [])].join(
    ', ',
  );
}
