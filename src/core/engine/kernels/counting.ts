/** Counts, shares and exact sums: prefix differences when records come in order, running sums otherwise. */
import type { ValueType } from '../../schema/types.js';
import { STATUS } from '../types.js';
import type { Kernel } from './kernel.js';
import { integerOfParts, type Limbs, meanOfParts, meanOfTwo, roundParts, spreadOfParts } from './limbs.js';
import type { NumberOutput } from './output.js';
import type { Field, Frame, View } from './view.js';

/** Calls `each` with every observation's number of members that have a value. */
function countValid(view: View, frame: Frame, field: Field, each: (o: number, n: number) => void): void {
  const { entered, left } = frame;
  field.load();
  if (field.nulls === 0) {
    for (let o = 0; o < view.observations; o++) each(o, entered[o]! - left[o]!);
  } else if (frame.inOrder) {
    const before = field.validBefore();
    for (let o = 0; o < view.observations; o++) each(o, before[entered[o]!]! - before[left[o]!]!);
  } else {
    let n = 0;
    let e = 0;
    let l = 0;
    for (let o = 0; o < view.observations; o++) {
      while (e < entered[o]!) n += field.valid[frame.entering[e++]!]!;
      while (l < left[o]!) n -= field.valid[frame.leaving[l++]!]!;
      each(o, n);
    }
  }
}

export const countRows =
  (output: NumberOutput, status: Uint8Array): Kernel =>
  (view, frame) => {
    const { entered, left } = frame;
    for (let o = 0; o < view.observations; o++) {
      const row = view.out[o]!;
      const n = entered[o]! - left[o]!;
      output.values[row] = n;
      status[row] = n === 0 ? STATUS.empty : STATUS.ok;
    }
  };

export const countField =
  (field: Field, output: NumberOutput, status: Uint8Array): Kernel =>
  (view, frame) =>
    countValid(view, frame, field, (o, n) => {
      const row = view.out[o]!;
      output.values[row] = n;
      status[row] = n === 0 ? STATUS.empty : STATUS.ok;
    });

/** `trues`: a field whose valid positions are those where the predicate is true. */
export const share =
  (trues: Field, output: NumberOutput, status: Uint8Array): Kernel =>
  (view, frame) =>
    countValid(view, frame, trues, (o, n) => {
      const rows = frame.entered[o]! - frame.left[o]!;
      const row = view.out[o]!;
      status[row] = rows === 0 ? STATUS.empty : STATUS.ok;
      if (rows === 0) return;
      output.values[row] = n / rows;
      output.valid[row] = 1;
    });

/** Calls `each` with the exact parts of every observation's sums. False when the values span too many bits. */
function sumParts(
  view: View,
  frame: Frame,
  limbs: Limbs,
  squares: Limbs | null,
  each: (o: number, parts: readonly number[], squareParts: readonly number[]) => void,
): boolean {
  const count = limbs.plan();
  const squareCount = squares?.plan() ?? 0;
  if (count === 0 || (squares !== null && squareCount === 0)) return false;
  const parts = new Array<number>(count).fill(0);
  const squareParts = new Array<number>(squareCount).fill(0);
  const { entered, left } = frame;
  if (frame.inOrder) {
    const sums = limbs.prefixSums();
    const squareSums = squares?.prefixSums();
    for (let o = 0; o < view.observations; o++) {
      const high = entered[o]!;
      const low = left[o]!;
      for (let j = 0; j < count; j++) parts[j] = sums[high * count + j]! - sums[low * count + j]!;
      for (let j = 0; j < squareCount; j++)
        squareParts[j] = squareSums![high * squareCount + j]! - squareSums![low * squareCount + j]!;
      each(o, parts, squareParts);
    }
    return true;
  }
  const { values, valid } = limbs.field;
  const running = new Float64Array(count);
  const runningSquares = new Float64Array(squareCount);
  let e = 0;
  let l = 0;
  const change = (position: number, sign: 1 | -1): void => {
    if (valid[position] === 0) return;
    limbs.add(running, 0, values[position]!, sign);
    squares?.add(runningSquares, 0, values[position]!, sign);
  };
  for (let o = 0; o < view.observations; o++) {
    while (e < entered[o]!) change(frame.entering[e++]!, 1);
    while (l < left[o]!) change(frame.leaving[l++]!, -1);
    for (let j = 0; j < count; j++) parts[j] = running[j]!;
    for (let j = 0; j < squareCount; j++) squareParts[j] = runningSquares[j]!;
    each(o, parts, squareParts);
  }
  return true;
}

