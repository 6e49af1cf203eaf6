/** One fixed log with late records and records that move, and how the child processes apply it. */
import type { OnlineGroup, OnlineReader } from '../../src/core/engine/online/index.js';
import type { Value } from '../../src/core/schema/types.js';
import type { OnlineStore } from '../../src/ports/online-store.js';
import type { LogRecord } from '../../src/ports/record-log.js';
import { aggregate, readerOf, S, through, UNBOUNDED } from './world.js';

const LENGTH = 6000;
const ENTITIES = 5;

/** `corrects`: every 7th record is a new version of an earlier one, which may move it. */
export function fixedLog(corrects: boolean): readonly LogRecord[] {
  let seed = 7;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  return Array.from({ length: LENGTH }, (_, i) => {
    const eventTime = (i - random(400)) * S;
    const again = corrects && i > 50 && i % 7 === 0;
    return {
      fields: {
        id: again ? random(i) : i,
        user: `user ${random(ENTITIES)}`,
        shop: 1,
        amount: random(10_000) / 100,
        kind: 'abc'[random(3)]!,
      },
      eventTime,
      availableAt: eventTime + random(50) * S,
      order: i + 1,
      seq: i + 1,
      deleted: again && random(5) === 0,
    };
  });
}

export const CRASH_LOG = fixedLog(false);
export const MOVING_LOG = fixedLog(true);
export const WATCHED: readonly (readonly Value[])[] = Array.from({ length: ENTITIES }, (_, i) => [
  `user ${i}`,
  1,
]);

export const crashReader = (): OnlineReader =>
  readerOf([aggregate('count', null, null), ...UNBOUNDED, aggregate('sum', 'amount', 500 * S)], {
    segment: 16,
    slack: 4,
    block: 4,
    fan: 2,
  });

const BATCH = 50;

export async function applyFrom(
  store: OnlineStore,
  group: OnlineGroup,
  log: readonly LogRecord[],
): Promise<void> {
  for (let seq = store.applied(group)!.seq; seq < log.length; seq += BATCH) {
    const batch = log.slice(seq, seq + BATCH);
    await store.apply(group, batch, through(batch));
    await new Promise((resolve) => setImmediate(resolve));
  }
}
