/** profile and compare of files that are too large to keep: against the exact values of DuckDB. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { foldColumns } from '../../src/adapters/duckdb/column-fold.js';
import { type DuckDb, openDuckDb } from '../../src/adapters/duckdb/connection.js';
import { threadsFor } from '../../src/adapters/duckdb/number-threads.js';
import { createTableReader } from '../../src/adapters/duckdb/table-reader.js';
import type { TableReader } from '../../src/ports/table-reader.js';
import { compareFiles, type FileProfile, profileFile } from '../../src/services/files.js';

const ROWS = 600_000;

let folder: string;
let db: DuckDb;
let reader: TableReader;
const at = (name: string): string => path.join(folder, name);

/** Texts: more rare ones than are counted by name, beside frequent ones, in another mixture where `shift` is not 0. */
const rowsSql = (shift: number): string =>
  `SELECT i AS id, CASE WHEN i % 10 = 3 THEN NULL ELSE (hash(i) % 1000003) / 7.0 END AS x,
    make_timestamp(1700000000000000 + i * 60000000) AS t, i % 3 = 0 AS flag,
    CASE WHEN i % 100 < ${30 + shift} THEN 'frequent' WHEN i % 100 < 40 THEN 'known-' || i % 7
      WHEN i % 100 = 99 THEN NULL ELSE 'rare-and-longer-than-twelve-' || hash(i) % 700000 END AS word
  FROM range(${ROWS}) r(i)`;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-large-files-'));
  db = await openDuckDb({ temporaryDirectory: path.join(folder, 'tmp') });
  reader = createTableReader(db);
  for (const [name, shift] of [
    ['a.parquet', 0],
    ['b.parquet', 10],
  ] as const)
    await db.run(`COPY (${rowsSql(shift)}) TO '${at(name)}' (FORMAT parquet)`);
});
afterAll(async () => {
  await reader.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('A file that is too large to keep', () => {
  let profile: FileProfile;
  beforeAll(async () => {
    profile = await profileFile(reader, at('a.parquet'));
  });

  it('has exact counts, nulls and ends, and quantiles within the error that is said', async () => {
    expect(profile.rows).toBe(ROWS);
    const { x, t, flag } = profile.columns;
    const [exact] = await db.rows<Record<string, number>>(
      `SELECT count(x) AS n, min(x) AS low, max(x) AS high, avg(x) AS mean, stddev_samp(x) AS std FROM '${at('a.parquet')}'`,
    );
    expect(x).toMatchObject({
      count: exact!['n'],
      nulls: ROWS / 10,
      min: exact!['low'],
      max: exact!['high'],
    });
    expect(x!.mean).toBeCloseTo(exact!['mean']!, 6);
    expect(x!.std).toBeCloseTo(exact!['std']!, 6);
    expect(x!.rank_error).toBeGreaterThan(0);
    expect(x!.rank_error).toBeLessThan(0.001);
    for (const [q, value] of Object.entries(x!.quantiles!)) {
      const [rank] = await db.rows<{ n: number }>(
        `SELECT count(*) FILTER (WHERE x < ${value}) AS n FROM '${at('a.parquet')}'`,
      );
      expect(Math.abs(rank!.n / exact!['n']! - Number(q))).toBeLessThanOrEqual(x!.rank_error! + 1e-5);
    }
    expect(t!.min).toBe('2023-11-14T22:13:20Z');
    expect(flag).toMatchObject({ distinct: 2, top: [{ value: 'false' }, { value: 'true', count: 200_000 }] });
  });

  it('has every value counted where its footer says that they are few, nulls too', async () => {
    await db.run(
      `COPY (SELECT i % 3 = 0 AS flag, (i % 7)::INTEGER AS n, 'k' || i % 5 AS t,
        CASE WHEN i % 4 > 0 THEN ((hash(i) % 5000)::INTEGER / 100)::DECIMAL(12, 2) END AS price
      FROM range(${ROWS}) r(i)) TO '${at('few.parquet')}' (FORMAT parquet)`,
    );
    const { rows, columns } = await profileFile(reader, at('few.parquet'));
    const [exact] = await db.rows<Record<string, number>>(
      `SELECT count(DISTINCT price) AS d, avg(price) AS mean, stddev_samp(price) AS std, quantile_cont(price::DOUBLE, 0.95) AS q FROM '${at('few.parquet')}'`,
    );
    expect(rows).toBe(ROWS);
    expect(columns['price']).toMatchObject({
      count: (ROWS * 3) / 4,
      nulls: ROWS / 4,
      distinct: exact!['d'],
      min: 0,
      max: 49.99,
      mean: expect.closeTo(exact!['mean']!, 9),
      std: expect.closeTo(exact!['std']!, 9),
      quantiles: expect.objectContaining({ '0.95': exact!['q'] }),
    });
    expect(columns['price']).not.toHaveProperty('rank_error');
    expect(columns['flag']!.top).toEqual([
      { value: 'false', count: 400_000 },
      { value: 'true', count: 200_000 },
    ]);
    expect(columns['t']).toMatchObject({ distinct: 5, min: 'k0', max: 'k4', count: ROWS });
    expect(columns['n']).toMatchObject({ distinct: 7, min: 0, max: 6, mean: expect.closeTo(3, 4) });
  });

  it('counts frequent texts exactly among too many others, and says how sure it is of their number', async () => {
    const word = profile.columns['word']!;
    const [exact] = await db.rows<Record<string, number>>(
      `SELECT count(DISTINCT word) AS d, count(word) AS n, min(word) AS low, max(word) AS high FROM '${at('a.parquet')}'`,
    );
    expect(word).toMatchObject({
      count: exact!['n'],
      nulls: ROWS / 100,
      min: exact!['low'],
      max: exact!['high'],
    });
    expect(word.distinct_error).toBeGreaterThan(0);
    expect(Math.abs(word.distinct / exact!['d']! - 1)).toBeLessThan(5 * word.distinct_error!);
    const top = await db.rows<{ value: string; count: number }>(
      `SELECT word AS value, count(*) AS count FROM '${at('a.parquet')}' WHERE word LIKE 'frequent' OR word LIKE 'known%' GROUP BY word ORDER BY count DESC, value`,
    );
    expect(word.top!.slice(0, top.length)).toEqual(top);
  });

  it('comes to the same states, bit by bit, whichever thread takes in a column', async () => {
    const fold = {
      from: `(FROM read_parquet('${at('a.parquet')}') LIMIT 300000)`,
      columns: [
        { name: 'id', type: 'BIGINT' },
        { name: 'x', type: 'DOUBLE' },
        { name: 'flag', type: 'BOOLEAN' },
        { name: 't', type: 'TIMESTAMP' },
        { name: 'word', type: 'VARCHAR' },
      ],
    };
    const alone = await foldColumns(db, { ...fold, threads: 0 });
    expect(alone!.rows).toBe(300_000);
    expect(isDeepStrictEqual(await foldColumns(db, { ...fold, threads: 2 }), alone)).toBe(true);
  });

  it('leaves no thread behind where it cannot be read to its end', async () => {
    const from = "(SELECT CASE WHEN i > 9 THEN error('corrupt page') END::DOUBLE AS x FROM range(99) r(i))";
    const columns = [{ name: 'x', type: 'DOUBLE' }];
    await expect(foldColumns(db, { from, columns, threads: 1 })).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
    });
  });

  it('has a thread more only where the values are worth it, and no more than cores', () => {
    expect(threadsFor(100_000, 8)).toBe(0);
    expect(threadsFor(120_000_000, 1)).toBe(0);
    expect(threadsFor(120_000_000, 2)).toBe(1);
    expect(threadsFor(1_200_000_000, 8)).toBe(7);
  });

  it('is compared by its sketches: nothing moved is ok, another mixture of texts has drifted', async () => {
    const same = await compareFiles(reader, at('a.parquet'), at('a.parquet'));
    expect(same.verdict).toBe('ok');
    const other = await compareFiles(reader, at('a.parquet'), at('b.parquet'));
    expect(other.drifted).toEqual(['word']);
    expect(other.columns['word']!.mode).toBe('sketch');
    const [shares] = await db.rows<{ moved: number }>(
      `WITH a AS (SELECT word, count(*) / sum(count(*)) OVER () AS p FROM '${at('a.parquet')}' WHERE word LIKE 'frequent' OR word LIKE 'known%' OR word LIKE 'rare%' GROUP BY word),
        b AS (SELECT word, count(*) / sum(count(*)) OVER () AS p FROM '${at('b.parquet')}' WHERE word IS NOT NULL GROUP BY word)
       SELECT max(abs(coalesce(a.p, 0) - coalesce(b.p, 0))) AS moved FROM a FULL JOIN b USING (word)`,
    );
    expect(other.columns['word']!.tests.l_infinity!.value).toBeCloseTo(shares!.moved, 9);
  });

  it('has the types of all its rows, also where the first rows would tell others', async () => {
    const columns = `i AS id, CASE WHEN i < 300000 THEN i::VARCHAR ELSE 'none' END AS late, CASE WHEN i > 350000 THEN i END AS sparse,
      repeat('-', 70) AS filler`;
    await db.run(
      `COPY (SELECT ${columns} FROM range(${ROWS}) r(i)) TO '${at('late.csv')}' (FORMAT csv, HEADER)`,
    );
    const found = await profileFile(reader, at('late.csv'));
    expect(found.columns['late']).toMatchObject({ type: 'string', count: ROWS });
    expect(found.columns['late']!.top![0]).toEqual({ value: 'none', count: ROWS - 300_000 });
    expect(found.columns['sparse']).toMatchObject({
      type: 'int64',
      count: ROWS - 350_001,
      nulls: 350_001,
      min: 350_001,
    });
  });
});
