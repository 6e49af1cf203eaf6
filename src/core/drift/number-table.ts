/** Different values that are counted one by one. */
export const EXACT_NUMBERS = 65_536;

const FIRST_SLOTS = 1_024;

/** How often each of at most `EXACT_NUMBERS` different numbers occurs, none of them NaN or −0: open addressing. */
export class NumberTable {
  #values = new Float64Array(FIRST_SLOTS);
  /** 0 where a slot is free. */
  #counts = new Float64Array(FIRST_SLOTS);
  #used = 0;

  /** Counts the first `length` values up to the first one that finds no room, and says how many these are. */
  add(data: Float64Array, length: number): number {
    const words = new Int32Array(data.buffer, data.byteOffset, 2 * length);
    let values = this.#values;
    let counts = this.#counts;
    let last = values.length - 1;
    let shift = Math.clz32(last);
    for (let i = 0; i < length; i++) {
      const value = data[i]!;
      let slot = Math.imul(words[2 * i + 1]! ^ Math.imul(words[2 * i]!, 0x85ebca6b), 0x9e3779b1) >>> shift;
      while (counts[slot] !== 0 && values[slot] !== value) slot = (slot + 1) & last;
      if (counts[slot] === 0) {
        if (2 * this.#used > last) {
          if (this.#used === EXACT_NUMBERS) return i;
          this.#grow();
          values = this.#values;
          counts = this.#counts;
          last = values.length - 1;
          shift = Math.clz32(last);
          i--;
          continue;
        }
        this.#used++;
        values[slot] = value;
      }
      counts[slot]!++;
    }
    return length;
  }

  #grow(): void {
    const [oldValues, oldCounts] = [this.#values, this.#counts];
    const slots = 2 * oldValues.length;
    this.#values = new Float64Array(slots);
    this.#counts = new Float64Array(slots);
    const shift = Math.clz32(slots - 1);
    const words = new Int32Array(oldValues.buffer);
    for (let from = 0; from < oldValues.length; from++) {
      if (oldCounts[from] === 0) continue;
      let slot =
        Math.imul(words[2 * from + 1]! ^ Math.imul(words[2 * from]!, 0x85ebca6b), 0x9e3779b1) >>> shift;
      while (this.#counts[slot] !== 0) slot = (slot + 1) & (slots - 1);
      this.#values[slot] = oldValues[from]!;
      this.#counts[slot] = oldCounts[from]!;
    }
  }

  /** The different values, in no order, and their counts. */
  list(): { readonly values: Float64Array; readonly counts: Float64Array } {
    const values = new Float64Array(this.#used);
    const counts = new Float64Array(this.#used);
    let n = 0;
    for (let slot = 0; slot < this.#values.length; slot++) {
      if (this.#counts[slot] === 0) continue;
      values[n] = this.#values[slot]!;
      counts[n++] = this.#counts[slot]!;
    }
    return { values, counts };
  }
}
