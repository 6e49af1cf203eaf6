/**
 * Versions of a record → the interval of knowledge instants in which each is the known one (docs/reference/semantics.md, section 2).
 * Of the versions with `available_at <= k` the greatest by (available_at, order, seq) is known; so a version is known
 * from its own available_at until the next one's, never when another has the same available_at and a greater order,
 * and a tombstone is known without there being a record.
 */
import type { Instant } from '../base/time.js';

export interface RecordVersion {
  readonly availableAt: Instant;
  readonly order: number;
  readonly seq?: number;
  readonly deleted: boolean;
}

export interface Interval<V> {
  readonly version: V;
  /** Known for knowledge instants k with from <= k < until. */
  readonly from: Instant;
  readonly until: Instant;
}

const compareVersions = (a: RecordVersion, b: RecordVersion): number =>
  a.availableAt - b.availableAt || a.order - b.order || (a.seq ?? 0) - (b.seq ?? 0);

/** Versions of ONE record key, in any order → those that are ever known and no tombstone, by `from`. */
export function intervals<V extends RecordVersion>(versions: readonly V[]): readonly Interval<V>[] {
  const ordered = versions.length === 1 ? versions : [...versions].sort(compareVersions);
  const known: Interval<V>[] = [];
  for (let i = 0; i < ordered.length; i++) {
    const version = ordered[i]!;
    const until = i + 1 < ordered.length ? ordered[i + 1]!.availableAt : Number.POSITIVE_INFINITY;
    if (until > version.availableAt && !version.deleted)
      known.push({ version, from: version.availableAt, until });
  }
  return known;
}

/** Versions of many records; `keyOf` tells records apart (equal keys, equal texts). */
export function intervalsByKey<V extends RecordVersion>(
  versions: readonly V[],
  keyOf: (version: V) => string,
): readonly Interval<V>[] {
  const byKey = new Map<string, V[]>();
  for (const version of versions) {
    const key = keyOf(version);
    const list = byKey.get(key);
    if (list) list.push(version);
    else byKey.set(key, [version]);
  }
  return [...byKey.values()].flatMap((list) => intervals(list));
}
