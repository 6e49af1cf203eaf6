import { DistinctCounter } from './hyperloglog.js';
import { type Cells, listCells } from './trie-cells.js';
import { childOf, INNER, innerWord, ONE, REST, ROOT_CELLS, ROOT_SHIFT, shiftOf } from './trie-words.js';

/** A cell of several values is divided when it holds more than this share of all. */
const CELL_SHARE = 1 / 8_192;
const CELL_LEAST = 32;
/** Bits that children are told apart by: of a cell of the root, and of one below it, that grows heavy. */
const ROOT_BITS = 8;
const BITS = 4;
const LEAST_BITS = 4;
const MOST_BITS = 16;
const MOST_CELLS = ROOT_CELLS + (1 << 19);
/** Rounds in which the first values lay out cells; each goes at least four bits down. */
const ROUNDS = 4;
/** Values that a loop goes over before it is left: V8 gives up on loops whose end it has not seen when it compiles them. */
const STRIDE = 1_024;

const KEY = new Float64Array(1);
const KEY_WORDS = new Int32Array(KEY.buffer);

/**
 * A trie over the bits of doubles in ascending order (sign, exponent, mantissa), after the q-digest of N. Shrivastava,
 * C. Buragohain, D. Agrawal and S. Suri (2004). Its cells are laid out by the first values, each the narrower the more
 * of them it would hold. A cell of several values that grows heavy is divided; what it had counted until then stays with
 * it and is the error of the ranks inside. A cell of one value never needs dividing. No value is NaN or −0.
 */
export class NumberTrie {
  /** A word a cell: first the root's, then blocks of children. */
  #cells = new Int32Array(2 * ROOT_CELLS);
  #used = ROOT_CELLS;
  /** What a divided cell keeps, by the place of its children / 16. */
  #held = new Float64Array(this.#cells.length / 16);
  /** Value and count of each cell of one value. */
  #ones = new Float64Array(2_048);
  #onesUsed = 0;
  #length = 0;
  readonly distinct = new DistinctCounter();

  /** `values`: the first ones, all different. */
  constructor(values: Float64Array, counts: Float64Array) {
    for (const count of counts) this.#length += count;
    this.#layOut(values, counts);
    this.distinct.add(new Int32Array(values.buffer, values.byteOffset, 2 * values.length), values.length);
    // What is frequent takes its place before others can share it.
    const limit = this.#limit();
    for (let from = 0; from < values.length; from += STRIDE) this.#putAll(values, counts, from, limit, true);
    for (let from = 0; from < values.length; from += STRIDE) this.#putAll(values, counts, from, limit, false);
  }

