/** What scores rows, wherever the model came from, and what trains outside of this process. */
import type { Task } from '../core/define/types.js';
import type { FeatureTable } from '../core/learn/matrix.js';
import type { Prediction } from '../core/learn/model.js';
import type { Value } from '../core/schema/types.js';

export interface ModelRuntime {
  /** One list of values a row, in the order of the model's features. The same row gives the same bits in any company. */
  predictRows(
    rows: readonly (readonly (Value | undefined)[])[],
  ): readonly Prediction[] | Promise<readonly Prediction[]>;
  /** Probabilities of class 1, predicted numbers, or one array of probabilities for each class. */
  predictTable(table: FeatureTable): Float64Array | Float64Array[] | Promise<Float64Array | Float64Array[]>;
}

/** What a model file outside of our own format is scored with. */
export interface ForeignModel {
  readonly file: string;
  readonly task: Task;
  readonly classes: readonly string[] | null;
  readonly features: readonly { readonly name: string; readonly type: string }[];
}

export interface OnnxRuntime {
  /** @throws MillraceError TRAIN_FAILED where the file is no model over these features. */
  open(model: ForeignModel): Promise<ModelRuntime>;
}

export interface ProcessJob {
  readonly command: readonly string[];
  /** Working folder. */
  readonly folder: string;
  /** Over the environment of this process. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number | null;
  readonly signal: AbortSignal;
  /** Lines of stdout and stderr, values of secret variables masked. */
  line(text: string): void;
}

/** The world a command ran in. */
export interface ProcessEnvironment {
  readonly platform: string;
  /** Null where the command is no Python. */
  readonly python: string | null;
  /** `name==version`, sorted; as `pip freeze` prints them. */
  readonly packages: readonly string[];
}

export interface ProcessRunner {
  /** @throws MillraceError TRAIN_FAILED (no program, exit status, timeout), INTERRUPTED. No process of the group stays. */
  run(job: ProcessJob): Promise<{ readonly seconds: number }>;
  environment(command: readonly string[], folder: string): Promise<ProcessEnvironment>;
}
