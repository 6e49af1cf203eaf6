/** Logical hashes and statistics: what rows say, whatever file or compression carries them. */
import { createHash } from 'node:crypto';
import { canonicalText, type Fingerprint, fingerprint } from '../base/fingerprint.js';
import { sumOf } from '../base/summation.js';
import { ColumnBuilder, columnLength, columnValue } from '../engine/columns.js';
import type { Column } from '../engine/types.js';
import { printType, type Value } from '../schema/types.js';
import type { ColumnStatistics } from './manifest.js';

const canonical = (value: Value): string =>
  canonicalText(value instanceof Map ? [...value].map(([key, item]) => [key, item]) : (value as never));

/** Texts are hashed together in pieces of this many characters. */
const PIECE = 1 << 16;

/** SHA-256 over name, type, length and every value in row order; equal content gives equal hashes. */
export function hashColumn(name: string, column: Column): Fingerprint {
  const hash = createHash('sha256');
  hash.update(canonicalText([name, printType(column.type)]));
  const n = columnLength(column);
  if (column.kind === 'numbers') {
    const values = new Float64Array(n);
    const valid = new Uint8Array(n);
    for (let i = 0; i < n; i++) {
      valid[i] = column.valid === null || column.valid[i] !== 0 ? 1 : 0;
      values[i] = valid[i] ? column.values[i]! + 0 : 0;
    }
    hash.update(`${n}:`).update(new Uint8Array(values.buffer)).update(valid);
    return hash.digest('hex');
  }
  const texts = column.kind === 'codes' ? column.dictionary.map(canonical) : null;
  const none = canonical(null);
  let piece = '';
  for (let i = 0; i < n; i++) {
    if (texts === null) piece += canonical(columnValue(column, i));
    else {
      const code = (column as { readonly codes: Int32Array }).codes[i]!;
      piece += code < 0 ? none : texts[code]!;
    }
    if (piece.length > PIECE) {
      hash.update(piece);
      piece = '';
    }
  }
  return hash.update(piece).digest('hex');
}

export const hashTable = (columns: readonly Fingerprint[]): Fingerprint => fingerprint(columns);

/**
 * Some rows of a column, as they would be had the column never had others: whole numbers that all fit into doubles
 * are `numbers`, though one elsewhere did not.
 */
export function takeColumn(column: Column, rows: Uint32Array): Column {
  if (column.kind === 'numbers') {
    const values = new Float64Array(rows.length);
    let valid: Uint8Array | null = null;
    for (const [i, row] of rows.entries()) {
      values[i] = column.values[row]!;
      if (column.valid === null || column.valid[row] !== 0) continue;
      valid ??= new Uint8Array(rows.length).fill(1);
      valid[i] = 0;
      values[i] = 0;
    }
    return { type: column.type, kind: 'numbers', values, valid };
  }
  if (column.kind === 'codes') {
    const codes = Int32Array.from(rows, (row) => column.codes[row]!);
    return { type: column.type, kind: 'codes', codes, dictionary: column.dictionary };
  }
  const builder = new ColumnBuilder(column.type, rows.length);
  for (const [i, row] of rows.entries()) builder.set(i, column.values[row]!);
  return builder.finish();
}

export function columnStatistics(name: string, column: Column): ColumnStatistics {
  const n = columnLength(column);
  const values: number[] = [];
  let nulls = 0;
  const scale = column.type.kind === 'decimal' ? 10 ** column.type.scale : 1;
  for (let i = 0; i < n; i++) {
    if (column.kind === 'codes') {
      if (column.codes[i]! < 0) nulls++;
      continue;
    }
    const value = columnValue(column, i);
    if (value === null) nulls++;
    else if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
      values.push(Number(value) / scale);
  }
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  const none = values.length === 0;
  return {
    sha256: hashColumn(name, column),
    nulls,
    min: none ? null : min,
    max: none ? null : max,
    mean: none ? null : sumOf(values.length, (i) => values[i]) / values.length,
  };
}
