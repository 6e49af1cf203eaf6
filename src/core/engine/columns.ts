import type { Value, ValueType } from '../schema/types.js';
import type { Column } from './types.js';

export const columnLength = (column: Column): number =>
  column.kind === 'codes' ? column.codes.length : column.values.length;

/** One value of a column in JavaScript's reading of its type. */
export function columnValue(column: Column, row: number): Value {
  if (column.kind === 'numbers') {
    if (column.valid && column.valid[row] === 0) return null;
    const value = column.values[row]!;
    return column.type.kind === 'boolean' ? value === 1 : value;
  }
  if (column.kind === 'codes') return column.codes[row]! < 0 ? null : column.dictionary[column.codes[row]!]!;
  return column.values[row]!;
}

/** Collects values row by row into the tightest column their type allows. */
export class ColumnBuilder {
  private readonly numbers: Float64Array | null;
  private valid: Uint8Array | null = null;
  private readonly codes: Int32Array | null;
  private readonly dictionary: string[] = [];
  private readonly codeOf = new Map<string, number>();
  private values: Value[] | null = null;

  constructor(
    private readonly type: ValueType,
    private readonly rows: number,
  ) {
    const numeric = ['int64', 'float64', 'decimal', 'timestamp', 'date', 'boolean'].includes(type.kind);
    this.numbers = numeric ? new Float64Array(rows) : null;
    this.codes = type.kind === 'string' ? new Int32Array(rows).fill(-1) : null;
    if (!numeric && type.kind !== 'string') this.values = new Array<Value>(rows).fill(null);
  }

  set(row: number, value: Value): void {
    if (this.values) {
      this.values[row] = value;
    } else if (this.codes) {
      if (value === null) return;
      let code = this.codeOf.get(value as string);
      if (code === undefined) {
        code = this.dictionary.length;
        this.codeOf.set(value as string, code);
        this.dictionary.push(value as string);
      }
      this.codes[row] = code;
    } else if (value === null) {
      this.valid ??= new Uint8Array(this.rows).fill(1);
      this.valid[row] = 0;
    } else if (typeof value === 'bigint') {
      this.values = Array.from(this.numbers!, (number, i) =>
        this.valid && this.valid[i] === 0 ? null : number,
      );
      this.values[row] = value;
    } else this.numbers![row] = typeof value === 'boolean' ? (value ? 1 : 0) : (value as number);
  }

  /** What `set` would do with the values of a column of the same type: to `row` that of `places[row]`, to none below 0. */
  setNumbers({ values, valid }: Extract<Column, { kind: 'numbers' }>, places: Int32Array): void {
    for (let row = 0; row < places.length; row++) {
      const place = places[row]!;
      if (place < 0) continue;
      if (valid && valid[place] === 0) this.set(row, null);
      else this.numbers![row] = values[place]!;
    }
  }

  finish(): Column {
    if (this.values) return { type: this.type, kind: 'values', values: this.values };
    if (this.codes) return { type: this.type, kind: 'codes', codes: this.codes, dictionary: this.dictionary };
    return { type: this.type, kind: 'numbers', values: this.numbers!, valid: this.valid };
  }
}
