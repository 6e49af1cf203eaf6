import type { Fingerprint } from '../base/fingerprint.js';
import type { PartName } from '../define/types.js';
import type { ColumnProfile } from '../drift/profile.js';
import type { LeakageFinding } from './leakage.js';

/** Bump when the meaning or the bits of any engine value change: it is part of every dataset's key. */
export const ENGINE_VERSION = 1;

export interface PartSummary {
  readonly name: PartName;
  readonly rows: number;
  readonly from: string | null;
  readonly to: string | null;
  /** Binary labels: rows with label 1. Others: rows by class, or mean of the target. */
  readonly label: Readonly<Record<string, number>> | null;
}

export interface DatasetManifest {
  readonly format: 1;
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
  readonly leakage: readonly LeakageFinding[];
  /** Service levels that did not hold when it was built, gone past by `--ignore-availability`; absent: none. */
  readonly unavailable?: readonly {
    readonly source: string;
    readonly level: string;
    readonly reason: string;
  }[];
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
