import { renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { openProject } from '../../src/open.js';
import type { IngestResult } from '../../src/ports/record-log.js';
import { failureText, watchSource } from '../../src/services/watch.js';
import { folderOf, recordsOf, removeFolder } from './support.js';

const DEFINITIONS = `
sources:
  - name: visits
    kind: events
    read: { files: incoming/*.csv }
    record_key: id
    event_time: at
    fields: { id: int64, at: timestamp }
    contract: { batch: { extra_columns: refuse } }
`;

let folder = '';
afterEach(() => removeFolder(folder));

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !done(); i++) await sleep(50);
  expect(done()).toBe(true);
}

it('takes each file once, when it no longer grows, and goes on after one that is refused', async () => {
  folder = folderOf(DEFINITIONS, { 'incoming/readme.txt': 'not a file of this source' });
  const at = (name: string): string => path.join(folder, 'incoming', name);
  const stop = new AbortController();
  const project = await openProject(folder, { signal: stop.signal });
  const results: IngestResult[] = [];
  const failures: string[] = [];
  const source = project.definitions.sources.get('visits')!;
  const watching = watchSource(
    project,
    source,
    {
      onResult: (_source, result) => void results.push(result),
      onFailure: (_source, error) => failures.push(failureText(error)),
    },
    { everyMs: 150, signal: stop.signal },
  );
  try {
    writeFileSync(at('a.csv'), 'id,at\n1,2024-01-01T00:00:00Z\n');
    await until(() => results.length === 1);
    writeFileSync(at('refused.csv'), 'id,at,other\n9,2024-01-01T00:00:00Z,x\n');
    await until(() => failures.length === 1);
    // Written elsewhere and moved into place, and written bit by bit.
    writeFileSync(at('b.part'), 'id,at\n2,2024-01-01T00:00:00Z\n');
    renameSync(at('b.part'), at('b.csv'));
    let text = 'id,at\n';
    for (let i = 3; i < 13; i++) {
      text += `${i},2024-01-01T00:00:00Z\n`;
      writeFileSync(at('c.csv'), text);
      await sleep(60);
    }
    await until(() => results.length === 3);
    await sleep(500);
    expect(results.map(({ accepted }) => accepted).sort((a, b) => a - b)).toEqual([1, 1, 10]);
    expect(failures).toEqual([expect.stringMatching(/^\[BATCH_REFUSED\] .*other → /)]);
    expect(await recordsOf(project, 'visits')).toHaveLength(12);
    writeFileSync(at('refused.csv'), 'id,at\n99,2024-01-01T00:00:00Z\n');
    await until(() => results.length === 4);
  } finally {
    stop.abort();
    await watching;
    await project.close();
  }
}, 60_000);
