import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type OpenedProject, openProject } from '../../src/open.js';
import { collectGarbage } from '../../src/services/collect-garbage.js';
import { promoteModel, rollbackModel } from '../../src/services/promote.js';
import { environmentDifferences, reproduceModel } from '../../src/services/reproduce-model.js';
import { trainModel } from '../../src/services/train.js';

const definitions = (window: string, l2: number): string => `
entities: [{ name: user, join_key: user_id }]
sources:
  - name: visits
    kind: events
    read: push
    record_key: visit_id
    event_time: at
    available_at: at
    fields: { visit_id: int64, user_id: int64, worth: float64, at: timestamp }
  - name: results
    kind: events
    read: push
    record_key: visit_id
    event_time: at
    available_at: at
    fields: { visit_id: int64, paid: float64, at: timestamp }
features:
  - { name: spent, entity: user, aggregation: { function: sum, source: visits.worth, window: ${window} } }
labels: [{ name: paid, source: results, expression: paid, horizon: 45m }]
datasets:
  - name: visited
    observations: { source: visits, time: at }
    features: [spent]
    label: paid
    split: { by: time, parts: { train: 0.6, test: 0.4 } }
models:
  - { name: paying, dataset: visited, task: regression, trainer: { kind: linear_regression, l2: ${l2} } }
  - { name: own, dataset: visited, task: regression, trainer: { kind: process, command: [node, train.cjs], seed: 1 } }
`;

const TRAIN = `
const { writeFileSync } = require('node:fs');
const { join } = require('node:path');
const output = process.env.MILLRACE_OUTPUT;
writeFileSync(join(output, 'scoring.json'), JSON.stringify({ command: [process.execPath, 'score.cjs'] }));
writeFileSync(join(output, 'score.cjs'), \`
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, rows } = JSON.parse(line);
  console.log(JSON.stringify(rows ? { id, scores: rows.map(() => 1) } : { ready: true }));
});\`);
`;

const DAY = 86_400_000_000;
let folder: string;
let project: OpenedProject;
let later = 0;

async function open(window: string, l2: number): Promise<void> {
  await project?.close();
  writeFileSync(path.join(folder, 'definitions/all.yaml'), definitions(window, l2));
  project = await openProject(folder, { now: () => (Date.now() + later) * 1000 });
}

beforeEach(async () => {
  later = 0;
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-refit-'));
  mkdirSync(path.join(folder, 'definitions'));
  writeFileSync(path.join(folder, 'train.cjs'), TRAIN);
  await open('3d', 1);
  const log = await project.log();
  const at = (i: number, minutes: number): string =>
    new Date(Date.UTC(2024, 0, 1, i * 3, minutes)).toISOString();
  for (const [name, row] of [
    ['visits', (i: number) => ({ visit_id: i, user_id: i % 5, worth: (i * 37) % 11, at: at(i, 0) })],
    ['results', (i: number) => ({ visit_id: i, paid: (i * 13) % 7, at: at(i, 30) })],
  ] as const)
    await log.ingestRows(
      project.definitions.sources.get(name)!,
      Array.from({ length: 60 }, (_, i) => row(i)),
      {
        now: project.now(),
      },
    );
});

afterEach(async () => {
  await project.close();
  rmSync(folder, { recursive: true, force: true });
});

const find = async (name: string, version: number) =>
  (await project.registry()).version('model', name, version)!;

describe('a model version made again', () => {
  it('that gc removed comes back byte for byte, though feature, trainer and dataset are others now', async () => {
    const { version: first } = await trainModel(project, 'paying');
    const model = path.join(first.folder, 'model.json');
    const bytes = readFileSync(model);
    await open('5d', 100);
    await trainModel(project, 'paying');
    later = (100 * DAY) / 1000;
    const { removed } = await collectGarbage(project, { dryRun: false, retention: 90 * DAY });
    expect(removed.map(({ name, reason }) => [name, reason])).toContainEqual([
      'paying@1',
      'nothing living needs it; `millrace models reproduce paying@1 --restore` makes it again',
    ]);
    await expect(promoteModel(project, 'paying', { version: 1 })).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
      hint: '`millrace models reproduce paying@1 --restore` makes it again.',
    });
    const known = { same: true, stored: 'missing', rows: 'rebuilt', cause: null };
    const version = await find('paying', 1);
    expect(await reproduceModel(project, version)).toMatchObject({ ...known, restored: false });
    expect(await reproduceModel(project, version, { restore: true })).toMatchObject({
      ...known,
      restored: true,
    });
    expect(readFileSync(model)).toEqual(bytes);
    expect(await rollbackModel(project, 'paying', { to: 1 })).toMatchObject({ version: 1, features: 'kept' });
  });

  it('says what is damaged, and that the code is another one', async () => {
    const { version } = await trainModel(project, 'paying');
    expect(await reproduceModel(project, version)).toMatchObject({
      same: true,
      stored: 'whole',
      rows: 'stored',
    });
    writeFileSync(path.join(version.folder, 'model.json'), '{}');
    expect(await reproduceModel(project, version)).toMatchObject({
      same: true,
      stored: 'damaged',
      cause: 'stored_copy',
    });
    const { version: own } = await trainModel(project, 'own');
    expect(await reproduceModel(project, own)).toMatchObject({ same: true, stored: 'whole' });
    writeFileSync(path.join(folder, 'train.cjs'), `${TRAIN}// another\n`);
    expect(await reproduceModel(project, own)).toMatchObject({
      same: false,
      cause: 'code',
      evidence: ['train.cjs is another one now'],
    });
  });

  it('in another environment is told what differs there', () => {
    const now = {
      node: 'v20.1.0',
      millrace: '0.1.0',
      process: { platform: 'x', python: null, packages: ['a==1'] },
    };
    const then = { ...now, node: 'v18.0.0', process: { ...now.process, packages: ['a==2', 'b==1'] } };
    expect(environmentDifferences(then, now)).toEqual([
      'node v18.0.0, now v20.1.0',
      'a 2, now 1',
      'b 1, now absent',
    ]);
  });
});
