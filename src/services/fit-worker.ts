/** The training thread: one job in, one model or one failure out. */
import { parentPort, workerData } from 'node:worker_threads';
import { MillraceError } from '../core/base/error.js';
import { train } from '../core/learn/train.js';
import type { FitAnswer, FitJob } from './fit.js';

function answer({ spec, data }: FitJob): FitAnswer {
  try {
    return { text: JSON.stringify(train(spec, data)) };
  } catch (error) {
    const known = error instanceof MillraceError ? error : null;
    return { failure: { code: known?.code ?? null, message: (error as Error).message, hint: known?.hint } };
  }
}

parentPort!.postMessage(answer(workerData as FitJob));
