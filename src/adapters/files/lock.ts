import {
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError } from '../../core/base/error.js';
import { systemError } from './errors.js';

/** Who writes to a project. */
export interface LockHolder {
  readonly pid: number;
  /** Start of the process as the system counts it: tells a living holder from a new process with its pid. */
  readonly started: string;
  readonly command: string;
  /** A server: it lets go of the lock for who asks, reads meanwhile, and takes it back. */
  readonly givesWay?: boolean;
}

export interface LockOptions {
  readonly givesWay?: boolean;
}

export interface Lock {
  release(): void;
}

const held = new Map<string, number>();

/** A guard is held for a few system calls: one that is older was left by a process that was killed. */
const GUARD_MS = 2_000;

/** Field 22 of /proc/PID/stat (clock ticks since boot); empty where there is no such file. */
function processStart(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/** Whether there is a process with this number on this machine. */
export function processLives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function isAlive(holder: LockHolder): boolean {
  if (!processLives(holder.pid)) return false;
  const started = processStart(holder.pid);
  return started === '' || holder.started === '' || started === holder.started;
}

function readHolder(file: string): LockHolder | undefined {
  try {
    const value = JSON.parse(readFileSync(file, 'utf8')) as Partial<LockHolder>;
    if (typeof value.pid === 'number')
      return {
        pid: value.pid,
        started: value.started ?? '',
        command: value.command ?? '',
        givesWay: value.givesWay === true,
      };
  } catch {
    // gone, or not written by a lock holder
  }
  return undefined;
}

/** The living process that writes to the project, or undefined. */
export function lockHolder(file: string): LockHolder | undefined {
  const holder = readHolder(file);
  return holder && isAlive(holder) ? holder : undefined;
}

/** The living process that waits for a holder that gives way, or undefined. */
export const lockAsker = (file: string): LockHolder | undefined => {
  const asker = lockHolder(askFile(file));
  return asker?.pid === process.pid ? undefined : asker;
};

/**
 * Takes the lock file or throws STORE_LOCKED naming the process that has it. The lock of a dead process is taken
 * over. Within one process the lock is counted: the last release removes the file.
 */
export function acquireLock(file: string, command: string, options: LockOptions = {}): Lock {
  const count = held.get(file) ?? 0;
  if (count === 0) {
    const asker = options.givesWay ? lockAsker(file) : undefined;
    if (asker) throw locked(file, asker);
    take(file, self(command, options));
  }
  held.set(file, count + 1);
  let released = false;
  return {
    release: () => {
      if (released) return;
      released = true;
      const left = (held.get(file) ?? 1) - 1;
      if (left > 0) {
        held.set(file, left);
      } else {
        held.delete(file);
        if (readHolder(file)?.pid === process.pid) rmSync(file, { force: true });
      }
    },
  };
}

/** A server answers what is under way before it lets go. */
const GIVE_WAY_MS = 15_000;
const LOOK_MS = 20;

/** As `acquireLock`; where the holder gives way it is asked to, and waited for. */
export async function askForLock(
  file: string,
  command: string,
  { onWait, signal }: { onWait?(holder: LockHolder): void; readonly signal?: AbortSignal } = {},
): Promise<Lock> {
  try {
    return acquireLock(file, command);
  } catch (error) {
    const holder = lockHolder(file);
    if (!holder?.givesWay) throw error;
    onWait?.(holder);
  }
  const asking = acquireLock(askFile(file), command);
  try {
    for (const end = Date.now() + GIVE_WAY_MS; ; await sleep(LOOK_MS, undefined, signal && { signal })) {
      try {
        return acquireLock(file, command);
      } catch (error) {
        if (!lockHolder(file)?.givesWay || Date.now() > end) throw error;
      }
    }
  } finally {
    asking.release();
  }
}

const askFile = (file: string): string => `${file}.asked`;

const self = (command: string, { givesWay = false }: LockOptions): LockHolder => ({
  pid: process.pid,
  started: processStart(process.pid),
  command,
  ...(givesWay ? { givesWay } : {}),
});

function take(file: string, mine: LockHolder): void {
  const candidate = `${file}.${process.pid}`;
  try {
    mkdirSync(dirname(file), { recursive: true });
    // One that a killed process of this id left may still be the same file as the lock.
    rmSync(candidate, { force: true });
    writeFileSync(candidate, JSON.stringify(mine));
  } catch (error) {
    throw systemError(error, file);
  }
  try {
    for (const end = Date.now() + 2 * GUARD_MS; Date.now() < end; ) {
      try {
        linkSync(candidate, file);
        // Whoever is guarded now finds this lock and leaves it; a guard without an owner was left by a killed process.
        rmSync(guardOf(file), { force: true });
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw systemError(error, file);
      }
      const holder = readHolder(file);
      if (holder && isAlive(holder)) throw locked(file, holder);
      takeAway(file, holder);
    }
    throw locked(file, readHolder(file));
  } finally {
    rmSync(candidate, { force: true });
  }
}

const guardOf = (file: string): string => `${file}.guard`;

/** Removes a stale lock under a guard file, so that two processes never remove each other's fresh lock. */
function takeAway(file: string, stale: LockHolder | undefined): void {
  const guard = guardOf(file);
  try {
    closeSync(openSync(guard, 'wx'));
  } catch {
    const age = statSync(guard, { throwIfNoEntry: false });
    if (age && Math.abs(Date.now() - age.mtimeMs) > GUARD_MS) rmSync(guard, { force: true });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    return;
  }
  try {
    const now = readHolder(file);
    if (now?.pid === stale?.pid && now?.started === stale?.started) rmSync(file, { force: true });
  } finally {
    rmSync(guard, { force: true });
  }
}

const locked = (file: string, holder: LockHolder | undefined): MillraceError =>
  new MillraceError(
    'STORE_LOCKED',
    holder
      ? `Process ${holder.pid} (${holder.command || 'millrace'}) is working on this project`
      : 'Another process is working on this project',
    {
      place: { file },
      ...(holder
        ? { hint: `Wait for it, or stop it (kill ${holder.pid}), and try again.`, data: { ...holder } }
        : {}),
    },
  );
