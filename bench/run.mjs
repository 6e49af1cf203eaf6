// `npm run bench`: millrace and its peers on the same files in one run, written to docs/benchmarks.md with plots.
// node bench/run.mjs [--size small|full] [--runs 3] [--only offline,large,huge,keys,state,incremental,online,http,peers,start,runs,quality,profile]
// Results are kept in bench/.cache, so that `--only` renews a part and the page keeps the others.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CACHE, eventsFile, millions, observationsFile } from './data.mjs';
import { measure as measureHotKeys } from './hot-keys.mjs';
import { measure as measureIncremental } from './incremental.mjs';
import { measure as measureState } from './latest-state.mjs';
import {
  argument,
  historicalWords,
  MAIN,
  median,
  node,
  note,
  quiet,
  ratio,
  run,
  table,
  WORK,
} from './lib.mjs';
import { ingested, LABELS, measure as measureWindows } from './offline-windows.mjs';
import { measure as measurePeers } from './online-peers.mjs';
import { plot } from './plot.mjs';
import { versions } from './python.mjs';
import { measure as measureQuality } from './quality.mjs';
import { measure as measureRuns } from './runs.mjs';
import { WORKLOADS } from './workload.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const docs = path.resolve(here, '../docs');
const script = (name, ...args) => run(process.execPath, [path.join(here, name), ...args]);
const size = argument('size', 'small');
const runs = Number(argument('runs', '3'));

/** p50 in µs of the lines that bench/online-read.mjs prints. */
async function measureReads() {
  const { stdout } = await script('online-read.mjs');
  const p50 = [
    ...stdout.matchAll(/^ {2}(1 entity|100 entities) of (\d+) events\s+p50\s+([\d.]+) µs\s+p99\s+([\d.]+)/gm),
  ].map((found) => ({ entities: found[1], events: Number(found[2]), p50: Number(found[3]) }));
  const of = (entities, events) => p50.find((one) => one.entities === entities && one.events === events)?.p50;
  return {
    title: 'Online: reads inside the process',
    text: `\`\`\`text\n${stdout.trim()}\n\`\`\`\n\nWindows end at the instant of the read; nothing is precomputed for it. p50 and p99 over thousands of reads.`,
    hundred: of('100 entities', 1000),
    goals: [
      {
        path: 'online read, entity of 100,000 events',
        goal: '≤ 15× one of 10 events',
        got: of('1 entity', 100_000) / of('1 entity', 10),
        limit: 15,
        less: true,
      },
    ],
  };
}

async function measureHttp() {
  const { stdout } = await script('http.mjs');
  const rows = stdout
    .trim()
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  const row = (name) => rows.find(([first]) => first.startsWith(name));
  const number = (name, column) => Number(row(name)?.[column].replaceAll(',', ''));
  const goals = [];
  const add = (what, goal, got, limit, less, unit) =>
    Number.isFinite(got) && goals.push({ path: what, goal, got, limit, less, unit });
  add(
    'HTTP, 1 entity × 12 features, 1 connection',
    '≥ 0.6× an empty node:http',
    number('1 entity × 12 features, 1 c', 1) / number('empty node:http, 1 c', 1),
    0.6,
    false,
  );
  add(
    'HTTP, 1 entity × 12 features, 1 connection, p99',
    '< 1 ms',
    number('1 entity × 12 features, 1 c', 3),
    1,
    true,
    'ms',
  );
  add('HTTP, 100 entities × 12 features, p99', '< 3 ms', number('100 entities × 12', 3), 3, true, 'ms');
  add('HTTP, 1 entity × 50 features at half load, p99', '< 1 ms', number('1 entity × 50', 3), 1, true, 'ms');
  add(
    'HTTP, 100 entities × 50 features at half load, p99',
    '< 3 ms',
    number('100 entities × 50', 3),
    3,
    true,
    'ms',
  );
  add('durable push, 1,000 a request', '≥ 200,000 events/s', number('push, 1,000', 1), 2e5, false, '/s');
  add('durable push, one by one', '≥ 25,000 events/s', number('push one by one', 1), 2.5e4, false, '/s');
  add('event sent → visible in a feature, p99', '< 50 ms', number('event sent', 3), 50, true, 'ms');
  return { title: 'Online: over HTTP', text: stdout.trim(), goals };
}

async function measureStart() {
  const timed = (args) => node(args).then(({ wall, cpu }) => ({ wall, cpu }));
  const bare = [];
  const help = [];
  for (let i = 0; i < 9; i++) {
    bare.push((await timed(['-e', ''])).cpu);
    help.push((await timed([MAIN, '--help'])).cpu);
  }
  const [a, b] = [median(bare), median(help)];
  return {
    title: 'Start-up',
    text: `CPU time, median of 9: bare \`node -e ''\` ${(a * 1000).toFixed(0)} ms, \`millrace --help\` ${(b * 1000).toFixed(0)} ms.`,
    goals: [{ path: '`millrace --help`', goal: '≤ 1.5× bare node', got: b / a, limit: 1.5, less: true }],
  };
}