  #putAll(values: Float64Array, counts: Float64Array, from: number, limit: number, frequent: boolean): void {
    const to = Math.min(from + STRIDE, values.length);
    for (let i = from; i < to; i++)
      if (counts[i]! >= limit === frequent) this.#put(values[i]!, counts[i]!, limit);
  }

  /** What a cell of several values may hold. */
  #limit(): number {
    return Math.max(CELL_LEAST, Math.floor(this.#length * CELL_SHARE));
  }

  /** Divides empty cells by what they are to hold; a value counts for no more than a cell, as it cannot be divided. */
  #layOut(values: Float64Array, counts: Float64Array): void {
    const fair = Math.max(1, (this.#length * CELL_SHARE) / 2);
    for (let round = 0; round < ROUNDS; round++) {
      const weights = new Float64Array(this.#used);
      const shifts = new Uint8Array(this.#used);
      for (let from = 0; from < values.length; from += STRIDE)
        this.#weigh(values, counts, from, fair, weights, shifts);
      const before = this.#used;
      for (let cell = 0; cell < before; cell++)
        if (weights[cell]! > 2 * fair)
          this.#divide(cell, shifts[cell]!, Math.ceil(Math.log2(weights[cell]! / fair)), 0);
      if (this.#used === before) return;
    }
  }

  #weigh(
    values: Float64Array,
    counts: Float64Array,
    from: number,
    fair: number,
    weights: Float64Array,
    shifts: Uint8Array,
  ): void {
    const to = Math.min(from + STRIDE, values.length);
    for (let i = from; i < to; i++) {
      const cell = this.#find(values[i]!);
      weights[cell]! += Math.min(counts[i]!, fair);
      shifts[cell] = this.#foundShift;
    }
  }

  #foundHigh = 0;
  #foundLow = 0;
  #foundShift = 0;

  /** The cell of a value that has no children; its key and the bits below the cell are left in `#found…`. */
  #find(value: number): number {
    KEY[0] = value;
    const sign = KEY_WORDS[1]! >> 31;
    const high = KEY_WORDS[1]! ^ (sign | INNER);
    const low = KEY_WORDS[0]! ^ sign;
    let cell = high >>> 16;
    let shift = ROOT_SHIFT;
    for (let word = this.#cells[cell]!; word < 0; word = this.#cells[cell]!) {
      shift = shiftOf(word);
      cell = childOf(word, high, low);
    }
    this.#foundHigh = high;
    this.#foundLow = low;
    this.#foundShift = shift;
    return cell;
  }

  /** Place of the children, or 0 when there is no more room. `shift`: bits below the cell. */
  #divide(cell: number, shift: number, bits: number, held: number): number {
    const told = Math.min(Math.max(LEAST_BITS, bits), MOST_BITS, shift > 32 ? shift - 32 : shift);
    const fan = 1 << told;
    if (this.#used + fan > MOST_CELLS) return 0;
    const children = this.#used;
    // Blocks begin at multiples of 16.
    this.#used += Math.max(16, fan);
    while (this.#used > this.#cells.length) {
      const cells = new Int32Array(2 * this.#cells.length);
      cells.set(this.#cells);
      this.#cells = cells;
      const kept = new Float64Array(cells.length / 16);
      kept.set(this.#held);
      this.#held = kept;
    }
    this.#held[children / 16] = held;
    this.#cells[cell] = innerWord(children, told, shift - told);
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

  /** Counts a value `count` times, whatever its cell holds. */
  #put(value: number, count: number, limit: number): void {
    const cell = this.#find(value);
    const word = this.#cells[cell]!;
    if (word === 0) this.#putOne(cell, value, count);
    else if (word >= ONE) {
      const at = 2 * (word & REST);
      if (this.#ones[at] === value) this.#ones[at + 1]! += count;
      else this.#part(cell, at, value, count, limit);
    } else if (
      word < limit ||
      this.#divide(
        cell,
        this.#foundShift,
        this.#foundShift === ROOT_SHIFT ? ROOT_BITS : BITS,
        word + count,
      ) === 0
    )
      this.#cells[cell] = Math.min(word + count, REST);
  }

  /** Another value comes to a cell of one that is the last found. Many copies of that one move down until the two part. */
  #part(from: number, at: number, value: number, count: number, limit: number): void {
    const [high, low] = [this.#foundHigh, this.#foundLow];
    const only = this.#ones[at]!;
    const held = this.#ones[at + 1]!;
    let cell = from;
    let shift = this.#foundShift;
    if (held >= limit) {
      this.#find(only);
      const [onlyHigh, onlyLow] = [this.#foundHigh, this.#foundLow];
      while (this.#divide(cell, shift, BITS, 0) !== 0) {
        const word = this.#cells[cell]!;
        shift = shiftOf(word);
        const mine = childOf(word, high, low);
        const other = childOf(word, onlyHigh, onlyLow);
        if (mine !== other) {
          this.#cells[other] = ONE + at / 2;
          this.#putOne(mine, value, count);
          return;
        }
        cell = mine;
      }
    }
    this.#cells[cell] = Math.min(held + count, REST);
  }

  /** Counts the first `length` values. */
  add(data: Float64Array, length: number): void {
    const words = new Int32Array(data.buffer, data.byteOffset, 2 * length);
    this.distinct.add(words, length);
    this.#length += length;
    const limit = this.#limit();
    let cells = this.#cells;
    let ones = this.#ones;
    for (let i = 0; i < length; i++) {
      const sign = words[2 * i + 1]! >> 31;
      const high = words[2 * i + 1]! ^ (sign | INNER);
      let cell = high >>> 16;
      let word = cells[cell]!;
      while (word < 0) {
        cell = childOf(word, high, words[2 * i]! ^ sign);
        word = cells[cell]!;
      }
      if (word >= ONE) {
        const at = 2 * (word & REST);
        if (ones[at] === data[i]!) {
          ones[at + 1]!++;
          continue;
        }
      } else if (word > 0 && word < limit) {
        cells[cell] = word + 1;
        continue;
      }
      this.#put(data[i]!, 1, limit);
      cells = this.#cells;
      ones = this.#ones;
    }
  }

  list(min: number, max: number): Cells {
    const cells = this.#cells.subarray(0, this.#used);
    return listCells({ cells, held: this.#held, ones: this.#ones }, min, max);
  }
}
