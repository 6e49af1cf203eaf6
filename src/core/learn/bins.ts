/** Encoded columns; `codes` is the number of codes of a category column (0 for numbers). */
export interface BoostingColumn {
  readonly values: Float64Array;
  readonly codes: number;
}

/** Rows looked at to place the bin edges. */
const BIN_SAMPLE = 200_000;

/**
 * Upper bounds of bins (all but the last bin): midpoints between neighbouring distinct values, or cuts of about equal
 * row counts when there are more distinct values than bins. A value x is in the first bin whose bound is ≥ x.
 */
export function binEdges(values: Float64Array, maxBins: number): Float64Array {
  const stride = Math.max(1, Math.ceil(values.length / BIN_SAMPLE));
  const sample = new Float64Array(Math.ceil(values.length / stride));
  let known = 0;
  for (let r = 0; r < values.length; r += stride) {
    const x = values[r]!;
    if (Number.isFinite(x)) sample[known++] = x;
  }
  const sorted = sample.subarray(0, known).sort();
  const distinct: number[] = [];
  const counts: number[] = [];
  for (let i = 0; i < known; i++) {
    const x = sorted[i]!;
    if (i > 0 && x === sorted[i - 1]) counts[counts.length - 1]!++;
    else {
      distinct.push(x + 0);
      counts.push(1);
    }
  }
  const edges: number[] = [];
  const cut = (i: number): void => {
    const low = distinct[i]!;
    const high = distinct[i + 1]!;
    const middle = low / 2 + high / 2;
    edges.push(middle >= low && middle < high ? middle : low);
  };
  if (distinct.length <= maxBins) {
    for (let i = 0; i + 1 < distinct.length; i++) cut(i);
    return Float64Array.from(edges);
  }
  let remaining = known;
  let inBin = 0;
  for (let i = 0; i + 1 < distinct.length && edges.length < maxBins - 1; i++) {
    inBin += counts[i]!;
    const goal = (remaining / (maxBins - edges.length)) | 0;
    if (inBin >= goal || inBin + counts[i + 1]! / 2 > goal) {
      cut(i);
      remaining -= inBin;
      inBin = 0;
    }
  }
  return Float64Array.from(edges);
}

function findBin(edges: Float64Array, x: number): number {
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (x <= edges[middle]!) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Numbers: bins 0 ... count-2, missing = count-1. Categories: the code is the bin. */
export interface BinnedColumn {
  readonly count: number;
  readonly categorical: boolean;
  readonly edges: Float64Array;
}

/** Four columns share a word: the bin of column j in row r is byte j % 4 of `words[j >> 2][r]`. */
export interface BinnedTable {
  readonly rows: number;
  readonly columns: readonly BinnedColumn[];
  readonly words: readonly Int32Array[];
}

export const binOf = (table: BinnedTable, column: number, row: number): number =>
  (table.words[column >> 2]![row]! >>> ((column & 3) << 3)) & 255;

/** Bins a table by its own edges, or by those of the table that trees are grown on. */
export function binTable(
  rows: number,
  columns: Iterable<BoostingColumn>,
  by: number | BinnedTable,
): BinnedTable {
  const binned: BinnedColumn[] = [];
  const words: Int32Array[] = [];
  for (const { values, codes } of columns) {
    const j = binned.length;
    const categorical = codes > 0;
    const edges =
      typeof by !== 'number'
        ? by.columns[j]!.edges
        : categorical
          ? new Float64Array(0)
          : binEdges(values, by);
    const missing = edges.length + 1;
    if ((j & 3) === 0) words.push(new Int32Array(rows));
    const word = words[j >> 2]!;
    const shift = (j & 3) << 3;
    for (let r = 0; r < rows; r++) {
      const x = values[r]!;
      const bin = categorical ? x : Number.isNaN(x) ? missing : findBin(edges, x);
      word[r]! |= bin << shift;
    }
    binned.push({ count: categorical ? codes : missing + 1, categorical, edges });
  }
  return { rows, columns: binned, words };
}
