/**
 * What every record log must do, as named checks over the port alone. Run each against every adapter:
 * `for (const { name, run } of recordLogContract(open)) it(name, run)`.
 */
import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fingerprint } from '../core/base/fingerprint.js';
import { parseInstant } from '../core/base/time.js';
import type { Availability, RowRule, Source } from '../core/define/types.js';
import { BOOLEAN, decimal, FLOAT64, INT64, STRING, TIMESTAMP } from '../core/schema/types.js';
import type { LogRecord, RecordLog } from '../ports/record-log.js';

/** One thing that an adapter must do. `run` throws an AssertionError where it does otherwise. */
export interface ContractCheck {
  readonly name: string;
  run(): Promise<void>;
}

/** A log that a suite appends to, and how to close it. */
export interface OpenedLog {
  readonly log: RecordLog;
  close(): Promise<void>;
}

/** Opens the log of a project folder; called again after `close` it must find what was appended. */
export type OpenLog = (folder: string, sources: readonly Source[]) => Promise<OpenedLog>;

const range: RowRule = {
  id: 'amount.range',
  field: 'amount',
  check: { kind: 'range', min: 0, minExclusive: false, maxExclusive: false },
  severity: 'error',
  action: 'quarantine',
};

function orders(availableAt: Availability, rules: readonly RowRule[] = [range]): Source {
  const source = {
    name: 'orders',
    kind: 'events' as const,
    tags: [],
    read: { kind: 'files' as const, patterns: [] },
    recordKey: ['id'],
    eventTime: 'at',
    availableAt,
    deleted: 'gone',
    timezone: 'UTC',
    ambiguousTime: 'refuse' as const,
    fields: [
      { name: 'id', type: STRING },
      { name: 'at', type: TIMESTAMP },
      { name: 'seen', type: TIMESTAMP },
      { name: 'amount', type: decimal(2) },
      { name: 'items', type: INT64 },
      { name: 'score', type: FLOAT64 },
      { name: 'gone', type: BOOLEAN },
    ],
    keys: {},
    contract: { rows: rules, batch: [] },
  };
  const print = fingerprint(JSON.parse(JSON.stringify(source)));
  return { ...source, records: print, fingerprint: print };
}

const at = (text: string): number => parseInstant(text)!;
const NOW = at('2024-06-01T00:00:00Z');

async function all(
  log: RecordLog,
  source: Source,
  after = 0,
  through = Number.MAX_SAFE_INTEGER,
): Promise<LogRecord[]> {
  const out: LogRecord[] = [];
  for await (const chunk of log.read(source, after, through)) out.push(...chunk);
  return out;
}

/**
 * What every record log must do, a check each: run them with the test runner at hand, `test(check.name, check.run)`.
 */
