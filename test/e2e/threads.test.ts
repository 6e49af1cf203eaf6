/** The offline sweep of the built command: threads, a memory limit, signals, and what is left behind. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { millrace, start, writeFiles } from './support.js';

let folder: string;
const file = (name: string): string => path.join(folder, name);
const DRAW = (stream: number) => `(hash(i * 16 + ${stream}) >> 11)::DOUBLE / 9007199254740992.0`;

const DEFINITIONS = {
  entities: [{ name: 'person', join_keys: ['user'] }],
  sources: [
    {
      name: 'events',
      kind: 'events',
      read: { files: 'events.parquet' },
      record_key: 'id',
      event_time: 'ts',
      fields: { id: 'int64', user: 'int64', ts: 'timestamp', amount: 'float64', category: 'string' },
    },
  ],
  features: [
    ['count', null, '1d'],
    ['sum', 'amount', '7d'],
    ['std', 'amount', '30d'],
    ['last', 'category', '30d'],
    ['count_distinct', 'category', '7d'],
    ['mode', 'category', '7d'],
    ['top_k', 'category', '30d'],
  ].map(([fn, field, window]) => ({
    name: `${fn}_${window}`,
    entity: 'person',
    aggregation: {
      function: fn,
      source: field === null ? 'events' : `events.${field}`,
      window,
      ...(fn === 'top_k' ? { k: 2 } : {}),
    },
  })),
};
const FEATURES = DEFINITIONS.features.map(({ name }) => name).join(',');

const settings = (lines: string): void =>
  writeFileSync(file('millrace.yaml'), `project: threads\ntimezone: UTC\n${lines}\n`);
const command = (out: string): string[] => [
  'features',
  'historical',
  '--project',
  folder,
  '--observations',
  file('observations.parquet'),
  '--time',
  'at',
  '--features',
  FEATURES,
  '--out',
  file(out),
];
const left = (): string[] =>
  readdirSync(file('.millrace/tmp')).filter((name) => /^(sweep|duckdb)-/.test(name));

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-threads-'));
  await writeFiles(folder, { 'definitions/bench.yaml': JSON.stringify(DEFINITIONS) });
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  await connection.run(
    `COPY (SELECT i AS id, floor(9000 * pow(${DRAW(1)}, 3))::BIGINT AS "user",
      make_timestamptz((1704067200 + floor(${DRAW(2)} * 2592000))::BIGINT * 1000000) AS ts,
      round(${DRAW(3)} * 10000) / 100 AS amount, 'category ' || floor(${DRAW(4)} * 20) AS category
      FROM range(600000) r(i)) TO '${file('events.parquet')}' (FORMAT parquet)`,
  );
  await connection.run(
    `COPY (SELECT i AS oid, floor(9000 * pow(${DRAW(5)}, 3))::BIGINT AS "user",
      make_timestamptz((1704067200 + floor(${DRAW(6)} * 2592000))::BIGINT * 1000000) AS "at"
      FROM range(20000) r(i)) TO '${file('observations.parquet')}' (FORMAT parquet)`,
  );
  connection.closeSync();
  instance.closeSync();
  settings('threads: 2');
  const ingested = await millrace(['ingest', 'events', '--project', folder]);
  expect(ingested.status, ingested.stderr).toBe(0);
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the offline sweep', () => {
  it('writes the same bytes at any number of threads and under a memory limit, and leaves nothing behind', async () => {
    const bytes: Buffer[] = [];
    for (const lines of ['threads: 1', 'threads: 2', 'threads: 3', 'threads: 2\nmemory_limit: 400MB']) {
      settings(lines);
      const done = await millrace(command('out.parquet'));
      expect(done.status, done.stderr).toBe(0);
      bytes.push(readFileSync(file('out.parquet')));
      expect(left()).toEqual([]);
    }
    for (const other of bytes.slice(1)) expect(other.equals(bytes[0]!)).toBe(true);
  });

  it('stops at Ctrl-C with 130; after kill -9 the next run removes what was left', async () => {
    settings('threads: 2\nmemory_limit: 400MB');
    const interrupted = start(command('cut.parquet'));
    await interrupted.shows(/computing/);
    interrupted.child.kill('SIGINT');
    const stopped = await interrupted.finished;
    expect(stopped.status, stopped.stderr).toBe(130);
    expect(left()).toEqual([]);

    const killed = start(command('cut.parquet'));
    await killed.shows(/computing/);
    while (!left().some((name) => name.startsWith('sweep-')) && killed.child.exitCode === null)
      await new Promise((go) => setTimeout(go, 2));
    killed.child.kill('SIGKILL');
    await killed.finished;
    expect(left().some((name) => name.startsWith('sweep-'))).toBe(true);
    const next = await millrace(command('whole.parquet'));
    expect(next.status, next.stderr).toBe(0);
    expect(left()).toEqual([]);
    expect(readFileSync(file('whole.parquet')).equals(readFileSync(file('out.parquet')))).toBe(true);
  });
});
