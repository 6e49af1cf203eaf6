import { CompensatedSum } from '../base/summation.js';
import type { ColumnSample, Grouped } from './grouped.js';
import { type DistinctCounter, distinctCounter } from './hyperloglog.js';

/**
 * What a pass over a column of numbers leaves behind when there are too many to keep. The distribution is a list of
 * cells in ascending order: `counts[i]` values lie in [`low[i]`, `high[i]`], and a cell of one value has low = high.
 */
export interface NumericSketch {
  readonly type: 'numeric_sketch';
  /** Values that are neither null nor NaN. */
  readonly count: number;
  readonly nulls: number;
  readonly nans: number;
  readonly distinct: number;
  /** Standard error of `distinct`, relative; 0 where it is exact. */
  readonly distinctError: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number | null;
  /** Sample standard deviation (n − 1). */
  readonly std: number | null;
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly counts: Float64Array;
  /** No rank read from the cells is off by more than this share of `count`; measured, not estimated. */
  readonly rankError: number;
}

/** Values that are kept as they are; one more, and the column becomes a sketch. */
export const EXACT_VALUES = 262_144;
/** A cell of several values is divided when it holds more than this share of all. */
const CELL_SHARE = 1 / 8_192;
const CELL_LEAST = 32;
const BATCH = 32_768;
const ROOT_CELLS = 65_536;
const FAN = 16;
const MOST_CELLS = ROOT_CELLS + 32_768 * FAN;

/** Finite or not, in [−∞, ∞]: the double of an ordered 64-bit key. */
const KEY = new Float64Array(1);
const KEY_WORDS = new Int32Array(KEY.buffer);
function fromKey(high: number, low: number): number {
  if (high < 0) {
    KEY_WORDS[1] = high ^ 0x80000000;
    KEY_WORDS[0] = low;
  } else {
    KEY_WORDS[1] = ~high;
    KEY_WORDS[0] = ~low;
  }
  return KEY[0]!;
}

/** What the word of a cell says: several values (or none) and how many; one value, by its place; or where its children are. */
const SEVERAL = 0;
const ONE = 1 << 30;
const INNER = 2 ** 31;
const REST = ONE - 1;

/**
 * A trie over the bits of doubles in ascending order (sign, exponent, mantissa), after the q-digest of N. Shrivastava,
 * C. Buragohain, D. Agrawal and S. Suri (2004). A cell of several values that grows heavy is divided by the next four
 * bits; what it had counted until then stays with it and is the error of the ranks inside. A cell of one value never
 * needs dividing.
 */
class NumberTrie {
  /** A word a cell: first the root's, then sixteen for each cell that was divided. */
  #cells = new Uint32Array(ROOT_CELLS + 1_024 * FAN);
  #used = ROOT_CELLS;
  /** What a divided cell keeps, by the place of its children. */
  #held = new Uint32Array(1_024);
  /** Value and count of each cell of one value. */
  #ones = new Float64Array(2_048);
  #onesUsed = 0;
  readonly distinct: DistinctCounter = distinctCounter();

