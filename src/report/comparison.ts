/** What is shown of model versions side by side. */
import type { Instant } from '../core/base/time.js';
import type { Round } from '../core/learn/boosting.js';
import type { Evaluation } from '../core/learn/metrics.js';
import type { PairedDifference, ResidualBin } from '../core/learn/paired.js';

export interface ComparedModel {
  /** NAME@VERSION */
  readonly name: string;
  readonly trained_at: string;
  readonly stage: string;
  readonly aliases: readonly string[];
  readonly task: 'binary' | 'multiclass' | 'regression';
  readonly trainer: string;
  readonly seed: number;
  readonly imported: boolean;
  /** NAME@VERSION */
  readonly dataset: string;
  readonly dataset_sha256: string;
  /** Rows by part. */
  readonly rows: Readonly<Record<string, number>>;
  readonly features: number;
  readonly label: string;
  readonly model_sha256: string;
  readonly environment: object;
  readonly git: { readonly commit: string; readonly dirty: boolean } | null | undefined;
  /** Seconds. */
  readonly timings: Readonly<Record<'dataset' | 'read' | 'fit' | 'evaluate' | 'total', number>> | undefined;
  readonly evaluation: Readonly<Record<string, Evaluation>>;
  readonly fit: { readonly rounds: readonly Round[] } | undefined;
}

/** Values in the order of the models; null: it has none. */
export interface DifferingValue {
  readonly name: string;
  readonly values: readonly (string | null)[];
}

export interface DifferingFeature {
  readonly feature: string;
  readonly fingerprints: readonly (string | null)[];
  /** Properties of the definition that differ; none where a definition is not kept, or a feature it depends on differs. */
  readonly lines: readonly DifferingValue[];
}

export interface OnSameRows {
  /** NAME@VERSION of the newest of the datasets. */
  readonly dataset: string;
  readonly part: string;
  readonly rows: number | null;
  readonly evaluations: readonly (Evaluation | null)[];
  /** Why a model is not judged on them; null: it is. */
  readonly reasons: readonly (string | null)[];
  /** Features that were computed anew at these rows, by the model's own definitions. */
  readonly computed: readonly (readonly string[])[];
  /** Regression: by rising prediction. */
  readonly residuals: readonly (readonly ResidualBin[] | null)[];
  /** Of each model but the first against the first one. */
  readonly differences: readonly {
    readonly metric: string;
    readonly model: string;
    readonly against: string;
    readonly difference: PairedDifference;
  }[];
}

export interface ComparedMetric {
  /** PART.METRIC, on the model's own rows. */
  readonly metric: string;
  readonly values: readonly (number | null)[];
  readonly intervals: readonly (readonly [number, number] | null)[];
  /** Of two: the second less the first. Null where one has no value, or there are more. */
  readonly difference: number | null;
}

export interface ModelComparison {
  readonly at: Instant;
  readonly models: readonly ComparedModel[];
  readonly parameters: readonly DifferingValue[];
  readonly features: readonly DifferingFeature[];
  readonly environment: readonly DifferingValue[];
  readonly metrics: readonly ComparedMetric[];
  readonly same_rows: OnSameRows;
  readonly importance: readonly { readonly feature: string; readonly gains: readonly (number | null)[] }[];
}
