import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkTrainer } from '../../src/core/define/trainers.js';
import { type Encoder, encodeRow } from '../../src/core/learn/encode.js';
import { type OpenedProject, openProject } from '../../src/open.js';
import { materialize } from '../../src/services/materialize.js';
import { promoteModel } from '../../src/services/promote.js';
import { readSource } from '../../src/services/read-source.js';
import { trainModel } from '../../src/services/train.js';
import { call, start } from '../http/support.js';

/** Learns nothing: its score is a sum over the encoded columns, which shows every one of their bits. */
const TRAIN = `
const { cpSync, readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const [input, output] = [process.env.MILLRACE_INPUT, process.env.MILLRACE_OUTPUT];
const schema = JSON.parse(readFileSync(join(input, 'schema.json')));
for (const { encoded } of Object.values(schema.parts)) cpSync(join(input, encoded), join(output, 'artefacts', encoded));
writeFileSync(join(output, 'artefacts', 'schema.json'), JSON.stringify(schema));
writeFileSync(join(output, 'scoring.json'), JSON.stringify({ command: [process.execPath, 'score.cjs'] }));
writeFileSync(join(output, 'score.cjs'), \`
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const asked = JSON.parse(line);
  if (!asked.rows) return console.log(JSON.stringify({ ready: true }));
  const scores = asked.rows.map((row) => row.reduce((sum, x, i) => sum + x * (i + 1), 0));
  console.log(JSON.stringify({ id: asked.id, scores }));
});\`);
`;

const DEFINITIONS = `
entities: [{ name: user, join_key: user_id }]
sources:
  - name: visits
    kind: events
    read: { files: data/visits.csv }
    record_key: visit_id
    event_time: at
    fields: { visit_id: string, user_id: int64, at: timestamp }
  - name: profiles
    kind: states
    read: { files: data/profiles.csv }
    record_key: user_id
    event_time: since
    fields: { user_id: int64, city: string, spent: float64, since: timestamp }
  - name: results
    kind: events
    read: { files: data/results.csv }
    record_key: visit_id
    event_time: at
    fields: { visit_id: string, worth: float64, at: timestamp }
features:
  - { name: town, entity: user, lookup: { source: profiles.city } }
  - { name: paid, entity: user, lookup: { source: profiles.spent } }
labels: [{ name: worth, source: results, expression: worth, horizon: 45m }]
datasets:
  - name: worths
    observations: { source: visits, time: at }
    features: [town, paid]
    label: worth
    split: { by: time, parts: { train: 0.6, validation: 0.2, test: 0.2 } }
models:
  - { name: own, dataset: worths, task: regression, trainer: { kind: process, command: [node, train.cjs], encode: linear, min_category_rows: 2, seed: 1 } }
  - { name: linear, dataset: worths, task: regression, trainer: { kind: linear_regression, min_category_rows: 2 } }
services:
  - { name: own, model: own }
`;

const ROWS = 100;
const hour = (i: number): string => new Date(Date.UTC(2024, 0, 1) + i * 3_600_000).toISOString();

/** One visit an hour, each of another user; the last 40 are validation and test. */
function write(folder: string, changed: (i: number) => { city: string; spent: string } | undefined): void {
  const visits = ['visit_id,user_id,at'];
  const profiles = ['user_id,city,spent,since'];
  const results = ['visit_id,worth,at'];
  for (let i = 0; i < ROWS; i++) {
    const usual = {
      city: i % 17 === 0 ? '' : i === 11 ? 'Pisa' : ['Oslo', 'Rome', 'Bonn'][i % 3]!,
      spent: i % 7 === 0 ? '' : String((i * 37) % 101),
    };
    const { city, spent } = changed(i) ?? usual;
    visits.push(`v${i},${i},${hour(i)}`);
    profiles.push(`${i},${city},${spent},${hour(-1)}`);
    results.push(`v${i},${(i * 13) % 29},${hour(i + 0.5)}`);
  }
  writeFileSync(path.join(folder, 'data/visits.csv'), `${visits.join('\n')}\n`);
  writeFileSync(path.join(folder, 'data/profiles.csv'), `${profiles.join('\n')}\n`);
  writeFileSync(path.join(folder, 'data/results.csv'), `${results.join('\n')}\n`);
}

let folder: string;
let project: OpenedProject;
const opened = async (changed: Parameters<typeof write>[1]): Promise<void> => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-encoders-'));
  mkdirSync(path.join(folder, 'data'));
  mkdirSync(path.join(folder, 'definitions'));
  writeFileSync(path.join(folder, 'millrace.yaml'), 'project: encoders\n');
  writeFileSync(path.join(folder, 'definitions/all.yaml'), DEFINITIONS);
  writeFileSync(path.join(folder, 'train.cjs'), TRAIN);
  write(folder, changed);
  project = await openProject(folder, { now: () => Date.UTC(2024, 0, 8) * 1000 });
  await project.lockForWriting('a test');
  for (const name of ['visits', 'profiles', 'results'])
    await readSource(project, project.definitions.sources.get(name)!);
};
const closed = async (): Promise<void> => {
  await project.close();
  rmSync(folder, { recursive: true, force: true });
};

interface Document {
  readonly sha256: string;
  readonly rows: number;
  readonly names: readonly string[];
  readonly encoder: Encoder;
}
const documentOf = (version: { readonly folder: string }): Document =>
  JSON.parse(readFileSync(path.join(version.folder, 'encoders.json'), 'utf8'));

