/** The engine that scans the log: observations in, columns out. DuckDB today; the same plan is one statement on Spark. */
import type { Instant } from '../core/base/time.js';
import type { DigestCell } from '../core/dataset/partition.js';
import type { PartRule } from '../core/dataset/split.js';
import type { JoinKey, Source } from '../core/define/types.js';
import type { Wanted } from '../core/engine/blocks.js';
import type { Column, SweepColumn, SweepLookup } from '../core/engine/types.js';
import type { Expression } from '../core/expression/index.js';
import type { Value, ValueType } from '../core/schema/types.js';

/** Observation rows held by the engine, numbered 0..rows-1 in input order. */
export interface ObservationTable {
  readonly id: string;
  readonly rows: number;
  /** Every column as it came, in order. */
  readonly columns: readonly { readonly name: string; readonly type: ValueType }[];
  readonly at: Float64Array;
}

/** Rows of a dataset version: those of its partitions one after another, less what is in no part. */
export interface PartitionedRows {
  /** At least one Parquet file. */
  readonly files: readonly string[];
  /** What the column `part` says, which comes last. */
  readonly rule: PartRule;
}

/** A file in any format that is read, by its name, or the rows of a dataset version. */
export type TableFile = string | PartitionedRows;

/** A Parquet file with rows, and the name of its content. */
export interface SampledPart {
  readonly id: string;
  readonly file: string;
}

/** `[from, to)`, microseconds. */
export interface Period {
  readonly from: Instant;
  readonly to: Instant;
}

export interface EntityCodes {
  readonly id: string;
  readonly entities: number;
  /** One for each observation; -1 where a key is null. */
  readonly codes: Int32Array;
}

export interface RecordScan {
  readonly source: Source;
  /** Nothing with seq beyond this is read. */
  readonly horizonSeq: number;
  readonly entities: EntityCodes;
  /** Fields of the source that hold the join keys, in key order. */
  readonly keyFields: readonly string[];
  readonly fields: readonly string[];
  /** Predicates by canonical text; true 1, false 0, null 2. */
  readonly predicates: ReadonlyMap<string, Expression>;
  readonly knowledge: 'as_of' | 'hindsight';
  readonly signal: AbortSignal;
  /**
   * Event times outside of which no record matters to the values that are asked for: less is read, and an entity whose
   * records all lie outside is `never_seen`. Absent: all.
   */
  readonly within?: readonly Period[] | undefined;
}

/** Lookups of one source by one list of keys. */
export interface LookupScan {
  readonly source: Source;
  readonly horizonSeq: number;
  readonly joinKeys: readonly JoinKey[];
  /** Fields of the source that hold the join keys, in key order. */
  readonly keyFields: readonly string[];
  readonly lookups: readonly SweepLookup[];
  readonly knowledge: 'as_of' | 'hindsight';
}

/** Entities of which something came or was corrected after a position of a source's log. */
export interface TouchedScan {
  readonly source: Source;
  readonly joinKeys: readonly JoinKey[];
  /** Fields of the source that hold the join keys, in key order. */
  readonly keyFields: readonly string[];
  readonly after: number;
}

/** Answers held by the engine, one for each observation, defaults not applied. */
export interface HeldLookups {
  readonly id: string;
  /** Held as arrays, so that `columns` costs nothing. */
  readonly plain: boolean;
  /** As the sweep gives them, in the order of the scan's lookups. */
  columns(): Promise<readonly SweepColumn[]>;
  /** How many observations have each STATUS code, by lookup; not asked of `plain` ones. */
  statuses(): Promise<ReadonlyMap<string, Uint32Array>>;
  release(): Promise<void>;
}

/** A column to write: at hand, or a lookup that the engine holds, with what stands where its status is not `ok`. */
export type AddedColumn =
  | { readonly name: string; readonly column: Column }
  | { readonly name: string; readonly held: HeldLookups; readonly default: Value | undefined };

export interface TableSlices {
  /** The kept rows of `[from, to)` to a Parquet file. Bytes do not depend on where the rows stand in the table. */
  write(slice: { readonly from: number; readonly to: number }, file: string): Promise<void>;
  release(): Promise<void>;
}

export interface OutcomeColumns {
  /** The label's value, by observation; null where there is no outcome record. */
  readonly value: Column;
  readonly found: Uint8Array;
  readonly eventTime: Float64Array;
  readonly availableAt: Float64Array;
}

export type OutputFormat = 'csv' | 'parquet';

