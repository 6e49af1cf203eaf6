import { CompensatedSum, sumOf } from '../base/summation.js';
import type { ColumnSample } from './grouped.js';
import { NumberTable } from './number-table.js';
import { NumberTrie } from './number-trie.js';
import type { NumericSketch } from './sketch.js';

/** Values that are kept as they are; one more, and the column becomes a sketch. */
export const EXACT_VALUES = 262_144;
/** Values that are taken in together, so that what counts them stays in the cache. */
const BATCH = 16_384;
/** Values that a loop goes over: V8 takes a loop that runs long before its end was ever reached for one without an end. */
const STRIDE = 1_024;

type Distribution = Pick<
  NumericSketch,
  'low' | 'high' | 'counts' | 'rankError' | 'distinct' | 'distinctError'
>;

/** A cell for each of different values. */
function cellsOfValues(values: Float64Array, counts: Float64Array): Distribution {
  const order = Uint32Array.from(values.keys()).sort((a, b) => values[a]! - values[b]!);
  const sorted = Float64Array.from(order, (i) => values[i]!);
  return {
    low: sorted,
    high: sorted,
    counts: Float64Array.from(order, (i) => counts[i]!),
    rankError: 0,
    distinct: sorted.length,
    distinctError: 0,
  };
}

/** A column of numbers of which each different value was counted; none is NaN or infinite. */
export function countedNumbers(values: Float64Array, counts: Float64Array, nulls: number): NumericSketch {
  const cells = cellsOfValues(values, counts);
  const n = sumOf(values.length, (i) => counts[i]!);
  const mean = n === 0 ? null : sumOf(values.length, (i) => values[i]! * counts[i]!) / n;
  const squares = mean === null ? 0 : sumOf(values.length, (i) => (values[i]! - mean) ** 2 * counts[i]!);
  return {
    type: 'numeric_sketch',
    count: n,
    nulls,
    nans: 0,
    min: cells.low[0] ?? Number.POSITIVE_INFINITY,
    max: cells.low.at(-1) ?? Number.NEGATIVE_INFINITY,
    mean,
    std: n < 2 ? null : Math.sqrt(squares / (n - 1)),
    ...cells,
  };
}

/**
 * Takes in a column of numbers chunk by chunk, in any order. Up to `EXACT_VALUES` values it keeps them all; beyond, it
 * counts each different value while these are few, and then the values of each cell of a trie: never more than 10 MB.
 */
export class NumberState {
  #batch: Float64Array = new Float64Array(4_096);
  #waiting = 0;
  #table: NumberTable | null = null;
  #trie: NumberTrie | null = null;
  #length = 0;
  #nulls = 0;
  #nans = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;
  /** Sums are of distances from it, so that values far from zero keep their deviation. */
  #pivot = 0;
  /** Mean of the batch before. */
  #near = 0;
  readonly #sum = new CompensatedSum();
  /** Of the distances from the mean. */
  #squares = 0;

  addNulls(count: number): void {
    this.#nulls += count;
  }

  /** The first `length` numbers; they are copied. */
  add(data: Float64Array, length: number): void {
    let from = 0;
    while (from < length) {
      const kept = this.#table === null && this.#trie === null;
      const room = kept ? EXACT_VALUES : BATCH;
      const taken = Math.min(length - from, room - this.#waiting);
      const end = this.#waiting + taken;
      if (end > this.#batch.length) {
        const grown = new Float64Array(Math.min(room, Math.max(end, 2 * this.#batch.length)));
        grown.set(this.#batch.subarray(0, this.#waiting));
        this.#batch = grown;
      }
      this.#batch.set(data.subarray(from, from + taken), this.#waiting);
      this.#waiting = end;
      from += taken;
      if (this.#waiting === room && (!kept || from < length)) this.#take();
    }
  }

  /** What waits is measured and counted. */
  #take(): void {
    const all = this.#batch.subarray(0, this.#waiting);
    this.#waiting = 0;
    if (this.#table === null && this.#trie === null) {
      this.#table = new NumberTable();
      this.#batch = new Float64Array(BATCH);
    }
    for (let from = 0; from < all.length; from += STRIDE) {
      const batch = all.subarray(from, from + STRIDE);
      this.#count(batch, this.#measure(batch));
    }
  }

  #count(batch: Float64Array, length: number): void {
    const counted = this.#table?.add(batch, length) ?? 0;
    if (counted === length) return;
    if (this.#table) {
      const { values, counts } = this.#table.list();
      this.#trie = new NumberTrie(values, counts);
      this.#table = null;
    }
    this.#trie!.add(batch.subarray(counted), length - counted);
  }

  /**
   * Everything but the distribution; what is not NaN moves to the front, −0 as 0. Sums are of distances from the mean of
   * the batch before; batches join by the formula of Chan, Golub and LeVeque (1979).
   */
  #measure(data: Float64Array): number {
    let n = 0;
    let min = this.#min;
    let max = this.#max;
    if (this.#length === 0) this.#pivot = this.#near = firstMean(data);
    const near = this.#near;
    let apart = 0;
    let squares = 0;
    for (let i = 0; i < data.length; i++) {
      const value = data[i]! + 0;
      if (Number.isNaN(value)) continue;
      data[n++] = value;
      if (value < min) min = value;
      if (value > max) max = value;
      const distance = value - near;
      apart += distance;
      squares += distance * distance;
    }
    this.#nans += data.length - n;
    if (n === 0) return 0;
    const before = this.#length;
    const off = near - this.#pivot;
    const shift = before === 0 ? 0 : off + apart / n - this.#sum.value / before;
    this.#squares += squares - (apart * apart) / n + shift * shift * ((before * n) / (before + n));
    this.#sum.add(off * n);
    this.#sum.add(apart);
    const mean = near + apart / n;
    if (Number.isFinite(mean)) this.#near = mean;
    this.#length = before + n;
    this.#min = min;
    this.#max = max;
    return n;
  }

  finish(): Extract<ColumnSample, { type: 'numeric' }> | NumericSketch {
    if (this.#table === null && this.#trie === null)
      return { type: 'numeric', values: this.#batch.slice(0, this.#waiting), nulls: this.#nulls };
    this.#take();
    const average = this.#pivot + this.#sum.value / this.#length;
    const mean = Number.isFinite(average) ? average : null;
    const std = Math.sqrt(this.#squares / (this.#length - 1));
    return {
      type: 'numeric_sketch',
      count: this.#length,
      nulls: this.#nulls,
      nans: this.#nans,
      min: this.#min,
      max: this.#max,
      mean,
      std: mean !== null && Number.isFinite(std) ? std : null,
      ...this.#distribution(),
    };
  }

  #distribution(): Distribution {
    if (this.#table) {
      const { values, counts } = this.#table.list();
      return cellsOfValues(values, counts);
    }
    const { low, high, counts, unplaced } = this.#trie!.list(this.#min, this.#max);
    const distinct =
      unplaced === 0
        ? { distinct: counts.length, distinctError: 0 }
        : this.#trie!.distinct.count(this.#length);
    return { low, high, counts, rankError: unplaced / this.#length, ...distinct };
  }
}

/** Mean of what is not NaN; 0 where it is not finite. */
function firstMean(data: Float64Array): number {
  let sum = 0;
  let n = 0;
  for (const value of data) {
    if (Number.isNaN(value)) continue;
    sum += value;
    n++;
  }
  const mean = sum / n;
  return Number.isFinite(mean) ? mean : 0;
}
