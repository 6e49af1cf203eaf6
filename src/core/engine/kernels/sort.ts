/** Sorting of row numbers: by entity in linear time, inside an entity by blocks and merges. */

export interface Grouped {
  /** Row numbers, entity by entity; inside an entity in input order. */
  readonly rows: Int32Array;
  /** Rows of entity e are rows[offsets[e]] .. rows[offsets[e + 1] - 1]. */
  readonly offsets: Int32Array;
}

/** Counting sort by entity; rows with a negative entity are left out. */
export function groupByEntity(entity: Int32Array, rows: number, entities: number): Grouped {
  const offsets = new Int32Array(entities + 1);
  let kept = 0;
  for (let i = 0; i < rows; i++) {
    const e = entity[i]!;
    if (e < 0) continue;
    offsets[e + 1] = offsets[e + 1]! + 1;
    kept++;
  }
  for (let e = 0; e < entities; e++) offsets[e + 1] = offsets[e + 1]! + offsets[e]!;
  const next = offsets.slice(0, entities);
  const sorted = new Int32Array(kept);
  for (let i = 0; i < rows; i++) {
    const e = entity[i]!;
    if (e < 0) continue;
    const at = next[e]!;
    sorted[at] = i;
    next[e] = at + 1;
  }
  return { rows: sorted, offsets };
}

const BLOCK = 32;
let spare = new Int32Array(1024);

/** Sorts items[start..end) stably: insertion in blocks of 32, then bottom-up merges. Linear when already sorted. */
export function sortRange(
  items: Int32Array,
  start: number,
  end: number,
  compare: (a: number, b: number) => number,
): void {
  let sorted = true;
  for (let i = start + 1; i < end && sorted; i++) sorted = compare(items[i - 1]!, items[i]!) <= 0;
  if (sorted) return;
  for (let low = start; low < end; low += BLOCK) {
    const high = Math.min(low + BLOCK, end);
    for (let i = low + 1; i < high; i++) {
      const item = items[i]!;
      let j = i - 1;
      while (j >= low && compare(items[j]!, item) > 0) {
        items[j + 1] = items[j]!;
        j--;
      }
      items[j + 1] = item;
    }
  }
  const size = end - start;
  if (size <= BLOCK) return;
  if (spare.length < size) spare = new Int32Array(Math.max(size, spare.length * 2));
  for (let width = BLOCK; width < size; width *= 2) {
    for (let low = start; low + width < end; low += 2 * width) {
      const middle = low + width;
      const high = Math.min(low + 2 * width, end);
      if (compare(items[middle - 1]!, items[middle]!) <= 0) continue;
      const left = width;
      for (let i = 0; i < left; i++) spare[i] = items[low + i]!;
      let i = 0;
      let j = middle;
      let out = low;
      while (i < left && j < high) {
        if (compare(spare[i]!, items[j]!) <= 0) items[out++] = spare[i++]!;
        else items[out++] = items[j++]!;
      }
      while (i < left) items[out++] = spare[i++]!;
    }
  }
}

const RADIX_FROM = 512;
const DIGIT_BITS = 11;
const DIGITS = 1 << DIGIT_BITS;
const histogram = new Int32Array(DIGITS);
let places = new Int32Array(0);
let otherPlaces = new Int32Array(0);
let spareKeys = new Float64Array(0);
let spareRows = new Int32Array(0);

function reserve(size: number): void {
  if (places.length >= size) return;
  const length = Math.max(1024, size, 2 * places.length);
  places = new Int32Array(length);
  otherPlaces = new Int32Array(length);
  spareKeys = new Float64Array(length);
  spareRows = new Int32Array(length);
}

/**
 * Sorts rows[start..end) by `times[row]` (integers), rows of one time by `ties`, and leaves the sorted times in
 * `keys[0..end - start)`. Linear when already sorted; otherwise keys are gathered once, so that the sort itself reads
 * memory in order: digits of 11 bits from the lowest up for many rows, blocks and merges for few.
 */
