/** A sweeping thread: arranges batches as they come, then takes blocks until there are none. */
import { parentPort, workerData } from 'node:worker_threads';
import { SweepBlocks, type SweepJob } from './sweep-blocks.js';
import { type FromWorker, type ToWorker, takeFrom } from './sweeper.js';

const blocks = new SweepBlocks(workerData as SweepJob);
const answer = (message: FromWorker): void => parentPort!.postMessage(message);

parentPort!.on('message', (message: ToWorker) => {
  if (message.kind === 'batch') {
    const { id, buffer, capacity, rows, objects } = message;
    answer({ kind: 'stored', id, buffer, stored: blocks.store(buffer, capacity, rows, objects) });
    return;
  }
  const { batches, dictionaries, order, taken } = message;
  const leftovers = blocks.sweep(batches, dictionaries, takeFrom(order, taken));
  blocks.close();
  answer({ kind: 'swept', leftovers });
});
