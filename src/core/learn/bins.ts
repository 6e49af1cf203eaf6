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

/** One column in bins. Numbers: bins 0 ... count-2, missing = count-1. Categories: the code is the bin. */
interface Binned {
  readonly bins: Uint8Array;
  readonly count: number;
  readonly categorical: boolean;
  readonly edges: Float64Array;
  /** Place of its first bin in a histogram. */
  readonly offset: number;
}

function binColumn(column: BoostingColumn, edges: Float64Array, offset: number): Binned {
  const { values, codes } = column;
  const bins = new Uint8Array(values.length);
  const missing = edges.length + 1;
  if (codes > 0) bins.set(values);
  else for (let r = 0; r < values.length; r++) bins[r] = values[r] !== values[r] ? missing : findBin(edges, values[r]!);
  return { bins, count: codes > 0 ? codes : missing + 1, categorical: codes > 0, edges, offset };
}
