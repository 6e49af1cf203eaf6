import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLmdbOnlineStore } from '../../src/adapters/lmdb/online-store.js';
import { openProject } from '../../src/open.js';
import { materialize } from '../../src/services/materialize.js';
import type { Project } from '../../src/services/project.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-materialize-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const definitions = (windows: readonly string[], field = 'amount'): string =>
  JSON.stringify({
    entities: [{ name: 'user', join_key: 'user' }],
    sources: [
      {
        name: 'events',
        kind: 'events',
        read: { files: 'events.csv' },
        record_key: 'id',
        event_time: 'at',
        fields: { id: 'int64', user: 'string', at: 'timestamp', amount: 'float64', cost: 'float64' },
      },
    ],
    features: windows.map((window) => ({
      name: `total_${window}`,
      entity: 'user',
      aggregation: { function: 'sum', source: `events.${field}`, window },
    })),
  });

function write(file: string, text: string): void {
  mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
  writeFileSync(path.join(folder, file), text);
}

async function withProject<T>(work: (project: Project) => Promise<T>): Promise<T> {
  const project = await openProject(folder, { command: 'test' });
  try {
    return await work(project);
  } finally {
    await project.close();
  }
}

const csv = (from: number, to: number): string =>
  `id,user,at,amount,cost\n${Array.from(
    { length: to - from },
    (_, i) =>
      `${from + i},u${(from + i) % 7},2026-01-01T${String((from + i) % 24).padStart(2, '0')}:00:00Z,${i / 4},1\n`,
  ).join('')}`;

async function ingest(project: Project): Promise<void> {
  const log = await project.log();
  await log.ingestFiles(project.definitions.sources.get('events')!, [path.join(folder, 'events.csv')]);
}

describe('materialize', () => {
  it('serves the last good version while another is built, changes in one step and drops the old one', async () => {
    write('millrace.yaml', 'project: p\ntimezone: UTC\n');
    write('definitions/d.yaml', definitions(['1d']));
    write('events.csv', csv(0, 500));
    const first = await withProject(async (project) => {
      await ingest(project);
      expect((await materialize(project)).records).toBe(500);
      const store = await project.online();
      return store.groups().map(({ fingerprint }) => fingerprint);
    });
    expect(first).toHaveLength(1);

    write('definitions/d.yaml', definitions(['1d', '7d']));
    const messages: string[] = [];
    await withProject(async (project) => {
      const store = await project.online();
      const seen: (readonly string[])[] = [];
      const watched: Project = {
        ...project,
        progress: ({ message }) => {
          messages.push(message);
          seen.push(store.active());
        },
      };
      expect((await materialize(watched)).records).toBe(500);
      for (const active of seen) expect(active).toEqual(first);
      const held = store.groups().map(({ fingerprint }) => fingerprint);
      expect(store.active()).toEqual(held);
      expect(held).toHaveLength(1);
      expect(held).not.toEqual(first);
    });
    expect(messages[0]).toContain('built anew from the log');
  });

  it('rebuilds the same state beside the old one, which readers see until it is complete', async () => {
    write('millrace.yaml', 'project: p\ntimezone: UTC\n');
    write('definitions/d.yaml', definitions(['1d']));
    write('events.csv', csv(0, 500));
    await withProject(async (project) => {
      await ingest(project);
      await materialize(project);
      const before = (await project.online()).groups();
      const outside = openLmdbOnlineStore(path.join(folder, '.millrace', 'online'), { readOnly: true });
      const published = (): unknown =>
        outside.groups().filter(({ fingerprint }) => fingerprint === before[0]!.fingerprint);
      const seen: unknown[] = [];
      await materialize({ ...project, progress: () => void seen.push(published()) }, { rebuild: true });
      expect(seen.length).toBeGreaterThan(0);
      for (const groups of seen) expect(groups).toEqual(before);
      expect((await project.online()).groups()).toEqual(before);
      await outside.close();
    });
  });
});
