/** Builds and collections of garbage that are killed leave whole versions, and what they have finished. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openProject } from '../../src/open.js';
import { buildDataset } from '../../src/services/build-dataset.js';
import { rowFiles, rowsAt, rowsPresent } from '../../src/services/dataset-table.js';
import { reproduceDataset } from '../../src/services/reproduce-dataset.js';
import { random } from '../world.js';

const worker = fileURLToPath(new URL('./store-worker.ts', import.meta.url));
const loader = createRequire(import.meta.url).resolve('tsx');
const KILLS = Number(process.env['MILLRACE_KILLS'] ?? 2);
const DAYS = 30;

const DEFINITIONS = `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: events
    read: { files: data/*.csv }
    record_key: id
    event_time: at
    fields: { id: int64, user_id: int64, amount: float64, at: timestamp }
features:
  - { name: spent, entity: user, aggregation: { function: sum, source: events.amount, window: 2d } }
datasets:
  - { name: set, observations: { source: events }, features: [spent], partition: 1d }
`;

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-kill-'));
  await mkdir(path.join(folder, 'definitions'));
  await mkdir(path.join(folder, 'data'));
  await writeFile(path.join(folder, 'definitions/all.yaml'), DEFINITIONS);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function ingest(name: string, ids: readonly number[], amount: number): Promise<void> {
  const file = path.join(folder, 'data', `${name}.csv`);
  const rows = ids.map((i) => {
    const at = new Date(Date.parse('2024-01-01T01:00:00Z') + (i % DAYS) * 86_400_000).toISOString();
    return `${i},${i % 5},${amount},${at}`;
  });
  await writeFile(file, `id,user_id,amount,at\n${rows.join('\n')}\n`);
  const project = await openProject(folder);
  await (await project.log()).ingestFiles(project.definitions.sources.get('events')!, [file]);
  await project.close();
}

/** Runs the worker; with a time it is killed so long after it was ready. True: it came to its end. */
async function work(what: 'build' | 'gc', kill?: number): Promise<boolean> {
  const child = spawn(process.execPath, ['--import', loader, worker, folder, what], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const timer = new Promise<void>((resolve) => {
    child.stdout.once('data', () => {
      if (kill !== undefined) setTimeout(() => child.kill('SIGKILL'), kill);
      resolve();
    });
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  await timer;
  return code === 0;
}

const objects = async (): Promise<string[]> =>
  (await readdir(path.join(folder, '.millrace/lake/_datasets/set/objects')).catch(() => [])).filter((name) =>
    name.endsWith('.parquet'),
  );

it('a build that is killed leaves nothing half published, and the next one takes up what was finished', async () => {
  const next = random(11);
  await ingest(
    'first',
    Array.from({ length: DAYS * 4 }, (_, i) => i),
    1,
  );
  const started = Date.now();
  expect(await work('build')).toBe(true);
  const whole = Date.now() - started;
  const project = await openProject(folder);
  expect(await objects()).toHaveLength(DAYS);
  await project.close();

  for (let kill = 0; kill < KILLS; kill++) {
    // A correction of every record makes all partitions again.
    await ingest(
      `again${kill}`,
      Array.from({ length: DAYS * 4 }, (_, i) => i),
      2 + kill,
    );
    await work('build', next() * whole);
    const opened = await openProject(folder);
    for (const version of (await opened.registry()).versions('dataset', 'set'))
      expect(rowsPresent(rowsAt(version))).toBe(true);
    const resumed = await buildDataset(opened, 'set');
    expect(await reproduceDataset(opened, { name: 'set', version: resumed.version.version })).toMatchObject({
      logical: true,
      physical: true,
      stored: 'whole',
    });
    await opened.close();
  }
}, 180_000);

it('gc that is killed leaves the versions that are kept whole, and the next one clears the rest', async () => {
  const next = random(12);
  for (let kill = 0; kill < KILLS; kill++) {
    await ingest(
      `again${kill}`,
      Array.from({ length: DAYS }, (_, i) => i),
      1 + kill,
    );
    const project = await openProject(folder);
    await buildDataset(project, 'set');
    await project.close();
    await work('gc', next() * 400);
    const opened = await openProject(folder);
    const { version } = (await opened.registry()).version('dataset', 'set')!;
    expect(await reproduceDataset(opened, { name: 'set', version })).toMatchObject({ stored: 'whole' });
    await opened.close();
  }
  expect(await work('gc')).toBe(true);
  const project = await openProject(folder);
  const latest = (await project.registry()).version('dataset', 'set')!;
  expect((await objects()).sort()).toEqual(
    [...new Set(rowFiles(rowsAt(latest)).map((file) => path.basename(file)))].sort(),
  );
  await project.close();
}, 180_000);
