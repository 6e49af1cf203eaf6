/** Quantiles of sliding windows: a binary indexed tree counts the members by their place in the order of values. */
import { toDouble } from '../../algebra/folds/frequencies.js';
import type { ValueType } from '../../schema/types.js';
import { STATUS } from '../types.js';
import type { Kernel } from './kernel.js';
import type { NumberOutput } from './output.js';
import type { Field } from './view.js';

/** Type 7, as the fold's `quantileOf`. A member enters and leaves, and an observation is answered, in O(log n). */
export function quantiles(
  q: number,
  type: ValueType,
  field: Field,
  output: NumberOutput,
  status: Uint8Array,
): Kernel {
  let tree = new Int32Array(1024);
  return (view, frame) => {
    const { positions, ranks, count } = field.order();
    const { values, valid } = field;
    if (tree.length <= count) tree = new Int32Array(2 * count);
    else tree.fill(0, 0, count + 1);
    let top = 1;
    while (top * 2 <= count) top *= 2;
    const change = (position: number, by: 1 | -1): number => {
      if (valid[position] === 0) return 0;
      for (let at = ranks[position]! + 1; at <= count; at += at & -at) tree[at] = tree[at]! + by;
      return by;
    };
    /** The k-th least member's value, from 0. */
    const least = (k: number): number => {
      let at = 0;
      let rest = k;
      for (let step = top; step > 0; step >>>= 1) {
        if (at + step > count || tree[at + step]! > rest) continue;
        at += step;
        rest -= tree[at]!;
      }
      return toDouble(type, values[positions[at]!]!);
    };
    const { entered, left, entering, leaving, inOrder } = frame;
    let n = 0;
    let e = 0;
    let l = 0;
    for (let o = 0; o < view.observations; o++) {
      for (; e < entered[o]!; e++) n += change(inOrder ? e : entering[e]!, 1);
      for (; l < left[o]!; l++) n += change(inOrder ? l : leaving[l]!, -1);
      const row = view.out[o]!;
      status[row] = n === 0 ? STATUS.empty : STATUS.ok;
      if (n === 0) continue;
      const position = (n - 1) * q;
      const below = Math.floor(position);
      const fraction = position - below;
      const low = least(below);
      const high = fraction === 0 ? low : least(below + 1);
      output.values[row] = low === high ? low : low * (1 - fraction) + high * fraction + 0;
      output.valid[row] = 1;
    }
  };
}
