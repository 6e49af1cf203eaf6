/** A training set small enough to check by hand: labels, maturity, parts, corrections, hindsight. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MillraceError } from '../../src/core/base/error.js';
import { openProject } from '../../src/open.js';
import { type BuildOptions, type BuiltDataset, buildDataset } from '../../src/services/build-dataset.js';
import { diffDatasets } from '../../src/services/diff-datasets.js';
import type { Project } from '../../src/services/project.js';
import { reproduceDataset } from '../../src/services/reproduce-dataset.js';

const DEFINITIONS = `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: loans
    read: { files: data/loans.csv }
    record_key: loan_id
    event_time: asked
    available_at: asked
    fields: { loan_id: string, user_id: int64, asked: timestamp }
  - name: settlements
    read: { files: data/settlements*.csv }
    record_key: loan_id
    event_time: settled
    available_at: known
    fields: { loan_id: string, user_id: int64, repaid: float64, settled: timestamp, known: timestamp }
features:
  - { name: settled_before, entity: user, aggregation: { function: count, source: settlements, window: all } }
  - { name: repaid_before, entity: user, aggregation: { function: mean, source: settlements.repaid, window: all } }
labels:
  - { name: bad, source: settlements, expression: 'repaid < 0.9', horizon: 10d, grace: 1d }
datasets:
  - name: train
    observations: { source: loans, time: asked }
    features: [settled_before, repaid_before]
    label: bad
    split: { by: time, cuts: { train: '2024-02-01T00:00:00Z', test: end } }
`;

// Loan: asked on, settled on, known on, repaid.
const LOANS = [
  ['a', 1, '2024-01-01', '2024-01-05', '2024-01-06', '1.0'],
  ['b', 1, '2024-01-08', '2024-01-12', '2024-01-13', '0.5'],
  ['c', 1, '2024-01-12T12:00:00Z', '2024-01-20', '2024-01-20', '1.0'], // b is settled and not yet known
  ['d', 1, '2024-01-15', '2024-01-27', '2024-01-28', '0.2'], // settled outside of its horizon
  ['e', 1, '2024-01-16', null, null, null], // never settled
  ['f', 1, '2024-01-25', '2024-01-30', '2024-01-31', '1.0'], // its label window reaches into test: purged
  ['g', 1, '2024-02-02', '2024-02-06', '2024-02-07', '0.4'],
  ['h', 1, '2024-02-15', '2024-02-20', '2024-02-21', '1.0'], // known through 2024-02-21: not mature
] as const;

let folder: string;
let project: Project;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-dataset-'));
  await mkdir(path.join(folder, 'definitions'));
  await mkdir(path.join(folder, 'data'));
  await writeFile(path.join(folder, 'definitions/all.yaml'), DEFINITIONS);
  await writeFile(
    path.join(folder, 'data/loans.csv'),
    `loan_id,user_id,asked\n${LOANS.map(([id, user, asked]) => `${id},${user},${asked}`).join('\n')}\n`,
  );
  await writeFile(
    path.join(folder, 'data/settlements.csv'),
    `loan_id,user_id,repaid,settled,known\n${LOANS.filter((loan) => loan[3] !== null)
      .map(([id, user, , settled, known, repaid]) => `${id},${user},${repaid},${settled},${known}`)
      .join('\n')}\n`,
  );
  project = await openProject(folder);
  await ingest();
});

afterEach(async () => {
  await project.close();
  await rm(folder, { recursive: true, force: true });
});

async function ingest(): Promise<void> {
  const log = await project.log();
  for (const source of project.definitions.sources.values())
    await log.ingestFiles(source, log.expand(source));
}

/** settled_before, repaid_before, bad, part. */
type Row = readonly [number, number | null, string, string];

