/** Versions made again after the world has moved on, and what is named when they cannot be. */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hashColumn, hashTable } from '../../src/core/dataset/content.js';
import { openProject } from '../../src/open.js';
import { type BuiltDataset, buildDataset } from '../../src/services/build-dataset.js';
import { addedColumns, rowFiles, rowsAt, rowsOf, writeRows } from '../../src/services/dataset-table.js';
import { diffDatasets } from '../../src/services/diff-datasets.js';
import { sha256File } from '../../src/services/objects.js';
import type { Project } from '../../src/services/project.js';
import { blamed, reproduceDataset } from '../../src/services/reproduce-dataset.js';

const definitions = (feature: string, fields = ''): string => `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: events
    read: { files: data/events*.csv }
    record_key: id
    event_time: at
    available_at: known
    deleted: gone
    fields: { id: string, user_id: int64, amount: float64, at: timestamp, known: timestamp, gone: boolean${fields} }
features:
  - { name: spent, entity: user, aggregation: { function: ${feature}, source: events.amount, window: 3d } }
  - { name: seen, entity: user, aggregation: { function: count, source: events, window: all } }
datasets:
  - name: daily
    observations: { files: observations.csv, time: at }
    features: [spent, seen]
`;

let folder: string;
let project: Project;
let built: BuiltDataset;

const ask = (rows: readonly string[]): string => `user_id,at\n${rows.join('\n')}\n`;
const OBSERVATIONS = Array.from(
  { length: 20 },
  (_, i) => `${i % 3},2024-01-${String(i + 5).padStart(2, '0')}`,
);

async function reopen(): Promise<void> {
  await project?.close();
  project = await openProject(folder);
}

async function ingest(name: string, rows: readonly string[]): Promise<void> {
  const file = path.join(folder, 'data', `${name}.csv`);
  await writeFile(file, `id,user_id,amount,at,known,gone\n${rows.join('\n')}\n`);
  const log = await project.log();
  await log.ingestFiles(project.definitions.sources.get('events')!, [file]);
}

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-reproduce-'));
  await mkdir(path.join(folder, 'definitions'));
  await mkdir(path.join(folder, 'data'));
  await writeFile(path.join(folder, 'definitions/all.yaml'), definitions('sum'));
  await writeFile(path.join(folder, 'observations.csv'), ask(OBSERVATIONS));
  project = await openProject(folder);
  await ingest(
    'events',
    Array.from({ length: 60 }, (_, i) => {
      const day = `2024-01-${String((i % 24) + 1).padStart(2, '0')}`;
      return `e${i},${i % 3},${i / 10},${day},${day},false`;
    }),
  );
  built = await buildDataset(project, 'daily');
});

afterEach(async () => {
  await project.close();
  await rm(folder, { recursive: true, force: true });
});

const moveOn = (): Promise<void> =>
  ingest('events-late', [
    'e3,0,999,2024-01-04,2024-01-04,false',
    'e7,1,0,2024-01-08,2024-01-08,true',
    'late,2,50,2024-01-06,2024-01-06,false',
  ]);

describe('a version built again', () => {
  it('is equal to the byte after late records, corrections and deletions', async () => {
    await moveOn();
    const again = await reproduceDataset(project, { name: 'daily', version: 1 });
    expect(again).toMatchObject({
      logical: true,
      physical: true,
      definitions: 'current',
      stored: 'whole',
      cause: null,
      first_difference: null,
    });
    // The log did move: a new version says otherwise.
    const later = await buildDataset(project, 'daily');
    expect(later.manifest.logical_sha256).not.toBe(built.manifest.logical_sha256);
  });

  it('is read, compared and proved where its rows are one file of before partitions', async () => {
    const store = await project.offline();
    const rows = rowsOf(built.version);
    const folder1 = path.join(path.dirname(built.version.folder), 'older');
    await mkdir(folder1);
    const file = path.join(folder1, 'data.parquet');
    const written = await writeRows(store, rows, built.manifest, 'at', { file, format: 'parquet' });
    const columns = await store.readColumns(file, addedColumns(built.manifest));
    const { partitions: _, part_rule: __, profile_of: ___, ...kept } = built.manifest;
    const hashes = Object.fromEntries([...columns].map(([name, column]) => [name, hashColumn(name, column)]));
    const older = (await project.registry()).addVersion({
      ...built.version,
      key: 'older',
      folder: folder1,
      manifest: {
        ...kept,
        format: 1,
        files: [{ file: 'data.parquet', ...written, sha256: await sha256File(file) }],
        column_sha256: hashes,
        logical_sha256: hashTable(Object.values(hashes)),
      },
    });
    const name = { name: 'daily', version: older.version };
    await moveOn();
    expect(await reproduceDataset(project, name)).toMatchObject({
      logical: true,
      physical: true,
      columns_that_differ: [],
      stored: 'whole',
    });
    const { diff } = await diffDatasets(project, name, { name: 'daily', version: 1 });
    expect(diff.row_changes).toMatchObject({ added: 0, removed: 0, changed: 0, equal: written.rows });
  });

  it('comes from the definitions kept with it when those of the project have changed', async () => {
    await moveOn();
    await writeFile(path.join(folder, 'definitions/all.yaml'), definitions('max'));
    await reopen();
    const again = await reproduceDataset(project, { name: 'daily', version: 1 });
    expect(again).toMatchObject({ logical: true, physical: true, definitions: 'kept', cause: null });
  });

  it('comes from the kept definitions and observations when nothing of either is left in the project', async () => {
    await writeFile(
      path.join(folder, 'definitions/all.yaml'),
      'entities:\n  - { name: user, join_key: user_id }\n',
    );
    await rm(path.join(folder, 'observations.csv'));
    await reopen();
    const again = await reproduceDataset(project, { name: 'daily', version: 1 });
    expect(again).toMatchObject({ logical: true, physical: true, definitions: 'kept', cause: null });
  });

  it('uses the observations that were asked then, not those that stand in their place now', async () => {
    await writeFile(path.join(folder, 'observations.csv'), ask(OBSERVATIONS.slice(3)));
    const again = await reproduceDataset(project, { name: 'daily', version: 1 });
    expect(again).toMatchObject({ logical: true, physical: true, cause: null });
  });

  it('is equal at any number of threads', async () => {
    for (const threads of [1, 2, 4]) {
      await writeFile(path.join(folder, 'millrace.yaml'), `threads: ${threads}\n`);
      await reopen();
      expect(project.definitions.settings.threads).toBe(threads);
      expect(await reproduceDataset(project, { name: 'daily', version: 1 })).toMatchObject({
        logical: true,
        physical: true,
      });
    }
  });
});

