/** The online store over any transactional map of bytes: groups, positions, generations, retention. */
import { invariant, MillraceError } from '../../base/error.js';
import type { Fingerprint } from '../../base/fingerprint.js';
import type { Instant } from '../../base/time.js';
import type { Value } from '../../schema/types.js';
import type { AppliedRecord, Bytes, Counts, Floor } from './applied.js';
import { applyRecords, expireEntity } from './apply.js';
import { KIND } from './key.js';
import type { OnlineGroup, OnlineReader } from './plan.js';
import { type DumpedEntity, dumpEntity, type OnlineRow, readEntity, tupleOf } from './read.js';
import { owned } from './view.js';

/** A sorted map of bytes with atomic writes. */
export interface ByteEngine {
  /** Valid until the next call. */
  get(key: Uint8Array): Uint8Array | undefined;
  /** Keys that begin with `prefix`, ascending, as memory of their own. */
  keys(prefix: Uint8Array): Iterable<Uint8Array>;
  /** All or nothing: when `body` throws, nothing was written. */
  write<T>(body: (bytes: Bytes) => T): T;
}

export interface ApplyOptions {
  /** Every record is the first of its record key: no earlier versions are looked for. */
  readonly firsts?: boolean;
}

/** Through which record, and which instant of availability, a group has applied its source's log. */
export interface OnlinePosition {
  /** 0: nothing yet. */
  readonly seq: number;
  readonly availableAt: Instant | null;
}

export interface OnlineGroupState {
  readonly id: string;
  readonly fingerprint: Fingerprint;
  readonly source: string;
  readonly applied: OnlinePosition;
  readonly entities: number;
  readonly events: number;
  /** Of values, without the map's own overhead. */
  readonly bytes: number;
  readonly floor: Floor;
}

export interface OnlineRows {
  /** One for each key tuple, in order. */
  readonly rows: readonly OnlineRow[];
  readonly applied: OnlinePosition;
}

const META = { group: 1, active: 2, next: 3 } as const;
const metaKey = (kind: number, name = ''): Buffer =>
  Buffer.concat([Buffer.from([0, 0, 0, 0, kind]), Buffer.from(name, 'latin1')]);
const ACTIVE = metaKey(META.active);
const NEXT = metaKey(META.next);

interface Meta {
  readonly number: number;
  readonly applied: OnlinePosition;
  readonly counts: Counts;
  readonly floor: Floor;
}

const WORDS = 7;
const orNaN = (value: number | null): number => value ?? Number.NaN;
const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);

/** number, seq, available_at, entities, events, bytes, floor; then `id\nsource`. */
function encodeMeta(meta: Meta, name: string): Buffer {
  const out = Buffer.alloc(WORDS * 8 + Buffer.byteLength(name));
  const { number, applied, counts, floor } = meta;
  const words = [
    number,
    applied.seq,
    orNaN(applied.availableAt),
    counts.entities,
    counts.events,
    counts.bytes,
    orNaN(floor),
  ];
  words.forEach((word, i) => {
    out.writeDoubleLE(word, i * 8);
  });
  out.write(name, WORDS * 8);
  return out;
}

function decodeMeta(bytes: Uint8Array): Meta {
  const view = new DataView(bytes.buffer, bytes.byteOffset, WORDS * 8);
  const word = (i: number): number => view.getFloat64(i * 8, true);
  return {
    number: word(0),
    applied: { seq: word(1), availableAt: orNull(word(2)) },
    counts: { entities: word(3), events: word(4), bytes: word(5) },
    floor: orNull(word(6)),
  };
}

const nameOf = (group: OnlineGroup): string => `${group.id}\n${group.source}`;
const keyCache = new WeakMap<OnlineGroup, Buffer>();
function groupKey(group: OnlineGroup): Buffer {
  let key = keyCache.get(group);
  if (!key) {
    key = metaKey(META.group, group.fingerprint);
    keyCache.set(group, key);
  }
  return key;
}

const missing = (group: OnlineGroup): MillraceError =>
  new MillraceError('NOT_MATERIALIZED', `the online store does not hold ${group.id} as it is defined now`, {
    data: { group: group.id, fingerprint: group.fingerprint },
  });

function metaOf(
  bytes: { get(key: Uint8Array): Uint8Array | undefined },
  group: OnlineGroup,
): Meta | undefined {
  const stored = bytes.get(groupKey(group));
  return stored && decodeMeta(stored);
}

