import { MICROS_PER_DAY } from '../../core/base/time.js';
import { type DigestCell, mergeCells } from '../../core/dataset/partition.js';
import type { Source } from '../../core/define/types.js';
import type { LogState } from '../../ports/record-log.js';
import type { DuckDb } from './connection.js';
import { quoteName } from './text.js';

interface Sums {
  readonly known: number | null;
  readonly day: number | null;
  readonly a: string;
  readonly b: string;
}

/**
 * See `OfflineStore.recordDigests`. Two 64-bit digests a record, summed: chance does not make two logs alike, whoever
 * writes the log to that end could. A version also counts in the days in which other versions of its key lie, from
 * when it was known: it may stand in their place.
 */
export async function recordDigests(
  db: DuckDb,
  source: Source,
  state: LogState,
  relationOf: (state: LogState) => string,
  { after, through }: { readonly after: number; readonly through: number },
  time: string | null,
): Promise<readonly DigestCell[]> {
  const fresh = relationOf({
    ...state,
    segments: state.segments.filter(({ firstSeq, lastSeq }) => lastSeq > after && firstSeq <= through),
  });
  const type = time === null ? null : source.fields.find((field) => field.name === time)!.type;
  const at =
    time === null
      ? '"_event_time"'
      : `epoch_us(${type!.kind === 'date' ? `CAST(${quoteName(time)} AS TIMESTAMPTZ)` : quoteName(time)})`;
  const columns = [
    ...source.fields.map(({ name }) => quoteName(name)),
    '"_seq"',
    '"_order"',
    '"_event_time"',
    '"_available_at"',
    '"_deleted"',
  ].join(', ');
  const day = (micros: string): string => `CAST(floor(${micros} / ${MICROS_PER_DAY}.0) AS INTEGER)`;
  const bounds = `"_seq" > ${after} AND "_seq" <= ${through}`;
  const sums = (sql: string): Promise<Sums[]> =>
    db.rows<Sums>(
      `SELECT known, day, CAST(sum(a) AS VARCHAR) AS a, CAST(sum(b) AS VARCHAR) AS b FROM (${sql}) GROUP BY known, day`,
    );
  const digests = `hash(${columns}) AS a, hash(${columns}, 1) AS b`;
  const cells = [
    await sums(
      `SELECT ${day('"_available_at"')} AS known, ${day(at)} AS day, ${digests} FROM (${fresh}) WHERE ${bounds}`,
    ),
  ];
  if (state.hasVersions) {
    const all = relationOf(state);
    const keys = source.recordKey.map(quoteName).join(', ');
    const same = source.recordKey.map((key) => `w.${quoteName(key)} = v.${quoteName(key)}`).join(' AND ');
    const within = `SELECT * FROM (${all}) WHERE "_seq" <= ${through}`;
    const moved = `SELECT ${keys} FROM (${within}) SEMI JOIN (SELECT ${keys} FROM (${fresh}) WHERE ${bounds}) USING (${keys}) GROUP BY ${keys} HAVING count(*) > count(${at}) OR min(${day(at)}) <> max(${day(at)})`;
    const versions = `SELECT ${keys}, "_seq" AS s, "_available_at" AS k, ${day('"_available_at"')} AS known, ${day(at)} AS day, ${digests} FROM (${within}) SEMI JOIN (${moved}) USING (${keys})`;
    cells.push(
      await sums(
        `WITH v AS MATERIALIZED (${versions}) SELECT w.known, v.day, hash(w.a, v.s) AS a, hash(w.b, v.s) AS b FROM v w JOIN v ON ${same} AND w.s <> v.s AND w.k >= v.k AND w.day IS DISTINCT FROM v.day AND greatest(w.s, v.s) > ${after}`,
      ),
    );
  }
  return mergeCells(
    ...cells.map((rows) =>
      rows.flatMap(({ known, day: on, a, b }) =>
        // A record without the time is no observation; where it had one before, that is told by the versions.
        known === null || on === null ? [] : [{ known, day: on, sums: [BigInt(a), BigInt(b)] as const }],
      ),
    ),
  );
}
