/** Reads the SQL of transforms into what lineage needs to know of it, and into the columns that the engine sees. */
import type { Source } from '../core/define/types.js';
import type { ParsedSql } from '../core/lineage/query.js';

export interface SqlParser {
  parse(sql: string): ParsedSql;
}

/** A column as the engine names and types it. */
export interface OutputColumn {
  readonly name: string;
  readonly type: string;
}

/** The columns of a query over these parents, by the engine that runs it; rejects with what the engine says. */
export type DescribeSql = (sql: string, parents: readonly Source[]) => Promise<readonly OutputColumn[]>;
