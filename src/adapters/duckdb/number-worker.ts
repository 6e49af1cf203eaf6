/** A thread that takes in columns of numbers, until it is told null. */
import { parentPort } from 'node:worker_threads';
import { NumberState } from '../../core/drift/number-state.js';
import type { FromThread, ToThread } from './number-threads.js';

const port = parentPort!;
const states = new Map<number, NumberState>();

function stateOf(column: number): NumberState {
  const state = states.get(column) ?? new NumberState();
  states.set(column, state);
  return state;
}

port.on('message', (message: ToThread | null) => {
  if (message === null) {
    port.close();
    return;
  }
  const state = stateOf(message.column);
  if (message.kind === 'values') {
    const { values, length } = message;
    state.add(values, length);
    const back: FromThread = { kind: 'taken', values };
    port.postMessage(back, [values.buffer]);
    return;
  }
  state.addNulls(message.nulls);
  const answer: FromThread = { kind: 'finished', column: message.column, numbers: state.finish() };
  states.delete(message.column);
  port.postMessage(answer);
});
