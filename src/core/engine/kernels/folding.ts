/** Any fold over any frame: slides where the fold can remove, else rebuilds from the members. */
import { statusOfValue } from '../../algebra/catalogue.js';
import type { Fold, Member } from '../../algebra/fold.js';
import type { Instant } from '../../base/time.js';
import { STATUS } from '../types.js';
import type { Kernel } from './kernel.js';
import { LiveSet } from './live-set.js';
import type { Output } from './output.js';
import type { View } from './view.js';

/** Makes the member of an input row. */
export type MemberAt = (row: number, eventTime: Instant) => Member;

export function folding(fold: Fold, memberAt: MemberAt, output: Output, status: Uint8Array): Kernel {
  const live = new LiveSet();
  const member = (view: View, position: number): Member =>
    memberAt(view.rows[position]!, view.eventTime[position]!);
  const write = (view: View, o: number, state: unknown): void => {
    const row = view.out[o]!;
    const value = fold.finish(state, view.at[o]!);
    output.set(row, value);
    status[row] = STATUS[statusOfValue(fold, state, value)];
  };
  const { remove } = fold;
  if (remove && fold.commutative) {
    return (view, frame) => {
      const { entered, left, entering, leaving, inOrder } = frame;
      let state = fold.init();
      let e = 0;
      let l = 0;
      for (let o = 0; o < view.observations; o++) {
        if (inOrder && left[o]! >= e && left[o]! > l) {
          state = fold.init();
          e = l = left[o]!;
        }
        for (; e < entered[o]!; e++) fold.add(state, member(view, inOrder ? e : entering[e]!));
        for (; l < left[o]!; l++) remove(state, member(view, inOrder ? l : leaving[l]!));
        write(view, o, state);
      }
    };
  }
  return (view, frame) => {
    const { entered, left, entering, leaving, inOrder } = frame;
    let state = fold.init();
    let e = 0;
    let l = 0;
    if (!inOrder) live.reset(view.size);
    for (let o = 0; o < view.observations; o++) {
      const changed = e !== entered[o] || l !== left[o];
      if (inOrder) {
        if (l !== left[o]) {
          state = fold.init();
          e = l = left[o]!;
        }
        for (; e < entered[o]!; e++) fold.add(state, member(view, e));
      } else if (changed) {
        for (; e < entered[o]!; e++) live.insert(entering[e]!);
        for (; l < left[o]!; l++) live.delete(leaving[l]!);
        state = fold.init();
        for (let at = live.first(); at >= 0; at = live.next(at)) fold.add(state, member(view, at));
      }
      write(view, o, state);
    }
  };
}
