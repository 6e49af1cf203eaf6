/** What may go, and that whatever goes can be made again. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keptVersions, type RetentionInput } from '../../src/core/dataset/retention.js';
import { openProject } from '../../src/open.js';
import { buildDataset, datasetPartitions } from '../../src/services/build-dataset.js';
import { collectGarbage, pinDataset } from '../../src/services/collect-garbage.js';
import { datasetFolder, findEntries } from '../../src/services/dataset-files.js';
import { rowFiles, rowsAt } from '../../src/services/dataset-table.js';
import type { Project } from '../../src/services/project.js';
import { reproduceDataset } from '../../src/services/reproduce-dataset.js';

const DEFINITIONS = `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: events
    read: push
    record_key: id
    event_time: at
    available_at: at
    fields: { id: int64, user_id: int64, at: timestamp }
features:
  - { name: seen, entity: user, aggregation: { function: count, source: events, window: all } }
datasets:
  - { name: set, observations: { source: events, time: at }, features: [seen] }
`;

const DAY = 86_400_000_000;
let folder: string;
let project: Project;
let later = 0;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-gc-'));
  await mkdir(path.join(folder, 'definitions'));
  await writeFile(path.join(folder, 'definitions/all.yaml'), DEFINITIONS);
  later = 0;
  project = await openProject(folder, { now: () => (Date.now() + later) * 1000 });
  const source = project.definitions.sources.get('events')!;
  for (let version = 1; version <= 3; version++) {
    await (await project.log()).ingestRows(
      source,
      [{ id: version, user_id: 1, at: `2024-01-0${version}T00:00:00Z` }],
      { now: project.now() },
    );
    await buildDataset(project, 'set');
  }
  later = (100 * DAY) / 1000;
});

afterEach(async () => {
  await project.close();
  await rm(folder, { recursive: true, force: true });
});

const folderOf = async (version: number): Promise<string> =>
  (await project.registry()).version('dataset', 'set', version)!.folder;
const present = async (): Promise<boolean[]> =>
  Promise.all([1, 2, 3].map(async (version) => existsSync(await folderOf(version))));
const collect = (dryRun = false) => collectGarbage(project, { dryRun, retention: 90 * DAY });

describe('garbage collection', () => {
  it('keeps what a project needs that was moved, whose versions are where it is now', async () => {
    await project.close();
    const moved = `${folder}-moved`;
    await rename(folder, moved);
    folder = moved;
    project = await openProject(folder, { now: () => (Date.now() + later) * 1000 });
    expect((await folderOf(3)).startsWith(moved)).toBe(true);
    expect(new Set((await collect(true)).removed.map(({ kind }) => kind))).toEqual(
      new Set(['dataset', 'object']),
    );
    expect(await reproduceDataset(project, { name: 'set', version: 3 })).toMatchObject({ stored: 'whole' });
  });

  it('says what would go and its bytes, removes just that, and what went can be made again', async () => {
    await pinDataset(project, (await project.registry()).version('dataset', 'set', 2)!, true);
    const first = (await project.registry()).version('dataset', 'set', 1)!;
    const [file] = rowFiles(rowsAt(first)) as [string];
    const before = await readFile(file);
    const dry = await collect(true);
    expect(dry.removed.map(({ kind }) => kind)).toEqual(['dataset', 'object', 'object', 'object']);
    expect(dry.removed[0]!.name).toBe('set@1');
    expect(dry.removed.map(({ name }) => name)).toContain(path.basename(file));
    expect(dry.bytes).toBeGreaterThan(before.length);
    expect(await present()).toEqual([true, true, true]);

    const real = await collect();
    expect({ ...real, dry_run: true }).toEqual(dry);
    expect(await present()).toEqual([false, true, true]);
    expect((await collect()).removed).toEqual([]);

    // Its recipe stands: it is proved without its files, and its files come back as they were.
    expect(await reproduceDataset(project, { name: 'set', version: 1 })).toMatchObject({
      logical: true,
      physical: true,
      stored: 'missing',
    });
    expect(await present()).toEqual([false, true, true]);
    const name = { name: 'set', version: 1 };
    expect(await reproduceDataset(project, name, { restore: true })).toMatchObject({ restored: true });
    expect(await present()).toEqual([true, true, true]);
    expect(await readFile(file)).toEqual(before);
    await writeFile(file, 'damage');
    expect(await reproduceDataset(project, name)).toMatchObject({ stored: 'damaged', restored: false });
    await reproduceDataset(project, name, { restore: true });
    expect(await readFile(file)).toEqual(before);
  });

  it('spares what work under way has taken up or is making', async () => {
    later = 0;
    const past = new Date(Date.now() - 7_200_000);
    for (const version of [1, 2]) await utimes(await folderOf(version), past, past);
    const staging = `${await folderOf(1)}.77.tmp`;
    await mkdir(staging);
    const old = `${await folderOf(2)}.78.tmp`;
    await mkdir(old);
    await utimes(old, past, past);
    // An older version is asked for again: it is young from then on.
    await buildDataset(project, 'set', { horizons: new Map([['events', 2]]) });
    const result = await collectGarbage(project, { dryRun: false, retention: 0 });
    expect(result.removed.map(({ name }) => name)).toEqual(['set@1', path.basename(old)]);
    expect(existsSync(staging)).toBe(true);
    expect(await present()).toEqual([false, true, true]);
  });

  it('that was killed between its two steps leaves a store that builds and that the next one clears', async () => {
    const target = await folderOf(1);
    const gone = `${target}.99.gone.tmp`;
    await rename(target, gone);
    expect((await buildDataset(project, 'set', { horizons: new Map([['events', 1]]) })).version.version).toBe(
      1,
    );
    const result = await collectGarbage(project, { dryRun: false, retention: 90 * DAY });
    expect(result.removed.map(({ path: at }) => path.resolve(folder, at))).toContain(gone);
    expect(existsSync(gone)).toBe(false);
    expect((await collect()).removed).toEqual([]);
  });

  it('takes what killed processes left in the state, whatever digits are in its name, and spares what a living one writes', async () => {
    const [dead, living] = [99_999_999, process.pid];
    const at = (name: string): string => path.join(folder, '.millrace', name);
    // The digits of a name drawn by lot are the ids of processes that are always there.
    const left = [
      'tmp/refused-00000001-0002-4003-8004-000000000005',
      `tmp/train-m1-${dead}`,
      `digests/events.json.${dead}.tmp`,
      `lock.${dead}`,
      `lake/_datasets/set/statistics/tallies.json.${dead}.tmp`,
    ];
    const written = [`tmp/train-m1-${living}`, `digests/events.json.${living}.tmp`, 'registry.db'];
    for (const below of ['tmp', 'digests', 'lake/_datasets/set/statistics'])
      await mkdir(at(below), { recursive: true });
    for (const name of [...left, ...written.slice(0, 2)]) await writeFile(at(name), '');
    const { removed } = await collectGarbage(project, { dryRun: false, retention: 1000 * DAY });
    expect(
      removed
        .filter(({ kind }) => kind === 'leftover')
        .map(({ path: file }) => file)
        .sort(),
    ).toEqual(left.map((name) => path.join('.millrace', name)).sort());
    expect(written.filter((name) => !existsSync(at(name)))).toEqual([]);
  });

  it('what a stop of the machine has torn, which can be made again, is as if it were not there', async () => {
    const { version } = (await project.registry()).version('dataset', 'set')!;
    const [keys, digests] = ['lake/_datasets/set/keys', 'digests'].map((name) =>
      path.join(folder, '.millrace', name),
    ) as [string, string];
    for (const name of await readdir(keys)) await writeFile(path.join(keys, name), '');
    await mkdir(digests, { recursive: true });
    await writeFile(path.join(digests, 'events.json'), '');
    const { key } = (await datasetPartitions(project, 'set'))[0]!;
    expect(findEntries(datasetFolder(project, 'set'), [key], []).size).toBe(0);
    expect((await buildDataset(project, 'set')).version.version).toBe(version);
  });
});

describe('what is kept', () => {
  const model = (version: number, dataset: number) => ({
    name: 'm',
    version,
    createdAt: 0,
    dataset: { name: 'set', version: dataset },
    repeatable: true,
  });
  const input: RetentionInput = {
    now: 100 * DAY,
    retention: 30 * DAY,
    datasets: [0, 1, 2, 3, 4, 5, 6].map((version) => ({
      name: 'set',
      version,
      createdAt: 0,
      repeatable: version > 0,
    })),
    models: [
      model(1, 1),
      model(2, 2),
      model(3, 3),
      model(4, 4),
      { ...model(5, 5), repeatable: false },
      model(6, 6),
    ],
    aliases: [
      { model: 'm', alias: 'champion', version: 1, at: 1 * DAY },
      { model: 'm', alias: 'champion', version: 2, at: 2 * DAY },
      { model: 'm', alias: 'champion', version: 3, at: 80 * DAY },
    ],
    predicted: new Set(['m@4']),
    pinned: new Set(),
  };

  it('is what holds an alias, held one within the retention, predicted, or cannot be made again', () => {
    const kept = keptVersions(input);
    expect(Object.fromEntries(kept.models)).toEqual({
      'm@2': 'was champion within the retention',
      'm@3': 'is champion',
      'm@4': 'made predictions of the log',
      'm@5': 'cannot be trained again to the byte',
      'm@6': 'is the latest',
    });
    expect([...kept.datasets.keys()].sort()).toEqual([0, 2, 3, 4, 5, 6].map((version) => `set@${version}`));
    expect(kept.datasets.get('set@0')).toBe('cannot be built again');
  });

  it('is everything where everything is younger than the retention', () => {
    const kept = keptVersions({ ...input, retention: 200 * DAY });
    expect([kept.models.size, kept.datasets.size]).toEqual([6, 7]);
  });
});
