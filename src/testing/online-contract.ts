/**
 * What every online store must do, as named checks over the port alone. Run each against every adapter:
 * `for (const { name, run } of onlineStoreContract(open)) it(name, run)`.
 */
import { deepStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fingerprint } from '../core/base/fingerprint.js';
import type { Feature, Source } from '../core/define/types.js';
import { draftOf, type OnlineReader, planGroup, planReader } from '../core/engine/online/index.js';
import { FLOAT64, INT64, STRING, type Value } from '../core/schema/types.js';
import type { OnlineStore } from '../ports/online-store.js';
import type { LogRecord } from '../ports/record-log.js';
import type { ContractCheck } from './log-contract.js';

/** Opens the store of a folder. */
export type OpenOnlineStore = (folder: string) => OnlineStore;

const shape = {
  name: 'clicks',
  kind: 'events' as const,
  tags: [],
  read: { kind: 'push' as const },
  recordKey: ['id'],
  eventTime: 'at',
  availableAt: { kind: 'event_time' as const },
  timezone: 'UTC',
  ambiguousTime: 'refuse' as const,
  fields: [
    { name: 'id', type: STRING },
    { name: 'user', type: STRING },
    { name: 'amount', type: FLOAT64 },
    { name: 'page', type: STRING },
  ],
  keys: {},
  contract: { rows: [], batch: [] },
};
const print = fingerprint(JSON.parse(JSON.stringify(shape)));
const SOURCE: Source = { ...shape, records: print, fingerprint: print };

const feature = (
  name: string,
  fn: 'count' | 'sum' | 'last',
  field: string | null,
  window: number | null,
): Feature => ({
  name,
  fingerprint: name,
  tags: [],
  entities: ['user'],
  joinKeys: ['user'],
  computation: {
    kind: 'aggregation',
    function: fn,
    source: 'clicks',
    field,
    arguments: { ignoreNulls: false },
    window,
    offset: 0,
    includeCurrent: false,
    where: null,
    ratioWhere: null,
    groupBy: null,
  },
  valueType: fn === 'count' ? INT64 : FLOAT64,
  default: undefined,
  dependsOn: [],
  requestFields: [],
});

const plan = (features: readonly Feature[]): OnlineReader => {
  const group = planGroup({
    id: 'clicks(user)',
    source: SOURCE,
    joinKeys: [{ name: 'user', type: STRING }],
    keyFields: ['user'],
    features,
    searches: [],
  });
  return planReader(group, features, SOURCE);
};

const RECENT = plan([
  feature('n', 'count', null, 1000),
  feature('s', 'sum', 'amount', 1000),
  feature('p', 'last', 'page', 1000),
]);
const EVER = plan([feature('n', 'count', null, null), feature('s', 'sum', 'amount', null)]);

const click = (
  seq: number,
  user: Value,
  at: number,
  more: Partial<LogRecord> & { readonly id?: string; readonly amount?: number } = {},
): LogRecord => {
  const { id = `r${seq}`, amount = seq, ...rest } = more;
  return {
    fields: { id, user, amount, page: `page ${seq}` },
    eventTime: at,
    availableAt: at,
    order: seq,
    seq,
    deleted: false,
    ...rest,
  };
};

const values = (store: OnlineStore, reader: OnlineReader, user: Value, at: number): readonly Value[] =>
  store.read(reader, [[user]], at).rows[0]!.values;

type Body = (store: OnlineStore, reopen: () => Promise<OnlineStore>) => Promise<void>;

