/** Event time and declared sequence both tie: then available_at decides, then the order of the appends. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type MillraceProject, open } from '../../src/project-handle.js';

const DEFINITIONS = `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: log
    read: { files: data/*.csv }
    record_key: id
    event_time: at
    available_at: known
    sequence: n
    fields: { id: string, user_id: int64, at: timestamp, known: timestamp, n: int64 }
features:
  - { name: in_order, entity: user, aggregation: { function: list, source: log.id, window: 10d, k: 100 } }
  - { name: newest, entity: user, aggregation: { function: last, source: log.id, window: 10d } }
  - { name: oldest, entity: user, aggregation: { function: first, source: log.id, window: 10d } }
`;

let folder: string;
let project: MillraceProject;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-ties-'));
  for (const name of ['definitions', 'data']) await mkdir(path.join(folder, name));
  await writeFile(path.join(folder, 'definitions/all.yaml'), DEFINITIONS);
  // All at one instant. User 1: arrivals against the order of knowledge; user 2: the same, and a sequence before both.
  const rows = ['12', '10', '11', '10', '12'].flatMap((hour, i) => [
    `a${i},1,2024-01-01T00:00:00Z,2024-01-01T${hour}:00:00Z,7`,
    `b${i},2,2024-01-01T00:00:00Z,2024-01-01T${hour}:00:00Z,${i === 4 ? 1 : 7}`,
  ]);
  await writeFile(path.join(folder, 'data/log.csv'), `id,user_id,at,known,n\n${rows.join('\n')}\n`);
  await writeFile(
    path.join(folder, 'observations.csv'),
    'user_id,at\n1,2024-01-02T00:00:00Z\n2,2024-01-02T00:00:00Z\n1,2024-01-01T11:30:00Z\n',
  );
  project = await open(folder);
  await project.ingestFiles('log');
});

afterAll(async () => {
  await project.close();
  await rm(folder, { recursive: true, force: true });
});

const FEATURES = ['in_order', 'newest', 'oldest'];
const EXPECTED = [
  [['a1', 'a3', 'a2', 'a0', 'a4'], 'a4', 'a1'],
  [['b4', 'b1', 'b3', 'b2', 'b0'], 'b0', 'b4'],
  [['a1', 'a3', 'a2'], 'a2', 'a1'],
];

it('is the order of members offline', async () => {
  const out = path.join(folder, 'out.csv');
  await project.historical({
    observations: path.join(folder, 'observations.csv'),
    time: 'at',
    features: FEATURES,
    out,
  });
  const [, ...lines] = (await readFile(out, 'utf8')).trimEnd().split('\n');
  const rows = lines.map((line) => {
    const match = /"(\[.*\])",(\w+),(\w+)$/.exec(line)!;
    return [JSON.parse(match[1]!.replaceAll('""', '"')), match[2], match[3]];
  });
  expect(rows).toEqual(EXPECTED);
});

it('is the order of members online', async () => {
  await project.materialize();
  const answer = await project.online({
    features: FEATURES,
    entities: [{ user_id: 1 }, { user_id: 2 }],
    at: '2024-01-02T00:00:00Z',
  });
  expect(answer.rows.map((row) => row.values)).toEqual(EXPECTED.slice(0, 2));
});
