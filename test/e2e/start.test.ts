/** What a new user meets first: help, init, and the packed tarball in an empty folder. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { readFile, symlink } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseCsv } from './case-project.js';
import { MAIN, millrace, ROOT, withFolder } from './support.js';

const seconds = (work: () => void, times: number): number => {
  const taken = Array.from({ length: times }, () => {
    const started = performance.now();
    work();
    return performance.now() - started;
  });
  return Math.min(...taken);
};

describe('help', () => {
  it('costs little more than starting node', () => {
    const node =
      (args: string[]): (() => void) =>
      () => {
        expect(spawnSync(process.execPath, args).status).toBe(0);
      };
    const bare = seconds(node(['-e', '0']), 7);
    expect(seconds(node([MAIN, '--help']), 7) / bare).toBeLessThan(3);
  });

  it('is there for every command', async () => {
    const { stdout } = await millrace(['--help']);
    const commands = (text: string): string[] =>
      [...text.slice(text.indexOf('Commands:')).matchAll(/^ {2}([a-z]+)/gm)]
        .map((match) => match[1]!)
        .filter((name) => name !== 'help');
    const names = commands(stdout);
    expect(names).toEqual(
      expect.arrayContaining([
        'init',
        'check',
        'plan',
        'apply',
        'run',
        'ingest',
        'quarantine',
        'features',
        'dataset',
        'train',
        'models',
        'promote',
        'rollback',
        'score',
        'serve',
        'verify',
        'replay',
        'monitor',
        'profile',
        'compare',
        'evaluate',
        'lineage',
        'doctor',
      ]),
    );
    for (const name of names) {
      const help = await millrace([name, '--help']);
      expect(help.status, name).toBe(0);
      expect(help.stdout, name).toMatch(new RegExp(`Usage: millrace ${name}`));
      if (!help.stdout.includes('Commands:')) continue;
      for (const verb of commands(help.stdout))
        expect((await millrace([name, verb, '--help'])).stdout).toMatch(
          new RegExp(`Usage: millrace ${name} ${verb}`),
        );
    }
  });

  it('answers a command that does not exist with 2, and the version with 0', async () => {
    const unknown = await millrace(['igest']);
    expect(unknown.status).toBe(2);
    expect(unknown.stderr).toMatch(/error USAGE .*igest[\s\S]*ingest/);
    const version = await millrace(['--version']);
    expect([version.status, version.stdout.trim()]).toEqual([
      0,
      JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')).version,
    ]);
  });
});

describe('init', () => {
  it('makes a project in which the command it prints works', () =>
    withFolder(async (folder) => {
      const made = await millrace(['init', 'shop'], { cwd: folder });
      expect(made.status, made.stderr).toBe(0);
      const next = /^next: cd shop && (.+)$/m.exec(made.stdout)![1]!;
      // `npx millrace` stands for the program itself.
      const done = spawnSync(
        'bash',
        ['-ec', next.replaceAll('npx millrace', `"${process.execPath}" "${MAIN}"`)],
        { cwd: path.join(folder, 'shop'), encoding: 'utf8' },
      );
      expect(done.status, done.stderr).toBe(0);
      expect(parseCsv(await readFile(path.join(folder, 'shop/features.csv'), 'utf8'))).toEqual([
        {
          row_id: '1',
          user_id: '7',
          t: '2024-03-05T00:00:00Z',
          user_paid_count_30d: '2',
          user_amount_mean_90d: '10.25',
        },
        {
          row_id: '2',
          user_id: '9',
          t: '2024-03-05T00:00:00Z',
          user_paid_count_30d: '0',
          user_amount_mean_90d: null,
        },
      ]);
      expect((await millrace(['check'], { cwd: path.join(folder, 'shop') })).status).toBe(0);
      expect((await millrace(['init', 'shop'], { cwd: folder })).status).toBe(2);
    }));

  it('follows a symbolic link to the program, as npx makes one', () =>
    withFolder(async (folder) => {
      const link = path.join(folder, 'millrace');
      await symlink(MAIN, link);
      const done = spawnSync(process.execPath, [link, 'init', 'demo', '--example', 'flights'], {
        cwd: folder,
        encoding: 'utf8',
      });
      expect(done.status, done.stderr).toBe(0);
      expect(existsSync(path.join(folder, 'demo/data/schedule.csv.gz'))).toBe(true);
    }));
});

describe('the packed tarball', () => {
  it('installs in an empty folder and runs the example', { timeout: 600_000 }, () =>
    withFolder(async (folder) => {
      const npm = (args: string[], cwd: string): { status: number | null; stdout: string; stderr: string } =>
        spawnSync('npm', args, {
          cwd,
          encoding: 'utf8',
          env: {
            ...process.env,
            npm_config_audit: 'false',
            npm_config_fund: 'false',
            npm_config_update_notifier: 'false',
          },
        });
      const packed = npm(['pack', '--json', '--ignore-scripts', '--pack-destination', folder], ROOT);
      expect(packed.status, packed.stderr).toBe(0);
      const [{ files }] = JSON.parse(packed.stdout) as [{ files: { path: string }[] }];
      const names = files.map((file) => file.path);
      for (const name of [
        'package.json',
        'LICENSE',
        'NOTICE',
        'dist/cli/main.js',
        'dist/index.js',
        'dist/index.d.ts',
        'schema/millrace.schema.json',
        'examples/flights/definitions/model.yaml',
        'examples/flights/data/schedule.csv.gz',
        'examples/flights/data/LICENCE.md',
      ])
        expect(names).toContain(name);
      expect(
        names.filter((name) => /^(src|test|bench|scripts|node_modules)\/|\.test\.|\.millrace\//.test(name)),
      ).toEqual([]);
      const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))!;
      const installed = npm(['install', '--omit=dev', '--no-package-lock', `./${tarball}`], folder);
      expect(installed.status, installed.stderr).toBe(0);
      const npx = (args: string[], cwd: string): { status: number | null; stdout: string; stderr: string } =>
        spawnSync('npx', ['--no', 'millrace', ...args], { cwd, encoding: 'utf8' });
      const made = npx(['init', 'demo', '--example', 'flights'], folder);
      expect(made.status, made.stderr).toBe(0);
      const done = npx(['run'], path.join(folder, 'demo'));
      expect(done.status, done.stderr).toBe(0);
      expect(done.stdout).toMatch(/offline = online +equal to the bit on 80,000 values/);
      expect(done.stdout).toMatch(/serve it +npx millrace serve/);
    }),
  );
});
