/** Fitting in a thread of its own: it takes seconds to minutes, and the process stays open to Ctrl-C meanwhile. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ErrorCode } from '../core/base/catalogue.js';
import { MillraceError } from '../core/base/error.js';
import { train } from '../core/learn/train.js';
import type { TrainPart, TrainSpec } from '../core/learn/training-parts.js';
import { startThread } from '../thread.js';

export interface FitJob {
  readonly spec: TrainSpec;
  readonly data: { readonly train: TrainPart; readonly validation: TrainPart | undefined };
}

export type FitAnswer =
  | { readonly text: string }
  | {
      readonly failure: {
        readonly code: ErrorCode | null;
        readonly message: string;
        readonly hint: string | undefined;
      };
    };

const WORKER = new URL('./fit-worker.js', import.meta.url);

/**
 * The model as JSON text.
 * @throws MillraceError INTERRUPTED when the signal aborts; what the trainer throws.
 */
export async function fitAside(job: FitJob, signal: AbortSignal): Promise<string> {
  // Run from sources there is no compiled worker; the same function then runs here.
  if (!existsSync(fileURLToPath(WORKER))) return JSON.stringify(train(job.spec, job.data));
  const worker = startThread(WORKER, { workerData: job });
  return new Promise<string>((resolve, reject) => {
    const stop = (): void => {
      void worker.terminate();
      reject(new MillraceError('INTERRUPTED', 'training was interrupted; no model version was registered'));
    };
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop, { once: true });
    worker.once('message', (answer: FitAnswer) => {
      if ('text' in answer) return resolve(answer.text);
      const { code, message, hint } = answer.failure;
      reject(
        code === null
          ? new Error(message)
          : new MillraceError(code, message, hint === undefined ? {} : { hint }),
      );
    });
    worker.once('error', reject);
    worker.once('exit', (status) => {
      signal.removeEventListener('abort', stop);
      reject(
        new MillraceError(
          'TRAIN_FAILED',
          `the training thread ended with status ${status} before it had a model`,
        ),
      );
    });
  });
}
