import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openProject } from '../../src/open.js';
import { planProject } from '../../src/services/plan-project.js';
import { random } from '../world.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const loader = createRequire(import.meta.url).resolve('tsx');
const KILLS = Number(process.env['MILLRACE_KILLS'] ?? 5);

const FIELDS = 'fields: { id: int64, user_id: int64, amount: float64, ts: timestamp }';
const DEFINITIONS = `
project: killed
entities:
  - { name: user, join_keys: [user_id] }
sources:
  - name: lines
    kind: events
    read: { files: data/*.csv, format: csv }
    record_key: [id]
    event_time: ts
    ${FIELDS}
transforms:
  - { name: doubled, kind: events, sql: 'SELECT id, user_id, amount * 2 AS amount, ts FROM lines', record_key: [id], event_time: ts, ${FIELDS} }
  - { name: raised, kind: events, sql: 'SELECT id, user_id, amount + 1 AS amount, ts FROM doubled', record_key: [id], event_time: ts, ${FIELDS} }
features:
  - { name: spend_7d, entity: user, aggregation: { function: sum, source: raised, field: amount, window: 7d } }
`;

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-project-kill-'));
  mkdirSync(path.join(folder, 'data'));
  writeFileSync(path.join(folder, 'millrace.yaml'), DEFINITIONS);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const ROWS = 50;
function deliver(wave: number): void {
  const lines = Array.from(
    { length: ROWS },
    (_, i) => `${wave * ROWS + i},${i % 5},${i},2024-01-01T10:00:00Z`,
  );
  writeFileSync(path.join(folder, `data/${wave}.csv`), `id,user_id,amount,ts\n${lines.join('\n')}\n`);
}

/** True: it ended by itself. */
async function work(killAfter: number | null): Promise<boolean> {
  const child = spawn(process.execPath, ['--import', loader, path.join(here, 'project-worker.ts'), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
  if (killAfter !== null) {
    await Promise.race([once(child.stdout, 'data'), exit]);
    await Promise.race([new Promise((resolve) => setTimeout(resolve, killAfter)), exit]);
    child.kill('SIGKILL');
  }
  const [code, signal] = await exit;
  if (signal === null) expect(code).toBe(0);
  return signal === null;
}

it('a project whose process is killed again and again loses no record and takes none in twice', {
  timeout: 600_000,
}, async () => {
  const next = random(11);
  let wave = 0;
  deliver(wave++);
  for (let kills = 0; kills < KILLS; ) {
    if (await work(next() * 900)) deliver(wave++);
    else kills++;
  }
  expect(await work(null)).toBe(true);
  const project = await openProject(folder);
  try {
    expect((await planProject(project)).steps).toEqual([]);
    const log = await project.log();
    for (const name of ['lines', 'doubled', 'raised']) {
      const state = await log.state(project.definitions.sources.get(name)!);
      expect([name, state.rows, state.hasVersions]).toEqual([name, wave * ROWS, false]);
      const accepted = (await log.batches(name)).reduce((sum, batch) => sum + batch.accepted, 0);
      expect([name, accepted]).toEqual([name, wave * ROWS]);
    }
    const runs = (await project.runs()).list(1000, project.now());
    expect(runs.map(({ status }) => status)).toEqual(runs.map(() => 'done'));
    for (const { steps } of runs)
      expect(steps.every(({ status }) => status === 'done' || status === 'unchanged')).toBe(true);
    // A wave is one run, however often its process died.
    expect(runs.length).toBeLessThanOrEqual(wave);
  } finally {
    await project.close();
  }
});
