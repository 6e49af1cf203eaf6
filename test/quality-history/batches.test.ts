import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { parseInstant } from '../../src/core/base/time.js';
import { type OpenedProject, openProject } from '../../src/open.js';
import { findBatch, listBatches, markBatch } from '../../src/services/batches.js';
import { buildDataset } from '../../src/services/build-dataset.js';
import { dropQuarantined, ingestFiles, replayQuarantine } from '../../src/services/ingest.js';
import { listFlagged } from '../../src/services/marked-records.js';
import { readSource } from '../../src/services/read-source.js';
import { sourceStatuses } from '../../src/services/source-status.js';
import { start } from '../http/support.js';

const DEFINITIONS = `
entities:
  - { name: city, join_key: city }
sources:
  - name: orders
    read: push
    record_key: id
    event_time: at
    available_at: event_time
    fields: { id: int64, at: timestamp, city: string, price: float64 }
    contract:
      price: { range: [0, 100] }
      city: { not_null: true }
    history: { row_count: fail, seasonality: none }
    service_levels:
      passing: 0.99
      freshness: 2h
features:
  - { name: city_orders, entity: city, aggregation: { function: count, source: orders, window: 7d } }
datasets:
  - name: training
    observations: { source: orders }
    features: [city_orders]
`;

const undo: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const START = parseInstant('2026-03-01T00:00:00Z')!;
const HOUR = 3_600_000_000;

interface World {
  readonly project: OpenedProject;
  readonly folder: string;
  clock: number;
  /** An ingest reads all files that the source names. */
  readAll: boolean;
  /** Writes a file of so many rows, the first of them bad, and ingests it an hour after the one before. */
  ingest(rows: number, bad?: number): ReturnType<typeof ingestFiles>;
}

