/**
 * Frozen definitions: what YAML and TypeScript both become. Every name is resolved, every duration is in
 * microseconds, every expression is parsed and typed. Nothing downstream reads YAML.
 */
import type { Place } from '../base/error.js';
import type { Fingerprint } from '../base/fingerprint.js';
import type { Duration, Instant } from '../base/time.js';
import type { Expression } from '../expression/index.js';
import type { Value, ValueType } from '../schema/types.js';

/** What people write about a thing. Outside of every fingerprint. */
export interface Documentation {
  readonly description?: string;
  readonly owner?: string;
  readonly tags: readonly string[];
  readonly place?: Place;
}

interface Named extends Documentation {
  readonly name: string;
  /** SHA-256 over the semantic content and the fingerprints of what it depends on. */
  readonly fingerprint: Fingerprint;
}

export interface Settings {
  readonly project: string;
  /** IANA zone in which text timestamps without an offset are read when a source declares none. */
  readonly timezone: string;
  readonly engine: string;
  /** Absolute paths, or URLs for other back ends. */
  readonly lake: string;
  readonly online: string;
  readonly registry: string;
  /** Memory that the offline engine may use, bytes. */
  readonly memoryLimitBytes: number;
  readonly threads: number;
  /** When a run asks before it computes. */
  readonly policy: {
    /** `ask`: before anything is computed. */
    readonly run: 'auto' | 'ask';
    /** Above it a run asks although the policy is `auto`. */
    readonly budget: { readonly seconds?: number; readonly rows?: number };
  };
  /** How steps of runs are performed, where an asset does not say otherwise. */
  readonly executor: ExecutorSettings;
  /** Where OpenLineage events go; absent: nowhere. */
  readonly lineage?: {
    /** Absolute path of a file, or an http(s) URL. */
    readonly openlineage: string;
    readonly namespace: string;
  };
}

/** How a step of a run is performed. */
export interface StepSettings {
  /** Tries that may fail, of retryable kinds, before the step has failed. */
  readonly tries: number;
  /** Wait before the second try; it doubles with every further one. */
  readonly backoff: Duration;
  /** A try is stopped after so long; null: never. */
  readonly timeout: Duration | null;
  /** Of several ready steps the greatest goes first. */
  readonly priority: number;
  /** Steps of one pool share its places. */
  readonly pool: string;
}

export interface ExecutorSettings extends StepSettings {
  /** How long a step belongs to a process that has stopped renewing its hold. */
  readonly lease: Duration;
  /** Places by pool. */
  readonly pools: Readonly<Record<string, number>>;
}

export interface JoinKey {
  readonly name: string;
  readonly type: ValueType;
}

export interface Entity extends Named {
  /** Order is the order of the key tuple. Types come from the sources that carry the keys. */
  readonly joinKeys: readonly JoinKey[];
}

export interface FieldDefinition {
  readonly name: string;
  readonly type: ValueType;
  /** Name in the file when it differs (an accepted rename). */
  readonly from?: string;
  /** Columns that are read where that name is absent: accepted renames. Outside of the fingerprint. */
  readonly aliases?: readonly string[];
  /** How times are written, where not as ISO 8601 (see schema/time-format). */
  readonly format?: string;
}

export type Availability =
  | { readonly kind: 'event_time' }
  | { readonly kind: 'field'; readonly field: string }
  | { readonly kind: 'delay'; readonly delay: Duration }
  /** The instant of the durable append: pushed and streamed records. */
  | { readonly kind: 'append' };

export type FileFormat = 'csv' | 'json' | 'ndjson' | 'parquet';

