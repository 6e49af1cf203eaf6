/** Partitions whose key has not changed are what they would be if they were made from nothing. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MICROS_PER_DAY } from '../../src/core/base/time.js';
import { boundsOf, mergeCells, reachedDigests } from '../../src/core/dataset/partition.js';
import { openProject } from '../../src/open.js';
import { buildDataset, buildPartitions, datasetPartitions } from '../../src/services/build-dataset.js';
import { datasetChange } from '../../src/services/dataset-recipe.js';
import { rowFiles, rowsAt } from '../../src/services/dataset-table.js';
import {
  findDatasetVersion,
  manifestOfDataset,
  rejectedVersion,
} from '../../src/services/dataset-versions.js';
import { diffDatasets } from '../../src/services/diff-datasets.js';
import type { Project } from '../../src/services/project.js';
import { reproduceDataset } from '../../src/services/reproduce-dataset.js';
import { pickFrom, random } from '../world.js';

const DEFINITIONS = `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: orders
    read: { files: data/orders*.csv }
    record_key: id
    event_time: at
    available_at: known
    deleted: gone
    fields: { id: string, user_id: int64, amount: float64, at: timestamp, known: timestamp, gone: boolean }
  - name: plans
    kind: states
    read: { files: data/plans*.csv }
    record_key: id
    event_time: at
    available_at: known
    deleted: gone
    fields: { id: string, user_id: int64, plan: string, at: timestamp, known: timestamp, gone: boolean }
  - name: asks
    read: { files: data/asks*.csv }
    record_key: id
    event_time: at
    available_at: known
    deleted: gone
    fields: { id: string, user_id: int64, size: int64, at: timestamp, known: timestamp, gone: boolean }
features:
  - { name: spent, entity: user, aggregation: { function: sum, source: orders.amount, window: 3d } }
  - { name: before, entity: user, aggregation: { function: count, source: orders, window: 2d, offset: 1d } }
  - { name: last, entity: user, aggregation: { function: last, source: orders.amount, window: 5d } }
  - { name: plan, entity: user, lookup: { source: plans, field: plan, max_age: 4d } }
  - { name: ever, entity: user, lookup: { source: plans, field: plan } }
  - { name: half, expression: 'spent / 2' }
labels:
  - name: next
    entity: user
    aggregation: { function: sum, source: orders.amount, default: 0 }
    horizon: 2d
    grace: 1d
  - { name: asked, source: asks, expression: 'size > 4', horizon: 1d }
datasets:
  - name: windows
    observations: { source: asks }
    features: [spent, before, last, plan, half]
    label: next
    split: { by: time, parts: { train: 0.6, test: 0.4 } }
    partition: 1d
  - name: states
    observations: { source: asks, where: 'size > 1' }
    features: [ever, spent]
    label: asked
    split: { by: random, seed: 3, parts: { train: 0.5, test: 0.5 } }
    partition: 3d
  - name: known
    observations: { source: asks }
    features: [spent, last]
    knowledge: hindsight
    partition: 2d
`;

let folder: string;
let project: Project;
let batch = 0;
/** Observations of partitions that were made again whose features were not computed. */
let untouched = 0;

const START = Date.parse('2024-03-01T00:00:00Z');
const HOUR = 3_600_000;
const iso = (hours: number): string => new Date(START + hours * HOUR).toISOString();

async function ingest(source: string, header: string, rows: readonly string[]): Promise<void> {
  const file = path.join(folder, 'data', `${source}-${++batch}.csv`);
  await writeFile(file, `${header}\n${rows.join('\n')}\n`);
  const log = await project.log();
  await log.ingestFiles(project.definitions.sources.get(source)!, [file]);
}

async function open(definitions = DEFINITIONS): Promise<void> {
  await project?.close();
  await writeFile(path.join(folder, 'definitions/all.yaml'), definitions);
  project = await openProject(folder, {
    progress: ({ message }) => {
      const [, computed, all] = / at (\d+) of (\d+) observations/.exec(message) ?? [];
      untouched += Number(all ?? 0) - Number(computed ?? 0);
    },
  });
}

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-partitions-'));
  await mkdir(path.join(folder, 'definitions'));
  await mkdir(path.join(folder, 'data'));
  await open();
});

