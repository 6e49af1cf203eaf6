/** profile, compare and evaluate on files of any kind: shapes as promised, values as SciPy and scikit-learn give them. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Finished, millrace, writeFiles } from './support.js';

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
type Json = any;

const GOLDEN = path.resolve(import.meta.dirname, '../drift/golden');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-files-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const golden = async (name: string): Promise<Json> =>
  JSON.parse(await readFile(path.join(GOLDEN, name), 'utf8'));
const at = (name: string): string => path.join(folder, name);

/** Columns of any lengths; what is missing is an empty field. */
const csv = (columns: Readonly<Record<string, readonly unknown[]>>): string => {
  const rows = Math.max(...Object.values(columns).map((values) => values.length));
  const lines = Array.from({ length: rows }, (_, i) =>
    Object.values(columns)
      .map((values) => values[i] ?? '')
      .join(','),
  );
  return `${[Object.keys(columns).join(','), ...lines].join('\n')}\n`;
};

async function ok(args: readonly string[]): Promise<Json> {
  const done = await millrace([...args, '--json']);
  expect(done.status, done.stderr).toBe(0);
  expect(done.stdout.trimEnd().split('\n')).toHaveLength(1);
  return done.json;
}

describe('compare', () => {
  it('gives the Kolmogorov-Smirnov and Wasserstein values of SciPy for every pair of samples', async () => {
    const { cases } = (await golden('statistics.json')).samples as {
      cases: { a: number[]; b: number[]; ks: [number, number]; wasserstein: number }[];
    };
    const file = (side: 'a' | 'b'): Record<string, number[]> =>
      Object.fromEntries(cases.map((item, i) => [`c${i}`, item[side]]));
    await writeFiles(folder, { 'a.csv': csv(file('a')), 'b.csv': csv(file('b')) });
    const { columns } = await ok(['compare', at('a.csv'), at('b.csv')]);
    for (const [i, item] of cases.entries()) {
      const column = columns[`c${i}`];
      expect(column.type).toBe('numeric');
      expect(column.rows).toHaveLength(2);
      expect(column.tests.ks.statistic).toBeCloseTo(item.ks[0], 12);
      expect(['exact', 'asymptotic']).toContain(column.tests.ks.method);
      if (column.tests.ks.method === 'exact')
        expect(Math.abs(column.tests.ks.p_value / item.ks[1] - 1)).toBeLessThan(1e-9);
      expect(column.tests.wasserstein.value).toBeCloseTo(item.wasserstein, 9);
      expect(column.tests.psi.value).toBeGreaterThanOrEqual(0);
      expect(column.tests.jensen_shannon).toMatchObject({ base: 2, distance: expect.any(Number) });
      expect(['ok', 'drifted', 'insufficient_data']).toContain(column.verdict);
    }
  });

  it('gives the chi-squared values of SciPy for every table of counts', async () => {
    const { tables } = (await golden('statistics.json')) as {
      tables: { a: number[]; b: number[]; plain: [number, number, number]; jensen_shannon: number }[];
    };
    const spread = (counts: readonly number[]): string[] =>
      counts.flatMap((n, k) => Array.from({ length: n }, () => `k${k}`));
    const small = tables.filter((table) => Math.max(...table.a, ...table.b) < 5000);
    expect(small.length).toBeGreaterThan(4);
    const file = (side: 'a' | 'b'): Record<string, string[]> =>
      Object.fromEntries(small.map((item, i) => [`t${i}`, spread(item[side])]));
    await writeFiles(folder, { 'ta.csv': csv(file('a')), 'tb.csv': csv(file('b')) });
    const { columns } = await ok(['compare', at('ta.csv'), at('tb.csv')]);
    for (const [i, item] of small.entries()) {
      const column = columns[`t${i}`];
      expect(column.type).toBe('categorical');
      const { statistic, p_value: p, degrees_of_freedom: freedom } = column.tests.chi_squared;
      expect(statistic).toBeCloseTo(item.plain[0], 9);
      expect(Math.abs(p - item.plain[1])).toBeLessThan(1e-12 + 1e-9 * item.plain[1]);
      expect(freedom).toBe(item.plain[2]);
      expect(column.tests.jensen_shannon.distance).toBeCloseTo(item.jensen_shannon, 9);
    }
  });

  it('tells drift from chance, and both from too little data', async () => {
    const wave = (n: number, shift: number): number[] =>
      Array.from({ length: n }, (_, i) => Math.sin(i * 12.9898) * 3 + shift);
    await writeFiles(folder, {
      'r.csv': csv({
        same: wave(2000, 0),
        moved: wave(2000, 0),
        constant: Array(2000).fill(5),
        few: wave(5, 0),
        empty: [],
      }),
      'c.csv': csv({
        same: wave(1900, 0),
        moved: wave(1900, 1),
        constant: Array(1900).fill(5),
        few: wave(5, 3),
        empty: [],
      }),
    });
    const { columns } = await ok(['compare', at('r.csv'), at('c.csv')]);
    const verdicts = Object.fromEntries(
      Object.entries<Json>(columns).map(([name, column]) => [name, column.verdict]),
    );
    expect(verdicts).toMatchObject({
      same: 'ok',
      moved: 'drifted',
      constant: 'ok',
      few: 'insufficient_data',
      empty: 'insufficient_data',
    });
  });

  it('names a column that is in one file only', async () => {
    await writeFiles(folder, { 'x.csv': 'a,b\n1,2\n', 'y.csv': 'a,c\n1,2\n' });
    const done = await ok(['compare', at('x.csv'), at('y.csv')]);
    expect(JSON.stringify(done)).toMatch(/"b"/);
    expect(JSON.stringify(done)).toMatch(/"c"/);
  });
});

