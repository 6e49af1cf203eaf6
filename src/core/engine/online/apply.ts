/** Applying log records to a group: chains of versions, then the events of the entities they touch. */
import { invariant } from '../../base/error.js';
import type { Instant } from '../../base/time.js';
import type { Value } from '../../schema/types.js';
import {
  type Block,
  compareAt,
  decodeEntity,
  decodeSegment,
  type Entity,
  EVENT,
  type EventKey,
  emptyEntity,
  encodeEntity,
  encodeSegment,
  FROM,
  insertAt,
  keyAt,
  lowerBound,
  NO_FLOOR,
  type OnlineEvent,
  ROW,
  removeAt,
  sliceBlock,
  summarise,
  UNTIL,
} from './block.js';
import { encodeTuple, KIND, storeKey } from './key.js';
import type { OnlineGroup } from './plan.js';

/** A record of the log, as `LogRecord` of the record log. */
export interface AppliedRecord {
  readonly fields: Readonly<Record<string, Value>>;
  readonly eventTime: Instant;
  readonly availableAt: Instant;
  readonly order: number;
  readonly seq: number;
  readonly deleted: boolean;
}

/** Bytes by key inside one transaction. What `get` gives is valid until the next call only. */
export interface Bytes {
  get(key: Uint8Array): Uint8Array | undefined;
  put(key: Uint8Array, value: Uint8Array): void;
  remove(key: Uint8Array): void;
}

/** Events before this instant, and known by it, were forgotten (`expireEntity`). Null: nothing was. */
export type Floor = Instant | null;

export interface Counts {
  entities: number;
  events: number;
  bytes: number;
}

interface Version {
  readonly from: number;
  readonly order: number;
  readonly seq: number;
  readonly eventTime: number;
  readonly deleted: boolean;
  readonly entity: Uint8Array | null;
}

/** Chain: n, then for each version 4 doubles, a flag and the length-prefixed entity tuple; at the end the hashed key. */
function encodeChain(versions: readonly Version[], tuple: Uint8Array): Uint8Array {
  const size = versions.reduce((total, version) => total + 37 + (version.entity?.length ?? 0), 0);
  const out = Buffer.alloc(8 + size + tuple.length);
  out.writeUInt32LE(versions.length, 0);
  out.writeUInt32LE(tuple.length, 4);
  let at = 8;
  for (const version of versions) {
    out.writeDoubleLE(version.from, at);
    out.writeDoubleLE(version.order, at + 8);
    out.writeDoubleLE(version.seq, at + 16);
    out.writeDoubleLE(version.eventTime, at + 24);
    out[at + 32] = (version.deleted ? 1 : 0) | (version.entity ? 2 : 0);
    out.writeUInt32LE(version.entity?.length ?? 0, at + 33);
    at += 37;
    if (version.entity) {
      out.set(version.entity, at);
      at += version.entity.length;
    }
  }
  out.set(tuple, at);
  return out;
}

function decodeChain(bytes: Uint8Array): Version[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const versions: Version[] = [];
  let at = 8;
  for (let left = buffer.readUInt32LE(0); left > 0; left--) {
    const flags = buffer[at + 32]!;
    const size = buffer.readUInt32LE(at + 33);
    versions.push({
      from: buffer.readDoubleLE(at),
      order: buffer.readDoubleLE(at + 8),
      seq: buffer.readDoubleLE(at + 16),
      eventTime: buffer.readDoubleLE(at + 24),
      deleted: (flags & 1) === 1,
      entity: (flags & 2) === 2 ? Uint8Array.prototype.slice.call(buffer, at + 37, at + 37 + size) : null,
    });
    at += 37 + size;
  }
  return versions;
}

const beforeVersion = (a: Version, b: Version): number =>
  a.from - b.from || a.order - b.order || a.seq - b.seq;

/** Version `i` of an ordered chain is known in [from, until); until = from: never, or nothing to see. */
function untilOf(versions: readonly Version[], i: number): number {
  const version = versions[i]!;
  if (version.deleted || version.entity === null) return version.from;
  return i + 1 < versions.length ? versions[i + 1]!.from : Number.POSITIVE_INFINITY;
}

interface Change {
  readonly key: EventKey;
  /** The interval's end before; null: the event is new. */
  readonly before: number | null;
  /** The end after; null: the event goes. */
  readonly after: number | null;
  readonly record: AppliedRecord | null;
}

const text = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
const tupleOf = (record: AppliedRecord, names: readonly string[]): Value[] =>
  names.map((name) => record.fields[name] ?? null);

function versionOf(group: OnlineGroup, record: AppliedRecord): Version {
  const entity = tupleOf(record, group.keyFields);
  const { availableAt: from, order, seq, eventTime, deleted } = record;
  return { from, order, seq, eventTime, deleted, entity: entity.includes(null) ? null : encodeTuple(entity) };
}

