/** A transform's SQL with its parents standing as tables. */
import type { Source } from '../../core/define/types.js';
import { declaredColumn } from '../../core/quality/index.js';
import { duckDbType } from '../../core/schema/coerce-sql.js';
import type { OutputColumn } from '../../ports/sql-parser.js';
import type { DuckDb } from './connection.js';
import { quoteName } from './text.js';

export interface ParentTable {
  readonly parent: Source;
  readonly sql: string;
}

/** A transform's query, its parents standing as tables with their fields. */
export function transformSql(sql: string, tables: readonly ParentTable[]): string {
  const known = tables.map(({ parent, sql: relation }) => {
    const fields = parent.fields.map((field) => quoteName(field.name)).join(', ');
    return `${quoteName(parent.name)} AS (SELECT ${fields}, "_available_at", "_event_time" FROM (${relation}))`;
  });
  return `WITH ${known.join(', ')} SELECT * FROM (${sql.trim().replace(/;$/, '')})`;
}

/** The declared columns of a transform's query; its others (a star takes the parents' clocks along) are no fields. */
export function declaredRows(transform: Source, query: string): string {
  const columns = transform.fields.map(({ name, from }) => quoteName(from ?? name));
  const order = [transform.eventTime, ...transform.recordKey].map((name) =>
    quoteName(declaredColumn(transform, name)),
  );
  return `SELECT ${columns.join(', ')} FROM (${query}) ORDER BY ${order.join(', ')}`;
}

/** Names and types of a query's columns over parents without records; throws what DuckDB says. */
export function describeSql(
  db: DuckDb,
  sql: string,
  parents: readonly Source[],
): Promise<readonly OutputColumn[]> {
  const tables = parents.map((parent): ParentTable => {
    const columns = [
      ...parent.fields.map((field) => `CAST(NULL AS ${duckDbType(field.type)}) AS ${quoteName(field.name)}`),
      'CAST(NULL AS BIGINT) AS "_available_at"',
      'CAST(NULL AS BIGINT) AS "_event_time"',
    ];
    return { parent, sql: `SELECT ${columns.join(', ')} WHERE false` };
  });
  return db.rows<{ name: string; type: string }>(
    `SELECT column_name AS name, column_type AS type FROM (DESCRIBE ${transformSql(sql, tables)})`,
  );
}