const describe = (fingerprint: Fingerprint, meta: Meta, name: string): OnlineGroupState => {
  const [id, source] = name.split('\n') as [string, string];
  return { id, fingerprint, source, applied: meta.applied, ...meta.counts, floor: meta.floor };
};

/** Makes room for a group; one that is there stays as it is. */
export function openGroup(engine: ByteEngine, group: OnlineGroup): OnlineGroupState {
  const meta = engine.write((bytes) => {
    const held = metaOf(bytes, group);
    if (held) return held;
    const stored = bytes.get(NEXT);
    const number = stored ? new DataView(stored.buffer, stored.byteOffset, 8).getFloat64(0, true) : 1;
    const next = Buffer.alloc(8);
    next.writeDoubleLE(number + 1);
    bytes.put(NEXT, next);
    const fresh: Meta = {
      number,
      applied: { seq: 0, availableAt: null },
      counts: { entities: 0, events: 0, bytes: 0 },
      floor: null,
    };
    bytes.put(groupKey(group), encodeMeta(fresh, nameOf(group)));
    return fresh;
  });
  return describe(group.fingerprint, meta, nameOf(group));
}

/**
 * Applies records in one transaction together with the position they bring the group to. Records at or before the
 * position are skipped, so that giving a batch again changes nothing. `through.seq` is at least every record's.
 */
export function applyBatch(
  engine: ByteEngine,
  group: OnlineGroup,
  records: readonly AppliedRecord[],
  through: OnlinePosition,
  { firsts = false }: ApplyOptions = {},
): OnlinePosition {
  return engine.write((bytes) => {
    const meta = metaOf(bytes, group);
    if (!meta) throw missing(group);
    const { seq } = meta.applied;
    let ordered = true;
    for (let i = 0; i < records.length; i++) {
      invariant(
        records[i]!.seq <= through.seq || records[i]!.seq <= seq,
        'a batch holds records beyond the position it is said to reach',
      );
      if (i > 0 && records[i]!.seq <= records[i - 1]!.seq) ordered = false;
    }
    if (through.seq <= seq) return meta.applied;
    let fresh = (records[0]?.seq ?? 0) > seq ? records : records.filter((record) => record.seq > seq);
    if (!ordered) {
      const bySeq = new Map(fresh.map((record) => [record.seq, record]));
      fresh = [...bySeq.values()].sort((a, b) => a.seq - b.seq);
    }
    const counts = { ...meta.counts };
    applyRecords(bytes, group, meta.number, fresh, firsts, seq, through.seq, meta.floor, counts);
    const known = [meta.applied.availableAt, through.availableAt].filter((at) => at !== null);
    const applied: OnlinePosition = {
      seq: through.seq,
      availableAt: known.length === 0 ? null : Math.max(...known),
    };
    bytes.put(groupKey(group), encodeMeta({ ...meta, applied, counts }, nameOf(group)));
    return applied;
  });
}

/** Values of entities at t (k = t). All keys are read from one snapshot. */
export function readRows(
  engine: ByteEngine,
  reader: OnlineReader,
  keys: readonly (readonly Value[])[],
  at: Instant,
): OnlineRows {
  const meta = metaOf(engine, reader.group);
  if (!meta) throw missing(reader.group);
  const rows: OnlineRow[] = new Array(keys.length);
  for (let i = 0; i < keys.length; i++)
    rows[i] = readEntity(engine, reader, meta.number, keys[i]!, at, meta.floor);
  return { rows, applied: meta.applied };
}

/** The position of a group; null when the store does not hold it. */
export const positionOf = (engine: ByteEngine, group: OnlineGroup): OnlinePosition | null =>
  metaOf(engine, group)?.applied ?? null;

export function listGroups(engine: ByteEngine): readonly OnlineGroupState[] {
  const prefix = metaKey(META.group);
  return [...engine.keys(prefix)].map((key) => {
    const stored = Buffer.from(owned(engine.get(key)!));
    const fingerprint = Buffer.from(key.subarray(prefix.length)).toString('latin1');
    return describe(fingerprint, decodeMeta(stored), stored.toString('utf8', WORDS * 8));
  });
}

const DROP_CHUNK = 10_000;

const groupPrefix = (number: number, kind?: number): Buffer => {
  const prefix = Buffer.alloc(kind === undefined ? 4 : 5);
  prefix.writeUInt32BE(number);
  if (kind !== undefined) prefix[4] = kind;
  return prefix;
};

