import { describe, expect, it } from 'vitest';
import { memoryByteEngine } from '../../src/adapters/memory/online-store.js';
import {
  activateGroups,
  applyBatch,
  type ByteEngine,
  expireGroup,
  type OnlineGroup,
  openGroup,
  SEAL,
  type SealSizes,
} from '../../src/core/engine/online/index.js';
import type { LogRecord } from '../../src/ports/record-log.js';
import fc from '../property.js';
import { MOVING_LOG } from './process-log.js';
import { aggregate, logs, readerOf, S, through, UNBOUNDED, WINDOWED } from './world.js';

const SEALS: readonly SealSizes[] = [
  { segment: 2, slack: 1, block: 1, fan: 1 },
  { segment: 3, slack: 1, block: 0, fan: 2 },
  { segment: 8, slack: 3, block: 2, fan: 1 },
  SEAL,
];

/** Every key and value, as text. */
const contents = (engine: ByteEngine): readonly (readonly [string, string])[] =>
  [...engine.keys(Buffer.alloc(0))].map((key) => [
    Buffer.from(key).toString('hex'),
    Buffer.from(engine.get(key)!).toString('hex'),
  ]);

/** The first key at which two stores differ, with both values. */
function difference(a: ByteEngine, b: ByteEngine): unknown {
  const [left, right] = [contents(a), contents(b)];
  const at = left.findIndex(([key, value], i) => key !== right[i]?.[0] || value !== right[i][1]);
  if (at >= 0) return [left[at], right[at]];
  return right.length > left.length ? [undefined, right[left.length]] : null;
}

/** Says of each record whether it is the first of its key, as the log does. */
function told(records: readonly LogRecord[]): readonly LogRecord[] {
  const seen = new Set<unknown>();
  return records.map((record) => {
    const version = seen.has(record.fields['id']) || record.deleted;
    seen.add(record.fields['id']);
    return { ...record, version };
  });
}

function applied(group: OnlineGroup, records: readonly LogRecord[], sizes: readonly number[]): ByteEngine {
  const engine = memoryByteEngine();
  openGroup(engine, group);
  let start = 0;
  for (const size of [...sizes, records.length]) {
    const batch = records.slice(Math.max(0, start - 1), start + size);
    if (batch.length > 0) applyBatch(engine, group, batch, through(records.slice(0, start + size)));
    start += size;
  }
  return engine;
}

const cuts = (most: number): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: 1, max: most }), { maxLength: 40 });

describe('the stored bytes', () => {
  it('are those of one application of the whole log, however it was streamed', () => {
    fc.assert(
      fc.property(
        logs(80),
        cuts(12),
        fc.constantFrom(...SEALS),
        fc.constantFrom(WINDOWED, UNBOUNDED),
        fc.boolean(),
        (records, sizes, seal, features, flagged) => {
          const { group } = readerOf(features, seal);
          const streamed = applied(group, flagged ? told(records) : records, sizes);
          expect(difference(streamed, applied(group, records, []))).toBeNull();
        },
      ),
      { numRuns: 150 },
    );
  });

  it('are the same over thousands of records that move, end and come back, in segments of any size', () => {
    for (const seal of [...SEALS, { segment: 32, slack: 8, block: 5, fan: 2 }]) {
      const { group } = readerOf([...UNBOUNDED, aggregate('sum', 'amount', 500 * S)], seal);
      const records = MOVING_LOG.slice(0, 2000);
      const whole = applied(group, records, []);
      expect(difference(applied(group, told(records), []), whole)).toBeNull();
      expect(difference(applied(group, records, Array(300).fill(1)), whole)).toBeNull();
      expect(difference(applied(group, told(records), Array(26).fill(77)), whole)).toBeNull();
    }
  });

  it('of a group whose process was stopped as it was dropped go when groups are next activated', () => {
    const { group } = readerOf(WINDOWED, SEAL);
    const engine = applied(group, MOVING_LOG.slice(0, 100), []);
    const name = [...engine.keys(Buffer.from([0, 0, 0, 0, 1]))];
    expect(name).toHaveLength(1);
    engine.write((bytes) => bytes.remove(name[0]!));
    expect([...engine.keys(Buffer.from([0, 0, 0, 1]))].length).toBeGreaterThan(0);
    activateGroups(engine, []);
    expect([...engine.keys(Buffer.from([0, 0, 0, 1]))]).toEqual([]);
  });

  it('are a function of what retention keeps, whenever it forgot the rest', () => {
    fc.assert(
      fc.property(
        logs(60),
        cuts(12),
        fc.nat(60),
        fc.integer({ min: 40, max: 70 }),
        fc.integer({ min: 0, max: 40 }),
        fc.constantFrom(...SEALS),
        (records, sizes, at, moment, later, seal) => {
          const { group } = readerOf(WINDOWED, seal);
          const often = applied(group, records.slice(0, at), sizes);
          expireGroup(often, group, moment * S);
          if (at < records.length) applyBatch(often, group, records, through(records));
          expireGroup(often, group, (moment + later) * S);
          const once = applied(group, records, []);
          expireGroup(once, group, (moment + later) * S);
          expect(difference(often, once)).toBeNull();
        },
      ),
      { numRuns: 80 },
    );
  });
});
