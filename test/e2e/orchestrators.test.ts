/** Exported files in the real orchestrators from PyPI, calling the real command line. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openProject } from '../../src/open.js';
import { orders, projectFiles } from '../export/project.js';
import { type Driver, drive, environment } from '../export/python.js';
import { MAIN, millrace, withFolder, writeFiles } from './support.js';

const EDGES = {
  'source.orders': [],
  'online.store': ['source.orders'],
  'dataset.orders_train': ['source.orders'],
  'model.order_late': ['dataset.orders_train'],
};
const ENV = { MILLRACE_COMMAND: `"${process.execPath}" "${MAIN}"` };
const EXPORT = ['--schedule', '0 6 * * *', '--retries', '8', '--retry-delay', '1s'];

/** An exported project in an orchestrator. */
async function exported(
  target: 'dagster' | 'airflow',
  python: string,
  work: (driver: Driver, folder: string) => Promise<void>,
  require?: string,
): Promise<void> {
  await withFolder(async (folder) => {
    await writeFiles(folder, projectFiles(require));
    const file = path.join(folder, 'dags/orders.py');
    const done = await millrace(['export', target, '--out', file, '--project', folder, '--json', ...EXPORT]);
    expect(done.status, done.stderr).toBe(0);
    const driver = await drive(python, `${target}_driver.py`, [file, path.join(folder, 'home')], {
      ...ENV,
      AIRFLOW_HOME: path.join(folder, 'home'),
    });
    try {
      await work(driver, folder);
    } finally {
      await driver.end();
    }
  });
}

const dagster = environment('dagster-1.13.28', ['dagster==1.13.28']);

describe.skipIf(dagster === null)('in Dagster', () => {
  const key = (asset: string): string => `orders_late/${asset.replace('.', '/')}`;

  it('assets have the edges and data versions of the project; nothing to do materializes nothing', async () => {
    await exported('dagster', dagster!, async (driver, folder) => {
      expect(driver.loaded).toEqual({
        edges: Object.fromEntries(Object.entries(EDGES).map(([id, parents]) => [key(id), parents.map(key)])),
        schedules: [['0 6 * * *', 'Europe/Vienna']],
        pool: [],
      });
      const versions = async (): Promise<Record<string, string>> => {
        const { json } = await millrace(['assets', '--json', '--project', folder]);
        return Object.fromEntries(
          json.assets.map((item: { asset: string; data_version: string }) => [
            key(item.asset),
            item.data_version,
          ]),
        );
      };
      const reported = (ran: {
        materialized: Record<string, { data_version: string }>;
      }): Record<string, string> =>
        Object.fromEntries(Object.entries(ran.materialized).map(([name, item]) => [name, item.data_version]));

      const first = await driver.run(null);
      expect(first).toMatchObject({ success: true, failures: [] });
      const before = await versions();
      expect(reported(first)).toEqual(before);
      expect(first.materialized[key('dataset.orders_train')].metadata).toMatchObject({
        'millrace/version': 1,
        'millrace/rows': 200,
        'millrace/outcome': 'done',
      });

      expect(await driver.run(null)).toMatchObject({ success: true, materialized: {} });

      // One asset is asked for; the parent that was stale is reported beside it.
      await writeFiles(folder, { 'data/orders-more.csv': orders(200, 220) });
      const subset = await driver.run(['dataset.orders_train']);
      const after = await versions();
      const moved = [key('dataset.orders_train'), key('source.orders')];
      expect(subset.success).toBe(true);
      expect(reported(subset)).toEqual(Object.fromEntries(moved.map((name) => [name, after[name]])));
      for (const name of moved) expect(after[name]).not.toBe(before[name]);
    });
  });

  it('a refused gate fails at once, with what came before it reported', async () => {
    await exported(
      'dagster',
      dagster!,
      async (driver) => {
        const ran = await driver.run(null);
        expect(ran).toMatchObject({ success: false, retried: 0 });
        expect(ran.failures).toEqual([expect.stringMatching(/exit 3: PROMOTION_REFUSED: order_late@1/)]);
        expect(Object.keys(ran.materialized).sort()).toEqual(Object.keys(EDGES).map(key).sort());
      },
      'test.auc >= 0.999',
    );
  });

  it('a project that another process writes to is tried again until it is free', async () => {
    await exported('dagster', dagster!, async (driver, folder) => {
      const project = await openProject(folder);
      await project.lockForWriting('the other');
      const locked = driver.shows('STORE_LOCKED');
      const running = driver.run(null);
      await Promise.race([locked, running]);
      await project.close();
      const ran = await running;
      expect(ran.success).toBe(true);
      expect(ran.retried).toBeGreaterThan(0);
    });
  });
});