function dropContents(engine: ByteEngine, number: number): void {
  const keys = [...engine.keys(groupPrefix(number))];
  for (let start = 0; start < keys.length; start += DROP_CHUNK) {
    engine.write((bytes) => {
      for (const key of keys.slice(start, start + DROP_CHUNK)) bytes.remove(key);
    });
  }
}

/** Takes a group out; false when there is none. First its name, then its contents in pieces: a crash leaves no half group. */
export function dropGroup(engine: ByteEngine, fingerprint: Fingerprint): boolean {
  const name = metaKey(META.group, fingerprint);
  const stored = engine.get(name);
  if (!stored) return false;
  const { number } = decodeMeta(stored);
  engine.write((bytes) => {
    bytes.remove(name);
  });
  dropContents(engine, number);
  return true;
}

/** The group under a name of its own, which no reader asks for, while it is built. */
export const draftOf = (group: OnlineGroup): OnlineGroup => ({
  ...group,
  fingerprint: `${group.fingerprint}.draft`,
});

/** In one step the draft stands in the group's place; what stood there is dropped. */
export function publishDraft(engine: ByteEngine, group: OnlineGroup): void {
  const before = metaOf(engine, group);
  engine.write((bytes) => {
    const draft = draftOf(group);
    const meta = metaOf(bytes, draft);
    if (!meta) throw missing(draft);
    bytes.put(groupKey(group), encodeMeta(meta, nameOf(group)));
    bytes.remove(metaKey(META.group, draft.fingerprint));
  });
  if (before) dropContents(engine, before.number);
}

/** Names, in one step, the groups that serve from now on. All must be here. What has no name any more goes. */
export function activateGroups(engine: ByteEngine, fingerprints: readonly Fingerprint[]): void {
  engine.write((bytes) => {
    for (const fingerprint of fingerprints) {
      if (!bytes.get(metaKey(META.group, fingerprint))) {
        throw new MillraceError(
          'NOT_MATERIALIZED',
          'a group was to serve that the online store does not hold',
          { data: { fingerprint } },
        );
      }
    }
    bytes.put(ACTIVE, Buffer.from(JSON.stringify([...new Set(fingerprints)].sort())));
  });
  sweepContents(engine);
}

/** Drops the contents of groups that lost their name when the process that dropped them was stopped. */
function sweepContents(engine: ByteEngine): void {
  const named = new Set(
    [...engine.keys(metaKey(META.group))].map((key) => decodeMeta(engine.get(key)!).number),
  );
  const next = engine.get(NEXT);
  const end = next ? new DataView(next.buffer, next.byteOffset, 8).getFloat64(0, true) : 1;
  for (let number = 1; number < end; number++) if (!named.has(number)) dropContents(engine, number);
}

export function activeGroups(engine: ByteEngine): readonly Fingerprint[] {
  const stored = engine.get(ACTIVE);
  return stored
    ? (JSON.parse(Buffer.from(stored.buffer, stored.byteOffset, stored.length).toString()) as Fingerprint[])
    : [];
}

/**
 * Forgets what no read at t ≥ now needs: events before now - span. A group that needs all history keeps it (false).
 * Afterwards reads before `now` are refused.
 */
export function expireGroup(engine: ByteEngine, group: OnlineGroup, now: Instant): boolean {
  const { span } = group;
  if (span === null) return false;
  const meta = metaOf(engine, group);
  if (!meta) throw missing(group);
  const floor = now - span;
  if (meta.floor !== null && floor <= meta.floor) return false;
  const keys = [...engine.keys(groupPrefix(meta.number, KIND.entity))];
  engine.write((bytes) => {
    const counts = { ...meta.counts };
    for (const key of keys) {
      const tuple = tupleOf(group, key, () => bytes.get(key)!);
      expireEntity(bytes, group, meta.number, tuple, floor, counts);
    }
    bytes.put(groupKey(group), encodeMeta({ ...meta, counts, floor }, nameOf(group)));
  });
  return true;
}

/** Everything the group holds, by entity key bytes, independent of segments: equal logs give equal dumps. */
export function* dumpGroup(engine: ByteEngine, group: OnlineGroup): Generator<DumpedEntity> {
  const meta = metaOf(engine, group);
  if (!meta) throw missing(group);
  for (const key of [...engine.keys(groupPrefix(meta.number, KIND.entity))])
    yield dumpEntity(engine, { group }, meta.number, key);
}
