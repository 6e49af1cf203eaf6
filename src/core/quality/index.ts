export * from '../schema/pattern.js';
export * from './batch.js';
export * from './columns.js';
export * from './relations.js';
export * from './repairs.js';
export * from './rules.js';
export * from './service-level.js';
