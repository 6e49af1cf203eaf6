import type { DuckDBType, DuckDBTypeId as TypeId } from '@duckdb/node-api';
import type { DataChunk, Vector } from '@duckdb/node-bindings';
import { api, bindings as duckdb } from './library.js';

const { DuckDBTypeId } = api;

/**
 * One column of a result in the storage of its type:
 * BIGINT, TIMESTAMP*, DECIMAL (unscaled) → BigInt64Array; INTEGER, DATE (days) → Int32Array; DOUBLE → Float64Array;
 * BOOLEAN → Uint8Array; VARCHAR → string[]; lists → arrays of arrays. A null has `valid[i] === 0` and any data.
 */
export type ColumnData =
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Float64Array
  | Float32Array
  | Uint8Array
  | Int8Array
  | (string | null)[]
  | (readonly unknown[] | null)[];

export interface Column {
  readonly name: string;
  /** DuckDB's name of the type, e.g. `BIGINT`, `DECIMAL(18,2)`. */
  readonly type: string;
  readonly data: ColumnData;
  /** 1 where there is a value; null when every row has one. */
  readonly valid: Uint8Array | null;
}

export interface ColumnChunk {
  readonly rows: number;
  readonly columns: readonly Column[];
}

type TypedConstructor = {
  new (length: number): Exclude<ColumnData, readonly unknown[]>;
  new (buffer: ArrayBufferLike, offset: number, length: number): Exclude<ColumnData, readonly unknown[]>;
  readonly BYTES_PER_ELEMENT: number;
};

const STORAGE: ReadonlyMap<TypeId, TypedConstructor> = new Map<TypeId, TypedConstructor>([
  [DuckDBTypeId.BIGINT, BigInt64Array],
  [DuckDBTypeId.UBIGINT, BigUint64Array],
  [DuckDBTypeId.TIMESTAMP, BigInt64Array],
  [DuckDBTypeId.TIMESTAMP_TZ, BigInt64Array],
  [DuckDBTypeId.TIMESTAMP_S, BigInt64Array],
  [DuckDBTypeId.TIMESTAMP_MS, BigInt64Array],
  [DuckDBTypeId.TIMESTAMP_NS, BigInt64Array],
  [DuckDBTypeId.TIME, BigInt64Array],
  [DuckDBTypeId.INTEGER, Int32Array],
  [DuckDBTypeId.DATE, Int32Array],
  [DuckDBTypeId.UINTEGER, Uint32Array],
  [DuckDBTypeId.SMALLINT, Int16Array],
  [DuckDBTypeId.TINYINT, Int8Array],
  [DuckDBTypeId.UTINYINT, Uint8Array],
  [DuckDBTypeId.BOOLEAN, Uint8Array],
  [DuckDBTypeId.DOUBLE, Float64Array],
  [DuckDBTypeId.FLOAT, Float32Array],
]);

/** The typed array of a type, or undefined for texts and nested types. */
function storageOf(type: DuckDBType): TypedConstructor | undefined {
  if (type.typeId !== DuckDBTypeId.DECIMAL) return STORAGE.get(type.typeId);
  const width = (type as { readonly width?: number }).width ?? 18;
  return width <= 4 ? Int16Array : width <= 9 ? Int32Array : width <= 18 ? BigInt64Array : undefined;
}

function view(
  vector: Vector,
  storage: TypedConstructor,
  rows: number,
): Exclude<ColumnData, readonly unknown[]> {
  const bytes = duckdb.vector_get_data(vector, rows * storage.BYTES_PER_ELEMENT);
  return new storage(bytes.buffer, bytes.byteOffset, rows);
}

/** One byte a row, or null when all are valid. */
function validity(vector: Vector, rows: number): Uint8Array | null {
  const bytes = duckdb.vector_get_validity(vector, Math.ceil(rows / 64) * 8);
  if (!bytes) return null;
  let nulls = false;
  const out = new Uint8Array(rows);
  for (let i = 0; i < rows; i++) {
    const bit = (bytes[i >> 3]! >> (i & 7)) & 1;
    out[i] = bit;
    if (bit === 0) nulls = true;
  }
  return nulls ? out : null;
}

/** The text of one row of a VARCHAR vector: within its 16 bytes when it is short, else where these point. */
function textAt(bytes: Uint8Array, buffer: Buffer, row: number): string {
  const at = row * 16;
  const length = buffer.readUInt32LE(at);
  if (length <= 12) return buffer.toString('utf8', at + 4, at + 4 + length);
  const far = duckdb.get_data_from_pointer(bytes.buffer as ArrayBuffer, bytes.byteOffset + at + 8, length);
  return Buffer.from(far.buffer, far.byteOffset, far.byteLength).toString('utf8');
}

function texts(vector: Vector, rows: number, valid: Uint8Array | null): (string | null)[] {
  const bytes = duckdb.vector_get_data(vector, rows * 16);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: (string | null)[] = new Array(rows);
  for (let i = 0; i < rows; i++) {
    if (valid && valid[i] === 0) {
      out[i] = null;
      continue;
    }
    out[i] = textAt(bytes, buffer, i);
  }
  return out;
}

