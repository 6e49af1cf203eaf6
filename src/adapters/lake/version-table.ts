/** 128 bits, as four words at a place in a larger array. */
export type Digest = Int32Array;

export const DIGEST_WORDS = 4;
const FIRST_CAPACITY = 1024;
/** Rows that are sorted by insertion. */
const SMALL_BUCKET = 24;

/**
 * Versions of records by the digest of their key, in memory, in the order of their coming. Open addressing over rows
 * in typed arrays; rows of one key are chained from the newest to the oldest.
 */
export class VersionTable {
  size = 0;
  /** DIGEST_WORDS for each row. */
  keys = new Int32Array(0);
  contents = new Int32Array(0);
  /** available_at, order, seq of each row. */
  clocks = new Float64Array(0);
  #before = new Int32Array(0);
  /** Of a row and those of its key before it: the one known last. */
  #last = new Int32Array(0);
  /** Row + 1 of the newest row of a key; 0: free. */
  #slots = new Int32Array(0);

  constructor() {
    this.#grow(FIRST_CAPACITY);
  }

  #grow(capacity: number): void {
    const larger = <T extends Int32Array | Float64Array>(array: T, made: T): T => {
      made.set(array);
      return made;
    };
    this.keys = larger(this.keys, new Int32Array(capacity * DIGEST_WORDS));
    this.contents = larger(this.contents, new Int32Array(capacity * DIGEST_WORDS));
    this.clocks = larger(this.clocks, new Float64Array(capacity * 3));
    this.#before = larger(this.#before, new Int32Array(capacity));
    this.#last = larger(this.#last, new Int32Array(capacity));
    this.#slots = new Int32Array(capacity * 2);
    for (let row = 0; row < this.size; row++)
      this.#slots[this.#slotOf(this.keys, row * DIGEST_WORDS)] = row + 1;
  }

  #slotOf(key: Digest, at: number): number {
    const { keys } = this;
    const slots = this.#slots;
    const mask = slots.length - 1;
    const k0 = key[at]!;
    const k1 = key[at + 1]!;
    const k2 = key[at + 2]!;
    const k3 = key[at + 3]!;
    for (let slot = k0 & mask; ; slot = (slot + 1) & mask) {
      const found = slots[slot]!;
      if (found === 0) return slot;
      const row = (found - 1) * DIGEST_WORDS;
      if (keys[row] === k0 && keys[row + 1] === k1 && keys[row + 2] === k2 && keys[row + 3] === k3)
        return slot;
    }
  }

  /** The newest row of a key, -1: there is none. */
  newest(key: Digest): number {
    return this.#slots[this.#slotOf(key, 0)]! - 1;
  }

  /** The row of the same key that came before; -1: there is none. */
  before(row: number): number {
    return this.#before[row]! - 1;
  }

  /** Of a row and those of its key before it: the greatest by (available_at, order, coming). */
  last(row: number): number {
    return this.#last[row]!;
  }

  /** The same over all rows of the row's key. */
  lastOfKey(row: number): number {
    return this.#last[this.#slots[this.#slotOf(this.keys, row * DIGEST_WORDS)]! - 1]!;
  }

  sameContent(row: number, content: Digest): boolean {
    const at = row * DIGEST_WORDS;
    const { contents } = this;
    return (
      contents[at] === content[0] &&
      contents[at + 1] === content[1] &&
      contents[at + 2] === content[2] &&
      contents[at + 3] === content[3]
    );
  }

  add(key: Digest, content: Digest, availableAt: number, order: number, seq: number): void {
    const row = this.size;
    if (row === this.#before.length) this.#grow(row * 2);
    const slot = this.#slotOf(key, 0);
    const at = row * DIGEST_WORDS;
    for (let i = 0; i < DIGEST_WORDS; i++) {
      this.keys[at + i] = key[i]!;
      this.contents[at + i] = content[i]!;
    }
    this.clocks[row * 3] = availableAt;
    this.clocks[row * 3 + 1] = order;
    this.clocks[row * 3 + 2] = seq;
    const before = this.#slots[slot]! - 1;
    const last = before < 0 ? row : this.#last[before]!;
    this.#before[row] = before + 1;
    this.#last[row] =
      last !== row && isLater(this.clocks[last * 3]!, this.clocks[last * 3 + 1]!, availableAt, order)
        ? last
        : row;
    this.#slots[slot] = row + 1;
    this.size = row + 1;
  }

  /** Takes back the newest rows with a seq beyond this. */
  truncate(seq: number): void {
    while (this.size > 0 && this.clocks[(this.size - 1) * 3 + 2]! > seq) {
      const row = this.size - 1;
      // Rows go in the reverse order of their coming, so no later key was placed behind this slot.
      this.#slots[this.#slotOf(this.keys, row * DIGEST_WORDS)] = this.#before[row]!;
      this.size = row;
    }
  }

  /** Rows by key, then by content, as unsigned words. Yields between pieces of work of a few milliseconds. */
  *sorted(): Generator<undefined, Uint32Array> {
    const { keys, contents, size } = this;
    // Digests are even: buckets by the leading bits hold a few rows each.
    const shift = 32 - Math.min(16, Math.max(1, Math.floor(Math.log2(size + 1))));
    const starts = new Uint32Array(2 ** (32 - shift) + 1);
    for (let row = 0; row < size; row++) {
      const bucket = (keys[row * DIGEST_WORDS]! >>> shift) + 1;
      starts[bucket] = starts[bucket]! + 1;
    }
    for (let bucket = 1; bucket < starts.length; bucket++)
      starts[bucket] = starts[bucket]! + starts[bucket - 1]!;
    yield;
    const rows = new Uint32Array(size);
    const next = starts.slice(0, -1);
    for (let row = 0; row < size; row++) {
      const bucket = keys[row * DIGEST_WORDS]! >>> shift;
      const place = next[bucket]!;
      rows[place] = row;
      next[bucket] = place + 1;
    }
    yield;
    const compare = (a: number, b: number): number =>
      compareDigests(keys, a * DIGEST_WORDS, keys, b * DIGEST_WORDS) ||
      compareDigests(contents, a * DIGEST_WORDS, contents, b * DIGEST_WORDS);
    for (let bucket = 0; bucket < starts.length - 1; bucket++) {
      const from = starts[bucket]!;
      const to = starts[bucket + 1]!;
      if (to - from > SMALL_BUCKET) rows.subarray(from, to).sort(compare);
      else {
        for (let i = from + 1; i < to; i++) {
          const row = rows[i]!;
          let at = i;
          while (at > from && compare(rows[at - 1]!, row) > 0) {
            rows[at] = rows[at - 1]!;
            at--;
          }
          rows[at] = row;
        }
      }
      if ((bucket & 8191) === 8191) yield;
    }
    return rows;
  }
}

/** Whether a version is known later than another that came after it. */
export const isLater = (
  availableAt: number,
  order: number,
  thanAvailableAt: number,
  thanOrder: number,
): boolean => availableAt > thanAvailableAt || (availableAt === thanAvailableAt && order > thanOrder);

/** By their words as unsigned numbers. */
export function compareDigests(a: Int32Array, atA: number, b: Int32Array, atB: number): number {
  for (let i = 0; i < DIGEST_WORDS; i++) {
    const left = a[atA + i]! >>> 0;
    const right = b[atB + i]! >>> 0;
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}
