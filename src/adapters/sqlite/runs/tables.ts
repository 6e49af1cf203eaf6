import type { Migration } from '../database.js';
import { RUN_TABLE } from '../registry.js';

export const RUN_MIGRATIONS: readonly Migration[] = [
  {
    name: 'run-1',
    sql: `
${RUN_TABLE}
CREATE TABLE run_state (
  run INTEGER PRIMARY KEY REFERENCES run (id), scope TEXT NOT NULL, cancelling INTEGER NOT NULL,
  worker TEXT, alive_until INTEGER NOT NULL, resumed INTEGER NOT NULL
) STRICT;
CREATE TABLE run_step (
  run INTEGER NOT NULL REFERENCES run (id), step TEXT NOT NULL, position INTEGER NOT NULL, action TEXT NOT NULL,
  reason TEXT NOT NULL, pool TEXT NOT NULL, priority INTEGER NOT NULL, tries INTEGER NOT NULL,
  timeout_seconds REAL, rows INTEGER, bytes INTEGER, status TEXT NOT NULL, deps_left INTEGER NOT NULL,
  failures INTEGER NOT NULL, token INTEGER NOT NULL, not_before INTEGER NOT NULL, worker TEXT, lease_until INTEGER,
  started_at INTEGER, ended_at INTEGER, seconds REAL, detail TEXT NOT NULL,
  PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_step_ready ON run_step (run, status, priority DESC, position);
CREATE INDEX run_step_ended ON run_step (status, ended_at);
CREATE TABLE run_edge (
  run INTEGER NOT NULL, parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (run, parent, child)
) STRICT, WITHOUT ROWID;
CREATE TABLE run_line (
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL, step TEXT NOT NULL, token INTEGER NOT NULL, at INTEGER NOT NULL,
  text TEXT NOT NULL
) STRICT;
CREATE INDEX run_line_by_step ON run_line (run, step, id);
`,
  },
  {
    name: 'run-2',
    sql: `
CREATE TABLE run_key (
  key TEXT PRIMARY KEY, scope TEXT NOT NULL, run INTEGER REFERENCES run (id), exit INTEGER, result TEXT,
  at INTEGER NOT NULL
) STRICT;
`,
  },
];
