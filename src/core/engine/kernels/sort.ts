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