afterEach(async () => {
  await project.close();
  await rm(folder, { recursive: true, force: true });
});

const HEADERS = {
  orders: 'id,user_id,amount,at,known,gone',
  plans: 'id,user_id,plan,at,known,gone',
  asks: 'id,user_id,size,at,known,gone',
} as const;
type SourceName = keyof typeof HEADERS;

/** Days of records, corrections that move in time and entity, tombstones and records that come late. */
async function grow(
  next: () => number,
  days: readonly [number, number],
  users: number,
  { sources = Object.keys(HEADERS) as SourceName[], count = 25 } = {},
): Promise<void> {
  const [from, to] = days;
  for (const source of sources) {
    const rows: string[] = [];
    for (let i = 0; i < count; i++) {
      const kind = next();
      // Mostly new and on time; some correct what is there, some come late.
      const id =
        kind < 0.85
          ? `${source}${batch}-${i}`
          : `${source}${1 + Math.floor(next() * batch)}-${Math.floor(next() * 25)}`;
      const at = kind < 0.95 ? from * 24 + next() * (to - from) * 24 : next() * to * 24;
      const known = next() < 0.6 ? at + next() * 3 : to * 24 - next() * 12;
      const value = source === 'plans' ? pickFrom(next, ['a', 'b', 'c']) : String(Math.floor(next() * 10));
      rows.push(
        `${id},${Math.floor(next() * users)},${value},${iso(at)},${iso(Math.max(known, at - 5))},${kind > 0.85 && next() < 0.3}`,
      );
    }
    await ingest(source, HEADERS[source], rows);
  }
}

