/** What the kernels see: the records of one entity in member order, its observations in time order, and windows. */
import type { Column } from '../types.js';
import { sortRange } from './sort.js';

const grown = (size: number, least: number): number => Math.max(1024, least, 2 * size);

/** Records of one entity that pass one `where`, in member order, and the entity's observations by time. */
export class View {
  /** Changes with every load, so that what is derived from the view knows when it is stale. */
  stamp = 0;
  size = 0;
  /** Row of the input by position. */
  rows = new Int32Array(0);
  eventTime = new Float64Array(0);
  from = new Float64Array(0);
  until = new Float64Array(0);
  /** The greatest of from - event_time; Infinity when a version ends. */
  lateness = Number.NEGATIVE_INFINITY;

  observations = 0;
  at: Float64Array = new Float64Array(0);
  /** Row of the result by observation. */
  out: Int32Array = new Int32Array(0);

  reserve(rows: number): void {
    if (this.rows.length >= rows) return;
    const length = grown(this.rows.length, rows);
    this.rows = new Int32Array(length);
    this.eventTime = new Float64Array(length);
    this.from = new Float64Array(length);
    this.until = new Float64Array(length);
  }
}

/** A window: `[t - offset - window, t - offset)`, closed at the upper end when `includeCurrent`. */
export interface Window {
  readonly window: number | null;
  readonly offset: number;
  readonly includeCurrent: boolean;
}

/**
 * The member sets of one window over the observations of a view: at observation o the members are the first
 * `entered[o]` positions of `entering` less the first `left[o]` of `leaving`. Positions never leave before they enter.
 */
export class Frame {
  /** True: entering and leaving are the positions themselves, members are left[o] .. entered[o] - 1. */
  inOrder = true;
  entering = new Int32Array(0);
  leaving = new Int32Array(0);
  entered = new Int32Array(0);
  left = new Int32Array(0);
  private enter = new Float64Array(0);
  private leave = new Float64Array(0);

  constructor(readonly window: Window) {}

  load(view: View): void {
    if (this.entered.length < view.observations) {
      const length = grown(this.entered.length, view.observations);
      this.entered = new Int32Array(length);
      this.left = new Int32Array(length);
    }
    const { offset, includeCurrent } = this.window;
    this.inOrder = view.lateness <= offset + (includeCurrent ? 0 : 1);
    if (this.inOrder) this.loadInOrder(view);
    else this.loadByKnowledge(view);
  }

  private loadInOrder(view: View): void {
    const { window, offset, includeCurrent } = this.window;
    const { eventTime, size, at } = view;
    const { entered, left } = this;
    let high = 0;
    let low = 0;
    const closing = includeCurrent ? 1 : 0;
    for (let o = 0; o < view.observations; o++) {
      const end = at[o]! - offset + closing;
      high = advance(eventTime, high, size, end);
      entered[o] = high;
      if (window !== null) low = advance(eventTime, low, high, at[o]! - offset - window);
      left[o] = low;
    }
  }

  private loadByKnowledge(view: View): void {
    const { window, offset, includeCurrent } = this.window;
    const { size } = view;
    if (this.enter.length < size) {
      const length = grown(this.enter.length, size);
      this.enter = new Float64Array(length);
      this.leave = new Float64Array(length);
      this.entering = new Int32Array(length);
      this.leaving = new Int32Array(length);
    }
    const { enter, leave } = this;
    let members = 0;
    for (let i = 0; i < size; i++) {
      const time = view.eventTime[i]! + offset;
      enter[i] = Math.max(includeCurrent ? time : time + 1, view.from[i]!);
      leave[i] = window === null ? view.until[i]! : Math.min(time + window + 1, view.until[i]!);
      if (enter[i]! >= leave[i]!) continue;
      this.entering[members] = i;
      this.leaving[members] = i;
      members++;
    }
    // Nearly sorted already: positions are in the order of event times.
    sortRange(this.entering, 0, members, (a, b) => enter[a]! - enter[b]!);
    sortRange(this.leaving, 0, members, (a, b) => (leave[a]! === leave[b]! ? 0 : leave[a]! - leave[b]!));
    let entered = 0;
    let left = 0;
    for (let o = 0; o < view.observations; o++) {
      const at = view.at[o]!;
      while (entered < members && enter[this.entering[entered]!]! <= at) entered++;
      while (left < members && leave[this.leaving[left]!]! <= at) left++;
      this.entered[o] = entered;
      this.left[o] = left;
    }
  }
}

