import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import { afterEach, describe, expect, it } from 'vitest';
import { type OpenedProject, openProject } from '../../src/open.js';
import { runTransform } from '../../src/services/transform.js';
import { transformKind } from '../../src/services/transform-sql.js';
import { transformState } from '../../src/services/transform-state.js';
import fc from '../property.js';

const BASE = `
entities: [{ name: user, join_key: user_id }]
sources:
  - name: orders
    read: push
    record_key: id
    event_time: ts
    available_at: known
    deleted: gone
    fields: { id: int64, user_id: int64, total: int64, ts: timestamp, known: timestamp, gone: boolean }
  - name: refunds
    read: push
    record_key: id
    event_time: ts
    fields: { id: int64, total: int64, ts: timestamp }
transforms:
`;

const open: { project: OpenedProject; folder: string }[] = [];
afterEach(async () => {
  for (const { project, folder } of open.splice(0)) {
    await project.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

async function project(transforms: string): Promise<OpenedProject> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-transform-'));
  mkdirSync(join(folder, 'definitions'));
  writeFileSync(join(folder, 'millrace.yaml'), 'project: shop\n');
  writeFileSync(join(folder, 'definitions/all.yaml'), BASE + transforms);
  let now = Date.UTC(2024, 5, 1) * 1000;
  const opened = await openProject(folder, { now: () => ++now });
  open.push({ project: opened, folder });
  return opened;
}

interface Order {
  readonly id: number;
  readonly user_id?: number;
  readonly total: number;
  readonly day?: number;
  readonly known?: number;
  readonly gone?: boolean;
}

const instant = (day: number): string => new Date(Date.UTC(2024, 0, 1 + day)).toISOString();

async function push(opened: OpenedProject, source: string, rows: readonly Order[]): Promise<void> {
  const log = await opened.log();
  const { accepted, rows: n } = await log.ingestRows(
    opened.definitions.sources.get(source)!,
    rows.map(({ id, user_id = 1, total, day = 1, known = day, gone = false }) =>
      source === 'orders'
        ? { id, user_id, total, ts: instant(day), known: instant(known), gone }
        : { id, total, ts: instant(day) },
    ),
    { now: opened.now() },
  );
  expect(accepted).toBeLessThanOrEqual(n);
}

/** What is known in the end of a source, by record key, with the instant it is known from. */
async function known(opened: OpenedProject, name: string): Promise<Record<string, unknown>> {
  const log = await opened.log();
  const source = opened.definitions.sources.get(name)!;
  const latest = new Map<string, { order: readonly number[]; deleted: boolean; fields: unknown }>();
  for await (const chunk of log.read(source, 0, (await log.state(source)).lastSeq))
    for (const record of chunk) {
      const key = source.recordKey.map((field) => String(record.fields[field])).join('|');
      const order = [record.availableAt, record.order, record.seq];
      const before = latest.get(key);
      const later =
        !before ||
        order.some(
          (part, i) => part > before.order[i]! && order.slice(0, i).every((p, j) => p === before.order[j]),
        );
      if (later) latest.set(key, { order, deleted: record.deleted, fields: record.fields });
    }
  return Object.fromEntries(
    [...latest]
      .filter(([, record]) => !record.deleted)
      .map(([key, { fields }]) => [key, fields])
      .sort(),
  );
}

const TOTALS = `
  - name: totals
    sql: SELECT user_id, sum(total) AS total, max(ts) AS ts FROM orders GROUP BY user_id
    record_key: user_id
    event_time: ts
    fields: { user_id: int64, total: int64, ts: timestamp }
`;

const BIG = `
  - name: big
    sql: SELECT id, user_id, total * 2 AS twice, ts FROM orders WHERE total > 10
    record_key: id
    event_time: ts
    fields: { id: int64, user_id: int64, twice: int64, ts: timestamp }
`;

describe('a run of a transform', () => {
  it('is in the log together with how far it has read, or not at all', async () => {
    const opened = await project(
      '  - { name: copies, record_key: id, event_time: ts, sql: "SELECT * FROM refunds", fields: { id: int64, total: int64, ts: timestamp } }\n',
    );
    const copies = opened.definitions.sources.get('copies')!;
    const log = await opened.log();
    await push(opened, 'refunds', [{ id: 1, total: 5 }]);
    const db = new DatabaseSync(opened.definitions.settings.registry);
    db.exec(`CREATE TRIGGER stopped BEFORE INSERT ON fact WHEN new.name = 'transform_applied:copies'
      BEGIN SELECT raise(ABORT, 'stopped at the mark'); END`);
    await expect(runTransform(opened, 'copies')).rejects.toThrow('stopped at the mark');
    expect((await log.state(copies)).rows).toBe(0);
    expect(await log.batches('copies')).toEqual([]);
    expect(await transformState(opened, copies)).toMatchObject({ stale: 'never computed' });
    db.exec('DROP TRIGGER stopped');
    db.close();
    // A star takes the parents' clocks along, which are no fields.
    expect(await runTransform(opened, 'copies')).toMatchObject({ accepted: 1, duplicates: 0, warnings: [] });
    expect(await transformState(opened, copies)).toMatchObject({ stale: null });
  });
});

describe('what a transform no longer gives', () => {
  it('is taken back, known from the instant at which the parents made it so', async () => {
    const opened = await project(BIG);
    await push(opened, 'orders', [
      { id: 1, total: 20 },
      { id: 2, total: 30 },
    ]);
    expect(await runTransform(opened, 'big')).toMatchObject({ rows: 2, accepted: 2 });
    // A correction that becomes known on day 9 takes the order below the limit.
    await push(opened, 'orders', [{ id: 1, total: 5, known: 9 }]);
    const result = await runTransform(opened, 'big', { full: true });
    expect(result).toMatchObject({ rows: 2, accepted: 1, duplicates: 1, corrections: 1 });
    expect(Object.keys(await known(opened, 'big'))).toEqual(['2']);
    const log = await opened.log();
    const big = opened.definitions.sources.get('big')!;
    const records = [];
    for await (const chunk of log.read(big, 0, 99)) records.push(...chunk);
    expect(records.at(-1)).toMatchObject({
      deleted: true,
      availableAt: Date.parse(instant(9)) * 1000,
      eventTime: Date.parse(instant(1)) * 1000,
    });
    // Nothing more to say.
    expect(await runTransform(opened, 'big', { full: true })).toMatchObject({ accepted: 0 });
  });

  it('comes back when it is given again, and a value that returns is the value again', async () => {
    const opened = await project(BIG + TOTALS);
    const turns = [20, 30, 20, 5, 20, 5, 20];
    for (const [turn, total] of turns.entries()) {
      const expected = total > 10 ? total * 2 : undefined;
      await push(opened, 'orders', [{ id: 1, total, known: turn }]);
      for (const name of ['big', 'totals']) await runTransform(opened, name, { full: true });
      const big = (await known(opened, 'big')) as Record<string, { twice: number }>;
      expect(big['1']?.twice, `turn ${turn}`).toBe(expected);
      expect(await known(opened, 'totals')).toMatchObject({ 1: { total } });
      expect((await runTransform(opened, 'big', { full: true })).accepted).toBe(0);
      expect((await runTransform(opened, 'totals', { full: true })).accepted).toBe(0);
    }
  });

  it('stays where the query is another at every run, or says itself what is deleted', async () => {
    const opened = await project(`
  - name: recent
    sql: SELECT id, total, ts FROM orders WHERE ts > now() - INTERVAL 10000 DAY AND total > 10
    record_key: id
    event_time: ts
    fields: { id: int64, total: int64, ts: timestamp }
  - name: marked
    sql: SELECT id, total, ts, false AS away FROM orders WHERE total > 10
    record_key: id
    event_time: ts
    deleted: away
    fields: { id: int64, total: int64, ts: timestamp, away: boolean }
`);
    await push(opened, 'orders', [{ id: 1, total: 20 }]);
    for (const name of ['recent', 'marked']) await runTransform(opened, name);
    await push(opened, 'orders', [{ id: 1, total: 5 }]);
    for (const name of ['recent', 'marked']) {
      await runTransform(opened, name, { full: true });
      expect(Object.keys(await known(opened, name)), name).toEqual(['1']);
    }
  });

  it('keeps what was refused at the door apart from what is gone', async () => {
    const opened = await project(`${BIG}    contract: { twice: { range: [0, 100] } }\n`);
    await push(opened, 'orders', [{ id: 1, total: 20 }]);
    await runTransform(opened, 'big');
    await push(opened, 'orders', [{ id: 1, total: 90 }]);
    expect(await runTransform(opened, 'big')).toMatchObject({ quarantined: 1, accepted: 0 });
    expect(await known(opened, 'big')).toMatchObject({ 1: { twice: 40 } });
  });
});

const UNION = `
  - name: both
    sql: SELECT 'order' AS kind, id, total, ts FROM orders WHERE total > 3 UNION ALL SELECT 'refund', id, -total, ts FROM refunds
    record_key: [kind, id]
    event_time: ts
    fields: { kind: string, id: int64, total: int64, ts: timestamp }
`;

describe('new records alone', () => {
  it('give the same records as everything again, corrections and tombstones of the parents included', async () => {
    const order = fc.record({
      id: fc.integer({ min: 1, max: 5 }),
      user_id: fc.integer({ min: 1, max: 2 }),
      total: fc.integer({ min: 0, max: 20 }),
      day: fc.integer({ min: 1, max: 3 }),
      known: fc.integer({ min: 1, max: 6 }),
      gone: fc.boolean(),
    });
    const batch = fc.record({
      source: fc.constantFrom('orders', 'orders', 'refunds'),
      rows: fc.array(order, { minLength: 1, maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { minLength: 2, maxLength: 5 }), async (batches) => {
        const names = ['big', 'both'];
        const [steps, whole] = [await project(BIG + UNION), await project(BIG + UNION)];
        for (const name of names)
          expect((await transformKind(steps, steps.definitions.sources.get(name)!)).kind).not.toBe('full');
        for (const { source, rows } of batches) {
          for (const opened of [steps, whole]) await push(opened, source, rows);
          for (const name of names) {
            await runTransform(steps, name);
            await runTransform(whole, name, { full: true });
          }
        }
        for (const name of names) {
          const expected = await known(whole, name);
          expect(await known(steps, name)).toEqual(expected);
          // A full run finds nothing to add.
          expect((await runTransform(steps, name, { full: true })).accepted).toBe(0);
          expect(await known(steps, name)).toEqual(expected);
        }
        for (const { project: opened, folder } of open.splice(0)) {
          await opened.close();
          rmSync(folder, { recursive: true, force: true });
        }
      }),
      { numRuns: 4, seed: 7 },
    );
  });

  it('come to what the query says of everything, where it joins, deduplicates and groups', async () => {
    const definitions = `${TOTALS}
  - name: paid
    sql: SELECT o.id, o.total - coalesce(r.total, 0) AS total, o.ts FROM orders o LEFT JOIN refunds r USING (id)
    record_key: id
    event_time: ts
    fields: { id: int64, total: int64, ts: timestamp }
  - name: first_of_user
    sql: SELECT * FROM (SELECT user_id, id, ts FROM orders) QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY ts, id) = 1
    record_key: user_id
    event_time: ts
    fields: { user_id: int64, id: int64, ts: timestamp }
`;
    const names = ['totals', 'paid', 'first_of_user'];
    const row = fc.record({
      id: fc.integer({ min: 1, max: 4 }),
      user_id: fc.integer({ min: 1, max: 2 }),
      total: fc.integer({ min: 0, max: 9 }),
      day: fc.integer({ min: 1, max: 3 }),
      gone: fc.boolean(),
    });
    const batch = fc.record({
      source: fc.constantFrom('orders', 'orders', 'refunds'),
      rows: fc.array(row, { minLength: 1, maxLength: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { minLength: 2, maxLength: 4 }), async (batches) => {
        const [steps, once] = [await project(definitions), await project(definitions)];
        for (const [at, { source, rows }] of batches.entries()) {
          const known = rows.map((one) => ({ ...one, known: 10 + at }));
          for (const opened of [steps, once]) await push(opened, source, known);
          for (const name of names) await runTransform(steps, name);
        }
        for (const name of names) {
          await runTransform(once, name);
          expect(await known(steps, name)).toEqual(await known(once, name));
        }
        for (const { project: opened, folder } of open.splice(0)) {
          await opened.close();
          rmSync(folder, { recursive: true, force: true });
        }
      }),
      { numRuns: 4, seed: 11 },
    );
  });

  it('are all that is read', async () => {
    const opened = await project(BIG);
    await push(
      opened,
      'orders',
      Array.from({ length: 50 }, (_, i) => ({ id: i, total: 20 })),
    );
    expect(await runTransform(opened, 'big')).toMatchObject({ rows: 50, accepted: 50 });
    await push(opened, 'orders', [{ id: 100, total: 30 }]);
    expect(await runTransform(opened, 'big')).toMatchObject({ rows: 1, accepted: 1, duplicates: 0 });
    expect(await runTransform(opened, 'big')).toMatchObject({ rows: 0, accepted: 0 });
  });
});