export function sortByTime(
  rows: Int32Array,
  start: number,
  end: number,
  times: Float64Array,
  keys: Float64Array,
  ties: (a: number, b: number) => number,
): void {
  const size = end - start;
  if (size === 0) return;
  let least = times[rows[start]!]!;
  let greatest = least;
  let sorted = true;
  let tied = false;
  keys[0] = least;
  for (let i = 1; i < size; i++) {
    const time = times[rows[start + i]!]!;
    keys[i] = time;
    if (time <= keys[i - 1]!) {
      if (time < keys[i - 1]!) sorted = false;
      else tied = true;
    }
    if (time < least) least = time;
    if (time > greatest) greatest = time;
  }
  if (!sorted) {
    reserve(size);
    if (size < RADIX_FROM || greatest - least > Number.MAX_SAFE_INTEGER) sortPairs(keys, rows, start, size);
    else {
      for (let i = 0; i < size; i++) places[i] = i;
      sortDigits(keys, size, least, greatest);
      for (let i = 0; i < size; i++) {
        spareKeys[i] = keys[places[i]!]!;
        spareRows[i] = rows[start + places[i]!]!;
      }
      for (let i = 0; i < size; i++) {
        keys[i] = spareKeys[i]!;
        rows[start + i] = spareRows[i]!;
      }
    }
    for (let i = 1; i < size && !tied; i++) tied = keys[i] === keys[i - 1];
  }
  if (!tied) return;
  for (let i = 0; i < size; ) {
    let next = i + 1;
    while (next < size && keys[next] === keys[i]) next++;
    if (next - i > 1) sortRange(rows, start + i, start + next, ties);
    i = next;
  }
}

/** `keys` and the rows beside them in the order of keys, stable: as `sortRange`, without a call for each comparison. */
function sortPairs(keys: Float64Array, rows: Int32Array, start: number, size: number): void {
  for (let low = 0; low < size; low += BLOCK) {
    const high = Math.min(low + BLOCK, size);
    for (let i = low + 1; i < high; i++) {
      const key = keys[i]!;
      if (keys[i - 1]! <= key) continue;
      const row = rows[start + i]!;
      let j = i - 1;
      while (j >= low && keys[j]! > key) {
        keys[j + 1] = keys[j]!;
        rows[start + j + 1] = rows[start + j]!;
        j--;
      }
      keys[j + 1] = key;
      rows[start + j + 1] = row;
    }
  }
  for (let width = BLOCK; width < size; width *= 2) {
    for (let low = 0; low + width < size; low += 2 * width) {
      const middle = low + width;
      const high = Math.min(low + 2 * width, size);
      const least = keys[middle]!;
      let begin = low;
      while (begin < middle && keys[begin]! <= least) begin++;
      if (begin === middle) continue;
      const left = middle - begin;
      for (let i = 0; i < left; i++) {
        spareKeys[i] = keys[begin + i]!;
        spareRows[i] = rows[start + begin + i]!;
      }
      let i = 0;
      let j = middle;
      let out = begin;
      while (i < left && j < high) {
        if (spareKeys[i]! <= keys[j]!) {
          keys[out] = spareKeys[i]!;
          rows[start + out++] = spareRows[i++]!;
        } else {
          keys[out] = keys[j]!;
          rows[start + out++] = rows[start + j++]!;
        }
      }
      while (i < left) {
        keys[out] = spareKeys[i]!;
        rows[start + out++] = spareRows[i++]!;
      }
    }
  }
}

/** `places` in the order of their keys, stable. */
function sortDigits(keys: Float64Array, size: number, least: number, greatest: number): void {
  const bits = Math.floor(Math.log2(greatest - least)) + 1;
  for (let shift = 0; shift < bits; shift += DIGIT_BITS) {
    const unit = 2 ** shift;
    histogram.fill(0);
    for (let i = 0; i < size; i++) {
      const digit = digitOf(keys[i]! - least, unit);
      histogram[digit] = histogram[digit]! + 1;
    }
    for (let digit = 0, total = 0; digit < DIGITS; digit++) {
      const n = histogram[digit]!;
      histogram[digit] = total;
      total += n;
    }
    for (let i = 0; i < size; i++) {
      const place = places[i]!;
      const digit = digitOf(keys[place]! - least, unit);
      const at = histogram[digit]!;
      otherPlaces[at] = place;
      histogram[digit] = at + 1;
    }
    [places, otherPlaces] = [otherPlaces, places];
  }
}

const digitOf = (difference: number, unit: number): number => (difference / unit) & (DIGITS - 1);
