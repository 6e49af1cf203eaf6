/** Who writes to the online store: this thread, or one of its own (http/apply-thread.ts). */
import type { Source } from '../core/define/types.js';
import type { OnlineStore } from '../ports/online-store.js';
import type { LogRecord } from '../ports/record-log.js';
import type { BoundGroup } from './online-groups.js';

export interface Applier {
  /**
   * Brings every group of the source that the store holds through the last of these records, which follow the position
   * of the furthest behind without a gap. Reads see them when it resolves.
   */
  apply(source: Source, records: readonly LogRecord[]): Promise<void>;
  close(): Promise<void>;
}

export async function applyToGroups(
  store: OnlineStore,
  groups: readonly BoundGroup[],
  records: readonly LogRecord[],
): Promise<void> {
  const { seq } = records.at(-1)!;
  let latest = Number.NEGATIVE_INFINITY;
  for (const { availableAt } of records) if (availableAt > latest) latest = availableAt;
  for (const { online } of groups) {
    const before = store.applied(online);
    // A group that is not there yet is built by `materialize`.
    if (before === null || before.seq >= seq) continue;
    await store.apply(online, records, { seq, availableAt: Math.max(before.availableAt ?? latest, latest) });
  }
}
