import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { openDatabase } from '../../src/adapters/sqlite/database.js';
import { LOG_MIGRATIONS } from '../../src/adapters/sqlite/log-tables.js';
import { createRegistry } from '../../src/adapters/sqlite/registry.js';
import { aliasModel, searchModels } from '../../src/services/model-registry.js';
import type { Project } from '../../src/services/project.js';

const CHILD = path.join(path.dirname(fileURLToPath(import.meta.url)), 'registry-child.ts');
const run = promisify(execFile);

async function withRegistry(work: (file: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millrace-registry-'));
  try {
    await work(path.join(folder, 'registry.db'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

it('two processes with 200 changes each lose no update: every one builds on the one before', () =>
  withRegistry(async (file) => {
    const times = 200;
    const registry = createRegistry(openDatabase(file, LOG_MIGRATIONS));
    await Promise.all(
      ['a', 'b'].map((actor) =>
        run(process.execPath, ['--import', 'tsx', CHILD, file, actor, String(times)]),
      ),
    );
    const history = registry.aliasHistory('m');
    expect(history.map((change) => change.version)).toEqual(
      Array.from({ length: 2 * times }, (_, i) => i + 1),
    );
    expect(history.map((change) => change.previous)).toEqual([
      null,
      ...history.slice(0, -1).map((c) => c.version),
    ]);
    for (const actor of ['a', 'b'])
      expect(history.filter((change) => change.actor === actor)).toHaveLength(times);
    const versions = registry.versions('model', 'm');
    expect(versions.map((each) => each.version)).toEqual(Array.from({ length: 2 * times }, (_, i) => i + 1));
    expect(new Set(versions.map((each) => each.key)).size).toBe(2 * times);
    registry.close();
  }));

it('aliases keep who, when, why; the champion goes by its gate; versions are found by what is known of them', () =>
  withRegistry(async (file) => {
    const registry = createRegistry(openDatabase(file, LOG_MIGRATIONS));
    const add = (name: string, auc: number) =>
      registry.addVersion({
        kind: 'model',
        name,
        key: `${name}${auc}`,
        folder: '/nowhere',
        manifest: {
          metrics: { test: { auc } },
          trainer: { kind: 'baseline' },
          label: 'late',
          features: [{ name: 'age' }],
          dataset: { name: 'd' },
        },
        createdAt: auc * 100,
      });
    const first = add('late', 0.6);
    const second = add('late', 0.8);
    add('churn', 0.9);
    const project = {
      registry: async () => registry,
      now: () => 42,
      definitions: { models: new Map([['late', { tags: ['ops'], owner: 'ann', description: 'Trains' }]]) },
    } as unknown as Project;
    await aliasModel(project, first, 'staging', { reason: 'try it', actor: 'ann' });
    const change = await aliasModel(project, second, 'staging', { reason: 'better', actor: 'bob' });
    expect(change).toEqual({
      model: 'late',
      alias: 'staging',
      version: 2,
      previous: 1,
      at: 42,
      actor: 'bob',
      reason: 'better',
    });
    expect(registry.aliasHistory('late')).toHaveLength(2);
    await expect(aliasModel(project, first, 'champion', { reason: '' })).rejects.toThrow('gate');
    expect(() => registry.setAlias({ ...change, expected: 1 })).toThrow('someone else');
    expect(registry.aliasHistory('late')).toHaveLength(2);

    const found = async (...terms: string[]): Promise<string[]> =>
      (await searchModels(project, terms)).map(({ version }) => `${version.name}@${version.version}`);
    expect(await found('tag:ops')).toEqual(['late@2', 'late@1']);
    expect(await found('tag:ops', 'test.auc>0.7')).toEqual(['late@2']);
    expect(await found('alias:staging')).toEqual(['late@2']);
    expect(await found('test.auc<=0.8', 'owner:ann', 'trains')).toEqual(['late@2', 'late@1']);
    expect(await found('CHURN')).toEqual(['churn@1']);
    expect(await found('feature:none')).toEqual([]);
    await expect(found('tagg:ops')).rejects.toMatchObject({ hint: 'Did you mean "tag:ops"?' });
    await expect(found('test.aoc>0.7')).rejects.toMatchObject({ hint: 'Did you mean "auc"?' });
    await expect(found('tset.auc>0.7')).rejects.toMatchObject({ hint: 'Did you mean "test"?' });
    for (const term of ['test.auc>=abc', 'auc>0.7'])
      await expect(found(term)).rejects.toThrow('is no term to search by');
    registry.close();
  }));