interface Touched {
  readonly tuple: Uint8Array;
  readonly changes: Change[];
}

/** Puts new versions into their chains and says what that changes, by entity. */
function linkVersions(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  records: readonly AppliedRecord[],
  counts: Counts,
): Map<string, Touched> {
  const byKey = new Map<string, { tuple: Uint8Array; records: AppliedRecord[] }>();
  for (const record of records) {
    const tuple = encodeTuple(tupleOf(record, group.recordKey));
    const key = text(tuple);
    const entry = byKey.get(key);
    if (entry) entry.records.push(record);
    else byKey.set(key, { tuple, records: [record] });
  }
  const touched = new Map<string, Touched>();
  const change = (entity: Uint8Array, item: Change): void => {
    const key = text(entity);
    const entry = touched.get(key);
    if (entry) entry.changes.push(item);
    else touched.set(key, { tuple: entity, changes: [item] });
  };
  for (const name of [...byKey.keys()].sort()) {
    const { tuple, records: added } = byKey.get(name)!;
    const key = storeKey(number, KIND.record, tuple);
    const stored = bytes.get(key);
    const versions = stored ? decodeChain(stored) : [];
    if (stored) counts.bytes -= stored.length;
    if (!stored && added.length === 1) {
      const [record] = added as [AppliedRecord];
      const version = versionOf(group, record);
      if (version.entity !== null && !version.deleted) {
        change(version.entity, {
          key: keyOf(group, version),
          before: null,
          after: Number.POSITIVE_INFINITY,
          record,
        });
      }
      const chain = encodeChain([version], tuple);
      counts.bytes += chain.length;
      bytes.put(key, chain);
      continue;
    }
    const before = new Map<number, number>();
    versions.forEach((version, i) => {
      before.set(version.seq, untilOf(versions, i));
    });
    const recordOf = new Map<number, AppliedRecord>();
    for (const record of added) {
      if (before.has(record.seq) || recordOf.has(record.seq)) continue;
      recordOf.set(record.seq, record);
      versions.push(versionOf(group, record));
    }
    versions.sort(beforeVersion);
    versions.forEach((version, i) => {
      const was = before.get(version.seq) ?? version.from;
      const now = untilOf(versions, i);
      if (was === now) return;
      change(version.entity!, {
        key: keyOf(group, version),
        before: was === version.from ? null : was,
        after: now === version.from ? null : now,
        record: recordOf.get(version.seq) ?? null,
      });
    });
    const chain = encodeChain(versions, tuple);
    counts.bytes += chain.length;
    bytes.put(key, chain);
  }
  return touched;
}

interface Work {
  readonly entity: Entity;
  readonly blocks: Map<number, Block>;
  readonly dirty: Set<number>;
}

function blockOfRow(bytes: Bytes, group: OnlineGroup, number: number, work: Work, row: number): Block {
  const id = work.entity.directory[row]![ROW.id]!;
  let block = work.blocks.get(id);
  if (!block) {
    const stored = bytes.get(storeKey(number, KIND.segment, work.entity.tuple, id));
    invariant(stored, `segment ${id} of an entity is missing`);
    block = decodeSegment(group, stored);
    work.blocks.set(id, block);
  }
  return block;
}

const keyOf = (group: OnlineGroup, { eventTime, from, order, seq }: Version): EventKey =>
  group.sequenced ? [eventTime, order, from, seq] : [eventTime, from, order, seq];

const compareKeys = (a: EventKey, b: EventKey): number =>
  a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3];
const rowKey = (row: Float64Array): EventKey => [
  row[ROW.key]!,
  row[ROW.key + 1]!,
  row[ROW.key + 2]!,
  row[ROW.key + 3]!,
];

/** The directory row whose segment holds `key`, or -1 for the head. */
function route(entity: Entity, key: EventKey): number {
  const { directory } = entity;
  if (directory.length === 0 || compareKeys(key, entity.floor) >= 0) return -1;
  let low = 0;
  let high = directory.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (compareKeys(rowKey(directory[middle]!), key) <= 0) low = middle;
    else high = middle - 1;
  }
  return low;
}

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