describe('a version that cannot be made again', () => {
  it('names the first row that differs, and the data, when records of the log are others', async () => {
    // The same project but for one amount: its version stands beside the registered one's rows.
    const log = await project.log();
    const { segments } = await log.state(project.definitions.sources.get('events')!);
    const other = await mkdtemp(path.join(tmpdir(), 'millrace-other-'));
    const registered = { folder, project };
    try {
      for (const name of ['definitions', 'data']) await mkdir(path.join(other, name));
      await copyFile(path.join(folder, 'definitions/all.yaml'), path.join(other, 'definitions/all.yaml'));
      await copyFile(path.join(folder, 'observations.csv'), path.join(other, 'observations.csv'));
      const csv = await readFile(path.join(folder, 'data/events.csv'), 'utf8');
      [folder, project] = [other, await openProject(other)];
      await ingest('events', csv.trimEnd().replace('e11,2,1.1,', 'e11,2,7.1,').split('\n').slice(1));
      const [segment] = (await (await project.log()).state(project.definitions.sources.get('events')!))
        .segments;
      await project.close();
      await copyFile(segment!.file, segments[0]!.file);
    } finally {
      ({ folder, project } = registered);
      await rm(other, { recursive: true, force: true });
    }
    await reopen();
    const again = await reproduceDataset(project, { name: 'daily', version: 1 });
    // e11 is of user 2 on 2024-01-12; 2024-01-13 is asked of user 2 and is row 8 of the observations.
    expect(again).toMatchObject({
      logical: false,
      cause: 'data',
      columns_that_differ: ['spent'],
      stored: 'whole',
      first_difference: { row: 8, column: 'spent', key: { user_id: '2' } },
    });
    const { registered: was, rebuilt: is } = again.first_difference!;
    expect((is as number) - (was as number)).toBeCloseTo(6, 9);
  });

  it('says that the stored file is damaged where the rebuild is right', async () => {
    const [file] = rowFiles(rowsAt(built.version)) as [string];
    await writeFile(file, (await readFile(file)).subarray(0, 100));
    expect(await reproduceDataset(project, { name: 'daily', version: 1 })).toMatchObject({
      logical: true,
      physical: true,
      stored: 'damaged',
      cause: 'stored_copy',
    });
  });

  it('is refused where the log has lost a file', async () => {
    const source = [...project.definitions.sources.values()][0]!;
    const { segments } = await (await project.log()).state(source);
    await rm(segments[0]!.file);
    await expect(reproduceDataset(project, { name: 'daily', version: 1 })).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
      message: expect.stringContaining(path.basename(segments[0]!.file)),
    });
  });

  it('is refused where its definitions are neither in the project nor kept', async () => {
    await rm(path.join(folder, '.millrace/objects'), { recursive: true });
    await writeFile(path.join(folder, 'definitions/all.yaml'), definitions('max'));
    await reopen();
    await expect(reproduceDataset(project, { name: 'daily', version: 1 })).rejects.toThrow(/not kept/);
  });

  it('tells code from data from engine', () => {
    const then = built.manifest;
    const feature = { ...then.features[0]!, fingerprint: 'other' };
    const cases = [
      [{ ...then, features: [feature, then.features[1]!] }, [], 'code'],
      [{ ...then, observations_sha256: 'other' }, [], 'data'],
      [then, ['the log of events ends at seq 3, before 60'], 'data'],
      [{ ...then, environment: { ...then.environment!, engine: 'duckdb v9' } }, [], 'engine'],
      [then, [], 'data'],
    ] as const;
    for (const [now, faults, cause] of cases) expect(blamed(then, now, false, faults).cause).toBe(cause);
    expect(blamed({ ...then, engine_version: 0 }, then, false, []).cause).toBe('engine');
    expect(blamed(then, then, true, []).cause).toBe('engine');
  });
});
