/** Reads the SQL of transforms into what lineage needs to know of it. */
import type { ParsedSql } from '../core/lineage/query.js';

export interface SqlParser {
  parse(sql: string): ParsedSql;
}
