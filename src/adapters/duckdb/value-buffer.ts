/** Gathers streamed chunks into the engine's columns, without an object for each row. */
import type { Column as EngineColumn } from '../../core/engine/types.js';
import type { Value, ValueType } from '../../core/schema/types.js';
import type { Column } from './columns.js';

type Numbers = Float64Array | Int32Array | Uint8Array;
type NumbersConstructor = { new (length: number): Numbers };
const TWO_32 = 4_294_967_296;

/** Integers and doubles into one typed array; `unsafe` is set when an integer is beyond 2^53. */
export class NumberBuffer {
  private data: Numbers;
  private valid: Uint8Array | null = null;
  private rows = 0;
  unsafe = false;

  constructor(private readonly storage: NumbersConstructor = Float64Array) {
    this.data = new storage(4_096);
  }

  append(column: Column, rows: number): void {
    const end = this.rows + rows;
    if (this.data.length < end) {
      const grown = new this.storage(Math.max(end, this.data.length * 2));
      grown.set(this.data.subarray(0, this.rows));
      this.data = grown;
    }
    const target = this.data;
    const source = column.data;
    if (source instanceof BigInt64Array) {
      const words = new Int32Array(source.buffer, source.byteOffset, rows * 2);
      for (let i = 0, at = this.rows; i < rows; i++, at++) {
        const value = words[2 * i + 1]! * TWO_32 + (words[2 * i]! >>> 0);
        if (
          (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER) &&
          (!column.valid || column.valid[i])
        )
          this.unsafe = true;
        target[at] = value;
      }
    } else target.set((source as Float64Array).subarray(0, rows), this.rows);
    if (column.valid || this.valid) {
      if (!this.valid || this.valid.length < end) {
        const grown = new Uint8Array(Math.max(end, this.data.length));
        if (this.valid) grown.set(this.valid.subarray(0, this.rows));
        else grown.fill(1, 0, this.rows);
        this.valid = grown;
      }
      for (let i = 0; i < rows; i++) {
        const bit = column.valid ? column.valid[i]! : 1;
        this.valid[this.rows + i] = bit;
        if (bit === 0) target[this.rows + i] = 0;
      }
    }
    this.rows = end;
  }

  finish(): { values: Float64Array; valid: Uint8Array | null } {
    return {
      values: this.data.subarray(0, this.rows) as Float64Array,
      valid: this.valid?.subarray(0, this.rows) ?? null,
    };
  }
}

export interface ValueBuffer {
  append(column: Column, rows: number): void;
  finish(): EngineColumn;
}

export function valueBuffer(type: ValueType): ValueBuffer {
  switch (type.kind) {
    case 'string':
      return codeBuffer(type);
    case 'int64':
    case 'decimal':
      return integerBuffer(type);
    case 'float64_vector':
    case 'list':
    case 'map':
      return listBuffer(type);
    default: {
      const buffer = new NumberBuffer();
      return {
        append: (column, rows) => buffer.append(column, rows),
        finish: () => ({ type, kind: 'numbers', ...buffer.finish() }),
      };
    }
  }
}

function codeBuffer(type: ValueType): ValueBuffer {
  const codes = new Map<string, number>();
  const dictionary: string[] = [];
  let data = new Int32Array(4_096);
  let total = 0;
  return {
    append(column, rows) {
      if (data.length < total + rows) {
        const grown = new Int32Array(Math.max(total + rows, data.length * 2));
        grown.set(data.subarray(0, total));
        data = grown;
      }
      const texts = column.data as (string | null)[];
      for (let i = 0; i < rows; i++) {
        const text = texts[i]!;
        if (text === null) {
          data[total + i] = -1;
          continue;
        }
        let code = codes.get(text);
        if (code === undefined) {
          code = dictionary.length;
          codes.set(text, code);
          dictionary.push(text);
        }
        data[total + i] = code;
      }
      total += rows;
    },
    finish: () => ({ type, kind: 'codes', codes: data.subarray(0, total), dictionary }),
  };
}

/** Codes that the scan gives as integers into a known dictionary. */
export function codedBuffer(type: ValueType, dictionary: readonly string[]): ValueBuffer {
  const buffer = new NumberBuffer(Int32Array);
  return {
    append: (column, rows) => buffer.append(column, rows),
    finish: () => {
      const { values, valid } = buffer.finish();
      const codes = values as unknown as Int32Array;
      if (valid) for (let i = 0; i < codes.length; i++) if (valid[i] === 0) codes[i] = -1;
      return { type, kind: 'codes', codes, dictionary };
    },
  };
}

/** Numbers while all are safe; once one is not, every value is kept as number or bigint. */
function integerBuffer(type: ValueType): ValueBuffer {
  const buffer = new NumberBuffer();
  let wide: Value[] | null = null;
  return {
    append(column, rows) {
      if (wide === null) {
        const before = buffer.finish();
        buffer.append(column, rows);
        if (!buffer.unsafe) return;
        wide = Array.from(before.values, (value, i) =>
          before.valid && before.valid[i] === 0 ? null : value,
        );
      }
      for (let i = 0; i < rows; i++) {
        if (column.valid && column.valid[i] === 0) {
          wide.push(null);
          continue;
        }
        const value = column.data[i] as number | bigint;
        const number = Number(value);
        wide.push(Number.isSafeInteger(number) ? number : value);
      }
    },
    finish: () =>
      wide === null ? { type, kind: 'numbers', ...buffer.finish() } : { type, kind: 'values', values: wide },
  };
}

function listBuffer(type: ValueType): ValueBuffer {
  const values: Value[] = [];
  return {
    append(column, rows) {
      for (let i = 0; i < rows; i++) values.push((column.data[i] as readonly number[] | null) ?? null);
    },
    finish: () => ({ type, kind: 'values', values }),
  };
}
