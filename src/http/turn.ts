/**
 * Whose turn it is between a thread that writes and the process that ends. A thread that is stopped inside a transaction
 * of LMDB keeps its locks, and the process never ends: so the end waits for the transaction, and no other begins.
 */
const BUSY = 0;
const ENDING = 1;

/** Shared by the two. */
export type Turn = Int32Array;

export const createTurn = (): Turn => new Int32Array(new SharedArrayBuffer(8));

/** In the thread: does the work, unless the process is ending: then never. */
export async function inTurn(turn: Turn, work: () => Promise<void>): Promise<void> {
  Atomics.store(turn, BUSY, 1);
  const ending = Atomics.load(turn, ENDING) === 1;
  try {
    if (!ending) await work();
  } finally {
    Atomics.store(turn, BUSY, 0);
    Atomics.notify(turn, BUSY);
  }
  if (ending) await new Promise(() => undefined);
}

/** In the process as it exits: true once the thread is outside of its work for good, false after `ms`. */
export function endTurns(turn: Turn, ms: number): boolean {
  Atomics.store(turn, ENDING, 1);
  return Atomics.load(turn, BUSY) === 0 || Atomics.wait(turn, BUSY, 1, ms) !== 'timed-out';
}
