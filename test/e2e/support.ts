/** The real command line in real processes, from the build. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const MAIN = process.env['MILLRACE_MAIN'] ?? path.join(ROOT, 'dist/cli/main.js');
export const CASES = path.join(ROOT, 'test/cases');

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line of stdout, parsed, when it is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into many shapes
  readonly json: any;
}

function lastJson(stdout: string): unknown {
  try {
    return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
  } catch {
    return undefined;
  }
}

export function millrace(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      cwd: options.cwd ?? tmpdir(),
      env: { ...process.env, NO_COLOR: '1', ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (status) => {
      resolve({ status, stdout, stderr, json: lastJson(stdout) });
    });
  });
}

export async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millrace-e2e-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Writes files below a folder, making the folders on the way. */
export async function writeFiles(
  folder: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
  }
}

/** A process that is still running: for signals, locks and servers. */
export interface Running {
  readonly child: ChildProcess;
  /** Resolves with the match when stdout or stderr has shown the text. */
  shows(text: RegExp): Promise<RegExpExecArray>;
  readonly finished: Promise<Finished & { readonly signal: NodeJS.Signals | null }>;
}

export function start(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Running {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  const watchers = new Set<() => void>();
  const changed = (): void => {
    for (const watcher of watchers) watcher();
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    changed();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    changed();
  });
  const finished = new Promise<Finished & { readonly signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      resolve({ status, signal, stdout, stderr, json: lastJson(stdout) });
    });
  });
  return {
    child,
    finished,
    shows: (wanted) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const match = wanted.exec(stdout) ?? wanted.exec(stderr);
          if (!match) return;
          watchers.delete(check);
          resolve(match);
        };
        watchers.add(check);
        void finished.then(
          () => reject(new Error(`ended before it showed ${String(wanted)}:\n${stderr}`)),
          reject,
        );
        check();
      }),
  };
}