  /** Forgets the values and keeps the cells. */
  reset(): void {
    for (let cell = 0; cell < this.#used; cell++) if (this.#cells[cell]! < INNER) this.#cells[cell] = SEVERAL;
    this.#held.fill(0);
    this.#onesUsed = 0;
  }

  /** Place of sixteen new cells, or 0 when there is no more room. */
  #divide(cell: number, held: number): number {
    if (this.#used + FAN > MOST_CELLS) return 0;
    const children = this.#used;
    this.#used += FAN;
    if (this.#used > this.#cells.length) {
      const grown = new Uint32Array(2 * this.#cells.length);
      grown.set(this.#cells);
      this.#cells = grown;
    }
    const place = (children - ROOT_CELLS) / FAN;
    if (place >= this.#held.length) {
      const grown = new Uint32Array(2 * this.#held.length);
      grown.set(this.#held);
      this.#held = grown;
    }
    this.#held[place] = held;
    this.#cells[cell] = INNER + children;
    return children;
  }

  #putOne(cell: number, value: number, count: number): void {
    const at = this.#onesUsed++;
    if (2 * at === this.#ones.length) {
      const grown = new Float64Array(2 * this.#ones.length);
      grown.set(this.#ones);
      this.#ones = grown;
    }
    this.#ones[2 * at] = value;
    this.#ones[2 * at + 1] = count;
    this.#cells[cell] = ONE + at;
  }

  /** Counts the first `length` values, none of them NaN; `limit`: what a cell of several values may hold. */
  add(data: Float64Array, length: number, limit: number): void {
    const bits = new Int32Array(data.buffer, data.byteOffset, 2 * length);
    const { distinct } = this;
    let cells = this.#cells;
    let ones = this.#ones;
    for (let i = 0; i < length; i++) {
      const value = data[i]!;
      let low = bits[2 * i]!;
      let high = bits[2 * i + 1]!;
      if (value === 0) {
        high = 0x80000000 | 0;
        low = 0;
      } else if (high < 0) {
        high = ~high;
        low = ~low;
      } else high ^= 0x80000000;
      let cell = high >>> 16;
      let word = cells[cell]!;
      let shift = 12;
      while (word >= INNER && shift >= 0) {
        cell = word - INNER + ((high >>> shift) & 15);
        word = cells[cell]!;
        shift -= 4;
      }
      // The upper word is used up: a shift below zero goes on in the lower one.
      while (word >= INNER) {
        cell = word - INNER + ((low >>> (shift + 32)) & 15);
        word = cells[cell]!;
        shift -= 4;
      }
      if (word >= ONE) {
        const at = 2 * (word & REST);
        if (ones[at] === value) {
          ones[at + 1]!++;
          continue;
        }
        distinct.add(value, high, low);
        this.#part(cell, at, value, high, low, shift, limit);
        cells = this.#cells;
        ones = this.#ones;
        continue;
      }
      distinct.add(value, high, low);
      if (word === 0) {
        this.#putOne(cell, value, 1);
        ones = this.#ones;
      } else if (word < limit) cells[cell] = word + 1;
      else if (this.#divide(cell, word + 1) === 0) cells[cell] = Math.min(word + 1, REST);
      else cells = this.#cells;
    }
  }

  /** Another value comes to a cell of one. Many copies of that one move down until the two part. */
  #part(
    from: number,
    at: number,
    value: number,
    high: number,
    low: number,
    next: number,
    limit: number,
  ): void {
    const only = this.#ones[at]!;
    const count = this.#ones[at + 1]!;
    const [onlyHigh, onlyLow] = keyOf(only);
    const digit = (h: number, l: number, shift: number): number =>
      (shift >= 0 ? h >>> shift : l >>> (shift + 32)) & 15;
    let cell = from;
    for (let shift = next; count >= limit; shift -= 4) {
      const children = this.#divide(cell, 0);
      if (children === 0) break;
      const mine = children + digit(high, low, shift);
      const other = children + digit(onlyHigh, onlyLow, shift);
      if (mine !== other) {
        this.#cells[other] = ONE + at / 2;
        this.#putOne(mine, value, 1);
        return;
      }
      cell = mine;
    }
    this.#cells[cell] = Math.min(count + 1, REST);
  }

  /** The cells in ascending order, and the largest count whose place inside of its cell is unknown. */
  list(
    min: number,
    max: number,
  ): {
    readonly low: Float64Array;
    readonly high: Float64Array;
    readonly counts: Float64Array;
    readonly unplaced: number;
  } {
    const low: number[] = [];
    const high: number[] = [];
    const counts: number[] = [];
    let unplaced = 0;
    const heldBy = (children: number): number => this.#held[(children - ROOT_CELLS) / FAN]!;
    const below = (children: number): number => {
      let sum = 0;
      for (let cell = children; cell < children + FAN; cell++) {
        const word = this.#cells[cell]!;
        if (word >= INNER) sum += heldBy(word - INNER) + below(word - INNER);
        else sum += word >= ONE ? this.#ones[2 * (word & REST) + 1]! : word;
      }
      return sum;
    };
    const several = (keyHigh: number, keyLow: number, shift: number, count: number): void => {
      const free = shift + 4 + 32;
      const lastHigh = free >= 32 ? keyHigh | (2 ** (free - 32) - 1) : keyHigh;
      const lastLow = free >= 32 ? -1 : keyLow | (2 ** free - 1);
      low.push(Math.max(fromKey(keyHigh, keyLow), min));
      high.push(Math.min(fromKey(lastHigh, lastLow), max));
      counts.push(count);
    };
    /** `weight`: what a count stands for with its share of what the cells above keep; `held`: how much these keep. */
    const visit = (
      word: number,
      keyHigh: number,
      keyLow: number,
      shift: number,
      weight: number,
      held: number,
    ): void => {
      if (word >= INNER) {
        const children = word - INNER;
        const kept = heldBy(children);
        const inside = below(children);
        if (inside === 0) {
          if (kept === 0) return;
          unplaced = Math.max(unplaced, held + kept);
          several(keyHigh, keyLow, shift, kept * weight);
          return;
        }
        for (let i = 0; i < FAN; i++)
          visit(
            this.#cells[children + i]!,
            shift >= 0 ? keyHigh | (i << shift) : keyHigh,
            shift >= 0 ? keyLow : keyLow | (i << (shift + 32)),
            shift - 4,
            weight * (1 + kept / inside),
            held + kept,
          );
      } else if (word >= ONE) {
        unplaced = Math.max(unplaced, held);
        const at = 2 * (word & REST);
        low.push(this.#ones[at]!);
        high.push(this.#ones[at]!);
        counts.push(this.#ones[at + 1]! * weight);
      } else if (word > 0) {
        unplaced = Math.max(unplaced, held + word);
        several(keyHigh, keyLow, shift, word * weight);
      }
    };
    for (let cell = 0; cell < ROOT_CELLS; cell++)
      if (this.#cells[cell] !== 0) visit(this.#cells[cell]!, cell << 16, 0, 12, 1, 0);
    return {
      low: Float64Array.from(low),
      high: Float64Array.from(high),
      counts: Float64Array.from(counts),
      unplaced,
    };
  }
}

/** The ordered key of a double that is not NaN. */
function keyOf(value: number): readonly [high: number, low: number] {
  if (value === 0) return [0x80000000 | 0, 0];
  KEY[0] = value;
  const [low, high] = [KEY_WORDS[0]!, KEY_WORDS[1]!];
  return high < 0 ? [~high, ~low] : [high ^ 0x80000000, low];
}

/** Moves what is not NaN to the front and says how many these are. */
function withoutNaN(data: Float64Array, length: number): number {
  let n = 0;
  while (n < length && !Number.isNaN(data[n]!)) n++;
  for (let i = n + 1; i < length; i++) if (!Number.isNaN(data[i]!)) data[n++] = data[i]!;
  return n;
}

/**
 * Takes in a column of numbers chunk by chunk, in any order. Up to `EXACT_VALUES` values it keeps them all; beyond, it
 * holds at most 10 MB whatever the column holds.
 */
export class NumberState {
  /** Values that wait for the trie: all of them while they are few, then as many as make its cells stay in the cache. */
  #batch: Float64Array = new Float64Array(4_096);
  #waiting = 0;
  #trie: NumberTrie | null = null;
  #length = 0;
  #nulls = 0;
  #nans = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;
  /** Sums are of distances from it, so that values far from zero keep their deviation. */
  #pivot = 0;
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
      const room = this.#trie ? BATCH : EXACT_VALUES;
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
      if (this.#waiting === room && (this.#trie || from < length)) this.#take();
    }
  }

  /** The waiting values go into the trie. */
  #take(): void {
    const n = this.#measure(this.#batch, this.#waiting);
    this.#waiting = 0;
    const limit = Math.max(CELL_LEAST, Math.floor(this.#length * CELL_SHARE));
    if (this.#trie) {
      this.#trie.add(this.#batch, n, limit);
      return;
    }
    // Cells are laid out by the first values, so that none of these stays with a cell that is divided.
    this.#trie = new NumberTrie();
    this.#trie.add(this.#batch, n, limit);
    this.#trie.reset();
    this.#trie.add(this.#batch, n, limit);
    this.#batch = new Float64Array(BATCH);
  }

  /**
   * Everything but the distribution; what is not NaN moves to the front. The mean of a batch is corrected by the mean
   * of the distances from it, and batches join by the formula of Chan, Golub and LeVeque (1979).
   */
  #measure(data: Float64Array, length: number): number {
    const n = withoutNaN(data, length);
    this.#nans += length - n;
    if (n === 0) return 0;
    let sum = 0;
    let min = this.#min;
    let max = this.#max;
    for (let i = 0; i < n; i++) {
      const value = data[i]!;
      sum += value;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    const mean = sum / n;
    let apart = 0;
    let squares = 0;
    for (let i = 0; i < n; i++) {
      const distance = data[i]! - mean;
      apart += distance;
      squares += distance * distance;
    }
    const before = this.#length;
    if (before === 0) this.#pivot = Number.isFinite(mean) ? mean : 0;
    const off = mean - this.#pivot;
    const shift = before === 0 ? 0 : off + apart / n - this.#sum.value / before;
    this.#squares += squares - (apart * apart) / n + shift * shift * ((before * n) / (before + n));
    this.#sum.add(off * n);
    this.#sum.add(apart);
    this.#length = before + n;
    this.#min = min;
    this.#max = max;
    return n;
  }

  finish(): Extract<ColumnSample, { type: 'numeric' }> | NumericSketch {
    if (!this.#trie)
      return { type: 'numeric', values: this.#batch.slice(0, this.#waiting), nulls: this.#nulls };
    this.#take();
    const trie = this.#trie;
    const { low, high, counts, unplaced } = trie.list(this.#min, this.#max);
    const average = this.#pivot + this.#sum.value / this.#length;
    const mean = Number.isFinite(average) ? average : null;
    const std = Math.sqrt(this.#squares / (this.#length - 1));
    return {
      type: 'numeric_sketch',
      count: this.#length,
      nulls: this.#nulls,
      nans: this.#nans,
      ...(unplaced === 0 ? { distinct: counts.length, distinctError: 0 } : trie.distinct.count(this.#length)),
      min: this.#min,
      max: this.#max,
      mean,
      std: mean !== null && Number.isFinite(std) ? std : null,
      low,
      high,
      counts,
      rankError: unplaced / this.#length,
    };
  }
}

/** Every cell as one value: its only one, or the middle. */
export function sketchGrouped({ low, high, counts, count }: NumericSketch): Grouped {
  const values = low.map((from, i) => {
    const to = high[i]!;
    return from === to ? from : from + (to - from) / 2;
  });
  return { values, counts, total: count };
}

/**
 * Quantiles of type 7 at ascending probabilities, as if the values of a cell lay evenly in it: a value whose rank is
 * off by at most `rankError`.
 */
export function sketchQuantiles(sketch: NumericSketch, probabilities: readonly number[]): number[] {
  const { low, high, counts, count } = sketch;
  let cell = 0;
  let before = 0;
  const at = (rank: number): number => {
    while (cell > 0 && rank < before) before -= counts[--cell]!;
    while (cell < counts.length - 1 && rank >= before + counts[cell]!) before += counts[cell++]!;
    const [from, to] = [low[cell]!, high[cell]!];
    if (from === to) return from;
    const value = from + (to - from) * Math.min(1, Math.max(0, (rank + 0.5 - before) / counts[cell]!));
    return Number.isNaN(value) ? from : value;
  };
  return probabilities.map((q) => {
    const position = (count - 1) * q;
    const rank = Math.floor(position);
    const share = position - rank;
    const value = at(rank);
    if (share === 0) return value;
    const next = at(Math.min(rank + 1, count - 1));
    return value === next ? value : value + (next - value) * share;
  });
}

/** What a pass over a column of texts leaves behind when it has too many different ones. */
export interface CategoricalSketch {
  readonly type: 'categorical_sketch';
  readonly count: number;
  readonly nulls: number;
  readonly distinct: number;
  readonly distinctError: number;
  /** The most frequent texts with exact counts; every text that occurs more than `complete` times is among them. */
  readonly counts: ReadonlyMap<string, number>;
  readonly complete: number;
  readonly min: string | null;
  readonly max: string | null;
}

/** Different texts that are counted by name; one more, and only the frequent ones are followed. */
export const EXACT_TEXTS = 65_536;
/** Texts that are followed once there are more, and how many of them stay when there is no room for another. */
const FOLLOWED = EXACT_TEXTS / 4;
const SURVIVORS = FOLLOWED / 4;

/** The k-th largest of counts. */
function largest(counts: readonly number[], k: number): number {
  const most = 4_095;
  const having = new Uint32Array(most + 1);
  for (const count of counts) having[Math.min(count, most)]!++;
  let above = 0;
  let count = most;
  while (above + having[count]! < k) above += having[count--]!;
  return count < most ? count : Uint32Array.from(counts).sort()[counts.length - k]!;
}

export interface FrequentTexts {
  readonly count: number;
  readonly nulls: number;
  readonly distinct: number;
  readonly distinctError: number;
  /** Most frequent first. */
  readonly hashes: readonly bigint[];
  readonly complete: number;
}

/**
 * Takes in a column of texts by their 64-bit hashes. Up to `EXACT_TEXTS` different ones it counts each; beyond, it
 * keeps the frequent ones by J. Misra and D. Gries (1982): whenever there is no more room, all counts fall by one that
 * only `SURVIVORS` exceed.
 */
export class TextState {
  /** Low and high word of the hash, count, index of the name + 1. */
  #table = new Uint32Array(8 * EXACT_TEXTS);
  #names: (string | null)[] | null = [];
  #used = 0;
  #room = EXACT_TEXTS;
  #count = 0;
  #nulls = 0;
  #fallen = 0;
  readonly #distinct = distinctCounter();

  addNulls(count: number): void {
    this.#nulls += count;
  }

  /** `hashes`: low and high words of row after row; `valid`: a bit a row; `nameOf` is asked for the text of a row that is new. */
  add(hashes: Uint32Array, rows: number, valid: Uint8Array | null, nameOf: (row: number) => string): void {
    let table = this.#table;
    let last = table.length / 4 - 1;
    for (let row = 0; row < rows; row++) {
      if (valid && ((valid[row >> 3]! >> (row & 7)) & 1) === 0) {
        this.#nulls++;
        continue;
      }
      this.#count++;
      const low = hashes[2 * row]!;
      const high = hashes[2 * row + 1]!;
      let slot = (low ^ (low >>> 17)) & last;
      while (table[4 * slot + 2] !== 0 && (table[4 * slot] !== low || table[4 * slot + 1] !== high))
        slot = (slot + 1) & last;
      if (table[4 * slot + 2] !== 0) {
        table[4 * slot + 2]!++;
        continue;
      }
      if (this.#names === null) this.#see(high, low);
      if (this.#used === this.#room) {
        this.#prune();
        table = this.#table;
        last = table.length / 4 - 1;
        row--;
        this.#count--;
        continue;
      }
      table[4 * slot] = low;
      table[4 * slot + 1] = high;
      table[4 * slot + 2] = 1;
      this.#used++;
      if (this.#names) {
        this.#names.push(nameOf(row));
        table[4 * slot + 3] = this.#names.length;
      }
    }
  }

  #see(high: number, low: number): void {
    this.#distinct.add(high * 2 ** 32 + low, high, low);
  }

  #prune(): void {
    const old = this.#table;
    const counts: number[] = [];
    for (let slot = 0; 4 * slot < old.length; slot++) {
      if (old[4 * slot + 2] === 0) continue;
      counts.push(old[4 * slot + 2]!);
      if (this.#names) this.#see(old[4 * slot + 1]!, old[4 * slot]!);
    }
    this.#names = null;
    this.#room = FOLLOWED;
    const fall = largest(counts, SURVIVORS + 1);
    this.#fallen += fall;
    const slots = 2 * FOLLOWED;
    const table = new Uint32Array(4 * slots);
    this.#used = 0;
    for (let from = 0; 4 * from < old.length; from++) {
      const count = old[4 * from + 2]!;
      if (count <= fall) continue;
      const low = old[4 * from]!;
      let slot = (low ^ (low >>> 17)) & (slots - 1);
      while (table[4 * slot + 2] !== 0) slot = (slot + 1) & (slots - 1);
      table[4 * slot] = low;
      table[4 * slot + 1] = old[4 * from + 1]!;
      table[4 * slot + 2] = count - fall;
      this.#used++;
    }
    this.#table = table;
  }

  /** Every text with its count; or, where there are too many, the `most` most frequent as hashes, whose texts and counts a second pass gives. */
  finish(most: number): Extract<ColumnSample, { type: 'categorical' }> | FrequentTexts {
    const table = this.#table;
    if (this.#names) {
      const counts = new Map<string, number>();
      for (let slot = 0; 4 * slot < table.length; slot++)
        if (table[4 * slot + 2] !== 0)
          counts.set(this.#names[table[4 * slot + 3]! - 1]!, table[4 * slot + 2]!);
      return { type: 'categorical', counts, nulls: this.#nulls };
    }
    const slots: number[] = [];
    for (let slot = 0; 4 * slot < table.length; slot++) if (table[4 * slot + 2] !== 0) slots.push(slot);
    slots.sort((a, b) => table[4 * b + 2]! - table[4 * a + 2]! || a - b);
    const left = slots.length > most ? table[4 * slots[most]! + 2]! : 0;
    return {
      count: this.#count,
      nulls: this.#nulls,
      ...this.#distinct.count(this.#count),
      hashes: slots
        .slice(0, most)
        .map((slot) => (BigInt(table[4 * slot + 1]!) << 32n) | BigInt(table[4 * slot]!)),
      complete: this.#fallen + left,
    };
  }
}