/** The first position from `start` on whose time is not below `limit`: doubling steps, then bisection. */
function advance(times: Float64Array, start: number, size: number, limit: number): number {
  let low = start;
  if (low >= size || times[low]! >= limit) return low;
  let step = 1;
  while (low + step < size && times[low + step]! < limit) {
    low += step;
    step *= 2;
  }
  let high = Math.min(low + step, size);
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (times[middle]! < limit) low = middle;
    else high = middle;
  }
  return high;
}

/** One column of a view, by position, with what kernels derive from it. Derived once for all windows. */
export class Field {
  private stamp = -1;
  /** Numbers, or dictionary codes. */
  values = new Float64Array(0);
  valid = new Uint8Array(0);
  nulls = 0;
  private bitsStamp = -1;
  private span = { lowest: 0, highest: 0 };
  private prefixStamp = -1;
  private prefix = new Int32Array(0);
  private nextStamp = -1;
  private nextValid = new Int32Array(0);
  private previousValid = new Int32Array(0);
  private orderStamp = -1;
  private positions = new Int32Array(0);
  private ranks = new Int32Array(0);
  private codeStamp = -1;
  private codes = new Int32Array(0);
  /** Number of different values, once `dense` was called. */
  distinct = 0;

  constructor(
    readonly view: View,
    readonly column: Column,
    /** For text columns: place of each code in the order of values. */
    private readonly rankOfCode: Int32Array | null,
  ) {}

  load(): this {
    const { view, column } = this;
    if (this.stamp === view.stamp) return this;
    this.stamp = view.stamp;
    const { size, rows } = view;
    if (this.values.length < size) {
      const length = grown(this.values.length, size);
      this.values = new Float64Array(length);
      this.valid = new Uint8Array(length).fill(1);
    }
    const { values, valid } = this;
    let nulls = 0;
    if (column.kind === 'numbers') {
      const source = column.values;
      for (let i = 0; i < size; i++) values[i] = source[rows[i]!]!;
      // Without nulls `valid` stays as it was made.
      if (column.valid !== null) {
        for (let i = 0; i < size; i++) {
          const bit = column.valid[rows[i]!]!;
          valid[i] = bit;
          nulls += 1 - bit;
        }
      }
    } else if (column.kind === 'codes') {
      const ranks = this.rankOfCode;
      for (let i = 0; i < size; i++) {
        const code = column.codes[rows[i]!]!;
        values[i] = code < 0 ? -1 : ranks ? ranks[code]! : code;
        valid[i] = code < 0 ? 0 : 1;
        if (code < 0) nulls++;
      }
    } else {
      for (let i = 0; i < size; i++) {
        valid[i] = column.values[rows[i]!] === null ? 0 : 1;
        nulls += 1 - valid[i]!;
      }
    }
    this.nulls = nulls;
    return this;
  }

  /**
   * Bits that the values span: every one is a multiple of 2^lowest and below 2^(highest + 1) in size. `lowest` may be less
   * than need be: the trailing zeros common to all count below the least exponent of all.
   */
  bits(): { readonly lowest: number; readonly highest: number } {
    if (this.bitsStamp === this.view.stamp) return this.span;
    this.bitsStamp = this.view.stamp;
    this.load();
    const { values, valid, nulls } = this;
    const { size } = this.view;
    const words = new Uint32Array(values.buffer, values.byteOffset, 2 * size);
    let least = 0x7fffffff;
    let greatest = 0;
    let low = 0;
    let high = 0;
    for (let i = 0; i < size; i++) {
      const top = words[2 * i + 1]! & 0x7fffffff;
      const bottom = words[2 * i]!;
      if ((top | bottom) === 0 || (nulls > 0 && valid[i] === 0)) continue;
      low |= bottom;
      high |= top;
      if (top < least) least = top;
      if (top > greatest) greatest = top;
    }
    if (least > greatest) this.span = { lowest: 0, highest: 0 };
    else {
      const exponent = (top: number): number => Math.max(1, top >>> 20) - 1023;
      const fraction = high & 0xfffff;
      const zeros =
        low !== 0 ? 31 - Math.clz32(low & -low) : fraction !== 0 ? 63 - Math.clz32(fraction & -fraction) : 52;
      this.span = { lowest: exponent(least) - 52 + zeros, highest: exponent(greatest) };
    }
    return this.span;
  }

