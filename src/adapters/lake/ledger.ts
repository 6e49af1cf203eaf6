import { isAbsolute, join, relative } from 'node:path';
import { invariant } from '../../core/base/error.js';
import type { Instant } from '../../core/base/time.js';
import type { Source } from '../../core/define/types.js';
import type { BatchProfile } from '../../core/drift/batch-profile.js';
import type { PastBatch } from '../../core/drift/history.js';
import type {
  BatchFile,
  BatchMark,
  BatchNotes,
  BatchRecord,
  ContractVersion,
  IngestResult,
  KeptProfile,
  KnownContract,
  LogState,
  QuarantinedRow,
  QuarantineFilter,
} from '../../ports/record-log.js';
import { type Database, statement, transaction } from '../sqlite/database.js';
import { writeFacts } from '../sqlite/facts.js';
import { lastContracts, listContracts, recordContract, tieBatch } from './contract-versions.js';
import type { LakeSegment } from './relation.js';

export interface NewQuarantinedRow {
  readonly file: string | null;
  readonly line: number;
  readonly row: Readonly<Record<string, unknown>>;
  readonly reasons: QuarantinedRow['reasons'];
  /** What was delivered, and the how-manieth such row of its batch it is: read again it does not enter the ledger twice. */
  readonly digest: string;
}

/** The same with its row and reasons as JSON. */
export interface PrintedQuarantinedRow extends Pick<NewQuarantinedRow, 'file' | 'line' | 'digest'> {
  readonly rowText: string;
  readonly reasonsText: string;
}

/** What one batch adds. Written in one transaction: this is the commit of an ingest. */
export interface BatchCommit {
  readonly result: IngestResult;
  readonly kind: 'files' | 'rows';
  readonly at: Instant;
  readonly fingerprint: string;
  readonly segment: (LakeSegment & { readonly bytes: number }) | null;
  readonly maxAvailableAt: Instant | null;
  readonly minEventTime: Instant | null;
  readonly maxEventTime: Instant | null;
  readonly hasVersions: boolean;
  readonly files: readonly BatchFile[];
  readonly quarantined: Iterable<NewQuarantinedRow | PrintedQuarantinedRow>;
  /** Rows that the ledger holds already: those that are open take their present reasons. */
  readonly again?: Iterable<NewQuarantinedRow | PrintedQuarantinedRow>;
  /** What batch rules measured. */
  readonly profile: Readonly<Record<string, unknown>>;
  /** What the batch looks like, kept for its history. */
  readonly columns?: BatchProfile;
  readonly notes?: BatchNotes;
  /** What was said of it before it came in. */
  readonly mark?: BatchMark;
  /** Facts of the registry that are true with it. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** A committed batch with what later ones are judged by. */
export interface KeptBatch extends PastBatch {
  readonly batch: string;
  readonly notes: BatchNotes;
  readonly reasons: IngestResult['reasons'];
}

/** A mean or median as it was taken, for imputations. */
export interface KeptReference {
  readonly statistic: string;
  /** As `encodeValue` writes it. */
  readonly value: string;
  /** Values that it was taken from. */
  readonly count: number;
  /** Last seq of the log then; 0: it was taken from the batch itself. */
  readonly throughSeq: number;
  readonly at: Instant;
}

/** What is committed of a source before the write-ahead tail is added. */
export type CommittedState = Omit<LogState, 'segments'> & { readonly segments: readonly LakeSegment[] };

export interface Ledger {
  state(source: string): CommittedState;
  commit(commit: BatchCommit): void;
  /** Facts that are true though there is no batch to commit. */
  keepFacts(facts: Readonly<Record<string, unknown>>): void;
  refuse(batch: Omit<BatchCommit, 'segment' | 'quarantined'>, reason: string): void;
  /** Rows of a file with this content that is already in the log under this definition; undefined: it is not. */
  knownFile(source: string, sha256: string, fingerprint: string): number | undefined;
  /** Oldest first; with a limit only the last ones. */
  batches(source?: string, limit?: number): readonly BatchRecord[];
  /** Committed batches of a kind that have facts, newest first. */
  past(source: string, kind: BatchCommit['kind'], limit: number): readonly KeptBatch[];
  profilesOf(batches: readonly string[]): readonly BatchProfile[];
  markBatch(batch: string, mark: BatchMark | null): void;
  /** Files of refused batches that have been marked as expected. */
  acceptances(source: string): readonly { readonly hashes: ReadonlySet<string>; readonly mark: BatchMark }[];
  profiles(source: string, limit?: number): readonly KeptProfile[];
  reference(source: string, rule: string, fingerprint: string): KeptReference | undefined;
  keepReference(source: string, rule: string, fingerprint: string, reference: KeptReference): void;
  /** Notes the contract that judges what comes next. */
  recordContract(source: Source, at: Instant): void;
  contracts(source: string): readonly ContractVersion[];
  /** By source: the contract under which records last came in. */
  lastContracts(): ReadonlyMap<string, KnownContract>;
  quarantine(filter: QuarantineFilter): readonly QuarantinedRow[];
  quarantineCount(filter: QuarantineFilter): number;
  /** Those of the digests that rows of the ledger have, whatever became of them. */
  held(source: string, digests: readonly string[]): ReadonlySet<string>;
  mark(
    ids: readonly number[],
    status: QuarantinedRow['status'],
    note?: { readonly reason: string; readonly at: Instant },
  ): void;
  /** New reasons of rows that were refused again. */
  explain(rows: readonly { readonly id: number; readonly reasons: QuarantinedRow['reasons'] }[]): void;
}

/** The ledger for those who only ask what would be. */
export const withoutWriting = (ledger: Ledger): Ledger => {
  const refused = (): never => {
    throw new Error('millrace invariant broken: a check commits nothing');
  };
  const nothing = (): void => undefined;
  return { ...ledger, commit: refused, refuse: nothing, keepReference: nothing, keepFacts: nothing };
};

type Row = Record<string, unknown>;
/** Where a batch's notes stand in its profile: no rule has such a name. */
const NOTES = '$';
const optional = (value: unknown): number | null => (value === null ? null : Number(value));
const larger = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.max(a, b);
const smaller = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.min(a, b);

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

/** JSON that also takes bigints, as texts. A function that looks at every value is slow, and bigints are rare. */
export function toJsonText(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return JSON.stringify(value, (_key, item) => (typeof item === 'bigint' ? item.toString() : item));
  }
}

