/** Kernels that find one member: the first, the last, the least, the greatest. */
import type { Kernel } from './kernel.js';
import { LiveSet } from './live-set.js';
import type { Field, Frame, View } from './view.js';

/** Takes the position found for an observation, -1 for none. */
export type Take = (view: View, o: number, position: number) => void;

/** Calls `take` with the first or last member; with a field, the first or last that has a value. */
export function firstOrLast(end: 'first' | 'last', field: Field | null, take: Take): Kernel {
  const live = new LiveSet();
  return (view, frame) => {
    const { entered, left, entering, leaving } = frame;
    const filter = field !== null && field.load().nulls > 0 ? field : null;
    if (frame.inOrder) {
      const near = filter?.nearestValid();
      for (let o = 0; o < view.observations; o++) {
        const low = left[o]!;
        const high = entered[o]!;
        let position = -1;
        if (low < high) {
          position =
            end === 'first' ? (near ? near.next[low]! : low) : near ? near.previous[high - 1]! : high - 1;
          if (position < low || position >= high) position = -1;
        }
        take(view, o, position);
      }
      return;
    }
    live.reset(view.size);
    let e = 0;
    let l = 0;
    for (let o = 0; o < view.observations; o++) {
      for (; e < entered[o]!; e++) if (!filter || filter.valid[entering[e]!] === 1) live.insert(entering[e]!);
      for (; l < left[o]!; l++) if (!filter || filter.valid[leaving[l]!] === 1) live.delete(leaving[l]!);
      take(view, o, end === 'first' ? live.first() : live.last());
    }
  };
}

/** Calls `take` with a member whose value is least or greatest. */
export function leastOrGreatest(end: 'min' | 'max', field: Field, take: Take): Kernel {
  const live = new LiveSet();
  let queue = new Int32Array(1024);
  return (view, frame) => {
    const { entered, left, entering, leaving } = frame;
    field.load();
    const { valid } = field;
    if (frame.inOrder) {
      if (queue.length < view.size) queue = new Int32Array(2 * view.size);
      slide(end, view, frame, field, queue, take);
      return;
    }
    const { positions, ranks } = field.order();
    live.reset(view.size);
    let e = 0;
    let l = 0;
    for (let o = 0; o < view.observations; o++) {
      for (; e < entered[o]!; e++) if (valid[entering[e]!] === 1) live.insert(ranks[entering[e]!]!);
      for (; l < left[o]!; l++) if (valid[leaving[l]!] === 1) live.delete(ranks[leaving[l]!]!);
      const rank = end === 'min' ? live.first() : live.last();
      take(view, o, rank < 0 ? -1 : positions[rank]!);
    }
  };
}

/** A monotonic queue: positions that may still become the extreme, the current one in front. */
function slide(
  end: 'min' | 'max',
  view: View,
  frame: Frame,
  field: Field,
  queue: Int32Array,
  take: Take,
): void {
  const { entered, left } = frame;
  const { values, valid } = field;
  const least = end === 'min';
  let head = 0;
  let tail = 0;
  let next = 0;
  for (let o = 0; o < view.observations; o++) {
    const low = left[o]!;
    if (next < low) next = low;
    for (; next < entered[o]!; next++) {
      if (valid[next] === 0) continue;
      const x = values[next]!;
      if (least) while (tail > head && values[queue[tail - 1]!]! >= x) tail--;
      else while (tail > head && values[queue[tail - 1]!]! <= x) tail--;
      queue[tail++] = next;
    }
    while (head < tail && queue[head]! < low) head++;
    if (head === tail) head = tail = 0;
    take(view, o, head < tail ? queue[head]! : -1);
  }
}
