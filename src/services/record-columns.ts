/** Records as columns, for another thread: numbers in arrays that are handed over, not copied value by value. */
import type { Value } from '../core/schema/types.js';
import type { LogRecord } from '../ports/record-log.js';

/** eventTime, availableAt, order, seq, marks. */
const CLOCKS = 5;
const DELETED = 1;
const FIRST = 2;

export interface RecordColumns {
  readonly count: number;
  readonly names: readonly string[];
  /** By name: numbers with NaN for null, or values as they are. */
  readonly columns: readonly (Float64Array | readonly Value[])[];
  readonly clocks: Float64Array;
}

function columnOf(records: readonly LogRecord[], name: string): Float64Array | readonly Value[] {
  const numbers = new Float64Array(records.length);
  for (let i = 0; i < records.length; i++) {
    const value = records[i]!.fields[name] ?? null;
    if (value === null) numbers[i] = Number.NaN;
    else if (typeof value === 'number') numbers[i] = value;
    else return records.map((record) => record.fields[name] ?? null);
  }
  return numbers;
}

export function toColumns(records: readonly LogRecord[], names: readonly string[]): RecordColumns {
  const clocks = new Float64Array(records.length * CLOCKS);
  for (let i = 0, at = 0; i < records.length; i++) {
    const record = records[i]!;
    clocks[at++] = record.eventTime;
    clocks[at++] = record.availableAt;
    clocks[at++] = record.order;
    clocks[at++] = record.seq;
    clocks[at++] = (record.deleted ? DELETED : 0) + (record.version === false ? FIRST : 0);
  }
  return { count: records.length, names, columns: names.map((name) => columnOf(records, name)), clocks };
}

/** What `postMessage` may hand over. */
export const buffersOf = ({ columns, clocks }: RecordColumns): ArrayBuffer[] =>
  [clocks, ...columns].flatMap((column) =>
    column instanceof Float64Array ? [column.buffer as ArrayBuffer] : [],
  );

export function fromColumns({ count, names, columns, clocks }: RecordColumns): LogRecord[] {
  const out: LogRecord[] = new Array(count);
  for (let i = 0; i < count; i++) {
    const fields: Record<string, Value> = {};
    for (let c = 0; c < names.length; c++) {
      const value = columns[c]![i]!;
      fields[names[c]!] = Number.isNaN(value) ? null : value;
    }
    const at = i * CLOCKS;
    const marks = clocks[at + 4]!;
    out[i] = {
      fields,
      eventTime: clocks[at]!,
      availableAt: clocks[at + 1]!,
      order: clocks[at + 2]!,
      seq: clocks[at + 3]!,
      deleted: (marks & DELETED) !== 0,
      ...((marks & FIRST) !== 0 ? { version: false } : {}),
    };
  }
  return out;
}
