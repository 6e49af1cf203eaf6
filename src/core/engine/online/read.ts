/**
 * Reading an entity at an instant: one walk from the newest event backwards for all windows. Whole segments count by
 * their summary; only segments that hold an edge of a window, or a version that is not known throughout, are opened.
 */
import { statusOfValue } from '../../algebra/catalogue.js';
import { categoryText } from '../../algebra/compare.js';
import { addExact, exactSum, exactValue, productError, roundRatio } from '../../algebra/exact.js';
import { invariant, MillraceError } from '../../base/error.js';
import { type Instant, MICROS_PER_SECOND, printInstant } from '../../base/time.js';
import type { Value, ValueType } from '../../schema/types.js';
import type { Status } from '../types.js';
import type { Floor } from './apply.js';
import {
  type Directory,
  directoryOf,
  fieldValue,
  owned,
  ROW,
  readTail,
  type View,
  viewOf,
  WORD,
} from './block.js';
import { decodeTuple, entityKey, isHashed, KIND, storeKey } from './key.js';
import {
  directoryStride,
  type GenericRead,
  type Lane,
  type Lens,
  type LookupRead,
  type OnlineReader,
  type Summed,
} from './plan.js';

export interface OnlineRow {
  /** One for each feature of the reader: before the feature's default and widening. */
  readonly values: Value[];
  readonly statuses: Status[];
}

/** What `get` gives is valid until the next call only. */
export interface BytesReader {
  get(key: Uint8Array): Uint8Array | undefined;
}

/** Words of an accumulator: values, high, low (NaN: not exact), least (NaN: values that are no doubles), greatest, rows. */
const SLOT = 6;
const ROWS = 5;

let slots = new Float64Array(SLOT * 64);
const running = new Float64Array(SLOT);

function snapshot(at: number): void {
  for (let i = 0; i < SLOT; i++) slots[at + i] = running[i]!;
}

function clear(target: Float64Array, at: number): void {
  target[at] = 0;
  target[at + 1] = 0;
  target[at + 2] = 0;
  target[at + 3] = Number.POSITIVE_INFINITY;
  target[at + 4] = Number.NEGATIVE_INFINITY;
  target[at + ROWS] = 0;
}

/** target[at + 1], target[at + 2] += x, exactly or low becomes NaN. */
function addTo(target: Float64Array, at: number, x: number): void {
  const high = target[at + 1]!;
  const sum = high + x;
  const part = sum - high;
  const error = high - (sum - part) + (x - part);
  target[at + 1] = sum;
  if (error !== 0) {
    const low = target[at + 2]!;
    const total = low + error;
    const second = total - low;
    target[at + 2] = low - (total - second) + (error - second) === 0 ? total : Number.NaN;
  }
}

/** Adds the visible events [start, end) of a block to an accumulator. */
function scan(
  view: View,
  lane: Lane,
  target: Float64Array,
  at: number,
  start: number,
  end: number,
  t: Instant,
  regular: boolean,
): void {
  const { words, bytes } = view;
  const { from, until } = view;
  const mask = lane.mask < 0 ? -1 : view.masks + lane.mask * view.maskStride;
  const { needsSum, needsExtremes } = lane;
  if (lane.field < 0) {
    if (regular && mask < 0) {
      target[at + ROWS] = target[at + ROWS]! + (end - start);
      return;
    }
    let rows = 0;
    for (let i = start; i < end; i++) {
      if (mask >= 0 && bytes[mask + i] !== 1) continue;
      if (!regular && (words[from + i]! > t || (until >= 0 && words[until + i]! <= t))) continue;
      rows++;
    }
    target[at + ROWS] = target[at + ROWS]! + rows;
    return;
  }
  const column = view.fields + lane.field * view.capacity;
  let count = target[at]!;
  let high = target[at + 1]!;
  let low = target[at + 2]!;
  let least = target[at + 3]!;
  let greatest = target[at + 4]!;
  let rows = 0;
  for (let i = start; i < end; i++) {
    if (mask >= 0 && bytes[mask + i] !== 1) continue;
    if (!regular && (words[from + i]! > t || (until >= 0 && words[until + i]! <= t))) continue;
    rows++;
    const x = words[column + i]!;
    if (Number.isNaN(x)) continue;
    count++;
    if (needsSum) {
      const sum = high + x;
      const part = sum - high;
      const error = high - (sum - part) + (x - part);
      high = sum;
      if (error !== 0) {
        const total = low + error;
        const second = total - low;
        low = low - (total - second) + (error - second) === 0 ? total : Number.NaN;
      }
    }
    if (needsExtremes) {
      if (x < least) least = x;
      if (x > greatest) greatest = x;
    }
  }
  target[at] = count;
  target[at + 1] = high;
  target[at + 2] = low;
  target[at + 3] = least;
  target[at + 4] = greatest;
  target[at + ROWS] = target[at + ROWS]! + rows;
  if (view.words[view.base + WORD.indexed]! > 0 && end > start) {
    target[at + 2] = Number.NaN;
    target[at + 3] = Number.NaN;
  }
}