describe('partitions', () => {
  it.each([
    { seed: 1, users: 3 },
    // Rows of users of whom nothing came are taken from the partition of before.
    { seed: 2, users: 80 },
  ])(
    'that are reused are those of a build from nothing, byte for byte ($users users)',
    async ({ seed, users }) => {
      const next = random(seed);
      let reused = 0;
      untouched = 0;
      for (const [days, late] of [
        [[0, 8]],
        // Nothing is asked, but something comes late of what was asked about.
        [[2, 7], { sources: ['orders', 'plans'] as SourceName[], count: 8 }],
        [[3, 12]],
      ] as const) {
        await grow(next, days, users, late);
        for (const name of ['windows', 'states', 'known']) {
          const { partitions, version } = await buildDataset(project, name);
          reused += partitions.total - partitions.computed;
          expect(await reproduceDataset(project, { name, version: version.version })).toMatchObject({
            logical: true,
            physical: true,
            stored: 'whole',
          });
        }
      }
      expect(reused).toBeGreaterThan(0);
      if (users > 50) expect(untouched).toBeGreaterThan(0);
      // What is old is still what it was.
      for (const name of ['windows', 'states', 'known'])
        expect(await reproduceDataset(project, { name, version: 1 })).toMatchObject({
          logical: true,
          physical: true,
        });
    },
    120_000,
  );

  it('are made again for whom a record was moved from or to, and keep what was left out for want of an outcome', async () => {
    await open(DEFINITIONS.replace('source: orders.amount, default: 0', 'source: orders.amount'));
    const hours = Array.from({ length: 60 }, (_, i) => i * 4 + 1);
    // Nothing of the last user comes after half of the time: there its observations have no outcome.
    const spent = hours.filter((_, i) => i % 10 !== 9 || i < 30);
    const order = (h: number, user: number) => `o${h},${user},${h},${iso(h)},${iso(h)},false`;
    await ingest(
      'orders',
      HEADERS.orders,
      spent.map((h) => order(h, ((h - 1) / 4) % 10)),
    );
    await ingest(
      'asks',
      HEADERS.asks,
      hours.map((h, i) => `a${i},${(i + 1) % 10},${i % 9},${iso(h)},${iso(h)},false`),
    );
    const first = await buildDataset(project, 'windows');
    expect(first.manifest.counts.no_outcome).toBeGreaterThan(0);
    expect(first.manifest.counts.immature_label).toBeGreaterThan(0);
    untouched = 0;
    await ingest('orders', HEADERS.orders, [order(81, 7)]);
    const second = await buildDataset(project, 'windows');
    expect(untouched).toBeGreaterThan(0);
    expect(second.partitions.computed).toBeLessThan(second.partitions.total);
    expect(await reproduceDataset(project, { name: 'windows', version: 2 })).toMatchObject({
      logical: true,
      physical: true,
    });
    const changed = await diffDatasets(
      project,
      { name: 'windows', version: 1 },
      { name: 'windows', version: 2 },
    );
    expect(changed.diff.row_changes!.changed).toBeGreaterThan(0);
  });

  it('keep the columns of features that are as they were where others are new, changed or gone', async () => {
    await evenDays();
    const names = ['windows', 'known'];
    for (const name of names) await buildDataset(project, name);
    await open(
      DEFINITIONS.replace('source: orders, window: 2d', 'source: orders, window: 3d')
        .replace('[spent, before, last, plan, half]', '[ever, half, before, last, twice, spent, plan]')
        .replace('[spent, last]', '[last]')
        .replace(
          "expression: 'spent / 2' }",
          "expression: 'spent / 2' }\n  - { name: twice, expression: 'spent * 2' }",
        ),
    );
    // What comes late meanwhile counts, too.
    await ingest('orders', HEADERS.orders, [`late,0,50,${iso(5 * 24)},${iso(5 * 24)},false`]);
    for (const name of names) {
      untouched = 0;
      const { partitions, version } = await buildDataset(project, name);
      expect(partitions.computed).toBe(partitions.total);
      expect(untouched).toBeGreaterThan(0);
      expect(await reproduceDataset(project, { name, version: version.version })).toMatchObject({
        logical: true,
        physical: true,
      });
    }
  });

  const evenDays = async (): Promise<void> => {
    const hours = Array.from({ length: 40 }, (_, i) => i * 12 + 1);
    await ingest(
      'orders',
      HEADERS.orders,
      hours.map((h, i) => `o${i},${i % 2},${i},${iso(h)},${iso(h)},false`),
    );
    await ingest(
      'asks',
      HEADERS.asks,
      hours.map((h, i) => `a${i},${i % 2},${i % 9},${iso(h + 1)},${iso(h + 1)},false`),
    );
  };

  it('are made again just where a corrected day reaches, and the plan says which and why', async () => {
    await evenDays();
    const { version } = await buildDataset(project, 'known');
    const latest = () =>
      datasetChange(project, 'known', { key: version.key, manifest: manifestOfDataset(version) });
    expect(await latest()).toMatchObject({ reason: null });
    await ingest('orders', HEADERS.orders, [`o8,0,999,${iso(4 * 24 + 1)},${iso(4 * 24 + 1)},false`]);
    // 2024-03-05 with windows of five days, in partitions of two days that begin on even days of March.
    expect(await latest()).toMatchObject({
      missing: 4,
      total: 11,
      reason: '4 of 11 partitions: 2024-03-04 … 2024-03-10; orders changed on 2024-03-05',
    });
    const again = await buildDataset(project, 'known');
    expect(again.partitions).toEqual({ total: 11, computed: 4 });
    const [before, after] = [manifestOfDataset(version), again.manifest];
    expect(after.partitions!.filter(({ key }, i) => key !== before.partitions![i]!.key)).toHaveLength(4);
    const { diff } = await diffDatasets(
      project,
      { name: 'known', version: 1 },
      { name: 'known', version: 2 },
    );
    expect(diff.row_changes).toMatchObject({ added: 0, removed: 0 });
    expect(diff.row_changes!.changed).toBeGreaterThan(0);
    expect(diff.row_changes!.changed + diff.row_changes!.equal).toBe(40);
  });

  it('of before are not touched by what is known only now, nor by what no window reaches', async () => {
    await evenDays();
    await open(DEFINITIONS.replace('    label: next\n', ''));
    const first = await buildDataset(project, 'windows');
    const late = iso(19 * 24 + 23);
    await ingest('orders', HEADERS.orders, [`late,0,50,${iso(5 * 24)},${late},false`]);
    const { version } = first;
    expect(
      await datasetChange(project, 'windows', { key: version.key, manifest: manifestOfDataset(version) }),
    ).toMatchObject({ reason: null, key: version.key });
    expect(await buildDataset(project, 'windows')).toMatchObject({ built: false });
  });

  it('are not made again where a cut of the split moves', async () => {
    await evenDays();
    const first = await buildDataset(project, 'windows');
    await open(DEFINITIONS.replace('train: 0.6, test: 0.4', 'train: 0.8, test: 0.2'));
    const again = await buildDataset(project, 'windows');
    expect(again.built).toBe(true);
    expect(again.partitions.computed).toBe(0);
    expect(rowFiles(rowsAt(again.version))).toEqual(rowFiles(rowsAt(first.version)));
    expect(again.manifest.parts[0]!.rows).toBeGreaterThan(first.manifest.parts[0]!.rows);
  });

  it('can be made for a period alone, and a build then takes them up', async () => {
    await evenDays();
    const total = (await datasetPartitions(project, 'windows')).length;
    const from = (START + 3 * 24 * HOUR) * 1000;
    const period = { from, to: from + 2 * MICROS_PER_DAY };
    expect(await buildPartitions(project, 'windows', period)).toEqual({ total: 2, computed: 2 });
    expect(await buildPartitions(project, 'windows', period)).toEqual({ total: 2, computed: 0 });
    const states = await datasetPartitions(project, 'windows');
    expect(states.filter(({ state }) => state === 'present').map((item) => item.from)).toEqual([
      from,
      from + MICROS_PER_DAY,
    ]);
    expect((await buildDataset(project, 'windows')).partitions).toEqual({ total, computed: total - 2 });
    expect((await datasetPartitions(project, 'windows')).every(({ published }) => published)).toBe(true);
  });

  it('begin at midnight UTC, at the first of a month, or never', () => {
    const at = Date.parse('2024-02-29T13:00:00Z') * 1000;
    const date = (instant: number | null): string => new Date(instant! / 1000).toISOString().slice(0, 10);
    const bounds = (unit: 'day' | 'month', count: number) => {
      const { from, to } = boundsOf({ unit, count }, at);
      return [date(from), date(to)];
    };
    expect(bounds('day', 1)).toEqual(['2024-02-29', '2024-03-01']);
    expect(bounds('month', 1)).toEqual(['2024-02-01', '2024-03-01']);
    expect(bounds('month', 3)).toEqual(['2024-01-01', '2024-04-01']);
    expect(date(boundsOf({ unit: 'month', count: 1 }, -1).from)).toBe('1969-12-01');
    expect(boundsOf('none', at)).toEqual({ from: null, to: null });
  });
});

