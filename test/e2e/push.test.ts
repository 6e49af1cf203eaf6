/** A built server under pushes: applied by its thread, seen at once, safe under kill -9. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { MAIN, millrace, withFolder } from './support.js';

const DEFINITIONS = `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: events
    kind: events
    read: push
    record_key: id
    event_time: at
    available_at: at
    fields: { id: string, user_id: int64, amount: decimal(2), note: string, at: timestamp }
features:
  - { name: events_30d, entity: user, aggregation: { function: count, source: events, window: 30d }, default: 0 }
  - { name: spent_30d, entity: user, aggregation: { function: sum, source: events.amount, window: 30d } }
datasets:
  - { name: seen, observations: { source: events, time: at }, features: [events_30d, spent_30d] }
`;

interface Served {
  readonly child: ChildProcess;
  readonly url: string;
  /** What it has said so far. */
  readonly said: () => string;
}

async function serve(folder: string, nodeOptions: readonly string[] = []): Promise<Served> {
  const command = [...nodeOptions, MAIN, 'serve', '--project', folder, '--port', '0', '--json'];
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr!.on('data', (text) => {
    said += text;
  });
  const [line] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string];
  const { port } = JSON.parse(line) as { port: number };
  const url = `http://127.0.0.1:${port}`;
  for (let attempt = 0; attempt < 600; attempt++) {
    if ((await fetch(`${url}/readyz`)).status === 200) return { child, url, said: () => said };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the server is not ready');
}

