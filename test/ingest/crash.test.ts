import { spawn } from 'node:child_process';
import { existsSync, linkSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { acquireLock } from '../../src/adapters/files/lock.js';
import { crashSource } from './crash-source.js';
import { openAt, temporaryPlaces } from './support.js';

const place = temporaryPlaces(afterEach);
const here = fileURLToPath(new URL('.', import.meta.url));
const FILE_ROWS = 20_000;
const T = '2024-01-01T00:00:00Z';

interface Killed {
  readonly said: readonly string[];
}

/** Runs the child and kills it `delayMs` after it is ready; resolves with the lines it said. */
function runAndKill(folder: string, file: string, tag: string, delayMs: number): Promise<Killed> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', join(here, 'crash-child.ts'), folder, file, tag],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let text = '';
    let errors = '';
    let timer: NodeJS.Timeout | undefined;
    child.stdout.on('data', (bytes: Buffer) => {
      text += bytes.toString();
      if (timer === undefined && text.includes('ready'))
        timer = setTimeout(() => child.kill('SIGKILL'), delayMs);
    });
    child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      if (code !== null && code !== 0) reject(new Error(`the child failed: ${errors}`));
      else resolve({ said: text.split('\n').slice(0, -1) });
    });
  });
}

describe('a killed writer', () => {
  it('leaves each file and each push whole or absent, keeps what it acknowledged, and the next run completes it', async () => {
    const at = place();
    const trials = 10;
    const files = Array.from({ length: trials }, (_, t) => {
      const lines = Array.from(
        { length: FILE_ROWS },
        (_, i) => `file-${t}-${i},${T},${i},${'y'.repeat(i % 50)}`,
      );
      return at.write(`in/f${t}.csv`, `id,at,n,note\n${lines.join('\n')}\n`);
    });
    let killed = 0;
    for (let t = 0; t < trials; t++) {
      // From the first push to after the commit of the file, spread evenly.
      const { said } = await runAndKill(at.folder, files[t]!, String(t), 20 + (t * 450) / trials);
      if (!said.includes('closed')) killed++;
      const opened = await openAt(at.folder, [crashSource], 'check');
      const state = await opened.log.state(crashSource);
      const found = await opened.query<{ kind: string; n: number }>(
        `SELECT regexp_extract(id, '^(file-[0-9]+|push-[0-9]+-[0-9]+)') AS kind, count(*) AS n FROM (${opened.log.relation(state)}) GROUP BY kind`,
      );
      const counts = new Map(found.map((row) => [row.kind, row.n]));
      for (const [kind, n] of counts)
        expect([kind, n]).toEqual([kind, kind.startsWith('file') ? FILE_ROWS : 25]);
      for (const line of said) {
        if (line.startsWith('pushed '))
          expect(counts.has(`push-${t}-${line.slice(7)}`), `trial ${t}: ${line}`).toBe(true);
        if (line === 'file') expect(counts.has(`file-${t}`)).toBe(true);
      }
      const order = await opened.query<{ n: number; first: number; last: number }>(
        `SELECT count(DISTINCT "_seq") AS n, min("_seq") AS first, max("_seq") AS last FROM (${opened.log.relation(state)})`,
      );
      expect(order[0]).toEqual({
        n: state.rows,
        first: state.rows === 0 ? null : 1,
        last: state.rows === 0 ? null : state.rows,
      });
      await opened.close();
    }
    expect(killed).toBeGreaterThan(3);
    const opened = await at.open([crashSource]);
    const result = await opened.log.ingestFiles(crashSource, ['in/*.csv'], { now: 0 });
    expect(result.accepted + result.duplicates).toBe(trials * FILE_ROWS);
    const pushes = Array.from({ length: trials * 40 * 25 }, (_, k) => ({
      id: `push-${Math.floor(k / 1000)}-${Math.floor(k / 25) % 40}-${k % 25}`,
      at: T,
      n: k % 25,
      note: 'x'.repeat(40),
    }));
    const pushed = await opened.log.ingestRows(crashSource, pushes, { now: 0 });
    expect(pushed.accepted + pushed.duplicates).toBe(pushes.length);
    const total = await opened.query<{ n: number; ids: number; wrong: number }>(
      `SELECT count(*) AS n, count(DISTINCT id) AS ids, count(*) FILTER (id LIKE 'file%' AND n <> CAST(split_part(id, '-', 3) AS BIGINT)) AS wrong FROM (${opened.log.relation(await opened.log.state(crashSource))})`,
    );
    expect(total[0]).toEqual({ n: trials * (FILE_ROWS + 1000), ids: trials * (FILE_ROWS + 1000), wrong: 0 });
    const left = readdirSync(join(at.folder, '.millrace/lake/events')).filter((name) =>
      name.endsWith('.tmp'),
    );
    expect(left).toEqual([]);
  }, 120_000);
});

