/** Applying log records to a group: versions are linked, then the events of the entities they touch change. */

import { invariant } from '../../base/error.js';
import type { Instant } from '../../base/time.js';
import { appendToHead } from './append.js';
import type { AppliedRecord, Bytes, Counts, Floor } from './applied.js';
import {
  compareAt,
  type Entity,
  EVENT,
  type EventKey,
  eventKey,
  FROM,
  lowerBound,
  mergeEvents,
  removeAt,
  UNTIL,
} from './block.js';
import { compareKeys, flush, load, openEntity, route, type Work } from './entity-work.js';
import { KIND, storeKey } from './key.js';
import { type Change, linkVersions, type Touched } from './link.js';
import type { OnlineGroup } from './plan.js';

function addGhost(entity: Entity, until: number, floor: number): void {
  if (until === Number.POSITIVE_INFINITY) entity.liveGhosts++;
  else if (until > floor) {
    const at = entity.ghosts.findIndex((ghost) => ghost > until);
    entity.ghosts.splice(at < 0 ? entity.ghosts.length : at, 0, until);
  }
}

function removeGhost(entity: Entity, until: number, floor: number): void {
  if (until === Number.POSITIVE_INFINITY) entity.liveGhosts--;
  else if (until > floor) entity.ghosts.splice(entity.ghosts.indexOf(until), 1);
}

/** Events that no allowed read can aggregate any more: only whether they are known still counts. */
const isForgotten = (eventTime: number, from: number, floor: Floor): floor is number =>
  floor !== null && eventTime < floor && from <= floor;

function applyChange(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  work: Work,
  change: Change,
  floor: Floor,
): number {
  const { entity } = work;
  const eventTime = change.key[0];
  const from = change.key[group.sequenced ? 2 : 1];
  if (isForgotten(eventTime, from, floor)) {
    if (change.before !== null) removeGhost(entity, change.before, floor);
    if (change.after !== null) addGhost(entity, change.after, floor);
    return 0;
  }
  const part = work.parts[route(work.parts, change.key)]!;
  const block = load(bytes, group, number, work, part);
  part.dirty = true;
  const position = lowerBound(block, change.key);
  if (change.before === null) {
    invariant(change.record && change.after !== null, 'a version became known without its record');
    mergeEvents(group, block, [change.record], 0, 1);
    block.columns[UNTIL]![position] = change.after;
    return 1;
  }
  invariant(
    position < block.n && compareAt(block, position, change.key) === 0,
    'an event is not where its record says',
  );
  if (change.after === null) {
    removeAt(block, position);
    return -1;
  }
  block.columns[UNTIL]![position] = change.after;
  return 0;
}

/** Adds first versions, known for ever and in the order of their keys, and says how many events that makes. */
function addRecords(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  work: Work,
  records: readonly AppliedRecord[],
  floor: Floor,
): number {
  const { parts } = work;
  const keyOf = ({ eventTime, availableAt, order, seq }: AppliedRecord): EventKey =>
    eventKey(group, eventTime, availableAt, order, seq);
  let events = 0;
  for (let start = 0; start < records.length; ) {
    const { eventTime, availableAt } = records[start]!;
    if (isForgotten(eventTime, availableAt, floor)) {
      addGhost(work.entity, Number.POSITIVE_INFINITY, floor);
      start++;
      continue;
    }
    const home = route(parts, keyOf(records[start]!));
    const next = parts[home + 1];
    let end = start + 1;
    for (; end < records.length; end++) {
      const record = records[end]!;
      if (isForgotten(record.eventTime, record.availableAt, floor)) break;
      if (next && compareKeys(keyOf(record), next.first) >= 0) break;
    }
    const part = parts[home]!;
    part.dirty = true;
    mergeEvents(group, load(bytes, group, number, work, part), records, start, end);
    events += end - start;
    start = end;
  }
  return events;
}

/** Orders first versions as their events are ordered. */
function inOrder(group: OnlineGroup, records: AppliedRecord[]): AppliedRecord[] {
  const compare = (a: AppliedRecord, b: AppliedRecord): number =>
    a.eventTime - b.eventTime ||
    (group.sequenced
      ? a.order - b.order || a.availableAt - b.availableAt
      : a.availableAt - b.availableAt || a.order - b.order) ||
    a.seq - b.seq;
  for (let i = 1; i < records.length; i++)
    if (compare(records[i - 1]!, records[i]!) > 0) return records.sort(compare);
  return records;
}

function applyToEntity(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  tuple: Uint8Array,
  { records, changes }: Touched,
  floor: Floor,
  counts: Counts,
): void {
  const ordered = inOrder(group, records);
  if (
    changes === null &&
    (floor === null || !ordered.some((record) => isForgotten(record.eventTime, record.availableAt, floor)))
  ) {
    const key = storeKey(number, KIND.entity, tuple);
    const stored = bytes.get(key);
    const before = stored?.length ?? 0;
    const head = appendToHead(group, tuple, stored, ordered);
    if (head) {
      bytes.put(key, head);
      counts.bytes += head.length - before;
      counts.events += ordered.length;
      if (before === 0) counts.entities++;
      return;
    }
  }
  const work = openEntity(bytes, group, number, tuple);
  for (const change of changes ?? []) counts.events += applyChange(bytes, group, number, work, change, floor);
  counts.events += addRecords(bytes, group, number, work, ordered, floor);
  flush(bytes, group, number, work, counts);
}

/**
 * Applies records in seq order, of any age, to the group stored under `number`, which has applied through `applied`
 * and afterwards through `through`. What is stored then depends on the records applied, the position and the floor
 * only, not on batches. `firsts`: every record is the first of its record key.
 */
export function applyRecords(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  records: readonly AppliedRecord[],
  firsts: boolean,
  applied: number,
  through: number,
  floor: Floor,
  counts: Counts,
): void {
  const touched = linkVersions(bytes, group, number, records, firsts, applied, through, counts);
  for (const name of [...touched.keys()].sort())
    applyToEntity(bytes, group, number, Buffer.from(name, 'latin1'), touched.get(name)!, floor, counts);
}

/** Forgets the events before `floor` (and known by it) of one entity; reads at t ≥ floor + span stay as they are. */
export function expireEntity(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  tuple: Uint8Array,
  floor: Instant,
  counts: Counts,
): void {
  const work = openEntity(bytes, group, number, tuple);
  const { entity } = work;
  entity.ghosts = entity.ghosts.filter((ghost) => ghost > floor);
  for (const part of work.parts) {
    if (part.first[0] >= floor) break;
    const block = load(bytes, group, number, work, part);
    const [event, from, until] = [block.columns[EVENT]!, block.columns[FROM]!, block.columns[UNTIL]!];
    for (let i = block.n - 1; i >= 0; i--) {
      if (!isForgotten(event[i]!, from[i]!, floor)) continue;
      addGhost(entity, until[i]!, floor);
      removeAt(block, i);
      counts.events--;
      part.dirty = true;
    }
  }
  flush(bytes, group, number, work, counts);
}