/** Adds the summary in the directory row that begins at `row`. */
function mergeSummary(words: Float64Array, row: number, lane: Lane, target: Float64Array): void {
  if (lane.rowAtom >= 0) target[ROWS] = target[ROWS]! + words[row + lane.rowAtom]!;
  if (lane.field < 0) return;
  const atom = row + lane.atom;
  target[0] = target[0]! + words[atom]!;
  if (lane.needsSum) {
    addTo(target, 0, words[atom + 1]!);
    const low = words[atom + 2]!;
    if (low !== 0) addLow(target, low);
  }
  if (lane.needsExtremes) {
    const least = words[atom + 3]!;
    const greatest = words[atom + 4]!;
    if (least < target[3]! || Number.isNaN(least)) target[3] = least;
    if (greatest > target[4]!) target[4] = greatest;
  }
}

/** A low part joins the low part, exactly or NaN. */
function addLow(target: Float64Array, x: number): void {
  const low = target[2]!;
  const total = low + x;
  const second = total - low;
  target[2] = low - (total - second) + (x - second) === 0 ? total : Number.NaN;
}

/** The first index whose event time is at or after `edge`. */
function firstAtOrAfter(view: View, edge: number): number {
  const { words, n, event } = view;
  if (n === 0 || words[event]! >= edge) return 0;
  if (words[event + n - 1]! < edge) return n;
  let low = 1;
  let high = n - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (words[event + middle]! < edge) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Event times below this are below the upper end (instants are whole microseconds). */
const upperEdge = (t: Instant, offset: number, includeCurrent: boolean): number =>
  t - offset + (includeCurrent ? 1 : 0);

interface Pending {
  readonly segment: number;
  readonly lane: number;
  readonly window: number;
}

function readLanes(
  reader: OnlineReader,
  head: View,
  directory: Directory,
  t: Instant,
  open: (segment: number) => View,
): void {
  const { lanes } = reader;
  const { words, base } = head;
  const stride = directoryStride(reader.group);
  const regularHead = words[base + WORD.maxFrom]! <= t && words[base + WORD.minUntil]! > t;
  const pending: Pending[] = [];
  for (let laneIndex = 0; laneIndex < lanes.length; laneIndex++) {
    const lane = lanes[laneIndex]!;
    const { windows } = lane;
    const slot = lane.slot * SLOT;
    const last = windows.length;
    const upper = upperEdge(t, lane.offset, lane.includeCurrent);
    const bottom = t - lane.offset;
    clear(running, 0);
    let end = firstAtOrAfter(head, upper);
    let j = 0;
    for (; j < last; j++) {
      const start = Math.min(end, firstAtOrAfter(head, bottom - windows[j]!));
      scan(head, lane, running, 0, start, end, t, regularHead);
      end = start;
      if (start === 0 && head.rows > 0) break;
      snapshot(slot + j * SLOT);
    }
    const { words: rows, start: rowStart } = directory;
    for (let row = head.rows - 1; row >= 0 && j < last; ) {
      const at = rowStart + row * stride;
      const first = rows[at + ROW.key]!;
      const newest = rows[at + ROW.maxEvent]!;
      const lower = bottom - windows[j]!;
      if (newest < lower) {
        snapshot(slot + j * SLOT);
        j++;
      } else if (first >= upper || rows[at + ROW.minFrom]! > t) row--;
      else if (newest < upper && rows[at + ROW.maxFrom]! <= t && rows[at + ROW.minUntil]! > t) {
        if (first >= lower) {
          mergeSummary(rows, at, lane, running);
          row--;
        } else {
          pending.push({ segment: rows[at + ROW.id]!, lane: laneIndex, window: j });
          snapshot(slot + j * SLOT);
          j++;
        }
      } else {
        for (let k = j; k < last; k++) {
          pending.push({ segment: rows[at + ROW.id]!, lane: laneIndex, window: k });
        }
        row--;
      }
    }
    for (; j < last; j++) snapshot(slot + j * SLOT);
  }
  if (pending.length === 0) return;
  pending.sort((a, b) => a.segment - b.segment);
  let opened = -1;
  let view = head;
  let regular = false;
  for (const { segment, lane: laneIndex, window } of pending) {
    if (segment !== opened) {
      opened = segment;
      view = open(segment);
      regular = view.words[view.base + WORD.maxFrom]! <= t && view.words[view.base + WORD.minUntil]! > t;
    }
    const lane = lanes[laneIndex]!;
    const at = (lane.slot + window) * SLOT;
    const end = firstAtOrAfter(view, upperEdge(t, lane.offset, lane.includeCurrent));
    const start = Math.min(end, firstAtOrAfter(view, t - lane.offset - lane.windows[window]!));
    scan(view, lane, slots, at, start, end, t, regular);
  }
}

/** Is any record of the entity known at t? */
function isKnown(
  reader: OnlineReader,
  head: View,
  directory: Directory,
  t: Instant,
  open: (segment: number) => View,
): boolean {
  const { words, base } = head;
  if (words[base + WORD.liveGhosts]! > 0 || anyVisible(head, t)) return true;
  const ghosts = words[base + WORD.ghosts]!;
  if (ghosts > 0 && words[base + WORD.header + ghosts - 1]! > t) return true;
  const stride = directoryStride(reader.group);
  const unsure: number[] = [];
  for (let row = directory.rows - 1; row >= 0; row--) {
    const at = directory.start + row * stride;
    if (directory.words[at + ROW.minFrom]! > t) continue;
    if (directory.words[at + ROW.minUntil]! > t) return true;
    unsure.push(directory.words[at + ROW.id]!);
  }
  return unsure.some((segment) => anyVisible(open(segment), t));
}

const isVisible = ({ words, from, until }: View, i: number, t: Instant): boolean =>
  words[from + i]! <= t && (until < 0 || words[until + i]! > t);

function anyVisible(view: View, t: Instant): boolean {
  for (let i = view.n - 1; i >= 0; i--) if (isVisible(view, i, t)) return true;
  return false;
}

interface Place {
  readonly view: View;
  readonly index: number;
}

/** The members of a lens in order, or only the newest `limit` of them (of which nulls count only when `nulls`), or the oldest. */
function collect(
  reader: OnlineReader,
  head: View,
  directory: Directory,
  lens: Lens,
  t: Instant,
  open: (segment: number) => View,
  want: {
    readonly newest: number;
    readonly nulls: boolean;
    readonly oldest: boolean;
    readonly field: number;
  },
): readonly Place[] {
  const upper = upperEdge(t, lens.offset, lens.includeCurrent);
  const lower = lens.window === null ? Number.NEGATIVE_INFINITY : t - lens.offset - lens.window;
  const stride = directoryStride(reader.group);
  const found: Place[] = [];
  let enough = 0;
  const limit = want.oldest ? 1 : want.newest;
  /** False when enough were found. */
  const visit = (view: View): boolean => {
    const { words, bytes } = view;
    const end = firstAtOrAfter(view, upper);
    const start = firstAtOrAfter(view, lower);
    const mask = lens.mask < 0 ? -1 : view.masks + lens.mask * view.maskStride;
    for (let step = 0; step < end - start; step++) {
      const index = want.oldest ? start + step : end - 1 - step;
      if (!isVisible(view, index, t)) continue;
      if (mask >= 0 && bytes[mask + index] !== 1) continue;
      if (!want.nulls && limit !== Number.POSITIVE_INFINITY && !want.oldest && want.field >= 0) {
        if (Number.isNaN(words[view.fields + want.field * view.capacity + index]!)) continue;
      }
      found.push({ view, index });
      if (++enough >= limit) return false;
    }
    return true;
  };
  const rows: number[] = [];
  for (let row = 0; row < directory.rows; row++) {
    const at = directory.start + row * stride;
    if (
      directory.words[at + ROW.maxEvent]! < lower ||
      directory.words[at + ROW.key]! >= upper ||
      directory.words[at + ROW.minFrom]! > t
    )
      continue;
    rows.push(directory.words[at + ROW.id]!);
  }
  if (want.oldest) {
    if (rows.every((segment) => visit(open(segment)))) visit(head);
    return found;
  }
  if (visit(head)) {
    for (let row = rows.length - 1; row >= 0; row--) if (!visit(open(rows[row]!))) break;
  }
  return found.reverse();
}

type Finished = readonly [Value, 'ok' | 'empty' | 'error'];

/** (high + low) / n, correctly rounded: a quotient whose residue shows it is nearest, or exact integers. */
function exactMean(high: number, low: number, n: number): number | null {
  if (low === 0) return high / n + 0;
  const size = Math.abs(high);
  if (size > 1e-200 && size < 1e200) {
    const quotient = (high + low) / n;
    const product = quotient * n;
    const residue = high - product + (low - productError(quotient, n, product));
    if (Math.abs(residue) < Math.abs(quotient) * n * 2 ** -54 * 0.999) return quotient;
  }
  const sum = exactSum();
  addExact(sum, high);
  addExact(sum, low);
  const { m, exponent } = exactValue(sum);
  return roundRatio(m, BigInt(n), exponent);
}

/** What reads need beyond the head and its summaries: segments, dictionaries, members. Made when first needed. */
interface Depth {
  generic(read: GenericRead): Finished;
  lookup(read: LookupRead): readonly [Value, Status] | null;
  isKnown(): boolean;
}

const CURRENT: Lens = { window: null, offset: 0, includeCurrent: true, mask: -1 };
const NEWEST = { newest: 1, nulls: true, oldest: false, field: -1 };

function depth(
  reader: OnlineReader,
  stored: Uint8Array,
  at: Instant,
  fetchDirectory: () => Uint8Array,
  fetch: (segment: number) => Uint8Array,
): Depth {
  const { group } = reader;
  const head = viewOf(group, stored);
  const directory = directoryOf(head, () => owned(fetchDirectory()));
  const opened = new Map<number, View>();
  const keep = (segment: number): View => {
    let view = opened.get(segment);
    if (!view) {
      view = viewOf(group, owned(fetch(segment)));
      opened.set(segment, view);
    }
    return view;
  };
  const tails = new Map<View, readonly (Value[] | null)[]>();
  const valueAt = (place: Place, field: number): Value => {
    const word = place.view.words[place.view.fields + field * place.view.capacity + place.index]!;
    const type = group.fields[field]!.type.kind;
    if (type === 'float64' || type === 'timestamp' || type === 'date')
      return Number.isNaN(word) ? null : word;
    let dictionaries = tails.get(place.view);
    if (!dictionaries) {
      dictionaries = readTail(group, place.view).dictionaries;
      tails.set(place.view, dictionaries);
    }
    return fieldValue(group, dictionaries[field]!, field, word);
  };
  const eventTimeOf = ({ view, index }: Place): Instant => view.words[view.event + index]!;
  const predicateAt = ({ view, index }: Place, mask: number): boolean | null => {
    const flag = view.bytes[view.masks + mask * view.maskStride + index];
    return flag === 2 ? null : flag === 1;
  };
  return {
    isKnown: () => isKnown(reader, head, directory, at, keep),
    lookup: (read) => {
      const [place] = collect(reader, head, directory, CURRENT, at, keep, NEWEST);
      if (!place) return null;
      const age = at - eventTimeOf(place);
      if (read.maxAge !== null && age > read.maxAge) return [null, 'expired'];
      return [read.output === 'age_seconds' ? age / MICROS_PER_SECOND : valueAt(place, read.field), 'ok'];
    },
    generic: (read) => {
      const { fold, field, by, ratioMask, group: category } = read;
      const state = fold.init();
      for (const place of collect(reader, head, directory, read.lens, at, keep, read)) {
        const value = field < 0 ? null : valueAt(place, field);
        const order = ratioMask >= 0 ? predicateAt(place, ratioMask) : by < 0 ? null : valueAt(place, by);
        const member = { eventTime: eventTimeOf(place), value, by: order };
        if (category < 0) fold.add(state, member);
        else {
          const name = valueAt(place, category);
          fold.add(state, {
            ...member,
            group: name === null ? null : categoryText(group.fields[category]!.type, name),
          });
        }
      }
      const value = fold.finish(state, at);
      return [value, statusOfValue(fold, state, value)];
    },
  };
}

function neverSeen(reader: OnlineReader, at: Instant): OnlineRow {
  return {
    values: reader.reads.map((read) =>
      read.kind === 'lookup' ? null : read.generic.fold.finish(read.generic.fold.init(), at),
    ),
    statuses: reader.reads.map(() => 'never_seen'),
  };
}

/** Reads one entity of the group stored under `number`. REQUEST_INVALID before what retention keeps. */
export function readEntity(
  store: BytesReader,
  reader: OnlineReader,
  number: number,
  keyValues: readonly Value[],
  at: Instant,
  floor: Floor,
): OnlineRow {
  const { group, reads } = reader;
  if (floor !== null && (reader.span === null || at < floor + reader.span)) {
    throw new MillraceError(
      'REQUEST_INVALID',
      `the online store keeps ${group.id} from ${printInstant(floor)} on: too little for a read at ${printInstant(at)}`,
    );
  }
  const key = entityKey(number, keyValues);
  let stored = key === null ? undefined : store.get(key);
  if (key === null || stored === undefined) return neverSeen(reader, at);
  if (reader.deep) stored = owned(stored);
  let view = viewOf(group, stored);
  if (view.apart && !reader.deep) view = viewOf(group, owned(stored));
  let tuple: Uint8Array | null = null;
  const entity = (): Uint8Array => (tuple ??= tupleOf(group, key, () => store.get(key)!));
  const fetchDirectory = (): Uint8Array => {
    const bytes = store.get(storeKey(number, KIND.directory, entity()));
    invariant(bytes, 'the directory of an entity is missing');
    return bytes;
  };
  const fetch = (segment: number): Uint8Array => {
    const bytes = store.get(storeKey(number, KIND.segment, entity(), segment));
    invariant(bytes, `segment ${segment} of an entity is missing`);
    return bytes;
  };
  let deeper: Depth | null = null;
  let known = anyVisible(view, at) ? true : null;
  if (reader.lanes.length > 0) {
    if (slots.length < reader.slots * SLOT) slots = new Float64Array(reader.slots * SLOT);
    readLanes(reader, view, directoryOf(view, fetchDirectory), at, (segment) =>
      viewOf(group, fetch(segment)),
    );
  }
  const values: Value[] = [];
  const statuses: Status[] = [];
  for (let i = 0; i < reads.length; i++) {
    const read = reads[i]!;
    let value: Value = null;
    let status: Status | null = null;
    if (read.kind === 'summed') {
      const slot = (reader.lanes[read.lane]!.slot + read.window) * SLOT;
      const n = slots[slot + (read.field < 0 ? ROWS : 0)]!;
      if (read.function === 'count') {
        value = n;
        status = n === 0 ? 'empty' : 'ok';
      } else if (n === 0) status = 'empty';
      else {
        value = finishSummed(read.function, read.type, slot);
        if (value !== null) status = 'ok';
      }
    }
    if (status === null) {
      deeper ??= depth(reader, reader.deep ? stored : owned(store.get(key)!), at, fetchDirectory, fetch);
      [value, status] = (read.kind === 'lookup' ? deeper.lookup(read) : deeper.generic(read.generic)) ?? [
        null,
        'empty',
      ];
    }
    if (status === 'empty') {
      if (known === null) {
        deeper ??= depth(reader, reader.deep ? stored : owned(store.get(key)!), at, fetchDirectory, fetch);
        known = deeper.isKnown();
      }
      if (!known) status = 'never_seen';
    }
    values.push(value);
    statuses.push(status);
  }
  return { values, statuses };
}

/** What an accumulator of at least one value says; null when it cannot say it exactly. */
function finishSummed(name: Summed, type: ValueType, at: number): number | null {
  if (name === 'min' || name === 'max') {
    const least = slots[at + 3]!;
    return Number.isNaN(least) ? null : name === 'min' ? least : slots[at + 4]!;
  }
  const high = slots[at + 1]!;
  const low = slots[at + 2]!;
  if (Number.isNaN(low)) return null;
  if (type.kind === 'float64') {
    const value = name === 'sum' ? high + low + 0 : exactMean(high, low, slots[at]!);
    return value !== null && Number.isFinite(value) ? value : null;
  }
  if (low !== 0 || !Number.isSafeInteger(high)) return null;
  if (name === 'sum') return high;
  const divisor = slots[at]! * 10 ** (type.kind === 'decimal' ? type.scale : 0);
  return divisor <= Number.MAX_SAFE_INTEGER ? high / divisor + 0 : null;
}

/** The key tuple of an entity from its store key, or from its stored head where the key is a hash. */
export function tupleOf(group: OnlineReader['group'], key: Uint8Array, head: () => Uint8Array): Uint8Array {
  return isHashed(key) ? readTail(group, viewOf(group, owned(head()))).tuple : key.subarray(5);
}

/** One event as the canonical dump shows it. */
export interface DumpedEvent {
  readonly eventTime: number;
  readonly from: number;
  readonly until: number;
  readonly order: number;
  readonly seq: number;
  readonly values: readonly Value[];
  readonly masks: readonly number[];
}

export interface DumpedEntity {
  readonly key: readonly Value[];
  readonly liveGhosts: number;
  readonly ghosts: readonly number[];
  readonly events: readonly DumpedEvent[];
}

/** All that an entity holds, independent of how it is cut into segments. */
export function dumpEntity(
  store: BytesReader,
  reader: Pick<OnlineReader, 'group'>,
  number: number,
  key: Uint8Array,
): DumpedEntity {
  const { group } = reader;
  const head = viewOf(group, owned(store.get(key)!));
  const tuple = tupleOf(group, key, () => head.bytes);
  const directory = directoryOf(head, () => owned(store.get(storeKey(number, KIND.directory, tuple))!));
  const stride = directoryStride(group);
  const views: View[] = [];
  for (let row = 0; row < head.rows; row++) {
    const id = directory.words[directory.start + row * stride + ROW.id]!;
    views.push(viewOf(group, owned(store.get(storeKey(number, KIND.segment, tuple, id))!)));
  }
  views.push(head);
  const events = views.flatMap((view) => {
    const { dictionaries } = readTail(group, view);
    const { words } = view;
    return Array.from({ length: view.n }, (_, i) => ({
      eventTime: words[view.event + i]!,
      from: words[view.from + i]!,
      until: view.until < 0 ? Number.POSITIVE_INFINITY : words[view.until + i]!,
      order: words[view.order + i]!,
      seq: words[view.seq + i]!,
      values: group.fields.map((_field, field) =>
        fieldValue(group, dictionaries[field]!, field, words[view.fields + field * view.capacity + i]!),
      ),
      masks: group.predicates.map((_predicate, mask) => view.bytes[view.masks + mask * view.maskStride + i]!),
    }));
  });
  const ghosts = head.words[head.base + WORD.ghosts]!;
  const start = head.base + WORD.header;
  return {
    key: decodeTuple(tuple),
    liveGhosts: head.words[head.base + WORD.liveGhosts]!,
    ghosts: [...head.words.subarray(start, start + ghosts)],
    events,
  };
}
