import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DuckDBConnection, DuckDBInstance, DuckDBType, DuckDBValue } from '@duckdb/node-api';
import type { Vector } from '@duckdb/node-bindings';
import {
  type Column,
  ColumnBuffer,
  type ColumnChunk,
  type RawVector,
  rawVector,
  readChunk,
} from './columns.js';
import { duckDbError } from './errors.js';
import { api, bindings as duckdb } from './library.js';
import { quoteName } from './text.js';

export interface DuckDbOptions {
  /** Where to spill; made when it is missing, a folder of its own inside is removed at close. */
  readonly temporaryDirectory: string;
  readonly memoryLimitBytes?: number;
  readonly threads?: number;
}

export type Parameters = readonly DuckDBValue[];

/** One cell of `rows()`: BIGINT as number when safe, else bigint; timestamps as µs; dates as days. */
export type Cell = null | number | bigint | string | boolean | readonly unknown[];

export type WriteColumn =
  | {
      readonly name: string;
      readonly type: 'BIGINT' | 'TIMESTAMPTZ';
      readonly data: BigInt64Array | Float64Array;
      readonly valid?: Uint8Array | null;
    }
  | {
      readonly name: string;
      readonly type: 'DOUBLE';
      readonly data: Float64Array;
      readonly valid?: Uint8Array | null;
    }
  | {
      readonly name: string;
      readonly type: 'INTEGER' | 'DATE';
      readonly data: Int32Array;
      readonly valid?: Uint8Array | null;
    }
  | {
      readonly name: string;
      readonly type: 'BOOLEAN';
      readonly data: Uint8Array;
      readonly valid?: Uint8Array | null;
    }
  | {
      readonly name: string;
      readonly type: 'VARCHAR';
      readonly data: readonly (string | null)[];
      readonly valid?: Uint8Array | null;
    };

/** Texts as codes of a dictionary of at most 65,535 different texts. */
export interface CodedColumn {
  readonly name: string;
  readonly type: 'ENUM';
  readonly data: Uint8Array | Uint16Array;
  readonly valid: Uint8Array | null;
  readonly dictionary: readonly string[];
}

/** One connection with its own temporary tables. Statements on one connection run one after another. */
export interface DuckDbConnection {
  /** Run statements for their effect. */
  run(sql: string, parameters?: Parameters): Promise<void>;
  /** All rows as plain objects. For small results. */
  rows<Row = Record<string, Cell>>(sql: string, parameters?: Parameters): Promise<Row[]>;
  /** Typed columns chunk by chunk (2048 rows). The arrays are valid until the next chunk: copy what you keep. */
  stream(
    sql: string,
    onChunk: (chunk: ColumnChunk) => void | Promise<void>,
    parameters?: Parameters,
  ): Promise<void>;
  /**
   * The columns of chunk after chunk as they lie in DuckDB's memory, in order, valid until the next chunk. False from
   * `onChunk` ends it; a promise is waited for.
   */
  vectors(
    sql: string,
    onChunk: (rows: number, vectors: readonly RawVector[]) => boolean | Promise<void>,
  ): Promise<void>;
  /** The whole result as one typed array a column. */
  columns(sql: string, parameters?: Parameters): Promise<readonly Column[]>;
  /** Create (or replace) a temporary table from typed arrays. */
  writeTable(table: string, columns: readonly WriteColumn[]): Promise<void>;
  /**
   * The columns as a function for SQL: `name(row)`, row a BIGINT from 0, is a STRUCT with a field for each column. DuckDB
   * asks for 2,048 rows at a time while it works, so that nothing is held twice. The columns go with `release`.
   */
  provide(columns: readonly (WriteColumn | CodedColumn)[]): Promise<ProvidedColumns>;
  interrupt(): void;
  close(): void;
}

export interface ProvidedColumns {
  readonly name: string;
  release(): void;
}

export interface DuckDb extends DuckDbConnection {
  /** What this instance may hold in memory from now on, bytes; never more than it was opened with. */
  limitMemory(bytes: number): Promise<void>;
  connect(): Promise<DuckDbConnection>;
}

const TYPES: Readonly<Record<WriteColumn['type'], DuckDBType>> = {
  BIGINT: api.BIGINT,
  TIMESTAMPTZ: api.TIMESTAMPTZ,
  DOUBLE: api.DOUBLE,
  INTEGER: api.INTEGER,
  DATE: api.DATE,
  BOOLEAN: api.BOOLEAN,
  VARCHAR: api.VARCHAR,
};
const CHUNK_ROWS = 2048;

function cell(column: Column, index: number): Cell {
  if (column.valid && column.valid[index] === 0) return null;
  const value = column.data[index] as Cell;
  if (column.type === 'BOOLEAN') return value === 1;
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  return value;
}

