/** Arranged batches in memory or in a file, and the sweep of one block over all of them. One of these to a thread. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { deserialize, serialize, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  arrange,
  type BatchShape,
  type BlockObservations,
  Gatherer,
  type Leftover,
  type Segment,
  type Slot,
  sweepBlock,
  type Wanted,
} from '../../core/engine/blocks.js';
import type { Value } from '../../core/schema/types.js';

/** What a thread needs to know of a sweep: plain data and shared memory. */
export interface SweepJob {
  readonly shape: BatchShape;
  readonly observations: BlockObservations;
  readonly wanted: Wanted;
  readonly slots: readonly Slot[];
  /** Arranged batches go to this file; null: they stay in memory. */
  readonly file: string | null;
}

/** An arranged batch, readable by every thread: its rows, then for each block its objects as bytes. */
export interface StoredBatch {
  readonly starts: Int32Array;
  /** Where the objects of each block begin, counted from the end of the rows; null when there are none. */
  readonly objects: Float64Array | null;
  readonly held: ArrayBufferLike | { readonly file: string; readonly at: number };
}

export type Dictionaries = ReadonlyMap<string, readonly Value[]>;

const isFile = (held: StoredBatch['held']): held is { readonly file: string; readonly at: number } =>
  'file' in held;

/** A block leaves arrays behind, some hundred bytes for each row; V8 lets them gather far beyond that. */
const COLLECT_ROWS = 1 << 19;
let collector: (() => void) | undefined;

/** Only where memory is short: under a limit that records exceed. */
function collectGarbage(): void {
  if (collector === undefined) {
    setFlagsFromString('--expose-gc');
    collector = runInNewContext('gc') as () => void;
  }
  collector();
}

export class SweepBlocks {
  private readonly files = new Map<string, number>();
  private arranged = new ArrayBuffer(0);
  private read = new ArrayBuffer(0);
  private end = 0;

  constructor(private readonly job: SweepJob) {}

  /** Arranges the first rows of a batch of `capacity` rows and keeps them. */
  store(
    batch: ArrayBufferLike,
    capacity: number,
    rows: number,
    objects: readonly (readonly Value[])[],
  ): StoredBatch {
    const { shape, file } = this.job;
    const size = rows * shape.stride;
    if (file !== null && this.arranged.byteLength < size) this.arranged = new ArrayBuffer(size);
    const target = file === null ? new SharedArrayBuffer(size) : this.arranged;
    const { starts, objects: kept } = arrange(shape, batch, capacity, rows, objects, target);
    const blobs: Buffer[] = [];
    let places: Float64Array | null = null;
    if (kept.length > 0) {
      places = new Float64Array(shape.blocks + 1);
      for (let b = 0; b < shape.blocks; b++) {
        const blob = serialize(kept.map((values) => values.slice(starts[b]!, starts[b + 1]!)));
        blobs.push(blob);
        places[b + 1] = places[b]! + blob.length;
      }
    }
    const tail = places === null ? 0 : places[shape.blocks]!;
    if (file !== null) {
      const at = this.end;
      this.write(file, new Uint8Array(target, 0, size));
      for (const blob of blobs) this.write(file, blob);
      return { starts, objects: places, held: { file, at } };
    }
    if (tail === 0) return { starts, objects: places, held: target };
    const whole = new SharedArrayBuffer(size + tail);
    const bytes = new Uint8Array(whole);
    bytes.set(new Uint8Array(target));
    for (const [b, blob] of blobs.entries()) bytes.set(blob, size + places![b]!);
    return { starts, objects: places, held: whole };
  }

  /** Sweeps blocks until `next` gives a negative number. */
  sweep(batches: readonly StoredBatch[], dictionaries: Dictionaries, next: () => number): Leftover[] {
    const { shape, observations, wanted, slots, file } = this.job;
    let uncollected = 0;
    const gatherer = new Gatherer(shape, dictionaries);
    const leftovers: Leftover[] = [];
    for (let block = next(); block >= 0; block = next()) {
      if (observations.starts[block] === observations.starts[block + 1]) continue;
      const records = gatherer.records(block, this.segments(block, batches));
      leftovers.push(...sweepBlock(shape, block, records, observations, wanted, slots));
      uncollected += records.rows;
      if (file === null || uncollected < COLLECT_ROWS) continue;
      collectGarbage();
      uncollected = 0;
    }
    return leftovers;
  }

  close(): void {
    for (const descriptor of this.files.values()) closeSync(descriptor);
    this.files.clear();
  }

  private segments(block: number, batches: readonly StoredBatch[]): Segment[] {
    const { stride } = this.job.shape;
    const places = batches.map(({ starts, objects, held }) => {
      const first = starts[block]!;
      const last = starts[block + 1]!;
      const end = starts[starts.length - 1]!;
      return {
        held,
        rows: last - first,
        at: first * stride,
        objects: objects && {
          at: end * stride + objects[block]!,
          size: objects[block + 1]! - objects[block]!,
        },
      };
    });
    const spilled = places.reduce((sum, { held, rows }) => sum + (isFile(held) ? rows : 0), 0);
    if (this.read.byteLength < spilled * stride)
      this.read = new ArrayBuffer(Math.ceil(spilled * stride * 1.25));
    let filled = 0;
    return places.map(({ held, rows, at, objects }) => {
      if (!isFile(held))
        return {
          buffer: held,
          offset: at,
          rows,
          objects: objects === null ? [] : unpack(Buffer.from(held, objects.at, objects.size)),
        };
      const offset = filled;
      const bytes = new Uint8Array(this.read, offset, rows * stride);
      filled += bytes.length;
      this.fill(held.file, held.at + at, bytes);
      const blob = objects && Buffer.alloc(objects.size);
      if (blob) this.fill(held.file, held.at + objects.at, blob);
      return { buffer: this.read, offset, rows, objects: blob === null ? [] : unpack(blob) };
    });
  }

  private descriptor(file: string): number {
    let descriptor = this.files.get(file);
    if (descriptor === undefined) {
      descriptor = openSync(file, file === this.job.file ? 'a+' : 'r', 0o600);
      this.files.set(file, descriptor);
    }
    return descriptor;
  }

  private write(file: string, bytes: Uint8Array): void {
    const descriptor = this.descriptor(file);
    for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done, bytes.length - done);
    this.end += bytes.length;
  }

  private fill(file: string, from: number, bytes: Uint8Array): void {
    const descriptor = this.descriptor(file);
    for (let done = 0; done < bytes.length; ) {
      const got = readSync(descriptor, bytes, done, bytes.length - done, from + done);
      if (got === 0) throw new Error(`millrace invariant broken: ${file} ends early`);
      done += got;
    }
  }
}

const unpack = (bytes: Uint8Array): readonly (readonly Value[])[] => deserialize(bytes) as Value[][];
