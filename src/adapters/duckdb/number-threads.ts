/** The states of number columns in threads of their own: values go there in batches, each column's in its order. */
import { NumberState } from '../../core/drift/number-state.js';
import { createChanges, startModule } from '../../thread.js';

type Numbers = ReturnType<NumberState['finish']>;

/** What takes in the numbers of one column. */
export interface NumberSink {
  /** The first `length` numbers; they are copied. */
  add(data: Float64Array, length: number): void;
  addNulls(count: number): void;
  finish(): Numbers | Promise<Numbers>;
}

export interface NumberSinks {
  next(): NumberSink;
  /** To wait for before more is added; undefined where there is no need to. */
  room(): Promise<void> | undefined;
  close(): Promise<void>;
}

export type ToThread =
  | {
      readonly kind: 'values';
      readonly column: number;
      readonly values: Float64Array<ArrayBuffer>;
      readonly length: number;
    }
  | { readonly kind: 'finish'; readonly column: number; readonly nulls: number };

export type FromThread =
  | { readonly kind: 'taken'; readonly values: Float64Array<ArrayBuffer> }
  | { readonly kind: 'finished'; readonly column: number; readonly numbers: Numbers };

/** Values that go to a thread at once, and how many such batches may be on their way. */
const BATCH = 32_768;
const ON_THEIR_WAY = 16;
/** Values that are worth a thread: to start one costs as much as to take in some millions. */
const VALUES_A_THREAD = 12_000_000;

/** How many threads beside this one so many numbers are for. */
export const threadsFor = (numbers: number, cores: number): number =>
  Math.min(cores - 1, Math.floor(numbers / VALUES_A_THREAD));

/** The sinks of this thread. */
export const ownSinks: NumberSinks = {
  next: () => new NumberState(),
  room: () => undefined,
  close: async () => {},
};

/** Sinks that come to the same states, to the bit, in other threads. */
export function threadSinks(threads: number): NumberSinks {
  const { wake, fail, until } = createChanges();
  const spare: Float64Array<ArrayBuffer>[] = [];
  const finished = new Map<number, Numbers>();
  let onTheirWay = 0;
  let columns = 0;
  let closing = false;
  const take = (message: FromThread): void => {
    if (message.kind === 'finished') finished.set(message.column, message.numbers);
    else {
      onTheirWay--;
      spare.push(message.values);
    }
    wake();
  };
  const workers = Array.from({ length: threads }, () => {
    const worker = startModule(new URL('./number-worker.js', import.meta.url), undefined);
    const ended = new Promise<void>((go) => {
      worker.once('exit', (status) => {
        if (!closing) fail(new Error(`a thread that takes in numbers ended early, with status ${status}`));
        go();
      });
    });
    worker.on('message', take).on('error', fail);
    return { worker, ended };
  });
  return {
    next: () => {
      const column = columns++;
      const { worker } = workers[column % threads]!;
      let batch = new Float64Array(BATCH);
      let length = 0;
      let nulls = 0;
      const send = (): void => {
        const message: ToThread = { kind: 'values', column, values: batch, length };
        onTheirWay++;
        worker.postMessage(message, [batch.buffer]);
        batch = spare.pop() ?? new Float64Array(BATCH);
        length = 0;
      };
      return {
        add: (data, count) => {
          if (length + count > BATCH) send();
          batch.set(count < data.length ? data.subarray(0, count) : data, length);
          length += count;
        },
        addNulls: (count) => {
          nulls += count;
        },
        finish: async () => {
          send();
          const message: ToThread = { kind: 'finish', column, nulls };
          worker.postMessage(message);
          await until(() => finished.has(column));
          return finished.get(column)!;
        },
      };
    },
    room: () => (onTheirWay < ON_THEIR_WAY ? undefined : until(() => onTheirWay < ON_THEIR_WAY)),
    close: async () => {
      closing = true;
      for (const { worker } of workers) worker.postMessage(null);
      await Promise.all(workers.map(({ ended }) => ended));
    },
  };
}
