import type { TouchedScan } from '../../ports/offline-store.js';
import type { LogState } from '../../ports/record-log.js';
import type { DuckDb } from './connection.js';
import { quoteName } from './text.js';

/** See `OfflineStore.touchedRows`. `keys`: the join keys over `table`, in order. */
export async function touchedRows(
  db: DuckDb,
  table: string,
  keys: readonly string[],
  { source, keyFields, after }: TouchedScan,
  state: LogState,
  relationOf: (state: LogState) => string,
): Promise<Int32Array> {
  const fresh = `SELECT * FROM (${relationOf({
    ...state,
    segments: state.segments.filter(({ lastSeq }) => lastSeq > after),
  })}) WHERE "_seq" > ${after}`;
  const record = source.recordKey.map(quoteName).join(', ');
  // A correction may have moved a record away from an entity: all its versions count.
  const records = state.hasVersions
    ? `SELECT * FROM (${relationOf(state)}) SEMI JOIN (SELECT ${record} FROM (${fresh})) USING (${record})`
    : fresh;
  const found: Int32Array[] = [];
  await db.stream(
    `SELECT CAST(r AS INTEGER) FROM (SELECT "_millrace_row" AS r, ${keys.map((sql, i) => `${sql} AS k${i}`).join(', ')} FROM ${table}) o SEMI JOIN (SELECT ${keyFields.map((field, i) => `${quoteName(field)} AS k${i}`).join(', ')} FROM (${records})) e ON ${keys.map((_, i) => `o.k${i} = e.k${i}`).join(' AND ')}`,
    ({ rows, columns: [row] }) => void found.push((row!.data as Int32Array).slice(0, rows)),
  );
  return Int32Array.from(found.flatMap((rows) => [...rows])).sort();
}
