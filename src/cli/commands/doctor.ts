import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, rm, statfs } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { loadProject } from '../../services/load-project.js';
import type { Command } from '../command.js';
import { table } from '../print/table.js';

interface Finding {
  readonly check: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** Runs a probe; a failure is a finding, not an error. */
async function probe(check: string, work: () => Promise<string>): Promise<Finding> {
  try {
    return { check, ok: true, detail: await work() };
  } catch (error) {
    return { check, ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
}

export const command: Command = async (io) => {
  const temporary = await mkdtemp(path.join(os.tmpdir(), 'millrace-doctor-'));
  const state = path.join(path.resolve(io.projectFolder), '.millrace');
  const findings: Finding[] = [
    await probe('node', async () => {
      const [major, minor] = process.versions.node.split('.').map(Number);
      if (major! < 20 || (major === 20 && minor! < 19))
        throw new Error(`${process.version} is older than 20.19`);
      return process.version;
    }),
    await probe('duckdb', async () => {
      const { openDuckDb } = await import('../../adapters/duckdb/connection.js');
      const db = await openDuckDb({ temporaryDirectory: temporary });
      const [row] = await db.rows<{ v: string }>('SELECT version() AS v');
      db.close();
      return row!.v;
    }),
    await probe('sqlite', async () => {
      const { openDatabase } = await import('../../adapters/sqlite/database.js');
      const db = openDatabase(path.join(temporary, 'probe.db'), []);
      const row = db.prepare('SELECT sqlite_version() AS v').get() as { v: string };
      db.close();
      return row.v;
    }),
    await probe('lmdb', async () => {
      const { open: openLmdb } = await import('lmdb');
      const store = openLmdb({ path: path.join(temporary, 'lmdb') });
      await store.put('probe', 1);
      const value = store.get('probe');
      await store.close();
      if (value !== 1) throw new Error('a value that was written does not come back');
      return 'reads what it writes';
    }),
    await probe('disk', async () => {
      await mkdir(state, { recursive: true });
      const handle = await open(path.join(state, '.probe'), 'w');
      const started = performance.now();
      for (let i = 0; i < 20; i++) {
        await handle.write('x');
        await handle.datasync();
      }
      const each = (performance.now() - started) / 20;
      await handle.close();
      await rm(path.join(state, '.probe'));
      const { bavail, bsize } = await statfs(state);
      const free = (bavail * bsize) / 2 ** 30;
      if (free < 1) throw new Error(`only ${free.toFixed(2)} GiB free in ${state}`);
      return `${free.toFixed(0)} GiB free, a durable write takes ${each.toFixed(2)} ms`;
    }),
    await probe(
      'memory',
      async () => `${(os.totalmem() / 2 ** 30).toFixed(1)} GiB, ${os.availableParallelism()} cores`,
    ),
  ];
  const project = path.resolve(io.projectFolder);
  if (existsSync(path.join(project, 'millrace.yaml')) || existsSync(path.join(project, 'definitions'))) {
    findings.push(
      await probe('definitions', async () => {
        const { diagnostics } = await loadProject(project);
        const errors = diagnostics.filter((item) => item.severity === 'error').length;
        if (errors > 0) throw new Error(`${errors} errors; see millrace check`);
        return 'no errors';
      }),
      await probe('writer', async () => {
        const { lockHolder } = await import('../../adapters/files/lock.js');
        const holder = lockHolder(path.join(state, 'lock'));
        return holder ? `process ${holder.pid} (${holder.command})` : 'none';
      }),
    );
  }
  await rm(temporary, { recursive: true, force: true });
  io.print(
    table(
      ['check', 'state', 'detail'],
      findings.map((item) => [item.check, item.ok ? 'ok' : 'FAILS', item.detail]),
    ),
  );
  const ok = findings.every((item) => item.ok);
  io.result({ ok, findings });
  return ok ? 0 : 1;
};
