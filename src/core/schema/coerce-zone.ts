/**
 * Local time of an IANA zone → instant, as a table that both readings share: TypeScript searches it, SQL gets
 * it as a balanced CASE. So a pushed row and a file row agree whatever time zone data the SQL engine carries.
 */
import { type Instant, MICROS_PER_SECOND } from '../base/time.js';

/** What to do with a local time that happens twice or never. */
export type AmbiguousTime = 'refuse' | 'earlier' | 'later';

/** From `from` (local microseconds) to the `from` of the next span. `small < large` in a gap or an overlap. */
export interface ZoneSpan {
  readonly from: number;
  readonly kind: 'plain' | 'gap' | 'overlap';
  /** Offsets east of UTC in microseconds; equal in a plain span. */
  readonly small: number;
  readonly large: number;
}

const WEEK_MS = 7 * 86_400_000;
const FIRST_MS = Date.UTC(1684, 0, 1);
const LAST_MS = Date.UTC(2256, 0, 1);

const cache = new Map<string, readonly ZoneSpan[]>();

const plain = (from: number, offset: number): ZoneSpan => ({
  from,
  kind: 'plain',
  small: offset,
  large: offset,
});

/** All spans of a zone over the years 1684 to 2255, in order. Throws RangeError for an unknown zone. */
export function zoneSpans(zone: string): readonly ZoneSpan[] {
  const known = cache.get(zone);
  if (known) return known;
  const spans = /^(UTC|Etc\/UTC|GMT|Etc\/GMT|Z)$/i.test(zone) ? [plain(-Infinity, 0)] : readSpans(zone);
  cache.set(zone, spans);
  return spans;
}

function readSpans(zone: string): readonly ZoneSpan[] {
  const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' });
  const offsetAt = (ms: number): number => {
    const match = /GMT(?:([+-])(\d{2}):(\d{2})(?::(\d{2}))?)?$/.exec(format.format(ms))!;
    const seconds = (Number(match[2] ?? 0) * 60 + Number(match[3] ?? 0)) * 60 + Number(match[4] ?? 0);
    return match[1] === '-' ? -seconds : seconds;
  };
  const spans: ZoneSpan[] = [];
  let before = offsetAt(FIRST_MS);
  spans.push(plain(-Infinity, before * MICROS_PER_SECOND));
  let from = FIRST_MS;
  while (from < LAST_MS) {
    const to = Math.min(from + WEEK_MS, LAST_MS);
    if (offsetAt(to) === before) {
      from = to;
      continue;
    }
    let low = from / 1000;
    let high = to / 1000;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (offsetAt(middle * 1000) === before) low = middle;
      else high = middle;
    }
    const after = offsetAt(high * 1000);
    const start = (high + Math.min(before, after)) * MICROS_PER_SECOND;
    const end = (high + Math.max(before, after)) * MICROS_PER_SECOND;
    const small = Math.min(before, after) * MICROS_PER_SECOND;
    const large = Math.max(before, after) * MICROS_PER_SECOND;
    spans.push({ from: start, kind: after > before ? 'gap' : 'overlap', small, large });
    spans.push(plain(end, after * MICROS_PER_SECOND));
    before = after;
    from = high * 1000;
  }
  return spans.filter((span, index) => index === 0 || span.from > spans[index - 1]!.from);
}

function spanAt(spans: readonly ZoneSpan[], localMicros: number): ZoneSpan {
  let low = 0;
  let high = spans.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (spans[middle]!.from <= localMicros) low = middle;
    else high = middle;
  }
  return spans[low]!;
}

export type Resolved =
  | { readonly ok: true; readonly instant: Instant }
  | { readonly ok: false; readonly reason: 'gap' | 'overlap' };

/** Offset that `span` takes under the policy; undefined: refused. The earlier instant has the larger offset. */
const chosenOffset = (span: ZoneSpan, policy: AmbiguousTime): number | undefined =>
  span.kind === 'plain' || policy === 'earlier' ? span.large : policy === 'later' ? span.small : undefined;

/** The instant at which a clock on the wall of `zone` shows `localMicros`. */
export function resolveLocal(localMicros: number, zone: string, policy: AmbiguousTime): Resolved {
  const span = spanAt(zoneSpans(zone), localMicros);
  const offset = chosenOffset(span, policy);
  if (offset === undefined) return { ok: false, reason: span.kind === 'gap' ? 'gap' : 'overlap' };
  return { ok: true, instant: localMicros - offset };
}

interface Leaf {
  readonly from: number;
  readonly offset: number | undefined;
}