const airflow = environment('airflow-3.3.2', [
  'apache-airflow-core==3.3.2',
  'apache-airflow-task-sdk==1.3.2',
  'apache-airflow-providers-standard==1.21.0',
]);

describe.skipIf(airflow === null)('in Airflow', () => {
  const all = (value: unknown): Record<string, unknown> =>
    Object.fromEntries(Object.keys(EDGES).map((id) => [id, value]));

  it('one task an asset runs the command line; what has nothing to do is skipped, what comes after it is not', async () => {
    await exported('airflow', airflow!, async (driver, folder) => {
      expect(driver.loaded).toEqual({
        dag: 'orders_late',
        edges: EDGES,
        schedule: '0 6 * * *',
        timezone: 'Europe/Vienna',
        pools: ['default_pool'],
        outlets: Object.fromEntries(Object.keys(EDGES).map((id) => [id, [`millrace://orders_late/${id}`]])),
      });
      const first = await driver.run(null);
      expect(first).toMatchObject({ state: 'success', tasks: all('success'), tries: all(1) });
      expect(first.xcom['source.orders'].records).toMatchObject({ rows: 200, accepted: 200 });
      expect(first.xcom['model.order_late'].promotions).toMatchObject([{ promoted: true, version: 1 }]);

      const idle = await driver.run(null);
      expect(idle).toMatchObject({ state: 'success', tasks: all('skipped'), xcom: all(null) });

      const file = 'definitions/all.yaml';
      await writeFiles(folder, { [file]: projectFiles()[file]!.replace('seed: 7', 'seed: 8, l2: 0.5') });
      expect((await driver.run(null)).tasks).toEqual({ ...all('skipped'), 'model.order_late': 'success' });
    });
  });

  it('a refused gate fails its task at once', async () => {
    await exported(
      'airflow',
      airflow!,
      async (driver) => {
        expect(await driver.run(null)).toMatchObject({
          state: 'failed',
          tasks: { ...all('success'), 'model.order_late': 'failed' },
          tries: all(1),
        });
      },
      'test.auc >= 0.999',
    );
  });

  it('a project that another process writes to is tried again until it is free', async () => {
    await exported('airflow', airflow!, async (driver, folder) => {
      const project = await openProject(folder);
      await project.lockForWriting('the other');
      const locked = driver.shows('STORE_LOCKED');
      const running = driver.run(null);
      await Promise.race([locked, running]);
      await project.close();
      const ran = await running;
      expect(ran).toMatchObject({ state: 'success', tasks: all('success') });
      expect(ran.tries['source.orders']).toBeGreaterThan(1);
    });
  });
});

describe('export --check', () => {
  it('is 0 when the file is current, 3 when the graph has moved on or the file was edited', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, projectFiles());
      const file = path.join(folder, 'orders.py');
      const run = (...more: string[]): ReturnType<typeof millrace> =>
        millrace(['export', 'airflow', '--out', file, '--project', folder, '--json', ...more]);
      const stale = (message: RegExp): object => ({
        status: 3,
        json: { error: { code: 'EXPORT_STALE', message: expect.stringMatching(message) } },
      });
      expect(await run('--check')).toMatchObject(stale(/is not there/));
      expect(await run()).toMatchObject({ status: 0, json: { target: 'airflow', current: false } });
      expect(await run('--check')).toMatchObject({ status: 0, json: { current: true } });
      expect(await run('--check', '--retries', '5')).toMatchObject(stale(/another graph/));
      const text = await readFile(file, 'utf8');
      await writeFiles(folder, { 'orders.py': text.replace('max_active_runs=1', 'max_active_runs=2') });
      expect(await run('--check')).toMatchObject(stale(/edited/));
      expect((await run()).status).toBe(0);
      expect(await readFile(file, 'utf8')).toBe(text);
      await writeFiles(folder, { 'orders.py': 'print("mine")\n' });
      expect(await run()).toMatchObject({ status: 2, json: { error: { code: 'USAGE' } } });
      expect((await run('--force')).status).toBe(0);
    });
  });
});
