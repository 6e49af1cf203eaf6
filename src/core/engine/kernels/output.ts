/** Result columns that are filled observation by observation. Unset rows are null. */
import type { Value, ValueType } from '../../schema/types.js';
import { ColumnBuilder } from '../columns.js';
import type { Column } from '../types.js';

export interface Output {
  set(row: number, value: Value): void;
  column(): Column;
}

/** Numbers in a Float64Array; turns to plain values when an integer is beyond 2^53. */
export class NumberOutput implements Output {
  readonly values: Float64Array;
  readonly valid: Uint8Array;
  private readonly big = new Map<number, bigint>();

  constructor(
    private readonly type: ValueType,
    rows: number,
  ) {
    this.values = new Float64Array(rows);
    this.valid = new Uint8Array(rows);
  }

  set(row: number, value: Value): void {
    if (value === null) return;
    this.valid[row] = 1;
    if (typeof value === 'bigint') this.big.set(row, value);
    else this.values[row] = typeof value === 'boolean' ? (value ? 1 : 0) : (value as number);
  }

  column(): Column {
    if (this.big.size === 0)
      return { type: this.type, kind: 'numbers', values: this.values, valid: this.valid };
    const values = Array.from(this.values, (value, i) =>
      this.valid[i] === 0 ? null : (this.big.get(i) ?? value),
    );
    return { type: this.type, kind: 'values', values };
  }
}

/** Codes into the dictionary of an input column. */
export class CodeOutput implements Output {
  readonly codes: Int32Array;

  constructor(
    private readonly type: ValueType,
    private readonly dictionary: readonly Value[],
    rows: number,
  ) {
    this.codes = new Int32Array(rows).fill(-1);
  }

  /** The value is the code. */
  set(row: number, code: Value): void {
    if (code !== null) this.codes[row] = code as number;
  }

  column(): Column {
    return { type: this.type, kind: 'codes', codes: this.codes, dictionary: this.dictionary };
  }
}

/** Strings, lists, maps and vectors. */
class ValueOutput implements Output {
  private readonly builder: ColumnBuilder;

  constructor(type: ValueType, rows: number) {
    this.builder = new ColumnBuilder(type, rows);
  }

  set(row: number, value: Value): void {
    this.builder.set(row, value);
  }

  column(): Column {
    return this.builder.finish();
  }
}

const NUMBER_KINDS: readonly string[] = ['int64', 'float64', 'decimal', 'timestamp', 'date', 'boolean'];

export const outputFor = (type: ValueType, rows: number): Output =>
  NUMBER_KINDS.includes(type.kind) ? new NumberOutput(type, rows) : new ValueOutput(type, rows);
