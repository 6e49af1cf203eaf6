import type { ValueType } from '../schema/types.js';
import type { Op } from './typed.js';

/** `body` over a name for `value`, so that it is written and computed once; a short value is written out again. */
export type Bind = (value: string, body: (name: string) => string) => string;

/**
 * What an engine says differently. The printer holds the meaning; a dialect is only words: another engine is
 * another record of this shape. "Wide" integers and decimals hold every result of one operation on int64 or on
 * 18-digit decimals without overflow. Functions that may fail in the engine give NULL there.
 */
export interface Dialect {
  readonly name: string;
  /** Operations that the engine cannot compute with the same bits, and why. */
  readonly refuses: ReadonlyMap<Op, string>;
  typeName(type: ValueType): string;
  quote(text: string): string;
  /** A text column or literal, or a cast to text: compared by code points from here on. */
  textLeaf(sql: string): string;
  let(value: string, name: string, body: string): string;
  /** What a `let` is recognised by; such a value is bound even when it is short. */
  readonly letMark: string;

  /** A 128-bit (or wider) integer. */
  wideInt(value: string): string;
  /** Towards zero; null by zero. */
  divideWide(a: string, b: string, bind: Bind): string;
  moduloWide(a: string, b: string): string;
  /** A wide integer or whole decimal → int64. */
  fitInt(value: string, bind: Bind): string;
  /** int64 by int64, no overflow, towards zero; b is never 0. */
  divide(a: string, b: string): string;

  /** A decimal with room for sums. */
  wide(value: string, scale: number): string;
  /** A decimal as factor of a product. */
  factor(value: string, scale: number): string;
  /** A wide decimal → decimal(18, scale), half away from zero. */
  fitDecimal(value: string, scale: number, bind: Bind): string;
  /** A wide decimal as a whole one. */
  whole(how: 'floor' | 'ceil' | 'trunc' | 'round', value: string, bind: Bind): string;

  /** int64 → float64, rounded to nearest even. */
  float(value: string): string;
  isFinite(value: string): string;
  /** Float operations that give NULL where the result is not finite. Absent: the engine carries NaN and infinities on. */
  readonly checked?: Readonly<
    Record<'add' | 'sub' | 'mul' | 'div', (a: string, b: string, bind: Bind) => string>
  >;
  divideFloat(a: string, b: string): string;
  moduloFloat(a: string, b: string): string;
  wholeFloat(how: 'floor' | 'ceil' | 'trunc', value: string, bind: Bind): string;
  /** Half away from zero. */
  roundFloat(value: string, bind: Bind): string;
  /** round(value * 10^places) / 10^places, the value itself where that is not finite; absent: spelled out. */
  roundFloatTo?(value: string, places: number): string;
  /** A whole float64 → int64. */
  floatToInt(value: string, bind: Bind): string;
  booleanToInt(value: string): string;
  decimalText(value: string, scale: number, bind: Bind): string;

  /** Texts that match the (anchored) pattern, read as the type. */
  textToInt(text: string, pattern: string, bind: Bind): string;
  textToFloat(text: string, pattern: string, bind: Bind): string;
  textToDecimal(text: string, pattern: string, scale: number, bind: Bind): string;
  textToDate(text: string, pattern: string, bind: Bind): string;
  /** Microseconds; without an offset the text is UTC. */
  textToMicros(text: string, pattern: string, bind: Bind): string;

  readonly text: {
    translate(text: string, from: string, to: string): string;
    endsWith(text: string, part: string): string;
    startsWith(text: string, part: string): string;
    contains(text: string, part: string): string;
    position(text: string, part: string): string;
    length(text: string): string;
    replace(text: string, from: string, to: string): string;
    concat(parts: readonly string[]): string;
    trim(side: 'both' | 'left' | 'right', text: string): string;
    /** From position `start` ≥ 1 on; both numbers at most 10^9. */
    substring(text: string, start: string, count?: string): string;
    like(text: string, pattern: string, mark: string | undefined): string;
  };
  readonly time: {
    micros(timestamp: string): string;
    fromMicros(micros: string): string;
    /** The clock of UTC as a timestamp without zone, whatever the session's time zone. */
    utc(timestamp: string): string;
    local(timestamp: string, zone: string): string;
    part(unit: string, local: string): string;
    truncate(unit: string, local: string): string;
    /** Microseconds of a timestamp without zone. */
    localMicros(local: string): string;
    /** Days of a - b. */
    subtractDates(a: string, b: string): string;
    isoText(utc: string): string;
    dateText(date: string): string;
  };
}
