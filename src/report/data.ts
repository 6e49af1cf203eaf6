/** What the report is drawn from. Plain values: services collect them, the report only reads. */

import type { Instant } from '../core/base/time.js';
import type { DatasetManifest } from '../core/dataset/manifest.js';
import type { Comparison } from '../core/drift/comparison.js';
import type { ColumnProfile } from '../core/drift/profile.js';
import type { BinaryEvaluation, Evaluation, MulticlassEvaluation } from '../core/learn/metrics.js';
import type { LevelStatus } from '../core/quality/service-level.js';
import type { Overlay } from './histogram.js';
import type { PipelineGraph } from './pipeline-graph.js';

export interface ReportData {
  readonly project: string;
  readonly at: Instant;
  readonly versions: { readonly millrace: string; readonly node: string; readonly engine: number };
  readonly pipeline: PipelineGraph;
  readonly sources: readonly SourceReport[];
  readonly datasets: readonly DatasetReport[];
  readonly features: readonly FeatureReport[];
  readonly models: readonly ModelReport[];
  readonly monitors: readonly MonitorReport[];
  /** Null: never verified. */
  readonly verify: VerifyReport | null;
  readonly runs: readonly RunReport[];
}

export interface RuleCount {
  readonly rule: string;
  readonly rows: number;
}

export interface SourceReport {
  readonly name: string;
  readonly description: string | null;
  readonly kind: 'events' | 'states';
  readonly origin: 'files' | 'push' | 'sql' | 'postgres' | 'transform';
  /** Where available_at comes from, in words. */
  readonly availability: string;
  /** Records in the log, and what every committed batch brought: in = accepted + quarantined + duplicates + dropped. */
  readonly rows: number;
  readonly received: number;
  readonly accepted: number;
  readonly quarantined: number;
  readonly duplicates: number;
  readonly dropped: number;
  readonly corrections: number;
  readonly batches: number;
  readonly refusedBatches: number;
  readonly lastBatch: Instant | null;
  readonly eventTimes: readonly [from: Instant, to: Instant] | null;
  readonly knownThrough: Instant | null;
  /** Quarantine reasons by falling rows; a row may break more than one rule. */
  readonly reasons: readonly RuleCount[];
  /** Rows that wait in quarantine now. */
  readonly open: number;
  /** Why batches were refused, newest first. */
  readonly refusals: readonly string[];
  readonly warnings: readonly { readonly rule: string; readonly message: string; readonly rows: number }[];
  readonly levels: readonly LevelStatus[];
  /** The last batches that were not ordinary, newest first. */
  readonly anomalies: readonly {
    readonly batch: string;
    readonly at: Instant;
    readonly verdict: string;
    readonly message: string;
  }[];
}

export interface DatasetReport {
  readonly name: string;
  readonly description: string | null;
  readonly versions: number;
  /** The newest version; null: not built yet. */
  readonly latest: {
    readonly version: number;
    readonly at: Instant;
    readonly manifest: DatasetManifest;
  } | null;
}

export interface FeatureReport {
  readonly name: string;
  readonly description: string | null;
  readonly type: string;
  readonly entity: string;
  /** How it is computed, in one line. */
  readonly computation: string;
  /** The source it reads, or `computed` for expressions and functions. */
  readonly group: string;
  readonly sets: readonly string[];
  readonly fingerprint: string;
  /** Of the newest training part that has it. */
  readonly profile: ColumnProfile | null;
}

export type AnyEvaluation = Evaluation | BinaryEvaluation | MulticlassEvaluation;

/** The parts of a model manifest that are shown. */
export interface ModelVersionManifest {
  readonly task: 'binary' | 'multiclass' | 'regression';
  readonly trainer: {
    readonly kind: string;
    readonly parameters: Readonly<Record<string, unknown>>;
    readonly seed: number;
  };
  readonly dataset: { readonly name: string; readonly version: number; readonly logical_sha256: string };
  readonly features: readonly { readonly name: string }[];
  readonly label: string;
  readonly classes: readonly string[] | null;
  readonly metrics: Readonly<Record<string, Readonly<Record<string, number | null>>>>;
  readonly evaluation: Readonly<Record<string, AnyEvaluation>>;
  readonly importance: readonly { readonly feature: string; readonly gain: number }[];
  readonly score_profile: Readonly<Record<string, ColumnProfile>>;
  readonly model_sha256: string;
}

export interface ModelReport {
  readonly name: string;
  readonly description: string | null;
  readonly champion: number | null;
  /** The version in detail: the champion, else the newest. */
  readonly shown: {
    readonly version: number;
    readonly at: Instant;
    readonly manifest: ModelVersionManifest;
  } | null;
  readonly versions: readonly {
    readonly version: number;
    readonly at: Instant;
    readonly dataset: string;
    readonly trainer: string;
    readonly metrics: Readonly<Record<string, number | null>>;
    readonly sha256: string;
  }[];
  /** Part whose metrics stand in `versions` and in the summary. */
  readonly judgedOn: string | null;
  readonly history: readonly {
    readonly version: number;
    readonly previous: number | null;
    readonly at: Instant;
    readonly actor: string;
    readonly reason: string;
  }[];
  readonly gate: readonly string[];
}

export interface MonitorResultReport {
  readonly model: string;
  readonly from: string;
  readonly to: string;
  readonly rows: number;
  readonly features: Comparison;
  readonly score: Comparison;
  readonly performance: {
    readonly outcomes: number;
    readonly coverage: number;
    readonly evaluation: AnyEvaluation | null;
    readonly requirements: readonly {
      readonly text: string;
      readonly observed: number | null;
      readonly passed: boolean | null;
    }[];
    readonly verdict: 'ok' | 'degraded' | 'insufficient_data';
  };
  readonly verdict: 'ok' | 'drifted' | 'insufficient_data';
  readonly alerts: readonly string[];
  readonly at: Instant | null;
}

export interface MonitorReport {
  readonly name: string;
  readonly service: string;
  readonly window: string;
  /** Null: has not run yet. */
  readonly result: MonitorResultReport | null;
  /** Training and window side by side, by feature; the score under `score`. */
  readonly overlays: Readonly<Record<string, Overlay>>;
  readonly scoreOverlay: Overlay | null;
  /** The same metrics on the part that judged the champion. */
  readonly baseline: {
    readonly part: string;
    readonly metrics: Readonly<Record<string, number | null>>;
  } | null;
}

export interface VerifyReport {
  readonly checked: number;
  readonly differences: number;
  readonly features: number | null;
  readonly observations: number | null;
  readonly at: Instant | null;
  readonly examples: readonly string[];
}

export interface RunReport {
  readonly id: number;
  readonly command: string;
  readonly at: Instant;
  readonly elapsed: number | null;
  readonly status: 'running' | 'done' | 'failed' | 'interrupted' | 'cancelled';
}
