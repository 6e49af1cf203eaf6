/** One entity while it is changed: its parts are loaded when touched, cut anew and written once. */

import { invariant } from '../../base/error.js';
import type { Bytes, Counts } from './applied.js';
import {
  appendBlock,
  type Block,
  compareAt,
  type Entity,
  type EventKey,
  emptyEntity,
  keyAt,
  releaseBlock,
  SEQ,
  sliceBlock,
} from './block.js';
import { decodeEntity, decodeSegment } from './decode.js';
import { encodeDirectory, encodeEntity, encodeSegment } from './encode.js';
import { KIND, storeKey } from './key.js';
import { ROW } from './lanes.js';
import type { OnlineGroup } from './plan.js';
import { cutsAt } from './segments.js';
import { summarise } from './summary.js';
import { owned } from './view.js';

export const compareKeys = (a: EventKey, b: EventKey): number =>
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

export interface Work {
  readonly entity: Entity;
  readonly parts: readonly Part[];
  /** Bytes of head and directory as they are stored; 0: not there. */
  readonly headBytes: number;
  readonly directoryBytes: number;
}

const NO_KEY: EventKey = [-Infinity, -Infinity, -Infinity, -Infinity];

export function openEntity(bytes: Bytes, group: OnlineGroup, number: number, tuple: Uint8Array): Work {
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

export function load(bytes: Bytes, group: OnlineGroup, number: number, work: Work, part: Part): Block {
  if (!part.block) {
    const id = part.row![ROW.id]!;
    const stored = bytes.get(storeKey(number, KIND.segment, work.entity.tuple, id));
    invariant(stored, `segment ${id} of an entity is missing`);
    part.block = decodeSegment(group, stored);
  }
  return part.block;
}

/** The place of the part that holds `key`: the last that begins at or before it. */
export function route(parts: readonly Part[], key: EventKey): number {
  let low = 0;
  let high = parts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (compareKeys(parts[middle]!.first, key) <= 0) low = middle;
    else high = middle - 1;
  }
  return low;
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
export function flush(bytes: Bytes, group: OnlineGroup, number: number, work: Work, counts: Counts): void {
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
