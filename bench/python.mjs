// The Python peers, in a virtual environment of their own under bench/.cache.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CACHE } from './data.mjs';
import { note, run } from './lib.mjs';

const VENV = process.env.BENCH_VENV ?? path.join(CACHE, 'venv');
const PEERS = path.join(path.dirname(fileURLToPath(import.meta.url)), 'peers');
const SETS = {
  polars: ['polars', 'pyarrow'],
  quality: [
    'great_expectations==1.24.1',
    'pandera[polars]==0.35.0',
    'pandas==3.1.1',
    'polars==2.1.0',
    'pyarrow==26.0.1',
  ],
  dagster: ['dagster==1.13.29'],
  feast: ['feast[redis]', 'pandas', 'pyarrow', 'duckdb', 'ibis-framework[duckdb]'],
};
/** Sets whose packages do not live beside the others'. */
const APART = { quality: 'venv-quality', dagster: 'venv-dagster' };
const venvOf = (set) => (APART[set] ? path.join(CACHE, APART[set]) : VENV);
const pythonOf = (venv) => path.join(venv, 'bin/python');
const tried = new Map();

/** The interpreter of an environment that holds the peer, made on first use; null, said aloud, when it cannot be. */
export function python(peer) {
  if (!tried.has(peer)) tried.set(peer, prepare(peer));
  return tried.get(peer);
}

function prepare(peer) {
  const venv = venvOf(peer);
  const interpreter = pythonOf(venv);
  const skip = (why) => {
    note(`SKIPPED: ${peer}: ${why}`);
    return null;
  };
  if (!existsSync(interpreter)) {
    mkdirSync(CACHE, { recursive: true });
    const made = spawnSync('python3', ['-m', 'venv', venv], { encoding: 'utf8' });
    if (made.status !== 0)
      return skip(`no Python environment (${made.error?.message ?? made.stderr.trim().split('\n').at(-1)})`);
  }
  const has = (module) => spawnSync(interpreter, ['-c', `import ${module}`]).status === 0;
  const mark = path.join(venv, `.${peer}`);
  if (!existsSync(mark) && !has(peer)) {
    note(`installing ${SETS[peer].join(', ')} from PyPI`);
    const installed = spawnSync(interpreter, ['-m', 'pip', 'install', '-q', ...SETS[peer]], {
      encoding: 'utf8',
      timeout: 600_000,
    });
    if (installed.status !== 0) return skip(`pip failed: ${installed.stderr.trim().split('\n').at(-1)}`);
  }
  writeFileSync(mark, '');
  return interpreter;
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

function installed(venv) {
  const interpreter = pythonOf(venv);
  if (!existsSync(interpreter)) return {};
  const code =
    'import importlib.metadata as m, json; print(json.dumps({d.metadata["Name"].lower(): d.version for d in m.distributions()}))';
  return JSON.parse(spawnSync(interpreter, ['-c', code], { encoding: 'utf8' }).stdout || '{}');
}

export function versions() {
  const { polars, feast, pandas, duckdb } = installed(VENV);
  const quality = installed(venvOf('quality'));
  return {
    polars,
    feast,
    pandas,
    'duckdb (Python)': duckdb,
    great_expectations: quality.great_expectations,
    pandera: quality.pandera,
    dagster: installed(venvOf('dagster')).dagster,
  };
}
