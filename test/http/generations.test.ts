/** One store, several servers: the writer dies and a reader takes its place; definitions change while requests come. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openProject } from '../../src/open.js';
import { DEFINITIONS, makeFolder, NOW, removeFolder, start as startServer } from './support.js';

const MAIN = process.env['MILLRACE_MAIN'] ?? fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

let folder: string;
let children: ChildProcess[];
beforeEach(() => {
  folder = makeFolder(1);
  children = [];
});
afterEach(() => {
  for (const child of children)
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  removeFolder(folder);
});

interface Served {
  readonly child: ChildProcess;
  readonly url: string;
  says(text: string): Promise<void>;
}

async function serve(): Promise<Served> {
  const loader = MAIN.endsWith('.ts') ? ['--import', 'tsx'] : [];
  const child = spawn(
    process.execPath,
    [...loader, MAIN, 'serve', '--project', folder, '--port', '0', '--json'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  children.push(child);
  let [out, errors] = ['', ''];
  child.stdout!.on('data', (chunk) => {
    out += String(chunk);
  });
  child.stderr!.on('data', (chunk) => {
    errors += String(chunk);
  });
  const says = async (text: string): Promise<void> => {
    const end = Date.now() + 30_000;
    while (!errors.includes(text)) {
      if (Date.now() > end || child.exitCode !== null) throw new Error(`it does not say ${text}: ${errors}`);
      await sleep(20);
    }
  };
  await says('ready to answer');
  return { child, url: (JSON.parse(out) as { url: string }).url, says };
}

async function post(url: string, body: unknown): Promise<{ status: number; body: Record<string, never> }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, never> };
}

const USERS = 40;
/** One record of each user: all of them are in, or none. */
const batch = (number: number): unknown[] =>
  Array.from({ length: USERS }, (_, user) => ({
    purchase_id: `b${number}-${user}`,
    user_id: user,
    amount: 1,
    status: 'paid',
    bought_at: new Date(Date.now() - 1000).toISOString(),
  }));
const push = (url: string, number: number): ReturnType<typeof post> =>
  post(`${url}/v1/sources/purchases/records`, batch(number));
async function counts(
  url: string,
  names = 'purchases_30d',
): Promise<{ status: number; values: unknown[][]; detail: unknown }> {
  const { status, body } = await post(`${url}/v1/features/${names}`, {
    entities: Array.from({ length: USERS }, (_, user_id) => ({ user_id })),
  });
  const rows = (body as { rows?: { values: unknown[] }[] }).rows ?? [];
  return { status, values: rows.map(({ values }) => values), detail: body['detail'] };
}

describe('several servers over one store', () => {
  it('show whole batches only, and one of the readers takes records when the writer was killed', async () => {
    const writer = await serve();
    const readers = [await serve(), await serve()];
    expect((await push(readers[0]!.url, 0)).status).toBe(503);
    let acknowledged = 0;
    let writing = true;
    const torn: unknown[] = [];
    const seen = new Set<unknown>();
    const watching = readers.map(async ({ url }) => {
      let latest = 0;
      while (writing) {
        const { status, values } = await counts(url);
        if (status !== 200) torn.push(status);
        const of = new Set(values.map(([value]) => value));
        if (of.size !== 1) torn.push([...of]);
        const now = Number([...of][0]);
        if (now < latest) torn.push([latest, now]);
        latest = now;
        seen.add(now);
      }
    });
    for (let i = 1; i < 10 || seen.size < 6; i++) {
      expect((await push(writer.url, i)).status).toBe(200);
      acknowledged = i;
    }
    const last = push(writer.url, acknowledged + 1).catch(() => undefined);
    writer.child.kill('SIGKILL');
    await once(writer.child, 'exit');
    await last;
    const winner = await Promise.any(
      readers.map(async (reader) => {
        await reader.says('takes records now');
        return reader;
      }),
    );
    const reply = await push(winner.url, 1_000_000);
    writing = false;
    await Promise.all(watching);
    expect(reply.status).toBe(200);
    expect(torn).toEqual([]);
    for (const reader of readers) {
      const { values } = await counts(reader.url);
      // The push that was cut off by the kill may have become durable before it.
      expect([acknowledged + 1, acknowledged + 2]).toContain(values[0]![0]);
    }
    const other = readers.find((reader) => reader !== winner)!;
    expect((await push(other.url, 1_000_001)).status).toBe(503);
  }, 90_000);
});

