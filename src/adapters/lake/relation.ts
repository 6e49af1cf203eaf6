import type { Instant } from '../../core/base/time.js';
import type { Source } from '../../core/define/types.js';
import { literalSql } from '../../core/schema/coerce-sql.js';
import type { Value } from '../../core/schema/types.js';
import type { LogSegment, LogState } from '../../ports/record-log.js';
import { quoteName, quoteText } from '../duckdb/text.js';
import { logColumns } from './shape.js';

/** A committed segment and the columns that it holds (name → DuckDB type). */
export interface LakeSegment extends LogSegment {
  readonly columns: Readonly<Record<string, string>>;
}

const list = (files: readonly string[]): string => `[${files.map(quoteText).join(', ')}]`;

function parquetSql(source: Source, segments: readonly LakeSegment[]): string {
  const wanted = logColumns(source);
  const files = list(segments.map((segment) => segment.file));
  if (segments.every((segment) => wanted.every(([name, type]) => segment.columns[name] === type))) {
    return `SELECT ${wanted.map(([name]) => quoteName(name)).join(', ')} FROM read_parquet(${files})`;
  }
  const groups = new Map<string, LakeSegment[]>();
  for (const segment of segments) {
    const key = JSON.stringify(wanted.map(([name]) => segment.columns[name] ?? null));
    groups.set(key, [...(groups.get(key) ?? []), segment]);
  }
  return [...groups.values()]
    .map((group) => {
      const held = group[0]!.columns;
      const select = wanted.map(([name, type]) => {
        const column = quoteName(name);
        if (held[name] === undefined) return `CAST(NULL AS ${type}) AS ${column}`;
        return held[name] === type ? column : `TRY_CAST(${column} AS ${type}) AS ${column}`;
      });
      return `SELECT ${select.join(', ')} FROM read_parquet(${list(group.map((segment) => segment.file))})`;
    })
    .join(' UNION ALL ');
}

/** The tail's lines hold every value as text, times as microseconds and dates as days (see tail.ts). */
function tailSql(source: Source, segment: LakeSegment): string {
  const columns = logColumns(source);
  const nested = (name: string): boolean => name === '_flags' || name === '_repairs';
  const spec = columns.map(
    ([name, type]) => `${quoteText(name)}: ${quoteText(nested(name) ? type : 'VARCHAR')}`,
  );
  const select = columns.map(([name, type]) => {
    const column = quoteName(name);
    if (type === 'VARCHAR' || nested(name)) return column;
    if (name === '_order') return 'CAST(coalesce("_order", "_seq") AS BIGINT) AS "_order"';
    if (name === '_available_at')
      return 'CAST(coalesce("_available_at", "_event_time") AS BIGINT) AS "_available_at"';
    if (name === '_deleted') return 'coalesce(CAST("_deleted" AS BOOLEAN), false) AS "_deleted"';
    if (type === 'TIMESTAMP WITH TIME ZONE')
      return `make_timestamptz(CAST(${column} AS BIGINT)) AS ${column}`;
    if (type === 'DATE') return `DATE '1970-01-01' + CAST(${column} AS INTEGER) AS ${column}`;
    return `CAST(${column} AS ${type}) AS ${column}`;
  });
  return (
    `SELECT ${select.join(', ')} FROM read_json(${quoteText(segment.file)}, format='newline_delimited',` +
    ` ignore_errors=true, maximum_object_size=134217728, columns={${spec.join(', ')}})` +
    ` WHERE CAST("_seq" AS BIGINT) BETWEEN ${segment.firstSeq} AND ${segment.lastSeq}`
  );
}

/** A SELECT over exactly the rows of a snapshot: the columns of `logColumns`. */
export function relationSql(source: Source, segments: readonly LakeSegment[]): string {
  const sealed = segments.filter((segment) => segment.format === 'parquet');
  const parts = [
    ...(sealed.length > 0 ? [parquetSql(source, sealed)] : []),
    ...segments.filter((segment) => segment.format === 'ndjson').map((segment) => tailSql(source, segment)),
  ];
  if (parts.length > 0) return parts.join(' UNION ALL ');
  return `SELECT ${logColumns(source)
    .map(([name, type]) => `CAST(NULL AS ${type}) AS ${quoteName(name)}`)
    .join(', ')} WHERE false`;
}

export interface KnownOptions {
  /** Nothing with `_seq` beyond this is read. */
  readonly horizonSeq: number;
  /** Only what is known in the end, instead of intervals. */
  readonly hindsight: boolean;
  /** A part of the log that holds every version of the records in it. */
  readonly narrow?: ((relation: string) => string) | undefined;
  /** With `_repairs`. */
  readonly repairs?: boolean;
}

/**
 * Versions as intervals of knowledge: the declared fields, `_seq`, `_order`, `_event_time`, `_available_at` (known
 * from) and `_until` (known before; null: for ever). Of versions with one available_at only the last by order is
 * there; tombstones and versions that a tombstone hides are not. With hindsight: the last version of each key,
 * unless it is a tombstone.
 */
export function knownSql(source: Source, state: LogState, whole: string, options: KnownOptions): string {
  const relation = options.narrow ? options.narrow(whole) : whole;
  const columns = [
    ...source.fields.map((field) => field.name),
    '_seq',
    '_order',
    '_event_time',
    '_available_at',
    ...(options.repairs ? ['_repairs'] : []),
  ];
  const select = columns.map(quoteName).join(', ');
  const bound =
    options.horizonSeq < state.lastSeq
      ? ` WHERE "_seq" <= ${Math.max(0, Math.floor(options.horizonSeq))}`
      : '';
  if (!state.hasVersions)
    return `SELECT ${select}, CAST(NULL AS BIGINT) AS "_until" FROM (${relation})${bound}`;
  const partition = source.recordKey.map(quoteName).join(', ');
  const versions =
    `SELECT ${select}, "_deleted", lead("_available_at") OVER` +
    ` (PARTITION BY ${partition} ORDER BY "_available_at", "_order", "_seq") AS "_until" FROM (${relation})${bound}`;
  const alive = options.hindsight ? '"_until" IS NULL' : '("_until" IS NULL OR "_until" > "_available_at")';
  return `SELECT ${select}, "_until" FROM (${versions}) WHERE ${alive} AND NOT "_deleted"`;
}

const holds = (source: Source, keys: ReadonlyMap<string, Value>): string =>
  [...keys]
    .map(([name, value]) => {
      const { type } = source.fields.find((field) => field.name === name)!;
      return `${quoteName(name)} = ${literalSql(type, value)}`;
    })
    .join(' AND ');

/** Every version of the records of which some version has these keys. */
export function entitySql(
  source: Source,
  state: LogState,
  whole: string,
  keys: ReadonlyMap<string, Value>,
): string {
  const mine = `FROM (${whole}) WHERE ${holds(source, keys)}`;
  if (!state.hasVersions) return `SELECT * ${mine}`;
  const record = source.recordKey.map(quoteName).join(', ');
  return `SELECT * FROM (${whole}) SEMI JOIN (SELECT ${record} ${mine}) USING (${record})`;
}

/** Of versions as intervals of knowledge (see `knownSql`), those of an entity that hold at an instant. */
export const knownAtSql = (
  known: string,
  source: Source,
  keys: ReadonlyMap<string, Value>,
  at: Instant,
): string =>
  `SELECT * FROM (${known}) WHERE ${holds(source, keys)} AND "_available_at" <= ${at}` +
  ` AND ("_until" IS NULL OR "_until" > ${at})`;
