/**
 * What the word of a cell of a trie says: several values (or none) and how many; one value, by its place (`ONE` is set);
 * or where its children are: a negative word of the place of the first (a multiple of 16) in the bits 10 to 25, how many
 * bits tell them apart, less one, in 6 to 9, and how many bits are below these in 0 to 5.
 */
export const ONE = 1 << 30;
export const INNER = 1 << 31;
export const REST = ONE - 1;

/** The root has a cell for each value of the upper 16 bits. */
export const ROOT_CELLS = 65_536;
export const ROOT_SHIFT = 48;

/** Children in a row from `place`, told apart by `bits` bits, `shift` bits below these. */
export const innerWord = (place: number, bits: number, shift: number): number =>
  INNER | (place << 6) | ((bits - 1) << 6) | shift;
export const shiftOf = (word: number): number => word & 63;
export const placeOf = (word: number): number => (word >>> 6) & 0xffff0;
export const fanOf = (word: number): number => 2 << ((word >>> 6) & 15);

/** The child of a divided cell that a key belongs to; the bits of a block lie in one half of the key. */
export const childOf = (word: number, high: number, low: number): number =>
  placeOf(word) + (((shiftOf(word) < 32 ? low : high) >>> shiftOf(word)) & (fanOf(word) - 1));