describe('a server whose definitions change', () => {
  it('answers by the old ones without a pause until the new state is built, and drops no record', async () => {
    const served = await serve();
    let [pushed, wrong] = [0, [] as unknown[]];
    let running = true;
    const pushing = (async () => {
      while (running) {
        const { status } = await push(served.url, pushed);
        if (status === 200) pushed++;
        else wrong.push(status);
      }
    })();
    const reading = (async () => {
      while (running) {
        const { status, values, detail } = await counts(served.url);
        const of = new Set(values.map(([value]) => value));
        if (status !== 200 || of.size !== 1) wrong.push([status, detail, ...of]);
      }
    })();
    await sleep(300);
    const changed = DEFINITIONS.replace(
      'feature_sets:',
      `  - { name: highest, entity: user, aggregation: { function: max, source: purchases.amount, window: 10d } }
  - { name: kinds, entity: user, aggregation: { function: count_distinct, source: purchases.status, window: 30d } }
feature_sets:`,
    );
    writeFileSync(join(folder, 'definitions', 'all.yaml'), changed);
    expect((await counts(served.url, 'kinds')).status).toBe(404);
    served.child.kill('SIGHUP');
    await served.says('definitions reloaded');
    await sleep(200);
    running = false;
    await Promise.all([pushing, reading]);
    expect(wrong).toEqual([]);
    const { status, values } = await counts(served.url, 'purchases_30d,highest,kinds');
    expect(status).toBe(200);
    expect(values).toEqual(Array(USERS).fill([pushed, 1, 1]));
    // What does not load changes nothing.
    writeFileSync(
      join(folder, 'definitions', 'all.yaml'),
      changed.replace('purchases.status', 'purchases.stat'),
    );
    served.child.kill('SIGHUP');
    await served.says('were not reloaded');
    await served.says('names the field `stat`');
    expect((await counts(served.url, 'kinds')).values[0]).toEqual([1]);
    expect((await push(served.url, pushed)).status).toBe(200);
    const ended = once(served.child, 'exit');
    served.child.kill('SIGTERM');
    expect((await ended)[0]).toBe(0);
    expect(
      JSON.parse(readFileSync(join(folder, '.millrace', 'online', 'online.state.json'), 'utf8')),
    ).toMatchObject({ clean: true });
  }, 90_000);

  it('says so when who wrote beside it left other definition files', async () => {
    const served = await serve();
    const writer = await openProject(folder);
    await writer.lockForWriting('a command beside the server');
    writeFileSync(join(folder, 'definitions', 'all.yaml'), DEFINITIONS.replace('window: 30d', 'window: 20d'));
    await writer.close();
    await served.says(`to serve them: kill -HUP ${served.child.pid}`);
  });

  it('may change again and again, and holds one copy of each group', async () => {
    const reopen: Parameters<typeof startServer>[1] = {
      reopen: (definitions) =>
        openProject(folder, { now: () => NOW, ...(definitions ? { definitions } : {}) }),
    };
    const project = await openProject(folder, { now: () => NOW });
    const server = await startServer(project, reopen);
    const record = (batch(1) as Record<string, unknown>[]).map((row) => ({
      ...row,
      bought_at: '2024-01-31T00:00:00Z',
    }));
    await post(`${server.url}/v1/sources/purchases/records`, record);
    for (const window of ['20d', '15d', '10d']) {
      writeFileSync(
        join(folder, 'definitions', 'all.yaml'),
        DEFINITIONS.replace('purchases.amount, window: 30d', `purchases.status, window: ${window}`).replace(
          'function: sum',
          'function: count_distinct',
        ),
      );
      expect(await server.reload()).toBe(true);
      expect((await counts(server.url, 'spent_30d')).values[3]).toEqual([1]);
    }
    await server.close();
    await project.close();
    const after = await openProject(folder);
    const groups = (await after.online()).groups().map(({ id }) => id);
    expect(groups).toHaveLength(new Set(groups).size);
    await after.close();
  });
});
