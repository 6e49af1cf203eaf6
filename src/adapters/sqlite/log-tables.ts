import type { Migration } from './database.js';
import { FACT_TABLE } from './facts.js';

/** Tables of the record log: what is committed of each source, its files, its batches, the quarantine ledger. */
export const LOG_MIGRATIONS: readonly Migration[] = [
  {
    name: 'log-1',
    sql: `
CREATE TABLE log_source (
  source TEXT PRIMARY KEY, last_seq INTEGER NOT NULL, rows INTEGER NOT NULL, max_available_at INTEGER,
  min_event_time INTEGER, max_event_time INTEGER, has_versions INTEGER NOT NULL
) STRICT;
CREATE TABLE log_segment (
  source TEXT NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, rows INTEGER NOT NULL,
  file TEXT NOT NULL, bytes INTEGER NOT NULL, columns TEXT NOT NULL, batch TEXT NOT NULL,
  PRIMARY KEY (source, first_seq)
) STRICT;
CREATE TABLE log_batch (
  batch TEXT PRIMARY KEY, source TEXT NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL, at INTEGER NOT NULL,
  fingerprint TEXT NOT NULL, rows INTEGER NOT NULL, accepted INTEGER NOT NULL, quarantined INTEGER NOT NULL,
  duplicates INTEGER NOT NULL, dropped INTEGER NOT NULL, corrections INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, files TEXT NOT NULL, reason TEXT, warnings TEXT NOT NULL, reasons TEXT NOT NULL,
  profile TEXT NOT NULL
) STRICT;
CREATE INDEX log_batch_by_source ON log_batch (source, at);
CREATE TABLE log_file (
  source TEXT NOT NULL, sha256 TEXT NOT NULL, fingerprint TEXT NOT NULL, path TEXT NOT NULL, rows INTEGER NOT NULL,
  batch TEXT NOT NULL,
  PRIMARY KEY (source, sha256, fingerprint)
) STRICT;
CREATE TABLE quarantine (
  id INTEGER PRIMARY KEY, source TEXT NOT NULL, batch TEXT NOT NULL, file TEXT, line INTEGER NOT NULL,
  row TEXT NOT NULL, reasons TEXT NOT NULL, status TEXT NOT NULL, at INTEGER NOT NULL, digest TEXT NOT NULL,
  UNIQUE (source, digest)
) STRICT;
CREATE INDEX quarantine_by_status ON quarantine (source, status, id);
`,
  },
  {
    name: 'contract-1',
    sql: `
CREATE TABLE contract_version (
  source TEXT NOT NULL, version INTEGER NOT NULL, semver TEXT NOT NULL, fingerprint TEXT NOT NULL,
  contract TEXT NOT NULL, since INTEGER NOT NULL,
  PRIMARY KEY (source, version)
) STRICT;
CREATE TABLE batch_contract (batch TEXT PRIMARY KEY, source TEXT NOT NULL, version INTEGER NOT NULL) STRICT;
CREATE INDEX batch_contract_by_version ON batch_contract (source, version);
`,
  },
  {
    name: 'log-2',
    sql: `
ALTER TABLE log_batch ADD COLUMN repaired INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log_batch ADD COLUMN repairs TEXT NOT NULL DEFAULT '{}';
CREATE TABLE log_profile (
  batch TEXT PRIMARY KEY, source TEXT NOT NULL, at INTEGER NOT NULL, profile TEXT NOT NULL
) STRICT;
CREATE INDEX log_profile_by_source ON log_profile (source, at);
CREATE TABLE log_reference (
  source TEXT NOT NULL, rule TEXT NOT NULL, fingerprint TEXT NOT NULL, statistic TEXT NOT NULL, value TEXT NOT NULL,
  count INTEGER NOT NULL, through_seq INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (source, rule, fingerprint)
) STRICT;
`,
  },
  {
    name: 'log-3',
    sql: `
CREATE TABLE batch_mark (
  batch TEXT PRIMARY KEY, source TEXT NOT NULL, mark TEXT NOT NULL, reason TEXT, at INTEGER NOT NULL
) STRICT;
CREATE INDEX log_batch_by_kind ON log_batch (source, kind, status, at);
CREATE TABLE quarantine_note (id INTEGER PRIMARY KEY, reason TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
`,
  },
  {
    name: 'log-4',
    sql: `
ALTER TABLE log_batch ADD COLUMN drops TEXT NOT NULL DEFAULT '{}';
ALTER TABLE log_batch ADD COLUMN flags TEXT NOT NULL DEFAULT '{}';
`,
  },
  { name: 'log-5', sql: FACT_TABLE },
];
