/** What a model version is: how it came to be, what it needs, what it is worth. */
import { type Fingerprint, fingerprint } from '../core/base/fingerprint.js';
import type { Model, Task } from '../core/define/types.js';
import type { ColumnProfile } from '../core/drift/profile.js';
import type { Evaluation } from '../core/learn/metrics.js';
import type { TrainedModel } from '../core/learn/model.js';
import type { GitState, ScoringCommand } from '../ports/model-runtime.js';
import type { VersionRecord } from '../ports/registry.js';
import type { CodeVersion } from './code-version.js';
import type { EncodersEntry } from './encoders.js';
import type { Environment, Timings } from './training-record.js';

/** Of a model that was made elsewhere. */
export interface ImportedFrom {
  readonly format: 'onnx' | 'mlflow';
  /** Name of the file or folder that was given. */
  readonly from: string;
  /** Of the file, or of all files of the folder. */
  readonly sha256: string;
  /** MLflow: the flavour that scores, and what MLmodel says of its making. */
  readonly flavor?: 'onnx' | 'pyfunc';
  readonly mlflow_version?: string;
  readonly run_id?: string;
  readonly actor: string;
  readonly reason: string;
}

export interface ModelManifest {
  readonly format: 1;
  readonly model: string;
  readonly task: Task;
  readonly trainer: {
    readonly kind: string;
    readonly parameters: Readonly<Record<string, unknown>>;
    readonly seed: number;
  };
  readonly dataset: { readonly name: string; readonly version: number; readonly logical_sha256: string };
  readonly features: readonly {
    readonly name: string;
    readonly type: string;
    readonly fingerprint: string;
  }[];
  /** How features become numbers, fitted on the training part of `dataset`. Absent: the model takes them as they are. */
  readonly encoders?: EncodersEntry;
  readonly label: string;
  readonly classes: readonly string[] | null;
  readonly metrics: Readonly<Record<string, Readonly<Record<string, number | null>>>>;
  readonly evaluation: Readonly<Record<string, Evaluation>>;
  readonly importance: readonly { readonly feature: string; readonly gain: number }[];
  /** Feature profiles of the training part, and the model's scores on each part: what monitoring compares with. */
  readonly profile: Readonly<Record<string, ColumnProfile>>;
  readonly score_profile: Readonly<Record<string, ColumnProfile>>;
  /** Of a built-in trainer: every parameter, defaults among them, and the course of the fit. */
  readonly parameters?: TrainedModel['parameters'];
  readonly fit?: TrainedModel['log'];
  /** What scores it; our own format when absent. */
  readonly runtime?: 'onnx' | 'command';
  /** Of a command that scores. */
  readonly scoring?: ScoringCommand;
  readonly model_sha256: string;
  /** Object with the texts of the definitions that its features had; null: not at hand. */
  readonly definitions_sha256?: string | null;
  /** Who trained it. Absent: an earlier release, or imported. */
  readonly actor?: string;
  /** Absent: trained here. */
  readonly imported?: ImportedFrom;
  readonly environment: Environment;
  /** Null: the project is in no repository. Absent, like the next two: of an earlier release. */
  readonly git?: GitState | null;
  /** Lock files of the project, by path from its folder. */
  readonly locks?: Readonly<Record<string, string>>;
  readonly timings?: Timings;
  /** Of a command: its files, how long it took, and what it said of itself. */
  readonly code?: CodeVersion;
  readonly seconds?: number;
  readonly reported?: Readonly<Record<string, unknown>>;
}

export const manifestOf = (version: VersionRecord): ModelManifest =>
  version.manifest as unknown as ModelManifest;

/** The alias of the version that serves. */
export const CHAMPION = 'champion';

/** What a model version follows from: equal keys are the same version. */
export const modelKey = (
  model: Model,
  dataset: Pick<VersionRecord, 'key' | 'manifest'>,
  code?: CodeVersion,
): Fingerprint =>
  fingerprint({
    model: model.fingerprint,
    dataset: dataset.manifest['logical_sha256'] as string,
    key: dataset.key,
    code: code?.sha256,
  });
