/** The directory row of a segment: what a read needs of it without its events. */

import { addSquares } from '../../algebra/quick-spread.js';
import { type Block, CORE, EVENT, FROM, keyAt, UNTIL } from './block.js';
import { atomWords, COLUMN, DIRECTORY_BASE, ROW } from './lanes.js';
import { directoryStride, type OnlineGroup } from './plan.js';

/** An exact running sum: high + low, as long as no low part was rounded; then low is NaN. */
export interface Pair {
  high: number;
  low: number;
}

/** Adds x: an error-free transformation of both additions (Knuth's two-sum), or NaN when the second rounds. */
function addPair(pair: Pair, x: number): void {
  const { high } = pair;
  const sum = high + x;
  const part = sum - high;
  const error = high - (sum - part) + (x - part);
  pair.high = sum;
  if (error !== 0) {
    const { low } = pair;
    const total = low + error;
    const second = total - low;
    pair.low = low - (total - second) + (error - second) === 0 ? total : Number.NaN;
  }
}

/** The directory row of a sealed block, stored in so many bytes: bounds, then the group's summaries. */
export function summarise(group: OnlineGroup, block: Block, bytes: number): Float64Array {
  const row = new Float64Array(directoryStride(group));
  const { n, columns, masks } = block;
  row[ROW.bytes] = bytes;
  row[ROW.events] = n;
  row.set(keyAt(block, 0), ROW.key);
  row[ROW.maxEvent] = columns[EVENT]![n - 1]!;
  let minFrom = Infinity;
  let maxFrom = -Infinity;
  let minUntil = Infinity;
  for (let i = 0; i < n; i++) {
    minFrom = Math.min(minFrom, columns[FROM]![i]!);
    maxFrom = Math.max(maxFrom, columns[FROM]![i]!);
    minUntil = Math.min(minUntil, columns[UNTIL]![i]!);
  }
  row[ROW.minFrom] = minFrom;
  row[ROW.maxFrom] = maxFrom;
  row[ROW.minUntil] = minUntil;
  group.rowAtoms.forEach(({ mask, also }, index) => {
    let rows = 0;
    for (let i = 0; i < n; i++) {
      if ((mask < 0 || masks[mask]![i] === 1) && (also < 0 || masks[also]![i] === 1)) rows++;
    }
    row[DIRECTORY_BASE + index] = rows;
  });
  let at = DIRECTORY_BASE + group.rowAtoms.length;
  for (const atom of group.fieldAtoms) {
    const { field, mask, squares } = atom;
    const column = columns[CORE + field]!;
    const pair: Pair = { high: 0, low: 0 };
    let values = 0;
    let least = Infinity;
    let greatest = -Infinity;
    const indexed = block.dictionaries[field] !== null;
    for (let i = 0; i < n; i++) {
      if (mask >= 0 && masks[mask]![i] !== 1) continue;
      const x = column[i]!;
      if (Number.isNaN(x)) continue;
      values++;
      if (indexed) continue;
      addPair(pair, x);
      if (squares) addSquares(row, at + COLUMN.squares, column, i, i + 1);
      if (x < least) least = x;
      if (x > greatest) greatest = x;
    }
    row[at + COLUMN.values] = values;
    const known = values === 0 || !indexed;
    row[at + COLUMN.high] = known ? pair.high : Number.NaN;
    row[at + COLUMN.low] = known ? pair.low : Number.NaN;
    row[at + COLUMN.least] = known ? least : Number.NaN;
    row[at + COLUMN.greatest] = known ? greatest : Number.NaN;
    if (squares) {
      if (!known || !Number.isFinite(row[at + COLUMN.squares]))
        row.fill(Number.NaN, at + COLUMN.squares, at + COLUMN.squares + 2);
    }
    at += atomWords(atom);
  }
  return row;
}
