/** Logical hashes: what a table says, whatever file or compression carries it. */
import { createHash } from 'node:crypto';
import { canonicalText, type Fingerprint, fingerprint } from '../base/fingerprint.js';
import { columnLength, columnValue } from '../engine/columns.js';
import type { Column } from '../engine/types.js';
import { printType, type Value } from '../schema/types.js';

const canonical = (value: Value): string =>
  canonicalText(value instanceof Map ? [...value].map(([key, item]) => [key, item]) : (value as never));

/** SHA-256 over name, type, length and every value in row order; equal content gives equal hashes. */
export function hashColumn(name: string, column: Column, rows?: Uint8Array): Fingerprint {
  const hash = createHash('sha256');
  hash.update(canonicalText([name, printType(column.type)]));
  const total = columnLength(column);
  if (column.kind === 'numbers') {
    const kept = new Float64Array(total);
    const valid = new Uint8Array(total);
    let n = 0;
    for (let i = 0; i < total; i++) {
      if (rows && rows[i] === 0) continue;
      const ok = column.valid === null || column.valid[i] !== 0;
      valid[n] = ok ? 1 : 0;
      kept[n++] = ok ? column.values[i]! + 0 : 0;
    }
    hash
      .update(`${n}:`)
      .update(new Uint8Array(kept.buffer, 0, n * 8))
      .update(valid.subarray(0, n));
  } else {
    for (let i = 0; i < total; i++) if (rows?.[i] !== 0) hash.update(canonical(columnValue(column, i)));
  }
  return hash.digest('hex');
}

export const hashTable = (columns: readonly Fingerprint[]): Fingerprint => fingerprint(columns);
