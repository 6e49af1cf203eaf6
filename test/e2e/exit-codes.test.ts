/** What scripts and other orchestrators rely on: for every command, the exit code and the last line of stdout. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openProject } from '../../src/open.js';
import { orders, projectFiles } from '../export/project.js';
import { type Finished, millrace, withFolder, writeFiles } from './support.js';

const MORE = `
services:
  - { name: late, model: order_late, log: all }
monitors:
  - { name: late_drift, service: late, window: 7d, features: { test: auto }, alert: [log] }
`;

const verbs = (help: string): string[] =>
  [...help.slice(help.indexOf('Commands:')).matchAll(/^ {2}([a-z-]+)/gm)]
    .map((match) => match[1]!)
    .filter((name) => name !== 'help' && help.includes('Commands:'));

/** All commands that do something, each as its words. */
async function commands(): Promise<string[][]> {
  const names = verbs((await millrace(['--help'])).stdout);
  const found = await each(names, async (name) => {
    const below = verbs((await millrace([name, '--help'])).stdout);
    return below.length === 0 ? [[name]] : below.map((verb) => [name, verb]);
  });
  return found.flat();
}

/** Two at a time: a process each. */
async function each<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const left = [...items.entries()];
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift())
      results[next[0]] = await work(next[1]);
  };
  await Promise.all([worker(), worker()]);
  return results;
}

/** The result on the last line is one object, and nothing else is on stdout. */
function oneObject(done: Finished): void {
  expect(done.stdout.trimEnd().split('\n'), done.stderr).toHaveLength(1);
  expect(done.json, done.stdout).toBeTypeOf('object');
  expect(Array.isArray(done.json)).toBe(false);
  expect(done.json).not.toBeNull();
}

const error = (code: string): object => ({ error: { code, message: expect.any(String) } });