function connection(inner: DuckDBConnection): DuckDbConnection {
  // One statement at a time: a second one would end the stream of the first without a word.
  let last: Promise<unknown> = Promise.resolve();
  const attempt = <T>(work: () => Promise<T>): Promise<T> => {
    const next = last.then(work).catch((error: unknown) => {
      throw duckDbError(error);
    });
    last = next.catch(() => undefined);
    return next;
  };
  const bind = (parameters: Parameters | undefined): DuckDBValue[] | undefined =>
    parameters && [...parameters];
  const stream: DuckDbConnection['stream'] = (sql, onChunk, parameters) =>
    attempt(async () => {
      const result = await inner.stream(sql, bind(parameters));
      const names = result.deduplicatedColumnNames();
      const types = result.columnTypes();
      for (;;) {
        const chunk = await result.fetchChunk();
        if (!chunk || chunk.rowCount === 0) return;
        const waiting = onChunk(readChunk(chunk.chunk, names, types));
        if (waiting) await waiting;
      }
    });
  return {
    run: (sql, parameters) => attempt(async () => void (await inner.run(sql, bind(parameters)))),
    rows: async <Row>(sql: string, parameters?: Parameters) => {
      const out: Row[] = [];
      await stream(
        sql,
        ({ rows, columns }) => {
          for (let i = 0; i < rows; i++) {
            out.push(Object.fromEntries(columns.map((column) => [column.name, cell(column, i)])) as Row);
          }
        },
        parameters,
      );
      return out;
    },
    stream,
    vectors: (sql, onChunk) =>
      attempt(async () => {
        const result = await inner.stream(sql);
        for (;;) {
          const chunk = await result.fetchChunk();
          if (!chunk || chunk.rowCount === 0) return;
          const rows = chunk.rowCount;
          const all = Array.from({ length: chunk.columnCount }, (_, index) =>
            rawVector(chunk.chunk, index, rows),
          );
          const more = onChunk(rows, all);
          if (more === false) return;
          if (more !== true) await more;
        }
      }),
    columns: (sql, parameters) =>
      attempt(async () => {
        const result = await inner.stream(sql, bind(parameters));
        const names = result.deduplicatedColumnNames();
        const types = result.columnTypes();
        const buffers = names.map((name, index) => new ColumnBuffer(name, types[index]!));
        for (;;) {
          const chunk = await result.fetchChunk();
          if (!chunk || chunk.rowCount === 0) break;
          const { rows, columns } = readChunk(chunk.chunk, names, types);
          for (const [index, buffer] of buffers.entries()) buffer.append(columns[index]!, rows);
        }
        return buffers.map((buffer) => buffer.finish());
      }),
    writeTable: (table, columns) => attempt(() => writeTable(inner, table, columns)),
    provide: (columns) => attempt(async () => provide(inner, columns)),
    interrupt: () => inner.interrupt(),
    close: () => inner.closeSync(),
  };
}

async function writeTable(
  inner: DuckDBConnection,
  table: string,
  columns: readonly WriteColumn[],
): Promise<void> {
  const list = columns.map((column) => `${quoteName(column.name)} ${column.type}`).join(', ');
  await inner.run(`CREATE OR REPLACE TEMP TABLE ${quoteName(table)} (${list})`);
  const appender = await inner.createAppender(table, 'main', 'temp');
  const types = columns.map((column) => TYPES[column.type]);
  const total = columns[0]?.data.length ?? 0;
  // One chunk for all: what DuckDB holds for each would only go when JavaScript collects its garbage.
  const chunk = api.DuckDBDataChunk.create(types);
  for (let from = 0; from < total; from += CHUNK_ROWS) {
    const rows = Math.min(CHUNK_ROWS, total - from);
    chunk.reset();
    chunk.rowCount = rows;
    for (const [index, column] of columns.entries())
      writeVector(duckdb.data_chunk_get_vector(chunk.chunk, index), column, from, rows);
    appender.appendDataChunk(chunk);
  }
  appender.closeSync();
}

let provided = 0;

function provide(inner: DuckDBConnection, columns: readonly (WriteColumn | CodedColumn)[]): ProvidedColumns {
  const name = `millrace_columns_${++provided}`;
  // A function stays as long as the instance.
  let held = columns;
  const types = Object.fromEntries(
    columns.map((column) => [
      column.name,
      column.type === 'ENUM' ? api.ENUM(column.dictionary) : TYPES[column.type],
    ]),
  );
  const made = new api.DuckDBScalarFunction();
  made.setName(name);
  made.addParameter(api.BIGINT);
  made.setReturnType(api.STRUCT(types));
  // So that one call gives all fields of a row.
  made.setVolatile();
  duckdb.scalar_function_set_function(made.scalar_function, (_info, input, output) => {
    const rows = duckdb.data_chunk_get_size(input);
    const bytes = duckdb.vector_get_data(duckdb.data_chunk_get_vector(input, 0), 8 * rows);
    const asked = new Int32Array(bytes.buffer, bytes.byteOffset, 2 * rows);
    const from = asked[0]!;
    for (let i = 1; i < rows; i++)
      if (asked[2 * i] !== from + i)
        throw new Error('millrace invariant broken: rows asked for out of order');
    for (const [index, column] of held.entries())
      writeVector(duckdb.struct_vector_get_child(output, index), column, from, rows);
  });
  inner.registerScalarFunction(made);
  made.destroySync();
  return {
    name,
    release: () => {
      held = [];
    },
  };
}

