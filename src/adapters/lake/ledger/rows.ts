import { type Database, statement } from '../../sqlite/database.js';

export type Row = Readonly<Record<string, unknown>>;

/** What a query gives. */
export const rows = (db: Database, sql: string, ...args: readonly (string | number | null)[]): Row[] =>
  statement(db, sql).all(...args) as Row[];

export const optional = (value: unknown): number | null => (value === null ? null : Number(value));
