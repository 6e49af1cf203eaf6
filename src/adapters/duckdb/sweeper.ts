/**
 * Where batches of scanned records go and swept columns come from: this thread, or threads that arrange batches while
 * the scan goes on and then take blocks, the largest first. Values do not depend on the number of threads.
 */
import type { Worker } from 'node:worker_threads';
import { MillraceError } from '../../core/base/error.js';
import type { Leftover } from '../../core/engine/blocks.js';
import type { Value } from '../../core/schema/types.js';
import { createChanges, startModule } from '../../thread.js';
import { type Dictionaries, type StoredBatch, SweepBlocks, type SweepJob } from './sweep-blocks.js';

export type ToWorker =
  | {
      readonly kind: 'batch';
      readonly id: number;
      readonly buffer: ArrayBufferLike;
      readonly capacity: number;
      readonly rows: number;
      readonly objects: readonly (readonly Value[])[];
    }
  | {
      readonly kind: 'sweep';
      readonly batches: readonly StoredBatch[];
      readonly dictionaries: Dictionaries;
      readonly order: Int32Array;
      /** How many of `order` are taken; shared. */
      readonly taken: Int32Array;
    };

export type FromWorker =
  | {
      readonly kind: 'stored';
      readonly id: number;
      readonly buffer: ArrayBufferLike;
      readonly stored: StoredBatch;
    }
  | { readonly kind: 'swept'; readonly leftovers: readonly Leftover[] };

export interface Sweeper {
  /** Memory for a batch; waits while all of it is in use. */
  take(): ArrayBufferLike | Promise<ArrayBufferLike>;
  /** Gives a batch away: its memory is taken back. */
  give(buffer: ArrayBufferLike, rows: number, objects: readonly (readonly Value[])[]): void;
  /** After the last batch. */
  finish(dictionaries: Dictionaries): Promise<readonly Leftover[]>;
  close(): Promise<void>;
}

/** The next block of the order, -1 after the last; threads share `taken`. */
export const takeFrom = (order: Int32Array, taken: Int32Array) => (): number => {
  const i = Atomics.add(taken, 0, 1);
  return i < order.length ? order[i]! : -1;
};

/** Blocks by their number of records and observations, largest first, so that none of the largest is left to the end. */
function largestFirst({ shape, observations }: SweepJob, batches: readonly StoredBatch[]): Int32Array {
  const size = new Float64Array(shape.blocks);
  for (let b = 0; b < shape.blocks; b++) {
    size[b] = observations.starts[b + 1]! - observations.starts[b]!;
    for (const { starts } of batches) size[b] = size[b]! + starts[b + 1]! - starts[b]!;
  }
  return Int32Array.from(size.keys()).sort((a, b) => size[b]! - size[a]! || a - b);
}

/** So long a thread may keep an interruption waiting. */
const BREATH_MS = 50;

const interrupted = (): MillraceError => new MillraceError('INTERRUPTED', 'The work was interrupted');

export function inlineSweeper(job: SweepJob, capacity: number, signal: AbortSignal | undefined): Sweeper {
  const blocks = new SweepBlocks(job);
  const batches: StoredBatch[] = [];
  const memory = new ArrayBuffer(capacity * job.shape.stride);
  return {
    take: () => {
      if (signal?.aborted) throw interrupted();
      return memory;
    },
    give: (buffer, rows, objects) => {
      batches.push(blocks.store(buffer, capacity, rows, objects));
    },
    finish: async (dictionaries) => {
      const leftovers: Leftover[] = [];
      const order = largestFirst(job, batches);
      for (let at = 0; at < order.length; ) {
        if (signal?.aborted) throw interrupted();
        const until = performance.now() + BREATH_MS;
        const next = (): number => (at < order.length && performance.now() < until ? order[at++]! : -1);
        leftovers.push(...blocks.sweep(batches, dictionaries, next));
        await new Promise((go) => setImmediate(go));
      }
      return leftovers;
    },
    close: async () => blocks.close(),
  };
}

export function threadedSweeper(
  jobs: readonly SweepJob[],
  capacity: number,
  signal: AbortSignal | undefined,
): Sweeper {
  const job = jobs[0]!;
  const spare = Array.from(
    { length: jobs.length + 2 },
    () => new SharedArrayBuffer(capacity * job.shape.stride) as ArrayBufferLike,
  );
  const batches: StoredBatch[] = [];
  const leftovers: Leftover[] = [];
  let given = 0;
  let stored = 0;
  let swept = 0;
  const { wake, fail, until } = createChanges();
  const outstanding = jobs.map(() => 0);
  const workers = jobs.map((one, w) => {
    const worker = startModule(new URL('./sweep-worker.js', import.meta.url), one);
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'stored') {
        batches[message.id] = message.stored;
        spare.push(message.buffer);
        outstanding[w]!--;
        stored++;
      } else {
        leftovers.push(...message.leftovers);
        swept++;
      }
      wake();
    });
    worker.on('error', fail);
    worker.on('exit', (status) => {
      if (swept < jobs.length) fail(new Error(`a sweeping thread ended early, with status ${status}`));
    });
    return worker;
  });
  const stop = (): void => fail(interrupted());
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  const send = (worker: Worker, message: ToWorker): void => worker.postMessage(message);
  return {
    take: async () => {
      await until(() => spare.length > 0);
      return spare.pop()!;
    },
    give: (buffer, rows, objects) => {
      const w = outstanding.indexOf(Math.min(...outstanding));
      outstanding[w]!++;
      send(workers[w]!, { kind: 'batch', id: given++, buffer, capacity, rows, objects });
    },
    finish: async (dictionaries) => {
      await until(() => stored === given);
      spare.length = 0;
      const order = largestFirst(job, batches);
      const taken = new Int32Array(new SharedArrayBuffer(4));
      for (const worker of workers) send(worker, { kind: 'sweep', batches, dictionaries, order, taken });
      await until(() => swept === jobs.length);
      return leftovers;
    },
    close: async () => {
      signal?.removeEventListener('abort', stop);
      fail(interrupted());
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}