export type ReadFrom =
  | {
      readonly kind: 'files';
      /** Patterns relative to the project folder, or absolute. */
      readonly patterns: readonly string[];
      /** Absent: told by the file name (`.csv`, `.ndjson.gz`, ...). */
      readonly format?: FileFormat;
      readonly delimiter?: string;
      readonly encoding?: 'utf-8' | 'latin-1';
      /** Texts that mean null, besides the empty field. */
      readonly nulls?: readonly string[];
    }
  | { readonly kind: 'push' }
  | {
      readonly kind: 'transform';
      /** DuckDB SQL over the known records of other sources, which stand as tables named after them. */
      readonly sql: string;
      readonly parents: readonly string[];
    }
  | {
      readonly kind: 'sql';
      /** One SELECT in DuckDB SQL; files in it are relative to the project folder. */
      readonly sql: string;
      readonly cursor?: Cursor;
    }
  | {
      readonly kind: 'postgres';
      /** Name of the environment variable with the URL, or a URL without a password. */
      readonly connection: string;
      /** A table, or a SELECT. */
      readonly table?: string;
      readonly query?: string;
      readonly cursor?: Cursor;
    };

/** A field that grows with every change of a row, so that only what is new has to be read. */
export interface Cursor {
  readonly field: string;
  /** How far behind the greatest value seen to read again: microseconds, or whole numbers. */
  readonly overlap: number;
}

export interface Source extends Named {
  readonly kind: 'events' | 'states';
  readonly read: ReadFrom;
  readonly recordKey: readonly string[];
  readonly eventTime: string;
  readonly availableAt: Availability;
  readonly deleted?: string;
  readonly sequence?: string;
  readonly timezone: string;
  /** What to do with a local time that happens twice or never. */
  readonly ambiguousTime: 'refuse' | 'earlier' | 'later';
  readonly fields: readonly FieldDefinition[];
  /** Join key name → field of this source, where they differ. */
  readonly keys: Readonly<Record<string, string>>;
  readonly contract: Contract;
  /** What its records are, apart from its fields and its contract. */
  readonly records: Fingerprint;
  /** Absent kinds have their defaults. Like `history` and `serviceLevels` outside of the fingerprint. */
  readonly schemaChanges?: Readonly<Partial<Record<SchemaChangeKind, SchemaChangeAction>>>;
  /** Absent: the defaults. */
  readonly history?: HistoryPolicy;
  readonly serviceLevels?: ServiceLevels;
  /** How often a server looks for what is new, microseconds. Outside of the fingerprint. */
  readonly watch?: number;
}

export type SchemaChangeKind = 'added' | 'removed' | 'retyped' | 'reordered' | 'renamed';
/** adapt: go on and note it; alert: go on and warn; refuse: the batch is refused. */
export type SchemaChangeAction = 'adapt' | 'alert' | 'refuse';

export type HistoryMeasure = 'row_count' | 'null_rate' | 'distinct_count' | 'freshness' | 'distribution';

/** How a batch is held against the batches before it. */
export interface HistoryPolicy {
  readonly measures: Readonly<
    Record<HistoryMeasure, { readonly action: 'fail' | 'warn' | 'ignore'; readonly severity: Severity }>
  >;
  /** With fewer batches before nothing is said. */
  readonly minimumBatches: number;
  /** Share of ordinary values that are called anomalous. */
  readonly falseAlarms: number;
  /** Changes below this share of the mean are never called anomalous. */
  readonly ratioFloor: number;
  readonly seasonality: 'weekday' | 'none';
}

/** What a source promises. A share is met over the last `over` microseconds. */
export interface ServiceLevels {
  /** Share of records that pass the contract. */
  readonly passing?: { readonly share: number; readonly over: Duration };
  /** The newest known record is no older than `within`. */
  readonly freshness?: { readonly within: Duration; readonly share: number; readonly over: Duration };
  /** So many rows a day have come by that time on the clocks of `timezone`. */
  readonly completeness?: {
    /** Minutes after midnight. */
    readonly by: number;
    readonly timezone: string;
    readonly rows: number;
    readonly share: number;
    readonly over: Duration;
  };
}

