import type { Dialect } from '../dialect.js';
import { duckdb } from './duckdb.js';
import { postgres } from './postgres.js';
import { spark } from './spark.js';

const DIALECTS = { duckdb, postgres, spark } as const;
export type DialectName = keyof typeof DIALECTS;
export const DIALECT_NAMES: readonly DialectName[] = ['duckdb', 'postgres', 'spark'];

export const dialectOf = (dialect: DialectName | Dialect): Dialect =>
  typeof dialect === 'string' ? DIALECTS[dialect] : dialect;
