/**
 * SipHash with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", and the reference
 * implementation's 128-bit form), over messages of whole 32-bit little-endian words.
 */
import { randomBytes } from 'node:crypto';

/** Four words: 128 bits that nobody else may know. */
export type SipKey = Int32Array;

export const newSipKey = (): SipKey => {
  const bytes = randomBytes(16);
  return Int32Array.from([0, 4, 8, 12], (at) => bytes.readInt32LE(at));
};

/** The first four words of `out`. `c` rounds for each 64 bits of the message, `d` rounds for each half at the end. */
export function sipHash128(
  key: SipKey,
  words: Int32Array,
  length: number,
  out: Int32Array,
  c = 1,
  d = 3,
): void {
  const k0 = key[0]!;
  const k1 = key[1]!;
  const k2 = key[2]!;
  const k3 = key[3]!;
  let v0l = k0 ^ 0x70736575;
  let v0h = k1 ^ 0x736f6d65;
  let v1l = k2 ^ 0x6e646f6d ^ 0xee;
  let v1h = k3 ^ 0x646f7261;
  let v2l = k0 ^ 0x6e657261;
  let v2h = k1 ^ 0x6c796765;
  let v3l = k2 ^ 0x79746573;
  let v3h = k3 ^ 0x74656462;
  const blocks = (length >> 1) + 1;
  for (let block = 0; block < blocks + 2; block++) {
    let ml = 0;
    let mh = 0;
    let rounds = d;
    if (block < blocks) {
      rounds = c;
      if (block < blocks - 1) {
        ml = words[2 * block]!;
        mh = words[2 * block + 1]!;
      } else {
        ml = (length & 1) === 1 ? words[length - 1]! : 0;
        mh = length << 26;
      }
      v3l ^= ml;
      v3h ^= mh;
    } else if (block === blocks) v2l ^= 0xee;
    else {
      out[0] = v0l ^ v1l ^ v2l ^ v3l;
      out[1] = v0h ^ v1h ^ v2h ^ v3h;
      v1l ^= 0xdd;
    }
    for (let round = 0; round < rounds; round++) {
      let sum = (v0l + v1l) | 0;
      v0h = (v0h + v1h + (sum >>> 0 < v1l >>> 0 ? 1 : 0)) | 0;
      let turned = (v1l << 13) | (v1h >>> 19);
      v1h = ((v1h << 13) | (v1l >>> 19)) ^ v0h;
      v1l = turned ^ sum;
      v0l = v0h;
      v0h = sum;

      sum = (v2l + v3l) | 0;
      v2h = (v2h + v3h + (sum >>> 0 < v3l >>> 0 ? 1 : 0)) | 0;
      v2l = sum;
      turned = (v3l << 16) | (v3h >>> 16);
      v3h = ((v3h << 16) | (v3l >>> 16)) ^ v2h;
      v3l = turned ^ v2l;

      sum = (v0l + v3l) | 0;
      v0h = (v0h + v3h + (sum >>> 0 < v3l >>> 0 ? 1 : 0)) | 0;
      v0l = sum;
      turned = (v3l << 21) | (v3h >>> 11);
      v3h = ((v3h << 21) | (v3l >>> 11)) ^ v0h;
      v3l = turned ^ v0l;

      sum = (v2l + v1l) | 0;
      v2h = (v2h + v1h + (sum >>> 0 < v1l >>> 0 ? 1 : 0)) | 0;
      turned = (v1l << 17) | (v1h >>> 15);
      v1h = ((v1h << 17) | (v1l >>> 15)) ^ v2h;
      v1l = turned ^ sum;
      v2l = v2h;
      v2h = sum;
    }
    v0l ^= ml;
    v0h ^= mh;
  }
  out[2] = v0l ^ v1l ^ v2l ^ v3l;
  out[3] = v0h ^ v1h ^ v2h ^ v3h;
}
