/** Changes of a contract, for people. */
import type { ContractChange } from '../../core/quality/contract-diff.js';
import type { Io } from '../io.js';

const MANY = 5;

/** Features are many and alike: a few of them, and everything else. */
function shortened(readers: readonly string[]): string {
  const features = readers.filter((name) => name.startsWith('feature.'));
  const others = readers.filter((name) => !name.startsWith('feature.'));
  const more = features.length - MANY;
  return [...features.slice(0, MANY), ...(more > 0 ? [`${more} more features`] : []), ...others].join(', ');
}

/** One change: its class and what, then why, then who reads it. */
export function printChanges(io: Pick<Io, 'print'>, changes: readonly ContractChange[]): void {
  const width = Math.max(0, ...changes.map((change) => change.class.length));
  const indent = ' '.repeat(width + 2);
  for (const change of changes) {
    io.print(`${change.class.padEnd(width)}  ${change.message}`);
    io.print(`${indent}${change.reason}`);
    if (change.readers.length > 0) io.print(`${indent}read by ${shortened(change.readers)}`);
  }
}
