// Runs: a graph of 1,000 assets with nothing to do, and a chain of 40 steps that do next to nothing.
// node bench/runs.mjs [--runs 5]
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { argument, median, millrace, ratio, seconds, table, WORK } from './lib.mjs';
import { peer } from './python.mjs';

const ASSETS = 1000;
const [SOURCES, TRANSFORMS, DATASETS] = [400, 400, 199];
const CHAIN = 40;

/** 400 sources of files, 400 transforms, 199 datasets over 199 features, the online store: 1,000 assets. */
function graph(folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(path.join(folder, 'definitions'), { recursive: true });
  mkdirSync(path.join(folder, 'data'), { recursive: true });
  const fields = 'fields: { id: string, user_id: int64, amount: decimal(2), bought: timestamp }';
  const lines = ['entities:', '  - { name: user, join_key: user_id }', 'sources:'];
  for (let i = 0; i < SOURCES; i++) {
    lines.push(
      `  - { name: s${i}, kind: events, read: { files: data/s${i}.csv }, record_key: id, event_time: bought, ${fields} }`,
    );
    const rows = Array.from({ length: 5 }, (_, k) => `${i}-${k},${k},${k}.50,2026-01-0${k + 1}T00:00:00Z`);
    writeFileSync(path.join(folder, `data/s${i}.csv`), `id,user_id,amount,bought\n${rows.join('\n')}\n`);
  }
  lines.push('transforms:');
  for (let i = 0; i < TRANSFORMS; i++)
    lines.push(
      `  - { name: t${i}, kind: events, sql: "SELECT id, user_id, amount, bought FROM s${i} WHERE amount > 1", record_key: id, event_time: bought, ${fields} }`,
    );
  lines.push('features:');
  for (let i = 0; i < DATASETS; i++)
    lines.push(
      `  - { name: f${i}, entity: user, aggregation: { function: count, source: t${i}, window: 30d } }`,
    );
  lines.push('datasets:');
  for (let i = 0; i < DATASETS; i++)
    lines.push(`  - { name: d${i}, observations: { source: s${i}, time: bought }, features: [f${i}] }`);
  writeFileSync(path.join(folder, 'definitions/all.yaml'), `${lines.join('\n')}\n`);
}

/** Wall and CPU seconds of a `run` that finds nothing to do, the start of the process included. */
async function noop(runs) {
  const folder = path.join(WORK, 'thousand');
  graph(folder);
  await millrace(['run', '--project', folder, '--quiet']);
  const done = [];
  for (let i = 0; i <= runs; i++) {
    const { wall, cpu, stdout } = await millrace(['run', '--project', folder, '--quiet', '--json']);
    const { steps, fresh } = JSON.parse(stdout.trim().split('\n').at(-1));
    if (steps.length > 0 || fresh.length !== ASSETS) throw new Error('the graph is not up to date');
    if (i > 0) done.push({ wall, cpu });
  }
  rmSync(folder, { recursive: true, force: true });
  return { wall: median(done.map(({ wall }) => wall)), cpu: median(done.map(({ cpu }) => cpu)) };
}

/** Seconds of a chain of steps that return at once, each kept in the table of runs; the process is warm. */
async function chain(runs) {
  const base = process.env.MILLRACE_DIST ?? '../dist';
  const { openDatabase } = await import(`${base}/adapters/sqlite/database.js`);
  const { createRunStore } = await import(`${base}/adapters/sqlite/run-store.js`);
  const { executeRun } = await import(`${base}/services/runs/execute.js`);
  const folder = mkdtempSync(path.join(tmpdir(), 'millrace-chain-'));
  const db = openDatabase(path.join(folder, 'registry.db'), []);
  const store = createRunStore(db);
  const now = () => Date.now() * 1000;
  const steps = Array.from({ length: CHAIN }, (_, i) => ({
    step: `s${i}`,
    action: 'build',
    reason: 'bench',
    after: i === 0 ? [] : [`s${i - 1}`],
    pool: 'engine',
    priority: 0,
    tries: 3,
    timeoutSeconds: null,
    expected: { rows: null, bytes: null },
  }));
  const once = async () => {
    const began = process.hrtime.bigint();
    const run = store.start('bench', [], steps, now());
    const { ended } = await executeRun({
      store,
      run,
      worker: 'bench',
      pools: { engine: 1 },
      leaseSeconds: 30,
      backoffSeconds: () => 1,
      now,
      signal: new AbortController().signal,
      perform: async () => ({ status: 'done', detail: '' }),
    });
    store.finish(run, ended, now(), {});
    if (ended !== 'done') throw new Error(`the chain has ${ended}`);
    return Number(process.hrtime.bigint() - began) / 1e9;
  };
  for (let i = 0; i < 3; i++) await once();
  const times = [];
  for (let i = 0; i < runs; i++) times.push(await once());
  db.close();
  rmSync(folder, { recursive: true, force: true });
  return median(times);
}

export async function measure({ runs = 5 } = {}) {
  const mine = { noop: await noop(runs), chain: await chain(runs) };
  const dagster = await peer('dagster', 'runs_dagster.py', [ASSETS, CHAIN, runs]);
  const row = (name, found, what) =>
    found && [
      name,
      seconds(found.noop.wall),
      ratio(found.noop.wall / mine.noop.wall),
      `${(found.chain * 1000).toFixed(1)} ms`,
      ratio(found.chain / mine.chain),
      what,
    ];
  const text = `${table(
    ['', '1,000 assets, nothing to do', '', 'chain of 40, warm', '', 'what it does'],
    [
      row('**millrace**', mine, '`run`; the executor over SQLite'),
      row(
        'Dagster',
        dagster,
        'eager automation conditions, evaluated from its cursor; `execute_in_process`, an instance on disk',
      ),
    ].filter(Boolean),
  )}\n\nNothing to do: wall time of a process from its start to its end, all assets known to be up to date. CPU of millrace ${seconds(mine.noop.cpu)}. The chain: in a warm process, every step recorded, no work in them.`;
  const goals = [
    {
      path: 'no-op `run` of 1,000 assets',
      goal: '< 1 s',
      got: mine.noop.wall * 1000,
      limit: 1000,
      less: true,
      unit: 'ms',
    },
    {
      path: 'chain of 40 tiny steps, warm',
      goal: '< 50 ms',
      got: mine.chain * 1000,
      limit: 50,
      less: true,
      unit: 'ms',
    },
  ];
  if (dagster)
    goals.push(
      {
        path: 'no-op of 1,000 assets beside Dagster',
        goal: 'faster',
        got: dagster.noop.wall / mine.noop.wall,
        limit: 1,
        less: false,
      },
      {
        path: 'chain of 40 beside Dagster',
        goal: '≥ 10×',
        got: dagster.chain / mine.chain,
        limit: 10,
        less: false,
      },
    );
  return { title: 'Runs: what an orchestrator costs', text, goals };
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log((await measure({ runs: Number(argument('runs', '5')) })).text);