export type Severity = 'info' | 'warning' | 'error' | 'critical';
/** What becomes of a record that breaks a rule. `cap` and `impute` repair it: the repaired record is judged again. */
export type RowAction = 'quarantine' | 'flag' | 'warn' | 'drop' | 'fail' | 'cap' | 'impute';

/** What `impute` puts in the place of a value. Means, medians and last values are those that keep the rule themselves. */
export type Imputation =
  | { readonly kind: 'constant'; readonly value: Value }
  | { readonly kind: 'mean' }
  /** The lower one of the two in the middle: always a value that is there. */
  | { readonly kind: 'median' }
  /** The value of the record before, among the records with the same values of `by`. */
  | { readonly kind: 'last'; readonly by: readonly string[] };

/** One rule that judges one record. `id` is stable: `amount.range`, `status.set`, or the user's name. */
export interface RowRule {
  readonly id: string;
  readonly field: string | null;
  readonly check:
    | { readonly kind: 'not_null' }
    | {
        readonly kind: 'range';
        readonly min?: Value;
        readonly max?: Value;
        readonly minExclusive: boolean;
        readonly maxExclusive: boolean;
      }
    | { readonly kind: 'set'; readonly values: readonly Value[] }
    | { readonly kind: 'pattern'; readonly pattern: string }
    | { readonly kind: 'length'; readonly min?: number; readonly max?: number }
    | { readonly kind: 'expression'; readonly expression: Expression }
    /** Every non-null value exists among the values of another source's field that are known, see `asOf`. */
    | {
        readonly kind: 'reference';
        readonly source: string;
        readonly field: string;
        /** record: known at the record's available_at (absent: the same). ingest: known when the record is ingested. */
        readonly asOf?: 'record' | 'ingest';
      }
    /** No two record keys of this source share the values of these fields (within the batch and against the log). */
    | { readonly kind: 'unique'; readonly fields: readonly string[] }
    /** DuckDB SQL over `{batch}` that gives the `_row` of every row that breaks the rule. */
    | { readonly kind: 'sql'; readonly sql: string };
  readonly severity: Severity;
  readonly action: RowAction;
  /** Present when the action is `impute`. */
  readonly impute?: Imputation;
}

export type Statistic = 'std' | 'sum' | 'min' | 'max' | 'quantile';

/** What the values of a batch are compared with. Paths are relative to the project folder, or absolute. */
export type DistributionReference =
  /** The profiles of that many committed batches before this one. */
  | { readonly kind: 'batches'; readonly batches: number }
  /** A data file that the source itself could read. */
  | { readonly kind: 'file'; readonly path: string }
  /** A profile as JSON: `{ rows, columns: { field: ... } }`. */
  | { readonly kind: 'profile'; readonly path: string };

/** One rule that judges a whole batch before any of it is appended. */
export interface BatchRule {
  readonly id: string;
  readonly check:
    | { readonly kind: 'row_count'; readonly min?: number; readonly max?: number }
    | { readonly kind: 'null_rate'; readonly field: string; readonly min?: number; readonly max?: number }
    | { readonly kind: 'quarantine_rate'; readonly max: number }
    | {
        readonly kind: 'distinct_count';
        readonly field: string;
        readonly min?: number;
        readonly max?: number;
      }
    | { readonly kind: 'mean'; readonly field: string; readonly min?: number; readonly max?: number }
    | {
        readonly kind: 'statistic';
        readonly statistic: Statistic;
        readonly field: string;
        /** quantile: 0..1. */
        readonly q?: number;
        readonly min?: number;
        readonly max?: number;
      }
    | {
        readonly kind: 'distribution';
        readonly field: string;
        readonly against: DistributionReference;
        /** Floor of KS D or total variation, sampling noise taken off. */
        readonly minimumEffect: number;
        /** Fewer values on either side: nothing is said about the distribution. */
        readonly minimumRows: number;
      }
    /** DuckDB SQL over `{batch}`. With a limit it gives one number; without it gives rows, and none are allowed. */
    | { readonly kind: 'sql'; readonly sql: string; readonly min?: number; readonly max?: number }
    /** Unknown columns in the file: refuse, ignore, or say. Missing columns are always refused. */
    | { readonly kind: 'extra_columns'; readonly policy: 'refuse' | 'ignore' | 'warn' };
  readonly severity: Severity;
  readonly action: 'fail' | 'warn';
}

