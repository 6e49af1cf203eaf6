/**
 * Which versions of a record key a group has applied. They are needed for corrections alone, so they are written the
 * cheapest way: one after the other by seq, in blocks, and found by hash in sorted runs.
 *
 * A block holds the versions with seqs [b * 2^block, (b + 1) * 2^block) as they came. When the position passes
 * 2^fan blocks, their hashes are sorted into a run of level 1; when it passes 2^fan runs, these become one run of the
 * next level, up to LEVELS. A run is cut by leading bits of the hash into chunks of two doubles a version: hash and
 * seq. All of it is a function of the records and of the position.
 */
import { invariant } from '../../base/error.js';
import type { AppliedRecord, Bytes, Counts } from './applied.js';
import { KIND, runKey, type Spelled, spellTuple } from './key.js';
import type { OnlineGroup } from './plan.js';

export interface Version {
  readonly from: number;
  readonly order: number;
  readonly seq: number;
  readonly eventTime: number;
  readonly deleted: boolean;
  /** Tuple of the entity, latin1 of its bytes; null when a key field is null. */
  readonly entity: string | null;
}

/** Levels of runs above the blocks. Those of the last one are never joined. */
const LEVELS = 4;
const ENTRY = 16;
const HASH_BITS = 53;

const MARK = { deleted: 1, entity: 2, from: 4, order: 8 } as const;

let page = Buffer.allocUnsafe(1 << 16);
let used = 0;

function reserve(more: number): void {
  if (used + more <= page.length) return;
  const larger = Buffer.allocUnsafe(Math.max(page.length * 2, used + more));
  page.copy(larger, 0, 0, used);
  page = larger;
}

function writeSize(size: number): void {
  let left = size;
  while (left > 127) {
    page[used++] = (left & 127) | 128;
    left = Math.floor(left / 128);
  }
  page[used++] = left;
}

let cursor = 0;
function readSize(bytes: Uint8Array): number {
  let size = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[cursor++]!;
    size += (byte & 127) * scale;
    if (byte < 128) return size;
  }
}

function writeBytes({ bytes, length }: Spelled): void {
  if (length > 64) bytes.copy(page, used, 0, length);
  else for (let i = 0; i < length; i++) page[used + i] = bytes[i]!;
  used += length;
}

/** 53 bits, as an integer: two FNV-1a hashes with two primes, each scattered as MurmurHash3 ends. */
function hash({ bytes, length }: Spelled): number {
  let a = 0x811c9dc5;
  let b = 0x2f0b4c47;
  for (let i = 0; i < length; i++) {
    const byte = bytes[i]!;
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0x85ebca6b);
    b ^= b >>> 15;
  }
  return scatter(a ^ length) * 2 ** 21 + (scatter(b + length) >>> 11);
}

