/** A project from source to score, changed in the ways that projects change: what runs is what must, as if made anew. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { DatasetManifest } from '../../src/core/dataset/manifest.js';
import { boundsOf } from '../../src/core/dataset/partition.js';
import { type OpenedProject, openProject } from '../../src/open.js';
import { applyPlan } from '../../src/services/apply-plan.js';
import { manifestOfDataset } from '../../src/services/dataset-versions.js';
import { manifestOf } from '../../src/services/model-manifest.js';
import { planProject } from '../../src/services/plan-project.js';
import { random } from '../world.js';

const DEFINITIONS = `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: orders
    description: What was bought
    read: { files: data/orders*.csv }
    record_key: id
    event_time: ts
    available_at: known
    deleted: gone
    fields: { id: string, user_id: int64, amount: float64, ts: timestamp, known: timestamp, gone: boolean }
  - name: asks
    read: { files: data/asks*.csv }
    record_key: id
    event_time: ts
    fields: { id: string, user_id: int64, ts: timestamp }
transforms:
  - name: large
    sql: SELECT id, user_id, amount * 2 AS twice, ts, known FROM orders WHERE amount > 5
    record_key: id
    event_time: ts
    available_at: known
    fields: { id: string, user_id: int64, twice: float64, ts: timestamp, known: timestamp }
features:
  - { name: spent, entity: user, aggregation: { function: sum, source: orders.amount, window: 3d } }
  - { name: doubled, entity: user, aggregation: { function: sum, source: large.twice, window: 7d } }
labels:
  - name: next
    entity: user
    aggregation: { function: sum, source: orders.amount, default: 0 }
    horizon: 1d
datasets:
  - name: days
    observations: { source: asks }
    features: [spent, doubled]
    label: next
    split: { by: time, parts: { train: 0.7, test: 0.3 } }
    partition: 10d
models:
  - { name: model, dataset: days, task: regression, trainer: { kind: linear_regression } }
services:
  - { name: score, model: model, log: all, backtest: [test] }
`;

const DAYS = 260;
const START = Date.parse('2024-01-01T00:00:00Z');
const HOUR = 3_600_000;
const iso = (day: number): string => new Date(START + Math.round(day * 24) * HOUR).toISOString();
const ORDERS = 'id,user_id,amount,ts,known,gone';
const order = (id: string, user: number, amount: number, at: number, known = at, gone = false): string =>
  `${id},${user},${amount},${iso(at)},${iso(known)},${gone}`;

const folders: string[] = [];
const open: OpenedProject[] = [];
/** What every project has been given so far, by path. */
const files = new Map<string, string>();
let folder: string;

async function newFolder(): Promise<string> {
  const made = await mkdtemp(path.join(tmpdir(), 'millrace-changes-'));
  folders.push(made);
  await mkdir(path.join(made, 'definitions'));
  await mkdir(path.join(made, 'data'));
  for (const [name, text] of files) await writeFile(path.join(made, name), text);
  return made;
}

async function put(name: string, text: string): Promise<void> {
  files.set(name, text);
  await writeFile(path.join(folder, name), text);
}

interface Done {
  /** Asset → what became of its step; what had none is not there. */
  readonly steps: Readonly<Record<string, string>>;
  readonly manifest: DatasetManifest;
  readonly metrics: unknown;
}

async function run(where: string): Promise<Done> {
  const project = await openProject(where, { now: () => (START + DAYS * 24 * HOUR) * 1000 });
  open.push(project);
  const plan = await planProject(project);
  const { steps } = plan.steps.length === 0 ? { steps: [] } : await applyPlan(project, plan);
  const registry = await project.registry();
  const done = {
    steps: Object.fromEntries(steps.map(({ asset, outcome }) => [asset, outcome])),
    manifest: manifestOfDataset(registry.version('dataset', 'days')!),
    metrics: manifestOf(registry.version('model', 'model')!).metrics,
  };
  await project.close();
  open.pop();
  return done;
}

let before: Done;
beforeAll(async () => {
  const next = random(11);
  const days = Array.from({ length: DAYS * 2 }, (_, i) => i / 2);
  const user = () => Math.floor(next() * 4);
  files.set('definitions/all.yaml', DEFINITIONS);
  files.set(
    'data/orders-0.csv',
    `${ORDERS}\n${days.map((day, i) => order(`o${i}`, user(), i % 10, day)).join('\n')}\n`,
  );
  files.set(
    'data/asks-0.csv',
    `id,user_id,ts\n${days.map((day, i) => `a${i},${user()},${iso(day + 0.25)}`).join('\n')}\n`,
  );
  folder = await newFolder();
  before = await run(folder);
});
afterAll(async () => {
  for (const project of open) await project.close();
  for (const made of folders) await rm(made, { recursive: true, force: true });
});

const definitions = (from: string, to: string): [string, string] => {
  const text = files.get('definitions/all.yaml')!;
  expect(text).toContain(from);
  return ['definitions/all.yaml', text.replace(from, to)];
};

const DOWNSTREAM = {
  'online.store': 'done',
  'dataset.days': 'done',
  'model.model': 'done',
  'service.score': 'done',
};
const UNCHANGED = Object.fromEntries(
  ['source.orders', 'source.large', ...Object.keys(DOWNSTREAM)].map((asset) => [asset, 'unchanged']),
);
const ALL_DAYS = [0, DAYS] as const;

