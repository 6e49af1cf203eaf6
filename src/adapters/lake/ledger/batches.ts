import type { BatchProfile } from '../../../core/drift/batch-profile.js';
import type { BatchFile, BatchMark, BatchNotes, BatchRecord } from '../../../ports/record-log.js';
import { type Database, type Row, rows } from '../../sqlite/database.js';
import { tieBatch } from '../contract-versions.js';
import { type BatchCommit, type KeptBatch, type Ledger, toJsonText } from '../ledger.js';

/** Where a batch's notes stand in its profile: no rule has such a name. */
const NOTES = '$';
const BATCHES =
  'SELECT b.*, m.mark, m.reason AS mark_reason, m.at AS mark_at FROM log_batch b LEFT JOIN batch_mark m USING (batch)';

function profileOf(row: Row): Pick<BatchRecord, 'profile' | 'notes'> {
  const { [NOTES]: notes, ...profile } = JSON.parse(row['profile'] as string) as Record<string, unknown>;
  return { profile, notes: (notes ?? {}) as BatchNotes };
}

const markOf = (row: Row): BatchMark | null =>
  row['mark'] === null
    ? null
    : {
        mark: row['mark'] as BatchMark['mark'],
        reason: row['mark_reason'] as string | null,
        at: Number(row['mark_at']),
      };

const recordOf = (row: Row): BatchRecord => ({
  batch: row['batch'] as string,
  source: row['source'] as string,
  kind: row['kind'] as string,
  status: row['status'] as BatchRecord['status'],
  at: Number(row['at']),
  rows: Number(row['rows']),
  accepted: Number(row['accepted']),
  quarantined: Number(row['quarantined']),
  duplicates: Number(row['duplicates']),
  dropped: Number(row['dropped']),
  corrections: Number(row['corrections']),
  repaired: Number(row['repaired']),
  lastSeq: Number(row['last_seq']),
  files: JSON.parse(row['files'] as string),
  reason: row['reason'] as string | null,
  warnings: JSON.parse(row['warnings'] as string),
  reasons: JSON.parse(row['reasons'] as string),
  repairs: JSON.parse(row['repairs'] as string),
  drops: JSON.parse(row['drops'] as string),
  flags: JSON.parse(row['flags'] as string),
  ...profileOf(row),
  mark: markOf(row),
});

/** What later batches are judged by; undefined: it has no facts. */
function keptOf(row: Row): KeptBatch | undefined {
  const { notes } = profileOf(row);
  const findings = notes.history?.findings ?? [];
  const parts = notes.parts?.map((part) => ({
    ...part,
    anomalous: findings.filter(({ file }) => file === part.file).map(({ id }) => id),
  }));
  if (notes.facts === undefined) return undefined;
  return {
    batch: row['batch'] as string,
    at: Number(row['at']),
    facts: notes.facts,
    mark: markOf(row)?.mark ?? null,
    anomalous: findings.map(({ id }) => id),
    ...(parts ? { parts } : {}),
    notes,
    reasons: JSON.parse(row['reasons'] as string),
  };
}

/** A batch with what is kept of it. */
export function insertBatch(
  db: Database,
  commit: Omit<BatchCommit, 'segment' | 'quarantined'>,
  status: string,
  reason: string | null,
): void {
  const { result } = commit;
  db.prepare(
    'INSERT INTO log_batch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  ).run(
    result.batch,
    result.source,
    commit.kind,
    status,
    commit.at,
    commit.fingerprint,
    result.rows,
    result.accepted,
    result.quarantined,
    result.duplicates,
    result.dropped,
    result.corrections,
    result.seq,
    JSON.stringify(commit.files),
    reason,
    JSON.stringify(result.warnings),
    JSON.stringify(result.reasons),
    toJsonText(commit.notes ? { ...commit.profile, [NOTES]: commit.notes } : commit.profile),
    result.repaired,
    JSON.stringify(result.repairs),
    JSON.stringify(result.drops),
    JSON.stringify(result.flags),
  );
  tieBatch(db, result.batch, result.source);
}

/** What a committed batch says of itself: what it looks like, and what was said of it before it came in. */
export function keepProfile(db: Database, commit: Omit<BatchCommit, 'segment' | 'quarantined'>): void {
  const { result } = commit;
  if (commit.mark) markBatch(db, result.batch, commit.mark);
  if (commit.columns)
    db.prepare('INSERT INTO log_profile VALUES (?, ?, ?, ?)').run(
      result.batch,
      result.source,
      commit.at,
      toJsonText(commit.columns),
    );
}

function markBatch(db: Database, batch: string, mark: BatchMark | null): void {
  if (mark === null) db.prepare('DELETE FROM batch_mark WHERE batch = ?').run(batch);
  else
    db.prepare(
      'INSERT OR REPLACE INTO batch_mark SELECT batch, source, ?, ?, ? FROM log_batch WHERE batch = ?',
    ).run(mark.mark, mark.reason, mark.at, batch);
}

/** Batches as they were judged, what was said of them, and what they look like. */
export function batches(
  db: Database,
): Pick<Ledger, 'batches' | 'past' | 'profilesOf' | 'markBatch' | 'acceptances' | 'profiles'> {
  return {
    batches: (source, limit = -1) =>
      (source === undefined
        ? rows(db, `${BATCHES} ORDER BY b.at DESC, b.rowid DESC LIMIT ?`, limit)
        : rows(db, `${BATCHES} WHERE b.source = ? ORDER BY b.at DESC, b.rowid DESC LIMIT ?`, source, limit)
      )
        .reverse()
        .map(recordOf),
    past: (source, kind, limit) =>
      rows(
        db,
        `${BATCHES} WHERE b.source = ? AND b.kind = ? AND b.status = 'committed' ORDER BY b.at DESC, b.rowid DESC LIMIT ?`,
        source,
        kind,
        limit,
      ).flatMap((row) => keptOf(row) ?? []),
    profilesOf: (batches) => {
      const kept = new Map(
        rows(
          db,
          'SELECT batch, profile FROM log_profile WHERE batch IN (SELECT value FROM json_each(?))',
          JSON.stringify(batches),
        ).map((row) => [row['batch'] as string, JSON.parse(row['profile'] as string) as BatchProfile]),
      );
      return batches.flatMap((batch) => kept.get(batch) ?? []);
    },
    markBatch: (batch, mark) => markBatch(db, batch, mark),
    acceptances: (source) =>
      rows(db, `${BATCHES} WHERE b.source = ? AND b.status = 'refused' AND m.mark = 'expected'`, source).map(
        (row) => {
          const files = JSON.parse(row['files'] as string) as readonly BatchFile[];
          return { hashes: new Set(files.map(({ sha256 }) => sha256)), mark: markOf(row)! };
        },
      ),
    profiles: (source, limit = -1) =>
      rows(
        db,
        'SELECT * FROM log_profile WHERE source = ? ORDER BY at DESC, rowid DESC LIMIT ?',
        source,
        limit,
      ).map((row) => ({
        batch: row['batch'] as string,
        at: Number(row['at']),
        profile: JSON.parse(row['profile'] as string) as BatchProfile,
      })),
  };
}