function scatter(word: number): number {
  let x = word;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

const blockKey = (number: number, block: number): Buffer => runKey(number, KIND.versions, 0, block, 0);

/** Leading bits of the hash that name a chunk of a run: two blocks' worth of versions in each. */
const chunkBits = (group: OnlineGroup, level: number): number => Math.max(0, group.seal.fan * level - 1);

/** Seqs that one run of a level covers; a block is level 0. */
const widthOf = (group: OnlineGroup, level: number): number =>
  2 ** (group.seal.block + group.seal.fan * level);

/** Runs of a level that stand below the next level's when all before `next` is applied: [first, end). */
function openRuns(group: OnlineGroup, level: number, next: number): readonly [number, number] {
  const end = Math.floor(next / widthOf(group, level));
  const first = level === LEVELS ? 0 : Math.floor(next / widthOf(group, level + 1)) * 2 ** group.seal.fan;
  return [first, end];
}

/**
 * Appends versions, given in seq order, and says for each the tuple of its entity. What was applied before reaches
 * `applied`; afterwards all through `through` is.
 */
export function appendVersions(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  records: readonly AppliedRecord[],
  applied: number,
  through: number,
  counts: Counts,
): (string | null)[] {
  const width = widthOf(group, 0);
  const runs = new Set<number>();
  const entities: (string | null)[] = new Array(records.length);
  let block = -1;
  let before = 0;
  const put = (): void => {
    if (block < 0) return;
    bytes.put(blockKey(number, block), page.subarray(0, used));
    counts.bytes += used - before;
  };
  for (let i = 0; i < records.length; i++) {
    const { fields, seq, eventTime, availableAt, order, deleted } = records[i]!;
    const home = Math.floor(seq / width);
    if (home !== block) {
      put();
      block = home;
      runs.add(Math.floor(home / 2 ** group.seal.fan));
      used = 0;
      const stored = Math.floor(applied / width) === home ? bytes.get(blockKey(number, home)) : undefined;
      before = stored?.length ?? 0;
      if (stored) {
        reserve(before);
        page.set(new Uint8Array(stored.buffer, stored.byteOffset, before));
        used = before;
      }
    }
    const key = spellTuple(fields, group.recordKey, false)!;
    reserve(key.length + 64);
    const flagsAt = used;
    page[used + 1] = seq - home * width;
    page.writeDoubleLE(hash(key), used + 2);
    page.writeDoubleLE(eventTime, used + 10);
    used += 18;
    let flags = deleted ? MARK.deleted : 0;
    if (availableAt !== eventTime) {
      flags |= MARK.from;
      page.writeDoubleLE(availableAt, used);
      used += 8;
    }
    if (order !== seq) {
      flags |= MARK.order;
      page.writeDoubleLE(order, used);
      used += 8;
    }
    writeSize(key.length);
    writeBytes(key);
    const entity = spellTuple(fields, group.keyFields, true);
    entities[i] = null;
    if (entity) {
      flags |= MARK.entity;
      reserve(entity.length + 8);
      entities[i] = entity.bytes.toString('latin1', 0, entity.length);
      writeSize(entity.length);
      writeBytes(entity);
    }
    page[flagsAt] = flags;
  }
  put();
  runs.add(Math.floor((applied + 1) / widthOf(group, 1)));
  sealRuns(bytes, group, number, runs, applied + 1, through + 1, counts);
  return entities;
}

/** Hash and seq of the versions that become a run, and those sorted. */
let entries = new Float64Array(1 << 12);
let sorted = new Float64Array(1 << 12);
let ranked = new Float64Array(1 << 11);

/** Sorts `n` entries by the upper 32 bits of the hash, then as they were given, and writes them as a run's chunks. */
function writeChunks(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  level: number,
  run: number,
  n: number,
  counts: Counts,
): void {
  invariant(n < 2 ** 21, 'too many versions share the leading bits of their hash');
  if (ranked.length < n) {
    ranked = new Float64Array(n * 2);
    sorted = new Float64Array(n * 4);
  }
  for (let i = 0; i < n; i++) ranked[i] = Math.floor(entries[2 * i]! / 2 ** 21) * 2 ** 21 + i;
  ranked.subarray(0, n).sort();
  for (let i = 0; i < n; i++) {
    const from = 2 * (ranked[i]! % 2 ** 21);
    sorted[2 * i] = entries[from]!;
    sorted[2 * i + 1] = entries[from + 1]!;
  }
  const scale = 2 ** (HASH_BITS - chunkBits(group, level));
  for (let start = 0; start < n; ) {
    const chunk = Math.floor(sorted[2 * start]! / scale);
    let end = start + 1;
    while (end < n && Math.floor(sorted[2 * end]! / scale) === chunk) end++;
    const size = (end - start) * ENTRY;
    bytes.put(
      runKey(number, KIND.run, level, run, chunk),
      new Uint8Array(sorted.buffer, start * ENTRY, size),
    );
    counts.bytes += size;
    start = end;
  }
}

function pushEntry(n: number, hashed: number, seq: number): void {
  if (entries.length < 2 * (n + 1)) {
    const larger = new Float64Array(entries.length * 2);
    larger.set(entries);
    entries = larger;
  }
  entries[2 * n] = hashed;
  entries[2 * n + 1] = seq;
}

const bufferOf = (stored: Uint8Array): Buffer => Buffer.from(stored.buffer, stored.byteOffset, stored.length);

/** Makes the runs that the position completes: before it all below `from` was applied, now all below `next`. */
function sealRuns(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  lowest: ReadonlySet<number>,
  from: number,
  next: number,
  counts: Counts,
): void {
  const fan = 2 ** group.seal.fan;
  let candidates = lowest;
  for (let level = 1; level <= LEVELS; level++) {
    const width = widthOf(group, level);
    const end = Math.floor(next / width);
    for (const run of [...candidates].sort((a, b) => a - b)) {
      if (run >= end || run < Math.floor(from / width)) continue;
      if (level === 1) {
        let n = 0;
        for (let block = run * fan; block < (run + 1) * fan; block++) {
          const stored = bytes.get(blockKey(number, block));
          if (!stored) continue;
          const buffer = bufferOf(stored);
          const base = block * widthOf(group, 0);
          for (cursor = 0; cursor < buffer.length; ) {
            const at = cursor;
            skipVersion(buffer);
            pushEntry(n++, buffer.readDoubleLE(at + 2), base + buffer[at + 1]!);
          }
        }
        writeChunks(bytes, group, number, 1, run, n, counts);
        continue;
      }
      for (let chunk = 0; chunk < 2 ** chunkBits(group, level - 1); chunk++) {
        let n = 0;
        for (let child = run * fan; child < (run + 1) * fan; child++) {
          const key = runKey(number, KIND.run, level - 1, child, chunk);
          const stored = bytes.get(key);
          if (!stored) continue;
          const buffer = bufferOf(stored);
          counts.bytes -= buffer.length;
          for (let at = 0; at < buffer.length; at += ENTRY)
            pushEntry(n++, buffer.readDoubleLE(at), buffer.readDoubleLE(at + 8));
          bytes.remove(key);
        }
        writeChunks(bytes, group, number, level, run, n, counts);
      }
    }
    candidates = new Set([...candidates, Math.floor(from / width)].map((run) => Math.floor(run / fan)));
  }
}

/** Moves the cursor behind the version that begins there; gives where its key begins. */
function skipVersion(buffer: Buffer): number {
  const flags = buffer[cursor]!;
  cursor += 18 + (flags & MARK.from ? 8 : 0) + (flags & MARK.order ? 8 : 0);
  const size = readSize(buffer);
  const keyAt = cursor;
  cursor += size;
  if (flags & MARK.entity) {
    const length = readSize(buffer);
    cursor += length;
  }
  return keyAt;
}

/** The version that begins at `at`, if its key is this one. */
function versionAt(buffer: Buffer, at: number, base: number, key: string): Version | null {
  const flags = buffer[at]!;
  const eventTime = buffer.readDoubleLE(at + 10);
  const seq = base + buffer[at + 1]!;
  cursor = at + 18;
  let from = eventTime;
  let order = seq;
  if (flags & MARK.from) {
    from = buffer.readDoubleLE(cursor);
    cursor += 8;
  }
  if (flags & MARK.order) {
    order = buffer.readDoubleLE(cursor);
    cursor += 8;
  }
  const size = readSize(buffer);
  if (size !== key.length || buffer.toString('latin1', cursor, cursor + size) !== key) return null;
  cursor += size;
  let entity: string | null = null;
  if (flags & MARK.entity) {
    const length = readSize(buffer);
    entity = buffer.toString('latin1', cursor, cursor + length);
  }
  return { from, order, seq, eventTime, deleted: (flags & MARK.deleted) !== 0, entity };
}

/** The versions of record keys (latin1 of their tuples) among those applied through `applied`. */
export function findVersions(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  keys: readonly string[],
  applied: number,
): Version[][] {
  const found: Version[][] = keys.map(() => []);
  if (applied === 0 || keys.length === 0) return found;
  const next = applied + 1;
  const hashes = new Float64Array(keys.length);
  const byHash = new Map<number, number[]>();
  keys.forEach((key, i) => {
    const spelled = Buffer.from(key, 'latin1');
    const hashed = hash({ bytes: spelled, length: spelled.length });
    hashes[i] = hashed;
    byHash.set(hashed, [...(byHash.get(hashed) ?? []), i]);
  });
  const wanted = Array.from(keys, (_, i) => i).sort((a, b) => hashes[a]! - hashes[b]!);

  const width = widthOf(group, 0);
  const [firstBlock] = openRuns(group, 0, next);
  for (let block = firstBlock; block <= Math.floor(applied / width); block++) {
    const stored = bytes.get(blockKey(number, block));
    if (!stored) continue;
    const buffer = bufferOf(stored);
    for (cursor = 0; cursor < buffer.length; ) {
      const at = cursor;
      skipVersion(buffer);
      const after = cursor;
      const asked = byHash.get(buffer.readDoubleLE(at + 2));
      for (const i of asked ?? []) {
        const version = versionAt(buffer, at, block * width, keys[i]!);
        if (version) found[i]!.push(version);
      }
      cursor = after;
    }
  }

  const seqs: { readonly i: number; readonly seq: number }[] = [];
  for (let level = 1; level <= LEVELS; level++) {
    const [first, end] = openRuns(group, level, next);
    const scale = 2 ** (HASH_BITS - chunkBits(group, level));
    for (let run = first; run < end; run++) {
      let chunk = -1;
      let buffer: Buffer | null = null;
      for (const i of wanted) {
        const hashed = hashes[i]!;
        const home = Math.floor(hashed / scale);
        if (home !== chunk) {
          chunk = home;
          const stored = bytes.get(runKey(number, KIND.run, level, run, chunk));
          buffer = stored ? bufferOf(stored) : null;
        }
        if (!buffer) continue;
        const leading = Math.floor(hashed / 2 ** 21);
        const leadingAt = (place: number): number =>
          Math.floor(buffer!.readDoubleLE(place * ENTRY) / 2 ** 21);
        const count = buffer.length / ENTRY;
        let from = 0;
        let to = count;
        while (from < to) {
          const middle = (from + to) >>> 1;
          if (leadingAt(middle) < leading) from = middle + 1;
          else to = middle;
        }
        for (let place = from; place < count && leadingAt(place) === leading; place++)
          if (buffer.readDoubleLE(place * ENTRY) === hashed)
            seqs.push({ i, seq: buffer.readDoubleLE(place * ENTRY + 8) });
      }
    }
  }
  seqs.sort((a, b) => a.seq - b.seq);
  for (const { i, seq } of seqs) {
    const block = Math.floor(seq / width);
    const stored = bytes.get(blockKey(number, block));
    invariant(stored, `versions ${block} are missing`);
    const buffer = bufferOf(stored);
    for (cursor = 0; cursor < buffer.length; ) {
      const at = cursor;
      skipVersion(buffer);
      if (buffer[at + 1] !== seq - block * width) continue;
      const version = versionAt(buffer, at, block * width, keys[i]!);
      if (version) found[i]!.push(version);
      break;
    }
  }
  return found;
}
