/**
 * Stored blocks of events: the head of an entity and its sealed segments share one layout of little-endian doubles.
 *
 * Words: format, events n, flags, directory rows m, ghosts g, live ghosts, least from, greatest from, least until, byte
 * offset of the tail, number of int64 and decimal columns that hold indexes; then g ghost instants, the columns, the
 * predicates (one byte an event, padded to words), the directory rows unless they stand apart; then the tail: for each
 * field a dictionary, and the entity's key tuple where the store key is a hash.
 *
 * Columns: event_time, seq, then `from` unless it is the event time throughout, `until` unless all are known for ever,
 * `order` unless it is the seq throughout, then the fields. A segment's columns are n words long; those of a head have
 * room to spare (`capacityOf`), zero behind n, so that an event is appended in place.
 *
 * A column of numbers holds the values themselves, NaN for null. Where a value is no double (texts, vectors, int64
 * beyond 2^53), the column holds indexes into the block's dictionary. Little-endian machines only, like all that
 * Node.js is built for.
 */
export const WORD = {
  format: 0,
  events: 1,
  flags: 2,
  rows: 3,
  ghosts: 4,
  liveGhosts: 5,
  minFrom: 6,
  maxFrom: 7,
  minUntil: 8,
  tail: 9,
  indexed: 10,
  header: 11,
} as const;

/** Which optional columns there are; `head`: columns have room to spare; `apart`: the directory is a value of its own. */
export const FLAG = { from: 1, until: 2, order: 4, head: 8, apart: 16 } as const;

/** Directories of more rows are values of their own, so that an event does not write them anew. */
export const INLINE_ROWS = 6;

/** Tail of a field without a dictionary. */
export const NO_DICTIONARY = 0xffff_ffff;

/** Events that a head's columns have room for. */
export const capacityOf = (n: number): number => (n > 8 ? (n + 7) & ~7 : n > 4 ? 8 : n > 2 ? 4 : n);

/** The kinds whose columns hold the numbers themselves. */
export const holdsNumbers = (kind: string): boolean =>
  kind === 'int64' ||
  kind === 'float64' ||
  kind === 'decimal' ||
  kind === 'timestamp' ||
  kind === 'date' ||
  kind === 'boolean';

/** Words of a mask of `n` bytes. */
export const maskWords = (n: number): number => (n + 7) >>> 3;
