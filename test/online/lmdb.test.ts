import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLmdbOnlineStore } from '../../src/adapters/lmdb/online-store.js';
import { memoryByteEngine, memoryOnlineStore } from '../../src/adapters/memory/online-store.js';
import { applyBatch, openGroup } from '../../src/core/engine/online/index.js';
import type { OnlineStore } from '../../src/ports/online-store.js';
import { applyFrom, CRASH_LOG, crashReader, MOVING_LOG, WATCHED } from './process-log.js';
import { groupBytes, lmdbBytes } from './stored-bytes.js';
import { S, through } from './world.js';

const CHILD = fileURLToPath(new URL('./process-child.ts', import.meta.url));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-lmdb-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const reader = crashReader();

function child(mode: string): {
  process: ChildProcess;
  line: (text: string) => Promise<void>;
  output: () => string;
  ended: Promise<number | null>;
} {
  const started = spawn(process.execPath, ['--import', 'tsx', CHILD, mode, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  const waiting: { text: string; resolve: () => void }[] = [];
  const settle = (): void => {
    for (const item of waiting) if (output.includes(item.text)) item.resolve();
  };
  started.stdout!.on('data', (data: Buffer) => {
    output += data.toString();
    settle();
  });
  const ended = new Promise<number | null>((resolve) => {
    started.on('close', (code) => {
      for (const item of waiting) item.resolve();
      resolve(code);
    });
  });
  return {
    process: started,
    line: (text) =>
      new Promise((resolve) => {
        waiting.push({ text, resolve });
        settle();
      }),
    output: () => output,
    ended,
  };
}

async function clean(log: typeof CRASH_LOG): Promise<OnlineStore> {
  const store = memoryOnlineStore();
  await store.open(reader.group);
  await store.apply(reader.group, log, {
    seq: log.length,
    availableAt: Math.max(...log.map((record) => record.availableAt)),
  });
  return store;
}

function same(store: OnlineStore, other: OnlineStore): void {
  expect(store.applied(reader.group)).toEqual(other.applied(reader.group));
  expect([...store.dump(reader.group)]).toStrictEqual([...other.dump(reader.group)]);
  for (const at of [100 * S, 3000 * S, 5999 * S, 7000 * S]) {
    expect(store.read(reader, WATCHED, at).rows).toStrictEqual(other.read(reader, WATCHED, at).rows);
  }
}

describe('the online store on LMDB', () => {
  it('holds what a clean application holds after its process was killed again and again', async () => {
    const stops: number[] = [];
    for (let round = 0; round < 6; round++) {
      const run = child('apply');
      await run.line('started');
      await new Promise((resolve) => setTimeout(resolve, 5 + round * 17));
      run.process.kill('SIGKILL');
      await run.ended;
      const store = openLmdbOnlineStore(folder);
      expect(store.condition).toBe('ready');
      stops.push(store.applied(reader.group)!.seq);
      await store.close();
      if (stops.at(-1) === CRASH_LOG.length) break;
    }
    expect(stops[0]).toBeLessThan(CRASH_LOG.length);
    const store = openLmdbOnlineStore(folder);
    await applyFrom(store, reader.group, CRASH_LOG);
    same(store, await clean(CRASH_LOG));
    await store.close();
    const engine = memoryByteEngine();
    openGroup(engine, reader.group);
    applyBatch(engine, reader.group, CRASH_LOG, through(CRASH_LOG));
    expect(groupBytes(await lmdbBytes(join(folder, 'online.mdb')), reader.group)).toEqual(
      groupBytes(engine, reader.group),
    );
  });

  it('refuses to write where a page might find no room, and goes on when there is room', async () => {
    let free = 2 ** 30;
    const store = openLmdbOnlineStore(folder, { freeBytes: () => free });
    await store.open(reader.group);
    free = 2 ** 20;
    await expect(applyFrom(store, reader.group, MOVING_LOG)).rejects.toMatchObject({ code: 'DISK_FULL' });
    expect(store.applied(reader.group)?.seq ?? 0).toBe(0);
    free = 2 ** 30;
    await applyFrom(store, reader.group, MOVING_LOG);
    same(store, await clean(MOVING_LOG));
    await store.close();
  });

  it('equals the store in memory over records that move between entities and in time', async () => {
    const store = openLmdbOnlineStore(folder);
    await store.open(reader.group);
    await applyFrom(store, reader.group, MOVING_LOG);
    same(store, await clean(MOVING_LOG));
    await store.close();
  });

  it('shows another process whole batches only, while they are written', async () => {
    const store = openLmdbOnlineStore(folder);
    await store.open(reader.group);
    const watcher = child('watch');
    await watcher.line('at 0');
    await applyFrom(store, reader.group, CRASH_LOG);
    expect(await watcher.ended).toBe(0);
    const result = JSON.parse(watcher.output().trim().split('\n').at(-1)!) as { seen: number; torn: number };
    expect(result.torn).toBe(0);
    expect(result.seen).toBeGreaterThan(3);
    await store.close();
  });

  it('is trusted after a killed process, and built anew after an unsynced stop of the system', async () => {
    const first = openLmdbOnlineStore(folder, { bootId: 'one' });
    await first.open(reader.group);
    await first.apply(reader.group, CRASH_LOG.slice(0, 10), { seq: 10, availableAt: 0 });
    await first.close();
    const again = openLmdbOnlineStore(folder, { bootId: 'two' });
    expect([again.condition, again.applied(reader.group)!.seq]).toEqual(['ready', 10]);
    await again.close();
    const state = join(folder, 'online.state.json');
    expect(JSON.parse(readFileSync(state, 'utf8'))).toEqual({ bootId: 'two', clean: true });
    writeFileSync(state, JSON.stringify({ bootId: 'two', clean: false }));
    const sameBoot = openLmdbOnlineStore(folder, { bootId: 'two' });
    expect([sameBoot.condition, sameBoot.applied(reader.group)!.seq]).toEqual(['ready', 10]);
    await sameBoot.close();
    writeFileSync(state, JSON.stringify({ bootId: 'two', clean: false }));
    expect(() => openLmdbOnlineStore(folder, { bootId: 'three', readOnly: true })).toThrow(
      'has to be built again',
    );
    const rebuilt = openLmdbOnlineStore(folder, { bootId: 'three' });
    expect([rebuilt.condition, rebuilt.groups()]).toEqual(['rebuild', []]);
    await rebuilt.close();
  });
});
