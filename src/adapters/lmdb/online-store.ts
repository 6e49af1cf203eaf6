/**
 * The online store on LMDB. The log is the durability: commits do not wait for the disk. A killed process loses
 * nothing (the pages are the system's); after a stop of the system while unsynced the files are not trusted, and the
 * store comes up empty with condition `rebuild`. The marker of that is a file of its own, beside the database.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ABORT, open, type RootDatabase } from 'lmdb';
import { MillraceError } from '../../core/base/error.js';
import type { ByteEngine } from '../../core/engine/online/index.js';
import type { OnlineStore } from '../../ports/online-store.js';
import { onlineStoreOver } from '../memory/online-store.js';

export interface LmdbOptions {
  /** Readers do not write the marker and refuse to apply. */
  readonly readOnly?: boolean;
  /** Identity of this run of the system; by default the kernel's boot id. Null: not known. */
  readonly bootId?: string | null;
  /** Opened by a thread beside one that keeps the marker. */
  readonly beside?: boolean;
  /** Bytes that may still be written where the store is; by default the file system is asked. */
  readonly freeBytes?: () => number;
}

/** What the pages of one transaction may take: a mapped page that finds no room ends the process (SIGBUS). */
const LEAST_FREE_BYTES = 16 * 2 ** 20;

const freeBytesOf = (folder: string): number => {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
};

/** How often this thread has each store open for writing: the last one to close it says that all is synced. */
const writers = new Map<string, number>();

interface Marker {
  readonly bootId: string | null;
  /** Written after everything was synced. */
  readonly clean: boolean;
}

function systemBootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return null;
  }
}

function readMarker(file: string): Marker | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Marker;
  } catch {
    return null;
  }
}

function writeMarker(file: string, marker: Marker): void {
  const descriptor = openSync(`${file}.new`, 'w');
  writeSync(descriptor, JSON.stringify(marker));
  fsyncSync(descriptor);
  closeSync(descriptor);
  renameSync(`${file}.new`, file);
}

type Root = RootDatabase<Uint8Array, Uint8Array>;

function lmdbByteEngine(root: Root, requireSpace: () => void): ByteEngine {
  return {
    get: (key) => root.getBinaryFast(key),
    keys: (prefix) => {
      const end = Buffer.alloc(prefix.length + 2048, 0xff);
      end.set(prefix);
      return root
        .getKeys({ start: prefix, end: end.subarray(0, Math.min(end.length, 1978)) })
        .map((key) => Buffer.from(key));
    },
    write: (body) => {
      requireSpace();
      let result: ReturnType<typeof body> | undefined;
      let failure: unknown;
      let failed = false;
      root.transactionSync(() => {
        try {
          result = body({
            get: (key) => root.getBinaryFast(key),
            put: (key, value) => {
              root.putSync(key, value);
            },
            remove: (key) => {
              root.removeSync(key);
            },
          });
          return undefined;
        } catch (error) {
          failure = error;
          failed = true;
          return ABORT;
        }
      });
      if (failed) throw failure;
      return result as ReturnType<typeof body>;
    },
  };
}

/**
 * Opens, or creates, the store in a folder of its own. Writes throw DISK_FULL, and change nothing, where less than 16 MiB
 * are free.
 */
export function openLmdbOnlineStore(folder: string, options: LmdbOptions = {}): OnlineStore {
  const readOnly = options.readOnly ?? false;
  const bootId = options.bootId === undefined ? systemBootId() : options.bootId;
  const file = join(folder, 'online.mdb');
  const markerFile = join(folder, 'online.state.json');
  if (!readOnly) mkdirSync(folder, { recursive: true });
  const marker = readMarker(markerFile);
  const trusted = marker === null || marker.clean || (bootId !== null && marker.bootId === bootId);
  if (!trusted) {
    if (readOnly) {
      throw new MillraceError(
        'NOT_MATERIALIZED',
        'the online store was not synced when the system stopped and has to be built again',
      );
    }
    for (const name of [file, `${file}-lock`]) rmSync(name, { force: true });
  }
  const marks = !readOnly && options.beside !== true;
  if (marks) {
    writeMarker(markerFile, { bootId, clean: false });
    writers.set(file, (writers.get(file) ?? 0) + 1);
  }
  const root: Root = open<Uint8Array, Uint8Array>({
    path: file,
    noSubdir: true,
    readOnly,
    noSync: true,
    useWritemap: true,
    overlappingSync: false,
    // Values of more than half a page take pages of their own: most heads take less than this half.
    pageSize: 8192,
    keyEncoding: 'binary',
    encoding: 'binary',
    maxReaders: 512,
  });
  const sync = async (): Promise<void> => {
    const handle = await openFile(file, 'r+');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  };
  const freeBytes = options.freeBytes ?? ((): number => freeBytesOf(folder));
  const requireSpace = (): void => {
    const free = freeBytes();
    if (free < LEAST_FREE_BYTES)
      throw new MillraceError(
        'DISK_FULL',
        `the online store is not written to: ${(free / 2 ** 20).toFixed(1)} MiB are left for ${folder}, it wants ${LEAST_FREE_BYTES / 2 ** 20}`,
      );
  };
  return onlineStoreOver(lmdbByteEngine(root, requireSpace), {
    condition: trusted ? 'ready' : 'rebuild',
    refresh: () => root.resetReadTxn(),
    sync,
    close: async () => {
      await root.close();
      if (!marks) return;
      await sync();
      const others = writers.get(file)! - 1;
      writers.set(file, others);
      if (others === 0) writeMarker(markerFile, { bootId, clean: true });
    },
  });
}