export type SumName = 'sum' | 'mean' | 'std' | 'var' | 'std_pop' | 'var_pop';
const LEAST: Readonly<Record<SumName, number>> = { sum: 1, mean: 1, std: 2, var: 2, std_pop: 1, var_pop: 1 };

function finishParts(
  name: SumName,
  type: ValueType,
  parts: readonly number[],
  squares: readonly number[],
  n: number,
): number | bigint | null {
  switch (name) {
    case 'sum':
      return type.kind === 'float64' ? roundParts(parts) : integerOfParts(parts, type);
    case 'mean':
      return meanOfParts(parts, n, type.kind === 'decimal' ? type.scale : 0);
    case 'std':
    case 'var':
      return spreadOfParts(parts, squares, n, type, 1, name === 'std');
    default:
      return spreadOfParts(parts, squares, n, type, 0, name === 'std_pop');
  }
}

/** `otherwise` takes entities whose values span too many bits for limbs. */
export const sums =
  (
    name: SumName,
    type: ValueType,
    limbs: Limbs,
    squares: Limbs | null,
    otherwise: Kernel,
    output: NumberOutput,
    status: Uint8Array,
  ): Kernel =>
  (view, frame) => {
    const { field } = limbs;
    if (limbs.plan() === 0 || (squares !== null && squares.plan() === 0)) return otherwise(view, frame);
    let counts = new Int32Array(0);
    if (field.load().nulls > 0) {
      counts = new Int32Array(view.observations);
      countValid(view, frame, field, (o, n) => {
        counts[o] = n;
      });
    }
    const least = LEAST[name];
    const simple = name === 'sum' && type.kind === 'float64';
    const plain = type.kind === 'float64' && frame.inOrder && field.nulls === 0 && limbs.count <= 2;
    if (plain && name === 'sum') return sumInOrder(view, frame, limbs, output, status);
    if (plain && name === 'mean') return meanInOrder(view, frame, limbs, output, status);
    sumParts(view, frame, limbs, squares, (o, parts, squareParts) => {
      const row = view.out[o]!;
      const n = field.nulls === 0 ? frame.entered[o]! - frame.left[o]! : counts[o]!;
      status[row] = n < least ? STATUS.empty : STATUS.ok;
      if (n < least) return;
      if (simple) {
        output.values[row] = roundParts(parts);
        output.valid[row] = 1;
        return;
      }
      const value = finishParts(name, type, parts, squareParts, n);
      output.set(row, value);
      if (value === null) status[row] = STATUS.error;
    });
  };

/** The case of most records, in one plain loop: doubles without nulls, in order, one or two limbs. */
function sumInOrder(view: View, frame: Frame, limbs: Limbs, output: NumberOutput, status: Uint8Array): void {
  const prefix = limbs.prefixSums();
  const { entered, left } = frame;
  const { out, observations } = view;
  const { values, valid } = output;
  const two = limbs.count === 2;
  for (let o = 0; o < observations; o++) {
    const high = entered[o]!;
    const low = left[o]!;
    const row = out[o]!;
    if (high === low) {
      status[row] = STATUS.empty;
      continue;
    }
    values[row] = two
      ? prefix[2 * high]! - prefix[2 * low]! + (prefix[2 * high + 1]! - prefix[2 * low + 1]!) + 0
      : prefix[high]! - prefix[low]! + 0;
    valid[row] = 1;
    status[row] = STATUS.ok;
  }
}

