/** Other orchestrators from PyPI, each in an environment of its own, made once and kept. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const CACHE = path.join(HERE, '../../node_modules/.cache');

/** The interpreter of an environment with these packages; null, said aloud, where it cannot be had outside CI. */
export function environment(name: string, packages: readonly string[]): string | null {
  const folder = path.join(CACHE, name);
  const python = path.join(folder, 'bin/python');
  const mark = path.join(folder, '.ready');
  if (existsSync(mark)) return python;
  mkdirSync(CACHE, { recursive: true });
  rmSync(folder, { recursive: true, force: true });
  const commands: readonly (readonly [string, readonly string[]])[] = [
    ['python3', ['-m', 'venv', folder]],
    [python, ['-m', 'pip', 'install', '-q', '--no-compile', ...packages]],
  ];
  for (const [command, args] of commands) {
    const done = spawnSync(command, args, { encoding: 'utf8', timeout: 900_000 });
    if (done.status === 0) continue;
    const why = `${name}: ${done.error?.message ?? done.stderr.trim().split('\n').at(-1)}`;
    if (process.env['CI']) throw new Error(why);
    process.stderr.write(`SKIPPED: ${why}\n`);
    return null;
  }
  writeFileSync(mark, '');
  return python;
}

export interface Driver {
  /** What was said first. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into many shapes
  readonly loaded: any;
  /** Sends one line; resolves with the answer. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into many shapes
  run(wanted: unknown): Promise<any>;
  /** Resolves when stderr or stdout has shown the text from now on. */
  shows(text: string): Promise<void>;
  end(): Promise<void>;
}

/** A script beside this one that answers each line of its stdin with a line `@JSON`. */
export async function drive(
  python: string,
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Driver> {
  const child = spawn(python, [path.join(HERE, script), ...args], { env: { ...process.env, ...env } });
  const waiting: { resolve(value: unknown): void; reject(error: Error): void }[] = [];
  const watching: { text: string; resolve(): void; reject(error: Error): void }[] = [];
  let said = '';
  const hear = (text: string): void => {
    said = (said + text).slice(-20_000);
    for (const watcher of watching.splice(0))
      if (text.includes(watcher.text)) watcher.resolve();
      else watching.push(watcher);
  };
  child.stderr.setEncoding('utf8').on('data', hear);
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('@')) waiting.shift()?.resolve(JSON.parse(line.slice(1)));
    else hear(`${line}\n`);
  });
  const closed = new Promise<void>((resolve) => {
    child.on('close', () => {
      for (const { reject } of [...waiting.splice(0), ...watching.splice(0)])
        reject(new Error(`${script} ended:\n${said}`));
      resolve();
    });
  });
  const answer = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
    });
  return {
    loaded: await answer(),
    run: (wanted) => {
      child.stdin.write(`${JSON.stringify(wanted)}\n`);
      return answer();
    },
    shows: (text) =>
      new Promise((resolve, reject) => {
        watching.push({ text, resolve, reject });
      }),
    end: () => {
      child.stdin.end();
      return closed;
    },
  };
}
