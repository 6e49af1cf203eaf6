/**
 * Counts different 64-bit words by HyperLogLog (P. Flajolet, É. Fusy, O. Gandouet, F. Meunier, 2007) with the estimator
 * of O. Ertl (arXiv:1702.01284), which is right at every size.
 */
const BITS = 14;
const REGISTERS = 1 << BITS;
/** Ranks come from 32 bits of their own. */
const RANKS = 32;
/** Relative standard error. */
export const DISTINCT_ERROR = 1.04 / Math.sqrt(REGISTERS);

export class DistinctCounter {
  readonly #registers = new Uint8Array(REGISTERS);

  /** The first `length` words, each a low and a high half. */
  add(words: Int32Array | Uint32Array, length: number): void {
    const registers = this.#registers;
    for (let i = 0; i < length; i++) {
      const low = words[2 * i]!;
      const high = words[2 * i + 1]!;
      let index = Math.imul(high, 0x9e3779b1) + low;
      index = Math.imul(index ^ (index >>> 15), 0x85ebca6b);
      index = Math.imul(index ^ (index >>> 13), 0xc2b2ae35);
      index ^= index >>> 16;
      let rest = Math.imul(low, 0x297a2d39) + (high ^ index);
      rest = Math.imul(rest ^ (rest >>> 16), 0x27d4eb2f);
      rest = Math.imul(rest ^ (rest >>> 15), 0x2c1b3c6d);
      const rank = Math.clz32(rest) + 1;
      const register = index >>> (32 - BITS);
      if (registers[register]! < rank) registers[register] = rank;
    }
  }

  /** `most`: what it cannot exceed. */
  count(most: number): { readonly distinct: number; readonly distinctError: number } {
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
