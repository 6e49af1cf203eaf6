/**
 * The append-only two-time log, one for each source.
 *
 * Physical row (Parquet segment or line of the write-ahead tail): the declared fields under their names in DuckDB
 * types, and
 * - `_seq`        BIGINT  append position, strictly increasing within the source, from 1
 * - `_order`      BIGINT  the declared `sequence` field, else `_seq`: orders versions and ties
 * - `_event_time` BIGINT  microseconds
 * - `_available_at` BIGINT microseconds
 * - `_deleted`    BOOLEAN tombstone
 * - `_flags`      VARCHAR[] ids of rules with action `flag` that the record broke, null when none
 * - `_repairs`    STRUCT(field, rule, original, contract)[] what rules changed, in their order, null when nothing
 */
import type { Instant } from '../core/base/time.js';
import type { SchemaChangeAction, SchemaChangeKind, Source } from '../core/define/types.js';
import type { BatchProfile } from '../core/drift/batch-profile.js';
import type { BatchFacts, BatchPart, HistoryJudgement } from '../core/drift/history.js';
import type { ContractSnapshot } from '../core/quality/contract-snapshot.js';
import type { BatchVerdict, Repair } from '../core/quality/index.js';
import type { Value } from '../core/schema/types.js';

export interface LogSegment {
  /** Absolute path. */
  readonly file: string;
  readonly format: 'parquet' | 'ndjson';
  readonly rows: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
}

/** What is committed of a source's log. A frozen snapshot: later appends do not change it. */
export interface LogState {
  readonly source: string;
  readonly rows: number;
  /** 0 when the log is empty. */
  readonly lastSeq: number;
  /** The greatest available_at appended, null when the log is empty. */
  readonly maxAvailableAt: Instant | null;
  readonly minEventTime: Instant | null;
  readonly maxEventTime: Instant | null;
  /** True when some record key has more than one version or any tombstone exists. */
  readonly hasVersions: boolean;
  readonly segments: readonly LogSegment[];
}

/** One typed record on its way in or out, in JavaScript's reading of each field's type. */
export interface LogRecord {
  readonly fields: Readonly<Record<string, Value>>;
  readonly eventTime: Instant;
  readonly availableAt: Instant;
  readonly order: number;
  readonly seq: number;
  readonly deleted: boolean;
  /** False: the first record of its key, and no tombstone. Absent: nobody looked. */
  readonly version?: boolean;
  /** What rules changed, in their order. Read only where it is asked for; absent when nothing was. */
  readonly repairs?: readonly Repair[];
}

/** Every version of the records that ever were an entity's. */
export interface EntityLog {
  /** In seq order, those included that moved the record to another entity. */
  versions(): AsyncIterable<readonly LogRecord[]>;
  /** A SELECT that any DuckDB runs: the entity's records known at an instant, each in its newest version by then. */
  knownSql(at: Instant): string;
}

/** A repair of a record of the log, with what the value became. */
export interface RepairedValue extends Repair {
  readonly seq: number;
  readonly recordKey: readonly Value[];
  readonly repaired: Value;
}

/** A record that rules let in with a remark. */
export interface FlaggedRecord {
  readonly seq: number;
  readonly eventTime: Instant;
  readonly fields: Readonly<Record<string, Value>>;
  /** Ids of the rules. */
  readonly flags: readonly string[];
}

/** `rule`: only what this rule did. */
export interface MarkFilter {
  readonly rule?: string;
  readonly limit?: number;
}

/** A refused row, kept so that it can be shown and fed again. */
export interface QuarantinedRow {
  readonly id: number;
  readonly source: string;
  readonly batch: string;
  readonly file: string | null;
  /** Line of the file (the header is line 1), or index in the pushed batch, from 1. */
  readonly line: number;
  /** The row as it came: column name → text or JSON value. */
  readonly row: Readonly<Record<string, unknown>>;
  readonly reasons: readonly {
    readonly rule: string;
    readonly field: string | null;
    readonly value: unknown;
    readonly message: string;
  }[];
  readonly status: 'open' | 'replayed' | 'dropped';
  readonly at: Instant;
  /** Why it was dropped, in the words of who did it. */
  readonly note: string | null;
}