/** `days`: of which observations the partitions are made again; null: no version is made. */
const CASES: readonly {
  readonly title: string;
  readonly change: () => readonly [file: string, text: string];
  readonly steps: Readonly<Record<string, string>>;
  readonly days: readonly [first: number, last: number] | null;
  /** Held against a project that never was otherwise: the same files, the same model. */
  readonly anew?: boolean;
}[] = [
  {
    title: 'a day that comes late',
    change: () => ['data/orders-1.csv', `${ORDERS}\n${order('late', 1, 9, 230)}\n`],
    steps: { 'source.orders': 'done', 'source.large': 'done', ...DOWNSTREAM },
    // The label looks a day ahead, the longest window a week back.
    days: [229, 237],
  },
  {
    title: 'a correction 200 days back that counts as known then',
    change: () => ['data/orders-2.csv', `${ORDERS}\n${order('o120', 2, 8, 60)}\n`],
    steps: { 'source.orders': 'done', 'source.large': 'done', ...DOWNSTREAM },
    days: [59, 67],
  },
  {
    title: 'a correction that is known only now: no feature saw it, the label does',
    change: () => ['data/orders-3.csv', `${ORDERS}\n${order('o160', 2, 9, 80, DAYS - 1)}\n`],
    steps: { 'source.orders': 'done', 'source.large': 'done', ...DOWNSTREAM },
    days: [79, 80],
  },
  {
    // Not of a large one: what a transform gave before something was deleted, a new project cannot know.
    title: 'a deletion',
    change: () => ['data/orders-4.csv', `${ORDERS}\n${order('o200', 2, 0, 100, DAYS - 1, true)}\n`],
    steps: { 'source.orders': 'done', 'source.large': 'unchanged', ...DOWNSTREAM },
    days: [99, 100],
    anew: true,
  },
  {
    title: 'a delivery of what was delivered before',
    change: () => ['data/orders-5.csv', `${ORDERS}\n${order('late', 1, 9, 230)}\n`],
    steps: UNCHANGED,
    days: null,
  },
  {
    title: 'a rule that every record keeps',
    change: () =>
      definitions(
        '    fields: { id: string, user_id: int64, amount',
        '    contract: { amount: { min: 0 } }\n    fields: { id: string, user_id: int64, amount',
      ),
    steps: UNCHANGED,
    days: null,
  },
  {
    title: 'a rule for what is asked',
    change: () =>
      definitions(
        '    fields: { id: string, user_id: int64, ts',
        '    contract: { user_id: { min: 0 } }\n    fields: { id: string, user_id: int64, ts',
      ),
    steps: {
      'source.asks': 'unchanged',
      'dataset.days': 'unchanged',
      'model.model': 'unchanged',
      'service.score': 'unchanged',
    },
    days: null,
  },
  {
    title: 'a description, an owner and tags',
    change: () =>
      definitions(
        '    description: What was bought',
        '    description: Orders\n    owner: shop\n    tags: [daily]',
      ),
    steps: {},
    days: null,
  },
  {
    title: 'one more feature',
    change: () => {
      const [file, text] = definitions(
        'labels:',
        '  - { name: times, entity: user, aggregation: { function: count, source: orders, window: 5d } }\nlabels:',
      );
      return [file, text.replace('features: [spent, doubled]', 'features: [spent, doubled, times]')];
    },
    steps: DOWNSTREAM,
    days: ALL_DAYS,
  },
  {
    title: 'a label with another horizon',
    change: () => definitions('horizon: 1d', 'horizon: 2d'),
    steps: { 'dataset.days': 'done', 'model.model': 'done', 'service.score': 'done' },
    days: ALL_DAYS,
  },
  {
    title:
      'a transform that says something else, though it gives the same rows: features over it mean something else',
    change: () => definitions('WHERE amount > 5', 'WHERE amount >= 6'),
    steps: { 'source.large': 'unchanged', ...DOWNSTREAM },
    days: ALL_DAYS,
  },
  {
    title: 'a feature less',
    change: () => definitions('features: [spent, doubled, times]', 'features: [doubled, times]'),
    steps: { 'dataset.days': 'done', 'model.model': 'done', 'service.score': 'done' },
    days: ALL_DAYS,
    anew: true,
  },
];

it.each(CASES)('$title', async ({ change, steps, days, anew }) => {
  await put(...change());
  const after = await run(folder);
  expect(after.steps).toEqual(steps);
  const known = new Set(before.manifest.partitions!.map(({ key }) => key));
  const made = after.manifest.partitions!.filter(({ key }) => !known.has(key)).map(({ from }) => from!);
  const reached = new Set<string>();
  if (days !== null)
    for (let day = days[0]; day <= Math.min(days[1], DAYS - 1); day++)
      reached.add(
        new Date(
          boundsOf({ unit: 'day', count: 10 }, (START + day * 24 * HOUR) * 1000).from! / 1000,
        ).toISOString(),
      );
  expect(made.map((from) => new Date(from).toISOString())).toEqual([...reached]);
  if (anew) {
    const other = await run(await newFolder());
    const contents = ({ manifest }: Done) => manifest.partitions!.map(({ sha256 }) => sha256);
    expect(contents(after)).toEqual(contents(other));
    expect(after.manifest.logical_sha256).toBe(other.manifest.logical_sha256);
    expect(after.manifest.profile).toEqual(other.manifest.profile);
    expect(after.metrics).toEqual(other.metrics);
  }
  expect((await run(folder)).steps).toEqual({});
  before = after;
});
