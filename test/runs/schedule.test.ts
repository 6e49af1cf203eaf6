/** Schedules, sensors, backfills and the settings of steps, over real projects with a clock of their own. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseInstant, printInstant } from '../../src/core/base/time.js';
import { type OpenedProject, openProject } from '../../src/open.js';
import type { Firing } from '../../src/ports/schedule-store.js';
import { applyPlan } from '../../src/services/apply-plan.js';
import { planBackfill } from '../../src/services/backfill.js';
import { planProject } from '../../src/services/plan-project.js';
import { runScheduler } from '../../src/services/schedule.js';

const FIELDS = 'fields: { id: string, amount: int64, bought: timestamp }';
const BODY = `kind: events, record_key: id, event_time: bought, ${FIELDS}`;
const DEFINITIONS = `
project: scheduled
sources:
  - { name: purchases, read: { files: data/*.csv }, ${BODY} }
  - { name: others, read: { files: other/*.csv }, ${BODY} }
transforms:
  - { name: big, sql: 'SELECT id, amount, bought FROM purchases WHERE amount > 1', ${BODY} }
  - { name: bigger, sql: 'SELECT id, amount, bought FROM big WHERE amount > 2', ${BODY} }
  - { name: apart, sql: 'SELECT id, amount, bought FROM others', ${BODY} }
`;

let folder = '';
let now = 0;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-schedule-'));
  for (const name of ['data', 'other']) mkdirSync(path.join(folder, name));
  deliver('other/0.csv', 'o,3,2026-01-01T00:00:00Z');
  now = parseInstant('2026-03-28T12:00:00Z')!;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const define = (more: string): void => writeFileSync(path.join(folder, 'millrace.yaml'), DEFINITIONS + more);
const deliver = (file: string, ...rows: string[]): void =>
  writeFileSync(path.join(folder, file), `id,amount,bought\n${rows.join('\n')}\n`);
const open = (): Promise<OpenedProject> => openProject(folder, { now: () => now });

async function within<T>(work: (project: OpenedProject) => Promise<T>): Promise<T> {
  const project = await open();
  try {
    return await work(project);
  } finally {
    await project.close();
  }
}

const reasons = new Map<string, string>();
async function tick(at?: string): Promise<readonly Firing[]> {
  if (at !== undefined) now = parseInstant(at)!;
  reasons.clear();
  return runScheduler({
    open,
    command: 'a test',
    once: true,
    until: null,
    signal: new AbortController().signal,
    onEnd: () => {},
    onReason: (trigger, reason) => reasons.set(trigger, reason),
    warn: (message) => expect(message).toBe(''),
  });
}
const told = (firings: readonly Firing[]): string[] =>
  firings.map(({ trigger, due, status }) => `${trigger} ${printInstant(due)} ${status}`);

describe('a schedule', () => {
  it('runs each time once, over a change to summer time, and nothing before it was first seen', async () => {
    define("schedules:\n  - { name: nightly, cron: '30 2 * * *', timezone: Europe/Prague, run: bigger }\n");
    deliver('data/1.csv', 'a,3,2026-01-01T00:00:00Z');
    expect(await tick()).toEqual([]);
    expect(told(await tick('2026-03-29T00:59:59Z'))).toEqual([]);
    expect(told(await tick('2026-03-29T01:00:00Z'))).toEqual(['nightly 2026-03-29T01:00:00Z done']);
    expect(told(await tick('2026-03-29T23:00:00Z'))).toEqual([]);
    expect(told(await tick('2026-03-30T00:30:00Z'))).toEqual(['nightly 2026-03-30T00:30:00Z nothing']);
  });

  it('was not there while its machine slept: catch_up none runs nothing of that time', async () => {
    const nightly = (cron: string, more: string) => `{ cron: '${cron}', run: bigger, catch_up: ${more} }`;
    define(`schedules:\n  - ${nightly('59 1 * * *', 'none, name: none')}\n  - ${nightly('0 2 * * *', 'latest, name: last')}\n`);
    deliver('data/1.csv', 'a,3,2026-01-01T00:00:00Z');
    now = parseInstant('2026-03-28T01:58:59.999Z')!;
    const enough = new AbortController();
    const reasons: string[] = [];
    let opened = 0;
    const fired = await runScheduler({
      open: async () => {
        const project = await open();
        const isFirstLook = ++opened === 2;
        return {
          ...project,
          close: async () => {
            await project.close();
            if (isFirstLook) now = parseInstant('2026-03-28T06:00:00Z')!;
          },
        };
      },
      command: 'a test',
      once: false,
      until: null,
      signal: enough.signal,
      onEnd: () => enough.abort(),
      onReason: (trigger, reason) => reasons.push(`${trigger}: ${reason}`),
      warn: (message) => expect(message).toBe(''),
    });
    expect(reasons).toEqual([
      'none: 2026-03-28T01:59:00Z is skipped: it passed while no scheduler was there, and catch_up is none',
    ]);
    expect(told(fired)).toEqual(['last 2026-03-28T02:00:00Z done']);
  });

  it('catches up with all, the latest or none of the times that it missed', async () => {
    const line = (name: string): string =>
      `  - { name: ${name}, cron: '0 2 * * *', run: big, catch_up: ${name} }\n`;
    define(`schedules:\n${['all', 'latest', 'none'].map(line).join('')}`);
    deliver('data/1.csv', 'a,3,2026-01-01T00:00:00Z');
    await tick();
    const fired = await tick('2026-03-31T12:00:00Z');
    expect(told(fired.filter(({ trigger }) => trigger === 'all'))).toHaveLength(3);
    expect(told(fired.filter(({ trigger }) => trigger === 'latest'))).toEqual([
      'latest 2026-03-31T02:00:00Z nothing',
    ]);
    expect(fired.some(({ trigger }) => trigger === 'none')).toBe(false);
    expect(reasons.get('none')).toContain('catch_up is none');
    const skipped = await within(async (project) => (await project.schedules()).firings(50));
    expect(skipped.filter(({ status }) => status === 'skipped')).toHaveLength(2 + 3);
  });

  it('that was killed after its run had ended is not run again, and before it is', async () => {
    define("schedules:\n  - { name: nightly, cron: '0 2 * * *', run: big }\n");
    deliver('data/1.csv', 'a,3,2026-01-01T00:00:00Z');
    await tick();
    expect(told(await tick('2026-03-29T02:00:00Z'))).toEqual(['nightly 2026-03-29T02:00:00Z done']);
    // As a process leaves it that is killed between the end of the run and the note of it.
    const left = async (): Promise<void> =>
      within(async (project) => {
        const store = await project.schedules();
        const leadership = store.lead('a test', now);
        leadership.begin(store.firings(1)[0]!, now);
        leadership.release();
      });
    await left();
    expect(told(await tick())).toEqual(['nightly 2026-03-29T02:00:00Z done']);
    const runs = await within(async (project) => (await project.runs()).list(10, now));
    expect(runs).toHaveLength(1);
  });

  it('does not fire while another process leads, and whoever led before can change nothing', async () => {
    define("schedules:\n  - { name: nightly, cron: '0 2 * * *', run: big }\n");
    await within(async (project) => {
      const store = await project.schedules();
      const before = store.lead('a test', now);
      before.release();
      const after = store.lead('a test', now);
      expect(() => before.renew(now)).toThrow(/another process leads/);
      expect(() => before.observe({ name: 'nightly', seen: now, mark: null, reason: '' }, [])).toThrow();
      after.renew(now);
      after.release();
    });
  });

  it('whose policy asks is refused and says so', async () => {
    define("policy: { run: ask }\nschedules:\n  - { name: nightly, cron: '0 2 * * *', run: big }\n");
    deliver('data/1.csv', 'a,3,2026-01-01T00:00:00Z');
    await tick();
    const [firing] = await tick('2026-03-29T02:00:00Z');
    expect(firing).toMatchObject({ status: 'refused', run: null });
    expect(firing!.detail).toContain('policy is `ask`');
  });
});

describe('a file of a source', () => {
  it('is not new when it was touched or copied with its project, and is with other bytes', async () => {
    define('');
    deliver('data/1.csv', 'a,3,2026-01-01T00:00:00Z');
    const plan = () => within(planProject);
    await within(async (project) => applyPlan(project, await planProject(project)));
    expect((await plan()).steps).toEqual([]);
    utimesSync(path.join(folder, 'data/1.csv'), 1e9, 1e9);
    expect((await plan()).steps).toEqual([]);

    const copy = `${folder}-copy`;
    cpSync(folder, copy, { recursive: true });
    try {
      const project = await openProject(copy, { now: () => now });
      expect((await planProject(project)).steps).toEqual([]);
      await project.close();
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }

    const worlds = new Set<string>();
    for (const amount of [4, 5]) {
      deliver('data/1.csv', `a,${amount},2026-01-01T00:00:00Z`);
      const { steps, world } = await plan();
      expect(steps[0]).toMatchObject({ asset: 'source.purchases', reason: '1 new or changed file' });
      worlds.add(world);
    }
    // A saved plan is for the bytes that it saw.
    expect(worlds.size).toBe(2);
  });
});

describe('a sensor', () => {
  it('fires for new files once, keeps its interval, and says why it does not', async () => {
    define('sensors:\n  - { name: arrivals, on: { new_files: purchases }, run: [bigger], minimum_interval: 10m, every: 1s }\n');
    await tick();
    expect(reasons.get('arrivals')).toContain('no file');
    deliver('data/1.csv', 'a,3,2026-01-01T00:00:00Z');
    expect((await tick()).map(({ status }) => status)).toEqual(['done']);
    now += 60e6;
    expect(await tick()).toEqual([]);
    expect(reasons.get('arrivals')).toContain('no new or changed file');
    deliver('data/2.csv', 'b,3,2026-01-01T00:00:00Z');
    expect(await tick()).toEqual([]);
    expect(reasons.get('arrivals')).toContain('waits 10m');
    now += 600e6;
    expect((await tick()).map(({ status }) => status)).toEqual(['done']);
  });

  it('does not fire again for a file that is refused until the file changes', async () => {
    define('sensors:\n  - { name: arrivals, on: { new_files: purchases }, run: [big], every: 1s }\n');
    writeFileSync(path.join(folder, 'data/1.csv'), 'something,else\n1,2\n');
    expect((await tick()).map(({ status }) => status)).not.toEqual(['done']);
    now += 60e6;
    expect(await tick()).toEqual([]);
    expect(reasons.get('arrivals')).toContain('nothing has changed');
    deliver('data/1.csv', 'a,3,2026-01-01T00:00:00Z');
    now += 60e6;
    expect((await tick()).map(({ status }) => status)).toEqual(['done']);
  });

  it('on an asset begins with what there is and fires when it is updated', async () => {
    define('sensors:\n  - { name: after, on: { updated: big }, run: [bigger], every: 1s }\n');
    deliver('data/1.csv', 'a,3,2026-01-01T00:00:00Z');
    await within(async (project) => applyPlan(project, await planProject(project, ['big'])));
    expect(await tick()).toEqual([]);
    expect(reasons.get('after')).toContain('begins with what there is');
    deliver('data/2.csv', 'b,4,2026-01-01T00:00:00Z');
    await within(async (project) => applyPlan(project, await planProject(project, ['big'])));
    expect((await tick()).map(({ trigger, status }) => [trigger, status])).toEqual([['after', 'done']]);
  });

  it('on freshness and completeness fires when the source has what it promises', async () => {
    const levels = "service_levels: { freshness: 1h, completeness: { rows: 2, by: '06:00' } }";
    writeFileSync(
      path.join(folder, 'millrace.yaml'),
      `${DEFINITIONS.replace('read: { files: data/*.csv },', `read: { files: data/*.csv }, ${levels},`)}
sensors:
  - { name: fresh, on: { freshness: purchases }, run: [bigger], every: 1s }
  - { name: whole, on: { completeness: purchases }, run: [bigger], every: 1s }
`,
    );
    deliver('data/1.csv', 'a,3,2026-03-28T10:00:00Z');
    await within(async (project) => applyPlan(project, await planProject(project, ['purchases'])));
    expect(await tick()).toEqual([]);
    expect(reasons.get('fresh')).toContain('purchases:');
    expect(reasons.get('whole')).toContain('purchases:');
    deliver('data/2.csv', 'b,4,2026-03-28T11:50:00Z');
    await within(async (project) => applyPlan(project, await planProject(project, ['purchases'])));
    expect((await tick()).map(({ trigger }) => trigger).sort()).toEqual(['fresh', 'whole']);
    expect(await tick()).toEqual([]);
  });
});

describe('a backfill', () => {
  it('of a transform computes it again though nothing is stale', async () => {
    define('');
    deliver('data/1.csv', 'a,3,2026-01-01T00:00:00Z');
    await within(async (project) => {
      await applyPlan(project, await planProject(project));
      const range = { from: parseInstant('2026-01-01')!, to: parseInstant('2026-02-01')! };
      const { plan } = await planBackfill(project, 'big', range);
      expect(plan.steps.map(({ asset, range }) => [asset, range !== undefined])).toEqual([
        ['source.big', true],
      ]);
      const { steps } = await applyPlan(project, plan, { command: 'a test', scope: ['big'] });
      expect(steps[0]).toMatchObject({ asset: 'source.big', outcome: 'unchanged' });
      await expect(planBackfill(project, 'big', { from: range.to, to: range.from })).rejects.toThrow(/range/);
    });
  });

  it('a correction upstream restarts exactly what it reaches', async () => {
    define('');
    deliver('data/1.csv', 'a,3,2026-01-01T00:00:00Z', 'b,1,2026-01-01T00:00:00Z');
    deliver('other/1.csv', 'x,3,2026-01-01T00:00:00Z');
    await within(async (project) => applyPlan(project, await planProject(project)));
    // `b` stays below what `big` takes: `big` is asked, and what follows it finds its input unchanged.
    deliver('data/2.csv', 'b,0,2026-01-01T00:00:00Z');
    await within(async (project) => {
      const plan = await planProject(project);
      expect(plan.steps.map(({ asset }) => asset)).toEqual([
        'source.purchases',
        'source.big',
        'source.bigger',
      ]);
      const { steps } = await applyPlan(project, plan);
      expect(steps.map(({ asset, outcome }) => [asset, outcome])).toEqual([
        ['source.purchases', 'done'],
        ['source.big', 'unchanged'],
        ['source.bigger', 'unchanged'],
      ]);
      expect((await planProject(project)).steps).toEqual([]);
    });
  });
});

describe('settings of the executor', () => {
  it('reach the steps: tries, timeout, priority, pool, and those of an asset before those of the project', async () => {
    writeFileSync(
      path.join(folder, 'millrace.yaml'),
      `executor: { tries: 5, timeout: 1h }\npools: { wide: 2 }\n${DEFINITIONS.replace(
        '{ name: others,',
        '{ name: others, executor: { pool: wide, priority: 7, tries: 1 },',
      )}`,
    );
    deliver('data/1.csv', 'a,3,2026-01-01T00:00:00Z');
    deliver('other/1.csv', 'x,3,2026-01-01T00:00:00Z');
    await within(async (project) => {
      const { run } = await applyPlan(project, await planProject(project));
      const steps = new Map((await project.runs()).detail(run, now)!.steps.map((step) => [step.step, step]));
      expect(steps.get('source.others')).toMatchObject({ pool: 'wide', priority: 7, tries: 1 });
      expect(steps.get('source.purchases')).toMatchObject({
        pool: 'engine',
        priority: 0,
        tries: 5,
        timeoutSeconds: 3600,
      });
    });
  });
});
