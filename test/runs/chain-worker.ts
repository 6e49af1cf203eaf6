/** A process that works on a chain of steps until none is left: `chain-worker.ts DATABASE RUN LEASE_SECONDS STEP_MS`. */
import { openDatabase } from '../../src/adapters/sqlite/database.js';
import { createRunStore } from '../../src/adapters/sqlite/run-store.js';
import { fingerprint } from '../../src/core/base/fingerprint.js';
import { executeRun } from '../../src/services/runs/execute.js';

const [file, run, leaseSeconds, stepMs] = process.argv.slice(2);
const store = createRunStore(openDatabase(file!, []));
const now = (): number => Date.now() * 1000;
process.stdout.write('ready\n');
const result = await executeRun({
  store,
  run: Number(run),
  worker: `${process.pid}`,
  pools: {},
  leaseSeconds: Number(leaseSeconds),
  backoffSeconds: () => 0.01,
  now,
  signal: new AbortController().signal,
  perform: async ({ record, lease, log }) => {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * Number(stepMs)));
    const registry = store.registry(lease);
    const parent = record.position === 0 ? null : registry.version('dataset', `step_${record.position - 1}`);
    // What is published is a function of what came before, as in a project.
    const key = fingerprint({ step: record.step, parent: parent === null ? null : parent!.key });
    registry.addVersion({
      kind: 'dataset',
      name: record.step,
      key,
      folder: '',
      manifest: { pid: process.pid, token: lease.token },
      createdAt: now(),
    });
    registry.setFact(`published:${record.step}`, lease.token);
    log('published');
    return { status: 'done', detail: 'done' };
  },
});
process.stdout.write(`${JSON.stringify({ ended: result.ended, steps: result.steps.length })}\n`);
