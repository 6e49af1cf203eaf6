import type { ColumnSample } from './grouped.js';
import { DistinctCounter } from './hyperloglog.js';

/** Different texts that are counted by name; one more, and only the frequent ones are followed. */
export const EXACT_TEXTS = 262_144;
/** Texts that are followed once there are more, and how many of them stay when there is no room for another. */
const FOLLOWED = EXACT_TEXTS / 4;
const SURVIVORS = FOLLOWED / 8;
const FIRST_SLOTS = 1_024;

export interface FrequentTexts {
  readonly count: number;
  readonly nulls: number;
  readonly distinct: number;
  readonly distinctError: number;
  /** Most frequent first: all that can occur more than `complete` times. */
  readonly hashes: readonly bigint[];
  readonly complete: number;
}

/** The k-th largest of counts. */
function largest(counts: Uint32Array, k: number): number {
  const most = 4_095;
  const having = new Uint32Array(most + 1);
  for (const count of counts) having[Math.min(count, most)]!++;
  let above = 0;
  let count = most;
  while (above + having[count]! < k) above += having[count--]!;
  return count < most ? count : counts.toSorted()[counts.length - k]!;
}

/**
 * Takes in a column of texts by their 64-bit hashes. Up to `EXACT_TEXTS` different ones it counts each; beyond, it
 * keeps the frequent ones by J. Misra and D. Gries (1982): whenever there is no more room, all counts fall by one that
 * only `SURVIVORS` exceed.
 */
export class TextState {
  /** Low and high word of the hash, count, index of the name + 1; the count of a free slot is 0. */
  #table = new Uint32Array(4 * FIRST_SLOTS);
  #names: string[] | null = [];
  #used = 0;
  #count = 0;
  #nulls = 0;
  #fallen = 0;
  readonly #distinct = new DistinctCounter();
  readonly #seen = new Uint32Array(2);

  /** Texts until now. */
  get count(): number {
    return this.#count;
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
      const low = hashes[2 * row]!;
      const high = hashes[2 * row + 1]!;
      let at = 4 * ((low ^ (low >>> 17)) & last);
      while (table[at + 2] !== 0 && (table[at] !== low || table[at + 1] !== high))
        at = (at + 4) & (4 * last + 3);
      if (table[at + 2] === 0) {
        if (2 * this.#used > last) {
          this.#makeRoom();
          table = this.#table;
          last = table.length / 4 - 1;
          row--;
          continue;
        }
        table[at] = low;
        table[at + 1] = high;
        this.#used++;
        if (this.#names) table[at + 3] = this.#names.push(nameOf(row));
        else this.#see(low, high);
      }
      table[at + 2]!++;
      this.#count++;
    }
  }

  #see(low: number, high: number): void {
    this.#seen[0] = low;
    this.#seen[1] = high;
    this.#distinct.add(this.#seen, 1);
  }

  /** Another table, its slots less than half taken. */
  #makeRoom(): void {
    const old = this.#table;
    const most = this.#names ? EXACT_TEXTS : FOLLOWED;
    if (this.#used < most) this.#move(2 * old.length, 0);
    else this.#prune();
  }

  #prune(): void {
    const old = this.#table;
    const counts = new Uint32Array(this.#used);
    let n = 0;
    for (let at = 0; at < old.length; at += 4) {
      if (old[at + 2] === 0) continue;
      counts[n++] = old[at + 2]!;
      if (this.#names) this.#see(old[at]!, old[at + 1]!);
    }
    this.#names = null;
    const fall = largest(counts, SURVIVORS + 1);
    this.#fallen += fall;
    this.#move(8 * FOLLOWED, fall);
  }

  /** Into a table of another length: what occurs more than `fall` times, as often as it exceeds it. */
  #move(length: number, fall: number): void {
    const old = this.#table;
    const table = new Uint32Array(length);
    this.#used = 0;
    for (let from = 0; from < old.length; from += 4) {
      if (old[from + 2]! <= fall) continue;
      const low = old[from]!;
      let at = 4 * ((low ^ (low >>> 17)) & (length / 4 - 1));
      while (table[at + 2] !== 0) at = (at + 4) & (length - 1);
      table[at] = low;
      table[at + 1] = old[from + 1]!;
      table[at + 2] = old[from + 2]! - fall;
      table[at + 3] = old[from + 3]!;
      this.#used++;
    }
    this.#table = table;
  }

  /** Every text with its count; or, where there are too many, the `most` most frequent as hashes, whose texts and counts a second pass gives. */
  finish(most: number): Extract<ColumnSample, { type: 'categorical' }> | FrequentTexts {
    const table = this.#table;
    const slots: number[] = [];
    for (let at = 0; at < table.length; at += 4) if (table[at + 2] !== 0) slots.push(at);
    if (this.#names) {
      const names = this.#names;
      const counts = new Map(slots.map((at) => [names[table[at + 3]! - 1]!, table[at + 2]!]));
      return { type: 'categorical', counts, nulls: this.#nulls };
    }
    slots.sort((a, b) => table[b + 2]! - table[a + 2]! || a - b);
    const left = slots.length > most ? table[slots[most]! + 2]! : 0;
    return {
      count: this.#count,
      nulls: this.#nulls,
      ...this.#distinct.count(this.#count),
      hashes: slots
        .slice(0, most)
        .filter((at) => table[at + 2]! > left)
        .map((at) => (BigInt(table[at + 1]!) << 32n) | BigInt(table[at]!)),
      complete: this.#fallen + left,
    };
  }
}
