/**
 * Rearranges scanned records so that those of neighbouring entities stand together. The engine takes records in any
 * order; but reading an entity's records out of a scan in time order misses the cache with every value.
 */
import type { Column, RecordColumns } from '../../core/engine/types.js';

/** Records that fit the cache need no help. */
const WORTH_IT = 1 << 18;
/** A few columns of one block fit the cache; blocks are few enough to write to all of them at once. */
const BLOCK_ROWS = 1 << 15;
const MOST_BLOCKS = 512;

/** The same records by blocks of entities, in scan order inside each. The given arrays are used up. */
export function byEntityBlocks(records: RecordColumns, entities: number): RecordColumns {
  const { rows, entity } = records;
  if (rows < WORTH_IT || entities < 2) return records;
  const wanted = Math.min(MOST_BLOCKS, Math.ceil(rows / BLOCK_ROWS));
  let shift = 0;
  while ((entities - 1) >>> shift >= wanted) shift++;
  const starts = new Int32Array(((entities - 1) >>> shift) + 2);
  for (let i = 0; i < rows; i++) {
    const block = (entity[i]! >>> shift) + 1;
    starts[block] = starts[block]! + 1;
  }
  for (let block = 1; block < starts.length; block++) starts[block] = starts[block]! + starts[block - 1]!;

  const next = new Int32Array(starts.length);
  const arrange = <T extends Float64Array | Int32Array | Uint8Array>(from: T, to: T): T => {
    next.set(starts);
    for (let i = 0; i < rows; i++) {
      const block = entity[i]! >>> shift;
      const at = next[block]!;
      to[at] = from[i]!;
      next[block] = at + 1;
    }
    return to;
  };
  // What one column leaves behind takes the next one, so that this needs the memory of one column.
  let spare: Float64Array = new Float64Array(rows);
  const doubles = (from: Float64Array): Float64Array => {
    const arranged = arrange(from, spare);
    spare = from;
    return arranged;
  };
  const bytes = (from: Uint8Array): Uint8Array => arrange(from, new Uint8Array(rows));
  const columnOf = (column: Column): Column => {
    if (column.kind === 'numbers')
      return { ...column, values: doubles(column.values), valid: column.valid && bytes(column.valid) };
    if (column.kind === 'codes') return { ...column, codes: arrange(column.codes, new Int32Array(rows)) };
    const values = new Array<(typeof column.values)[number]>(rows).fill(null);
    next.set(starts);
    for (let i = 0; i < rows; i++) {
      const block = entity[i]! >>> shift;
      const at = next[block]!;
      values[at] = column.values[i]!;
      next[block] = at + 1;
    }
    return { ...column, values };
  };
  const eventTime = doubles(records.eventTime);
  const onTime = records.availableAt === records.eventTime;
  return {
    ...records,
    eventTime,
    availableAt: onTime ? eventTime : doubles(records.availableAt),
    seq: doubles(records.seq),
    until: records.until && doubles(records.until),
    columns: new Map([...records.columns].map(([name, column]) => [name, columnOf(column)])),
    masks: new Map([...records.masks].map(([name, mask]) => [name, bytes(mask)])),
    entity: arrange(entity, new Int32Array(rows)),
  };
}
