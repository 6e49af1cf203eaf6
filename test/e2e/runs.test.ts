/** Plans, policies, keys and schedules as they are used: real processes, signals and exit codes. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { millrace, start, writeFiles } from './support.js';

const FIELDS = 'fields: { id: string, amount: int64, bought: timestamp }';
const BODY = `kind: events, record_key: id, event_time: bought, ${FIELDS}`;
const DEFINITIONS = `
sources:
  - { name: purchases, read: { files: data/*.csv }, ${BODY} }
transforms:
  - { name: big, sql: 'SELECT id, amount, bought FROM purchases WHERE amount > 1', ${BODY} }
schedules:
  - { name: minutely, cron: '* * * * *', run: big }
sensors:
  - { name: arrivals, on: { new_files: purchases }, run: [big], every: 1s }
`;

let base: string;
let folder: string;
let count = 0;
beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), 'millrace-runs-'));
});
afterAll(() => rm(base, { recursive: true, force: true }));
beforeEach(async () => {
  folder = path.join(base, `${count++}`);
  await writeFiles(folder, { 'definitions/all.yaml': DEFINITIONS });
  await deliver(1, 100);
});

const deliver = (file: number, rows: number): Promise<void> =>
  writeFiles(folder, {
    [`data/${file}.csv`]: `id,amount,bought\n${Array.from(
      { length: rows },
      (_, i) => `${file}-${i},${i % 7},2026-01-01T00:00:00Z`,
    ).join('\n')}\n`,
  });
const cli = (...args: string[]) => millrace([...args, '--project', folder, '--json']);

describe('run --idempotency-key', () => {
  it('runs once, gives the first result again, and is for the same assets alone', async () => {
    const first = await cli('run', 'big', '--idempotency-key', 'k1');
    expect(first.status, first.stderr).toBe(0);
    await deliver(2, 10);
    const again = await cli('run', 'big', '--idempotency-key', 'k1');
    expect([again.status, again.json]).toEqual([0, first.json]);
    expect((await cli('run', 'purchases', '--idempotency-key', 'k1')).status).toBe(2);
    const next = await cli('run', 'big', '--idempotency-key', 'k2');
    expect(next.json.run).toBe(first.json.run + 1);
    const nothing = await cli('run', 'big', '--idempotency-key', 'k3');
    await deliver(3, 10);
    expect([nothing.status, (await cli('run', 'big', '--idempotency-key', 'k3')).status]).toEqual([99, 99]);
  });
});

describe('plan, apply and the policy', () => {
  it('a saved plan is done as it stands, or refused when the world has moved', async () => {
    const file = path.join(folder, 'saved.json');
    expect((await cli('plan', 'big', '--out', file)).status).toBe(0);
    await deliver(2, 10);
    const moved = await cli('apply', file);
    expect([moved.status, moved.json.error.code, moved.json.error.data.moved]).toEqual([
      2,
      'PLAN_MOVED',
      ['source.purchases'],
    ]);
    expect((await cli('plan', 'big', '--out', file)).status).toBe(0);
    const applied = await cli('apply', file);
    expect([applied.status, applied.json.steps.length]).toEqual([0, 2]);
    expect((await cli('plan', 'big')).status).toBe(99);
  });

  it('asks where it says so, or where the cost to expect is above the budget', async () => {
    await writeFile(path.join(folder, 'millrace.yaml'), 'policy: { run: ask }\n');
    const asked = await cli('run', 'big');
    expect([asked.status, asked.json.error.code]).toEqual([3, 'RUN_NOT_APPROVED']);
    expect((await cli('runs', 'list')).json).toEqual({ runs: [] });
    expect((await cli('run', 'big', '--yes')).status).toBe(0);
    await writeFile(path.join(folder, 'millrace.yaml'), 'policy: { budget: { rows: 50 } }\n');
    await deliver(2, 1000);
    const dear = await cli('run', 'big');
    expect([dear.status, dear.json.error.code]).toEqual([3, 'RUN_NOT_APPROVED']);
    expect(dear.json.error.message).toContain('budget is 50 rows');
    expect((await cli('run', 'big', '--policy', 'auto', '--yes')).status).toBe(0);
  });
});

describe('backfill', () => {
  it('says which partitions of a dataset it computes, computes those alone, and leaves the rest to a run', async () => {
    const day = (i: number): string => `2026-01-0${i}T12:00:00Z`;
    const rows = (file: string, lines: readonly string[]) =>
      writeFiles(folder, { [`data/${file}.csv`]: `id,user_id,amount,at\n${lines.join('\n')}\n` });
    await rm(path.join(folder, 'data/1.csv'));
    await writeFiles(folder, {
      'definitions/all.yaml': `
entities: [{ name: user, join_key: user_id }]
sources:
  - name: buys
    kind: events
    read: { files: data/*.csv }
    record_key: id
    event_time: at
    fields: { id: string, user_id: int64, amount: int64, at: timestamp }
features:
  - { name: spend_2d, entity: user, aggregation: { function: sum, source: buys.amount, window: 2d } }
datasets:
  - { name: buyers, observations: { source: buys, time: at }, features: [spend_2d], partition: 1d }
`,
    });
    await rows(
      'all',
      [1, 2, 3, 4, 5, 6, 7, 8].map((i) => `${i},${i % 2},10,${day(i)}`),
    );
    expect((await cli('run', 'buyers')).status).toBe(0);
    // A record of the third comes late: by a window of two days it reaches the fourth and the fifth too.
    await rows('late', [`9,1,500,2026-01-03T06:00:00Z`]);
    expect((await cli('run', 'buys')).status).toBe(0);
    const planned = await cli('plan', 'buyers');
    const [build] = planned.json.steps;
    expect(build.reason).toBe(
      '3 of 8 partitions: 2026-01-03, 2026-01-04, 2026-01-05; buys changed on 2026-01-03',
    );

    const range = ['backfill', 'buyers', '--from', '2026-01-02', '--to', '2026-01-05'] as const;
    const states = ({ json }: Awaited<ReturnType<typeof cli>>) =>
      json.partitions.map(
        ({ from, state }: { from: string; state: string }) => `${from.slice(8, 10)} ${state}`,
      );
    const dry = await cli(...range, '--dry-run');
    expect([dry.status, states(dry)]).toEqual([0, ['02 present', '03 missing', '04 missing']]);
    const versions = (await cli('dataset', 'show', 'buyers')).json.version;
    // Of nine records, the share of the three, then of the two in the range, then of the one that is left.
    expect([build.expected.rows, dry.json.steps.at(-1).expected.rows]).toEqual([3, 2]);
    const done = await cli(...range);
    expect([done.status, done.json.steps.map(({ detail }: { detail: string }) => detail)]).toEqual([
      0,
      [expect.stringMatching(/^2 of 3 partitions computed; 1 outside of the range/)],
    ]);
    expect((await cli('dataset', 'show', 'buyers')).json.version).toBe(versions);
    const [left] = (await cli('plan', 'buyers')).json.steps;
    expect([left.expected.rows, left.reason]).toEqual([
      1,
      '3 of 8 partitions: 2026-01-03, 2026-01-04, 2026-01-05, 2 of them computed already; buys changed on 2026-01-03',
    ]);
    const rest = await cli('run', 'buyers');
    expect(rest.json.steps.map(({ detail }: { detail: string }) => detail)).toEqual([
      'buyers@2: 9 rows, 1 of 8 partitions computed',
    ]);
    expect((await cli(...range)).status).toBe(99);
    expect((await cli('backfill', 'buyers', '--from', '2026-01-05', '--to', '2026-01-05')).status).toBe(2);
  });
});

describe('processes', () => {
  it('of two runs at once one works and the other is told to come again', async () => {
    const both = await Promise.all([cli('run', 'big'), cli('run', 'big')]);
    const statuses = both.map(({ status }) => status).sort();
    // The second may come after the end of the first: then there is nothing left.
    expect([
      [0, 75],
      [0, 99],
    ]).toContainEqual(statuses);
    expect((await cli('plan', 'big')).status).toBe(99);
  });

  it('Ctrl-C during a run ends with 130, and the next run goes on under its number', async () => {
    await deliver(2, 200_000);
    const running = start(['run', 'big', '--project', folder, '--json']);
    await running.shows(/ingest purchases: 2 new/);
    running.child.kill('SIGINT');
    const stopped = await running.finished;
    // It may have ended before the signal came.
    if (stopped.status !== 0) {
      expect([stopped.status, stopped.json.error.code]).toEqual([130, 'INTERRUPTED']);
      const next = await cli('run', 'big');
      expect([next.status, next.json.run]).toEqual([0, 1]);
    }
    expect((await cli('plan', 'big')).status).toBe(99);
  });
});

describe('a step that does not end', () => {
  it('is stopped in its query when its time is over, tried again, and what does not wait for it goes on', async () => {
    const endless =
      'SELECT p.* FROM purchases p, range(3000000) a, range(3000) b WHERE a.range * b.range < 0';
    await writeFiles(folder, {
      'definitions/more.yaml': `
transforms:
  - { name: endless, sql: '${endless}', executor: { timeout: 300ms, tries: 2, backoff: 100ms, priority: 1 }, ${BODY} }
`,
    });
    const run = await cli('run', 'big', 'endless');
    expect([run.status, run.json.error.code]).toEqual([1, 'STEP_TIMEOUT']);
    const steps = (await cli('runs', 'show', 'last')).json.steps as {
      step: string;
      status: string;
      token: number;
      detail: string;
    }[];
    expect(steps.map(({ step, status, token }) => [step, status, token])).toEqual([
      ['source.purchases', 'done', 1],
      ['source.big', 'done', 1],
      ['source.endless', 'failed', 2],
    ]);
    // Not left behind: the query itself was interrupted.
    expect(steps[2]!.detail).toBe('source.endless was stopped after 0.3 s');
  });
});

describe('schedule', () => {
  it('list and next say when; run --once fires what is due, and 99 says that nothing is', async () => {
    const next = await cli('schedule', 'next', 'minutely', '--from', '2026-03-29T00:59:30Z', '--count', '2');
    expect(next.json.times.map(({ at }: { at: string }) => at)).toEqual([
      '2026-03-29T01:00:00Z',
      '2026-03-29T01:01:00Z',
    ]);
    const fired = await cli('schedule', 'run', '--once');
    expect([fired.status, fired.json.fired.map(({ name }: { name: string }) => name)]).toEqual([
      0,
      ['arrivals'],
    ]);
    const listed = (await cli('schedule', 'list')).json;
    expect(listed.scheduler).toBeNull();
    expect(listed.triggers.find(({ name }: { name: string }) => name === 'arrivals').last.status).toBe(
      'done',
    );
    expect((await cli('schedule', 'next', 'minutley')).status).toBe(2);
  });

  it('run leads alone, survives kill -9 with each file taken in once, and ends cleanly by Ctrl-C', async () => {
    let rows = 100;
    for (let kill = 0; kill < 3; kill++) {
      const running = start(['schedule', 'run', '--project', folder]);
      await running.shows(kill % 2 === 0 ? /ingest purchases/ : /transform big/);
      if (kill === 0) expect((await cli('schedule', 'run', '--once')).status).toBe(75);
      running.child.kill('SIGKILL');
      await running.finished;
      await deliver(10 + kill, 10);
      rows += 10;
    }
    const running = start(['schedule', 'run', '--project', folder]);
    // All that was left, and what came since.
    for (let left = 1; left > 0; ) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      const log = (await cli('schedule', 'log', 'arrivals', '--limit', '50')).json;
      const { firings } = log as { firings: { status: string }[] };
      const open = firings.filter(({ status }) => status === 'due' || status === 'running').length;
      left = open + ((await cli('plan', 'big')).status === 99 ? 0 : 1);
    }
    running.child.kill('SIGINT');
    expect((await running.finished).status).toBe(0);
    const { batches } = (await cli('batches', 'list', 'purchases')).json as {
      batches: { accepted: number }[];
    };
    expect(batches.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(rows);
    const { runs } = (await cli('runs', 'list')).json as { runs: { status: string }[] };
    expect(runs.every(({ status }) => status === 'done')).toBe(true);
    expect(await readdir(path.join(folder, '.millrace'))).not.toContain('scheduler.lock');
  });
});