function lists(
  vector: Vector,
  type: DuckDBType,
  rows: number,
  valid: Uint8Array | null,
): (readonly unknown[] | null)[] {
  const bytes = duckdb.vector_get_data(vector, rows * 16);
  const entries = new BigUint64Array(bytes.buffer, bytes.byteOffset, rows * 2);
  const child = readVector(
    duckdb.list_vector_get_child(vector),
    (type as unknown as { readonly valueType: DuckDBType }).valueType,
    duckdb.list_vector_get_size(vector),
  );
  const out: (readonly unknown[] | null)[] = new Array(rows);
  for (let i = 0; i < rows; i++) {
    if (valid && valid[i] === 0) {
      out[i] = null;
      continue;
    }
    const start = Number(entries[2 * i]);
    const items: unknown[] = new Array(Number(entries[2 * i + 1]));
    for (let j = 0; j < items.length; j++) {
      items[j] = child.valid && child.valid[start + j] === 0 ? null : child.data[start + j];
    }
    out[i] = items;
  }
  return out;
}

function readVector(
  vector: Vector,
  type: DuckDBType,
  rows: number,
): { data: ColumnData; valid: Uint8Array | null } {
  const valid = validity(vector, rows);
  const storage = storageOf(type);
  if (storage) return { data: view(vector, storage, rows), valid };
  if (type.typeId === DuckDBTypeId.VARCHAR) return { data: texts(vector, rows, valid), valid };
  if (type.typeId === DuckDBTypeId.LIST) return { data: lists(vector, type, rows, valid), valid };
  throw new Error(
    `millrace invariant broken: a result column has the type ${type.toString()}, cast it in the query`,
  );
}

/** A column of a chunk as it lies in DuckDB's memory, good until the next chunk is fetched. */
export interface RawVector {
  /** The first `rows` values of `width` bytes each; 16 for VARCHAR. */
  bytes(width: number): Uint8Array;
  /** A bit a row, least significant first, 0 for null; null when there are no nulls to tell. */
  readonly valid: Uint8Array | null;
  /** One text of a VARCHAR column. */
  textAt(row: number): string;
}

export function rawVector(chunk: DataChunk, index: number, rows: number): RawVector {
  const vector = duckdb.data_chunk_get_vector(chunk, index);
  const bytes = (width: number): Uint8Array => duckdb.vector_get_data(vector, rows * width);
  let entries: { readonly bytes: Uint8Array; readonly buffer: Buffer } | undefined;
  return {
    bytes,
    valid: duckdb.vector_get_validity(vector, Math.ceil(rows / 64) * 8),
    textAt: (row) => {
      if (entries === undefined) {
        const all = bytes(16);
        entries = { bytes: all, buffer: Buffer.from(all.buffer, all.byteOffset, all.byteLength) };
      }
      return textAt(entries.bytes, entries.buffer, row);
    },
  };
}

/** The columns of one chunk. Typed arrays are views into DuckDB's memory, good until the next chunk is fetched. */
export function readChunk(
  chunk: DataChunk,
  names: readonly string[],
  types: readonly DuckDBType[],
): ColumnChunk {
  const rows = duckdb.data_chunk_get_size(chunk);
  return {
    rows,
    columns: names.map((name, index) => ({
      name,
      type: types[index]!.toString(),
      ...readVector(duckdb.data_chunk_get_vector(chunk, index), types[index]!, rows),
    })),
  };
}

/** Gathers chunks of one column into a single array that grows by doubling. */
export class ColumnBuffer {
  readonly #storage: TypedConstructor | undefined;
  #data: ColumnData;
  #valid: Uint8Array | null = null;
  #rows = 0;

  constructor(
    readonly name: string,
    readonly type: DuckDBType,
  ) {
    this.#storage = storageOf(type);
    this.#data = this.#storage ? new this.#storage(4096) : [];
  }

  append(column: Column, rows: number): void {
    const end = this.#rows + rows;
    if (this.#storage) {
      if (this.#data.length < end) {
        const grown = new this.#storage(Math.max(end, this.#data.length * 2));
        (grown as Uint8Array).set((this.#data as Uint8Array).subarray(0, this.#rows));
        this.#data = grown;
      }
      (this.#data as Uint8Array).set(column.data as Uint8Array, this.#rows);
    } else {
      const target = this.#data as unknown[];
      for (let i = 0; i < rows; i++) target.push(column.data[i]);
    }
    if (column.valid || this.#valid) {
      if (!this.#valid || this.#valid.length < end) {
        const grown = new Uint8Array(Math.max(end, (this.#valid?.length ?? 2048) * 2));
        if (this.#valid) grown.set(this.#valid.subarray(0, this.#rows));
        else grown.fill(1, 0, this.#rows);
        this.#valid = grown;
      }
      if (column.valid) this.#valid.set(column.valid, this.#rows);
      else this.#valid.fill(1, this.#rows, end);
    }
    this.#rows = end;
  }

  finish(): Column {
    const data = this.#storage ? (this.#data as Uint8Array).subarray(0, this.#rows) : this.#data;
    return {
      name: this.name,
      type: this.type.toString(),
      data,
      valid: this.#valid?.subarray(0, this.#rows) ?? null,
    };
  }
}
