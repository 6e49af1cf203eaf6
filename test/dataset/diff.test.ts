/** Two versions beside each other: what is added, removed and changed, against rows that are known. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hashColumn } from '../../src/core/dataset/content.js';
import type { DatasetDiff } from '../../src/core/dataset/difference.js';
import { changedPairs, matchRows, rowKeys } from '../../src/core/dataset/rows.js';
import { ColumnBuilder } from '../../src/core/engine/columns.js';
import { INT64 } from '../../src/core/schema/types.js';
import { openProject } from '../../src/open.js';
import { renderDatasetDiff } from '../../src/report/dataset-diff.js';
import { buildDataset } from '../../src/services/build-dataset.js';
import { addedColumns, datasetColumns } from '../../src/services/dataset-table.js';
import { manifestOfDataset } from '../../src/services/dataset-versions.js';
import { diffDatasets } from '../../src/services/diff-datasets.js';
import { exportDataset } from '../../src/services/export-dataset.js';
import { sha256File } from '../../src/services/objects.js';
import type { Project } from '../../src/services/project.js';
import fc from '../property.js';

const definitions = (fold: string, feature = ''): string => `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: orders
    read: { files: data/orders*.csv }
    record_key: order_id
    event_time: at
    available_at: known
    deleted: gone
    fields: { order_id: int64, user_id: int64, amount: float64, late: boolean, at: timestamp, known: timestamp, gone: boolean }
features:
  - { name: spent, entity: user, description: ignored, aggregation: { function: ${fold}, source: orders.amount, window: 5d } }
  - { name: orders_before, entity: user, aggregation: { function: count, source: orders, window: all } }
${feature}
labels:
  - { name: was_late, source: orders, expression: late, horizon: 1d }
datasets:
  - name: set
    observations: { source: orders, time: at }
    features: [spent, orders_before${feature === '' ? '' : ', newest'}]
    label: was_late
`;

let folder: string;
let project: Project;
let diff: DatasetDiff;
let page: string;

async function ingest(name: string, rows: readonly string[]): Promise<void> {
  const file = path.join(folder, 'data', `${name}.csv`);
  await writeFile(file, `order_id,user_id,amount,late,at,known,gone\n${rows.join('\n')}\n`);
  const log = await project.log();
  await log.ingestFiles(project.definitions.sources.get('orders')!, [file]);
}

const day = (i: number): string => new Date(Date.UTC(2024, 0, 1 + i)).toISOString().slice(0, 10);

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-diff-'));
  await mkdir(path.join(folder, 'definitions'));
  await mkdir(path.join(folder, 'data'));
  const file = path.join(folder, 'definitions/all.yaml');
  await writeFile(file, definitions('sum'));
  project = await openProject(folder);
  // 80 orders, one a day, the last of them only so that the others' labels are mature.
  await ingest(
    'orders',
    Array.from(
      { length: 80 },
      (_, i) => `${i},${i % 2},${i},${i % 4 === 0},${day(i)},${day(i)}T12:00:00Z,false`,
    ),
  );
  await buildDataset(project, 'set');
  await project.close();
  await writeFile(
    file,
    definitions(
      'max',
      '  - { name: newest, entity: user, aggregation: { function: last, source: orders.amount, window: all } }',
    ),
  );
  project = await openProject(folder);
  await ingest('orders-late', [
    `7,1,7,false,${day(7)},${day(7)}T12:00:00Z,true`, // order 7 is taken back
    `500,1,1,true,${day(20)},${day(20)}T12:00:00Z,false`, // a new one
    `9,1,9,true,${day(9)},${day(9)}T12:00:00Z,false`, // order 9 was late after all
  ]);
  await buildDataset(project, 'set');
  const found = await diffDatasets(project, { name: 'set', version: 1 }, { name: 'set', version: 2 });
  diff = found.diff;
  page = renderDatasetDiff(diff, found.samples);
});

afterAll(async () => {
  await project.close();
  await rm(folder, { recursive: true, force: true });
});

describe('the difference of two versions', () => {
  it('names what is defined otherwise, property by property, and what is new', () => {
    expect(diff.equal).toBe(false);
    expect(diff.definition_changes).toEqual([
      {
        kind: 'dataset',
        name: 'set',
        change: 'changed',
        lines: [{ path: 'features', a: '[spent, orders_before]', b: '[spent, orders_before, newest]' }],
      },
      {
        kind: 'feature',
        name: 'spent',
        change: 'changed',
        lines: [{ path: 'computation.function', a: 'sum', b: 'max' }],
      },
      expect.objectContaining({ kind: 'feature', name: 'newest', change: 'added' }),
    ]);
    expect(diff.columns).toMatchObject({ only_a: [], only_b: ['newest'] });
  });

  it('has the rows by their key: added, removed, changed with both values', () => {
    const rows = diff.row_changes!;
    expect(rows.key).toEqual(['order_id']);
    expect([rows.added, rows.removed]).toEqual([1, 1]);
    expect(rows.examples.added).toEqual([{ order_id: 500, at: `${day(20)}T00:00:00Z` }]);
    expect(rows.examples.removed).toEqual([{ order_id: 7, at: `${day(7)}T00:00:00Z` }]);
    expect(rows.changed + rows.equal + rows.added).toBe(diff.rows[1]);
    const late = rows.columns.find((column) => column.column === 'was_late')!;
    expect(late).toMatchObject({ rows: 1, examples: [{ key: { order_id: 9 }, a: false, b: true }] });
    expect(diff.labels.changed).toBe(1);
    // orders_before: one less from 7 on, one more after 500: what comes between and is of user 1.
    const before = rows.columns.find((column) => column.column === 'orders_before')!;
    expect(before.examples[0]).toMatchObject({ key: { order_id: 9 }, a: 4, b: 3 });
    expect(before.rows).toBe([9, 11, 13, 15, 17, 19].length);
  });

  it('compares the distributions of what has other values', () => {
    expect(Object.keys(diff.distributions!.columns).sort()).toEqual(['orders_before', 'spent']);
    expect(diff.distributions!.drifted).toEqual(['spent']);
  });

  it('is one page without a request, with names from outside escaped', () => {
    expect(page).toContain('<!doctype html>');
    expect(page).not.toMatch(/<script|src=|href="http/);
    expect(page).toContain('order_id 9');
    const nasty = { ...diff, a: '<img src=x onerror=alert(1)>' };
    expect(renderDatasetDiff({ ...nasty, distributions: null }, new Map())).not.toContain('<img');
  });

  it('is nothing between a version and itself', async () => {
    const same = await diffDatasets(project, { name: 'set', version: 2 }, { name: 'set', version: 2 });
    expect(same.diff).toMatchObject({ equal: true, definition_changes: [], distributions: null });
    expect(same.diff.row_changes).toMatchObject({ added: 0, removed: 0, changed: 0 });
    expect(same.diff.lines).toEqual(['set@2 and set@2 are equal']);
  });
});

describe('a version for others', () => {
  it('is its rows in one file, and a card that says what it is and how it was made, by its own definitions', async () => {
    const out = path.join(folder, 'exported');
    const result = await exportDataset(project, { name: 'set', version: 1 }, { out, licence: 'CC-BY-4.0' });
    expect(result).toMatchObject({ rows: 79, files: ['data.parquet', 'manifest.json', 'README.md'] });
    const card = await readFile(path.join(out, 'README.md'), 'utf8');
    const version = (await project.registry()).version('dataset', 'set', 1)!;
    const types = addedColumns(manifestOfDataset(version));
    const store = await project.offline();
    const exported = await store.readColumns(path.join(out, 'data.parquet'), types);
    const rows = await datasetColumns(store, version, types);
    for (const { name } of types)
      expect(hashColumn(name, exported.get(name)!)).toBe(hashColumn(name, rows.get(name)!));
    for (const text of [
      'license: cc-by-4.0',
      'size_categories: ["n<1K"]',
      '      - { split: rows, path: "data.parquet" }',
      '# set@1',
      '| Licence | CC-BY-4.0 |',
      '| Rows | 79 |',
      '| orders | 80 |',
      'Each row is a record of source `orders` at its `at`',
      '| train | 79 | 2024-01-01T00:00:00Z | 2024-03-19T00:00:00Z | false 59, true 20 (25.3%) |',
      '| orders\\_before | int64 | feature | 0 | min 0, median 19, mean 19.2532, max 39 |  |',
      '| spent | float64 | feature | 2 |',
      '| at | timestamp | observation | 0 | min 2024-01-01T00:00:00Z, median 2024-02-09T00:00:00Z, max 2024-03-19T00:00:00Z |',
      'millrace dataset reproduce set@1',
      await sha256File(path.join(out, 'data.parquet')),
    ])
      expect(card).toContain(text);
    // Again into the same folder; never over something else.
    await exportDataset(project, { name: 'set', version: 2 }, { out });
    await expect(
      exportDataset(project, { name: 'set', version: 2 }, { out: path.join(folder, 'data') }),
    ).rejects.toThrow(/no exported dataset/);
  });
});

describe('rows matched by key', () => {
  it('pair as many rows of each key as both sides have', () => {
    const column = (values: readonly number[]) => {
      const builder = new ColumnBuilder(INT64, values.length);
      for (const [i, value] of values.entries()) builder.set(i, value);
      return builder.finish();
    };
    const keys = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 20 });
    fc.assert(
      fc.property(keys, keys, (a, b) => {
        const matched = matchRows(rowKeys([column(a)]), rowKeys([column(b)]));
        const times = (list: readonly number[], key: number): number =>
          list.filter((item) => item === key).length;
        let pairs = 0;
        for (let key = 0; key <= 4; key++) pairs += Math.min(times(a, key), times(b, key));
        expect(matched.a.length).toBe(pairs);
        expect(matched.added.length).toBe(b.length - pairs);
        expect(matched.removed.length).toBe(a.length - pairs);
        expect(changedPairs(matched, column(a), column(b))).toEqual([]);
      }),
    );
  });
});
