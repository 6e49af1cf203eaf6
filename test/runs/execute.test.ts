import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Database, openDatabase } from '../../src/adapters/sqlite/database.js';
import { createRunStore } from '../../src/adapters/sqlite/run-store.js';
import { MillraceError } from '../../src/core/base/error.js';
import type { NewStep, RunStore } from '../../src/ports/run-store.js';
import { type ExecuteOptions, executeRun } from '../../src/services/runs/execute.js';

let folder = '';
let db: Database;
let store: RunStore;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-runs-'));
  db = openDatabase(path.join(folder, 'registry.db'), []);
  store = createRunStore(db);
});
afterEach(() => {
  db.close();
  rmSync(folder, { recursive: true, force: true });
});

const now = (): number => Date.now() * 1000;
const step = (name: string, more: Partial<NewStep> = {}): NewStep => ({
  step: name,
  action: 'build',
  reason: 'stale',
  after: [],
  pool: 'engine',
  priority: 0,
  tries: 3,
  timeoutSeconds: null,
  expected: { rows: null, bytes: null },
  ...more,
});
const execute = (run: number, perform: ExecuteOptions['perform'], more: Partial<ExecuteOptions> = {}) =>
  executeRun({
    store,
    run,
    worker: 'a test',
    pools: {},
    leaseSeconds: 30,
    backoffSeconds: () => 0.005,
    now,
    signal: new AbortController().signal,
    perform,
    ...more,
  });
const start = (...steps: NewStep[]): number => store.start('test', [], steps, now());
const statuses = (run: number): Record<string, string> =>
  Object.fromEntries(store.detail(run, now())!.steps.map((one) => [one.step, one.status]));
const done = { status: 'done', detail: 'made' } as const;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

it('tries again what may pass, with a growing delay, and keeps the lines of every try', async () => {
  const run = start(step('a'), step('b', { after: ['a'] }));
  const at: number[] = [];
  const result = await execute(run, async ({ record, log }) => {
    if (record.step === 'a') {
      at.push(performance.now());
      log(`try ${record.failures + 1}`);
      if (at.length < 3) throw new MillraceError('STORE_LOCKED', 'busy');
    }
    return done;
  });
  expect(result.ended).toBe('done');
  expect(at).toHaveLength(3);
  expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(4);
  expect(at[2]! - at[1]!).toBeGreaterThanOrEqual(9);
  const lines = store.lines(run, 'a').map(({ token, text }) => `${token} ${text}`);
  expect(lines.filter((text) => text.includes('try '))).toEqual(['1 try 1', '2 try 2', '3 try 3']);
  expect(lines.at(-1)).toBe('3 made');
});

it('skips what waits for a failed step and does the rest', async () => {
  const run = start(step('a'), step('b', { after: ['a'] }), step('c', { after: ['b'] }), step('d'));
  const broken = new MillraceError('EVALUATION', 'broken');
  const result = await execute(run, async ({ record }) => {
    if (record.step === 'a') throw broken;
    return done;
  });
  expect(result).toMatchObject({ ended: 'failed', error: broken });
  expect(statuses(run)).toEqual({ a: 'failed', b: 'skipped', c: 'skipped', d: 'done' });
  expect(store.detail(run, now())!.steps[0]!.token).toBe(1);
});

it('gives each pool its places, and the greatest priority goes first', async () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const run = start(
    ...names.map((name, i) => step(name, { pool: 'wide', priority: i })),
    step('x'),
    step('y'),
  );
  const order: string[] = [];
  let wide = 0;
  let engine = 0;
  let most = 0;
  await execute(
    run,
    async ({ record }) => {
      order.push(record.step);
      if (record.pool === 'wide') most = Math.max(most, ++wide);
      else expect(++engine).toBe(1);
      await sleep(5);
      if (record.pool === 'wide') wide--;
      else engine--;
      return done;
    },
    { pools: { wide: 2 } },
  );
  expect(most).toBe(2);
  expect(order.filter((name) => names.includes(name))).toEqual(['e', 'd', 'c', 'b', 'a']);
});

it('stops a step whose time is over', async () => {
  const run = start(step('a', { timeoutSeconds: 0.02, tries: 2 }));
  const result = await execute(run, async ({ signal }) => {
    while (!signal.aborted) await sleep(2);
    throw new MillraceError('INTERRUPTED', 'stopped');
  });
  expect(result.ended).toBe('failed');
  expect(result.error).toMatchObject({ code: 'STEP_TIMEOUT' });
  expect(store.detail(run, now())!.steps[0]).toMatchObject({ status: 'failed', failures: 2 });
});

it('is cancelled from outside, and a run without a process at once', async () => {
  const run = start(step('a'), step('b', { after: ['a'] }));
  const other = openDatabase(path.join(folder, 'registry.db'), []);
  const result = await execute(run, async ({ signal }) => {
    expect(createRunStore(other).cancel(run, now())).toBe('asked');
    while (!signal.aborted) await sleep(5);
    throw new MillraceError('INTERRUPTED', 'stopped');
  });
  other.close();
  expect(result.ended).toBe('cancelled');
  store.finish(run, 'cancelled', now(), {});
  expect(statuses(run)).toEqual({ a: 'cancelled', b: 'cancelled' });
  const left = start(step('a'));
  expect(store.cancel(left, now())).toBe('cancelled');
  expect(store.cancel(left, now())).toBe('ended');

  // It was killed a moment ago: its hold is not over, but there is no such process.
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  const killed = start(step('a'));
  store.advance(killed, {
    worker: `${pid}-x`,
    now: now(),
    leaseUntil: now() + 30e6,
    settlements: [],
    lines: [],
    pools: {},
  });
  expect(store.detail(killed, now())).toMatchObject({ status: 'running', alive: false });
  expect(store.cancel(killed, now())).toBe('cancelled');
});

it('an interrupted run gives its step back and is taken up again', async () => {
  const steps = [step('a'), step('b', { after: ['a'] })];
  const run = start(...steps);
  const stop = new AbortController();
  const result = await execute(
    run,
    async ({ record }) => {
      if (record.step === 'a') return done;
      stop.abort();
      throw new MillraceError('INTERRUPTED', 'stopped');
    },
    { signal: stop.signal },
  );
  expect(result.ended).toBe('interrupted');
  store.finish(run, 'interrupted', now(), {});
  expect(statuses(run)).toEqual({ a: 'done', b: 'ready' });
  expect(store.unfinished([])!.id).toBe(run);
  store.resume(run, [step('b')], now());
  expect((await execute(run, async () => done)).steps.map((one) => one.step)).toEqual(['b']);
  store.finish(run, 'done', now(), {});
  expect(store.unfinished([])).toBeUndefined();
  expect(statuses(run)).toEqual({ a: 'done', b: 'done' });
});

it('a chain of 40 steps costs less than 50 ms of processor time beside the work', async () => {
  const chain = (): number =>
    start(...Array.from({ length: 40 }, (_, i) => step(`s${i}`, { after: i === 0 ? [] : [`s${i - 1}`] })));
  const costs: number[] = [];
  for (let i = 0; i < 6; i++) {
    const run = chain();
    const before = process.cpuUsage();
    expect((await execute(run, async () => done)).steps).toHaveLength(40);
    const { user, system } = process.cpuUsage(before);
    costs.push((user + system) / 1000);
  }
  expect(Math.min(...costs)).toBeLessThan(50);
  if (process.env['MILLRACE_FIGURES']) console.log(`40 steps: ${costs.map((cost) => cost.toFixed(1))} ms`);
});
