import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { RunningServer } from '../../src/http/server.js';
import { type OpenedProject, openProject } from '../../src/open.js';
import { collectReport } from '../../src/services/report.js';
import { call, start } from './support.js';

const DEFINITIONS = `
entities: [{ name: meter, join_key: meter_id }]
sources:
  - name: readings
    kind: events
    read: push
    record_key: id
    event_time: at
    fields: { id: int64, meter_id: int64, power: float64, at: timestamp }
    contract:
      power: { range: [-50, 1000] }
      batch:
        - rows: { min: 20 }
          mean: { power: { min: 10, max: 20 } }
          quarantine_rate: 0.1
          rules: [{ name: cold, sql: "SELECT * FROM {batch} WHERE power < -40" }]
        - null_rate: { power: 0.2 }
          action: warn
features:
  - { name: power_1h, entity: meter, aggregation: { function: mean, source: readings.power, window: 1h } }
`;
const HOUR = 3_600 * 1_000_000;
const START = Date.UTC(2024, 0, 1, 8, 30) * 1000;

let folder: string;
let project: OpenedProject;
let server: RunningServer;
let now: number;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-windows-'));
  mkdirSync(join(folder, 'definitions'));
  writeFileSync(join(folder, 'millrace.yaml'), 'project: meters\n');
  writeFileSync(join(folder, 'definitions/all.yaml'), DEFINITIONS);
  now = START;
  project = await openProject(folder, { now: () => now });
  server = await start(project);
});
afterEach(async () => {
  await server.close();
  await project.close();
  rmSync(folder, { recursive: true, force: true });
});

let id = 0;
const push = (powers: readonly (number | null)[]) =>
  call(
    server,
    'POST',
    '/v1/sources/readings/records',
    powers.map((power) => ({ id: ++id, meter_id: id % 3, power, at: new Date(now / 1000).toISOString() })),
  );
const batches = async () => (await call(server, 'GET', '/v1/sources/readings/batches')).body.batches;
const usual = (rows: number): number[] => Array.from({ length: rows }, (_, i) => 12 + (i % 5));

it('pushes of an hour are judged together by the rules for a batch, and stay in the log', async () => {
  for (let i = 0; i < 5; i++) expect((await push(usual(5))).body).toMatchObject({ accepted: 5 });
  expect(await batches()).toEqual([]);
  now += HOUR;
  await push([...usual(8), -45, null, null, null, null, 90, 90, 90]);
  const [first, ...none] = await batches();
  expect(none).toEqual([]);
  expect(first).toMatchObject({ rows: 25, accepted: 25, verdict: 'insufficient_data', warnings: [] });
  // Nobody pushes any more: the server itself ends the window.
  now += HOUR;
  let found: Awaited<ReturnType<typeof batches>> = [];
  for (let tries = 0; found.length < 2 && tries < 100; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    found = await batches();
  }
  expect(found[0]).toMatchObject({ verdict: 'broken', status: 'committed', accepted: 16 });
  expect(found[0].warnings.map((warning: { rule: string }) => warning.rule).sort()).toEqual([
    'cold',
    'power.mean',
    'power.null_rate',
    'row_count',
  ]);
  const { body: status } = await call(server, 'GET', '/v1/sources/readings/status');
  expect(status).toMatchObject({ rows: 41, last_batch: { verdict: 'broken' } });
  const report = await collectReport(project);
  expect(report.sources[0]!.anomalies).toMatchObject([{ verdict: 'broken', message: /mean of power/ }]);
  const accepted = await call(server, 'POST', `/v1/sources/readings/batches/${found[0].batch}/accept`, {});
  expect(accepted.body.verdict).toBe('expected');
}, 30_000);

it('rows in quarantine count in the window, and one that is cut short says nothing of the number of rows', async () => {
  await push([...usual(25), 5_000, 5_000, 5_000, 5_000]);
  now += HOUR;
  await push(usual(3));
  const [window, refused] = await batches();
  expect(refused).toMatchObject({ quarantined: 4, reasons: { 'power.range': 4 } });
  expect(window).toMatchObject({
    verdict: 'broken',
    warnings: [{ rule: 'quarantine_rate', message: expect.stringContaining('13.79') }],
  });
  await server.close();
  await project.close();
  project = await openProject(folder, { now: () => now });
  server = await start(project);
  const [cut] = await batches();
  expect(cut).toMatchObject({ accepted: 3, warnings: [] });
  expect(cut.verdict).not.toBe('broken');
}, 30_000);