export function recordLogContract(open: OpenLog): readonly ContractCheck[] {
  const check = (
    name: string,
    work: (tools: {
      readonly folder: string;
      reopen(): Promise<RecordLog>;
      readonly log: RecordLog;
      readonly source: Source;
    }) => Promise<void>,
    source: Source = orders({ kind: 'field', field: 'seen' }),
  ): ContractCheck => ({
    name,
    run: async () => {
      const folder = mkdtempSync(join(tmpdir(), 'millrace-log-'));
      let opened = await open(folder, [source]);
      try {
        await work({
          folder,
          source,
          log: opened.log,
          reopen: async () => {
            await opened.close();
            opened = await open(folder, [source]);
            return opened.log;
          },
        });
      } finally {
        await opened.close();
        rmSync(folder, { recursive: true, force: true });
      }
    },
  });
  const row = (id: string, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> => ({
    id,
    at: '2024-01-01T00:00:00Z',
    seen: '2024-01-01T01:00:00Z',
    amount: 1.5,
    ...more,
  });

  return [
    check('an empty log has no records and the state says so', async ({ log, source }) => {
      const state = await log.state(source);
      strictEqual(state.rows, 0);
      strictEqual(state.lastSeq, 0);
      strictEqual(state.maxAvailableAt, null);
      strictEqual(state.hasVersions, false);
      deepStrictEqual(await all(log, source), []);
    }),
    check('pushed rows are typed, numbered from 1 and read back in order', async ({ log, source }) => {
      const result = await log.ingestRows(
        source,
        [row('a'), row('007', { amount: '2.25', items: 9, score: -0 })],
        { now: NOW },
      );
      deepStrictEqual([result.rows, result.accepted, result.seq], [2, 2, 2]);
      const records = await all(log, source);
      deepStrictEqual(
        records.map((record) => record.seq),
        [1, 2],
      );
      strictEqual(records[1]!.fields['id'], '007');
      strictEqual(records[1]!.fields['amount'], 225);
      ok(Object.is(records[1]!.fields['score'], 0));
      strictEqual(records[1]!.fields['gone'], null);
      strictEqual(records[0]!.eventTime, at('2024-01-01T00:00:00Z'));
      strictEqual(records[0]!.availableAt, at('2024-01-01T01:00:00Z'));
    }),
    check('a file and a push give the same records', async ({ folder, log, source }) => {
      const file = join(folder, 'orders.csv');
      writeFileSync(
        file,
        'id,at,seen,amount,items,score,gone\na,2024-01-01T00:00:00Z,2024-01-01T01:00:00Z,1.50,,0.1,\n',
      );
      await log.ingestFiles(source, [file], { now: NOW });
      const again = await log.ingestRows(source, [row('a', { score: 0.1 })], { now: NOW });
      strictEqual(again.duplicates, 1);
      strictEqual((await log.state(source)).rows, 1);
    }),
    check(
      'the same rows again add nothing, in a batch, across batches and after reopening',
      async ({ log, source, reopen }) => {
        const first = await log.ingestRows(source, [row('a'), row('a'), row('b')], { now: NOW });
        deepStrictEqual([first.accepted, first.duplicates], [2, 1]);
        const second = await log.ingestRows(source, [row('b')], { now: NOW });
        deepStrictEqual([second.accepted, second.duplicates, second.seq], [0, 1, 2]);
        const reopened = await reopen();
        const third = await reopened.ingestRows(source, [row('a'), row('c')], { now: NOW });
        deepStrictEqual([third.accepted, third.duplicates, third.seq], [1, 1, 3]);
      },
    ),
    check(
      'a changed row with a known key is a new version, also of an older one',
      async ({ log, source }) => {
        await log.ingestRows(source, [row('a')], { now: NOW });
        strictEqual((await log.state(source)).hasVersions, false);
        const changed = await log.ingestRows(source, [row('a', { amount: 2 })], { now: NOW });
        deepStrictEqual([changed.accepted, changed.corrections], [1, 1]);
        strictEqual((await log.state(source)).hasVersions, true);
        // Every field, available_at included, equals the first version: a second delivery of it.
        const back = await log.ingestRows(source, [row('a')], { now: NOW });
        strictEqual(back.duplicates, 1);
      },
    ),
    check(
      'with availability of the append a value that comes back is a new version, a repeated one is not',
      async ({ log, source }) => {
        for (const [amount, accepted] of [
          [1, 1],
          [1, 0],
          [2, 1],
          [1, 1],
        ] as const) {
          const result = await log.ingestRows(source, [row('a', { amount })], { now: NOW + accepted });
          strictEqual(result.accepted, accepted);
        }
        strictEqual((await all(log, source))[0]!.availableAt, NOW + 1);
      },
      orders({ kind: 'append' }),
    ),
    check('a tombstone is kept as a record and needs only its key and its time', async ({ log, source }) => {
      const result = await log.ingestRows(source, [row('a', { amount: -5, gone: true })], { now: NOW });
      strictEqual(result.accepted, 1);
      strictEqual((await all(log, source))[0]!.deleted, true);
      strictEqual((await log.state(source)).hasVersions, true);
    }),
    check(
      'a refused row goes to quarantine with field, value and reason; the others are accepted',
      async ({ log, source, reopen }) => {
        const rows = [
          row('a'),
          row('b', { amount: -1 }),
          row('c', { at: '2024-02-30T00:00:00Z' }),
          row('d', { at: null }),
          { ...row('e'), id: null },
        ];
        const result = await log.ingestRows(source, rows, { now: NOW });
        deepStrictEqual([result.rows, result.accepted, result.quarantined], [5, 1, 4]);
        const reopened = await reopen();
        const held = await reopened.quarantine({ source: 'orders', status: 'open' });
        deepStrictEqual(
          held.map((entry) => entry.line),
          [2, 3, 4, 5],
        );
        deepStrictEqual(
          held.map((entry) => entry.reasons[0]!.rule),
          ['amount.range', 'at.type', 'at.not_null', 'id.not_null'],
        );
        strictEqual(held[1]!.reasons[0]!.field, 'at');
        strictEqual(held[1]!.reasons[0]!.value, '2024-02-30T00:00:00Z');
        deepStrictEqual(held[0]!.row, rows[1]);
      },
    ),
    check('replaying quarantined rows under mended rules settles them once', async ({ log, source }) => {
      await log.ingestRows(source, [row('a', { amount: -1 }), row('b', { at: 'never' })], { now: NOW });
      const lenient: Source = { ...source, fingerprint: 'mended', contract: { rows: [], batch: [] } };
      const held = await log.quarantine({ source: 'orders' });
      const replayed = await log.replay(lenient, held, { now: NOW });
      deepStrictEqual([replayed.rows, replayed.accepted, replayed.quarantined], [2, 1, 1]);
      deepStrictEqual(
        (await log.quarantine({ status: 'open' })).map((entry) => entry.row['id']),
        ['b'],
      );
      deepStrictEqual(
        (await log.quarantine({ status: 'replayed' })).map((entry) => entry.row['id']),
        ['a'],
      );
      const again = await log.replay(lenient, await log.quarantine({ source: 'orders' }), { now: NOW });
      deepStrictEqual([again.rows, again.quarantined], [1, 1]);
    }),
    check(
      'a broken rule with action fail refuses the whole batch and leaves the log as it was',
      async ({ log, source }) => {
        await rejects(log.ingestRows(source, [row('a'), row('b', { amount: -1 })], { now: NOW }), {
          code: 'BATCH_REFUSED',
        });
        strictEqual((await log.state(source)).rows, 0);
        strictEqual((await log.ingestRows(source, [row('a')], { now: NOW })).seq, 1);
      },
      orders({ kind: 'event_time' }, [{ ...range, action: 'fail' }]),
    ),
    check('reading takes (after, through]', async ({ log, source }) => {
      await log.ingestRows(
        source,
        ['a', 'b', 'c', 'd'].map((id) => row(id)),
        { now: NOW },
      );
      deepStrictEqual(
        (await all(log, source, 1, 3)).map((record) => record.fields['id']),
        ['b', 'c'],
      );
      deepStrictEqual(await all(log, source, 4), []);
    }),
    check(
      'files and pushes share one sequence, in the order of their coming',
      async ({ folder, log, source, reopen }) => {
        const file = join(folder, 'more.ndjson');
        writeFileSync(file, `${JSON.stringify(row('b'))}\n${JSON.stringify(row('c'))}\n`);
        await log.ingestRows(source, [row('a')], { now: NOW });
        strictEqual((await log.ingestFiles(source, [file], { now: NOW })).seq, 3);
        strictEqual((await log.ingestRows(source, [row('d'), row('b')], { now: NOW })).seq, 4);
        const reopened = await reopen();
        deepStrictEqual(
          (await all(reopened, source)).map((record) => [record.seq, record.fields['id']]),
          [
            [1, 'a'],
            [2, 'b'],
            [3, 'c'],
            [4, 'd'],
          ],
        );
        const state = await reopened.state(source);
        deepStrictEqual(
          [state.rows, state.lastSeq, state.maxAvailableAt],
          [4, 4, at('2024-01-01T01:00:00Z')],
        );
      },
    ),
    check('concurrent pushes get their own places and each record once', async ({ log, source }) => {
      const results = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          log.ingestRows(source, [row(`k${i}`), row('shared')], { now: NOW }),
        ),
      );
      strictEqual(
        results.reduce((sum, result) => sum + result.accepted, 0),
        51,
      );
      strictEqual(
        results.reduce((sum, result) => sum + result.duplicates, 0),
        49,
      );
      const records = await all(log, source);
      deepStrictEqual(
        records.map((record) => record.seq),
        Array.from({ length: 51 }, (_, i) => i + 1),
      );
      strictEqual(new Set(records.map((record) => record.fields['id'])).size, 51);
    }),
    check('a state is a snapshot: later appends do not change what it holds', async ({ log, source }) => {
      await log.ingestRows(source, [row('a')], { now: NOW });
      const before = await log.state(source);
      await log.ingestRows(source, [row('b')], { now: NOW });
      strictEqual(before.rows, 1);
      strictEqual(before.lastSeq, 1);
      strictEqual((await log.state(source)).lastSeq, 2);
    }),
  ];
}
