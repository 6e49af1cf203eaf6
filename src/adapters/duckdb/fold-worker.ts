/** A thread that takes in columns: one job in, their states or one failure out. */
import { parentPort, workerData } from 'node:worker_threads';
import { MillraceError } from '../../core/base/error.js';
import { foldColumns } from './column-fold.js';
import { openDuckDb } from './connection.js';
import type { FoldAnswer, FoldJob } from './fold-threads.js';

async function answer({ fold, temporaryDirectory }: FoldJob): Promise<FoldAnswer> {
  try {
    const db = await openDuckDb({ temporaryDirectory, threads: 1 });
    try {
      return { folded: (await foldColumns(db, fold))! };
    } finally {
      db.close();
    }
  } catch (error) {
    return {
      failure: {
        code: error instanceof MillraceError ? error.code : null,
        message: (error as Error).message,
      },
    };
  }
}

parentPort!.postMessage(await answer(workerData as FoldJob));
