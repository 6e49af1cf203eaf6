import { columnLength, columnValue } from '../../../core/engine/columns.js';
import type { Column as EngineColumn } from '../../../core/engine/types.js';
import { toCsv } from '../../../core/schema/coerce-print.js';
import { duckDbType } from '../../../core/schema/coerce-sql.js';
import type { ValueType } from '../../../core/schema/types.js';
import type { CodedColumn, WriteColumn } from '../connection.js';

/** DuckDB keeps codes of so many texts in two bytes. */
const MOST_CODES = 65_535;

export const isoSql = (column: string): string =>
  `regexp_replace(strftime(${column}, '%Y-%m-%dT%H:%M:%S.%f'), '(\\.000000|(\\.\\d{3})000)$', '\\2') || 'Z'`;

/** The engine's column as DuckDB takes it; what has no plain form there goes as text. */
export function writeColumn(name: string, column: EngineColumn, format: 'csv' | 'parquet'): WriteColumn {
  const kind = column.type.kind;
  const textual = format === 'csv' ? kind !== 'float64' && kind !== 'int64' : false;
  if (column.kind === 'numbers' && !textual) {
    const { values, valid } = column;
    if (kind === 'float64') return { name, type: 'DOUBLE', data: values, valid };
    if (kind === 'int64') return { name, type: 'BIGINT', data: values, valid };
    if (kind === 'timestamp') return { name, type: 'TIMESTAMPTZ', data: values, valid };
    if (kind === 'date') return { name, type: 'DATE', data: Int32Array.from(values), valid };
    if (kind === 'boolean') return { name, type: 'BOOLEAN', data: Uint8Array.from(values), valid };
  }
  const rows = columnLength(column);
  const text: (string | null)[] = new Array(rows);
  for (let i = 0; i < rows; i++) {
    const value = columnValue(column, i);
    text[i] = value === null ? null : kind === 'string' ? (value as string) : toCsv(column.type, value);
  }
  return { name, type: 'VARCHAR', data: text };
}

/** Texts that are codes already go as they are; null for what is not. */
export function codedColumn(name: string, column: EngineColumn): CodedColumn | null {
  if (column.kind !== 'codes' || column.type.kind !== 'string') return null;
  const dictionary = column.dictionary as readonly string[];
  if (dictionary.length === 0 || dictionary.length > MOST_CODES) return null;
  if (new Set(dictionary).size < dictionary.length) return null;
  const rows = column.codes.length;
  // As wide as DuckDB's codes of so many texts.
  const data = dictionary.length < 256 ? new Uint8Array(rows) : new Uint16Array(rows);
  let valid: Uint8Array | null = null;
  for (let i = 0; i < rows; i++) {
    const code = column.codes[i]!;
    if (code >= 0) data[i] = code;
    else {
      valid ??= new Uint8Array(rows).fill(1);
      valid[i] = 0;
    }
  }
  return { name, type: 'ENUM', data, valid, dictionary };
}

export function castSql(column: string, type: ValueType, format: 'csv' | 'parquet'): string {
  if (type.kind === 'string') return `CAST(${column} AS VARCHAR)`;
  if (format === 'csv' || type.kind === 'list' || type.kind === 'map') return column;
  return `CAST(${column} AS ${duckDbType(type)})`;
}
