/** What the project remembers of datasets, models and runs. Every change has a time, and aliases keep their history. */
import type { Instant } from '../core/base/time.js';

export interface VersionRecord {
  readonly kind: 'dataset' | 'model';
  readonly name: string;
  readonly version: number;
  /** The cache key: equal keys mean nothing needs to be computed again. */
  readonly key: string;
  /** Folder with the artefacts, absolute. */
  readonly folder: string;
  readonly manifest: Readonly<Record<string, unknown>>;
  readonly createdAt: Instant;
}

export interface AliasChange {
  readonly model: string;
  readonly alias: string;
  readonly version: number;
  readonly previous: number | null;
  readonly at: Instant;
  readonly actor: string;
  readonly reason: string;
}

/** What people say of a model or of one of its versions: `description`, `owner`, or `tag:NAME`. */
export interface NoteChange {
  readonly model: string;
  /** Null: of the model, whatever its version. */
  readonly version: number | null;
  readonly field: string;
  /** Null: taken away. */
  readonly value: string | null;
  readonly previous: string | null;
  readonly at: Instant;
  readonly actor: string;
  readonly reason: string;
}

export interface RunRecord {
  readonly id: number;
  readonly command: string;
  readonly startedAt: Instant;
  readonly endedAt: Instant | null;
  readonly status: 'running' | 'done' | 'failed' | 'interrupted' | 'cancelled';
  readonly summary: Readonly<Record<string, unknown>>;
}

export interface Registry {
  /** Takes the next version number of the name; the same key returns the version that has it. */
  addVersion(record: Omit<VersionRecord, 'version'>): VersionRecord;
  versions(kind: VersionRecord['kind'], name?: string): readonly VersionRecord[];
  version(kind: VersionRecord['kind'], name: string, version?: number): VersionRecord | undefined;
  byKey(kind: VersionRecord['kind'], name: string, key: string): VersionRecord | undefined;
  /**
   * Where `expected` is given (null: no version yet), only if the alias still names that version.
   * @throws MillraceError STORE_LOCKED where it does not: someone else has changed it in between.
   */
  setAlias(
    change: Omit<AliasChange, 'previous'> & { readonly expected?: number | null | undefined },
  ): AliasChange;
  alias(model: string, alias: string): number | undefined;
  aliasHistory(model?: string): readonly AliasChange[];
  /**
   * Where `expected` is given (null: nothing said), only if that is what is said now.
   * @throws MillraceError STORE_LOCKED where it is not: someone else has changed it in between.
   */
  setNote(
    change: Omit<NoteChange, 'previous'> & { readonly expected?: string | null | undefined },
  ): NoteChange;
  /** Every change, oldest first; the last one of a field is what is said now. */
  noteHistory(model?: string): readonly NoteChange[];
  /** Small facts by name: materialized groups, transform states, verdicts. */
  getFact(name: string): unknown;
  setFact(name: string, value: unknown): void;
  /** All of them or none. */
  setFacts(facts: Readonly<Record<string, unknown>>): void;
  startRun(command: string, at: Instant): number;
  endRun(
    id: number,
    status: RunRecord['status'],
    at: Instant,
    summary: Readonly<Record<string, unknown>>,
  ): void;
  runs(limit: number): readonly RunRecord[];
  close(): void;
}