/** What became of a batch: rows = accepted + quarantined + duplicates + dropped, always. */
export interface IngestResult {
  readonly source: string;
  /** Id of the batch. */
  readonly batch: string;
  readonly rows: number;
  /** In the log. */
  readonly accepted: number;
  /** Kept aside with their reasons. */
  readonly quarantined: number;
  /** In the log already, delivered the same. */
  readonly duplicates: number;
  /** Left out by a rule that says so. */
  readonly dropped: number;
  /** Accepted records that are new versions of a key already in the log. */
  readonly corrections: number;
  /** Accepted records that rules repaired. */
  readonly repaired: number;
  /** Repairs: rule id → accepted records. */
  readonly repairs: Readonly<Record<string, number>>;
  /** Rules that left records out: rule id → dropped rows. */
  readonly drops: Readonly<Record<string, number>>;
  /** Flags: rule id → accepted records that carry it. */
  readonly flags: Readonly<Record<string, number>>;
  /** Last seq of the source after this batch. */
  readonly seq: number;
  readonly warnings: readonly { readonly rule: string; readonly message: string; readonly rows: number }[];
  /** Quarantine reasons: rule id → rows. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** A row that would be refused, as the ledger would hold it. */
export type RefusedRow = Pick<QuarantinedRow, 'file' | 'line' | 'reasons'>;

/** What an ingest would come to. */
export interface FileVerdict extends IngestResult {
  /** The first rows that would be refused, in the order of the files. */
  readonly refused: readonly RefusedRow[];
}

/**
 * What feeding quarantined rows again came to. Rows that are refused again stay open, and those that a rule drops are
 * settled; both hold their present reasons.
 */
export type ReplayResult = Omit<IngestResult, 'source' | 'batch' | 'warnings'>;

export interface BatchFile {
  readonly path: string;
  readonly sha256: string;
  readonly rows: number;
}

export interface BatchRecord {
  readonly batch: string;
  readonly source: string;
  readonly kind: string;
  readonly status: 'committed' | 'refused';
  readonly at: Instant;
  readonly rows: number;
  readonly accepted: number;
  readonly quarantined: number;
  readonly duplicates: number;
  readonly dropped: number;
  readonly corrections: number;
  readonly repaired: number;
  readonly lastSeq: number;
  readonly files: readonly BatchFile[];
  readonly reason: string | null;
  readonly warnings: IngestResult['warnings'];
  readonly reasons: IngestResult['reasons'];
  /** Repairs: rule id → accepted records. */
  readonly repairs: IngestResult['repairs'];
  readonly drops: IngestResult['drops'];
  readonly flags: IngestResult['flags'];
  /** What the batch rules measured, by rule id, and what was found of distributions. */
  readonly profile: Readonly<Record<string, unknown>>;
  readonly notes: BatchNotes;
  readonly mark: BatchMark | null;
}

/** The columns of a file as they stood in it. */
export interface FileShape {
  readonly format: string;
  readonly columns: readonly (readonly [name: string, type: string])[];
}

/** What had changed in the columns of a batch, and what was done about it. */
export interface SchemaChange {
  readonly kind: SchemaChangeKind;
  readonly action: SchemaChangeAction;
  readonly message: string;
}

/** What is kept of a batch to judge later ones by, and how it was judged itself. */
export interface BatchNotes {
  readonly facts?: BatchFacts;
  /** Stretches of time that came together, oldest first. */
  readonly parts?: readonly BatchPart[];
  readonly shape?: FileShape;
  readonly changes?: readonly SchemaChange[];
  readonly history?: HistoryJudgement;
  /** Of pushes, which cannot be refused any more: broken rules that would have refused a file. */
  readonly broken?: readonly BatchVerdict[];
}

/** What people say of a batch: as it should be, or not to be learnt from. */
export interface BatchMark {
  readonly mark: 'expected' | 'incident';
  readonly reason: string | null;
  readonly at: Instant;
}

/** What a committed batch looked like. */
export interface KeptProfile {
  readonly batch: string;
  readonly at: Instant;
  readonly profile: BatchProfile;
}

export interface KnownContract {
  readonly semver: string;
  readonly fingerprint: string;
  contract(): ContractSnapshot;
}

/** A contract as it stood while records came in under it. */
export interface ContractVersion {
  readonly source: string;
  /** From 1; a contract that comes back is a new version. */
  readonly version: number;
  /** 1.0.0, then by the class of each change. */
  readonly semver: string;
  readonly fingerprint: string;
  readonly contract: ContractSnapshot;
  readonly since: Instant;
  /** What it has judged. */
  readonly batches: number;
  readonly accepted: number;
  readonly lastBatchAt: Instant | null;
}

export interface QuarantineFilter {
  readonly source?: string;
  readonly status?: QuarantinedRow['status'];
  readonly batch?: string;
  /** Id of a rule that the row broke. */
  readonly rule?: string;
  readonly ids?: readonly number[];
  readonly limit?: number;
}

/**
 * The batch is a state and not a delivery: what it no longer says is taken back by tombstones, and what returns to an
 * earlier value is a new version. Tombstones and returns are known from `knowledge` on, or from what they replace.
 */
export interface StateScope {
  readonly knowledge: Instant;
  /** False: what is missing stays. */
  readonly retract: boolean;
  /** A Parquet file with the record keys that the batch speaks of; null: all of the log. */
  readonly within: string | null;
}

export interface IngestFilesOptions {
  readonly now?: Instant;
  readonly signal?: AbortSignal;
  readonly state?: StateScope;
  /** Facts of the registry that are true once the batch is in the log: written in its transaction. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

export interface RecordLog {
  state(source: Source): Promise<LogState>;
  /** Validate, split, deduplicate and append the records of files as one atomic batch. */
  ingestFiles(source: Source, files: readonly string[], options?: IngestFilesOptions): Promise<IngestResult>;
  /**
   * What `ingestFiles` would come to now, with up to `show` of the rows that it would refuse; throws as it would.
   * Nothing is written and no lock is taken.
   */
  checkFiles(
    source: Source,
    files: readonly string[],
    options: { readonly now: Instant; readonly show: number; readonly signal?: AbortSignal },
  ): Promise<FileVerdict>;
  /** As `ingestFiles` for rows in hand (pushed JSON objects, replayed quarantine rows). Durable when it resolves. */
  ingestRows(
    source: Source,
    rows: readonly Readonly<Record<string, unknown>>[],
    options: { readonly now: Instant },
  ): Promise<IngestResult>;
  /** Ends the windows of pushes that are over: their records become a batch, judged by the rules for batches. */
  closeWindows(now: Instant): Promise<void>;
  /** The files that the source's own patterns name now, absolute and sorted; none for pushed and computed sources. */
  expand(source: Source): readonly string[];
  /** The files that a path or pattern names now, relative to the project folder; none is no fault. */
  match(pattern: string): readonly string[];
  /**
   * Calls back with the accepted records of each durable `ingestRows` of this log, in seq order, before its promise
   * resolves. Gives the function that stops it.
   */
  onAppend(listener: (source: string, records: readonly LogRecord[]) => void): () => void;
  /** Committed records with seq in (after, through], in seq order, in chunks. */
  read(source: Source, after: number, through: number): AsyncIterable<readonly LogRecord[]>;
  /** What a snapshot of the log holds of one entity, by the fields that hold its keys. */
  entity(source: Source, state: LogState, keys: ReadonlyMap<string, Value>): EntityLog;
  quarantine(filter?: QuarantineFilter): Promise<readonly QuarantinedRow[]>;
  quarantineCount(filter?: QuarantineFilter): Promise<number>;
  /** Profiles of the last committed batches with accepted records, newest first. */
  profiles(source: string, limit?: number): Promise<readonly KeptProfile[]>;
  /** What rules changed in the records of the log, newest first. */
  repairs(source: Source, filter?: MarkFilter): Promise<readonly RepairedValue[]>;
  /** Records that carry flags, newest first; later versions of a record stand for themselves. */
  flagged(source: Source, filter?: MarkFilter): Promise<readonly FlaggedRecord[]>;
  /** Every batch, committed or refused, oldest first; with a limit only the last ones. */
  batches(source?: string, limit?: number): Promise<readonly BatchRecord[]>;
  /** Versions of a source's contract, oldest first. */
  contracts(source: string): Promise<readonly ContractVersion[]>;
  /** By source: the contract under which records last came in. */
  lastContracts(): Promise<ReadonlyMap<string, KnownContract>>;
  /** Feeds open rows of the ledger through the source's rules of today and marks what was settled. */
  replay(
    source: Source,
    rows: readonly QuarantinedRow[],
    options: { readonly now: Instant },
  ): Promise<ReplayResult>;
  /** Settles rows without feeding them (`dropped`), or opens them again. */
  markQuarantined(
    ids: readonly number[],
    status: QuarantinedRow['status'],
    note?: { readonly reason: string; readonly at: Instant },
  ): Promise<void>;
  /** Says of a batch what it was, or takes that back (null). */
  markBatch(batch: string, mark: BatchMark | null): Promise<void>;
  close(): Promise<void>;
}
