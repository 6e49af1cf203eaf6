/**
 * Counts different values: exactly while they are few, then by HyperLogLog (P. Flajolet, É. Fusy, O. Gandouet,
 * F. Meunier, 2007) with the estimator of O. Ertl (arXiv:1702.01284), which is right at every size.
 */
export interface DistinctCounter {
  add(value: number, high: number, low: number): void;
  /** `distinctError` is the relative standard error, 0 where `distinct` is exact; never more than `most`. */
  count(most: number): { readonly distinct: number; readonly distinctError: number };
}

const BITS = 14;
const REGISTERS = 1 << BITS;
/** Ranks come from 32 bits of their own. */
const RANKS = 32;
const EXACT = 4_096;
export const DISTINCT_ERROR = 1.04 / Math.sqrt(REGISTERS);

class Registers implements DistinctCounter {
  readonly #registers = new Uint8Array(REGISTERS);
  #few: Set<number> | null = new Set();

  add(value: number, high: number, low: number): void {
    if (this.#few) {
      this.#few.add(value);
      if (this.#few.size > EXACT) this.#few = null;
    }
    let a = Math.imul(low ^ (low >>> 16), 0x85ebca6b);
    let b = Math.imul(high ^ (high >>> 15), 0xc2b2ae35);
    a ^= a >>> 13;
    b ^= b >>> 16;
    let index = a ^ ((b << 13) | (b >>> 19));
    index = Math.imul(index ^ (index >>> 15), 0x2c1b3c6d);
    index = Math.imul(index ^ (index >>> 12), 0x297a2d39);
    index ^= index >>> 15;
    let word = Math.imul(index ^ b, 0x27d4eb2f) + a;
    word = Math.imul(word ^ (word >>> 15), 0x85ebca6b);
    word ^= word >>> 13;
    const rank = Math.clz32(word) + 1;
    const register = index & (REGISTERS - 1);
    if (this.#registers[register]! < rank) this.#registers[register] = rank;
  }

  count(most: number): { readonly distinct: number; readonly distinctError: number } {
    if (this.#few) return { distinct: this.#few.size, distinctError: 0 };
    const having = new Float64Array(RANKS + 2);
    for (const rank of this.#registers) having[rank]!++;
    let z = REGISTERS * tau(1 - having[RANKS + 1]! / REGISTERS);
    for (let rank = RANKS; rank >= 1; rank--) z = 0.5 * (z + having[rank]!);
    z += REGISTERS * sigma(having[0]! / REGISTERS);
    const estimate = (REGISTERS / (2 * Math.LN2)) * (REGISTERS / z);
    return { distinct: Math.min(most, Math.round(estimate)), distinctError: DISTINCT_ERROR };
  }
}

function sigma(share: number): number {
  if (share === 1) return Number.POSITIVE_INFINITY;
  let [x, y, z, before] = [share, 1, share, -1];
  while (z !== before) {
    x *= x;
    before = z;
    z += x * y;
    y += y;
  }
  return z;
}

function tau(share: number): number {
  if (share === 0 || share === 1) return 0;
  let [x, y, z, before] = [share, 1, 1 - share, -1];
  while (z !== before) {
    x = Math.sqrt(x);
    before = z;
    y *= 0.5;
    z -= (1 - x) ** 2 * y;
  }
  return z / 3;
}

export const distinctCounter = (): DistinctCounter => new Registers();
