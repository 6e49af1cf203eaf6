/**
 * Reading an entity at an instant: what one walk over its events has summed up (`walk.ts`), finished; what that cannot
 * say is folded over the events.
 */
import { statusOfValue } from '../../algebra/catalogue.js';
import { categoryText } from '../../algebra/compare.js';
import { addExact, exactSum, exactValue, productError, roundRatio } from '../../algebra/exact.js';
import type { Member } from '../../algebra/fold.js';
import { quickSpread } from '../../algebra/quick-spread.js';
import { invariant, MillraceError } from '../../base/error.js';
import { type Instant, MICROS_PER_SECOND, printInstant } from '../../base/time.js';
import type { Value, ValueType } from '../../schema/types.js';
import type { Status } from '../types.js';
import type { Floor } from './applied.js';
import { decodeTuple, entityKey, isHashed, KIND, storeKey } from './key.js';
import { COLUMN, isPlain, ROW, SUM } from './lanes.js';
import { WORD } from './layout.js';
import {
  directoryStride,
  type GenericRead,
  type LaneRead,
  type Lens,
  type LookupRead,
  type OnlineReader,
} from './plan.js';
import { type Directory, directoryOf, fieldValue, owned, readTail, type View, viewOf } from './view.js';
import { firstAtOrAfter, held, isVisible, slots, upperEdge, walk } from './walk.js';

export interface OnlineRow {
  /** One for each feature of the reader: before the feature's default and widening. */
  readonly values: Value[];
  readonly statuses: Status[];
}

