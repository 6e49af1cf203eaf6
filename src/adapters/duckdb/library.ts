/**
 * DuckDB's package, loaded as the CommonJS that it is: an `import` of it has Node parse its sixty files for the names
 * that they export, which costs twice the time of loading them.
 */
import { createRequire } from 'node:module';
import type * as Api from '@duckdb/node-api';
import type Bindings from '@duckdb/node-bindings';

const load = createRequire(import.meta.url);

export const api = load('@duckdb/node-api') as typeof Api;
export const bindings = load('@duckdb/node-bindings') as typeof Bindings;