/** Self time of the JavaScript of `features historical`, by part of the product. */
async function measureProfile() {
  const [n, m] = [5e6, 5e5];
  const events = await eventsFile(n);
  const observations = await observationsFile(m, n);
  const { folder } = await ingested('profile', events);
  const parts = [];
  for (const [name, features] of Object.entries(WORKLOADS)) {
    const profiles = path.join(WORK, 'profiles');
    rmSync(profiles, { recursive: true, force: true });
    await node([
      '--cpu-prof',
      `--cpu-prof-dir=${profiles}`,
      MAIN,
      ...historicalWords(
        folder,
        observations,
        features.map((one) => one.name),
        path.join(WORK, 'profile.parquet'),
      ),
    ]);
    const profile = JSON.parse(readFileSync(path.join(profiles, readdirSync(profiles)[0]), 'utf8'));
    const frames = new Map(profile.nodes.map((one) => [one.id, one.callFrame]));
    const own = new Map();
    let total = 0;
    profile.samples.forEach((id, i) => {
      const { functionName, url } = frames.get(id);
      const time = profile.timeDeltas[i] / 1000;
      const file = url.replace(/^.*\/(?:dist|\.[a-z]+-dist[0-9]*)\//, '').replace(/^.*\/node_modules\//, '');
      const key =
        functionName === '(idle)'
          ? 'waiting for DuckDB'
          : functionName.startsWith('(')
            ? functionName
            : `${functionName || 'anonymous'}, ${file}`;
      own.set(key, (own.get(key) ?? 0) + time);
      total += time;
    });
    const top = [...own].sort((a, b) => b[1] - a[1]).slice(0, 12);
    parts.push(
      `${name}, ${millions(n)} × ${millions(m)}:\n\n${table(
        ['self time', 'share', 'where'],
        top.map(([key, time]) => [
          `${(time / 1000).toFixed(2)} s`,
          `${((100 * time) / total).toFixed(0)} %`,
          key,
        ]),
      )}`,
    );
  }
  rmSync(folder, { recursive: true, force: true });
  return {
    title: 'Where the time goes',
    text: `\`features historical\` under \`node --cpu-prof\`: the main thread only; DuckDB's own threads scan, join and write beside it, and sweeping threads sweep.\n\n${parts.join('\n\n')}`,
    goals: [],
  };
}

async function measureOnlinePeers() {
  const found = await measurePeers();
  const goals = [];
  for (const [store, feast] of [
    ['SQLite', found.feast],
    ['Redis', found.feastOverRedis],
  ])
    if (feast)
      goals.push({
        path: 'online, 100 entities × 12 features, p50',
        goal: `≥ 10× Feast's server over ${store}`,
        got: feast.p50 / found.millrace.p50,
        limit: 10,
        less: false,
      });
  return { title: 'Online: beside Feast and Redis', text: found.text, goals, redis: found.redis };
}

const PARTS = {
  offline: () => measureWindows({ size: 'small', runs }),
  large: () => measureWindows({ size: 'large', runs: Math.min(runs, 2) }),
  huge: () => measureWindows({ size: 'huge', runs: 1 }),
  keys: () => measureHotKeys({ size }),
  state: () => measureState({ size, runs }),
  incremental: () => measureIncremental({ sizes: size === 'full' ? [5_000_000, 20_000_000] : [5_000_000] }),
  online: measureReads,
  http: measureHttp,
  peers: measureOnlinePeers,
  start: measureStart,
  runs: () => measureRuns({ runs: Math.max(runs, 5) }),
  quality: () => measureQuality({ size, runs }),
  profile: measureProfile,
};

const machine = () =>
  `${cpus().length} cores of ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GB, Node ${process.versions.node}`;

/** Time and memory from 1M to 100M events, over the sizes that were measured; null for fewer than two. */
function scaling(results) {
  const sizes = Object.values(results)
    .flatMap((part) => part.scaling ?? [])
    .sort((a, b) => a.events - b.events);
  if (sizes.length < 2) return null;
  const shown = Object.keys(LABELS).filter((key) => sizes.some(({ used }) => used[key]));
  const name = (key) => LABELS[key].replaceAll('**', '');
  const cell = ({ used, events }, key) =>
    used[key]
      ? `${((used[key].cpu / events) * 1e6).toFixed(2)} / ${((used[key].wall / events) * 1e6).toFixed(2)} s, ${(used[key].rss / 1e9).toFixed(2)} GB`
      : '–';
  const curve = (title, unit, value) => ({
    title,
    x: sizes.map(({ events }) => millions(events)),
    series: shown.map((key) => ({
      name: name(key),
      values: sizes.map((size) => (size.used[key] ? value(size.used[key], size.events) : null)),
    })),
    unit,
  });
  return {
    title: 'Offline: scaling',
    text: `CPU and wall seconds for each million events, and peak memory:\n\n${table(
      ['', ...sizes.map(({ events, observations }) => `${millions(events)} × ${millions(observations)}`)],
      shown.map((key) => [LABELS[key], ...sizes.map((size) => cell(size, key))]),
    )}\n\nA level row is linear in events; the start of the process weighs at 1M.`,
    goals: [],
    plots: {
      'bench-offline-scaling': curve(
        'CPU seconds for each million events',
        's',
        ({ cpu }, events) => (cpu / events) * 1e6,
      ),
      'bench-offline-scaling-memory': curve('Peak memory', 'GB', ({ rss }) => rss / 1e9),
    },
  };
}

function page(results) {
  const measured = (name) => (name === 'keys' ? [scaling(results), results[name]] : [results[name]]);
  const found = Object.keys(PARTS).flatMap(measured).filter(Boolean);
  const goals = found.flatMap((part) => part.goals);
  if (results.online?.hundred && results.peers?.redis)
    goals.push({
      path: 'online read, 100 entities of 1,000 events × 12 windows, in process, p50',
      goal: 'no slower than a Redis MGET of precomputed values',
      got: results.online.hundred / 1000 / results.peers.redis.p50,
      limit: 1,
      less: true,
    });
  const rows = goals.map(({ path: what, goal, got, wall, limit, less, unit }) => {
    const missing = !Number.isFinite(got);
    const shown = (value) => {
      if (unit === 'ms') return `${value.toFixed(2)} ms`;
      if (unit === 'GB') return `${value.toFixed(2)} GB`;
      return unit === '/s' ? `${Math.round(value).toLocaleString('en')}/s` : ratio(value);
    };
    const written = wall === undefined ? shown : () => `${shown(got)} CPU, ${shown(wall)} wall`;
    const within = (value) => (less ? value <= limit : value >= limit);
    const kept = [got, wall].filter((value) => value !== undefined).map(within);
    const verdict = kept.every(Boolean) ? 'yes' : kept.some(Boolean) ? 'in one of the two' : 'no';
    return missing ? [what, goal, 'not measured', ''] : [what, goal, written(got), verdict];
  });
  const peers = Object.entries(versions())
    .filter(([, version]) => version)
    .map(([name, version]) => `${name} ${version}`);
  const plots = (part) =>
    Object.keys(part.plots ?? {})
      .map((name) => `\n\n![${part.plots[name].title}](images/${name}.svg)`)
      .join('');
  return `# Benchmarks

Written by \`npm run bench\` (bench/run.mjs); do not edit. Every contender runs in a fresh process on the same files, in
turns, and the medians stand here. Machine: ${machine()}. Peers: ${peers.join(', ')}, DuckDB ${JSON.parse(readFileSync(path.resolve(here, '../node_modules/@duckdb/node-api/package.json'), 'utf8')).version} (Node).

Seconds depend on the machine and on what else it does, so compare ratios. Offline goals show two: of
CPU time (user and system, all threads, start of the process included) and of wall time. CPU time is disturbed less by
other work on the machine.
A goal counts as reached when both ratios are within it. Load average (1 minute) at the beginning of each part: ${Object.keys(
    PARTS,
  )
    .filter((name) => results[name])
    .map((name) => `${name} ${results[name].load.toFixed(1)}`)
    .join(', ')}.

## Goals

${table(['path', 'goal', 'measured', 'reached'], rows)}

What is not reached is explained under "Where the time goes" and in the decisions 0027 (windows), 0014 (latest state),
0026 (reads inside the process), 0018 (HTTP) and 0025 (pushes).

${found.map((part) => `## ${part.title}\n\n${part.text}${plots(part)}`).join('\n\n')}
`;
}

const usual = Object.keys(PARTS).filter((name) => size === 'full' || !['large', 'huge'].includes(name));
const only = argument('only', usual.join(',')).split(',');
const store = path.join(CACHE, 'results.json');
mkdirSync(CACHE, { recursive: true });
const kept = () => (existsSync(store) ? JSON.parse(readFileSync(store, 'utf8')) : {});
let results = kept();
for (const name of only) {
  if (!PARTS[name]) throw new Error(`no part "${name}"; there are ${Object.keys(PARTS).join(', ')}`);
  await quiet(30);
  const [load] = loadavg();
  note(`== ${name} (load ${load.toFixed(1)})`);
  try {
    const found = await PARTS[name]();
    // Another run may have renewed other parts meanwhile.
    results = { ...kept(), [name]: { ...found, load } };
    writeFileSync(store, JSON.stringify(results));
  } catch (error) {
    note(`FAILED: ${name}: ${error.stack}`);
    process.exitCode = 1;
  }
}
mkdirSync(path.join(docs, 'images'), { recursive: true });
for (const part of [...Object.values(results), scaling(results)].filter(Boolean))
  for (const [name, given] of Object.entries(part.plots ?? {}))
    writeFileSync(path.join(docs, 'images', `${name}.svg`), plot(given));
writeFileSync(path.join(docs, 'benchmarks.md'), page(results));
rmSync(WORK, { recursive: true, force: true });
note('docs/benchmarks.md is written');