/** What `get` gives is valid until the next call only. */
export interface BytesReader {
  get(key: Uint8Array): Uint8Array | undefined;
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

function anyVisible(view: View, t: Instant): boolean {
  for (let i = view.n - 1; i >= 0; i--) if (isVisible(view, i, t)) return true;
  return false;
}

interface Place {
  readonly view: View;
  readonly index: number;
}

/** The members of a lens in order, or only the newest `limit` of those whose field has a value. */
function collect(
  reader: OnlineReader,
  head: View,
  directory: Directory,
  lens: Lens,
  t: Instant,
  open: (segment: number) => View,
  { newest: limit, field }: Pick<GenericRead, 'newest' | 'field'>,
): readonly Place[] {
  const upper = upperEdge(t, lens.offset, lens.includeCurrent);
  const lower = lens.window === null ? Number.NEGATIVE_INFINITY : t - lens.offset - lens.window;
  const stride = directoryStride(reader.group);
  const found: Place[] = [];
  const limited = limit !== Number.POSITIVE_INFINITY && field >= 0;
  /** False when enough were found. */
  const visit = (view: View): boolean => {
    const { words, bytes } = view;
    const end = firstAtOrAfter(view, upper, view.n);
    const start = firstAtOrAfter(view, lower, end);
    const mask = lens.mask < 0 ? -1 : view.masks + lens.mask * view.maskStride;
    for (let index = end - 1; index >= start; index--) {
      if (!isVisible(view, index, t)) continue;
      if (mask >= 0 && bytes[mask + index] !== 1) continue;
      if (limited && Number.isNaN(words[view.fields + field * view.capacity + index]!)) continue;
      found.push({ view, index });
      if (found.length >= limit) return false;
    }
    return true;
  };
  if (visit(head)) {
    for (let row = directory.rows - 1; row >= 0; row--) {
      const at = directory.start + row * stride;
      if (directory.words[at + ROW.maxEvent]! < lower) break;
      if (directory.words[at + ROW.key]! >= upper || directory.words[at + ROW.minFrom]! > t) continue;
      if (!visit(open(directory.words[at + ROW.id]!))) break;
    }
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
  isKnown(): boolean;
}

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
  const fieldOf = (place: Place, field: number): Value => {
    const word = place.view.words[place.view.fields + field * place.view.capacity + place.index]!;
    if (isPlain(group.fields[field]!.type)) return Number.isNaN(word) ? null : word;
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
  const memberOf = (read: GenericRead, place: Place): Member => {
    const { field, by, ratioMask, group: category } = read;
    const member = {
      eventTime: eventTimeOf(place),
      value: field < 0 ? null : fieldOf(place, field),
      by: ratioMask >= 0 ? predicateAt(place, ratioMask) : by < 0 ? null : fieldOf(place, by),
    };
    if (category < 0) return member;
    const name = fieldOf(place, category);
    return { ...member, group: name === null ? null : categoryText(group.fields[category]!.type, name) };
  };
  const finish = ({ fold }: GenericRead, state: unknown): Finished => {
    const value = fold.finish(state, at);
    return [value, statusOfValue(fold, state, value)];
  };
  const finished = new Map<GenericRead, Finished>();
  /** Windows of one upper end are nested: what is added for one belongs to all wider ones. */
  const readFamily = (family: readonly GenericRead[]): void => {
    const widest = family.at(-1)!;
    const places = collect(reader, head, directory, widest.lens, at, keep, widest);
    const state = widest.fold.init();
    let i = places.length - 1;
    for (const read of family) {
      const { window, offset } = read.lens;
      const lower = window === null ? Number.NEGATIVE_INFINITY : at - offset - window;
      for (; i >= 0 && eventTimeOf(places[i]!) >= lower; i--)
        widest.fold.add(state, memberOf(widest, places[i]!));
      finished.set(read, finish(read, state));
    }
  };
  return {
    isKnown: () => isKnown(reader, head, directory, at, keep),
    generic: (read) => {
      if (read.family !== null) {
        if (!finished.has(read)) readFamily(reader.families.get(read.family)!);
        return finished.get(read)!;
      }
      const state = read.fold.init();
      for (const place of collect(reader, head, directory, read.lens, at, keep, read))
        read.fold.add(state, memberOf(read, place));
      return finish(read, state);
    },
  };
}

const neverSeen = ({ nothing }: OnlineReader): OnlineRow => ({
  values: [...nothing],
  statuses: nothing.map(() => 'never_seen'),
});

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
  if (key === null || stored === undefined) return neverSeen(reader);
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
  const deepen = (): Depth =>
    (deeper ??= depth(reader, reader.deep ? stored : owned(store.get(key)!), at, fetchDirectory, fetch));
  let known = anyVisible(view, at) ? true : null;
  if (reader.lanes.length > 0)
    walk(reader, view, directoryOf(view, fetchDirectory), at, (segment) => viewOf(group, fetch(segment)));
  const values: Value[] = new Array(reads.length);
  const statuses: Status[] = new Array(reads.length);
  for (let i = 0; i < reads.length; i++) {
    const read = reads[i]!;
    let value: Value | undefined;
    let status: Status = 'ok';
    if (read.kind === 'lane') {
      value = laneValue(read, at);
      if (value === undefined) [value, status] = deepen().generic(read.generic);
      else if (value === null ? !isHeldNull(read) : value === 0 && read.function === 'count')
        status = 'empty';
    } else if (read.kind === 'lookup') {
      const age = at - slots[read.accumulator + SUM.newestTime]!;
      value = null;
      if (slots[read.accumulator + SUM.newest]! < 0) status = 'empty';
      else if (read.maxAge !== null && age > read.maxAge) status = 'expired';
      else value = read.output === 'age_seconds' ? age / MICROS_PER_SECOND : endValue(read, read.type);
    } else [value, status] = deepen().generic(read.generic);
    if (status === 'empty') {
      known ??= deepen().isKnown();
      if (!known) status = 'never_seen';
    }
    values[i] = value;
    statuses[i] = status;
  }
  return { values, statuses };
}

const endValue = ({ accumulator, at }: LaneRead | LookupRead, type: ValueType): Value => {
  if (!isPlain(type)) return held[accumulator + at]!;
  const word = slots[accumulator + at]!;
  return Number.isNaN(word) ? null : word;
};

/** A null that stands in an event is a value. */
const isHeldNull = ({ function: name, accumulator }: LaneRead): boolean =>
  (name === 'first' || name === 'last') && slots[accumulator + SUM.newest]! >= 0;

/** What the accumulator of a read says: null when there is nothing, undefined when it cannot say it exactly. */
function laneValue(read: LaneRead, t: Instant): Value | undefined {
  const { function: name, accumulator } = read;
  const place = accumulator + read.at;
  switch (name) {
    case 'count':
      return slots[place]!;
    case 'sum':
    case 'mean':
      return slots[place] === 0 ? null : sumOrMean(name, read, place);
    case 'min':
    case 'max': {
      if (slots[place] === 0) return null;
      const least = slots[place + COLUMN.least]!;
      return Number.isNaN(least) ? undefined : name === 'min' ? least : slots[place + COLUMN.greatest]!;
    }
    case 'ratio': {
      const rows = slots[accumulator]!;
      return rows === 0 ? null : slots[place]! / rows;
    }
    case 'first':
    case 'last':
      return slots[accumulator + SUM.newest]! < 0 ? null : endValue(read, read.type!);
    case 'seconds_since_first':
    case 'seconds_since_last': {
      if (slots[accumulator + SUM.newest]! < 0) return null;
      const time = name === 'seconds_since_first' ? SUM.oldestTime : SUM.newestTime;
      return (t - slots[accumulator + time]!) / MICROS_PER_SECOND;
    }
    default: {
      const correction = name === 'std' || name === 'var' ? 1 : 0;
      const n = slots[place]!;
      if (n < 1 + correction) return null;
      if (slots[place + COLUMN.least] === slots[place + COLUMN.greatest]) return 0;
      const { high, low, squares } = COLUMN;
      return (
        quickSpread(
          n,
          slots[place + high]!,
          slots[place + low]!,
          slots[place + squares]!,
          slots[place + squares + 1]!,
          read.scale,
          correction,
          name === 'std' || name === 'std_pop',
        ) ?? undefined
      );
    }
  }
}

/** Of at least one value. */
function sumOrMean(name: 'sum' | 'mean', { type, scale }: LaneRead, place: number): number | undefined {
  const high = slots[place + COLUMN.high]!;
  const low = slots[place + COLUMN.low]!;
  if (Number.isNaN(low)) return undefined;
  if (type?.kind === 'float64') {
    const value = name === 'sum' ? high + low + 0 : exactMean(high, low, slots[place]!);
    return value !== null && Number.isFinite(value) ? value : undefined;
  }
  if (low !== 0 || !Number.isSafeInteger(high)) return undefined;
  if (name === 'sum') return high;
  const divisor = slots[place]! * 10 ** scale;
  return divisor <= Number.MAX_SAFE_INTEGER ? high / divisor + 0 : undefined;
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