export interface Contract {
  readonly rows: readonly RowRule[];
  readonly batch: readonly BatchRule[];
  /** fail: a record that would go to quarantine refuses its whole batch. Absent: quarantine. */
  readonly onError?: 'fail';
}

/** Canonical names; the reader accepts and normalises variants (`avg`, `stddev`, `nunique`). */
export const FUNCTION_NAMES = [
  'count',
  'count_distinct',
  'sum',
  'mean',
  'min',
  'max',
  'std',
  'var',
  'std_pop',
  'var_pop',
  'skewness',
  'kurtosis',
  'first',
  'last',
  'first_k',
  'last_k',
  'last_distinct_k',
  'top_k',
  'min_by',
  'max_by',
  'mode',
  'histogram',
  'median',
  'quantile',
  'approx_quantile',
  'approx_count_distinct',
  'ratio',
  'entropy',
  'ewma',
  'decayed_sum',
  'seconds_since_last',
  'seconds_since_first',
  'lag',
  'list',
] as const;
export type FunctionName = (typeof FUNCTION_NAMES)[number];

export interface FunctionArguments {
  /** first_k, last_k, last_distinct_k, top_k: how many. lag: how many records back (1 = the last before t). list: at most. */
  readonly k?: number;
  /** quantile, approx_quantile: 0..1. */
  readonly q?: number;
  /** min_by, max_by: the field that orders. */
  readonly by?: string;
  /** ewma, decayed_sum. */
  readonly halfLife?: Duration;
  /** histogram: edges; absent: counts by value. */
  readonly edges?: readonly number[];
  /** first, last: skip null values. */
  readonly ignoreNulls: boolean;
}

export interface Aggregation {
  readonly function: FunctionName;
  readonly source: string;
  /** Null for functions over rows (count, ratio, seconds_since_*). */
  readonly field: string | null;
  readonly arguments: FunctionArguments;
  /** Null is the whole history (`all`). */
  readonly window: Duration | null;
  readonly offset: Duration;
  readonly includeCurrent: boolean;
  /** Over the fields of the source. Rows where it is not true do not exist for this feature. */
  readonly where: Expression | null;
  /** For `ratio`: the share of rows (after `where`) for which this is true. */
  readonly ratioWhere: Expression | null;
  readonly groupBy: string | null;
}

export interface Lookup {
  readonly source: string;
  readonly field: string;
  readonly maxAge: Duration | null;
  readonly output: 'value' | 'age_seconds';
  /** Of an embedding: the model and version that made it, where the source has no fields to tell them by. */
  readonly model?: string;
}

export type VectorMetric = 'cosine' | 'euclidean' | 'dot_product';

/**
 * The keys of the states of `source` whose vectors are nearest to `query` as of t, nearest first, or their distances.
 * Ties go by key, the smaller first.
 */
export interface Neighbours {
  readonly source: string;
  /** The vectors. */
  readonly field: string;
  /** The field of the source that says whose the vector is: the one join key of an entity. */
  readonly key: string;
  /** A vector over the same slots as an expression feature's. */
  readonly query: Expression;
  readonly k: number;
  readonly metric: VectorMetric;
  readonly maxAge: Duration | null;
  /** Over the fields of the source: only the states of one embedding model. */
  readonly where: Expression | null;
  /** Slot of a key that is not its own neighbour. */
  readonly exclude: string | null;
  readonly output: 'keys' | 'distances';
}