describe('digests of what reaches a partition', () => {
  it('are the sums over its days known before it, whatever the order of the cells', () => {
    const next = random(5);
    const cells = mergeCells(
      Array.from({ length: 300 }, () => {
        const sum = BigInt(Math.floor(next() * 1e9));
        return {
          known: Math.floor(next() * 30) - 5,
          day: Math.floor(next() * 30) - 5,
          sums: [sum, sum * 3n] as const,
        };
      }),
    );
    const requests = Array.from({ length: 60 }, () => {
      const from = Math.floor(next() * 30) - 6;
      return { knownBefore: Math.floor(next() * 32) - 5, from, to: from + Math.floor(next() * 12) };
    });
    const expected = requests.map(({ knownBefore, from, to }) => {
      const inside = cells.filter(({ known, day }) => known < knownBefore && day >= from && day < to);
      return [0, 1].map((k) => inside.reduce((sum, cell) => sum + cell.sums[k]!, 0n).toString(16)).join('-');
    });
    expect(reachedDigests(cells, requests)).toEqual(expected);
    expect(reachedDigests([...cells].reverse(), requests)).toEqual(expected);
  });
});

describe('checks of a dataset', () => {
  const checked = (checks: string): string =>
    DEFINITIONS.replace('    partition: 2d\n', `    partition: 2d\n    checks: ${checks}\n`);

  it('keep the last good version and put aside what they refuse, to be looked at', async () => {
    const hours = Array.from({ length: 40 }, (_, i) => i * 12 + 1);
    await ingest(
      'orders',
      HEADERS.orders,
      hours.map((h, i) => `o${i},${i % 2},${i},${iso(h)},${iso(h)},false`),
    );
    await ingest(
      'asks',
      HEADERS.asks,
      hours.map((h, i) => `a${i},${i % 2},1,${iso(h + 1)},${iso(h + 1)},false`),
    );
    await open(checked('{ rows: { min: 10 }, null_rate: 0.5, features: [{ feature: spent, max: 500 }] }'));
    const good = await buildDataset(project, 'known');
    await ingest('orders', HEADERS.orders, [`o20,0,100000,${iso(241)},${iso(241)},false`]);
    await expect(buildDataset(project, 'known')).rejects.toMatchObject({
      code: 'DATASET_REJECTED',
      data: { broken: [{ check: 'range', feature: 'spent' }] },
    });
    expect((await findDatasetVersion(project, { name: 'known', version: undefined })).version).toBe(1);
    const rejected = (await rejectedVersion(project, 'known'))!;
    expect(rejected.broken).toHaveLength(1);
    const [file] = rowFiles(rejected);
    expect((await readFile(file!)).length).toBeGreaterThan(0);
    expect(await reproduceDataset(project, { name: 'known', version: 1 })).toMatchObject({ stored: 'whole' });
    expect(rowFiles(rejected)).not.toEqual(rowFiles(rowsAt(good.version)));

    // With other checks the same partitions are published; nothing is computed again.
    await open(checked('{ rows: { min: 10 } }'));
    const published = await buildDataset(project, 'known');
    expect(published.version.version).toBe(2);
    expect(published.partitions.computed).toBe(0);
    expect(await rejectedVersion(project, 'known')).toBeUndefined();
  });

  it.each([
    ['{ rows: { max: 39 } }', 'rows'],
    ['{ null_rate: 0 }', 'null_rate'],
    ['{ features: [{ feature: last, min: 5 }] }', 'range'],
  ])('%s refuses by %s', async (checks, kind) => {
    const hours = Array.from({ length: 40 }, (_, i) => i * 12 + 1);
    await ingest(
      'orders',
      HEADERS.orders,
      hours.slice(2).map((h, i) => `o${i},${i % 2},${i},${iso(h)},${iso(h)},false`),
    );
    await ingest(
      'asks',
      HEADERS.asks,
      hours.map((h, i) => `a${i},${i % 2},1,${iso(h + 1)},${iso(h + 1)},false`),
    );
    await open(checked(checks));
    const refused = await buildDataset(project, 'known').catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'DATASET_REJECTED' });
    expect(
      (refused as { data: { broken: { check: string }[] } }).data.broken.map(({ check }) => check),
    ).toContain(kind);
  });

  it('hold the training part against the version before', async () => {
    const hours = Array.from({ length: 80 }, (_, i) => i * 6 + 1);
    await ingest(
      'orders',
      HEADERS.orders,
      hours.map((h, i) => `o${i},${i % 2},${i % 7},${iso(h)},${iso(h)},false`),
    );
    await ingest(
      'asks',
      HEADERS.asks,
      hours.map((h, i) => `a${i},${i % 2},1,${iso(h + 1)},${iso(h + 1)},false`),
    );
    await open(checked('{ drift: 0.25 }'));
    await buildDataset(project, 'known');
    await ingest(
      'orders',
      HEADERS.orders,
      hours.map((h, i) => `o${i},${i % 2},${1000 + i},${iso(h)},${iso(h)},false`),
    );
    await expect(buildDataset(project, 'known')).rejects.toThrow(/\[drift\] spent/);
  });
});
