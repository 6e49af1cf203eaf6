/** Two tables row by row: where they first differ, and what was added, removed and changed by key. */
import { canonicalText } from '../base/fingerprint.js';
import { columnLength, columnValue } from '../engine/columns.js';
import type { Column } from '../engine/types.js';
import { printType, type Value } from '../schema/types.js';

/** A value of its type as text that is equal for equal values only. */
const exact = (value: Value): string =>
  canonicalText(value instanceof Map ? [...value].map(([key, item]) => [key, item]) : (value as never));

export function sameValue(a: Value, b: Value): boolean {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  return exact(a) === exact(b);
}

/** The first row in which two columns differ, -1 when there is none. Another length or type differs too. */
export function firstDifferentRow(a: Column, b: Column): number {
  if (printType(a.type) !== printType(b.type)) return 0;
  const [rowsA, rowsB] = [columnLength(a), columnLength(b)];
  const rows = Math.min(rowsA, rowsB);
  for (let row = 0; row < rows; row++) if (!sameValue(columnValue(a, row), columnValue(b, row))) return row;
  return rowsA === rowsB ? -1 : rows;
}

/**
 * The key of each row as text. Rows that share their values are told apart by how many of the kind came before, so
 * that a key names one row.
 */
export function rowKeys(columns: readonly Column[]): readonly string[] {
  const rows = columns.length === 0 ? 0 : columnLength(columns[0]!);
  const seen = new Map<string, number>();
  const keys = new Array<string>(rows);
  for (let row = 0; row < rows; row++) {
    const text = canonicalText(columns.map((column) => exact(columnValue(column, row))));
    const before = seen.get(text) ?? 0;
    seen.set(text, before + 1);
    keys[row] = before === 0 ? text : `${text}#${before}`;
  }
  return keys;
}

export interface MatchedRows {
  /** Rows of `b` without a partner in `a`, in order. */
  readonly added: readonly number[];
  /** Rows of `a` without a partner in `b`. */
  readonly removed: readonly number[];
  /** Pairs with the same key: `a[i]` is the partner of `b[i]`. */
  readonly a: Int32Array;
  readonly b: Int32Array;
}

export function matchRows(a: readonly string[], b: readonly string[]): MatchedRows {
  const rowOf = new Map(b.map((key, row) => [key, row]));
  const removed: number[] = [];
  const pairs: number[] = [];
  const partners: number[] = [];
  const taken = new Uint8Array(b.length);
  for (const [row, key] of a.entries()) {
    const partner = rowOf.get(key);
    if (partner === undefined) removed.push(row);
    else {
      pairs.push(row);
      partners.push(partner);
      taken[partner] = 1;
    }
  }
  const added: number[] = [];
  for (let row = 0; row < b.length; row++) if (!taken[row]) added.push(row);
  return { added, removed, a: Int32Array.from(pairs), b: Int32Array.from(partners) };
}

/** Indexes of the pairs whose values differ. */
export function changedPairs(matched: MatchedRows, a: Column, b: Column): readonly number[] {
  const changed: number[] = [];
  for (let i = 0; i < matched.a.length; i++)
    if (!sameValue(columnValue(a, matched.a[i]!), columnValue(b, matched.b[i]!))) changed.push(i);
  return changed;
}