describe('every command', () => {
  it('ends with 2 and says why, as JSON too, when an option is unknown', async () => {
    const all = await commands();
    expect(all.length).toBeGreaterThan(45);
    const wrong: string[] = [];
    await each(all, async (words) => {
      const done = await millrace([...words, '--no-such-option', '--json']);
      const lines = done.stdout.trimEnd().split('\n');
      const right =
        done.status === 2 &&
        lines.length === 1 &&
        done.json?.error?.code === 'USAGE' &&
        /--no-such-option|required option|missing required argument/.test(done.stderr);
      if (!right) wrong.push(`${words.join(' ')}: ${done.status} ${done.stdout}`);
    });
    expect(wrong).toEqual([]);
    for (const args of [['nothing'], ['run', '--retries'], ['ingest'], ['features', 'nothing']]) {
      const done = await millrace([...args, '--json']);
      expect(done.status, args.join(' ')).toBe(2);
    }
  });

  it('ends with the status of its kind, and one object for each kind of end', async () => {
    await withFolder(async (folder) => {
      const files = projectFiles();
      await writeFiles(folder, {
        ...files,
        'definitions/all.yaml': files['definitions/all.yaml']! + MORE,
        'obs.csv': 'user_id,t\n1,2024-02-01T00:00:00Z\n2,2024-02-02T00:00:00Z\n',
        'other.csv': orders(50, 150),
        'scores.csv': 'label,score\n1,0.9\n0,0.2\n1,0.6\n0,0.7\n',
      });
      const at = (name: string): string => path.join(folder, name);
      const run = (args: readonly string[]): Promise<Finished> =>
        millrace([...args, '--project', folder, '--json']);
      const table: readonly (readonly [exit: number, args: readonly string[], has: readonly string[]])[] = [
        [0, ['check'], ['ok', 'errors', 'diagnostics']],
        [0, ['assets'], ['assets']],
        [0, ['plan'], ['steps', 'fresh']],
        [1, ['ingest', 'orders', at('absent.csv')], ['error']],
        [0, ['ingest', 'orders', at('data/orders.csv')], ['accepted', 'quarantined', 'duplicates']],
        [0, ['apply', 'source.orders'], ['steps']],
        [99, ['apply', 'source.orders'], ['steps']],
        [99, ['plan', 'source.orders'], ['steps']],
        [0, ['run'], ['steps', 'records', 'promotions', 'verify']],
        [99, ['run'], ['steps']],
        [0, ['status'], []],
        [0, ['batches', 'list', 'orders'], []],
        [2, ['batches', 'show', 'zzzz'], ['error']],
        [0, ['quarantine', 'list'], []],
        [0, ['quarantine', 'show'], []],
        [0, ['quarantine', 'repairs', 'orders'], []],
        [0, ['contract', 'export', 'orders'], ['document']],
        [0, ['contract', 'versions', 'orders'], []],
        [0, ['contract', 'suggest', at('other.csv')], []],
        [
          0,
          ['features', 'historical', '--observations', at('obs.csv'), '--time', 't'].concat([
            '--features',
            'orders_30d',
            '--out',
            at('out.csv'),
          ]),
          ['rows'],
        ],
        [0, ['features', 'online', '--features', 'orders_30d', '--entity', 'user_id=1'], []],
        [2, ['features', 'online', '--features', 'orders_31d', '--entity', 'user_id=1'], ['error']],
        [
          0,
          ['features', 'explain', 'orders_30d', '--entity', 'user_id=1', '--at', '2024-02-01T00:00:00Z'],
          [],
        ],
        [0, ['dataset', 'list'], []],
        [0, ['dataset', 'show', 'orders_train'], []],
        [0, ['dataset', 'build', 'orders_train'], []],
        [0, ['dataset', 'reproduce', 'orders_train@1'], []],
        [2, ['dataset', 'reproduce', 'orders_train@9'], ['error']],
        [0, ['train', 'order_late'], []],
        [0, ['models', 'list'], []],
        [0, ['models', 'show', 'order_late'], []],
        [2, ['models', 'show', 'order_lat'], ['error']],
        [0, ['promote', 'order_late'], []],
        [99, ['materialize'], []],
        [0, ['score', 'late', '--observations', at('obs.csv'), '--time', 't', '--out', at('scored.csv')], []],
        [0, ['verify'], ['checked', 'differing']],
        [0, ['replay', 'late'], []],
        [0, ['monitor'], []],
        [0, ['report', '--out', at('report.html')], []],
        [0, ['profile', at('other.csv')], ['rows', 'columns']],
        [0, ['compare', at('data/orders.csv'), at('other.csv')], ['columns']],
        [0, ['evaluate', at('scores.csv'), '--label', 'label', '--score', 'score'], ['rows', 'metrics']],
        [2, ['evaluate', at('scores.csv'), '--label', 'nolabel', '--score', 'score'], ['error']],
        [0, ['lineage', 'orders_30d'], []],
        [2, ['lineage', 'orders_31d'], ['error']],
        [3, ['export', 'dagster', '--out', at('dag.py'), '--check'], ['error', 'hash']],
        [0, ['export', 'dagster', '--out', at('dag.py')], ['file', 'hash', 'assets']],
        [2, ['export', 'airflow', '--out', at('dag.py'), '--schedule', 'daily'], ['error']],
        [2, ['run', 'nothing'], ['error']],
        [0, ['init', at('new')], []],
      ];
      for (const [exit, args, has] of table) {
        const done = await run(args);
        expect(done.status, `${args.join(' ')}: ${done.stderr}`).toBe(exit);
        oneObject(done);
        expect(Object.keys(done.json), args.join(' ')).toEqual(expect.arrayContaining([...has]));
        expect('error' in done.json, args.join(' ')).toBe(![0, 99].includes(exit));
      }

      const project = await openProject(folder);
      await project.lockForWriting('the other');
      try {
        await writeFile(at('data/orders-more.csv'), orders(200, 210));
        const busy = await run(['run']);
        expect(busy).toMatchObject({ status: 75, json: error('STORE_LOCKED') });
        oneObject(busy);
      } finally {
        await project.close();
      }

      await writeFiles(folder, {
        'definitions/all.yaml': projectFiles('test.auc >= 0.999')['definitions/all.yaml']! + MORE,
      });
      const refused = await run(['run']);
      expect(refused).toMatchObject({ status: 3, json: error('PROMOTION_REFUSED') });
      expect(refused.json.steps).toBeInstanceOf(Array);
      oneObject(refused);

      await writeFile(at('definitions/broken.yaml'), 'features:\n  - { name: x, entty: user }\n');
      for (const args of [['check'], ['plan'], ['run'], ['export', 'airflow', '--out', at('x.py')]]) {
        const done = await run(args);
        expect(done.status, args.join(' ')).toBe(2);
        oneObject(done);
      }
      // What ran is known without definitions.
      expect(await run(['runs', 'list'])).toMatchObject({ status: 0, json: { runs: expect.any(Array) } });
      expect((await run(['runs', 'cancel', 'last'])).status).toBe(99);
    });
  });
});
