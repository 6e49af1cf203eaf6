// The Python peers, in a virtual environment of their own under bench/.cache.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CACHE } from './data.mjs';
import { note, run } from './lib.mjs';

const VENV = process.env.BENCH_VENV ?? path.join(CACHE, 'venv');
const PYTHON = path.join(VENV, 'bin/python');
const PEERS = path.join(path.dirname(fileURLToPath(import.meta.url)), 'peers');
const SETS = {
  polars: ['polars', 'pyarrow'],
  feast: ['feast[redis]', 'pandas', 'pyarrow', 'duckdb', 'ibis-framework[duckdb]'],
};
const tried = new Map();

/** The interpreter of an environment that holds the peer, made on first use; null, said aloud, when it cannot be. */
export function python(peer) {
  if (!tried.has(peer)) tried.set(peer, prepare(peer));
  return tried.get(peer);
}

function prepare(peer) {
  const skip = (why) => {
    note(`SKIPPED: ${peer}: ${why}`);
    return null;
  };
  if (!existsSync(PYTHON)) {
    mkdirSync(CACHE, { recursive: true });
    const made = spawnSync('python3', ['-m', 'venv', VENV], { encoding: 'utf8' });
    if (made.status !== 0)
      return skip(`no Python environment (${made.error?.message ?? made.stderr.trim().split('\n').at(-1)})`);
  }
  const has = (module) => spawnSync(PYTHON, ['-c', `import ${module}`]).status === 0;
  const mark = path.join(VENV, `.${peer}`);
  if (!existsSync(mark) && !has(peer)) {
    note(`installing ${SETS[peer].join(', ')} from PyPI`);
    const installed = spawnSync(PYTHON, ['-m', 'pip', 'install', '-q', ...SETS[peer]], {
      encoding: 'utf8',
      timeout: 600_000,
    });
    if (installed.status !== 0) return skip(`pip failed: ${installed.stderr.trim().split('\n').at(-1)}`);
  }
  writeFileSync(mark, '');
  return PYTHON;
}

/** A script of bench/peers, measured by itself; null when the peer is missing or fails (said aloud). */
export async function peer(name, script, args, options = {}) {
  const interpreter = python(name);
  if (interpreter === null) return null;
  try {
    const env = {
      BENCH_BEGAN: String(Date.now()),
      PYTHONWARNINGS: 'ignore',
      PYTHONPATH: PEERS,
      FEAST_USAGE: 'False',
    };
    const { stdout } = await run(interpreter, [path.join(PEERS, script), ...args.map(String)], {
      env,
      ...options,
    });
    return JSON.parse(stdout.trim().split('\n').at(-1));
  } catch (error) {
    note(`SKIPPED: ${script}: ${error.message}`);
    return null;
  }
}

export function versions() {
  if (!existsSync(PYTHON)) return {};
  const code =
    'import importlib.metadata as m, json; print(json.dumps({d.metadata["Name"].lower(): d.version for d in m.distributions()}))';
  const { stdout } = spawnSync(PYTHON, ['-c', code], { encoding: 'utf8' });
  const { polars, feast, pandas, duckdb } = JSON.parse(stdout || '{}');
  return { polars, feast, pandas, 'duckdb (Python)': duckdb };
}