/** The spans with the policy applied: each with another offset than the one before; undefined is refused. */
function readLeaves(zone: string, policy: AmbiguousTime): readonly Leaf[] {
  const leaves: Leaf[] = [];
  for (const span of zoneSpans(zone)) {
    const offset = chosenOffset(span, policy);
    if (leaves.length === 0 || leaves.at(-1)!.offset !== offset) leaves.push({ from: span.from, offset });
  }
  return leaves;
}

const printOffset = (leaf: Leaf): string => (leaf.offset === undefined ? 'NULL' : `${leaf.offset}`);

function printTree(leaves: readonly Leaf[]): string {
  if (leaves.length === 1) return printOffset(leaves[0]!);
  const middle = leaves.length >> 1;
  return `CASE WHEN l < ${leaves[middle]!.from} THEN ${printTree(leaves.slice(0, middle))} ELSE ${printTree(leaves.slice(middle))} END`;
}

/** Quarters of a year, within which clocks are seldom changed twice. */
const BUCKET_MICROS = 7_889_400_000_000;
const BUCKETS = 4 * 130;

interface Table {
  /** For each bucket the first offset, then those after the first, second … change within it. */
  readonly offsets: readonly string[];
  /** For each bucket where its first, second … change is. */
  readonly starts: readonly string[];
}

/**
 * Offsets of local times from 1970 to 2100, as lists with one element for each bucket. They are cast from texts: DuckDB
 * binds one constant faster than hundreds.
 */
function readTable(leaves: readonly Leaf[]): Table {
  const rows = Array.from({ length: BUCKETS }, (_, bucket) => {
    const start = bucket * BUCKET_MICROS;
    const first = leaves.findLastIndex((leaf) => leaf.from <= start);
    let end = first + 1;
    while (end < leaves.length && leaves[end]!.from < start + BUCKET_MICROS) end++;
    return leaves.slice(first, end);
  });
  const width = Math.max(...rows.map((row) => row.length));
  const list = (cell: (row: readonly Leaf[]) => string): string =>
    `('[${rows.map(cell).join(', ')}]'::BIGINT[])`;
  return {
    offsets: Array.from({ length: width }, (_, k) =>
      list((row) => printOffset(row[Math.min(k, row.length - 1)]!)),
    ),
    starts: Array.from({ length: width - 1 }, (_, k) =>
      list((row) => `${row[k + 1]?.from ?? Number.MAX_SAFE_INTEGER}`),
    ),
  };
}

interface ZoneSql {
  readonly leaves: readonly Leaf[];
  readonly table: Table;
  readonly tree: string;
}

const zonesInSql = new Map<string, ZoneSql>();

/** Printed once: it is in the SQL of every local timestamp of every file. */
function zoneInSql(zone: string, policy: AmbiguousTime): ZoneSql {
  const key = `${policy} ${zone}`;
  let known = zonesInSql.get(key);
  if (known === undefined) {
    const leaves = readLeaves(zone, policy);
    known = { leaves, table: readTable(leaves), tree: printTree(leaves) };
    zonesInSql.set(key, known);
  }
  return known;
}

function printTable({ offsets, starts }: Table, localSql: string): string {
  const at = `[${localSql} // ${BUCKET_MICROS} + 1]`;
  const branches = starts.map((list, k) => ` WHEN ${localSql} >= ${list}${at} THEN ${offsets[k + 1]}${at}`);
  return branches.length === 0
    ? `${offsets[0]}${at}`
    : `CASE${branches.reverse().join('')} ELSE ${offsets[0]}${at} END`;
}

/**
 * SQL BIGINT: the instant for the local microseconds that `localSql` gives; NULL where `resolveLocal` refuses.
 * `localSql` is repeated, so it should be cheap.
 */
export function resolveLocalSql(localSql: string, zone: string, policy: AmbiguousTime): string {
  const { leaves, table, tree } = zoneInSql(zone, policy);
  if (leaves.length === 1)
    return leaves[0]!.offset === 0 ? localSql : `(${localSql} - (${leaves[0]!.offset}))`;
  // DuckDB prepares the body of a lambda anew for each batch of rows: too dear for the usual years.
  return (
    `CASE WHEN ${localSql} BETWEEN 0 AND ${BUCKETS * BUCKET_MICROS - 1} THEN ${localSql} - (${printTable(table, localSql)})` +
    ` WHEN ${localSql} IS NOT NULL THEN list_transform([${localSql}], lambda l: l - (${tree}))[1] END`
  );
}
