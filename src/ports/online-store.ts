/**
 * The materialized view of the logs that answers online reads: for each group (see `planGroup`) the records of every
 * entity, kept so that any window at any instant can be read at once. One process writes, any number read.
 */
import type { Fingerprint } from '../core/base/fingerprint.js';
import type { Instant } from '../core/base/time.js';
import type {
  ApplyOptions,
  DumpedEntity,
  OnlineGroup,
  OnlineGroupState,
  OnlinePosition,
  OnlineReader,
  OnlineRows,
} from '../core/engine/online/index.js';
import type { Value } from '../core/schema/types.js';
import type { LogRecord } from './record-log.js';

export interface OnlineStore {
  /** `rebuild`: the system stopped while the store was not synced; it was emptied and has to be built from the log. */
  readonly condition: 'ready' | 'rebuild';
  /** What is held, active or not. */
  groups(): readonly OnlineGroupState[];
  /** Makes room for a group; one that is there stays as it is. */
  open(group: OnlineGroup): Promise<OnlineGroupState>;
  /**
   * One transaction: the records and the position they bring the group to. Records at or before the group's position
   * are skipped, so a batch may be given again. Batches come in seq order; inside, and in event time and
   * availability, records may be in any order. Earlier versions of a record are looked for unless it is known to be
   * the first of its key (`version: false`, or `firsts` for all). NOT_MATERIALIZED when the group was not opened.
   */
  apply(
    group: OnlineGroup,
    records: readonly LogRecord[],
    through: OnlinePosition,
    options?: ApplyOptions,
  ): Promise<OnlinePosition>;
  /**
   * Values and statuses of the reader's features for each key tuple at t (k = t), before defaults: `finishBase` is
   * the caller's. Synchronous, one snapshot. A null in a key matches nothing (`never_seen`).
   */
  read(reader: OnlineReader, keys: readonly (readonly Value[])[], at: Instant): OnlineRows;
  /** Reads from now on see what other threads and processes have applied. */
  refresh(): void;
  /** Null when the group is not held. */
  applied(group: OnlineGroup): OnlinePosition | null;
  /** Names, in one step, the groups that serve. */
  activate(fingerprints: readonly Fingerprint[]): Promise<void>;
  active(): readonly Fingerprint[];
  /**
   * In one step the group's draft (`draftOf`, opened and applied to like any group) stands in the group's place.
   * Readers see the old contents, or that there are none, until then. NOT_MATERIALIZED without a draft.
   */
  publish(group: OnlineGroup): Promise<void>;
  /** False when there was no such group. */
  drop(fingerprint: Fingerprint): Promise<boolean>;
  /** Forgets events that no read at t ≥ now needs; reads before `now` are refused from then on. */
  expire(group: OnlineGroup, now: Instant): Promise<boolean>;
  /** Canonical contents by entity: equal for equal logs, however they were applied. */
  dump(group: OnlineGroup): Iterable<DumpedEntity>;
  /** Everything applied so far survives a stop of the system. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
