import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ORCHESTRATORS } from '../../src/core/plan/export-graph.js';
import { exportedHash, exportProject } from '../../src/services/export.js';
import { loadValidProject } from '../../src/services/load-project.js';
import { writeFiles } from '../e2e/support.js';
import { projectFiles } from './project.js';

const OPTIONS = { select: [], schedule: '0 6 * * *', retries: 3, retryDelay: 90_000_000, pool: 'writers' };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-export-'));
  await writeFiles(folder, projectFiles());
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const load = async () => (await loadValidProject(folder)).definitions;

describe('an exported file', () => {
  it.each(ORCHESTRATORS)('for %s is as it is kept here', async (target) => {
    const { text } = exportProject(
      await load(),
      target,
      folder,
      path.join(folder, 'dags/orders.py'),
      OPTIONS,
    );
    await expect(text).toMatchFileSnapshot(`golden/${target}.py`);
  });

  it('has another hash when edges, the schedule or its place change, and the same when a window does', async () => {
    const definitions = await load();
    const file = path.join(folder, 'dags/orders.py');
    const hash = (from = definitions, options: object = {}, at = file): string => {
      const { text, graph } = exportProject(from, 'airflow', folder, at, { ...OPTIONS, ...options });
      expect(exportedHash(text)).toBe(graph.hash);
      return graph.hash;
    };
    const base = hash();
    expect(hash()).toBe(base);
    const changes = [
      hash(definitions, { schedule: null }),
      hash(definitions, { select: ['orders_train'] }),
      hash(definitions, { retries: 4 }),
      hash(definitions, { pool: null }),
      hash(definitions, {}, path.join(folder, 'orders.py')),
    ];
    expect(new Set([base, ...changes]).size).toBe(changes.length + 1);
    const yaml = projectFiles()['definitions/all.yaml']!;
    await writeFiles(folder, { 'definitions/all.yaml': yaml.replaceAll('30d }', '31d }') });
    expect(hash(await load())).toBe(base);
    await writeFiles(folder, { 'definitions/all.yaml': yaml.replace(/models:[\s\S]*/, '') });
    expect(hash(await load())).not.toBe(base);
    await writeFiles(folder, { 'definitions/all.yaml': yaml });
  });

  it('holds what is selected and its parents', async () => {
    const { graph } = exportProject(await load(), 'dagster', folder, path.join(folder, 'x.py'), {
      ...OPTIONS,
      select: ['order_late'],
    });
    expect(graph.assets.map((asset) => asset.id)).toEqual([
      'source.orders',
      'dataset.orders_train',
      'model.order_late',
    ]);
  });

  it('refuses a selection that names nothing', async () => {
    const definitions = await load();
    expect(() =>
      exportProject(definitions, 'airflow', folder, path.join(folder, 'x.py'), {
        ...OPTIONS,
        select: ['order_lat'],
      }),
    ).toThrow(/no asset named "order_lat"/);
  });
});