async function world(
  definitions = DEFINITIONS,
  options: { ignoreAvailability?: boolean } = {},
): Promise<World> {
  const folder = mkdtempSync(path.join(tmpdir(), 'millrace-batches-'));
  undo.push(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(path.join(folder, 'definitions'));
  writeFileSync(path.join(folder, 'millrace.yaml'), 'project: shop\n');
  writeFileSync(path.join(folder, 'definitions/all.yaml'), definitions);
  const at = { clock: START, readAll: false };
  const project = await openProject(folder, { now: () => at.clock, ...options });
  undo.push(() => project.close());
  let id = 0;
  const source = project.definitions.sources.get('orders')!;
  return Object.assign(at, {
    project,
    folder,
    ingest: async (rows: number, bad = 0) => {
      at.clock += HOUR;
      const time = new Date(at.clock / 1000 - 60_000).toISOString();
      const lines = Array.from({ length: rows }, (_, i) =>
        [++id, time, ['Bonn', 'Kiel'][i % 2], i < bad ? -1 : 10 + (id % 7)].join(','),
      );
      const file = path.join(folder, `${at.clock}.csv`);
      writeFileSync(file, `id,at,city,price\n${lines.join('\n')}${rows > 0 ? '\n' : ''}`);
      return at.readAll ? (await readSource(project, source))! : ingestFiles(project, source, [file]);
    },
  });
}

describe('batches', () => {
  it('with columns that the definition does not know is refused where `schema_changes` says so', async () => {
    const at = await world(
      DEFINITIONS.replace('read: push', 'read: push\n    schema_changes: { added: refuse }'),
    );
    const source = at.project.definitions.sources.get('orders')!;
    const file = path.join(at.folder, 'more.csv');
    writeFileSync(file, 'id,at,city,price,channel\n1,2026-03-01T00:00:00Z,Bonn,1,web\n');
    await expect(ingestFiles(at.project, source, [file])).rejects.toMatchObject({
      data: { rules: ['schema.added'] },
      hint: expect.stringContaining('schema_changes: { added: alert }'),
    });
    const log = await at.project.log();
    const row = { id: 1, at: '2026-03-01T00:00:00Z', city: 'Bonn', price: 1, channel: 'web' };
    await expect(log.ingestRows(source, [row], { now: at.clock })).rejects.toMatchObject({
      data: { rules: ['schema.added'] },
    });
  });

  it('is judged by its new files alone: those that came before say nothing of its rows', async () => {
    const at = await world(DEFINITIONS.replace('read: push', "read: { files: '*.csv' }"));
    const source = at.project.definitions.sources.get('orders')!;
    at.readAll = true;
    for (const rows of [100, 104, 98, 101, 97, 103]) await at.ingest(rows);
    await expect(at.ingest(50)).rejects.toMatchObject({ data: { rules: ['history.row_count'] } });
    expect((await listBatches(at.project, source, 2)).map(({ facts }) => facts?.rows)).toEqual([50, 103]);
  });

  it('a refused batch goes in after it was accepted, and counts as ordinary', async () => {
    const at = await world();
    const source = at.project.definitions.sources.get('orders')!;
    for (const rows of [100, 104, 98, 101, 97, 103]) await at.ingest(rows);
    const error = await at.ingest(500).then(
      () => expect.fail('it went in'),
      (refused) => refused,
    );
    expect(error).toMatchObject({ code: 'BATCH_REFUSED', exit: 3, data: { rules: ['history.row_count'] } });
    const [refused] = await listBatches(at.project, source, 1);
    expect(refused).toMatchObject({ verdict: 'refused', status: 'refused', accepted: 0, rows: 500 });
    expect(error.hint).toContain(`millrace batches accept ${refused!.batch}`);

    await expect(ingestFiles(at.project, source, refused!.files)).rejects.toMatchObject({
      code: 'BATCH_REFUSED',
    });
    await markBatch(at.project, refused!.batch.slice(0, 8), 'expected', 'spring sale');
    expect(await findBatch(at.project, refused!.batch)).toMatchObject({
      verdict: 'expected',
      mark: { reason: 'spring sale' },
    });
    const result = await ingestFiles(at.project, source, refused!.files);
    expect(result).toMatchObject({ accepted: 500, warnings: [{ rule: 'history.row_count' }] });
    // What was said of the refused batch is said of the one that came in, until it is taken back.
    const [accepted] = await listBatches(at.project, source, 1);
    expect(accepted).toMatchObject({ verdict: 'expected', mark: { reason: 'spring sale' } });
    await markBatch(at.project, accepted!.batch, null, null);
    expect((await findBatch(at.project, accepted!.batch)).verdict).toBe('anomalous');
    await expect(at.ingest(500)).rejects.toMatchObject({ code: 'BATCH_REFUSED' });
    await markBatch(at.project, accepted!.batch, 'expected', null);
    expect((await at.ingest(500)).accepted).toBe(500);
  });

  it('an accepted file goes in beside others, which are judged for themselves', async () => {
    const at = await world(DEFINITIONS.replace('read: push', "read: { files: '*.csv' }"));
    const source = at.project.definitions.sources.get('orders')!;
    at.readAll = true;
    for (const rows of [100, 104, 98, 101, 97, 103]) await at.ingest(rows);
    await expect(at.ingest(40)).rejects.toMatchObject({ code: 'BATCH_REFUSED' });
    const [first] = await listBatches(at.project, source, 1);
    await markBatch(at.project, first!.batch, 'expected', 'holiday');
    await expect(at.ingest(30)).rejects.toMatchObject({
      message: expect.stringMatching(/: \d+\.csv: [^;]* is 30, [^;]*$/),
    });
    const [second] = await listBatches(at.project, source, 1);
    await markBatch(at.project, second!.batch, 'expected', null);
    expect(await at.ingest(100)).toMatchObject({ accepted: 170, quarantined: 0 });
    expect(await at.ingest(35)).toMatchObject({ accepted: 35, warnings: [] });
  });

  it('of several days that come together each is held against those before, as if they had come alone', async () => {
    const rows = [100, 104, 98, 101, 97, 103, 51, 99, 102, 0, 100];
    const files = (folder: string): string[] =>
      rows.map((n, d) => {
        const lines = Array.from({ length: n }, (_, i) => {
          // Stragglers of the day before stand in every file.
          const day = i === 0 && d > 0 ? d : d + 1;
          return `${d * 1000 + i},2026-02-${String(day).padStart(2, '0')}T${String(i % 24).padStart(2, '0')}:00:00Z,${d === 8 && i % 2 ? '' : 'Bonn'},5`;
        });
        const file = path.join(folder, `day-${String(d).padStart(2, '0')}.csv`);
        writeFileSync(file, `id,at,city,price\n${lines.map((line) => `${line}\n`).join('')}`);
        return file;
      });
    const lenient = DEFINITIONS.replace('    history: { row_count: fail, seasonality: none }\n', '').replace(
      'city: { not_null: true }',
      'price: { min: 0 }',
    );
    const found = async (at: World, limit: number) =>
      [...(await listBatches(at.project, at.project.definitions.sources.get('orders')!, limit))]
        .reverse()
        .flatMap(({ history, files: [file] }) =>
          history!.findings.map((finding) => [
            finding.id,
            finding.file ?? path.basename(file!),
            finding.value,
          ]),
        )
        .filter(([id]) => id !== 'history.freshness');
    const plain = lenient.replace('      price: { range: [0, 100] }\n', '');
    const together = await world(plain);
    const source = together.project.definitions.sources.get('orders')!;
    await ingestFiles(together.project, source, files(together.folder));
    const alone = await world(plain);
    for (const file of files(alone.folder)) {
      alone.clock += HOUR;
      await ingestFiles(alone.project, source, [file]);
    }
    const expected = [
      ['history.row_count', 'day-06.csv', 51],
      ['history.null_rate.city', 'day-08.csv', 0.5],
      ['history.row_count', 'day-09.csv', 0],
    ];
    expect(await found(alone, 20)).toEqual(expected);
    expect(await found(together, 20)).toEqual([expected[0], expected[1], expected[2]]);
    // What came together is as much of a history as what came alone.
    const late = path.join(together.folder, 'late.csv');
    writeFileSync(
      late,
      `id,at,city,price\n${Array.from({ length: 48 }, (_, i) => `${90_000 + i},2026-02-13T00:00:00Z,Bonn,5\n`).join('')}`,
    );
    await ingestFiles(together.project, source, [late]);
    expect(await found(together, 1)).toEqual([['history.row_count', 'late.csv', 48]]);
  });

  it('pieces of one delivery, whose times overlap, are judged as one', async () => {
    const at = await world();
    const source = at.project.definitions.sources.get('orders')!;
    for (const [d, pieces] of [4, 4, 4, 4, 4, 4, 4, 3, 1].entries()) {
      at.clock += HOUR;
      const names = Array.from({ length: pieces }, (_, piece) => {
        const rows = Array.from({ length: 120 / pieces }, (_, i) =>
          [d * 1000 + piece * 200 + i, `2026-02-0${d + 1}T0${i % 10}:00:00Z`, 'Bonn', 5].join(','),
        );
        const file = path.join(at.folder, `part-${d}-${piece}.csv`);
        writeFileSync(file, `id,at,city,price\n${rows.join('\n')}\n`);
        return file;
      });
      await ingestFiles(at.project, source, names);
    }
    const batches = await listBatches(at.project, source, 20);
    expect(batches.map(({ verdict }) => verdict).slice(0, 3)).toEqual(['ok', 'ok', 'ok']);
  });

  it('every batch adds up, and the ledger is shown, replayed and dropped by rule, batch and id', async () => {
    const at = await world();
    const source = at.project.definitions.sources.get('orders')!;
    await at.ingest(20, 3);
    await at.ingest(20, 2);
    for (const one of await listBatches(at.project, source, 10))
      expect(one.rows).toBe(one.accepted + one.quarantined + one.duplicates + one.dropped);
    const log = await at.project.log();
    const [second] = await listBatches(at.project, source, 1);
    expect(await log.quarantineCount({ rule: 'price.range' })).toBe(5);
    expect(await log.quarantineCount({ rule: 'city.not_null' })).toBe(0);
    expect(await log.quarantineCount({ rule: 'price.range', batch: second!.batch })).toBe(2);
    const [first] = await log.quarantine({ limit: 1 });
    expect(await replayQuarantine(at.project, { ids: [first!.id] })).toMatchObject([
      { rows: 1, quarantined: 1 },
    ]);
    expect(await dropQuarantined(at.project, { batch: second!.batch }, 'test orders')).toBe(2);
    expect(await log.quarantine({ status: 'dropped' })).toMatchObject([
      { batch: second!.batch, note: 'test orders' },
      { batch: second!.batch, note: 'test orders' },
    ]);
    expect(await dropQuarantined(at.project, { batch: second!.batch }, 'again')).toBe(0);
    expect(await log.quarantineCount({ status: 'open' })).toBe(3);
  });

  it('a replay says by rule what became of the rows, and those that a rule drops keep its reason', async () => {
    const at = await world();
    await at.ingest(20, 3);
    await at.project.close();
    const mended = DEFINITIONS.replace('[0, 100] }', '[0, 100], action: drop }').replace(
      'city: { not_null: true }',
      'city: { in: [Bonn], action: flag }',
    );
    writeFileSync(path.join(at.folder, 'definitions/all.yaml'), mended);
    const project = await openProject(at.folder, { now: () => at.clock });
    undo.push(() => project.close());
    expect(await replayQuarantine(project)).toMatchObject([
      { rows: 3, accepted: 0, quarantined: 0, dropped: 3, drops: { 'price.range': 3 }, reasons: {} },
    ]);
    const log = await project.log();
    expect(await log.quarantine({ status: 'dropped', limit: 1 })).toMatchObject([
      { reasons: [{ rule: 'price.range' }], note: 'a rule of today drops it' },
    ]);
    const source = project.definitions.sources.get('orders')!;
    expect(await listFlagged(project, source, {})).toEqual([]);
    const row = { at: '2026-03-01T00:00:00Z', price: 1 };
    const rows = [
      { ...row, id: 900, city: 'Bonn' },
      { ...row, id: 901, city: 'Kiel' },
      { ...row, id: 902, city: 'Ulm' },
    ];
    await log.ingestRows(source, rows, { now: at.clock });
    expect(await listFlagged(project, source, {})).toMatchObject([
      { flags: ['city.set'], event_time: '2026-03-01T00:00:00Z', record: { id: 902, city: 'Ulm' } },
      { flags: ['city.set'], record: { id: 901, city: 'Kiel', price: 1 } },
    ]);
    expect(await listFlagged(project, source, { rule: 'city.set', limit: 1 })).toHaveLength(1);
    expect(await listFlagged(project, source, { rule: 'price.range' })).toEqual([]);
  });

  it('a refused row stands in the ledger once, whatever its columns are called by then', async () => {
    const at = await world(
      DEFINITIONS.replace(
        'read: push',
        'read: push\n    rename: { cost: price }\n    schema_changes: { renamed: adapt }',
      ),
    );
    const source = at.project.definitions.sources.get('orders')!;
    const log = await at.project.log();
    const file = (name: string, header: string, rows: readonly string[]): string => {
      writeFileSync(path.join(at.folder, name), `${[header, ...rows].join('\n')}\n`);
      return path.join(at.folder, name);
    };
    const bad = (id: number, more = ''): string => `${id},2026-03-01T00:00:00Z,Bonn,-${id}${more}`;
    const twice = [bad(1), bad(2), bad(2)];
    const first = await ingestFiles(at.project, source, [file('old.csv', 'id,at,city,price', twice)]);
    expect(first.quarantined).toBe(3);
    // A query gives all columns once one of its own is gone.
    const second = await ingestFiles(at.project, source, [
      file('new.csv', 'id,at,city,cost,channel', [...twice.map((row) => `${row},web`), bad(3, ',web')]),
    ]);
    expect(second).toMatchObject({ rows: 4, quarantined: 1, duplicates: 3 });
    const third = await ingestFiles(at.project, source, [
      file('both.csv', 'city,cost,at,id', ['Bonn,-1,2026-03-01T00:00:00Z,1']),
    ]);
    expect(third).toMatchObject({ quarantined: 0, duplicates: 1 });
    expect(await log.quarantineCount({})).toBe(4);
    const row = { id: 9, at: '2026-03-01T00:00:00Z', city: 'Bonn' };
    for (const pushed of [
      { ...row, price: -9 },
      { ...row, cost: -9 },
      { price: -9, ...row },
    ])
      expect(await log.ingestRows(source, [pushed], { now: at.clock })).toMatchObject({ quarantined: 1 });
    expect(await log.quarantineCount({})).toBe(5);
  });

  it('has an unknown id, or one of several', async () => {
    const at = await world();
    await at.ingest(5);
    await at.ingest(5);
    await expect(findBatch(at.project, 'zzz')).rejects.toMatchObject({ code: 'UNKNOWN_NAME' });
    await expect(findBatch(at.project, '')).rejects.toMatchObject({ code: 'UNKNOWN_NAME' });
  });
});

describe('service levels of a project', () => {
  it('hold training sets back until the data are there; going past is written down', async () => {
    const at = await world();
    await at.ingest(30, 1);
    const [status] = await sourceStatuses(at.project);
    expect(status!.levels.map(({ level, available }) => [level, available])).toEqual([
      ['passing', null],
      ['freshness', true],
    ]);
    expect(status).toMatchObject({ quarantine_open: 1, last_batch: { verdict: 'insufficient_data' } });
    expect((await buildDataset(at.project, 'training')).manifest.unavailable).toBeUndefined();

    at.clock += 3 * HOUR;
    const error = await buildDataset(at.project, 'training').then(
      () => expect.fail('it was built'),
      (refused) => refused,
    );
    expect(error).toMatchObject({ code: 'DATA_NOT_AVAILABLE', exit: 75, retryable: true });
    expect(error.message).toContain(
      'orders (freshness): its newest record is of 2026-03-01T00:59:00Z, 3h 1m ago',
    );
  });

  it('are written into the manifest of what was built without them', async () => {
    const at = await world(DEFINITIONS, { ignoreAvailability: true });
    await at.ingest(30);
    at.clock += 3 * HOUR;
    const { manifest } = await buildDataset(at.project, 'training');
    expect(manifest.unavailable).toMatchObject([{ source: 'orders', level: 'freshness' }]);
  });

  it('are read over HTTP and by Prometheus', async () => {
    const at = await world();
    await at.ingest(30, 3);
    const server = await start(at.project);
    undo.push(() => server.close());
    const get = async (route: string): Promise<Response> => fetch(`${server.url}${route}`);
    const status = await (await get('/v1/sources/orders/status')).json();
    expect(status).toMatchObject({
      source: 'orders',
      rows: 27,
      levels: [{ level: 'passing', share: 0.9 }, {}],
    });
    const { batches } = (await (await get('/v1/sources/orders/batches?limit=5')).json()) as {
      batches: unknown[];
    };
    expect(batches).toMatchObject([{ rows: 30, quarantined: 3, verdict: 'insufficient_data' }]);
    expect((await get('/v1/sources/ordres/status')).status).toBe(404);
    expect((await get('/v1/sources/orders/batches?limit=x')).status).toBe(400);
    const metrics = await (await get('/metrics')).text();
    expect(metrics).toContain('millrace_service_level_ratio{source="orders",level="passing"} 0.9');
    expect(metrics).toContain('millrace_source_available{source="orders",level="freshness"} 1');
    expect(metrics).toMatch(
      /millrace_error_budget_burn_rate\{source="orders",level="passing",window="1h"\} (9\.9|10)/,
    );
  });
});
