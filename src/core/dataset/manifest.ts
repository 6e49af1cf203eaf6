import type { Fingerprint } from '../base/fingerprint.js';
import type { PartName } from '../define/types.js';
import type { ColumnProfile } from '../drift/profile.js';
import type { LabelBalance } from './balance.js';
import type { LeakageFinding } from './leakage.js';
import type { PartRule } from './split.js';

/** Bump when the meaning or the bits of any engine value change: it is part of every dataset's key. */
export const ENGINE_VERSION = 2;

export interface PartSummary {
  readonly name: PartName;
  readonly rows: number;
  readonly from: string | null;
  readonly to: string | null;
  readonly label: LabelBalance | null;
}

/** What is known of a column of a partition without reading it. */
export interface ColumnStatistics {
  readonly sha256: Fingerprint;
  readonly nulls: number;
  /** Of numbers and booleans (as 0 and 1); null for others, and where there are no values. */
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
}

/** The columns of a partition, kept as an object of its own. */
export type PartitionColumns = Readonly<Record<string, ColumnStatistics>>;

/** Labelled observations of a period with their features: a file that every version with the same key shares. */
export interface PartitionEntry {
  /** `[from, to)`; null on both sides: all of the set. */
  readonly from: string | null;
  readonly to: string | null;
  readonly key: Fingerprint;
  /** Digest of what reaches it of each parent, by `role source`. */
  readonly parents: Readonly<Record<string, string>>;
  readonly observations: number;
  readonly rows: number;
  readonly immature_label: number;
  readonly no_outcome: number;
  readonly outside_horizon: number;
  /** Outcomes that were known at or before their observation. */
  readonly known_before: number;
  /** By source that holds a record of each observation: how many are known only after it, and how many there are. */
  readonly own_records: Readonly<Record<string, readonly [late: number, total: number]>>;
  readonly bytes: number;
  /** The object with its rows; null where it has none. */
  readonly sha256: string | null;
  /** Over all columns in order, whatever file carries them. */
  readonly logical_sha256: Fingerprint;
  /** The object with its `PartitionColumns`. */
  readonly columns_sha256: string;
}

export interface DatasetManifest {
  /** 1: the rows are data.parquet in the folder of the version. 2: they are the objects of its partitions. */
  readonly format: 1 | 2;
  readonly dataset: string;
  readonly fingerprint: Fingerprint;
  readonly engine_version: number;
  readonly knowledge: 'as_of' | 'hindsight';
  /** Source → seq beyond which nothing was read. */
  readonly horizons: Readonly<Record<string, number>>;
  /** Observation file's content hash, when observations come from a file. */
  readonly observations_sha256: string | null;
  /** Object with the texts of the definitions; null: they were not at hand. */
  readonly definitions_sha256?: string | null;
  /** What names a row: its fields, and the column of its time. */
  readonly observation_key?: { readonly fields: readonly string[]; readonly time: string };
  /** What computed the values and wrote the bytes. */
  readonly environment?: { readonly millrace: string; readonly engine: string };
  readonly counts: {
    readonly observations: number;
    readonly rows: number;
    readonly immature_label: number;
    readonly no_outcome: number;
    readonly outside_horizon: number;
    readonly purged: number;
  };
  readonly parts: readonly PartSummary[];
  /** Format 2: which part a row of a partition is in. */
  readonly part_rule?: PartRule;
  /** Format 2, in order of time: the rows of the version are theirs, one after another. */
  readonly partitions?: readonly PartitionEntry[];
  readonly label: {
    readonly name: string;
    readonly type: string;
    readonly horizon: string;
    readonly grace: string;
    readonly known_through: string | null;
  } | null;
  readonly features: readonly {
    readonly name: string;
    readonly type: string;
    readonly fingerprint: Fingerprint;
  }[];
  /** Column profiles of the training part: what monitoring compares with. */
  readonly profile: Readonly<Record<string, ColumnProfile>>;
  /** Format 2: changes with the training part; equal ones have equal profiles. */
  readonly profile_of?: Fingerprint;
  readonly leakage: readonly LeakageFinding[];
  /** Service levels that did not hold when it was built, gone past by `--ignore-availability`; absent: none. */
  readonly unavailable?: readonly {
    readonly source: string;
    readonly level: string;
    readonly reason: string;
  }[];
  /** Of what is on disk; in format 2 each is an object. */
  readonly files: readonly {
    readonly file: string;
    readonly rows: number;
    readonly bytes: number;
    readonly sha256: string;
  }[];
  /** Over every column in order: the same version built again has the same one. */
  readonly logical_sha256: Fingerprint;
  readonly column_sha256: Readonly<Record<string, Fingerprint>>;
}

/** What to say of parts that have no rows, which nothing can be judged on; null: all have some. */
export function emptyParts({
  parts,
  counts,
  label,
}: Pick<DatasetManifest, 'parts' | 'counts' | 'label'>): string | null {
  const empty = parts.filter(({ rows }) => rows === 0).map(({ name }) => name);
  if (empty.length === 0) return null;
  const purged =
    counts.purged > 0 && label
      ? `: ${counts.purged} rows are left out because their label, which looks ${label.horizon} ahead, ends after their part does`
      : '';
  return `no rows in ${empty.join(', ')}${purged}`;
}
