import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { call, makeFolder, open, removeFolder, start } from './support.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

interface Served {
  readonly child: ChildProcess;
  readonly url: string;
  readonly port: number;
}

let folder: string;
let children: ChildProcess[];

beforeEach(() => {
  folder = makeFolder(1);
  children = [];
});
afterEach(async () => {
  for (const child of children)
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  removeFolder(folder);
});

async function run(...args: string[]): Promise<Served> {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', MAIN, 'serve', '--project', folder, '--json', ...args],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  children.push(child);
  let errors = '';
  child.stderr!.on('data', (chunk) => {
    errors += String(chunk);
  });
  for await (const chunk of child.stdout!) {
    const { url, port } = JSON.parse(String(chunk)) as { url: string; port: number };
    const latest = Date.now() + 20_000;
    while (Date.now() < latest && !errors.includes('ready to answer')) await sleep(20);
    return { child, url, port };
  }
  throw new Error(`the server did not start: ${errors}`);
}

const stop = async ({ child }: Served, signal: NodeJS.Signals): Promise<number | null> => {
  const ended = once(child, 'exit');
  child.kill(signal);
  return ((await ended) as [number | null])[0];
};

const push = async (
  served: Served,
  from: number,
  rows: number,
): Promise<{ accepted: number; seq: number }> => {
  const response = await fetch(`${served.url}/v1/sources/purchases/records`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(
      Array.from({ length: rows }, (_, i) => ({
        purchase_id: `k${from + i}`,
        user_id: 1,
        amount: 1,
        status: 'paid',
        bought_at: new Date().toISOString(),
      })),
    ),
  });
  return (await response.json()) as { accepted: number; seq: number };
};

const count = async (served: Served): Promise<number> => {
  const response = await fetch(`${served.url}/v1/features/purchases_30d`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"entities":[{"user_id":1}]}',
  });
  return ((await response.json()) as { rows: { values: number[] }[] }).rows[0]!.values[0]!;
};

describe('millrace serve', () => {
  it('stops with 0 on SIGTERM and 130 on SIGINT, within seconds, and gives up its lock', async () => {
    for (const [signal, exit] of [
      ['SIGTERM', 0],
      ['SIGINT', 130],
    ] as const) {
      const served = await run('--port', '0');
      await fetch(`${served.url}/healthz`);
      const began = performance.now();
      expect(await stop(served, signal)).toBe(exit);
      expect(performance.now() - began).toBeLessThan(4_500);
      expect(existsSync(join(folder, '.millrace', 'lock'))).toBe(false);
    }
  });

  it('loses nothing it has acknowledged when it is killed, and comes back with the same values', async () => {
    const served = await run('--port', '0');
    let acknowledged = 0;
    const pushing = (async () => {
      for (let i = 0; ; i += 5) {
        const { accepted } = await push(served, i, 5);
        acknowledged += accepted;
      }
    })().catch(() => undefined);
    while (acknowledged < 25) await sleep(20);
    served.child.kill('SIGKILL');
    await once(served.child, 'exit');
    await pushing;
    const again = await run('--port', '0');
    const known = await count(again);
    expect(known).toBeGreaterThanOrEqual(acknowledged);
    expect(known % 5).toBe(0);
    const { seq } = await push(again, known, 5);
    expect(seq).toBe(known + 5);
    expect(await count(again)).toBe(known + 5);
    await stop(again, 'SIGTERM');
  });
});

describe('beside another writer', () => {
  it('reads, and answers pushes with 503 and who holds the project', async () => {
    const before = await open(folder);
    const writer = await start(before);
    const record = {
      purchase_id: 'a',
      user_id: 1,
      amount: 4,
      status: 'paid',
      bought_at: '2024-01-31T00:00:00Z',
    };
    expect((await call(writer, 'POST', '/v1/sources/purchases/records', record)).status).toBe(200);
    await writer.close();
    await before.close();
    const lock = join(folder, '.millrace', 'lock');
    writeFileSync(lock, JSON.stringify({ pid: process.ppid, started: '', command: 'millrace run' }));
    const project = await open(folder);
    const notices: string[] = [];
    const reader = await start(project, { onNotice: (text) => notices.push(text) });
    expect(notices[0]).toContain('read-only');
    const refused = await call(reader, 'POST', '/v1/sources/purchases/records', {
      ...record,
      purchase_id: 'b',
    });
    expect(refused.body).toMatchObject({
      status: 503,
      code: 'STORE_LOCKED',
      detail: expect.stringContaining(`${process.ppid} (millrace run)`),
    });
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(
      (await call(reader, 'POST', '/v1/features/spent_30d', { entities: [{ user_id: 1 }] })).body.rows[0]
        .values,
    ).toEqual([4]);
    await reader.close();
    await project.close();
    rmSync(lock);
  });
});
