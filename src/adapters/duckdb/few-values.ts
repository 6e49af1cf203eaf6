/** Columns of a Parquet file that are known from its footer to have few different values: DuckDB groups these by value. */
import { countedNumbers } from '../../core/drift/number-state.js';
import type { ColumnState } from '../../core/drift/profile.js';
import type { DuckDbConnection } from './connection.js';
import { quoteName, quoteText } from './text.js';

/** Different values that a column can have at the most. */
const FEW = 65_536;

interface Typed {
  readonly name: string;
  readonly type: string;
}

/** Steps in which values of a type follow each other; undefined where they have none. */
function stepOf(type: string): number | undefined {
  if (/INT(EGER)?$/.test(type)) return 1;
  const scale = /^DECIMAL\(\d+,\s*(\d+)\)$/.exec(type)?.[1];
  return scale === undefined ? undefined : 10 ** -Number(scale);
}

export interface FewValues {
  readonly rows: number;
  readonly names: ReadonlySet<string>;
}

/** Which columns these are, from the types and the statistics of all row groups. */
export async function fewValues(
  db: DuckDbConnection,
  file: string,
  columns: readonly Typed[],
): Promise<FewValues> {
  const told = await db.rows<{
    name: string;
    rows: number;
    different: number | null;
    low: number | null;
    high: number | null;
  }>(
    `SELECT path_in_schema AS name, CAST(sum(row_group_num_rows) AS BIGINT) AS rows,
      CASE WHEN count(stats_distinct_count) = count(*) THEN CAST(sum(stats_distinct_count) AS BIGINT) END AS different,
      CASE WHEN count(TRY_CAST(stats_min_value AS DOUBLE)) = count(*) THEN min(TRY_CAST(stats_min_value AS DOUBLE)) END AS low,
      CASE WHEN count(TRY_CAST(stats_max_value AS DOUBLE)) = count(*) THEN max(TRY_CAST(stats_max_value AS DOUBLE)) END AS high
    FROM parquet_metadata(${quoteText(file)}) GROUP BY path_in_schema`,
  );
  const footer = new Map(told.map((column) => [column.name, column]));
  const few = columns.filter(({ name, type }) => {
    const column = footer.get(name);
    if (!column) return false;
    if (type === 'BOOLEAN') return true;
    if (type === 'VARCHAR') return column.different !== null && column.different <= FEW;
    const step = stepOf(type);
    return (
      step !== undefined &&
      column.low !== null &&
      column.high !== null &&
      (column.high - column.low) / step < FEW
    );
  });
  return { rows: told[0]?.rows ?? 0, names: new Set(few.map(({ name }) => name)) };
}

/** Such a column, each value counted. */
export async function countValues(
  db: DuckDbConnection,
  from: string,
  { name, type }: Typed,
): Promise<ColumnState> {
  const text = type === 'BOOLEAN' || type === 'VARCHAR';
  const counted = await db.rows<{ value: number | string | null; n: number }>(
    `SELECT CAST(value AS ${text ? 'VARCHAR' : 'DOUBLE'}) AS value, n
    FROM (SELECT ${quoteName(name)} AS value, count(*) AS n FROM ${from} GROUP BY value)`,
  );
  const nulls = counted.find(({ value }) => value === null)?.n ?? 0;
  const present = counted.filter(({ value }) => value !== null);
  if (text)
    return {
      type: 'categorical',
      counts: new Map(present.map(({ value, n }) => [value as string, n])),
      nulls,
    };
  return countedNumbers(
    Float64Array.from(present, ({ value }) => value as number),
    Float64Array.from(present, ({ n }) => n),
    nulls,
  );
}
