import { MillraceError } from '../../core/base/error.js';
import type { DuckDb, DuckDbConnection } from './connection.js';

/** Throws when the signal has fired; returns a stop function that ends the link from signal to connection. */
export function interruptible(target: DuckDbConnection, signal: AbortSignal | undefined): () => void {
  if (!signal) return () => undefined;
  if (signal.aborted) throw new MillraceError('INTERRUPTED', 'The work was interrupted');
  const stop = (): void => target.interrupt();
  signal.addEventListener('abort', stop);
  return () => signal.removeEventListener('abort', stop);
}

/** An instance that is opened by its first statement. Closing it is its owner's. */
export function lazyDuckDb(open: () => Promise<DuckDb>): DuckDb {
  let opened: DuckDb | undefined;
  const get = async (): Promise<DuckDb> => (opened ??= await open());
  return {
    run: async (...given) => (await get()).run(...given),
    rows: async <Row>(...given: Parameters<DuckDb['rows']>) => (await get()).rows<Row>(...given),
    stream: async (...given) => (await get()).stream(...given),
    vectors: async (...given) => (await get()).vectors(...given),
    columns: async (...given) => (await get()).columns(...given),
    writeTable: async (...given) => (await get()).writeTable(...given),
    provide: async (...given) => (await get()).provide(...given),
    limitMemory: async (bytes) => (await get()).limitMemory(bytes),
    connect: async () => (await get()).connect(),
    interrupt: () => opened?.interrupt(),
    close: () => {},
  };
}