/** `durable`: what was applied is there after `close` and another `open`. */
export function onlineStoreContract(open: OpenOnlineStore, durable: boolean): readonly ContractCheck[] {
  const check = (name: string, body: Body): ContractCheck => ({
    name,
    run: async () => {
      const folder = mkdtempSync(join(tmpdir(), 'millrace-online-'));
      let store = open(folder);
      try {
        await body(store, async () => {
          await store.close();
          store = open(folder);
          return store;
        });
      } finally {
        await store.close();
        rmSync(folder, { recursive: true, force: true });
      }
    },
  });
  const checks = [
    check('refuses to read or apply a group that was not opened', async (store) => {
      throws(() => store.read(RECENT, [['a']], 0), { code: 'NOT_MATERIALIZED' });
      await rejects(store.apply(RECENT.group, [], { seq: 1, availableAt: null }), {
        code: 'NOT_MATERIALIZED',
      });
      strictEqual(store.applied(RECENT.group), null);
    }),
    check('gives values that move with the clock, and says through what it has applied', async (store) => {
      await store.open(RECENT.group);
      await store.apply(RECENT.group, [click(1, 'a', 100), click(2, 'a', 200), click(3, 'b', 250)], {
        seq: 3,
        availableAt: 250,
      });
      const { rows, applied } = store.read(RECENT, [['a'], ['nobody'], [null]], 300);
      deepStrictEqual(rows[0], { values: [2, 3, 'page 2'], statuses: ['ok', 'ok', 'ok'] });
      deepStrictEqual(rows[1], {
        values: [0, null, null],
        statuses: ['never_seen', 'never_seen', 'never_seen'],
      });
      deepStrictEqual(rows[2], rows[1]);
      deepStrictEqual(applied, { seq: 3, availableAt: 250 });
      deepStrictEqual(values(store, RECENT, 'a', 1150), [1, 2, 'page 2']);
      deepStrictEqual(store.read(RECENT, [['a']], 1300).rows[0], {
        values: [0, null, null],
        statuses: ['empty', 'empty', 'empty'],
      });
    }),
    check('skips what was applied before', async (store) => {
      await store.open(RECENT.group);
      const batch = [click(1, 'a', 100), click(2, 'a', 200)];
      await store.apply(RECENT.group, batch, { seq: 2, availableAt: 200 });
      const dump = JSON.stringify([...store.dump(RECENT.group)]);
      deepStrictEqual(await store.apply(RECENT.group, batch, { seq: 2, availableAt: 200 }), {
        seq: 2,
        availableAt: 200,
      });
      strictEqual(JSON.stringify([...store.dump(RECENT.group)]), dump);
      await store.apply(RECENT.group, [...batch, click(3, 'a', 300)], { seq: 3, availableAt: 300 });
      deepStrictEqual(values(store, RECENT, 'a', 400), [3, 6, 'page 3']);
    }),
    check('moves, ends and brings back records', async (store) => {
      await store.open(EVER.group);
      const apply = (record: LogRecord) =>
        store.apply(EVER.group, [record], { seq: record.seq, availableAt: record.availableAt });
      await apply(click(1, 'a', 100, { id: 'x' }));
      await apply(click(2, 'b', 50, { id: 'x', availableAt: 300 }));
      deepStrictEqual(
        [values(store, EVER, 'a', 299), values(store, EVER, 'a', 300)],
        [
          [1, 1],
          [0, null],
        ],
      );
      deepStrictEqual(values(store, EVER, 'b', 300), [1, 2]);
      await apply(click(3, null, 50, { id: 'x', availableAt: 400, deleted: true }));
      deepStrictEqual(
        [values(store, EVER, 'b', 399), values(store, EVER, 'b', 400)],
        [
          [1, 2],
          [0, null],
        ],
      );
      strictEqual(store.read(EVER, [['b']], 400).rows[0]!.statuses[0], 'never_seen');
      await apply(click(4, 'b', 60, { id: 'x', availableAt: 500 }));
      deepStrictEqual(values(store, EVER, 'b', 500), [1, 4]);
      await apply(click(5, 'b', 60, { id: 'x', availableAt: 350 }));
      deepStrictEqual(
        [350, 400, 500].map((at) => values(store, EVER, 'b', at)),
        [
          [1, 5],
          [0, null],
          [1, 4],
        ],
      );
    }),
    check('leaves everything as it was when a batch fails', async (store) => {
      await store.open(RECENT.group);
      await store.apply(RECENT.group, [click(1, 'a', 100)], { seq: 1, availableAt: 100 });
      const [groups, dump] = [store.groups(), [...store.dump(RECENT.group)]];
      const poisoned = click(3, 'b', 200);
      Object.defineProperty(poisoned.fields, 'page', {
        get: () => {
          throw new Error('poison');
        },
      });
      await rejects(
        store.apply(RECENT.group, [click(2, 'a', 150), poisoned], { seq: 3, availableAt: 200 }),
        /poison/,
      );
      deepStrictEqual([store.groups(), [...store.dump(RECENT.group)]], [groups, dump]);
      await store.apply(RECENT.group, [click(2, 'a', 150)], { seq: 2, availableAt: 150 });
      deepStrictEqual(values(store, RECENT, 'a', 160), [2, 3, 'page 2']);
    }),
    check('tells keys apart exactly, however long', async (store) => {
      await store.open(EVER.group);
      const long = 'x'.repeat(3000);
      const users = ['007', '7', 'é', 'e\u0301', '', 'a\u0000b', '\ud800', `${long}1`, `${long}2`];
      await store.apply(
        EVER.group,
        users.map((user, i) => click(i + 1, user, 100, { id: `${long}${i}` })),
        { seq: users.length, availableAt: 100 },
      );
      deepStrictEqual(
        users.map((user) => values(store, EVER, user, 200)[1]),
        users.map((_, i) => i + 1),
      );
      strictEqual(values(store, EVER, 7, 200)[0], 0);
      strictEqual(store.groups()[0]!.entities, users.length);
    }),
    check('keeps groups apart and changes which serve in one step', async (store) => {
      await store.open(RECENT.group);
      await store.open(EVER.group);
      await store.apply(RECENT.group, [click(1, 'a', 100)], { seq: 1, availableAt: 100 });
      await store.activate([RECENT.group.fingerprint]);
      deepStrictEqual(store.active(), [RECENT.group.fingerprint]);
      strictEqual(values(store, EVER, 'a', 200)[0], 0);
      await rejects(store.activate(['unknown']), { code: 'NOT_MATERIALIZED' });
      deepStrictEqual(store.active(), [RECENT.group.fingerprint]);
      await store.activate([EVER.group.fingerprint]);
      strictEqual(await store.drop(RECENT.group.fingerprint), true);
      strictEqual(await store.drop(RECENT.group.fingerprint), false);
      throws(() => store.read(RECENT, [['a']], 200), { code: 'NOT_MATERIALIZED' });
      await store.open(RECENT.group);
      deepStrictEqual(store.applied(RECENT.group), { seq: 0, availableAt: null });
      strictEqual(values(store, RECENT, 'a', 200)[0], 0);
    }),
    check('builds a draft beside what serves and publishes it in one step', async (store) => {
      const draft = draftOf(RECENT.group);
      await rejects(store.publish(RECENT.group), { code: 'NOT_MATERIALIZED' });
      await store.open(RECENT.group);
      await store.apply(RECENT.group, [click(1, 'a', 100)], { seq: 1, availableAt: 100 });
      await store.open(draft);
      await store.apply(draft, [click(1, 'a', 100), click(2, 'a', 150)], { seq: 2, availableAt: 150 });
      deepStrictEqual(values(store, RECENT, 'a', 200), [1, 1, 'page 1']);
      await store.publish(RECENT.group);
      deepStrictEqual(values(store, RECENT, 'a', 200), [2, 3, 'page 2']);
      strictEqual(store.applied(draft), null);
      deepStrictEqual(
        store.groups().map(({ fingerprint, events }) => [fingerprint, events]),
        [[RECENT.group.fingerprint, 2]],
      );
    }),
    check('does not look for earlier versions of what is said to be the first of its key', async (store) => {
      await store.open(EVER.group);
      const first = { ...click(1, 'a', 100, { id: 'x' }), version: false };
      await store.apply(EVER.group, [first], { seq: 1, availableAt: 100 });
      const again = { ...click(2, 'b', 100, { id: 'x', availableAt: 200 }), version: true };
      const other = { ...click(3, 'b', 100, { id: 'y' }), version: false };
      await store.apply(EVER.group, [again, other], { seq: 3, availableAt: 200 });
      await store.apply(
        EVER.group,
        [click(4, 'c', 100, { id: 'z' })],
        { seq: 4, availableAt: 200 },
        { firsts: true },
      );
      deepStrictEqual(
        ['a', 'b', 'c'].map((user) => values(store, EVER, user, 300)),
        [
          [0, null],
          [2, 5],
          [1, 4],
        ],
      );
    }),
    check('counts entities, events and bytes', async (store) => {
      await store.open(RECENT.group);
      const records = Array.from({ length: 1000 }, (_, i) => click(i + 1, `user ${i % 3}`, i * 10));
      for (let i = 0; i < 1000; i += 250)
        await store.apply(RECENT.group, records.slice(i, i + 250), { seq: i + 250, availableAt: i * 10 });
      const [group] = store.groups();
      strictEqual(group!.entities, 3);
      strictEqual(group!.events, 1000);
      ok(group!.bytes > 1000 * 48 && group!.bytes < 1000 * 400, `${group!.bytes} bytes`);
      strictEqual(await store.expire(RECENT.group, 9000), true);
      strictEqual(store.groups()[0]!.events, 200);
      ok(store.groups()[0]!.bytes < group!.bytes);
      throws(() => store.read(RECENT, [['user 0']], 8999), { code: 'REQUEST_INVALID' });
      strictEqual(await store.expire(EVER.group, 9000), false);
    }),
  ];
  if (!durable) return checks;
  return [
    ...checks,
    check('finds everything again after it was closed', async (store, reopen) => {
      await store.open(RECENT.group);
      await store.apply(RECENT.group, [click(1, 'a', 100)], { seq: 1, availableAt: 100 });
      await store.activate([RECENT.group.fingerprint]);
      const dump = [...store.dump(RECENT.group)];
      const again = await reopen();
      strictEqual(again.condition, 'ready');
      deepStrictEqual([[...again.dump(RECENT.group)], again.active()], [dump, [RECENT.group.fingerprint]]);
      await again.apply(RECENT.group, [click(1, 'a', 100), click(2, 'a', 150)], { seq: 2, availableAt: 150 });
      deepStrictEqual(values(again, RECENT, 'a', 200), [2, 3, 'page 2']);
    }),
  ];
}