const ask = async (url: string, route: string, body: unknown) => {
  const response = await fetch(`${url}${route}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into the answer
  return { status: response.status, body: (await response.json()) as any };
};

const event = (id: number, user: number) => ({
  id: `e${id}`,
  user_id: user,
  amount: '1.25',
  note: id % 3 === 0 ? null : `nöte "${id}"`,
  at: new Date(Date.now() - 60_000).toISOString(),
});

async function pushProject(folder: string): Promise<void> {
  await writeFile(path.join(folder, 'millrace.yaml'), 'project: pushed\n');
  await mkdir(path.join(folder, 'definitions'));
  await writeFile(path.join(folder, 'definitions', 'all.yaml'), DEFINITIONS);
}

/** Pushes without pause over several connections until the server is gone; resolves early, when the first are acknowledged. */
async function flood(url: string, from: number): Promise<{ readonly over: Promise<unknown> }> {
  let acknowledge = (): void => undefined;
  const first = new Promise<void>((resolve) => {
    acknowledge = resolve;
  });
  const pushing = Array.from({ length: 6 }, async (_, client) => {
    for (let first = from + client * 1_000_000; ; first += 2_000) {
      const rows = Array.from({ length: 2_000 }, (_, i) => event(first + i, (first + i) % 500));
      try {
        if ((await ask(url, '/v1/sources/events/records', rows)).status === 200) acknowledge();
      } catch {
        return;
      }
    }
  });
  await first;
  return { over: Promise.all(pushing) };
}

const values = async (url: string, user: number): Promise<unknown[]> =>
  (await ask(url, '/v1/features/events_30d,spent_30d', { entities: [{ user_id: user }] })).body.rows[0]
    .values;

describe('a server that is pushed to', () => {
  it('shows each push when it has answered, loses nothing when it is killed, and stops in order', async () => {
    await withFolder(async (folder) => {
      await pushProject(folder);
      let { child, url } = await serve(folder);
      let pushed = 0;
      for (; pushed < 200; pushed++) {
        const answer = await ask(url, '/v1/sources/events/records', event(pushed, 7));
        expect(answer.body).toMatchObject({ accepted: 1, seq: pushed + 1 });
        expect(await values(url, 7)).toEqual([pushed + 1, (pushed + 1) * 1.25]);
      }
      // Many at once, one by one and in batches, until the process is killed.
      const acknowledged = new Set<number>();
      const events = new Map<number, ReturnType<typeof event>>();
      const pushing = Array.from({ length: 16 }, async (_, client) => {
        for (let turn = 0; ; turn++) {
          const first = 1_000_000 + client * 10_000 + turn * 20;
          const size = client % 2 === 0 ? 1 : 20;
          const ids = Array.from({ length: size }, (_, i) => first + i);
          try {
            const rows = ids.map((id) => event(id, client));
            for (const [i, id] of ids.entries()) events.set(id, rows[i]!);
            const answer = await ask(url, '/v1/sources/events/records', rows);
            if (answer.status === 200) for (const id of ids) acknowledged.add(id);
          } catch {
            return;
          }
        }
      });
      await new Promise((resolve) => setTimeout(resolve, 400));
      child.kill('SIGKILL');
      await Promise.all(pushing);
      expect(acknowledged.size).toBeGreaterThan(50);
      ({ child, url } = await serve(folder));
      expect(await values(url, 7)).toEqual([expect.any(Number), expect.any(Number)]);
      for (let client = 0; client < 16; client++) {
        const least = [...acknowledged].filter(
          (id) => Math.floor((id - 1_000_000) / 10_000) === client,
        ).length;
        const [count] = (await values(url, client)) as [number];
        const base = client === 7 ? pushed : 0;
        // One push a client may have been durable and not acknowledged.
        expect(count - base - least).toBeGreaterThanOrEqual(0);
        expect(count - base - least).toBeLessThanOrEqual(20);
      }
      // Sent again, what was acknowledged is known.
      const again = [...acknowledged].slice(0, 50).map((id) => events.get(id)!);
      expect((await ask(url, '/v1/sources/events/records', again)).body).toMatchObject({
        accepted: 0,
        duplicates: 50,
      });
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      expect((await ended)[0]).toBe(0);
      const verified = await millrace([
        'verify',
        '--project',
        folder,
        '--features',
        'events_30d,spent_30d',
        '--json',
      ]);
      expect([verified.status, verified.stderr]).toEqual([0, expect.stringContaining('verify seen')]);
    });
  });

  it('refuses a million records in one request with 413 and is none the worse', async () => {
    await withFolder(async (folder) => {
      await pushProject(folder);
      const { child, url } = await serve(folder);
      const line = JSON.stringify(event(1, 1));
      const answer = await fetch(`${url}/v1/sources/events/records`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: `${line}\n`.repeat(1_000_000),
      }).then(
        (response) => response.status,
        // The server may close before all is sent.
        () => 413,
      );
      expect(answer).toBe(413);
      expect((await ask(url, '/v1/sources/events/records', event(1, 1))).body).toMatchObject({
        accepted: 1,
        seq: 1,
      });
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      expect((await ended)[0]).toBe(0);
    });
  });

  it('ends in order under pushes, and at once when told twice', async () => {
    await withFolder(async (folder) => {
      await pushProject(folder);
      for (const signals of [1, 2]) {
        const { child, url } = await serve(folder);
        const { over } = await flood(url, signals * 10_000_000);
        await new Promise((resolve) => setTimeout(resolve, 500));
        const ended = once(child, 'exit');
        for (let i = 0; i < signals; i++) {
          child.kill('SIGTERM');
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        expect((await ended)[0]).toBe(signals === 1 ? 0 : 130);
        await over;
      }
      const { child, url } = await serve(folder);
      const { seq } = (await ask(url, '/v1/sources/events/records', event(1, 0))).body;
      const entities = Array.from({ length: 500 }, (_, user) => ({ user_id: user }));
      const { rows } = (await ask(url, '/v1/features/events_30d', { entities })).body;
      expect(rows.reduce((sum: number, row: { values: number[] }) => sum + row.values[0]!, 0)).toBe(seq);
      child.kill('SIGKILL');
    });
  });

  it('goes on when the thread that applies dies: with another one, then without', async () => {
    await withFolder(async (folder) => {
      await pushProject(folder);
      const fatal = path.join(folder, 'fatal');
      const preload = path.join(folder, 'preload.mjs');
      // Inside of every thread: an error that nobody catches, when the file is there.
      await writeFile(
        preload,
        `import { existsSync, rmSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
const look = () => {
  if (existsSync(${JSON.stringify(`${fatal}-always`)})) throw new Error('injected');
  if (!existsSync(${JSON.stringify(fatal)})) return;
  rmSync(${JSON.stringify(fatal)});
  throw new Error('injected');
};
if (!isMainThread) { look(); setInterval(look, 10).unref(); }`,
      );
      const served = await serve(folder, ['--import', preload]);
      const { child, url } = served;
      const pushAndSee = async (id: number, said: string): Promise<void> => {
        const answer = await ask(url, '/v1/sources/events/records', event(id, 7));
        expect(answer.body).toMatchObject({ accepted: 1 });
        for (let i = 0; i < 400 && !served.said().includes(said); i++)
          await new Promise((resolve) => setTimeout(resolve, 25));
        expect(served.said()).toContain(said);
        for (let i = 0; i < 400 && (await values(url, 7))[0] !== id; i++)
          await new Promise((resolve) => setTimeout(resolve, 25));
        expect(await values(url, 7)).toEqual([id, id * 1.25]);
      };
      const gone = async (file: string): Promise<void> => {
        await writeFile(file, '');
        await new Promise((resolve) => setTimeout(resolve, 300));
      };
      await pushAndSee(1, 'ready to answer');
      await gone(fatal);
      await pushAndSee(
        2,
        'the thread of the online store has ended: injected; another one has taken its place',
      );
      await gone(`${fatal}-always`);
      await pushAndSee(3, 'the server applies without one');
      await pushAndSee(4, 'the server applies without one');
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      expect((await ended)[0]).toBe(0);
    });
  });
});
