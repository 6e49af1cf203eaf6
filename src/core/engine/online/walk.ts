/**
 * One walk over an entity's events, from the newest backwards, for all windows of a lane. Whole segments count by
 * their summary; only segments that hold an edge of a window, or a version that is not known throughout, are opened.
 */
import { addSquares, joinSquares } from '../../algebra/quick-spread.js';
import type { Instant } from '../../base/time.js';
import type { Value } from '../../schema/types.js';
import { COLUMN, type Lane, type LaneColumn, type LaneEnd, ROW, SUM } from './lanes.js';
import { WORD } from './layout.js';
import { directoryStride, type OnlineGroup, type OnlineReader } from './plan.js';
import { type Directory, type View, valueAt } from './view.js';

/** The running accumulator, then those of the windows of each lane. Valid until the next walk. */
export let slots = new Float64Array(1024);
/** Values at ends that are no doubles, by the place of their word. */
export const held: Value[] = [];

let chosen = new Int32Array(512);
let gathered = new Float64Array(512);

function clear(lane: Lane): void {
  slots.fill(0, 0, lane.size);
  slots[SUM.oldest] = Number.POSITIVE_INFINITY;
  slots[SUM.newest] = -1;
  for (const { at } of lane.columns) {
    slots[at + COLUMN.least] = Number.POSITIVE_INFINITY;
    slots[at + COLUMN.greatest] = Number.NEGATIVE_INFINITY;
  }
}

function copy(lane: Lane, from: number, to: number): void {
  for (let i = 0; i < lane.size; i++) slots[to + i] = slots[from + i]!;
  for (const { at } of lane.oldest) held[to + at] = held[from + at]!;
  for (const { at } of lane.newest) held[to + at] = held[from + at]!;
}

const snapshot = (lane: Lane, window: number): void => copy(lane, 0, lane.base + window * lane.size);

/** A low part joined by another, exactly or NaN. */
function joinLow(low: number, x: number): number {
  const total = low + x;
  const second = total - low;
  return low - (total - second) + (x - second) === 0 ? total : Number.NaN;
}

