// Shared by the benchmarks: measured child processes, medians, a millrace project in a folder, printing.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CACHE } from './data.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
export const MAIN = process.env.MILLRACE_MAIN ?? path.resolve(here, '../dist/cli/main.js');
const MEASURE = path.join(here, 'measure-child.mjs');
/** A folder of this run alone; processes that it starts inherit it. */
process.env.BENCH_WORK ??= path.join(CACHE, `work-${process.pid}`);
export const WORK = process.env.BENCH_WORK;

export const note = (text) => process.stderr.write(`${text}\n`);
export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** A process to its end: stdout, and its wall and CPU seconds and peak memory in bytes when it reports them. */
export function run(command, args, { env = {}, cwd, timeout = 3_600_000, usage } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout,
    });
    const out = [];
    const err = [];
    child.stdout.on('data', (chunk) => out.push(chunk));
    child.stderr.on('data', (chunk) => err.push(chunk));
    child.on('error', reject);
    child.on('close', (status, signal) => {
      const stdout = Buffer.concat(out).toString();
      if (status !== 0 && status !== 99) {
        const tail = Buffer.concat(err).toString().slice(-2000);
        reject(
          new Error(
            `${path.basename(command)} ${args.slice(0, 4).join(' ')} ended with ${signal ?? status}: ${tail}`,
          ),
        );
        return;
      }
      resolve({ stdout, ...(usage ? JSON.parse(readFileSync(usage, 'utf8')) : {}) });
    });
  });
}

let usages = 0;
/** A Node script or command in a fresh process, measured from spawn to exit. */
export async function node(args, options = {}) {
  mkdirSync(WORK, { recursive: true });
  const usage = path.join(WORK, `usage-${process.pid}-${++usages}.json`);
  const env = { ...options.env, BENCH_USAGE: usage, BENCH_BEGAN: String(Date.now()), NO_COLOR: '1' };
  try {
    return await run(process.execPath, ['--import', MEASURE, ...args], { ...options, env, usage });
  } finally {
    rmSync(usage, { force: true });
  }
}

export const millrace = (args, options) => node([MAIN, ...args], options);

const DUCK = path.join(here, 'duck.mjs');
/** Statements in a fresh DuckDB process. */
export const duck = (...statements) => node([DUCK, JSON.stringify(statements)]);

/** Words of `millrace features historical`. */
export const historicalWords = (folder, observations, features, out) => [
  'features',
  'historical',
  '--project',
  folder,
  '--observations',
  observations,
  '--time',
  'at',
  '--features',
  features.join(','),
  '--out',
  out,
];
/** `millrace features historical`, measured. */
export const historical = (...given) => millrace(historicalWords(...given));

/**
 * Contenders in turns, so that a busy moment of the machine meets every one alike: medians by name, null for one that
 * gave nothing.
 */
export async function rounds(runs, contenders) {
  const found = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
  for (let round = 0; round < runs; round++) {
    for (const [name, work] of Object.entries(contenders)) {
      const used = await work(round);
      if (used) found[name].push(used);
      note(
        `  ${name}: ${used ? `${seconds(used.wall)} s, CPU ${seconds(used.cpu)} s, ${gigabytes(used.rss)} GB` : 'skipped'}`,
      );
    }
  }
  const medians = {};
  for (const [name, list] of Object.entries(found))
    medians[name] = list.length === 0 ? null : await several(list.length, (i) => list[i]);
  return medians;
}

/** Median of several: wall and CPU seconds; memory is the greatest seen. */
export async function several(times, work) {
  const runs = [];
  for (let i = 0; i < times; i++) runs.push(await work(i));
  const of = (key) => (runs[0][key] === undefined ? undefined : median(runs.map((item) => item[key])));
  return {
    ...runs.at(-1),
    wall: of('wall'),
    cpu: of('cpu'),
    rss: Math.max(...runs.map((item) => item.rss ?? 0)),
    runs: times,
  };
}

/** `settings`: further lines of millrace.yaml. */
export function project(name, definitions, settings = '') {
  const folder = path.join(WORK, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(path.join(folder, 'definitions'), { recursive: true });
  writeFileSync(
    path.join(folder, 'millrace.yaml'),
    `project: ${name.replace(/[^a-z0-9_]/g, '_')}\ntimezone: UTC\n${settings}`,
  );
  writeFileSync(path.join(folder, 'definitions/bench.yaml'), JSON.stringify(definitions, null, 2));
  return folder;
}

/** Waits, not longer than `most` seconds, until others leave the processors alone. */
export async function quiet(most = 60) {
  for (let waited = 0; loadavg()[0] > 1.2 && waited < most; waited += 5)
    await new Promise((go) => setTimeout(go, 5000));
  return loadavg()[0];
}

export const seconds = (value) =>
  value === undefined ? '–' : value < 10 ? value.toFixed(2) : value.toFixed(1);
export const gigabytes = (value) => (value ? (value / 2 ** 30).toFixed(2) : '–');
export const ratio = (value) =>
  Number.isFinite(value) ? `${value < 10 ? value.toFixed(2) : value.toFixed(0)}×` : '–';

/** A Markdown table, columns as wide as they need to be. */
export function table(header, rows) {
  const all = [header, ...rows].map((row) => row.map((cell) => String(cell ?? '–')));
  const widths = header.map((_, i) => Math.max(3, ...all.map((row) => row[i].length)));
  const line = (row) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  return [
    line(all[0]),
    `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`,
    ...all.slice(1).map(line),
  ].join('\n');
}

export const argument = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
};
