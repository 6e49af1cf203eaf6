/**
 * The known-answer cases as a put/get log: records arrive through the server in the order in which they became
 * available, and every observation is asked for at its instant as soon as what was known then has arrived.
 */
import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseInstant } from '../../src/core/base/time.js';
import { random } from '../world.js';
import { agrees, caseProject, parseCsv } from './case-project.js';
import { CASES, start, withFolder } from './support.js';

type Row = Record<string, string | null>;

const cases = readdirSync(CASES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

async function accepted(folder: string): Promise<Map<string, (string | null)[]>> {
  const file = path.join(folder, 'ambiguous_cells.csv');
  if (!existsSync(file)) return new Map();
  return new Map(
    parseCsv(await readFile(file, 'utf8')).map((row) => [
      `${row['row_id']}/${row['feature']}`,
      [row['last_delivery']!, row['first_delivery']!],
    ]),
  );
}

interface Served {
  readonly url: string;
  stop(): Promise<void>;
}

async function serve(folder: string): Promise<Served> {
  const running = start(['serve', '--project', folder, '--port', '0']);
  const [, url] = await running.shows(/(http:\/\/[\d.:]+)/);
  await running.shows(/ready to answer/);
  return {
    url: url!,
    stop: async () => {
      running.child.kill('SIGTERM');
      expect((await running.finished).status).toBe(0);
    },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
async function post(url: string, body: unknown): Promise<any> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(response.status, `${url}: ${response.status}`).toBe(200);
  return response.json();
}

interface Replay {
  readonly name: string;
  readonly source: string;
  readonly features: readonly string[];
  readonly keys: readonly string[];
  readonly records: readonly { readonly row: Row; readonly available: number; readonly place: number }[];
  readonly spine: readonly { readonly row: Row; readonly t: number }[];
  readonly expected: ReadonlyMap<string, Row>;
  readonly either: ReadonlyMap<string, (string | null)[]>;
}

async function readCase(name: string, folder: string): Promise<Replay> {
  const caseFolder = path.join(CASES, name);
  const project = await caseProject(caseFolder, folder, { push: true });
  const source = name.startsWith('attributes') ? 'attributes' : 'events';
  const text = await readFile(path.join(folder, 'data', `${source}.csv`), 'utf8');
  const available = (row: Row): number =>
    parseInstant((row['available_at'] ?? row['recorded_at'] ?? row['event_time'] ?? row['valid_from'])!)!;
  return {
    name,
    source,
    features: project.features,
    keys: project.keys,
    records: parseCsv(text).map((row, place) => ({ row, available: available(row), place })),
    spine: parseCsv(await readFile(project.observations, 'utf8')).map((row) => ({
      row,
      t: parseInstant(row['t']!)!,
    })),
    expected: new Map(parseCsv(await readFile(project.expected, 'utf8')).map((row) => [row['row_id']!, row])),
    either: await accepted(caseFolder),
  };
}

async function ask(replay: Replay, url: string, spine: Replay['spine']): Promise<string[]> {
  const wrong: string[] = [];
  // Rows of one instant share a request: `at` is of the request.
  const byInstant = new Map<string, Replay['spine'][number][]>();
  for (const item of spine) byInstant.set(item.row['t']!, [...(byInstant.get(item.row['t']!) ?? []), item]);
  for (const [at, items] of byInstant) {
    const { rows } = await post(`${url}/v1/features/${replay.features.join(',')}`, {
      entities: items.map(({ row }) => Object.fromEntries(replay.keys.map((key) => [key, row[key]]))),
      at,
    });
    for (const [i, { row }] of items.entries())
      for (const [j, feature] of replay.features.entries()) {
        const id = row['row_id']!;
        const wanted = replay.either.get(`${id}/${feature}`) ?? [replay.expected.get(id)![feature]!];
        const got = rows[i].values[j];
        if (!wanted.some((value) => agrees(value, got)))
          wrong.push(`${replay.name} ${id} ${feature}: expected ${wanted.join(' or ')}, got ${String(got)}`);
      }
  }
  return wrong;
}

const push = (replay: Replay, url: string, rows: readonly Row[]): Promise<{ quarantined: number }> =>
  post(`${url}/v1/sources/${replay.source}/records`, rows);

describe('the put/get log of a known-answer case', () => {
  it.each(cases)('%s: each answer is right when its instant has come', async (name) => {
    await withFolder(async (folder) => {
      const replay = await readCase(name, folder);
      const server = await serve(folder);
      const next = random(7);
      const wrong: string[] = [];
      const puts = [...replay.records].sort((a, b) => a.available - b.available || a.place - b.place);
      const gets = [...replay.spine].sort((a, b) => a.t - b.t);
      let [put, get] = [0, 0];
      while (put < puts.length || get < gets.length) {
        const t = gets[get]?.t ?? Infinity;
        const due = puts.findIndex(({ available }, i) => i >= put && available > t);
        const end = due < 0 ? puts.length : due;
        while (put < end) {
          const size = Math.min(end - put, 1 + Math.floor(next() * 40));
          const { quarantined } = await push(
            replay,
            server.url,
            puts.slice(put, put + size).map(({ row }) => row),
          );
          expect(quarantined).toBe(0);
          put += size;
        }
        // What is known between two arrivals is one state: those observations are asked for together.
        const until = puts[put]?.available ?? Infinity;
        const asked = gets.slice(get).findIndex(({ t: at }) => at >= until);
        const last = asked < 0 ? gets.length : get + asked;
        wrong.push(...(await ask(replay, server.url, gets.slice(get, last))));
        get = last;
      }
      await server.stop();
      expect(wrong).toEqual([]);
    });
  });

  it.each(cases)('%s: arrived in any order, the past is answered as it was known then', async (name) => {
    await withFolder(async (folder) => {
      const replay = await readCase(name, folder);
      const server = await serve(folder);
      const next = random(11);
      const shuffled = replay.records
        .map((record) => ({ ...record, rank: next() }))
        .sort((a, b) => a.rank - b.rank)
        .map(({ row }) => row);
      for (let i = 0; i < shuffled.length; i += 500)
        await push(replay, server.url, shuffled.slice(i, i + 500));
      expect(await ask(replay, server.url, replay.spine)).toEqual([]);
      await server.stop();
    });
  });
});
