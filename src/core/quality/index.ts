export * from './batch.js';
export * from './columns.js';
export * from './pattern.js';
export * from './relations.js';
export * from './rules.js';