function matrix(file: string): { shape: [number, number]; rows: Float64Array[] } {
  const bytes = readFileSync(file);
  const head = bytes.readUInt16LE(8);
  const [, rows, columns] = /\((\d+), (\d+)\)/.exec(bytes.toString('latin1', 10, 10 + head))!;
  const shape: [number, number] = [Number(rows), Number(columns)];
  expect((10 + head) % 64).toBe(0);
  const at = (r: number, c: number) => bytes.readDoubleLE(10 + head + (r * shape[1] + c) * 8);
  return {
    shape,
    rows: Array.from({ length: shape[0] }, (_, r) =>
      Float64Array.from({ length: shape[1] }, (_, c) => at(r, c)),
    ),
  };
}
const score = (row: Float64Array): number => row.reduce((sum, x, i) => sum + x * (i + 1), 0);

describe('fitted encoders', () => {
  const fitted = async (changed: Parameters<typeof write>[1]) => {
    await opened(changed);
    try {
      const found: Record<string, { sha256: string; dataset: string; rows: number }> = {};
      for (const name of ['own', 'linear']) {
        const { version, manifest } = await trainModel(project, name);
        expect(documentOf(version)).toMatchObject({ ...manifest.encoders!, names: expect.any(Array) });
        const { sha256, rows } = manifest.encoders!;
        found[name] = { sha256, rows, dataset: manifest.dataset.logical_sha256 };
      }
      return found;
    } finally {
      await closed();
    }
  };

  it('follow from the training rows alone, in trainers of both makes', async () => {
    const usual = await fitted(() => undefined);
    const otherLater = await fitted((i) =>
      i >= 62 ? { city: 'Atlantis', spent: String(1e6 * i) } : undefined,
    );
    const otherTraining = await fitted((i) => (i === 5 ? { city: 'Oslo', spent: '1000' } : undefined));
    for (const name of ['own', 'linear']) {
      expect(Math.abs(usual[name]!.rows - 60)).toBeLessThan(3);
      expect(otherLater[name]!.dataset).not.toBe(usual[name]!.dataset);
      expect(otherLater[name]!.sha256).toBe(usual[name]!.sha256);
      expect(otherTraining[name]!.sha256).not.toBe(usual[name]!.sha256);
    }
    // The same options on the same rows are the same encoders, whoever learns from them.
    expect(usual['own']!.sha256).toBe(usual['linear']!.sha256);
  }, 60_000);

  describe('at serving', () => {
    beforeEach(() => opened((i) => (i >= 95 ? { city: 'Atlantis', spent: i === 96 ? '' : '7' } : undefined)));
    afterEach(closed);

    it('give the bits of the training matrix, an unknown category and a null as they were fitted', async () => {
      const { version, manifest } = await trainModel(project, 'own');
      const { names, encoder } = documentOf(version);
      expect([...names].sort()).toEqual([
        'paid',
        'paid missing',
        'town = Bonn',
        'town = Oslo',
        'town = Rome',
        'town missing',
        'town other',
      ]);
      const schema = JSON.parse(readFileSync(path.join(version.folder, 'artefacts/schema.json'), 'utf8'));
      expect(schema.encoded).toEqual(names);
      const [train, test] = ['train', 'test'].map((part) =>
        matrix(path.join(version.folder, 'artefacts', schema.parts[part].encoded)),
      );
      expect(train!.shape).toEqual([manifest.encoders!.rows, manifest.encoders!.columns]);
      const [usual, spent] = [train!.rows, names.indexOf('paid')];
      expect(usual.reduce((sum, row) => sum + row[spent]!, 0)).toBeCloseTo(0, 9);
      await promoteModel(project, 'own', { version: version.version, force: true, reason: 'a test' });
      await materialize(project, {});
      const server = await start(project);
      try {
        const served = async (user: number): Promise<number> => {
          const { body } = await call(server, 'POST', '/v1/services/own/predict', {
            entities: [{ user_id: user }],
          });
          return body.predictions[0].score;
        };
        for (let user = 0; user < usual.length; user++) expect(await served(user)).toBe(score(usual[user]!));
        expect(await served(95)).toBe(score(test!.rows.at(-4)!));
        expect(await served(96)).toBe(score(encodeRow(encoder, ['Atlantis', null])));
        expect(await served(1_000)).toBe(score(encodeRow(encoder, [null, null])));
        const unknown = encodeRow(encoder, ['Atlantis', null]);
        for (const [i, name] of names.entries())
          if (name.startsWith('town'))
            expect([name, unknown[i]]).toEqual([name, name === 'town other' ? 1 : 0]);
        expect([unknown[spent], unknown[names.indexOf('paid missing')]]).toEqual([0, 1]);
      } finally {
        await server.close();
      }
    }, 60_000);

    it('are refused when their file is not what the version was registered with', async () => {
      const { version } = await trainModel(project, 'own');
      const file = path.join(version.folder, 'encoders.json');
      const text = readFileSync(file, 'utf8');
      writeFileSync(file, text.replace(/"means": \[\s*[\d.]+/, '"means": [ 1.5'));
      await expect(
        promoteModel(project, 'own', { version: version.version, force: true, reason: 'a test' }).then(() =>
          import('../../src/services/load-model.js').then(({ loadModel }) => loadModel(project, version)),
        ),
      ).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
    });
  });
});

it('what `encode` may be is checked', () => {
  const said = (more: Readonly<Record<string, unknown>>) =>
    checkTrainer('process', 'regression', 0, { command: ['a'], ...more }).map((problem) => problem.parameter);
  expect(said({ encode: 'tree', max_categories: 3, standardise: false })).toEqual([]);
  expect(said({ max_categories: 'many' })).toEqual([]);
  expect(said({ encode: 'lines' })).toEqual(['encode']);
  expect(said({ encode: 'linear', max_categories: 0, standardise: 1 })).toEqual([
    'standardise',
    'max_categories',
  ]);
});
