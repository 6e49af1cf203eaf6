/**
 * One walk over an entity's events, from the newest backwards, for all windows of a lane. Whole segments count by
 * their summary; only segments that hold an edge of a window, or a version that is not known throughout, are opened.
 */
import { addSquares, joinSquares } from '../../algebra/quick-spread.js';
import type { Instant } from '../../base/time.js';
import type { Value } from '../../schema/types.js';
import { type Directory, type View, valueAt, WORD } from './block.js';
import { COLUMN, type Lane, type LaneColumn, type LaneEnd, ROW, SUM } from './lanes.js';
import { directoryStride, type OnlineGroup, type OnlineReader } from './plan.js';

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

/** high, low at `at` += x, exactly or low becomes NaN. */
function addTo(at: number, x: number): void {
  const high = slots[at]!;
  const sum = high + x;
  const part = sum - high;
  const error = high - (sum - part) + (x - part);
  slots[at] = sum;
  if (error !== 0) addLow(at, error);
}

/** A low part joins the low part, exactly or NaN. */
function addLow(at: number, x: number): void {
  const low = slots[at + 1]!;
  const total = low + x;
  const second = total - low;
  slots[at + 1] = low - (total - second) + (x - second) === 0 ? total : Number.NaN;
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

/** Adds the summary in the directory row number `row`, which begins at `place`, to the running accumulator. */
function mergeSummary(words: Float64Array, row: number, place: number, lane: Lane, window: number): void {
  const { rowAtom, shares, columns } = lane;
  const count = rowAtom < 0 ? 0 : words[place + rowAtom]!;
  slots[SUM.rows] = slots[SUM.rows]! + count;
  for (let s = 0; s < shares.length; s++) {
    const { at, atom } = shares[s]!;
    slots[at] = slots[at]! + words[place + atom]!;
  }
  for (let c = 0; c < columns.length; c++) {
    const column = columns[c]!;
    if (window >= column.windows) continue;
    const { at } = column;
    const atom = place + column.atom;
    const values = words[atom]!;
    if (values === 0) continue;
    slots[at] = slots[at]! + values;
    if (column.needsSum) {
      addTo(at + COLUMN.high, words[atom + COLUMN.high]!);
      const low = words[atom + COLUMN.low]!;
      if (low !== 0) addLow(at + COLUMN.high, low);
    }
    if (column.needsExtremes) {
      const least = words[atom + COLUMN.least]!;
      const greatest = words[atom + COLUMN.greatest]!;
      if (least < slots[at + COLUMN.least]! || Number.isNaN(least)) slots[at + COLUMN.least] = least;
      if (greatest > slots[at + COLUMN.greatest]!) slots[at + COLUMN.greatest] = greatest;
    }
    if (column.needsSquares)
      joinSquares(
        slots,
        at + COLUMN.squares,
        words[atom + COLUMN.squares]!,
        words[atom + COLUMN.squares + 1]!,
      );
  }
  if (!lane.ends || count === 0) return;
  slots[SUM.oldest] = row;
  slots[SUM.oldestId] = words[place + ROW.id]!;
  slots[SUM.oldestTime] = lane.mask < 0 && lane.oldest.length === 0 ? words[place + ROW.key]! : Number.NaN;
  if (slots[SUM.newest]! >= 0) return;
  slots[SUM.newest] = row;
  slots[SUM.newestId] = words[place + ROW.id]!;
  slots[SUM.newestTime] =
    lane.mask < 0 && lane.newest.length === 0 ? words[place + ROW.maxEvent]! : Number.NaN;
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

export const isRegular = ({ words, base }: View, t: Instant): boolean =>
  words[base + WORD.maxFrom]! <= t && words[base + WORD.minUntil]! > t;

/** Events of a segment that have to be looked at for one window. */
interface Pending {
  readonly row: number;
  readonly id: number;
  readonly lane: Lane;
  readonly window: number;
}

let pending: Pending[] = [];

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
    else if (newest < upper && rows[at + ROW.maxFrom]! <= t && rows[at + ROW.minUntil]! > t) {
      if (first >= lower) {
        mergeSummary(rows, row, at, lane, j);
        row--;
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
