/**
 * A sorted file of versions, written once: entries by (key digest, content digest), then every FENCE-th entry's first
 * word, then a blocked Bloom filter over the keys. Fences and filter are held in memory: a key that is not in the
 * file costs no reading, one that is costs one or two blocks.
 */
import { closeSync, fstatSync, openSync, readSync, rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { MillraceError } from '../../core/base/error.js';
import { systemError } from '../files/errors.js';
import { compareDigests, DIGEST_WORDS, type Digest, isLater, type VersionTable } from './version-table.js';

/** Key, content, available_at and order (doubles). */
const ENTRY_WORDS = 12;
const ENTRY_BYTES = ENTRY_WORDS * 4;
const CONTENT = DIGEST_WORDS;
const CLOCKS = 2 * DIGEST_WORDS;
const FENCE = 64;
/** Bits of the filter for each key, five of them set in a block of 512: 0.6 % of absent keys are looked for in vain. */
const FILTER_BITS = 12;
const BLOCK_WORDS = 16;
/** Entries in one write or read of a whole file: a millisecond or two of work. */
const BUFFER_ENTRIES = 4_096;

const fenceCount = (entries: number): number => Math.ceil(entries / FENCE);
const blockCount = (entries: number): number => Math.max(1, Math.ceil((entries * FILTER_BITS) / 512));

const blockOf = (key: Int32Array, at: number, blocks: number): number =>
  Math.floor(((key[at + 1]! >>> 0) * blocks) / 2 ** 32) * BLOCK_WORDS;

function setFilter(filter: Int32Array, blocks: number, key: Int32Array, at: number): void {
  const block = blockOf(key, at, blocks);
  const third = key[at + 2]!;
  const fourth = key[at + 3]!;
  for (let probe = 0; probe < 5; probe++) {
    const bit = (probe < 3 ? third >>> (9 * probe) : fourth >>> (9 * (probe - 3))) & 511;
    const word = block + (bit >> 5);
    filter[word] = filter[word]! | (1 << (bit & 31));
  }
}

export interface Found {
  availableAt: number;
  order: number;
  readonly content: Digest;
}

export class VersionRun {
  #descriptor: number | undefined;
  readonly #fences: Uint32Array;
  readonly #filter: Int32Array;
  readonly #blocks: number;
  readonly #entry = new Int32Array(FENCE * ENTRY_WORDS);
  readonly #clocks = new Float64Array(this.#entry.buffer);
  #loaded = -1;

  private constructor(
    readonly file: string,
    readonly entries: number,
    descriptor: number,
    fences: Uint32Array,
    filter: Int32Array,
  ) {
    this.#descriptor = descriptor;
    this.#fences = fences;
    this.#filter = filter;
    this.#blocks = filter.length / BLOCK_WORDS;
  }

  /** Undefined when the file is not what it should be. */
  static open(file: string, entries: number): VersionRun | undefined {
    let descriptor: number;
    try {
      descriptor = openSync(file, 'r');
    } catch {
      return undefined;
    }
    const fences = new Uint32Array(fenceCount(entries));
    const start = entries * ENTRY_BYTES;
    const rest = fstatSync(descriptor).size - start - fences.byteLength;
    const whole = rest > 0 && rest % (BLOCK_WORDS * 4) === 0;
    const filter = new Int32Array(whole ? rest / 4 : 0);
    if (
      !whole ||
      readSync(descriptor, fences, 0, fences.byteLength, start) !== fences.byteLength ||
      readSync(descriptor, filter, 0, filter.byteLength, start + fences.byteLength) !== filter.byteLength
    ) {
      closeSync(descriptor);
      return undefined;
    }
    return new VersionRun(file, entries, descriptor, fences, filter);
  }

  #mayHave(key: Digest): boolean {
    const filter = this.#filter;
    const block = blockOf(key, 0, this.#blocks);
    const third = key[2]!;
    const fourth = key[3]!;
    for (let probe = 0; probe < 5; probe++) {
      const bit = (probe < 3 ? third >>> (9 * probe) : fourth >>> (9 * (probe - 3))) & 511;
      if ((filter[block + (bit >> 5)]! & (1 << (bit & 31))) === 0) return false;
    }
    return true;
  }

  #load(block: number): number {
    const from = block * FENCE;
    const count = Math.min(FENCE, this.entries - from);
    if (this.#loaded === block) return count;
    const bytes = count * ENTRY_BYTES;
    this.#loaded = -1;
    if (readSync(this.#descriptor!, this.#entry, 0, bytes, from * ENTRY_BYTES) !== bytes)
      throw new MillraceError('STORE_CORRUPT', `${this.file} ends too early`, { place: { file: this.file } });
    this.#loaded = block;
    return count;
  }

  /** Words of the first loaded entry at or after (key, content); -1: there is none with this key. */
  #seek(key: Digest, content: Digest): number {
    const first = key[0]! >>> 0;
    const fences = this.#fences;
    // Blocks that can hold the first such entry: from the one before the first fence ≥ its first word.
    let low = 0;
    let high = fences.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (fences[middle]! < first) low = middle + 1;
      else high = middle;
    }
    let from = Math.max(0, low - 1);
    let to = from;
    while (to + 1 < fences.length && fences[to + 1]! <= first) to++;
    const entry = this.#entry;
    const before = (at: number): boolean =>
      (compareDigests(entry, at, key, 0) || compareDigests(entry, at + CONTENT, content, 0)) < 0;
    while (from < to) {
      const middle = (from + to) >> 1;
      const count = this.#load(middle);
      if (before((count - 1) * ENTRY_WORDS)) from = middle + 1;
      else to = middle;
    }
    const count = this.#load(from);
    for (let i = 0; i < count; i++) {
      const at = i * ENTRY_WORDS;
      if (before(at)) continue;
      return compareDigests(entry, at, key, 0) === 0 ? at : -1;
    }
    return -1;
  }

  /** The version of a key with the least content at or after this one; false when there is none. */
  find(key: Digest, content: Digest, found: Found): boolean {
    if (!this.#mayHave(key)) return false;
    const at = this.#seek(key, content);
    if (at < 0) return false;
    for (let i = 0; i < DIGEST_WORDS; i++) found.content[i] = this.#entry[at + CONTENT + i]!;
    found.availableAt = this.#clocks[(at + CLOCKS) / 2]!;
    found.order = this.#clocks[(at + CLOCKS) / 2 + 1]!;
    return true;
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  remove(): void {
    this.close();
    rmSync(this.file, { force: true });
  }
}

/** Takes entries in order. */
class RunWriter {
  readonly #buffer = new Int32Array(BUFFER_ENTRIES * ENTRY_WORDS);
  readonly #fences: Uint32Array;
  readonly #filter: Int32Array;
  readonly #blocks: number;
  #entries = 0;
  #held = 0;

  private constructor(
    readonly file: string,
    readonly handle: FileHandle,
    atMost: number,
  ) {
    this.#fences = new Uint32Array(fenceCount(atMost));
    this.#blocks = blockCount(atMost);
    this.#filter = new Int32Array(this.#blocks * BLOCK_WORDS);
  }

  static async create(file: string, atMost: number): Promise<RunWriter> {
    return new RunWriter(file, await open(file, 'w'), atMost);
  }

  /** True: `flush` before the next. */
  add(words: Int32Array, at: number): boolean {
    const to = this.#held * ENTRY_WORDS;
    for (let i = 0; i < ENTRY_WORDS; i++) this.#buffer[to + i] = words[at + i]!;
    if (this.#entries % FENCE === 0) this.#fences[this.#entries / FENCE] = words[at]!;
    setFilter(this.#filter, this.#blocks, words, at);
    this.#entries++;
    this.#held++;
    return this.#held === BUFFER_ENTRIES;
  }

  async flush(): Promise<void> {
    const bytes = new Uint8Array(this.#buffer.buffer, 0, this.#held * ENTRY_BYTES);
    for (let at = 0; at < bytes.length; ) at += (await this.handle.write(bytes, at)).bytesWritten;
    this.#held = 0;
  }

  async finish(): Promise<VersionRun> {
    await this.flush();
    for (const part of [this.#fences.subarray(0, fenceCount(this.#entries)), this.#filter]) {
      const bytes = new Uint8Array(part.buffer, 0, part.byteLength);
      for (let at = 0; at < bytes.length; ) at += (await this.handle.write(bytes, at)).bytesWritten;
    }
    await this.handle.datasync();
    await this.handle.close();
    return VersionRun.open(this.file, this.#entries)!;
  }
}

async function written(
  file: string,
  atMost: number,
  work: (writer: RunWriter) => Promise<void>,
): Promise<VersionRun> {
  let writer: RunWriter | undefined;
  try {
    writer = await RunWriter.create(file, atMost);
    await work(writer);
    return await writer.finish();
  } catch (error) {
    await writer?.handle.close().catch(() => undefined);
    rmSync(file, { force: true });
    throw systemError(error, file);
  }
}

/** A table as a file. `lastOnly`: of each key only the version that is known last. */
export const writeRun = (file: string, table: VersionTable, lastOnly: boolean): Promise<VersionRun> =>
  written(file, table.size, async (writer) => {
    const { keys, contents, clocks } = table;
    const entry = new Int32Array(ENTRY_WORDS);
    const doubles = new Float64Array(entry.buffer);
    const sorting = table.sorted();
    let step = sorting.next();
    for (; !step.done; step = sorting.next()) await new Promise<void>((resolve) => setImmediate(resolve));
    const rows = step.value;
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!;
      if (lastOnly && table.lastOfKey(row) !== row) continue;
      for (let w = 0; w < DIGEST_WORDS; w++) {
        entry[w] = keys[row * DIGEST_WORDS + w]!;
        entry[CONTENT + w] = contents[row * DIGEST_WORDS + w]!;
      }
      doubles[CLOCKS / 2] = clocks[row * 3]!;
      doubles[CLOCKS / 2 + 1] = clocks[row * 3 + 1]!;
      if (writer.add(entry, 0)) await writer.flush();
    }
  });

/** Reads a run from its beginning to its end. */
class Cursor {
  readonly words = new Int32Array(BUFFER_ENTRIES * ENTRY_WORDS);
  readonly doubles = new Float64Array(this.words.buffer);
  at = 0;
  #held = 0;
  #read = 0;

  private constructor(
    readonly handle: FileHandle,
    readonly entries: number,
  ) {}

  static async open(run: VersionRun): Promise<Cursor> {
    const cursor = new Cursor(await open(run.file, 'r'), run.entries);
    await cursor.fill();
    return cursor;
  }

  get ended(): boolean {
    return this.#held === 0;
  }

  /** True: `fill` before looking. */
  advance(): boolean {
    this.at += ENTRY_WORDS;
    return this.at === this.#held * ENTRY_WORDS;
  }

  async fill(): Promise<void> {
    this.at = 0;
    this.#held = Math.min(BUFFER_ENTRIES, this.entries - this.#read);
    const bytes = this.#held * ENTRY_BYTES;
    for (let got = 0; got < bytes; ) {
      const { bytesRead } = await this.handle.read(
        new Uint8Array(this.words.buffer),
        got,
        bytes - got,
        this.#read * ENTRY_BYTES + got,
      );
      if (bytesRead === 0) throw new MillraceError('STORE_CORRUPT', 'an index of record keys ends too early');
      got += bytesRead;
    }
    this.#read += this.#held;
  }
}

/** Several runs, oldest first, as one. */
export const mergeRuns = (
  file: string,
  runs: readonly VersionRun[],
  lastOnly: boolean,
): Promise<VersionRun> =>
  written(
    file,
    runs.reduce((sum, run) => sum + run.entries, 0),
    async (writer) => {
      const cursors: Cursor[] = [];
      try {
        for (const run of runs) cursors.push(await Cursor.open(run));
        const compare = (a: Cursor, b: Cursor): number =>
          compareDigests(a.words, a.at, b.words, b.at) ||
          (lastOnly ? 0 : compareDigests(a.words, a.at + CONTENT, b.words, b.at + CONTENT));
        for (;;) {
          let least: Cursor | undefined;
          for (const cursor of cursors)
            if (!cursor.ended && (least === undefined || compare(cursor, least) < 0)) least = cursor;
          if (least === undefined) return;
          // Of one key in several runs the version known last stays; the younger run wins a tie.
          let kept = least;
          if (lastOnly) {
            const clock = (cursor: Cursor, i: number): number =>
              cursor.doubles[(cursor.at + CLOCKS) / 2 + i]!;
            for (const cursor of cursors) {
              if (cursor === least || cursor.ended || compare(cursor, least) !== 0) continue;
              const late = isLater(clock(kept, 0), clock(kept, 1), clock(cursor, 0), clock(cursor, 1));
              if (!late) kept = cursor;
            }
          }
          if (writer.add(kept.words, kept.at)) await writer.flush();
          if (lastOnly) {
            for (const cursor of cursors) {
              if (cursor === least || cursor.ended || compare(cursor, least) !== 0) continue;
              if (cursor.advance()) await cursor.fill();
            }
          }
          if (least.advance()) await least.fill();
        }
      } finally {
        for (const cursor of cursors) await cursor.handle.close().catch(() => undefined);
      }
    },
  );
