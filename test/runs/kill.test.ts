import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openDatabase } from '../../src/adapters/sqlite/database.js';
import { createRegistry } from '../../src/adapters/sqlite/registry.js';
import { createRunStore } from '../../src/adapters/sqlite/run-store.js';
import type { NewStep } from '../../src/ports/run-store.js';
import { random } from '../world.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const loader = createRequire(import.meta.url).resolve('tsx');

let folder = '';
let file = '';
const children: ChildProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-kill-'));
  file = path.join(folder, 'registry.db');
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const now = (): number => Date.now() * 1000;
const chain = (length: number): NewStep[] =>
  Array.from({ length }, (_, i) => ({
    step: `step_${i}`,
    action: 'build',
    reason: '',
    after: i === 0 ? [] : [`step_${i - 1}`],
    pool: 'engine',
    priority: 0,
    tries: 1,
    timeoutSeconds: null,
    expected: { rows: null, bytes: null },
  }));

function worker(run: number, leaseSeconds: number, stepMs: number): ChildProcess {
  const child = spawn(
    process.execPath,
    ['--import', loader, path.join(here, 'chain-worker.ts'), file, `${run}`, `${leaseSeconds}`, `${stepMs}`],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  children.push(child);
  return child;
}

it('a chain whose process is killed 50 times loses no step and publishes none twice', {
  timeout: 400_000,
}, async () => {
  const db = openDatabase(file, []);
  const store = createRunStore(db);
  const registry = createRegistry(db);
  const next = random(5);
  const length = 2_000;
  const steps = chain(length);
  const run = store.start('test', [], steps, now());
  let kills = 0;
  let advanced = 0;
  for (; kills < 50; kills++) {
    const before = store.detail(run, now())!.steps.filter(({ status }) => status === 'done').length;
    const child = worker(run, 60, 4);
    const ended = once(child, 'exit');
    await once(child.stdout!, 'data');
    await new Promise((resolve) => setTimeout(resolve, next() * 150));
    child.kill('SIGKILL');
    await ended;
    const detail = store.detail(run, now())!;
    const done = new Set(detail.steps.filter(({ status }) => status === 'done').map(({ step }) => step));
    if (done.size > before) advanced++;
    // What the dead process held or left waiting is planned again, published or not.
    const left = steps.filter(({ step }) => !done.has(step));
    if (left.length < 20) break;
    store.resume(run, left, now());
  }
  expect(kills).toBe(50);
  // The kills fell in the midst of the work, not before it.
  expect(advanced).toBeGreaterThan(25);
  const child = worker(run, 60, 0);
  const text = await readAll(child);
  expect(JSON.parse(text.trim().split('\n').at(-1)!)).toMatchObject({ ended: 'done' });
  const detail = store.detail(run, now())!;
  expect(detail.steps.map(({ status }) => status)).toEqual(Array(length).fill('done'));
  expect(detail.resumed).toBe(50);
  for (let i = 0; i < length; i++) expect(registry.versions('dataset', `step_${i}`)).toHaveLength(1);
  db.close();
});

it('a process that slept past its lease publishes nothing', { timeout: 120_000 }, async () => {
  const db = openDatabase(file, []);
  const store = createRunStore(db);
  const registry = createRegistry(db);
  const run = store.start('test', [], chain(1), now());
  const sleeper = worker(run, 0.5, 400);
  await once(sleeper.stdout!, 'data');
  while (store.detail(run, now())!.steps[0]!.status !== 'running') await pause(2);
  sleeper.kill('SIGSTOP');
  expect(registry.versions('dataset')).toHaveLength(0);
  await pause(600);
  const other = worker(run, 30, 0);
  await once(other, 'exit');
  const [version] = registry.versions('dataset', 'step_0');
  expect(version!.manifest).toEqual({ pid: other.pid, token: 3 });
  const after = readAll(sleeper);
  const exit = once(sleeper, 'exit');
  sleeper.kill('SIGCONT');
  await exit;
  expect(JSON.parse((await after).trim().split('\n').at(-1)!)).toEqual({ ended: 'failed', steps: 0 });
  expect(registry.getFact('published:step_0')).toBe(3);
  expect(store.detail(run, now())!.steps[0]!.status).toBe('done');
  db.close();
});

it('two processes share the steps of one run', { timeout: 120_000 }, async () => {
  const db = openDatabase(file, []);
  const store = createRunStore(db);
  const steps = chain(60).map((step) => ({ ...step, after: [], pool: 'wide' }));
  const run = store.start('test', [], steps, now());
  const both = [worker(run, 30, 10), worker(run, 30, 10)];
  await Promise.all(both.map((child) => once(child, 'exit')));
  const registry = createRegistry(db);
  const versions = registry.versions('dataset');
  expect(versions).toHaveLength(60);
  expect(store.detail(run, now())!.steps.every(({ status }) => status === 'done')).toBe(true);
  db.close();
});

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

async function readAll(child: ChildProcess): Promise<string> {
  let text = '';
  for await (const chunk of child.stdout!) text += String(chunk);
  return text;
}
