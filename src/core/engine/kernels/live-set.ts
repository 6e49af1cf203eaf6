/** A set of small integers as a tree of bits, 32 to a word: insert, delete, first, last and next in O(log32 n). */
export class LiveSet {
  private levels: Uint32Array[] = [];
  private capacity = 0;

  /** Empties the set and makes room for 0..size-1. */
  reset(size: number): void {
    if (size > this.capacity) {
      this.capacity = Math.max(size, 2 * this.capacity, 1024);
      this.levels = [];
      let words = this.capacity;
      do {
        words = Math.ceil(words / 32);
        this.levels.push(new Uint32Array(words));
      } while (words > 1);
      return;
    }
    let words = Math.max(size, 1);
    for (const level of this.levels) {
      words = (words + 31) >>> 5;
      // One word more: `next` looks into the word after the last item.
      level.fill(0, 0, words + 1);
    }
  }

  insert(item: number): void {
    let index = item;
    for (const level of this.levels) {
      const word = index >>> 5;
      const before = level[word]!;
      level[word] = before | (1 << (index & 31));
      if (before !== 0) return;
      index = word;
    }
  }

  delete(item: number): void {
    let index = item;
    for (const level of this.levels) {
      const word = index >>> 5;
      const after = level[word]! & ~(1 << (index & 31));
      level[word] = after;
      if (after !== 0) return;
      index = word;
    }
  }

  /** -1 when empty. */
  first(): number {
    let index = 0;
    for (let l = this.levels.length - 1; l >= 0; l--) {
      const word = this.levels[l]![index]!;
      if (word === 0) return -1;
      index = (index << 5) | (31 - Math.clz32(word & -word));
    }
    return this.levels.length === 0 ? -1 : index;
  }

  /** -1 when empty. */
  last(): number {
    let index = 0;
    for (let l = this.levels.length - 1; l >= 0; l--) {
      const word = this.levels[l]![index]!;
      if (word === 0) return -1;
      index = (index << 5) | (31 - Math.clz32(word));
    }
    return this.levels.length === 0 ? -1 : index;
  }

  /** The least item greater than `item`; -1 when there is none. */
  next(item: number): number {
    let index = item + 1;
    for (let l = 0; l < this.levels.length; l++) {
      const level = this.levels[l]!;
      const word = index >>> 5;
      if (word >= level.length) return -1;
      const rest = level[word]! & (-1 << (index & 31));
      if (rest !== 0) {
        index = (word << 5) | (31 - Math.clz32(rest & -rest));
        for (let down = l - 1; down >= 0; down--) {
          const below = this.levels[down]![index]!;
          index = (index << 5) | (31 - Math.clz32(below & -below));
        }
        return index;
      }
      index = word + 1;
    }
    return -1;
  }
}