async function rowsOf(
  options: BuildOptions = {},
): Promise<{ built: BuiltDataset; rows: Record<string, Row> }> {
  const out = path.join(folder, 'out.csv');
  const built = await buildDataset(project, 'train', { ...options, out });
  const [, ...lines] = (await readFile(out, 'utf8')).trimEnd().split('\n');
  const rows = lines.map((line): [string, Row] => {
    const [loan, , , settled, repaid, bad, part] = line.split(',') as [
      string,
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    return [loan, [Number(settled), repaid === '' ? null : Number(repaid), bad, part]];
  });
  return { built, rows: Object.fromEntries(rows) };
}

describe('a training set', () => {
  it('has the rows, labels and features that can be worked out by hand', async () => {
    const { built, rows } = await rowsOf();
    expect(rows).toEqual({
      a: [0, null, 'false', 'train'],
      b: [1, 1, 'true', 'train'],
      c: [1, 1, 'false', 'train'],
      g: [5, 0.74, 'true', 'test'],
    });
    expect(built.manifest.counts).toEqual({
      observations: 8,
      rows: 4,
      immature_label: 1,
      no_outcome: 1,
      outside_horizon: 1,
      purged: 1,
    });
    expect(built.manifest.label).toMatchObject({
      known_through: '2024-02-21T00:00:00Z',
      horizon: '10d',
      grace: '1d',
    });
    expect(built.manifest.parts).toEqual([
      {
        name: 'train',
        rows: 3,
        from: '2024-01-01T00:00:00Z',
        to: '2024-01-12T12:00:00Z',
        label: { false: 2, true: 1 },
      },
      { name: 'test', rows: 1, from: '2024-02-02T00:00:00Z', to: '2024-02-02T00:00:00Z', label: { true: 1 } },
    ]);
    expect(built.manifest.leakage).toEqual([]);
  });

  it('an aggregated label has its default where nothing came, and no outcome without one', async () => {
    const definitions = path.join(folder, 'definitions/all.yaml');
    const written = (fallback: string): string =>
      DEFINITIONS.replace(
        "{ name: bad, source: settlements, expression: 'repaid < 0.9', horizon: 10d, grace: 1d }",
        `{ name: bad, entity: user, aggregation: { function: max, source: settlements.repaid${fallback} }, horizon: 4d }`,
      );
    const counted = async (fallback: string): Promise<readonly [number, number]> => {
      await writeFile(definitions, written(fallback));
      const changed = await openProject(folder);
      try {
        const { counts } = (await buildDataset(changed, 'train')).manifest;
        return [counts.rows + counts.purged, counts.no_outcome];
      } finally {
        await changed.close();
      }
    };
    const [rows, without] = await counted('');
    expect(without).toBeGreaterThan(0);
    expect(await counted(', default: 0')).toEqual([rows + without, 0]);
    await expect(counted(', default: none')).rejects.toThrow();
  });

  it('takes outcomes from hindsight and features from what was known', async () => {
    const first = await rowsOf();
    // On 1 March it turns out that a was not repaid.
    await writeFile(
      path.join(folder, 'data/settlements-late.csv'),
      'loan_id,user_id,repaid,settled,known\na,1,0.0,2024-01-05,2024-03-01\n',
    );
    await ingest();
    const then = await rowsOf();
    expect(then.built.version.version).toBe(first.built.version.version + 1);
    expect(then.rows['a']![2]).toBe('true');
    expect(then.rows['b']).toEqual([1, 1, 'true', 'train']);
    // h is mature now; its features see the correction no sooner than serving would have.
    expect(then.rows['h']).toEqual([6, 0.6833333333333333, 'false', 'test']);
    const late = await rowsOf({ knowledge: 'hindsight' });
    expect(late.rows['b']).toEqual([1, 0, 'true', 'train']);
    expect(late.built.manifest.leakage.map((finding) => finding.rule)).toContain('hindsight');
    const { diff: difference } = await diffDatasets(
      project,
      { name: 'train', version: 1 },
      { name: 'train', version: 2 },
    );
    expect(difference).toMatchObject({ equal: false, rows: [4, 5] });
    expect(difference.definitions).toEqual(['settlements is read through seq 7 and 8']);
  });

  it('is built again as it was after the log has grown', async () => {
    const first = await rowsOf();
    await writeFile(
      path.join(folder, 'data/settlements-late.csv'),
      'loan_id,user_id,repaid,settled,known\na,1,0.0,2024-01-05,2024-01-07\ne,1,0.1,2024-01-20,2024-01-21\n',
    );
    await ingest();
    expect(await reproduceDataset(project, { name: 'train', version: 1 })).toMatchObject({
      logical: true,
      physical: true,
    });
    const back = await rowsOf({ horizons: new Map([['settlements', 7]]) });
    expect(back.rows).toEqual(first.rows);
    expect(back.built).toMatchObject({ built: false, version: { version: 1 } });
    expect((await rowsOf()).rows['b']).toEqual([1, 0, 'true', 'train']);
  });

  it('equal rows of a file fall into one part, whatever else the file holds', async () => {
    const rows = Array.from({ length: 40 }, (_, i) => `1,2024-01-${10 + (i % 20)}T00:00:00Z`);
    const partsOf = async (lines: readonly string[]): Promise<ReadonlyMap<string, string>> => {
      await writeFile(path.join(folder, 'data/asked.csv'), `user_id,asked\n${lines.join('\n')}\n`);
      await buildDataset(project, 'asked', { out: path.join(folder, 'asked.csv') });
      const [, ...written] = (await readFile(path.join(folder, 'asked.csv'), 'utf8')).trimEnd().split('\n');
      const found = new Map<string, string>();
      for (const line of written) {
        const cells = line.split(',');
        const part = cells.at(-1)!;
        expect(found.get(cells[1]!) ?? part).toBe(part);
        found.set(cells[1]!, part);
      }
      return found;
    };
    await writeFile(
      path.join(folder, 'definitions/asked.yaml'),
      `datasets:
  - name: asked
    observations: { files: data/asked.csv, time: asked }
    features: [settled_before]
    split: { by: random, parts: { train: 0.5, test: 0.5 } }
`,
    );
    await project.close();
    project = await openProject(folder);
    const first = await partsOf(rows);
    expect(new Set(first.values())).toEqual(new Set(['train', 'test']));
    expect(await partsOf(['1,2024-03-01T00:00:00Z', ...rows])).toEqual(
      new Map([...first, ['2024-03-01T00:00:00Z', expect.any(String)]]),
    );
  });

  it('without one row is refused with the reasons', async () => {
    const error = await buildDataset(project, 'train', { horizons: new Map([['settlements', 0]]) }).catch(
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(MillraceError);
    expect(error).toMatchObject({
      code: 'DATASET_EMPTY',
      message: expect.stringContaining('8 with an immature label'),
    });
  });
});