describe('one project', () => {
  it('has one writer: a second process is told which process and command holds it, and takes over when that is dead', async () => {
    const at = place();
    const file = join(at.folder, '.millrace/lock');
    const script = `import { acquireLock } from ${JSON.stringify(join(here, '../../src/adapters/files/lock.ts'))}; acquireLock(${JSON.stringify(file)}, 'millrace serve'); console.log('held'); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const opened = await at.open([crashSource]);
    await expect(opened.log.ingestRows(crashSource, [], { now: 0 })).rejects.toMatchObject({
      code: 'STORE_LOCKED',
      exit: 75,
      message: `Process ${child.pid} (millrace serve) is working on this project`,
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    expect(existsSync(file)).toBe(true);
    expect(await opened.log.ingestRows(crashSource, [{ id: 'a', at: T, n: 1 }], { now: 0 })).toMatchObject({
      accepted: 1,
    });
  }, 20_000);

  it('is taken over when the lock file is rubbish or names a reused process id', () => {
    const at = place();
    const file = at.write('lock', 'not json');
    acquireLock(file, 'x').release();
    expect(existsSync(file)).toBe(false);
    writeFileSync(file, JSON.stringify({ pid: process.pid, started: '1', command: 'old' }));
    const first = acquireLock(file, 'x');
    const second = acquireLock(file, 'y');
    first.release();
    expect(existsSync(file)).toBe(true);
    second.release();
    expect(existsSync(file)).toBe(false);
  });
});

describe('a process killed as it took the lock', () => {
  it('is no hindrance to the next one, not even to one with its process id', () => {
    const at = place();
    const file = at.write('lock', JSON.stringify({ pid: 2 ** 30, started: '', command: 'dead' }));
    // Killed between its two names for the same file, in a container where every start has this id.
    linkSync(file, `${file}.${process.pid}`);
    acquireLock(file, 'x').release();
    // Killed while it held the guard.
    writeFileSync(file, JSON.stringify({ pid: 2 ** 30, started: '', command: 'dead' }));
    writeFileSync(`${file}.guard`, '');
    acquireLock(file, 'x').release();
    expect(existsSync(file)).toBe(false);
    // The same, once the stale lock was gone.
    writeFileSync(`${file}.guard`, '');
    acquireLock(file, 'x').release();
    expect(existsSync(`${file}.guard`)).toBe(false);
  }, 20_000);
});

describe('an ingest that cannot finish', () => {
  it('is aborted by its signal at once and leaves nothing', async () => {
    const at = place();
    const lines = Array.from({ length: 300_000 }, (_, i) => `a${i},${T},${i},`);
    const file = at.write('big.csv', `id,at,n,note\n${lines.join('\n')}\n`);
    const opened = await at.open([crashSource]);
    for (const delayMs of [1, 80, 200]) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), delayMs);
      await expect(
        opened.log.ingestFiles(crashSource, [file], { now: 0, signal: controller.signal }),
      ).rejects.toMatchObject({ code: 'INTERRUPTED', exit: 130 });
      expect((await opened.log.state(crashSource)).rows).toBe(0);
    }
    expect(await opened.log.ingestFiles(crashSource, [file], { now: 0 })).toMatchObject({
      accepted: 300_000,
    });
  }, 30_000);

  it('on a full disk fails with DISK_FULL and leaves the log as it was', async () => {
    const at = place();
    const lines = Array.from(
      { length: 120_000 },
      (_, i) => `a${i},${T},${i},${(i * 2654435761) % 4294967296}${(i * 40503) % 65536}`,
    );
    const file = at.write('big.csv', `id,at,n,note\n${lines.join('\n')}\n`);
    const script = `
      import { openAt } from ${JSON.stringify(join(here, 'support.ts'))};
      import { crashSource } from ${JSON.stringify(join(here, 'crash-source.ts'))};
      process.on('SIGXFSZ', () => {});
      const opened = await openAt(${JSON.stringify(at.folder)}, [crashSource]);
      try { await opened.log.ingestFiles(crashSource, [${JSON.stringify(file)}], { now: 0 }); console.log('done'); }
      catch (error) { console.log(error.code ?? error); }
      await opened.close();`;
    // A limit on the size of a file makes writes fail as a full disk does, first in the stage, then in the segment.
    for (const limitKb of [512, 6000]) {
      const said = await new Promise<string>((resolve) => {
        const child = spawn('bash', [
          '-c',
          `ulimit -f ${limitKb}; exec "$0" --import tsx --input-type=module -e "$1"`,
          process.execPath,
          script,
        ]);
        let text = '';
        child.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()));
        child.stderr.on('data', (bytes: Buffer) => (text += bytes.toString()));
        child.on('close', () => resolve(text));
      });
      expect([limitKb, said.trim()]).toEqual([limitKb, 'DISK_FULL']);
      const opened = await openAt(at.folder, [crashSource]);
      expect(await opened.log.state(crashSource)).toMatchObject({ rows: 0, lastSeq: 0 });
      await opened.close();
    }
    const opened = await at.open([crashSource]);
    expect(await opened.log.ingestFiles(crashSource, [file], { now: 0 })).toMatchObject({
      accepted: 120_000,
    });
  }, 40_000);
});
