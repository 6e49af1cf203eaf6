import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import { MillraceError } from '../../core/base/error.js';

export type Database = InstanceType<typeof DatabaseSync>;

/** One step of the schema. Steps run in the order of the list, each once, and are never changed afterwards. */
export interface Migration {
  readonly name: string;
  readonly sql: string;
}

/** A failure of SQLite as an error of the catalogue. */
function sqliteError(error: unknown, file: string): unknown {
  if (error instanceof MillraceError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const place = { place: { file }, cause: error };
  if (/database or disk is full|disk I\/O error/i.test(text))
    return new MillraceError('DISK_FULL', `Cannot write ${file}: ${text}`, place);
  if (/database is locked|database table is locked/i.test(text))
    return new MillraceError('STORE_LOCKED', `${file} is busy: ${text}`, place);
  if (/malformed|not a database|corrupt/i.test(text))
    return new MillraceError('STORE_CORRUPT', `${file} is damaged: ${text}`, place);
  if (/readonly|unable to open|permission/i.test(text))
    return new MillraceError('PERMISSION_DENIED', `Cannot open ${file}: ${text}`, place);
  return error;
}

/** Opens registry.db: write-ahead journal, every commit durable, waits up to 10 s for another process's commit. */
export function openDatabase(file: string, migrations: readonly Migration[]): Database {
  try {
    mkdirSync(dirname(file), { recursive: true });
    const db = new DatabaseSync(file);
    db.exec(
      'PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON',
    );
    migrate(db, migrations);
    return db;
  } catch (error) {
    throw sqliteError(error, file);
  }
}

export function migrate(db: Database, migrations: readonly Migration[]): void {
  db.exec('CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY) STRICT');
  const known = new Set(
    db
      .prepare('SELECT name FROM migration')
      .all()
      .map((row) => (row as { name: string }).name),
  );
  for (const { name, sql } of migrations) {
    if (known.has(name)) continue;
    transaction(db, () => {
      const again = db.prepare('SELECT 1 FROM migration WHERE name = ?').get(name);
      if (again) return;
      db.exec(sql);
      db.prepare('INSERT INTO migration VALUES (?)').run(name);
    });
  }
}

type Statement = ReturnType<Database['prepare']>;

const prepared = new WeakMap<Database, Map<string, Statement>>();

/** The statement of a text, prepared once: preparing one costs as much as running it. */
export function statement(db: Database, sql: string): Statement {
  const known = prepared.get(db) ?? new Map<string, Statement>();
  prepared.set(db, known);
  const found = known.get(sql) ?? db.prepare(sql);
  known.set(sql, found);
  return found;
}

export type Row = Readonly<Record<string, unknown>>;
export type Cell = string | number | null;

/** What a query gives. */
export const rows = (db: Database, sql: string, ...args: readonly Cell[]): Row[] =>
  statement(db, sql).all(...args) as Row[];

export const firstRow = (db: Database, sql: string, ...args: readonly Cell[]): Row | undefined =>
  rows(db, sql, ...args)[0];

/** Performs a change; gives how many rows it changed. */
export const change = (db: Database, sql: string, ...args: readonly Cell[]): number =>
  Number(statement(db, sql).run(...args).changes);

/** A number, or null where the column holds none. */
export const optional = (value: unknown): number | null => (value === null ? null : Number(value));

/** All of the work or none of it. */
export function transaction<T>(db: Database, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  let result: T;
  try {
    result = work();
    db.exec('COMMIT');
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
  return result;
}