function eventOf(group: OnlineGroup, change: Change): OnlineEvent {
  const { fields } = change.record!;
  return {
    key: change.key,
    until: change.after!,
    values: group.fields.map((field) => fields[field.name] ?? null),
    masks: group.predicates.map((predicate) => {
      const value = predicate.evaluate(fields);
      return value === null ? 2 : value === true ? 1 : 0;
    }),
  };
}

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
  const row = route(entity, change.key);
  const block = row < 0 ? entity.head : blockOfRow(bytes, group, number, work, row);
  if (row >= 0) work.dirty.add(entity.directory[row]![ROW.id]!);
  const position = lowerBound(block, change.key);
  if (change.before === null) {
    invariant(change.record, 'a version became known without its record');
    insertAt(block, position, eventOf(group, change));
    if (row >= 0 && position === 0) entity.directory[row]!.set(change.key, ROW.key);
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

/** Seals what the head has too much of, splits and drops segments, writes what changed. */
function flush(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  work: Work,
  counts: Counts,
  stored: number,
): void {
  const { entity } = work;
  const { segment, slack } = group.seal;
  const segmentKey = (id: number): Uint8Array => storeKey(number, KIND.segment, entity.tuple, id);
  const write = (id: number, block: Block): Float64Array => {
    const encoded = encodeSegment(group, block);
    counts.bytes += encoded.length;
    bytes.put(segmentKey(id), encoded);
    return summarise(group, block, id);
  };
  if (work.dirty.size > 0) {
    entity.directory = entity.directory.flatMap((row) => {
      const id = row[ROW.id]!;
      if (!work.dirty.has(id)) return [row];
      const block = work.blocks.get(id)!;
      counts.bytes -= bytes.get(segmentKey(id))?.length ?? 0;
      if (block.n === 0) {
        bytes.remove(segmentKey(id));
        return [];
      }
      if (block.n <= 2 * segment) return [write(id, block)];
      const rows: Float64Array[] = [];
      for (let start = 0; start < block.n; start += segment) {
        const part = sliceBlock(block, start, Math.min(block.n, start + segment));
        rows.push(write(start === 0 ? id : entity.nextSegment++, part));
      }
      return rows;
    });
    if (entity.directory.length === 0) entity.floor = NO_FLOOR;
  }
  let head = entity.head;
  if (head.n >= segment + slack) {
    const sealed = Math.floor((head.n - slack) / segment) * segment;
    for (let start = 0; start < sealed; start += segment) {
      entity.directory.push(write(entity.nextSegment++, sliceBlock(head, start, start + segment)));
    }
    head = sliceBlock(head, sealed, head.n);
    entity.floor = keyAt(entity.head, sealed);
  }
  counts.bytes -= stored;
  const key = storeKey(number, KIND.entity, entity.tuple);
  if (
    head.n === 0 &&
    entity.directory.length === 0 &&
    entity.liveGhosts === 0 &&
    entity.ghosts.length === 0
  ) {
    bytes.remove(key);
    if (stored > 0) counts.entities--;
    return;
  }
  const encoded = encodeEntity(group, { ...entity, head });
  bytes.put(key, encoded);
  counts.bytes += encoded.length;
  if (stored === 0) counts.entities++;
}

function openEntity(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  tuple: Uint8Array,
): { work: Work; stored: number } {
  const stored = bytes.get(storeKey(number, KIND.entity, tuple));
  const size = stored?.length ?? 0;
  const entity = stored ? decodeEntity(group, stored) : emptyEntity(group, tuple);
  invariant(!stored || text(entity.tuple) === text(tuple), 'two entity keys share a hash');
  return { work: { entity, blocks: new Map(), dirty: new Set() }, stored: size };
}

/**
 * Applies records of any order and age to the group stored under `number`. The events held afterwards depend on
 * the set of records applied only, not on batches or order. The caller leaves out records applied before.
 */
export function applyRecords(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  records: readonly AppliedRecord[],
  floor: Floor,
  counts: Counts,
): void {
  const touched = linkVersions(bytes, group, number, records, counts);
  for (const name of [...touched.keys()].sort()) {
    const { tuple, changes } = touched.get(name)!;
    const { work, stored } = openEntity(bytes, group, number, tuple);
    changes.sort((a, b) => compareKeys(a.key, b.key));
    for (const change of changes) counts.events += applyChange(bytes, group, number, work, change, floor);
    flush(bytes, group, number, work, counts, stored);
  }
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
  const { work, stored } = openEntity(bytes, group, number, tuple);
  const { entity } = work;
  entity.ghosts = entity.ghosts.filter((ghost) => ghost > floor);
  const forget = (block: Block): boolean => {
    let dropped = false;
    const [event, from, until] = [block.columns[EVENT]!, block.columns[FROM]!, block.columns[UNTIL]!];
    for (let i = block.n - 1; i >= 0; i--) {
      if (!isForgotten(event[i]!, from[i]!, floor)) continue;
      addGhost(entity, until[i]!, floor);
      removeAt(block, i);
      counts.events--;
      dropped = true;
    }
    return dropped;
  };
  for (let row = 0; row < entity.directory.length && entity.directory[row]![ROW.key]! < floor; row++) {
    const block = blockOfRow(bytes, group, number, work, row);
    if (forget(block)) work.dirty.add(entity.directory[row]![ROW.id]!);
  }
  forget(entity.head);
  flush(bytes, group, number, work, counts, stored);
}
