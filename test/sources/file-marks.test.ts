import { statSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { OpenedProject } from '../../src/open.js';
import { filesTaken, newFiles } from '../../src/services/file-marks.js';
import { folderOf, inProject, removeFolder } from './support.js';

const DEFINITIONS = `
sources:
  - name: visits
    kind: events
    read: { files: incoming/*.csv }
    record_key: id
    event_time: at
    fields: { id: int64, at: timestamp }
`;
const row = (id: number): string => `id,at\n${id},2024-01-01T00:00:00Z\n`;

let folder = '';
afterEach(() => removeFolder(folder));

const isNew = async (project: OpenedProject): Promise<readonly string[]> =>
  (await newFiles(project, project.definitions.sources.get('visits')!)).files.map((file) =>
    path.basename(file),
  );

it('a file is marked by a fact of its own, and the one fact that marked all files of a source is still read', async () => {
  folder = folderOf(DEFINITIONS, { 'incoming/a.csv': row(1), 'incoming/b.csv': row(2) });
  const at = (name: string): string => path.join(folder, 'incoming', name);
  await inProject(folder, async (project) => {
    const source = project.definitions.sources.get('visits')!;
    const registry = await project.registry();
    expect(await isNew(project)).toEqual(['a.csv', 'b.csv']);
    const taken = await filesTaken(project, source, [at('a.csv'), at('b.csv')]);
    expect(Object.keys(taken)).toEqual(['files:visits:incoming/a.csv', 'files:visits:incoming/b.csv']);
    registry.setFact('files:visits', { 'incoming/a.csv': taken['files:visits:incoming/a.csv'] });
    expect(await isNew(project)).toEqual(['b.csv']);
    registry.setFacts({ 'files:visits:incoming/b.csv': taken['files:visits:incoming/b.csv'] });
    expect(await isNew(project)).toEqual([]);
    // Touched, it is not new, and its mark says so from then on.
    utimesSync(at('a.csv'), 1e9, 1e9);
    expect(await isNew(project)).toEqual([]);
    const modified = statSync(at('a.csv')).mtimeMs;
    expect(registry.getFact('files:visits:incoming/a.csv')).toMatchObject({ modified });
    writeFileSync(at('a.csv'), row(10));
    expect(await isNew(project)).toEqual(['a.csv']);
  });
});
