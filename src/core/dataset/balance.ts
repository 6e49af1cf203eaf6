/** What the labels of a part are, for its manifest and for people. */
import { columnValue } from '../engine/columns.js';
import type { Column } from '../engine/types.js';
import type { Value } from '../schema/types.js';

/** Rows by value, in the order of the values; `mean` alone of a label that is a quantity. */
export type LabelBalance = Readonly<Record<string, number>>;

/** A whole number with more values than this is a quantity, not a class. */
const CLASSES = 50;

function isQuantity(column: Column, parts: readonly (readonly number[])[]): boolean {
  const { kind } = column.type;
  if (kind !== 'int64') return kind === 'float64' || kind === 'decimal';
  const seen = new Set<Value>();
  for (const rows of parts)
    for (const row of rows) if (seen.add(columnValue(column, row)).size > CLASSES) return true;
  return false;
}

/** `parts`: the rows of each. One answer says how all of them are told. */
export function labelBalance(column: Column, parts: readonly (readonly number[])[]): readonly LabelBalance[] {
  if (isQuantity(column, parts)) {
    const scale = column.type.kind === 'decimal' ? 10 ** column.type.scale : 1;
    return parts.map((rows) => {
      let sum = 0;
      for (const row of rows) sum += Number(columnValue(column, row));
      return { mean: rows.length === 0 ? 0 : sum / rows.length / scale };
    });
  }
  return parts.map((rows) => {
    const counts = new Map<string, number>();
    for (const row of rows) {
      const name = String(columnValue(column, row));
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  });
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