  /** Number of valid values before each position. */
  validBefore(): Int32Array {
    if (this.prefixStamp === this.view.stamp) return this.prefix;
    this.prefixStamp = this.view.stamp;
    this.load();
    const { size } = this.view;
    if (this.prefix.length <= size) this.prefix = new Int32Array(grown(this.prefix.length, size + 1));
    let n = 0;
    for (let i = 0; i < size; i++) {
      this.prefix[i] = n;
      n += this.valid[i]!;
    }
    this.prefix[size] = n;
    return this.prefix;
  }

  /** The nearest valid position at or after (`next`), at or before (`previous`) each; size or -1 where none is. */
  nearestValid(): { readonly next: Int32Array; readonly previous: Int32Array } {
    if (this.nextStamp !== this.view.stamp) {
      this.nextStamp = this.view.stamp;
      this.load();
      const { size } = this.view;
      if (this.nextValid.length < size) {
        this.nextValid = new Int32Array(grown(this.nextValid.length, size));
        this.previousValid = new Int32Array(this.nextValid.length);
      }
      for (let i = 0, at = -1; i < size; i++) {
        if (this.valid[i] === 1) at = i;
        this.previousValid[i] = at;
      }
      for (let i = size - 1, at = size; i >= 0; i--) {
        if (this.valid[i] === 1) at = i;
        this.nextValid[i] = at;
      }
    }
    return { next: this.nextValid, previous: this.previousValid };
  }

  /** Positions of valid values by ascending value, and the place of each position in that order. */
  order(): { readonly positions: Int32Array; readonly ranks: Int32Array; readonly count: number } {
    const { view } = this;
    const count = view.size - this.load().nulls;
    if (this.orderStamp !== view.stamp) {
      this.orderStamp = view.stamp;
      if (this.positions.length < view.size) {
        this.positions = new Int32Array(grown(this.positions.length, view.size));
        this.ranks = new Int32Array(this.positions.length);
      }
      const { values, valid, positions, ranks } = this;
      let n = 0;
      for (let i = 0; i < view.size; i++) if (valid[i] === 1) positions[n++] = i;
      sortRange(positions, 0, n, (a, b) => values[a]! - values[b]!);
      for (let rank = 0; rank < n; rank++) ranks[positions[rank]!] = rank;
    }
    return { positions: this.positions, ranks: this.ranks, count };
  }

  /** Codes of a coded column's dictionary by position; -1 for null. */
  dictionaryCodes(): Int32Array {
    const { view, column } = this;
    if (this.codeStamp === view.stamp || column.kind !== 'codes') return this.codes;
    this.codeStamp = view.stamp;
    const { size, rows } = view;
    if (this.codes.length < size) this.codes = new Int32Array(grown(this.codes.length, size));
    const { codes } = this;
    for (let i = 0; i < size; i++) codes[i] = column.codes[rows[i]!]!;
    return codes;
  }

  /** Codes 0..distinct-1, equal for equal values of this view; -1 for null. */
  dense(): Int32Array {
    const { view } = this;
    if (this.codeStamp === view.stamp) return this.codes;
    this.codeStamp = view.stamp;
    this.load();
    if (this.codes.length < view.size) this.codes = new Int32Array(grown(this.codes.length, view.size));
    const codeOf = new Map<number, number>();
    for (let i = 0; i < view.size; i++) {
      if (this.valid[i] === 0) {
        this.codes[i] = -1;
        continue;
      }
      const value = this.values[i]!;
      let code = codeOf.get(value);
      if (code === undefined) {
        code = codeOf.size;
        codeOf.set(value, code);
      }
      this.codes[i] = code;
    }
    this.distinct = codeOf.size;
    return this.codes;
  }
}