/** Adds the values [from, to), NaN for null, to a column of an accumulator. */
function accumulate(column: LaneColumn, at: number, values: Float64Array, from: number, to: number): void {
  const { needsSum, needsExtremes } = column;
  let count = slots[at]!;
  let high = slots[at + COLUMN.high]!;
  let low = slots[at + COLUMN.low]!;
  let least = slots[at + COLUMN.least]!;
  let greatest = slots[at + COLUMN.greatest]!;
  for (let i = from; i < to; i++) {
    const x = values[i]!;
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
  slots[at] = count;
  slots[at + COLUMN.high] = high;
  slots[at + COLUMN.low] = low;
  slots[at + COLUMN.least] = least;
  slots[at + COLUMN.greatest] = greatest;
  if (column.needsSquares) addSquares(slots, at + COLUMN.squares, values, from, to);
}

export const isVisible = ({ words, from, until }: View, i: number, t: Instant): boolean =>
  words[from + i]! <= t && (until < 0 || words[until + i]! > t);

/** Indexes of the events [start, end) that are visible and of which the predicate is true; how many. */
function choose(view: View, mask: number, start: number, end: number, t: Instant, regular: boolean): number {
  if (chosen.length < end - start) {
    chosen = new Int32Array(end - start);
    gathered = new Float64Array(end - start);
  }
  const truths = view.masks + mask * view.maskStride;
  let count = 0;
  for (let i = start; i < end; i++) {
    if (mask >= 0 && view.bytes[truths + i] !== 1) continue;
    if (regular || isVisible(view, i, t)) chosen[count++] = i;
  }
  return count;
}

function takeValue(
  group: OnlineGroup,
  view: View,
  { field, at, plain }: LaneEnd,
  slot: number,
  index: number,
): void {
  if (plain) slots[slot + at] = view.words[view.fields + field * view.capacity + index]!;
  else held[slot + at] = valueAt(group, view, field, index);
}

function takeOldest(group: OnlineGroup, lane: Lane, view: View, slot: number, index: number): void {
  slots[slot + SUM.oldestTime] = view.words[view.event + index]!;
  for (const end of lane.oldest) takeValue(group, view, end, slot, index);
}

function takeNewest(group: OnlineGroup, lane: Lane, view: View, slot: number, index: number): void {
  slots[slot + SUM.newestTime] = view.words[view.event + index]!;
  for (const end of lane.newest) takeValue(group, view, end, slot, index);
}

/** Adds the visible events [start, end) of a block, whose directory row is `row`, for one window. */
function scan(
  group: OnlineGroup,
  lane: Lane,
  window: number,
  slot: number,
  view: View,
  row: number,
  start: number,
  end: number,
  t: Instant,
  regular: boolean,
): void {
  if (start >= end) return;
  const { words, bytes } = view;
  const { mask, shares, columns } = lane;
  const whole = regular && mask < 0;
  const count = whole ? end - start : choose(view, mask, start, end, t, regular);
  if (count === 0) return;
  slots[slot] = slots[slot]! + count;
  for (let s = 0; s < shares.length; s++) {
    const { also, at } = shares[s]!;
    const truths = view.masks + also * view.maskStride;
    let trues = 0;
    if (whole) {
      for (let i = start; i < end; i++) if (bytes[truths + i] === 1) trues++;
    } else for (let i = 0; i < count; i++) if (bytes[truths + chosen[i]!] === 1) trues++;
    slots[slot + at] = slots[slot + at]! + trues;
  }
  for (let c = 0; c < columns.length; c++) {
    const column = columns[c]!;
    if (window >= column.windows) continue;
    const at = slot + column.at;
    const first = view.fields + column.field * view.capacity;
    if (whole) accumulate(column, at, words, first + start, first + end);
    else {
      for (let i = 0; i < count; i++) gathered[i] = words[first + chosen[i]!]!;
      accumulate(column, at, gathered, 0, count);
    }
    if (words[view.base + WORD.indexed]! > 0) {
      slots[at + COLUMN.low] = Number.NaN;
      slots[at + COLUMN.least] = Number.NaN;
    }
  }
  if (!lane.ends) return;
  if (row <= slots[slot + SUM.oldest]!) {
    slots[slot + SUM.oldest] = row;
    takeOldest(group, lane, view, slot, whole ? start : chosen[0]!);
  }
  if (row > slots[slot + SUM.newest]!) {
    slots[slot + SUM.newest] = row;
    takeNewest(group, lane, view, slot, whole ? end - 1 : chosen[count - 1]!);
  }
}

/** Adds the summaries in the directory rows [first, last], newest first, to the running accumulator. */
function mergeSummaries(
  { words, start }: Directory,
  stride: number,
  first: number,
  last: number,
  lane: Lane,
  window: number,
): void {
  const { shares, columns } = lane;
  for (let s = 0; s < shares.length; s++) {
    const { at, atom } = shares[s]!;
    for (let row = last; row >= first; row--) slots[at] = slots[at]! + words[start + row * stride + atom]!;
  }
  for (let c = 0; c < columns.length; c++) {
    const column = columns[c]!;
    if (window < column.windows) mergeColumn(words, start + column.atom, stride, first, last, column);
  }
  if (lane.rowAtom >= 0) mergeRows(words, start, stride, first, last, lane);
}

function mergeColumn(
  words: Float64Array,
  atoms: number,
  stride: number,
  first: number,
  last: number,
  { at, needsSum, needsExtremes, needsSquares }: LaneColumn,
): void {
  let count = slots[at]!;
  let high = slots[at + COLUMN.high]!;
  let low = slots[at + COLUMN.low]!;
  let least = slots[at + COLUMN.least]!;
  let greatest = slots[at + COLUMN.greatest]!;
  for (let row = last; row >= first; row--) {
    const atom = atoms + row * stride;
    const values = words[atom]!;
    if (values === 0) continue;
    count += values;
    if (needsSum) {
      const x = words[atom + COLUMN.high]!;
      const sum = high + x;
      const part = sum - high;
      const error = high - (sum - part) + (x - part);
      high = sum;
      if (error !== 0) low = joinLow(low, error);
      const rest = words[atom + COLUMN.low]!;
      if (rest !== 0) low = joinLow(low, rest);
    }
    if (needsExtremes) {
      const small = words[atom + COLUMN.least]!;
      const large = words[atom + COLUMN.greatest]!;
      if (small < least || Number.isNaN(small)) least = small;
      if (large > greatest) greatest = large;
    }
    if (needsSquares)
      joinSquares(
        slots,
        at + COLUMN.squares,
        words[atom + COLUMN.squares]!,
        words[atom + COLUMN.squares + 1]!,
      );
  }
  slots[at] = count;
  slots[at + COLUMN.high] = high;
  slots[at + COLUMN.low] = low;
  slots[at + COLUMN.least] = least;
  slots[at + COLUMN.greatest] = greatest;
}

/** How many events the rows have, and the rows in which the ends stand. */
function mergeRows(
  words: Float64Array,
  start: number,
  stride: number,
  first: number,
  last: number,
  lane: Lane,
): void {
  const { rowAtom } = lane;
  let total = slots[SUM.rows]!;
  let oldest = -1;
  let newest = -1;
  for (let row = last; row >= first; row--) {
    const count = words[start + row * stride + rowAtom]!;
    if (count === 0) continue;
    total += count;
    oldest = row;
    if (newest < 0) newest = row;
  }
  slots[SUM.rows] = total;
  if (!lane.ends || newest < 0) return;
  const at = start + oldest * stride;
  slots[SUM.oldest] = oldest;
  slots[SUM.oldestId] = words[at + ROW.id]!;
  slots[SUM.oldestTime] = lane.mask < 0 && lane.oldest.length === 0 ? words[at + ROW.key]! : Number.NaN;
  if (slots[SUM.newest]! >= 0) return;
  const from = start + newest * stride;
  slots[SUM.newest] = newest;
  slots[SUM.newestId] = words[from + ROW.id]!;
  slots[SUM.newestTime] =
    lane.mask < 0 && lane.newest.length === 0 ? words[from + ROW.maxEvent]! : Number.NaN;
}

/** The first index below `limit` whose event time is at or after `edge`; `limit` when there is none. */
export function firstAtOrAfter(view: View, edge: number, limit: number): number {
  const { words, event } = view;
  if (limit === 0 || words[event]! >= edge) return 0;
  if (words[event + limit - 1]! < edge) return limit;
  let low = 1;
  let high = limit - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (words[event + middle]! < edge) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Event times below this are below the upper end (instants are whole microseconds). */
export const upperEdge = (t: Instant, offset: number, includeCurrent: boolean): number =>
  t - offset + (includeCurrent ? 1 : 0);

const isRegular = ({ words, base }: View, t: Instant): boolean =>
  words[base + WORD.maxFrom]! <= t && words[base + WORD.minUntil]! > t;

/** Events of a segment that have to be looked at for one window. */
interface Pending {
  readonly row: number;
  readonly id: number;
  readonly lane: Lane;
  readonly window: number;
}

let pending: Pending[] = [];

/** Are all events of the directory row at `at` known at t? */
const isKnownThroughout = (rows: Float64Array, at: number, t: Instant): boolean =>
  rows[at + ROW.maxFrom]! <= t && rows[at + ROW.minUntil]! > t;

function walkLane(reader: OnlineReader, lane: Lane, head: View, directory: Directory, t: Instant): void {
  const { group } = reader;
  const { windows } = lane;
  const last = windows.length;
  const upper = upperEdge(t, lane.offset, lane.includeCurrent);
  const bottom = t - lane.offset;
  const regular = isRegular(head, t);
  clear(lane);
  let end = firstAtOrAfter(head, upper, head.n);
  let j = 0;
  for (; j < last; j++) {
    const start = firstAtOrAfter(head, bottom - windows[j]!, end);
    scan(group, lane, j, 0, head, head.rows, start, end, t, regular);
    end = start;
    if (start === 0 && head.rows > 0) break;
    snapshot(lane, j);
  }
  const stride = directoryStride(group);
  const { words: rows, start: rowStart } = directory;
  for (let row = head.rows - 1; row >= 0 && j < last; ) {
    const at = rowStart + row * stride;
    const first = rows[at + ROW.key]!;
    const newest = rows[at + ROW.maxEvent]!;
    const lower = bottom - windows[j]!;
    if (newest < lower) {
      snapshot(lane, j);
      j++;
    } else if (first >= upper || rows[at + ROW.minFrom]! > t) row--;
    else if (newest < upper && isKnownThroughout(rows, at, t)) {
      if (first >= lower) {
        let oldest = row;
        for (let next = at - stride; oldest > 0; oldest--, next -= stride)
          if (rows[next + ROW.key]! < lower || !isKnownThroughout(rows, next, t)) break;
        mergeSummaries(directory, stride, oldest, row, lane, j);
        row = oldest - 1;
      } else {
        pending.push({ row, id: rows[at + ROW.id]!, lane, window: j });
        snapshot(lane, j);
        j++;
      }
    } else {
      for (let k = j; k < last; k++) pending.push({ row, id: rows[at + ROW.id]!, lane, window: k });
      row--;
    }
  }
  for (; j < last; j++) snapshot(lane, j);
}

/** The first (`step` 1) or last (-1) event of a segment, all of whose events are visible, that a lane takes. */
function endOf(view: View, { mask }: Lane, step: 1 | -1): number {
  const truths = view.masks + mask * view.maskStride;
  let index = step === 1 ? 0 : view.n - 1;
  while (mask >= 0 && view.bytes[truths + index] !== 1) index += step;
  return index;
}

/** Looks at ends that stand in segments of which only the summary was read. */
function resolveEnds(group: OnlineGroup, lane: Lane, open: (segment: number) => View): void {
  for (let window = 0; window < lane.windows.length; window++) {
    const slot = lane.base + window * lane.size;
    if (slots[slot + SUM.newest]! < 0) continue;
    if (Number.isNaN(slots[slot + SUM.oldestTime])) {
      const view = open(slots[slot + SUM.oldestId]!);
      takeOldest(group, lane, view, slot, endOf(view, lane, 1));
    }
    if (Number.isNaN(slots[slot + SUM.newestTime])) {
      const view = open(slots[slot + SUM.newestId]!);
      takeNewest(group, lane, view, slot, endOf(view, lane, -1));
    }
  }
}

/**
 * Fills the accumulators of all windows of all lanes. `head` and `directory` are not read any more once `open` is
 * called; what it gives is valid until its next call.
 */
export function walk(
  reader: OnlineReader,
  head: View,
  directory: Directory,
  t: Instant,
  open: (segment: number) => View,
): void {
  const { group, lanes } = reader;
  if (slots.length < reader.words) slots = new Float64Array(reader.words);
  for (let i = 0; i < lanes.length; i++) walkLane(reader, lanes[i]!, head, directory, t);
  let opened = -1;
  let view = head;
  const turn = (segment: number): View => {
    if (segment !== opened) {
      view = open(segment);
      opened = segment;
    }
    return view;
  };
  if (pending.length > 0) {
    const edges = pending;
    pending = [];
    if (lanes.length > 1) edges.sort((a, b) => a.row - b.row);
    for (let i = edges.length - 1; i >= 0; i--) {
      const { row, id, lane, window } = edges[i]!;
      turn(id);
      const bottom = t - lane.offset;
      const end = firstAtOrAfter(view, upperEdge(t, lane.offset, lane.includeCurrent), view.n);
      const start = firstAtOrAfter(view, bottom - lane.windows[window]!, end);
      const slot = lane.base + window * lane.size;
      scan(group, lane, window, slot, view, row, start, end, t, isRegular(view, t));
    }
  }
  for (let i = 0; i < lanes.length; i++) if (lanes[i]!.ends) resolveEnds(group, lanes[i]!, turn);
}