export type Computation =
  | ({ readonly kind: 'aggregation' } & Aggregation)
  | ({ readonly kind: 'lookup' } & Lookup)
  | ({ readonly kind: 'neighbours' } & Neighbours)
  /**
   * Over other features (slot = feature name), entity join keys (slot = key name), request fields
   * (slot = `request.x`) and the observation time (slot = `as_of`, timestamp).
   */
  | { readonly kind: 'expression'; readonly expression: Expression }
  /** A TypeScript function over the same inputs, named in `inputs`; `source` is its text, for the fingerprint. */
  | {
      readonly kind: 'function';
      readonly inputs: readonly string[];
      readonly compute: (inputs: Readonly<Record<string, Value>>) => Value;
      readonly text: string;
    };

export interface Feature extends Named {
  /** Union of the join keys of `entities`, in order, without repetition, is what a caller must give. */
  readonly entities: readonly string[];
  readonly joinKeys: readonly string[];
  readonly computation: Computation;
  readonly valueType: ValueType;
  /** Used where the value would be null because there was nothing to aggregate or look up. Undefined: none. */
  readonly default: Value | undefined;
  /** Names of features this one reads, request fields it reads. */
  readonly dependsOn: readonly string[];
  readonly requestFields: readonly { readonly name: string; readonly type: ValueType }[];
}

export interface FeatureSet extends Named {
  readonly features: readonly string[];
}

export interface Label extends Named {
  readonly source: string;
  /**
   * `record`: the expression over the outcome record with the observation's record key.
   * `aggregation`: an aggregate over the entity's records in `[t, t + horizon)`.
   */
  readonly kind: 'record' | 'aggregation';
  readonly expression: Expression | null;
  readonly aggregation: Aggregation | null;
  readonly entity: string | null;
  readonly horizon: Duration;
  readonly grace: Duration;
  readonly valueType: ValueType;
  /** Of an aggregation: the label of an observation after which nothing came. Undefined: it has no outcome. */
  readonly default: Value | undefined;
}

export type PartName = 'train' | 'validation' | 'test' | 'holdout';

export type Split =
  | { readonly by: 'time'; readonly parts: readonly { readonly name: PartName; readonly share: number }[] }
  /** Parts end (exclusive) at these instants; the last has no end. */
  | {
      readonly by: 'time_cuts';
      readonly parts: readonly { readonly name: PartName; readonly until: Instant | null }[];
    }
  | {
      readonly by: 'entity' | 'random';
      readonly parts: readonly { readonly name: PartName; readonly share: number }[];
      readonly seed: number;
      readonly entity?: string;
    };

export interface Observations {
  readonly from:
    | { readonly kind: 'source'; readonly source: string }
    | { readonly kind: 'file'; readonly path: string };
  /** Field or column of the observation time. */
  readonly time: string;
  readonly where: Expression | null;
}

export interface Dataset extends Named {
  readonly observations: Observations;
  /** Features in order, sets expanded. */
  readonly features: readonly string[];
  readonly label: string | null;
  readonly split: Split | null;
  readonly knowledge: 'as_of' | 'hindsight';
  /** How rows are kept: by periods of the observation time that begin at midnight UTC, or all in one. */
  readonly partition: PartitionGrain;
  /** What a version must be like to be published. */
  readonly checks: DatasetChecks;
}

/** Days are counted from 1970-01-01, months from year 0. */
export type PartitionGrain = 'none' | { readonly unit: 'day' | 'month'; readonly count: number };

/** Inclusive; null: no limit. */
export interface Limits {
  readonly min: number | null;
  readonly max: number | null;
}

export interface FeatureCheck extends Limits {
  /** The greatest share of rows without a value; null: any. */
  readonly nullRate: number | null;
  /** The greatest population stability index against the version before; null: any. */
  readonly drift: number | null;
}

export interface DatasetChecks {
  readonly rows: Limits;
  /** Of the mean of the label, true as 1. */
  readonly labelRate: Limits;
  /** By feature; those of all features are in each. */
  readonly features: ReadonlyMap<string, FeatureCheck>;
}

