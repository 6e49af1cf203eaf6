/** For those who write adapters or doubt a value: the port contract suites and the naive oracle. */
export * from './log-contract.js';
export * from './online-contract.js';
export * from './oracle.js';
