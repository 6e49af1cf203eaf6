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
  /** Ends what it keeps running, after what was asked is answered. It may be asked again. */
  close?(): void;
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

/** How a command is asked for scores; docs/reference/models.md describes its lines. */
export interface ScoringCommand {
  /** Program and arguments, run in the folder of the version. */
  readonly command: readonly string[];
  /** `server`: kept running. `batch`: started for every list of rows. */
  readonly mode: 'server' | 'batch';
  /** More than 1: the command promises that a row's scores do not depend on the rows it is asked with. */
  readonly rows_at_once: number;
  /** Without any answer, and until the first one. */
  readonly timeout_ms: number;
  readonly start_timeout_ms: number;
  readonly env: Readonly<Record<string, string>>;
}

export interface ScoringModel {
  readonly name: string;
  /** Of the version: where the command runs. */
  readonly folder: string;
  readonly scoring: ScoringCommand;
  readonly task: Task;
  readonly classes: readonly string[] | null;
  readonly features: readonly { readonly name: string; readonly type: string }[];
  /** File to which what the command says beside its answers is appended, secrets masked. */
  readonly log: string;
  readonly signal: AbortSignal;
}

export interface ProcessJob {
  readonly command: readonly string[];
  /** Working folder. */
  readonly folder: string;
  /** Over the environment of this process. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number | null;
  readonly signal: AbortSignal;
  /** Where all its lines are kept; named by failures. */
  readonly log: string;
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

/** What a folder is in git. */
export interface GitState {
  readonly commit: string;
  /** Something in the folder, its state aside, is not what was committed. */
  readonly dirty: boolean;
}

export interface ProcessRunner {
  /** @throws MillraceError TRAIN_FAILED (no program, exit status, timeout), INTERRUPTED. No process of the group stays. */
  run(job: ProcessJob): Promise<{ readonly seconds: number }>;
  environment(command: readonly string[], folder: string): Promise<ProcessEnvironment>;
  /** Null outside of a repository, and where there is no git. */
  git(folder: string, apart: readonly string[]): Promise<GitState | null>;
  /** Scores by a command; it is started when it is first asked. SCORING_FAILED when it does not answer as it must. */
  scorer(model: ScoringModel): ModelRuntime;
  /** Ends every scorer that it made. */
  close(): void;
}
