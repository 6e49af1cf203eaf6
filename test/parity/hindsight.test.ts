import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { openProject } from '../../src/open.js';
import { historicalFeatures } from '../../src/services/historical.js';

it('in hindsight too, members of one event time follow when they were known', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'millrace-hindsight-'));
  for (const name of ['definitions', 'data']) mkdirSync(path.join(folder, name));
  writeFileSync(
    path.join(folder, 'definitions/all.yaml'),
    `
entities: [{ name: user, join_key: user_id }]
sources:
  - name: seen
    read: { files: data/seen.csv }
    record_key: id
    event_time: at
    available_at: known
    fields: { id: string, user_id: int64, v: int64, at: timestamp, known: timestamp }
features:
  - { name: first, entity: user, aggregation: { function: first, source: seen.v, window: all } }
  - { name: last, entity: user, aggregation: { function: last, source: seen.v, window: all } }
  - { name: every, entity: user, aggregation: { function: list, source: seen.v, window: all } }
`,
  );
  writeFileSync(
    path.join(folder, 'data/seen.csv'),
    'id,user_id,v,at,known\na,1,1,2024-01-01T00:00:00Z,2024-01-01T10:00:00Z\nb,1,2,2024-01-01T00:00:00Z,2024-01-01T05:00:00Z\n',
  );
  writeFileSync(
    path.join(folder, 'spine.csv'),
    'user_id,t\n1,2024-01-01T06:00:00Z\n1,2024-01-02T00:00:00Z\n',
  );
  const project = await openProject(folder);
  try {
    const log = await project.log();
    const source = project.definitions.sources.get('seen')!;
    await log.ingestFiles(source, log.expand(source));
    const values = async (knowledge: 'as_of' | 'hindsight'): Promise<string[]> => {
      const out = path.join(folder, `${knowledge}.csv`);
      await historicalFeatures(project, {
        observations: path.join(folder, 'spine.csv'),
        time: 't',
        features: ['first', 'last', 'every'],
        out,
        knowledge,
      });
      return readFileSync(out, 'utf8').trim().split('\n').slice(1);
    };
    expect(await values('as_of')).toEqual([
      '1,2024-01-01T06:00:00Z,2,2,[2]',
      '1,2024-01-02T00:00:00Z,2,1,"[2,1]"',
    ]);
    expect(await values('hindsight')).toEqual([
      '1,2024-01-01T06:00:00Z,2,1,"[2,1]"',
      '1,2024-01-02T00:00:00Z,2,1,"[2,1]"',
    ]);
    await expect(
      historicalFeatures(project, {
        observations: path.join(folder, 'spine.csv'),
        time: 't',
        features: ['first'],
        out: path.join(folder, 'nowhere/out.csv'),
      }),
    ).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  } finally {
    await project.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