describe('evaluate', () => {
  it('gives the metrics of scikit-learn, with and without weights', async () => {
    const { binary } = (await golden('metrics.json')) as {
      binary: {
        labels: number[];
        scores: number[];
        weights: number[];
        plain: Record<string, number>;
        weighted: Record<string, number>;
      }[];
    };
    for (const [i, item] of binary.entries()) {
      await writeFiles(folder, { [`e${i}.csv`]: csv({ y: item.labels, s: item.scores, w: item.weights }) });
      const [plain, weighted] = await Promise.all([
        ok(['evaluate', at(`e${i}.csv`), '--label', 'y', '--score', 's']),
        ok(['evaluate', at(`e${i}.csv`), '--label', 'y', '--score', 's', '--weight', 'w']),
      ]);
      expect(plain.rows).toBe(item.labels.length);
      for (const name of ['auc', 'average_precision', 'log_loss', 'brier', 'ece']) {
        expect(plain.metrics[name], name).toBeCloseTo(item.plain[name]!, 9);
        expect(weighted.metrics[name], name).toBeCloseTo(item.weighted[name]!, 9);
      }
      expect(plain.intervals.auc[0]).toBeLessThanOrEqual(plain.metrics.auc);
      expect(plain.intervals.auc[1]).toBeGreaterThanOrEqual(plain.metrics.auc);
    }
  });

  it('gives the errors of a regression as scikit-learn does', async () => {
    const { regression } = (await golden('metrics.json')) as {
      regression: {
        truth: number[];
        predicted: number[];
        weights: number[];
        plain: Record<string, number>;
        weighted: Record<string, number>;
      }[];
    };
    const item = regression.at(-1)!;
    await writeFiles(folder, { 'reg.csv': csv({ y: item.truth, p: item.predicted, w: item.weights }) });
    const plain = await ok([
      'evaluate',
      at('reg.csv'),
      '--label',
      'y',
      '--score',
      'p',
      '--task',
      'regression',
    ]);
    const weighted = await ok([
      'evaluate',
      at('reg.csv'),
      '--label',
      'y',
      '--score',
      'p',
      '--task',
      'regression',
      '--weight',
      'w',
    ]);
    for (const name of ['rmse', 'mae', 'r2']) {
      expect(plain.metrics[name], name).toBeCloseTo(item.plain[name]!, 9);
      expect(weighted.metrics[name], name).toBeCloseTo(item.weighted[name]!, 9);
    }
  });

  it('judges at the threshold it is given', async () => {
    await writeFiles(folder, { 'th.csv': csv({ y: [1, 0, 1, 0], s: [0.9, 0.1, 0.4, 0.6] }) });
    const strict = await ok(['evaluate', at('th.csv'), '--label', 'y', '--score', 's', '--threshold', '0.7']);
    expect(strict.metrics).toMatchObject({ precision: 1, recall: 0.5, accuracy: 0.75 });
    const loose = await ok(['evaluate', at('th.csv'), '--label', 'y', '--score', 's', '--threshold', '0.3']);
    expect(loose.metrics.recall).toBe(1);
  });

  it('of one class has no AUC and says why', async () => {
    await writeFiles(folder, { 'one.csv': 'y,s\n1,0.9\n1,0.2\n' });
    const done = await ok(['evaluate', at('one.csv'), '--label', 'y', '--score', 's']);
    expect(done.metrics.auc).toBeNull();
    expect(done.metrics.log_loss).toBeCloseTo(-(Math.log(0.9) + Math.log(0.2)) / 2, 12);
    expect(done.reasons.auc).toMatch(/class/);
  });

  it('refuses what it cannot read, with the place', async () => {
    await writeFiles(folder, {
      'null.csv': 'y,s\n1,0.9\n,0.1\n',
      'two.csv': 'y,s\n1,0.9\n2,0.1\n',
      'none.csv': 'y,s\n',
      'empty.csv': '',
    });
    await writeFile(at('torn.csv.gz'), gzipSync('y,s\n1,0.9\n0,0.1\n'.repeat(1000)).subarray(0, 50));
    const evaluate = (file: string, ...more: string[]): Promise<Finished> =>
      millrace(['evaluate', at(file), '--label', 'y', '--score', 's', '--json', ...more]);
    const refused = async (done: Finished, status: number, code: string, place?: Json): Promise<void> => {
      expect([done.json?.error?.code, done.status], done.stderr).toEqual([code, status]);
      expect(done.json.error.hint).toMatch(/./);
      if (place) expect(done.json.error.place).toMatchObject(place);
    };
    await refused(await evaluate('null.csv'), 1, 'FILE_UNREADABLE', { line: 3, path: 'y' });
    await refused(await evaluate('two.csv'), 1, 'FILE_UNREADABLE', { line: 3, path: 'y' });
    await refused(await evaluate('none.csv'), 1, 'FILE_EMPTY');
    await refused(await evaluate('empty.csv'), 1, 'FILE_EMPTY');
    await refused(await evaluate('torn.csv.gz'), 1, 'FILE_TORN');
    await refused(await evaluate('nowhere.csv'), 1, 'FILE_NOT_FOUND');
    await refused(await evaluate('null.csv', '--weight', 'weight'), 2, 'USAGE');
    await refused(await evaluate('null.csv', '--threshold', 'high'), 2, 'USAGE');
    await refused(await evaluate('null.csv', '--task', 'ranking'), 2, 'USAGE');
  });
});

