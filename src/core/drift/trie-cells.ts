import { fanOf, INNER, ONE, placeOf, REST, ROOT_CELLS, ROOT_SHIFT, shiftOf } from './trie-words.js';

/** What a trie of numbers holds. */
export interface TrieMemory {
  /** A word a cell: first the root's, then blocks of children. */
  readonly cells: Int32Array;
  /** What a divided cell keeps, by the place of its children / 16. */
  readonly held: Float64Array;
  /** Value and count of each cell of one value. */
  readonly ones: Float64Array;
}

export interface Cells {
  /** Ascending; cell i holds values from `low[i]` to `high[i]`. */
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly counts: Float64Array;
  /** The largest count whose place inside of its cell is unknown. */
  readonly unplaced: number;
}

/** The double of an ordered 64-bit key. */
const KEY = new Float64Array(1);
const KEY_WORDS = new Int32Array(KEY.buffer);
function fromKey(high: number, low: number): number {
  const positive = high < 0;
  KEY_WORDS[1] = positive ? high ^ INNER : ~high;
  KEY_WORDS[0] = positive ? low : ~low;
  return KEY[0]!;
}

/** Walks a trie in the order of its values. */
class Walk {
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly counts: Float64Array;
  length = 0;
  unplaced = 0;

  constructor(
    readonly memory: TrieMemory,
    readonly min: number,
    readonly max: number,
  ) {
    let taken = 0;
    for (const word of memory.cells) if (word !== 0) taken++;
    this.low = new Float64Array(taken);
    this.high = new Float64Array(taken);
    this.counts = new Float64Array(taken);
  }

  /** All that was counted below a divided cell. */
  below(word: number): number {
    const { cells, held, ones } = this.memory;
    const children = placeOf(word);
    let sum = 0;
    for (let cell = children; cell < children + fanOf(word); cell++) {
      const inner = cells[cell]!;
      if (inner < 0) sum += held[placeOf(inner) / 16]! + this.below(inner);
      else sum += inner >= ONE ? ones[2 * (inner & REST) + 1]! : inner;
    }
    return sum;
  }

  take(low: number, high: number, count: number, unplaced: number): void {
    this.low[this.length] = low;
    this.high[this.length] = high;
    this.counts[this.length++] = count;
    if (unplaced > this.unplaced) this.unplaced = unplaced;
  }

  /** `shift`: the bits below the key that a cell leaves open. */
  takeSeveral(keyHigh: number, keyLow: number, shift: number, count: number, unplaced: number): void {
    const lastHigh = shift > 32 ? keyHigh | (2 ** (shift - 32) - 1) : keyHigh;
    const lastLow = shift >= 32 ? -1 : keyLow | (2 ** shift - 1);
    this.take(
      Math.max(fromKey(keyHigh, keyLow), this.min),
      Math.min(fromKey(lastHigh, lastLow), this.max),
      count,
      unplaced,
    );
  }

  /**
   * A cell and all below it. `weight`: what a count stands for with its share of what the cells above keep; `kept`: how
   * much these keep.
   */
  visit(word: number, keyHigh: number, keyLow: number, shift: number, weight: number, kept: number): void {
    if (word >= ONE) {
      const at = 2 * (word & REST);
      const value = this.memory.ones[at]!;
      this.take(value, value, this.memory.ones[at + 1]! * weight, kept);
    } else if (word > 0) this.takeSeveral(keyHigh, keyLow, shift, word * weight, kept + word);
    else if (word < 0) this.visitChildren(word, keyHigh, keyLow, shift, weight, kept);
  }

  visitChildren(
    word: number,
    keyHigh: number,
    keyLow: number,
    shift: number,
    weight: number,
    kept: number,
  ): void {
    const { cells, held } = this.memory;
    const children = placeOf(word);
    const mine = held[children / 16]!;
    const inside = mine === 0 ? 1 : this.below(word);
    if (inside === 0) {
      this.takeSeveral(keyHigh, keyLow, shift, mine * weight, kept + mine);
      return;
    }
    const next = shiftOf(word);
    for (let i = 0; i < fanOf(word); i++)
      if (cells[children + i] !== 0)
        this.visit(
          cells[children + i]!,
          next >= 32 ? keyHigh | (i << next) : keyHigh,
          next >= 32 ? keyLow : keyLow | (i << next),
          next,
          weight * (1 + mine / inside),
          kept + mine,
        );
  }
}

/** The cells of a trie that hold anything. What a divided cell keeps is shared out over what is below it. */
export function listCells(memory: TrieMemory, min: number, max: number): Cells {
  const walk = new Walk(memory, min, max);
  for (let cell = 0; cell < ROOT_CELLS; cell++)
    walk.visit(memory.cells[cell]!, cell << 16, 0, ROOT_SHIFT, 1, 0);
  const { length, unplaced } = walk;
  return {
    low: walk.low.slice(0, length),
    high: walk.high.slice(0, length),
    counts: walk.counts.slice(0, length),
    unplaced,
  };
}