function meanInOrder(view: View, frame: Frame, limbs: Limbs, output: NumberOutput, status: Uint8Array): void {
  const prefix = limbs.prefixSums();
  const { entered, left } = frame;
  const { out, observations } = view;
  const { count } = limbs;
  for (let o = 0; o < observations; o++) {
    const high = entered[o]!;
    const low = left[o]!;
    const row = out[o]!;
    if (high === low) {
      status[row] = STATUS.empty;
      continue;
    }
    const first = prefix[count * high]! - prefix[count * low]!;
    const second = count === 2 ? prefix[2 * high + 1]! - prefix[2 * low + 1]! : 0;
    const mean = meanOfTwo(first, second, high - low);
    status[row] = mean === null ? STATUS.error : STATUS.ok;
    output.set(row, mean);
  }
}

/** Texts of so small a dictionary are counted by their code, others by codes of their own for each entity. */
const COUNTED_CODES = 4_096;

export const countDistinct = (field: Field, output: NumberOutput, status: Uint8Array): Kernel => {
  const { column } = field;
  const known = column.kind === 'codes' && column.dictionary.length <= COUNTED_CODES;
  const shared = known ? new Int32Array(column.dictionary.length) : null;
  return (view, frame) => {
    const codes = known ? field.dictionaryCodes() : field.dense();
    const counts = shared ?? new Int32Array(field.distinct);
    const left = frame.inOrder
      ? distinctInOrder(view, frame, codes, counts, output.values, status)
      : distinctByKnowledge(view, frame, codes, counts, output.values, status);
    if (left > 0) counts.fill(0);
  };
};

/** How many different codes are still counted at the end. */
function distinctInOrder(
  view: View,
  frame: Frame,
  codes: Int32Array,
  counts: Int32Array,
  values: Float64Array,
  status: Uint8Array,
): number {
  const { entered, left } = frame;
  const { out, observations } = view;
  let different = 0;
  let e = 0;
  let l = 0;
  for (let o = 0; o < observations; o++) {
    const low = left[o]!;
    // Nothing of what is counted stays.
    if (low >= e && l < e) {
      for (; l < e; l++) if (codes[l]! >= 0) counts[codes[l]!] = 0;
      different = 0;
    }
    if (low > e) e = l = low;
    for (const end = entered[o]!; e < end; e++) {
      const code = codes[e]!;
      if (code < 0) continue;
      const n = counts[code]!;
      counts[code] = n + 1;
      if (n === 0) different++;
    }
    for (; l < low; l++) {
      const code = codes[l]!;
      if (code < 0) continue;
      const n = counts[code]! - 1;
      counts[code] = n;
      if (n === 0) different--;
    }
    const row = out[o]!;
    values[row] = different;
    status[row] = different === 0 ? STATUS.empty : STATUS.ok;
  }
  return different;
}

function distinctByKnowledge(
  view: View,
  frame: Frame,
  codes: Int32Array,
  counts: Int32Array,
  values: Float64Array,
  status: Uint8Array,
): number {
  const { entered, left, entering, leaving } = frame;
  const { out, observations } = view;
  let different = 0;
  let e = 0;
  let l = 0;
  for (let o = 0; o < observations; o++) {
    for (const end = entered[o]!; e < end; e++) {
      const code = codes[entering[e]!]!;
      if (code < 0) continue;
      if (counts[code] === 0) different++;
      counts[code] = counts[code]! + 1;
    }
    for (const end = left[o]!; l < end; l++) {
      const code = codes[leaving[l]!]!;
      if (code < 0) continue;
      counts[code] = counts[code]! - 1;
      if (counts[code] === 0) different--;
    }
    const row = out[o]!;
    values[row] = different;
    status[row] = different === 0 ? STATUS.empty : STATUS.ok;
  }
  return different;
}
