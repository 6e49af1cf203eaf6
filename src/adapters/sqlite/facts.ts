import { type Database, statement } from './database.js';

/** Small facts by name, JSON. The registry speaks of them; the record log writes some in the transaction of a batch. */
export const FACT_TABLE =
  'CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;';

export function readFact(db: Database, name: string): unknown {
  const row = statement(db, 'SELECT value FROM fact WHERE name = ?').get(name) as
    | { readonly value: string }
    | undefined;
  return row === undefined ? undefined : JSON.parse(row.value);
}

/** Within a transaction of the caller. */
export function writeFacts(db: Database, facts: Readonly<Record<string, unknown>>): void {
  const write = statement(
    db,
    'INSERT INTO fact VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
  );
  for (const [name, value] of Object.entries(facts)) write.run(name, JSON.stringify(value));
}