function writeVector(vector: Vector, column: WriteColumn | CodedColumn, from: number, rows: number): void {
  const { valid } = column;
  let nulls: Uint8Array | null = null;
  const setNull = (row: number): void => {
    nulls ??= new Uint8Array(CHUNK_ROWS / 8).fill(255);
    nulls[row >> 3]! &= ~(1 << (row & 7));
  };
  if (column.type === 'VARCHAR') {
    for (let i = 0; i < rows; i++) {
      const text = valid && valid[from + i] === 0 ? null : column.data[from + i]!;
      if (text === null) setNull(i);
      else duckdb.vector_assign_string_element(vector, i, text);
    }
  } else {
    let data: BigInt64Array | Float64Array | Int32Array | Uint16Array | Uint8Array = column.data.subarray(
      from,
      from + rows,
    );
    if ((column.type === 'BIGINT' || column.type === 'TIMESTAMPTZ') && data instanceof Float64Array)
      data = toBigInts(data);
    // What threads share cannot be handed to DuckDB as it is.
    if (data.buffer instanceof SharedArrayBuffer) data = unshared(data);
    duckdb.copy_data_to_vector(vector, 0, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    if (valid) for (let i = 0; i < rows; i++) if (valid[from + i] === 0) setNull(i);
  }
  if (nulls) {
    const bits: Uint8Array = nulls;
    duckdb.vector_ensure_validity_writable(vector);
    duckdb.copy_data_to_vector_validity(
      vector,
      0,
      bits.buffer as ArrayBuffer,
      bits.byteOffset,
      bits.byteLength,
    );
  }
}

const SCRATCH = new ArrayBuffer(CHUNK_ROWS * 8);

/** The bytes of at most one chunk, good until the next call. */
function unshared(data: ArrayBufferView): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(SCRATCH, 0, data.byteLength);
  copy.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return copy;
}

/** Safe integers in doubles to 64-bit integers without a BigInt for each, good until the next call. */
function toBigInts(numbers: Float64Array): BigInt64Array {
  const out = new BigInt64Array(SCRATCH, 0, numbers.length);
  const words = new Int32Array(SCRATCH);
  for (let i = 0; i < numbers.length; i++) {
    const high = Math.floor(numbers[i]! / 4_294_967_296);
    words[2 * i] = (numbers[i]! - high * 4_294_967_296) | 0;
    words[2 * i + 1] = high;
  }
  return out;
}

/**
 * UTC. Streams run ahead by 16 MB: with the default of 1 MB, less than a row group, DuckDB's threads take turns, since
 * each keeps the order of insertion by waiting for the one before.
 */
const prepare = async (connection: DuckDBConnection): Promise<void> => {
  await connection.run("SET TimeZone = 'UTC'");
  await connection.run("SET streaming_buffer_size = '16MB'");
};

const kibibytes = (bytes: number): string => `${Math.floor(bytes / 1024)}KiB`;

let instances = 0;

/** Removes what processes that ended without a word have left: folders named after their process. */
function removeOrphans(folder: string): void {
  for (const name of readdirSync(folder)) {
    const owner = /^(?:duckdb|sweep)-(\d+)-/.exec(name)?.[1];
    if (owner === undefined || Number(owner) === process.pid) continue;
    try {
      process.kill(Number(owner), 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH')
        rmSync(join(folder, name), { recursive: true, force: true });
    }
  }
}

/** An in-memory instance that spills to a folder of its own. UTC, insertion order kept, nothing loaded from outside. */
export async function openDuckDb(options: DuckDbOptions): Promise<DuckDb> {
  const spill = join(options.temporaryDirectory, `duckdb-${process.pid}-${++instances}`);
  mkdirSync(spill, { recursive: true });
  removeOrphans(options.temporaryDirectory);
  let instance: DuckDBInstance;
  let first: DuckDBConnection;
  try {
    instance = await api.DuckDBInstance.create(':memory:', {
      temp_directory: spill,
      ...(options.memoryLimitBytes === undefined
        ? {}
        : { memory_limit: kibibytes(options.memoryLimitBytes) }),
      ...(options.threads === undefined ? {} : { threads: String(options.threads) }),
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
    });
    first = await instance.connect();
    await prepare(first);
  } catch (error) {
    rmSync(spill, { recursive: true, force: true });
    throw duckDbError(error, 'Opening DuckDB');
  }
  const base = connection(first);
  return {
    ...base,
    limitMemory: (bytes) =>
      base.run(`SET memory_limit = '${kibibytes(Math.min(bytes, options.memoryLimitBytes ?? bytes))}'`),
    connect: async () => {
      try {
        const next = await instance.connect();
        await prepare(next);
        return connection(next);
      } catch (error) {
        throw duckDbError(error);
      }
    },
    close: () => {
      base.close();
      instance.closeSync();
      rmSync(spill, { recursive: true, force: true });
    },
  };
}
