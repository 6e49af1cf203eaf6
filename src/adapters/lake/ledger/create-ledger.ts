import { isAbsolute, join, relative } from 'node:path';
import { invariant } from '../../../core/base/error.js';
import { type Database, optional, rows, transaction } from '../../sqlite/database.js';
import { writeFacts } from '../../sqlite/facts.js';
import { lastContracts, listContracts, recordContract } from '../contract-versions.js';
import type { BatchCommit, CommittedState, Ledger } from '../ledger.js';
import type { LakeSegment } from '../relation.js';
import { batches, insertBatch, keepProfile } from './batches.js';
import { keepRefused, quarantine } from './quarantine.js';
import { references } from './references.js';

const larger = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.max(a, b);
const smaller = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.min(a, b);

function state(db: Database, lake: string, source: string): CommittedState {
  const row = rows(db, 'SELECT * FROM log_source WHERE source = ?', source)[0];
  const segments = rows(db, 'SELECT * FROM log_segment WHERE source = ? ORDER BY first_seq', source).map(
    (segment): LakeSegment => {
      const file = segment['file'] as string;
      return {
        file: isAbsolute(file) ? file : join(lake, file),
        format: 'parquet',
        rows: Number(segment['rows']),
        firstSeq: Number(segment['first_seq']),
        lastSeq: Number(segment['last_seq']),
        columns: JSON.parse(segment['columns'] as string) as Record<string, string>,
      };
    },
  );
  return {
    source,
    rows: Number(row?.['rows'] ?? 0),
    lastSeq: Number(row?.['last_seq'] ?? 0),
    maxAvailableAt: optional(row?.['max_available_at'] ?? null),
    minEventTime: optional(row?.['min_event_time'] ?? null),
    maxEventTime: optional(row?.['max_event_time'] ?? null),
    hasVersions: Number(row?.['has_versions'] ?? 0) === 1,
    segments,
  };
}

/** A segment of a batch, and its source as it is with it. */
function appendSegment(
  db: Database,
  lake: string,
  commit: BatchCommit,
  segment: NonNullable<BatchCommit['segment']>,
): void {
  const { result } = commit;
  db.prepare('INSERT INTO log_segment VALUES (?, ?, ?, ?, ?, ?, ?, ?)').run(
    result.source,
    segment.firstSeq,
    segment.lastSeq,
    segment.rows,
    relative(lake, segment.file),
    segment.bytes,
    JSON.stringify(segment.columns),
    result.batch,
  );
  const before = state(db, lake, result.source);
  db.prepare('INSERT OR REPLACE INTO log_source VALUES (?, ?, ?, ?, ?, ?, ?)').run(
    result.source,
    segment.lastSeq,
    before.rows + segment.rows,
    larger(before.maxAvailableAt, commit.maxAvailableAt),
    smaller(before.minEventTime, commit.minEventTime),
    larger(before.maxEventTime, commit.maxEventTime),
    before.hasVersions || commit.hasVersions ? 1 : 0,
  );
}

/** The record log's tables in registry.db. Files of segments are kept relative to the lake, so a project can move. */
export function createLedger(db: Database, lake: string): Ledger {
  return {
    ...batches(db),
    ...quarantine(db),
    ...references(db),
    state: (source) => state(db, lake, source),
    recordContract: (source, at) => recordContract(db, source, at),
    contracts: (source) => listContracts(db, source),
    lastContracts: () => lastContracts(db),
    commit: (commit) =>
      transaction(db, () => {
        const { result, segment } = commit;
        const { rows, accepted, quarantined, duplicates, dropped } = result;
        invariant(
          rows === accepted + quarantined + duplicates + dropped,
          `batch ${result.batch} of ${result.source} loses rows: ${rows} in`,
        );
        insertBatch(db, commit, 'committed', null);
        keepProfile(db, commit);
        if (segment) appendSegment(db, lake, commit, segment);
        const file = db.prepare('INSERT OR REPLACE INTO log_file VALUES (?, ?, ?, ?, ?, ?)');
        for (const { path, sha256, rows } of commit.files) {
          file.run(result.source, sha256, commit.fingerprint, path, rows, result.batch);
        }
        keepRefused(db, commit);
        writeFacts(db, commit.facts ?? {});
      }),
    keepFacts: (facts) => transaction(db, () => writeFacts(db, facts)),
    refuse: (batch, reason) => transaction(db, () => insertBatch(db, batch, 'refused', reason)),
    knownFile: (source, sha256, fingerprint) => {
      const row = rows(
        db,
        'SELECT rows FROM log_file WHERE source = ? AND sha256 = ? AND fingerprint = ?',
        source,
        sha256,
        fingerprint,
      )[0];
      return row && Number(row['rows']);
    },
  };
}
