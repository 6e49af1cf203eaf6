/** Applying log records to a group: versions are linked, then the events of the entities they touch change. */
import { invariant } from '../../base/error.js';
import type { Instant } from '../../base/time.js';
import { appendToHead } from './append.js';
import type { AppliedRecord, Bytes, Counts, Floor } from './applied.js';
import {
  appendBlock,
  type Block,
  compareAt,
  decodeEntity,
  decodeSegment,
  type Entity,
  EVENT,
  type EventKey,
  emptyEntity,
  encodeDirectory,
  encodeEntity,
  encodeSegment,
  eventKey,
  FROM,
  keyAt,
  lowerBound,
  mergeEvents,
  owned,
  releaseBlock,
  removeAt,
  SEQ,
  sliceBlock,
  summarise,
  UNTIL,
} from './block.js';
import { KIND, spellTuple, storeKey } from './key.js';
import { ROW } from './lanes.js';
import type { OnlineGroup } from './plan.js';
import { cutsAt } from './segments.js';
import { appendVersions, findVersions, type Version } from './versions.js';

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

/** What a batch brings to one entity: new events known for ever, and other changes. */
interface Touched {
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
function linkVersions(
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

const compareKeys = (a: EventKey, b: EventKey): number =>
  a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3];

/** A segment, or at the end the head, as its entity is changed. */
interface Part {
  /** Null: the head. */
  readonly row: Float64Array | null;
  /** Key of the first event when the part was opened: what is below belongs to the parts before it. */
  readonly first: EventKey;
  block: Block | null;
  dirty: boolean;
}

interface Work {
  readonly entity: Entity;
  readonly parts: readonly Part[];
  /** Bytes of head and directory as they are stored; 0: not there. */
  readonly headBytes: number;
  readonly directoryBytes: number;
}

const NO_KEY: EventKey = [-Infinity, -Infinity, -Infinity, -Infinity];

function openEntity(bytes: Bytes, group: OnlineGroup, number: number, tuple: Uint8Array): Work {
  const stored = bytes.get(storeKey(number, KIND.entity, tuple));
  const headBytes = stored?.length ?? 0;
  let directoryBytes = 0;
  const entity = stored
    ? decodeEntity(group, tuple, owned(stored), () => {
        const directory = bytes.get(storeKey(number, KIND.directory, tuple));
        invariant(directory, 'the directory of an entity is missing');
        directoryBytes = directory.length;
        return owned(directory);
      })
    : emptyEntity(group, tuple);
  const parts: Part[] = entity.directory.map((row) => ({
    row,
    first: [row[ROW.key]!, row[ROW.key + 1]!, row[ROW.key + 2]!, row[ROW.key + 3]!],
    block: null,
    dirty: false,
  }));
  const { head } = entity;
  parts.push({ row: null, first: head.n > 0 ? keyAt(head, 0) : NO_KEY, block: head, dirty: false });
  return { entity, parts, headBytes, directoryBytes };
}

const sizeOf = (part: Part): number => (part.block ? part.block.n : part.row![ROW.events]!);

function load(bytes: Bytes, group: OnlineGroup, number: number, work: Work, part: Part): Block {
  if (!part.block) {
    const id = part.row![ROW.id]!;
    const stored = bytes.get(storeKey(number, KIND.segment, work.entity.tuple, id));
    invariant(stored, `segment ${id} of an entity is missing`);
    part.block = decodeSegment(group, stored);
  }
  return part.block;
}

/** The place of the part that holds `key`: the last that begins at or before it. */
function route(parts: readonly Part[], key: EventKey): number {
  let low = 0;
  let high = parts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (compareKeys(parts[middle]!.first, key) <= 0) low = middle;
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

/** The first part that may be cut otherwise now, and the first segment that too few events follow. */
function whereToCut(work: Work, slack: number): { readonly begin: number; readonly short: number } {
  const { parts } = work;
  const last = parts.length - 1;
  let begin = parts.length;
  for (let i = last; i >= 0; i--) {
    const { dirty, block, first } = parts[i]!;
    if (!dirty) continue;
    const moved = block!.n === 0 || compareAt(block!, 0, first) !== 0;
    begin = Math.max(0, moved ? i - 1 : i);
  }
  let short = last;
  for (let behind = sizeOf(parts[last]!); short > 0 && behind < slack; behind += sizeOf(parts[short]!))
    short--;
  return { begin: Math.min(begin, short === last ? begin : short), short };
}

/** Cuts anew what may be cut otherwise (see segments.ts) until the old cuts are met again; writes what changed. */
function recut(
  bytes: Bytes,
  group: OnlineGroup,
  number: number,
  work: Work,
  counts: Counts,
): { readonly head: Block; readonly directory: Float64Array[] } {
  const { entity, parts } = work;
  const { seal } = group;
  const last = parts.length - 1;
  const { begin, short } = whereToCut(work, seal.slack);
  if (begin > last) return entity;
  const segmentKey = (id: number): Uint8Array => storeKey(number, KIND.segment, entity.tuple, id);
  const window = load(bytes, group, number, work, parts[begin]!);
  const pulled = new Map<number, Part>([[0, parts[begin]!]]);
  const sizes = parts.map(sizeOf);
  let next = begin + 1;
  const pull = (): void => {
    const part = parts[next]!;
    pulled.set(window.n, part);
    appendBlock(window, load(bytes, group, number, work, part));
    next++;
  };
  let total = 0;
  for (let i = begin; i <= last; i++) total += sizes[i]!;
  let lastDirty = last;
  while (lastDirty >= 0 && !parts[lastDirty]!.dirty) lastDirty--;

  const fresh: { readonly start: number; readonly end: number; readonly kept: Float64Array | null }[] = [];
  const nextCut = (start: number): number => {
    const end = Math.min(total - seal.slack, start + seal.segment);
    for (let at = start + Math.max(1, seal.segment >>> 1); at <= end; at++) {
      while (at >= window.n) {
        const part = parts[next]!;
        if (at === window.n && !part.dirty && cutsAt(seal, at - start, part.first[3])) return at;
        pull();
      }
      if (cutsAt(seal, at - start, window.columns[SEQ]![at]!)) return at;
    }
    return -1;
  };
  let start = 0;
  let met = false;
  for (let end = nextCut(0); end >= 0; end = nextCut(start)) {
    const part = pulled.get(start);
    const kept = part?.row && !part.dirty && part.row[ROW.events] === end - start ? part.row : null;
    fresh.push({ start, end, kept });
    start = end;
    met = start === window.n && next > lastDirty && next <= last && (next === last || short === last);
    if (met) break;
  }
  if (!met) while (next <= last) pull();

  const rows = fresh.map(({ start: from, end, kept }) => {
    if (kept) return kept;
    const block = sliceBlock(window, from, end);
    const encoded = encodeSegment(group, block);
    return { block, encoded };
  });
  const staying = new Set(
    rows.map((row) => (row instanceof Float64Array ? row[ROW.id]! : row.block.columns[SEQ]![0]!)),
  );
  const written = new Set(rows);
  for (const { row } of parts.slice(begin, Math.min(next, last))) {
    if (!row || written.has(row)) continue;
    counts.bytes -= row[ROW.bytes]!;
    if (!staying.has(row[ROW.id]!)) bytes.remove(segmentKey(row[ROW.id]!));
  }
  const directory = [
    ...entity.directory.slice(0, begin),
    ...rows.map((row) => {
      if (row instanceof Float64Array) return row;
      const { block, encoded } = row;
      bytes.put(segmentKey(block.columns[SEQ]![0]!), encoded);
      counts.bytes += encoded.length;
      return summarise(group, block, encoded.length);
    }),
    ...(met ? entity.directory.slice(next) : []),
  ];
  const head = met ? entity.head : start === 0 ? window : sliceBlock(window, start, window.n);
  return { head, directory };
}

/** Cuts segments, writes what changed. */
function flush(bytes: Bytes, group: OnlineGroup, number: number, work: Work, counts: Counts): void {
  const { entity, headBytes, directoryBytes } = work;
  const before = entity.directory;
  const after = recut(bytes, group, number, work, counts);
  const changed =
    after.directory.length !== before.length || after.directory.some((row, i) => row !== before[i]);
  const next: Entity = { ...entity, ...after };
  const key = storeKey(number, KIND.entity, entity.tuple);
  const directoryKey = storeKey(number, KIND.directory, entity.tuple);
  if (changed) {
    const encoded = encodeDirectory(group, next.directory);
    if (encoded) bytes.put(directoryKey, encoded);
    else if (directoryBytes > 0) bytes.remove(directoryKey);
    counts.bytes += (encoded?.length ?? 0) - directoryBytes;
  }
  counts.bytes -= headBytes;
  if (next.head.n === 0 && next.directory.length === 0 && next.liveGhosts === 0 && next.ghosts.length === 0) {
    bytes.remove(key);
    if (headBytes > 0) counts.entities--;
    return;
  }
  const encoded = encodeEntity(group, next);
  bytes.put(key, encoded);
  counts.bytes += encoded.length;
  if (headBytes === 0) counts.entities++;
  for (const { block } of work.parts) if (block) releaseBlock(block);
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
