/** Threads that may end while V8 still has code of theirs to optimize. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { Worker, type WorkerOptions } from 'node:worker_threads';

let starting = 0;

/**
 * A worker thread whose hot code is optimized by the thread itself, not beside it. Node gives up an ending thread's
 * isolate before V8's background compilation of it has stopped; when that allocates at the wrong moment the whole
 * process is aborted ("Assertion failed: (data.first) != nullptr" in NodePlatform::ForIsolate, seen in 4 of 100 short
 * runs on a busy machine, Node 20). Whether an isolate compiles in the background is settled when it is made, by a flag
 * of the process: it is off while a thread comes up.
 */
export function startThread(code: URL | string, options: WorkerOptions): Worker {
  if (starting++ === 0) setFlagsFromString('--no-concurrent-recompilation');
  let up = false;
  const ready = (): void => {
    if (up) return;
    up = true;
    if (--starting === 0) setFlagsFromString('--concurrent-recompilation');
  };
  try {
    return new Worker(code, options).once('online', ready).once('error', ready).once('exit', ready);
  } catch (error) {
    ready();
    throw error;
  }
}

/** A thread of a compiled module of ours; run from sources, of its source, with a translator of its own. */
export function startModule(compiled: URL, workerData: unknown): Worker {
  if (existsSync(fileURLToPath(compiled))) return startThread(compiled, { workerData });
  // Node 20 does not give the thread ours.
  const translator = createRequire(import.meta.url)
    .resolve('tsx/esm/api')
    .replace(/cjs$/, 'mjs');
  const source = compiled.href.replace(/\.js$/, '.ts');
  const code = `import(${JSON.stringify(pathToFileURL(translator).href)}).then(({ register }) => { register(); return import(${JSON.stringify(source)}); })`;
  return startThread(code, { workerData, eval: true });
}

export interface Changes {
  wake(): void;
  /** Whoever waits fails, now and from now on; the first error stays. */
  fail(error: Error): void;
  until(reached: () => boolean): Promise<void>;
}

/** For work of several threads: whoever waits for a change is woken by any, and looks whether it was the one. */
export function createChanges(): Changes {
  let failure: Error | undefined;
  let waiting: (() => void)[] = [];
  const wake = (): void => {
    const all = waiting;
    waiting = [];
    for (const go of all) go();
  };
  return {
    wake,
    fail: (error) => {
      failure ??= error;
      wake();
    },
    until: async (reached) => {
      while (!failure && !reached()) await new Promise<void>((go) => waiting.push(go));
      if (failure) throw failure;
    },
  };
}
