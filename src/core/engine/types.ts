/** What the offline sweep reads and gives: columns, so that typed arrays go all the way. */
import type { Aggregation } from '../define/types.js';
import type { Value, ValueType } from '../schema/types.js';

/**
 * A column of values.
 * - `numbers`: int64 and decimal when all are safe integers, float64, timestamp, date, boolean (0/1). `valid[i]` is
 *   0 for null; null `valid` means there are no nulls.
 * - `codes`: strings (and any type) as dense codes into `dictionary`; -1 is null.
 * - `values`: everything else (int64 beyond 2^53 as bigint, vectors, lists, maps).
 */
export type Column =
  | {
      readonly type: ValueType;
      readonly kind: 'numbers';
      readonly values: Float64Array;
      readonly valid: Uint8Array | null;
    }
  | {
      readonly type: ValueType;
      readonly kind: 'codes';
      readonly codes: Int32Array;
      readonly dictionary: readonly Value[];
    }
  | { readonly type: ValueType; readonly kind: 'values'; readonly values: readonly Value[] };

/**
 * Versions of records of one source, joined to the observations' entities, in any order. Row i is a version that
 * is known for knowledge instants k with `from[i] <= k < until[i]` (tombstones and versions never known are
 * already left out). `availableAt` and `seq` order ties.
 */
export interface RecordColumns {
  readonly rows: number;
  /** Dense entity code, 0..entities-1. */
  readonly entity: Int32Array;
  readonly eventTime: Float64Array;
  readonly availableAt: Float64Array;
  readonly seq: Float64Array | Int32Array;
  /**
   * True when the source declares `sequence`: `seq` is that, and members tie-break by (event_time, seq, available_at,
   * append), else by (event_time, available_at, seq). Absent: false.
   */
  readonly sequenced?: boolean;
  /** Append positions of a sequenced source's records; absent: the order of the rows. */
  readonly append?: Float64Array | Int32Array;
  /** Microseconds, ±Infinity allowed. Null: every version is known from its availableAt on, for ever. */
  readonly until: Float64Array | null;
  /** Value columns by name (source fields), and predicate columns (`where` and ratio) by their expression's canonical text. */
  readonly columns: ReadonlyMap<string, Column>;
  /** Predicates: 1 true, 0 false or null (`where`); for ratio 2 means null. */
  readonly masks: ReadonlyMap<string, Uint8Array>;
}

export interface ObservationColumns {
  readonly rows: number;
  /** Dense entity code; -1 where the entity key has a null or no record of the source has it (nothing matches). */
  readonly entity: Int32Array;
  readonly at: Float64Array;
  /** Knowledge instant; null: k = at. Infinity everywhere is hindsight. */
  readonly knowledge: Float64Array | null;
}

export interface SweepFeature {
  readonly name: string;
  readonly aggregation: Aggregation;
  readonly inputType: ValueType | null;
  readonly byType: ValueType | null;
  readonly outputType: ValueType;
}

/** Lookups are swept too: the state with the greatest valid_from <= t among those known. */
export interface SweepLookup {
  readonly name: string;
  readonly field: string;
  readonly maxAge: number | null;
  readonly output: 'value' | 'age_seconds';
  readonly outputType: ValueType;
}

export const STATUS = { ok: 0, empty: 1, never_seen: 2, expired: 3, defaulted: 4, error: 5 } as const;
export type Status = keyof typeof STATUS;
export const STATUS_NAMES: readonly Status[] = ['ok', 'empty', 'never_seen', 'expired', 'defaulted', 'error'];

export interface SweepColumn {
  readonly name: string;
  readonly column: Column;
  /** STATUS codes, one for each observation: before `default` is applied. */
  readonly status: Uint8Array;
}

export interface SweepInput {
  readonly entities: number;
  readonly records: RecordColumns;
  readonly observations: ObservationColumns;
  readonly features: readonly SweepFeature[];
  readonly lookups: readonly SweepLookup[];
}
