import type { Source } from '../../../core/define/types.js';
import type { ValueType } from '../../../core/schema/types.js';
import type { ObservationTable } from '../../../ports/offline-store.js';
import type { LogState } from '../../../ports/record-log.js';
import type { DuckDb } from '../connection.js';

/** How the lake is read: SQL over committed segments. */
export interface LakeReader {
  state(source: Source): Promise<LogState>;
  /** Exactly the rows of that snapshot, with the fields of `source`; absent: of the project's source of that name. */
  relation(state: LogState, source?: Source): string;
  /**
   * Versions as intervals: the declared fields, `_seq`, `_order`, `_event_time`, `_available_at` and `_until`
   * (null: for ever). Superseded-at-once versions and tombstones are left out; nothing beyond the horizon is read.
   * With hindsight only the last version of each key that is no tombstone.
   */
  knownSql(
    source: Source,
    state: LogState,
    options: {
      readonly horizonSeq: number;
      readonly hindsight: boolean;
      /** A part of the log that holds every version of the records in it. */
      readonly narrow?: ((relation: string) => string) | undefined;
    },
  ): string;
}

/** Observations as they are held: a temporary table with their row numbers. */
export interface HeldTable extends ObservationTable {
  /** SQL type name of each column as it is held. */
  readonly sqlTypes: ReadonlyMap<string, string>;
  readonly timezone: string;
  /** The observation's instant in microseconds. */
  readonly atSql: string;
}

/** What the parts of the offline store share. */
export interface OfflineSession {
  readonly db: DuckDb;
  readonly lake: LakeReader;
  /** A name that nothing else of the session has. */
  fresh(prefix: string): string;
}

export function createSession(db: DuckDb, lake: LakeReader): OfflineSession {
  let count = 0;
  return { db, lake, fresh: (prefix) => `${prefix}_${++count}` };
}

/** The store's own tables are given out as observations only. */
export const held = (table: ObservationTable): HeldTable => table as HeldTable;

/** The lake's type of a field, read as `type`: timestamps and dates as integers. */
export const scanSql = (type: ValueType, column: string): string =>
  type.kind === 'timestamp' ? `epoch_us(${column})` : column;
