import { describe, expect, it } from 'vitest';
import { memoryOnlineStore } from '../../src/adapters/memory/online-store.js';
import type { Feature } from '../../src/core/define/types.js';
import { SEAL } from '../../src/core/engine/online/index.js';
import type { Value } from '../../src/core/schema/types.js';
import type { OnlineStore } from '../../src/ports/online-store.js';
import type { LogRecord } from '../../src/ports/record-log.js';
import fc from '../property.js';
import {
  aggregate,
  expected,
  logs,
  rawVersions,
  readerOf,
  S,
  through,
  UNBOUNDED,
  USERS,
  WINDOWED,
} from './world.js';

const SEALS = [{ segment: 2, slack: 1, block: 1, fan: 1 }, { segment: 4, slack: 2, block: 2, fan: 1 }, SEAL];
const KEYS: readonly (readonly Value[])[] = [
  ...USERS.map((user) => [user, 1]),
  ['b', 2],
  ['7', 1],
  [7, 1],
  [null, 1],
];

function check(
  store: OnlineStore,
  features: readonly Feature[],
  seal: (typeof SEALS)[number],
  applied: readonly LogRecord[],
  at: number,
): void {
  const reader = readerOf(features, seal);
  const log = rawVersions(applied);
  const { rows } = store.read(reader, KEYS, at);
  KEYS.forEach((key, i) => {
    const answers = expected(log, features, key, at);
    const got = features.map((feature, j) => [feature.name, rows[i]!.values[j], rows[i]!.statuses[j]]);
    const want = features.map((feature, j) => [feature.name, answers[j]!.value, answers[j]!.status]);
    expect(got, `key ${JSON.stringify(key)} at ${at}`).toStrictEqual(want);
  });
}

const batches = (length: number): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: 1, max: length }), { maxLength: 6 });

async function applyInBatches(
  store: OnlineStore,
  features: readonly Feature[],
  seal: (typeof SEALS)[number],
  records: readonly LogRecord[],
  sizes: readonly number[],
  after: (applied: readonly LogRecord[]) => void,
): Promise<void> {
  const { group } = readerOf(features, seal);
  await store.open(group);
  let start = 0;
  for (const size of [...sizes, records.length]) {
    const batch = records.slice(Math.max(0, start - 2), start + size);
    if (batch.length === 0) break;
    await store.apply(group, batch, through(batch));
    start = Math.min(records.length, start + size);
    after(records.slice(0, start));
  }
}

