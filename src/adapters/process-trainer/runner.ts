/** A command in a process group of its own: its lines heard as they come, and no process of it left behind. */
import { execFile, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { MillraceError } from '../../core/base/error.js';
import type {
  GitState,
  ModelRuntime,
  ProcessEnvironment,
  ProcessJob,
  ProcessRunner,
} from '../../ports/model-runtime.js';
import { killGroup, masker } from './group.js';
import { createScorer } from './scorer.js';

/** Between the request to end and the end. */
const GRACE_MS = 5_000;
const TAIL_LINES = 12;
async function run(job: ProcessJob): Promise<{ readonly seconds: number }> {
  const env = { ...process.env, ...job.env };
  const mask = masker(env);
  const shown = job.command.join(' ');
  const started = performance.now();
  mkdirSync(path.dirname(job.log), { recursive: true });
  const log = openSync(job.log, 'w');
  const tails: Record<'stdout' | 'stderr', string[]> = { stdout: [], stderr: [] };
  const hear =
    (from: keyof typeof tails) =>
    (text: string): void => {
      const line = mask(text);
      const tail = tails[from];
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
      writeSync(log, `${line}\n`);
      job.line(line);
    };
  /** The last lines, of stderr where it said anything, and where all of them are. */
  const said = (): string => {
    const [from, tail] = tails.stderr.length > 0 ? ['stderr', tails.stderr] : ['stdout', tails.stdout];
    const last =
      tail.length === 0 ? 'It printed nothing.' : `Its last lines on ${from}:\n  ${tail.join('\n  ')}`;
    return `${last}\nAll it printed: ${job.log}`;
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
              new MillraceError(
                'TRAIN_FAILED',
                `\`${shown}\` took longer than ${job.timeoutMs! / 1000} s. ${said()}`,
                {
                  hint: 'Raise `timeout` of the trainer, or give it less to do.',
                },
              ),
            ),
          job.timeoutMs,
        );
  job.signal.addEventListener('abort', abort, { once: true });
  process.once('exit', leave);
  try {
    createInterface({ input: child.stdout }).on('line', hear('stdout'));
    createInterface({ input: child.stderr }).on('line', hear('stderr'));
    const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once('error', (cause: NodeJS.ErrnoException) =>
        reject(
          new MillraceError(
            'TRAIN_FAILED',
            cause.code === 'ENOENT'
              ? noProgram(job.command[0]!)
              : `\`${shown}\` cannot be started: ${cause.message}`,
            { cause, hint: INSTALL },
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
      throw new MillraceError('TRAIN_FAILED', `\`${shown}\` ${how}. ${said()}`);
    }
    return { seconds: (performance.now() - started) / 1000 };
  } finally {
    clearTimeout(timer);
    clearTimeout(killer);
    job.signal.removeEventListener('abort', abort);
    process.removeListener('exit', leave);
    leave();
    closeSync(log);
  }
}

const noProgram = (program: string): string => `there is no program "${program}"`;
const INSTALL = 'Install it, or name it by its path from the project folder.';

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
  }).catch((cause: NodeJS.ErrnoException) => {
    throw new MillraceError(
      'TRAIN_FAILED',
      cause.code === 'ENOENT'
        ? noProgram(command[0]!)
        : `"${command[0]}" does not list its packages: ${cause.message}`,
      { cause, hint: INSTALL },
    );
  });
  return { platform, ...(JSON.parse(stdout) as { python: string; packages: string[] }) };
}

async function git(folder: string, apart: readonly string[]): Promise<GitState | null> {
  const args = ['-C', folder, 'status', '--porcelain=v2', '--branch', '--', '.'];
  const excluded = apart.map((each) => `:(exclude)${each}`);
  const answer = await promisify(execFile)('git', [...args, ...excluded], {
    timeout: 30_000,
    maxBuffer: 64 << 20,
    env: { ...process.env, GIT_OPTIONAL_LOCKS: '0' },
  }).catch(() => null);
  const lines = answer?.stdout.split('\n').filter((line) => line !== '') ?? [];
  const commit = lines.find((line) => line.startsWith('# branch.oid '))?.slice('# branch.oid '.length);
  if (commit === undefined || !/^[0-9a-f]{40,}$/.test(commit)) return null;
  return { commit, dirty: lines.some((line) => !line.startsWith('# ')) };
}

export function createProcessRunner(): ProcessRunner {
  const scorers = new Set<ModelRuntime>();
  return {
    run,
    environment,
    git,
    scorer: (model) => {
      const scorer = createScorer(model);
      scorers.add(scorer);
      return scorer;
    },
    close: () => {
      for (const scorer of scorers) scorer.close?.();
      scorers.clear();
    },
  };
}