export type Task = 'binary' | 'multiclass' | 'regression';

/** `test.auc >= 0.70`. */
export interface MetricRequirement {
  readonly part: PartName;
  readonly metric: string;
  readonly operator: '>=' | '>' | '<=' | '<' | '=';
  readonly value: number;
  readonly text: string;
}

export interface Model extends Named {
  readonly dataset: string;
  readonly task: Task;
  readonly trainer: {
    readonly kind: string;
    readonly parameters: Readonly<Record<string, unknown>>;
    readonly seed: number;
  };
  /** Features left out of the model though the dataset has them. */
  readonly exclude: readonly string[];
  readonly promote: {
    readonly require: readonly MetricRequirement[];
    readonly beatChampion: { readonly part: PartName; readonly metric: string; readonly by: number } | null;
  };
}

export interface Service extends Named {
  readonly model: string;
  readonly log: 'all' | 'none' | { readonly sample: number };
  /** Parts that `run` scores with a new champion and logs at their observation times, with their outcomes. */
  readonly backtest: readonly PartName[];
}

export type DriftTest = 'auto' | 'ks' | 'chi_squared' | 'psi' | 'jensen_shannon';

export interface Monitor extends Named {
  readonly service: string;
  readonly window: Duration;
  readonly features: { readonly test: DriftTest; readonly threshold?: number };
  /** What a performance alert is, once outcomes are known. */
  readonly performance: readonly MetricRequirement[];
  readonly minimumRows: number;
  readonly alert: readonly string[];
}

/** Runs assets at times. */
export interface Schedule extends Documentation {
  readonly name: string;
  readonly cron: string;
  /** On whose clocks. */
  readonly timezone: string;
  /** Names or ids of assets; none: all. */
  readonly run: readonly string[];
  /** What becomes of times that passed while nobody was there to run them. */
  readonly catchUp: 'all' | 'latest' | 'none';
  /** Starts are spread over so long after the time; the same time always starts alike. */
  readonly jitter: Duration;
  readonly enabled: boolean;
}

/** Runs assets when something has come about. */
export interface Sensor extends Documentation {
  readonly name: string;
  readonly on: /** Files, or rows of a query, that are not in the log yet. */
    | { readonly kind: 'new_files'; readonly source: string }
    /** New records, and the source is as fresh as it promises. */
    | { readonly kind: 'freshness'; readonly source: string }
    /** The rows that the source promises by a time of day are there: once a day. */
    | { readonly kind: 'completeness'; readonly source: string }
    /** New records of a source or transform, a new version of a dataset or model. */
    | { readonly kind: 'updated'; readonly asset: string };
  readonly run: readonly string[];
  /** Fires at most once in so long. */
  readonly minimumInterval: Duration;
  /** How often it looks. */
  readonly every: Duration;
  readonly enabled: boolean;
}

/** A project, resolved: every name is there, every type is known. Frozen. */
export interface Definitions {
  readonly settings: Settings;
  readonly entities: ReadonlyMap<string, Entity>;
  readonly sources: ReadonlyMap<string, Source>;
  readonly features: ReadonlyMap<string, Feature>;
  readonly featureSets: ReadonlyMap<string, FeatureSet>;
  readonly labels: ReadonlyMap<string, Label>;
  readonly datasets: ReadonlyMap<string, Dataset>;
  readonly models: ReadonlyMap<string, Model>;
  readonly services: ReadonlyMap<string, Service>;
  readonly monitors: ReadonlyMap<string, Monitor>;
  readonly schedules: ReadonlyMap<string, Schedule>;
  readonly sensors: ReadonlyMap<string, Sensor>;
  /** Asset (`source.purchases`) → what it says of its steps. Outside of every fingerprint. */
  readonly steps: ReadonlyMap<string, Partial<StepSettings>>;
}