describe('an online read', () => {
  for (const [name, features] of [
    ['windows', WINDOWED],
    ['whole histories and states', UNBOUNDED],
  ] as const) {
    it(`is the oracle's value for ${name}, at the past, at edges and in the future, after every batch`, async () => {
      await fc.assert(
        fc.asyncProperty(
          logs(40),
          batches(20),
          fc.constantFrom(...SEALS),
          fc.array(fc.integer({ min: -2, max: 110 }), { minLength: 3, maxLength: 3 }),
          fc.boolean(),
          async (records, sizes, seal, instants, offEdge) => {
            const store = memoryOnlineStore();
            await applyInBatches(store, features, seal, records, sizes, (applied) => {
              for (const at of instants) check(store, features, seal, applied, at * S + (offEdge ? 1 : 0));
            });
          },
        ),
        { numRuns: 35 },
      );
    });
  }

  it('counts an event exactly at t - w and not one exactly at t', async () => {
    const features = [
      aggregate('count', null, 10 * S),
      aggregate('count', null, 10 * S, { includeCurrent: true }),
    ];
    const reader = readerOf(features);
    const store = memoryOnlineStore();
    await store.open(reader.group);
    const event = (id: number, at: number): LogRecord => ({
      fields: { id, user: 'b', shop: 1 },
      eventTime: at,
      availableAt: at,
      order: id,
      seq: id,
      deleted: false,
    });
    await store.apply(reader.group, [event(1, 0), event(2, 10 * S)], { seq: 2, availableAt: 10 * S });
    const at = (t: number): readonly Value[] => store.read(reader, [['b', 1]], t).rows[0]!.values;
    expect(at(10 * S)).toEqual([1, 2]);
    expect(at(10 * S + 1)).toEqual([1, 1]);
    expect(at(20 * S)).toEqual([1, 1]);
    expect(at(20 * S + 1)).toEqual([0, 0]);
    expect(at(0)).toEqual([0, 1]);
  });

  it('is the same over thousands of events in segments of the real size', async () => {
    const features = [
      ...[1, 60, 1000, 2000].flatMap((w) => [
        aggregate('count', null, w * S),
        aggregate('sum', 'amount', w * S),
        aggregate('min', 'amount', w * S),
        aggregate('mean', 'amount', w * S),
        aggregate('std', 'amount', w * S),
        aggregate('first', 'amount', w * S),
        aggregate('last', 'amount', w * S),
        aggregate('seconds_since_first', null, w * S),
      ]),
    ];
    const seal = SEALS[2]!;
    const records: LogRecord[] = Array.from({ length: 1500 }, (_, i) => {
      const eventTime = ((i * 7919) % 1500) * S;
      const corrects = i > 200 && i % 50 === 0;
      return {
        fields: { id: corrects ? i - 190 : i, user: 'b', shop: 1, amount: ((i * 31) % 1000) / 10 },
        eventTime,
        availableAt: eventTime + (i % 20 === 0 ? 300 * S : 0),
        order: i + 1,
        seq: i + 1,
        deleted: i % 97 === 0,
      };
    });
    const store = memoryOnlineStore();
    await applyInBatches(store, features, seal, records, [700, 1, 300], () => {});
    const reader = readerOf(features, seal);
    const log = rawVersions(records);
    for (const at of [400 * S, 777 * S + 1, 1900 * S]) {
      const row = store.read(reader, [['b', 1]], at).rows[0]!;
      const want = expected(log, features, ['b', 1], at);
      expect(row.values).toStrictEqual(want.map((answer) => answer.value));
      expect(row.statuses).toStrictEqual(want.map((answer) => answer.status));
    }
  });
});

describe('the applied state', () => {
  it('depends on the records alone, not on batches, repetitions or order of availability', async () => {
    await fc.assert(
      fc.asyncProperty(logs(60), batches(20), fc.constantFrom(...SEALS), async (records, sizes, seal) => {
        const [streamed, rebuilt] = [memoryOnlineStore(), memoryOnlineStore()];
        await applyInBatches(streamed, WINDOWED, seal, records, sizes, () => {});
        await applyInBatches(rebuilt, WINDOWED, seal, records, [], () => {});
        const { group } = readerOf(WINDOWED, seal);
        if (records.length === 0) return;
        expect([...streamed.dump(group)]).toStrictEqual([...rebuilt.dump(group)]);
        expect(streamed.applied(group)).toEqual(through(records));
        expect(streamed.groups()[0]).toMatchObject({
          events: rebuilt.groups()[0]!.events,
          entities: rebuilt.groups()[0]!.entities,
        });
      }),
      { numRuns: 60 },
    );
  });

  it('after retention still answers every t from then on as the oracle does, and refuses earlier ones', async () => {
    await fc.assert(
      fc.asyncProperty(
        logs(40),
        fc.nat(40),
        fc.integer({ min: 40, max: 100 }),
        fc.constantFrom(...SEALS),
        async (records, cut, moment, seal) => {
          if (records.length === 0) return;
          const reader = readerOf(WINDOWED, seal);
          const store = memoryOnlineStore();
          await store.open(reader.group);
          const early = records.slice(0, cut);
          if (early.length > 0) await store.apply(reader.group, early, through(early));
          const now = moment * S;
          expect(await store.expire(reader.group, now)).toBe(true);
          expect(() => store.read(reader, [['b', 1]], now - 1)).toThrow('too little');
          for (const at of [now, now + 11 * S]) check(store, WINDOWED, seal, early, at);
          await store.apply(reader.group, records, through(records));
          for (const at of [now, now + S, now + 45 * S]) check(store, WINDOWED, seal, records, at);
        },
      ),
      { numRuns: 35 },
    );
  });
});
