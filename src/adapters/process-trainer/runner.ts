/** A command in a process group of its own: its lines heard as they come, and no process of it left behind. */
import { execFile, spawn } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { MillraceError } from '../../core/base/error.js';
import type { ProcessEnvironment, ProcessJob, ProcessRunner } from '../../ports/model-runtime.js';

/** Between the request to end and the end. */
const GRACE_MS = 5_000;
const TAIL_LINES = 12;
const SECRET_NAME = /secret|token|passw|credential|api_?key|private_?key|access_?key/i;
/** Shorter values would mask ordinary words. */
const SECRET_LENGTH = 6;

/** Replaces the values of variables whose names say that they are secret. */
export function masker(env: Readonly<Record<string, string | undefined>>): (text: string) => string {
  const secrets = Object.entries(env)
    .flatMap(([name, value]) =>
      SECRET_NAME.test(name) && value !== undefined && value.length >= SECRET_LENGTH ? [value] : [],
    )
    .sort((a, b) => b.length - a.length);
  return (text) => secrets.reduce((masked, secret) => masked.replaceAll(secret, '***'), text);
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended.
  }
}

async function run(job: ProcessJob): Promise<{ readonly seconds: number }> {
  const env = { ...process.env, ...job.env };
  const mask = masker(env);
  const shown = job.command.join(' ');
  const started = performance.now();
  const tail: string[] = [];
  const hear = (text: string): void => {
    const line = mask(text);
    tail.push(line);
    if (tail.length > TAIL_LINES) tail.shift();
    job.line(line);
  };
  const interrupted = (): MillraceError =>
    new MillraceError('INTERRUPTED', 'training was interrupted; no model version was registered');
  if (job.signal.aborted) throw interrupted();
  const child = spawn(job.command[0]!, job.command.slice(1), {
    cwd: job.folder,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let ending: MillraceError | undefined;
  let killer: NodeJS.Timeout | undefined;
  const end = (reason: MillraceError): void => {
    if (ending || child.pid === undefined) return;
    ending = reason;
    const { pid } = child;
    killGroup(pid, 'SIGTERM');
    killer = setTimeout(() => killGroup(pid, 'SIGKILL'), GRACE_MS);
  };
  const abort = (): void => end(interrupted());
  const leave = (): void => {
    if (child.pid !== undefined) killGroup(child.pid, 'SIGKILL');
  };
  const timer =
    job.timeoutMs === null
      ? undefined
      : setTimeout(
          () =>
            end(
              new MillraceError('TRAIN_FAILED', `\`${shown}\` took longer than ${job.timeoutMs! / 1000} s`, {
                hint: 'Raise `timeout` of the trainer, or give it less to do.',
              }),
            ),
          job.timeoutMs,
        );
  job.signal.addEventListener('abort', abort, { once: true });
  process.once('exit', leave);
  try {
    createInterface({ input: child.stdout }).on('line', hear);
    createInterface({ input: child.stderr }).on('line', hear);
    const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once('error', (cause: NodeJS.ErrnoException) =>
        reject(
          new MillraceError(
            'TRAIN_FAILED',
            cause.code === 'ENOENT'
              ? `there is no program "${job.command[0]}"`
              : `\`${shown}\` cannot be started: ${cause.message}`,
            { cause, hint: 'Install it, or name it by its path from the project folder.' },
          ),
        ),
      );
      child.once('exit', (code, by) => {
        // What the command itself left running holds its pipes open.
        if (child.pid !== undefined && ending) killGroup(child.pid, 'SIGKILL');
        child.once('close', () => resolve([code, by]));
      });
    });
    if (ending) throw ending;
    if (status !== 0) {
      const how = status === null ? `was ended by ${signal}` : `ended with exit code ${status}`;
      const last = tail.length === 0 ? 'It printed nothing.' : `Its last lines:\n  ${tail.join('\n  ')}`;
      throw new MillraceError('TRAIN_FAILED', `\`${shown}\` ${how}. ${last}`);
    }
    return { seconds: (performance.now() - started) / 1000 };
  } finally {
    clearTimeout(timer);
    clearTimeout(killer);
    job.signal.removeEventListener('abort', abort);
    process.removeListener('exit', leave);
    leave();
  }
}

const FREEZE = `
import json, platform
from importlib import metadata
print(json.dumps({"python": platform.python_version(), "packages": sorted(
    {f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions() if d.metadata['Name']}, key=str.lower)}))
`;

async function environment(command: readonly string[], folder: string): Promise<ProcessEnvironment> {
  const platform = `${process.platform} ${process.arch} ${os.release()}`;
  if (!/^python[\d.]*$/.test(path.basename(command[0]!))) return { platform, python: null, packages: [] };
  const { stdout } = await promisify(execFile)(command[0]!, ['-c', FREEZE], {
    cwd: folder,
    timeout: 60_000,
    maxBuffer: 16 << 20,
  }).catch((cause: Error) => {
    throw new MillraceError('TRAIN_FAILED', `"${command[0]}" cannot be asked for its packages`, {
      cause,
      hint: 'Install it, or name it by its path from the project folder.',
    });
  });
  return { platform, ...(JSON.parse(stdout) as { python: string; packages: string[] }) };
}

export const createProcessRunner = (): ProcessRunner => ({ run, environment });
