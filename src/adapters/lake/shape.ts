import type { FieldDefinition, Source } from '../../core/define/types.js';
import { REPAIRS_TYPE } from '../../core/quality/index.js';
import { duckDbType } from '../../core/schema/coerce-sql.js';
import { BOOLEAN, INT64, TIMESTAMP, type ValueType } from '../../core/schema/types.js';

/** A column that a source reads from its files or pushed rows. */
export interface InputField extends FieldDefinition {
  /** Part of the record (stored under its name); else only read for a clock, the delete marker or the sequence. */
  readonly stored: boolean;
}

/** The declared fields, then the time, delete and sequence columns that are not among them. */
export function inputFields(source: Source): readonly InputField[] {
  const out: InputField[] = source.fields.map((field) => ({ ...field, stored: true }));
  const add = (name: string | undefined, type: ValueType): void => {
    if (name !== undefined && !out.some((field) => field.name === name))
      out.push({ name, type, stored: false });
  };
  add(source.eventTime, TIMESTAMP);
  add(source.availableAt.kind === 'field' ? source.availableAt.field : undefined, TIMESTAMP);
  add(source.deleted, BOOLEAN);
  add(source.sequence, INT64);
  return out;
}

/** Columns of the log's rows beside the declared fields, with their DuckDB types. */
const SYSTEM_COLUMNS: readonly (readonly [string, string])[] = [
  ['_seq', 'BIGINT'],
  ['_order', 'BIGINT'],
  ['_event_time', 'BIGINT'],
  ['_available_at', 'BIGINT'],
  ['_deleted', 'BOOLEAN'],
  ['_flags', 'VARCHAR[]'],
  ['_repairs', REPAIRS_TYPE],
];

/** Every column of a source's log row: name and DuckDB type. */
export const logColumns = (source: Source): readonly (readonly [string, string])[] => [
  ...source.fields.map((field) => [field.name, duckDbType(field.type)] as const),
  ...SYSTEM_COLUMNS,
];

/** What must be equal, as delivered, for two deliveries of a record key to be one and the same. */
export const contentColumns = (source: Source): readonly string[] => [
  ...source.fields.map((field) => field.name),
  '_event_time',
  ...(source.availableAt.kind === 'append' ? [] : ['_available_at']),
  '_deleted',
  ...(source.sequence === undefined ? [] : ['_order']),
];