describe('profile', () => {
  it('gives the statistics of NumPy for every column', async () => {
    const { profiles } = (await golden('statistics.json')) as {
      profiles: { values: number[]; mean: number; std: number; quantiles: Record<string, number> }[];
    };
    await writeFiles(folder, {
      'p.csv': csv(Object.fromEntries(profiles.map((item, i) => [`p${i}`, item.values]))),
    });
    const { rows, columns } = await ok(['profile', at('p.csv')]);
    expect(rows).toBe(Math.max(...profiles.map((item) => item.values.length)));
    for (const [i, item] of profiles.entries()) {
      const column = columns[`p${i}`];
      expect(column.count).toBe(item.values.length);
      expect(column.nulls).toBe(rows - item.values.length);
      expect(column.distinct).toBe(new Set(item.values).size);
      expect(column.min).toBe(Math.min(...item.values));
      expect(column.max).toBe(Math.max(...item.values));
      expect(column.mean).toBeCloseTo(item.mean, 9);
      if (item.values.length > 1) expect(column.std).toBeCloseTo(item.std, 9);
      expect(column.quantiles['0.5']).toBeCloseTo(item.quantiles['0.5']!, 9);
    }
  });

  it('takes constant, empty, textual and dated columns, and a header without rows', async () => {
    await writeFiles(folder, {
      'odd.csv': 'k,e,t,d,b\n5,,x,2024-01-01,true\n5,,y,2024-02-01,false\n5,,x,2024-03-01,\n',
      'head.csv': 'k,e\n',
    });
    const { columns } = await ok(['profile', at('odd.csv')]);
    expect(columns.k).toMatchObject({ count: 3, nulls: 0, distinct: 1, min: 5, max: 5, mean: 5, std: 0 });
    expect(columns.e).toMatchObject({ count: 0, nulls: 3, distinct: 0, min: null, max: null });
    expect(columns.t).toMatchObject({ type: 'string', count: 3, distinct: 2, min: 'x', max: 'y' });
    expect(columns.d).toMatchObject({ type: 'date', min: '2024-01-01', max: '2024-03-01' });
    expect(columns.b).toMatchObject({ type: 'boolean', count: 2, nulls: 1, distinct: 2 });
    expect(await ok(['profile', at('head.csv')])).toMatchObject({ rows: 0, columns: { k: { count: 0 } } });
  });
});
