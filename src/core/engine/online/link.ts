/** Records of one key become a chain of versions, and the chain says which events come, change and go. */
import type { AppliedRecord, Bytes, Counts } from './applied.js';
import { type EventKey, eventKey } from './block.js';
import { spellTuple } from './key.js';
import type { OnlineGroup } from './plan.js';
import { appendVersions, findVersions, type Version } from './versions.js';

const beforeVersion = (a: Version, b: Version): number =>
  a.from - b.from || a.order - b.order || a.seq - b.seq;

/** Version `i` of an ordered chain is known in [from, until); until = from: never, or nothing to see. */
function untilOf(versions: readonly Version[], i: number): number {
  const version = versions[i]!;
  if (version.deleted || version.entity === null) return version.from;
  return i + 1 < versions.length ? versions[i + 1]!.from : Number.POSITIVE_INFINITY;
}

export interface Change {
  readonly key: EventKey;
  /** The interval's end before; null: the event is new. */
  readonly before: number | null;
  /** The end after; null: the event goes. */
  readonly after: number | null;
  readonly record: AppliedRecord | null;
}

/** What a batch brings to one entity: new events known for ever, and other changes. */
export interface Touched {
  readonly records: AppliedRecord[];
  changes: Change[] | null;
}

/** Batch indexes of the records whose key has several versions, with those applied before. */
interface Chain {
  readonly earlier: readonly Version[];
  readonly added: readonly number[];
}

function chainsOf(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  records: readonly AppliedRecord[],
  applied: number,
): readonly Chain[] {
  const keys = new Map<string, number[]>();
  const keyOfRecord = ({ fields }: AppliedRecord): string => {
    const spelled = spellTuple(fields, group.recordKey, false)!;
    return spelled.bytes.toString('latin1', 0, spelled.length);
  };
  records.forEach((record, i) => {
    if (record.version === false) return;
    const key = keyOfRecord(record);
    const held = keys.get(key);
    if (held) held.push(i);
    else keys.set(key, [i]);
  });
  if (keys.size === 0) return [];
  records.forEach((record, i) => {
    if (record.version === false) keys.get(keyOfRecord(record))?.push(i);
  });
  const earlier = findVersions(bytes, group, number, [...keys.keys()], applied);
  return [...keys.values()]
    .map((added, i) => ({ earlier: earlier[i]!, added }))
    .filter((chain) => chain.earlier.length + chain.added.length > 1);
}

/** Says what the new versions change, by entity. */
export function linkVersions(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  records: readonly AppliedRecord[],
  firsts: boolean,
  applied: number,
  through: number,
  counts: Counts,
): Map<string, Touched> {
  const chains = firsts ? [] : chainsOf(bytes, group, number, records, applied);
  const entities = appendVersions(bytes, group, number, records, applied, through, counts);
  const touched = new Map<string, Touched>();
  const touch = (entity: string): Touched => {
    let held = touched.get(entity);
    if (!held) {
      held = { records: [], changes: null };
      touched.set(entity, held);
    }
    return held;
  };
  const linked = new Set(chains.flatMap((chain) => chain.added));
  for (let i = 0; i < records.length; i++) {
    const entity = entities[i]!;
    const record = records[i]!;
    if (entity !== null && !record.deleted && !linked.has(i)) touch(entity).records.push(record);
  }
  for (const { earlier, added } of chains) {
    const versions = [...earlier].sort(beforeVersion);
    const before = new Map<number, number>();
    versions.forEach((version, i) => {
      before.set(version.seq, untilOf(versions, i));
    });
    const recordOf = new Map<number, AppliedRecord>();
    for (const i of added) {
      const record = records[i]!;
      const { availableAt: from, order, seq, eventTime, deleted } = record;
      recordOf.set(seq, record);
      versions.push({ from, order, seq, eventTime, deleted, entity: entities[i]! });
    }
    versions.sort(beforeVersion);
    versions.forEach((version, i) => {
      const was = before.get(version.seq) ?? version.from;
      const now = untilOf(versions, i);
      if (was === now) return;
      const held = touch(version.entity!);
      held.changes ??= [];
      held.changes.push({
        key: eventKey(group, version.eventTime, version.from, version.order, version.seq),
        before: was === version.from ? null : was,
        after: now === version.from ? null : now,
        record: recordOf.get(version.seq) ?? null,
      });
    });
  }
  return touched;
}
