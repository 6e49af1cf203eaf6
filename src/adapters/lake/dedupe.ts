import { hash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as lmdb from 'lmdb';
import { canonicalText } from '../../core/base/fingerprint.js';
import type { Source } from '../../core/define/types.js';
import { tupleKey } from '../../core/quality/index.js';
import type { Value } from '../../core/schema/types.js';
import type { LogRecord } from '../../ports/record-log.js';
import { makeFolder } from '../files/durable.js';

/** Bytes of one version in the index: available_at, order (doubles), 128 bits of the content's hash. */
const VERSION_BYTES = 32;
const HASH_BYTES = 16;

const hash16 = (text: string): Buffer => hash('sha256', text, 'buffer').subarray(0, HASH_BYTES);

/** 128 bits of the record key, a typed tuple with lengths. */
export const keyHash = (source: Source, fields: LogRecord['fields']): Buffer =>
  hash16(tupleKey(source.recordKey.map((name) => fields[name] ?? null)));

/** 128 bits of what makes two deliveries of a key the same (see `contentColumns`). */
export function contentHash(source: Source, record: Omit<LogRecord, 'seq'>): Buffer {
  const values: Value[] = source.fields.map((field) => record.fields[field.name] ?? null);
  values.push(record.eventTime, record.deleted);
  if (source.availableAt.kind !== 'append') values.push(record.availableAt);
  if (source.sequence !== undefined) values.push(record.order);
  return hash16(tupleKey(values));
}

export type Entries = readonly (readonly [Buffer, Buffer])[];

export interface VersionIndex {
  /** Records through this seq are in the index. */
  readonly position: number;
  /** Versions of a key, oldest knowledge first, VERSION_BYTES each; undefined: the key is new. */
  get(key: Buffer): Buffer | undefined;
  /** Versions that are on their way to the log: seen at once, kept only in memory. */
  plan(entries: Entries): void;
  /** The planned versions will not come. */
  forget(): void;
  /** Versions that are in the log through `position`: seen at once, written in the background. */
  put(entries: Entries, position: number): void;
  /** Forgets everything: the log is shorter than the index believed. */
  clear(): void;
  /** Waits until everything is written. */
  flush(): Promise<void>;
}

/** The versions of a key with one more, in the order of (available_at, order). */
export function addVersion(
  versions: Buffer | undefined,
  availableAt: number,
  order: number,
  content: Buffer,
): Buffer {
  const entry = Buffer.allocUnsafe(VERSION_BYTES);
  entry.writeDoubleLE(availableAt, 0);
  entry.writeDoubleLE(order, 8);
  content.copy(entry, 16);
  if (!versions) return entry;
  let at = versions.length;
  while (at > 0) {
    const other = versions.readDoubleLE(at - VERSION_BYTES);
    if (
      other < availableAt ||
      (other === availableAt && versions.readDoubleLE(at - VERSION_BYTES + 8) <= order)
    )
      break;
    at -= VERSION_BYTES;
  }
  return Buffer.concat([versions.subarray(0, at), entry, versions.subarray(at)]);
}

/** True when a delivery says nothing new: equal to any version, or (availability `append`) to the last one. */
export function isKnown(versions: Buffer | undefined, content: Buffer, lastOnly: boolean): boolean {
  if (!versions) return false;
  for (let at = versions.length - VERSION_BYTES; at >= 0; at -= VERSION_BYTES) {
    if (versions.compare(content, 0, HASH_BYTES, at + 16, at + VERSION_BYTES) === 0) return true;
    if (lastOnly) return false;
  }
  return false;
}

const bootId = (): string => {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
};

export interface DedupeStore {
  open(source: Source): VersionIndex;
  close(): Promise<void>;
}

/**
 * The index of known versions for all sources, in LMDB. It is a cache of the log: written without waiting for the
 * disk, so after a stop of the whole system that was not orderly it is thrown away and built again.
 */
export function openDedupeStore(folder: string): DedupeStore {
  makeFolder(folder);
  const clean = join(folder, 'clean');
  const boot = join(folder, 'boot');
  const sameBoot = bootId() !== '' && existsSync(boot) && readFileSync(boot, 'utf8') === bootId();
  if (!existsSync(clean) && !sameBoot) rmSync(join(folder, 'data'), { recursive: true, force: true });
  rmSync(clean, { force: true });
  writeFileSync(boot, bootId());
  const root = lmdb.open<Buffer, Buffer>({
    path: join(folder, 'data'),
    noSync: true,
    overlappingSync: false,
    maxDbs: 1024,
    encoding: 'binary',
    keyEncoding: 'binary',
  });
  return {
    open: (source) => openIndex(root, source),
    close: async () => {
      await root.flushed;
      await root.close();
      writeFileSync(clean, '');
    },
  };
}

const POSITION = Buffer.from('position');
const SHAPE = Buffer.from('shape');

function openIndex(root: lmdb.RootDatabase<Buffer, Buffer>, source: Source): VersionIndex {
  const table = root.openDB<Buffer, Buffer>({ name: source.name, encoding: 'binary', keyEncoding: 'binary' });
  const shape = hash16(
    canonicalText([
      source.fields.map((field) => [field.name, JSON.stringify(field.type)]),
      [...source.recordKey],
      source.availableAt.kind === 'append',
      source.sequence ?? null,
    ]),
  );
  const held = table.get(SHAPE);
  if (!held?.equals(shape)) {
    table.clearSync();
    table.putSync(SHAPE, shape);
  }
  const stored = table.get(POSITION);
  let position = stored ? stored.readDoubleLE(0) : 0;
  const planned = new Map<string, Buffer>();
  const young = new Map<string, Buffer>();
  let written: Promise<unknown> = Promise.resolve();
  const drop = (from: Map<string, Buffer>, batch: Entries): void => {
    for (const [key, value] of batch) {
      const name = key.toString('latin1');
      if (from.get(name) === value) from.delete(name);
    }
  };
  return {
    get position() {
      return position;
    },
    get: (key) => {
      if (planned.size === 0 && young.size === 0) return table.get(key);
      const name = key.toString('latin1');
      return planned.get(name) ?? young.get(name) ?? table.get(key);
    },
    plan: (batch) => {
      for (const [key, value] of batch) planned.set(key.toString('latin1'), value);
    },
    forget: () => planned.clear(),
    put: (batch, through) => {
      position = Math.max(position, through);
      for (const [key, value] of batch) young.set(key.toString('latin1'), value);
      drop(planned, batch);
      const mark = Buffer.allocUnsafe(8);
      mark.writeDoubleLE(position, 0);
      written = table
        .batch(() => {
          for (const [key, value] of batch) void table.put(key, value);
          void table.put(POSITION, mark);
        })
        .then(() => drop(young, batch));
    },
    clear: () => {
      table.clearSync();
      table.putSync(SHAPE, shape);
      planned.clear();
      young.clear();
      position = 0;
    },
    flush: async () => {
      await written;
    },
  };
}