export interface OfflineStore {
  observationsFromFile(
    file: TableFile,
    options: {
      readonly time: string;
      readonly timezone: string;
      readonly types: ReadonlyMap<string, ValueType>;
    },
  ): Promise<ObservationTable>;
  /** The known records of a source at a horizon, each an observation, ordered by (time, seq). */
  observationsFromSource(
    source: Source,
    horizonSeq: number,
    options: {
      readonly time: string;
      readonly where: Expression | null;
      /** Observation times; absent: all. */
      readonly within?: readonly Period[] | undefined;
    },
  ): Promise<ObservationTable>;
  /**
   * Sums of digests of a log's records with seq in (after, through], by the day of `available_at` and of event_time or
   * another field. A record also counts where the versions lie that it stands in place of, so that what it moves away
   * from is told too. Sums over adjoining ranges of seq add up to the sum over both.
   */
  recordDigests(
    source: Source,
    range: { readonly after: number; readonly through: number },
    time: string | null,
  ): Promise<readonly DigestCell[]>;
  /** So many rows, chosen by the seed, in input order; the given table is released. Null or more than there are: all. */
  sample(table: ObservationTable, rows: number | null, seed: number): Promise<ObservationTable>;
  /** The observations of such entities, ascending. Entities from which a record was moved are among them. */
  touchedRows(table: ObservationTable, scan: TouchedScan): Promise<Int32Array>;
  /** Some rows of observations, ascending, as a table of its own; the given one stays. */
  pick(table: ObservationTable, rows: Int32Array): Promise<ObservationTable>;
  /** Dense codes of the observations' keys. Keys are compared exactly, as the types declare. */
  entities(table: ObservationTable, keys: readonly JoinKey[]): Promise<EntityCodes>;
  /**
   * Features and lookups over a scan, by observation of `table`, whose entities are the scan's: features, then lookups,
   * before defaults. The same at any number of threads, and when the records do not fit into memory.
   * @throws MillraceError INTERRUPTED when the scan's signal aborts.
   */
  sweep(scan: RecordScan, table: ObservationTable, wanted: Wanted): Promise<SweepColumn[]>;
  /** Lookups answered by the engine itself, equal to the sweep's; null where the sweep would be faster. */
  lookups(table: ObservationTable, scan: LookupScan): Promise<HeldLookups | null>;
  /** A column of the observations in JavaScript's reading of `type`. */
  column(table: ObservationTable, name: string, type: ValueType): Promise<Column>;
  /** The record of `source` with each observation's record key, known at the horizon, and an expression over it. */
  outcomes(
    table: ObservationTable,
    source: Source,
    horizonSeq: number,
    expression: Expression | null,
  ): Promise<OutcomeColumns>;
  /** The greatest available_at appended up to a position: the instant to which the source is known. Null: no record. */
  knownThrough(source: Source, horizonSeq: number): Promise<Instant | null>;
  /** Columns of a Parquet file that `write` made, read back in JavaScript's reading of the given types. */
  readColumns(
    file: TableFile,
    columns: readonly { readonly name: string; readonly type: ValueType }[],
    options?: {
      /** What a partition keeps beside its rows, and rows that are in no part. */
      readonly raw?: boolean;
    },
  ): Promise<ReadonlyMap<string, Column>>;
  /**
   * Of each part the rows whose position is a multiple of `every`, one part after another, to a Parquet file. `kept`:
   * such a file of before, with the same columns and a divisor of `every`; a part that it has is not read.
   */
  sampleRows(
    parts: readonly SampledPart[],
    wanted: { readonly columns: readonly string[]; readonly every: number; readonly kept: string | null },
    out: string,
  ): Promise<void>;
  /** Some columns of the rows of a Parquet file that have a text in a column, in their order, to another file. */
  copyRows(
    from: TableFile,
    to: string,
    wanted: {
      readonly columns: readonly string[];
      readonly where: { readonly column: string; readonly value: string };
    },
  ): Promise<void>;
  /**
   * Observation columns and added ones, in row order, to a file. Bytes are the same for the same content. Held
   * columns go to Parquet only.
   */
  write(
    table: ObservationTable,
    added: readonly AddedColumn[],
    out: {
      readonly file: string;
      readonly format: OutputFormat;
      readonly only?: readonly string[];
      readonly rows?: Uint8Array;
    },
  ): Promise<{ readonly rows: number; readonly bytes: number }>;
  /** Observations with added columns, which have a value for each, to be written piece by piece. `kept`: 1 for rows to write. */
  slices(
    table: ObservationTable,
    added: readonly { readonly name: string; readonly column: Column }[],
    kept: Uint8Array,
  ): Promise<TableSlices>;
  /**
   * A transform's query over the known records of `parents`, which stand as tables named after them, to a Parquet file
   * with the declared columns, ordered by event time and record key.
   * @throws MillraceError INTERRUPTED when the signal aborts.
   */
  runWhole(
    transform: Source,
    parents: readonly Source[],
    out: { readonly file: string; readonly signal: AbortSignal },
  ): Promise<void>;
  /**
   * The same over the records alone whose key has a record after a position of their source's log: for queries that go
   * row by row. `keys` gets the record keys, in the transform's types, that the query gave for them before.
   */
  runIncrement(
    transform: Source,
    parents: readonly { readonly source: Source; readonly after: number }[],
    out: {
      readonly file: string;
      readonly keys: string;
      readonly signal: AbortSignal;
    },
  ): Promise<void>;
  /**
   * Holds a transform to its word: of its newest records that claim to be known at `at`, those that its query does
   * not give from what is known of its parents at `at`. `newest` are the records with the greatest available_at.
   */
  claimsAt(
    transform: Source,
    parents: readonly Source[],
    horizons: ReadonlyMap<string, number>,
    at: Instant,
    scratch: string,
  ): Promise<{
    readonly records: number;
    readonly wrong: number;
    readonly newest: number;
    readonly newestWrong: number;
  }>;
  release(id: ObservationTable | EntityCodes): Promise<void>;
  close(): Promise<void>;
}
