/**
 * A process that dies between any two of its writes: `arm(n)` lets n writes through, the next one is done in part or
 * not at all, and everything after it fails, until `revive`. Power loss takes what was not synced as well.
 */
import type * as Fs from 'node:fs';
import type * as FsPromises from 'node:fs/promises';
import type { Database } from '../../src/adapters/sqlite/database.js';
import type { ByteEngine } from '../../src/core/engine/online/index.js';

export class Crash extends Error {
  constructor() {
    super('the process is dead');
  }
}

let left = Infinity;
let dead = false;
let fraction = 0;
let steps = 0;
let actual: typeof Fs;
const descriptors = new Map<number, string>();
/** Bytes that are on the disk, of files that hold more. */
const unsynced = new Map<string, number>();

export const faults = {
  /** `part`: how much of the write that is cut off reaches the file, 0 to 1. */
  arm(writes: number, part: number): void {
    left = writes;
    fraction = part;
  },
  disarm(): void {
    left = Infinity;
  },
  kill(): void {
    dead = true;
  },
  get dead(): boolean {
    return dead;
  },
  get steps(): number {
    return steps;
  },
  /** Closes what the dead process had open; after a loss of power, `keep` says how much of the unsynced bytes is left. */
  revive(keep: ((bytes: number) => number) | null): void {
    for (const descriptor of descriptors.keys()) actual.closeSync(descriptor);
    descriptors.clear();
    if (keep)
      for (const [file, synced] of unsynced) {
        const size = actual.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
        if (size > synced) actual.truncateSync(file, synced + keep(size - synced));
      }
    unsynced.clear();
    dead = false;
    left = Infinity;
  },
};

function step(): void {
  if (dead) throw new Crash();
  steps++;
  if (left-- > 0) return;
  dead = true;
  throw new Crash();
}

const path = (file: Fs.PathLike): string => String(file);
const touch = (file: string): void => {
  if (!unsynced.has(file)) unsynced.set(file, actual.statSync(file, { throwIfNoEntry: false })?.size ?? 0);
};
const settle = (file: string | undefined): void => {
  if (file !== undefined) unsynced.delete(file);
};

export function faultyFs(real: typeof Fs): typeof Fs {
  actual = real;
  const guarded = <F extends (...args: never[]) => unknown>(work: F): F =>
    ((...args: never[]) => {
      step();
      return work(...args);
    }) as F;
  const writing = (flags: unknown): boolean => typeof flags === 'string' && flags !== 'r';
  const wrapped = {
    openSync: (file: Fs.PathLike, flags: Fs.OpenMode = 'r', mode?: Fs.Mode) => {
      if (writing(flags)) step();
      const descriptor = real.openSync(file, flags, mode);
      descriptors.set(descriptor, path(file));
      return descriptor;
    },
    closeSync: (descriptor: number) => {
      if (!descriptors.delete(descriptor)) throw new Crash();
      real.closeSync(descriptor);
    },
    writeSync: (descriptor: number, bytes: Buffer, offset = 0, length = bytes.length, position?: number) => {
      touch(descriptors.get(descriptor)!);
      try {
        step();
      } catch (error) {
        const part = Math.floor(length * fraction);
        if (left === -1 && part > 0) real.writeSync(descriptor, bytes, offset, part, position);
        left = -2;
        throw error;
      }
      return real.writeSync(descriptor, bytes, offset, length, position);
    },
    writeFileSync: (file: string, data: string | Uint8Array, options?: Fs.WriteFileOptions) => {
      step();
      touch(file);
      real.writeFileSync(file, data, options);
      unsynced.set(file, 0);
    },
    fdatasync: (descriptor: number, done: (error: Error | null) => void) => {
      try {
        step();
      } catch (error) {
        setImmediate(() => done(error as Error));
        return;
      }
      const file = descriptors.get(descriptor);
      real.fdatasync(descriptor, (error) => {
        if (!error) settle(file);
        done(error);
      });
    },
    fdatasyncSync: guarded((descriptor: number) => {
      real.fdatasyncSync(descriptor);
      settle(descriptors.get(descriptor));
    }),
    fsyncSync: guarded((descriptor: number) => {
      real.fsyncSync(descriptor);
      settle(descriptors.get(descriptor));
    }),
    ftruncateSync: guarded(real.ftruncateSync),
    rmSync: guarded((file: string, options?: Fs.RmOptions) => {
      unsynced.delete(file);
      real.rmSync(file, options);
    }),
    linkSync: guarded(real.linkSync),
    mkdirSync: guarded(real.mkdirSync),
    renameSync: guarded((from: string, to: string) => {
      const held = unsynced.get(from);
      real.renameSync(from, to);
      unsynced.delete(from);
      unsynced.delete(to);
      if (held !== undefined) unsynced.set(to, held);
    }),
  };
  return { ...real, ...wrapped, default: { ...real, ...wrapped } } as unknown as typeof Fs;
}

export function faultyPromises(real: typeof FsPromises): typeof FsPromises {
  const open: typeof real.open = async (file, flags, mode) => {
    const reads = flags === undefined || flags === 'r';
    if (!reads) step();
    const handle = await real.open(file, flags, mode);
    if (reads) return handle;
    touch(path(file as string));
    return new Proxy(handle, {
      get: (target, key) => {
        const value = Reflect.get(target, key, target) as unknown;
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          if (key === 'write' || key === 'writev' || key === 'truncate') step();
          const result: unknown = await value.apply(target, args);
          if (key === 'sync' || key === 'datasync') settle(path(file as string));
          return result;
        };
      },
    });
  };
  return { ...real, open, default: { ...real, open } } as unknown as typeof FsPromises;
}

/** SQLite, whose process may die before a transaction begins, before it commits, or between two statements. */
export function faultyDatabase(db: Database): Database {
  return new Proxy(db, {
    get: (target, key) => {
      const value = Reflect.get(target, key, target) as unknown;
      if (key === 'exec')
        return (sql: string) => {
          if (/^(BEGIN|COMMIT)/.test(sql)) step();
          target.exec(sql);
        };
      if (key === 'prepare')
        return (sql: string) =>
          new Proxy(target.prepare(sql), {
            get: (statement, name) => {
              const member = Reflect.get(statement, name, statement) as unknown;
              if (typeof member !== 'function') return member;
              return (...args: unknown[]) => {
                if (name === 'run') step();
                return member.apply(statement, args) as unknown;
              };
            },
          });
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Writes are all or nothing, as the engine promises; the process may die inside of one, before or after. */
export function faultyEngine(engine: ByteEngine): ByteEngine {
  return {
    get: (key) => engine.get(key),
    keys: (prefix) => engine.keys(prefix),
    write: (body) => {
      step();
      const result = engine.write((bytes) =>
        body({
          get: (key) => bytes.get(key),
          put: (key, value) => {
            step();
            bytes.put(key, value);
          },
          remove: (key) => {
            step();
            bytes.remove(key);
          },
        }),
      );
      step();
      return result;
    },
  };
}