const reasonsText = (row: NewQuarantinedRow | PrintedQuarantinedRow): string =>
  'reasonsText' in row ? row.reasonsText : toJsonText(row.reasons);

/** The record log's tables in registry.db. Files of segments are kept relative to the lake, so a project can move. */
export function createLedger(db: Database, lake: string): Ledger {
  const all = (sql: string, ...args: (string | number | null)[]): Row[] =>
    statement(db, sql).all(...args) as Row[];

  const state = (source: string): CommittedState => {
    const row = all('SELECT * FROM log_source WHERE source = ?', source)[0];
    const segments = all('SELECT * FROM log_segment WHERE source = ? ORDER BY first_seq', source).map(
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
  };

  const insertBatch = (
    commit: Omit<BatchCommit, 'segment' | 'quarantined'>,
    status: string,
    reason: string | null,
  ): void => {
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
  };

  const markBatch = (batch: string, mark: BatchMark | null): void => {
    if (mark === null) db.prepare('DELETE FROM batch_mark WHERE batch = ?').run(batch);
    else
      db.prepare(
        'INSERT OR REPLACE INTO batch_mark SELECT batch, source, ?, ?, ? FROM log_batch WHERE batch = ?',
      ).run(mark.mark, mark.reason, mark.at, batch);
  };

  const where = (filter: QuarantineFilter): { sql: string; args: (string | number)[] } => {
    const parts: string[] = [];
    const args: (string | number)[] = [];
    const add = (column: string, value: string | undefined): void => {
      if (value === undefined) return;
      parts.push(`${column} = ?`);
      args.push(value);
    };
    add('source', filter.source);
    add('status', filter.status);
    add('batch', filter.batch);
    if (filter.rule !== undefined) {
      parts.push("EXISTS (SELECT 1 FROM json_each(reasons) r WHERE r.value ->> 'rule' = ?)");
      args.push(filter.rule);
    }
    if (filter.ids) {
      parts.push('id IN (SELECT value FROM json_each(?))');
      args.push(JSON.stringify(filter.ids));
    }
    return { sql: parts.length > 0 ? ` WHERE ${parts.join(' AND ')}` : '', args };
  };

  return {
    state,
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
        insertBatch(commit, 'committed', null);
        if (commit.mark) markBatch(result.batch, commit.mark);
        if (commit.columns)
          db.prepare('INSERT INTO log_profile VALUES (?, ?, ?, ?)').run(
            result.batch,
            result.source,
            commit.at,
            toJsonText(commit.columns),
          );
        if (segment) {
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
          const before = state(result.source);
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
        const file = db.prepare('INSERT OR REPLACE INTO log_file VALUES (?, ?, ?, ?, ?, ?)');
        for (const { path, sha256, rows } of commit.files) {
          file.run(result.source, sha256, commit.fingerprint, path, rows, result.batch);
        }
        const insert = db.prepare(
          'INSERT INTO quarantine (source, batch, file, line, row, reasons, status, at, digest)' +
            " VALUES (?, ?, ?, ?, ?, ?, 'open', ?, ?) ON CONFLICT (source, digest) DO UPDATE SET" +
            " batch = excluded.batch, reasons = excluded.reasons, at = excluded.at, status = 'open'",
        );
        for (const row of commit.quarantined) {
          insert.run(
            result.source,
            result.batch,
            row.file,
            row.line,
            'rowText' in row ? row.rowText : toJsonText(row.row),
            reasonsText(row),
            commit.at,
            row.digest,
          );
        }
        const again = db.prepare(
          "UPDATE quarantine SET reasons = ? WHERE source = ? AND digest = ? AND status = 'open'",
        );
        for (const row of commit.again ?? []) again.run(reasonsText(row), result.source, row.digest);
        writeFacts(db, commit.facts ?? {});
      }),
    keepFacts: (facts) => transaction(db, () => writeFacts(db, facts)),
    refuse: (batch, reason) => transaction(db, () => insertBatch(batch, 'refused', reason)),
    knownFile: (source, sha256, fingerprint) => {
      const row = all(
        'SELECT rows FROM log_file WHERE source = ? AND sha256 = ? AND fingerprint = ?',
        source,
        sha256,
        fingerprint,
      )[0];
      return row && Number(row['rows']);
    },
    batches: (source, limit = -1) =>
      (source === undefined
        ? all(`${BATCHES} ORDER BY b.at DESC, b.rowid DESC LIMIT ?`, limit)
        : all(`${BATCHES} WHERE b.source = ? ORDER BY b.at DESC, b.rowid DESC LIMIT ?`, source, limit)
      )
        .reverse()
        .map((row) => ({
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
        })),
    past: (source, kind, limit) =>
      all(
        `${BATCHES} WHERE b.source = ? AND b.kind = ? AND b.status = 'committed' ORDER BY b.at DESC, b.rowid DESC LIMIT ?`,
        source,
        kind,
        limit,
      ).flatMap((row): KeptBatch[] => {
        const { notes } = profileOf(row);
        const findings = notes.history?.findings ?? [];
        const parts = notes.parts?.map((part) => ({
          ...part,
          anomalous: findings.filter(({ file }) => file === part.file).map(({ id }) => id),
        }));
        return notes.facts === undefined
          ? []
          : [
              {
                batch: row['batch'] as string,
                at: Number(row['at']),
                facts: notes.facts,
                mark: markOf(row)?.mark ?? null,
                anomalous: findings.map(({ id }) => id),
                ...(parts ? { parts } : {}),
                notes,
                reasons: JSON.parse(row['reasons'] as string),
              },
            ];
      }),
    profilesOf: (batches) => {
      const kept = new Map(
        all(
          'SELECT batch, profile FROM log_profile WHERE batch IN (SELECT value FROM json_each(?))',
          JSON.stringify(batches),
        ).map((row) => [row['batch'] as string, JSON.parse(row['profile'] as string) as BatchProfile]),
      );
      return batches.flatMap((batch) => kept.get(batch) ?? []);
    },
    markBatch,
    acceptances: (source) =>
      all(`${BATCHES} WHERE b.source = ? AND b.status = 'refused' AND m.mark = 'expected'`, source).map(
        (row) => {
          const files = JSON.parse(row['files'] as string) as readonly BatchFile[];
          return { hashes: new Set(files.map(({ sha256 }) => sha256)), mark: markOf(row)! };
        },
      ),
    profiles: (source, limit = -1) =>
      all(
        'SELECT * FROM log_profile WHERE source = ? ORDER BY at DESC, rowid DESC LIMIT ?',
        source,
        limit,
      ).map((row) => ({
        batch: row['batch'] as string,
        at: Number(row['at']),
        profile: JSON.parse(row['profile'] as string) as BatchProfile,
      })),
    reference: (source, rule, fingerprint) => {
      const row = all(
        'SELECT * FROM log_reference WHERE source = ? AND rule = ? AND fingerprint = ?',
        source,
        rule,
        fingerprint,
      )[0];
      return (
        row && {
          statistic: row['statistic'] as string,
          value: row['value'] as string,
          count: Number(row['count']),
          throughSeq: Number(row['through_seq']),
          at: Number(row['at']),
        }
      );
    },
    keepReference: (source, rule, fingerprint, { statistic, value, count, throughSeq, at }) =>
      void db
        .prepare('INSERT OR REPLACE INTO log_reference VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
        .run(source, rule, fingerprint, statistic, value, count, throughSeq, at),
    quarantine: (filter) => {
      const { sql, args } = where(filter);
      return all(
        `SELECT q.*, (SELECT reason FROM quarantine_note n WHERE n.id = q.id) AS note FROM quarantine q${sql} ORDER BY id LIMIT ?`,
        ...args,
        filter.limit ?? -1,
      ).map((row) => ({
        id: Number(row['id']),
        source: row['source'] as string,
        batch: row['batch'] as string,
        file: row['file'] as string | null,
        line: Number(row['line']),
        row: JSON.parse(row['row'] as string),
        reasons: JSON.parse(row['reasons'] as string),
        status: row['status'] as QuarantinedRow['status'],
        at: Number(row['at']),
        note: row['note'] as string | null,
      }));
    },
    held: (source, digests) =>
      new Set(
        all(
          'SELECT digest FROM quarantine WHERE source = ? AND digest IN (SELECT value FROM json_each(?))',
          source,
          JSON.stringify(digests),
        ).map((row) => row['digest'] as string),
      ),
    quarantineCount: (filter) => {
      const { sql, args } = where(filter);
      return Number(all(`SELECT count(*) AS n FROM quarantine${sql}`, ...args)[0]!['n']);
    },
    explain: (rows) =>
      transaction(db, () => {
        const update = db.prepare('UPDATE quarantine SET reasons = ? WHERE id = ?');
        for (const { id, reasons } of rows) update.run(toJsonText(reasons), id);
      }),
    mark: (ids, status, note) =>
      transaction(db, () => {
        db.prepare('DELETE FROM quarantine_note WHERE id IN (SELECT value FROM json_each(?))').run(
          JSON.stringify(ids),
        );
        if (note)
          db.prepare('INSERT INTO quarantine_note SELECT value, ?, ? FROM json_each(?)').run(
            note.reason,
            note.at,
            JSON.stringify(ids),
          );
        db.prepare('UPDATE quarantine SET status = ? WHERE id IN (SELECT value FROM json_each(?))').run(
          status,
          JSON.stringify(ids),
        );
      }),
  };
}
