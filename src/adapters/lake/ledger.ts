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

/** JSON that also takes bigints, as texts. A function that looks at every value is slow, and bigints are rare. */
export function toJsonText(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return JSON.stringify(value, (_key, item) => (typeof item === 'bigint' ? item.toString() : item));
  }
}
