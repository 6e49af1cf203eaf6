/** OpenLineage's own client, from PyPI at test time: nothing of it is in this repository. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const VERSION = '1.54.0';
const HERE = path.dirname(fileURLToPath(import.meta.url));
const CACHE = path.join(HERE, '../../node_modules/.cache');

export const havePython = spawnSync('python3', ['-m', 'pip', '--version']).status === 0;

/** Folder with the client, installed once. */
function client(): string {
  const folder = path.join(CACHE, `openlineage-python-${VERSION}`);
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  const fresh = mkdtempSync(path.join(CACHE, 'openlineage-'));
  execFileSync(
    'python3',
    [
      '-m',
      'pip',
      'install',
      '-q',
      '--no-warn-script-location',
      '--target',
      fresh,
      `openlineage-python==${VERSION}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  renameSync(fresh, folder);
  return folder;
}

export interface ClientReading {
  /** JSON Schemas made of the client's classes, by `_schemaURL`. */
  readonly schemas: Readonly<Record<string, object>>;
  /** The events as the client holds and prints them. */
  readonly events: readonly Readonly<Record<string, unknown>>[];
}

/** Throws where the client cannot hold an event. */
export function readWithClient(events: readonly unknown[]): ClientReading {
  const folder = mkdtempSync(path.join(tmpdir(), 'millrace-openlineage-'));
  try {
    const out = path.join(folder, 'out.json');
    execFileSync('python3', [path.join(HERE, 'openlineage_schemas.py'), out], {
      input: events.map((event) => JSON.stringify(event)).join('\n'),
      env: { ...process.env, PYTHONPATH: client() },
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    return JSON.parse(readFileSync(out, 'utf8')) as ClientReading;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
