/** Which DuckDB computes: asked of its bindings alone, a tenth of the time that its package takes to load. */
import { createRequire } from 'node:module';
import type Bindings from '@duckdb/node-bindings';

export function engineVersion(): string {
  const bindings = createRequire(import.meta.url)('@duckdb/node-bindings') as typeof Bindings;
  return `duckdb ${bindings.library_version()}`;
}
