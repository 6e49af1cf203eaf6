import { decodeValue, type Repair } from '../../core/quality/index.js';
import type { Value, ValueType } from '../../core/schema/types.js';
import type { LogRecord } from '../../ports/record-log.js';
import type { Column } from '../duckdb/columns.js';
import type { DuckDbConnection } from '../duckdb/connection.js';
import { quoteName } from '../duckdb/text.js';

interface NamedType {
  readonly name: string;
  readonly type: ValueType;
}

const integer = (value: bigint): number | bigint => {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
};

/** A cell of a lake column in JavaScript's reading of its type. */
export function valueAt(type: ValueType, column: Column, index: number): Value {
  if (column.valid && column.valid[index] === 0) return null;
  const raw = column.data[index] as unknown;
  switch (type.kind) {
    case 'int64':
    case 'decimal':
      return integer(raw as bigint);
    case 'timestamp':
      return Number(raw as bigint);
    case 'boolean':
      return raw === 1;
    default:
      return raw as Value;
  }
}

const CHUNK_ROWS = 2048;

export interface ReadOptions {
  /** SQL of the order; absent: `_seq`. */
  readonly order?: string;
  /** With what rules changed. */
  readonly repairs?: boolean;
}

const textsAt = (column: Column, row: number): readonly (string | null)[] =>
  column.valid && column.valid[row] === 0 ? [] : (column.data[row] as unknown as readonly (string | null)[]);

/** Items of `_repairs` as four parallel lists of texts. */
const REPAIR_PARTS = ['field', 'rule', 'original', 'contract'] as const;

/**
 * Rows of a query as records, chunk by chunk. The query has the fields, `_event_time`, `_available_at`, `_deleted`,
 * `_seq`, and what the options name.
 */
export async function readRecords(
  db: DuckDbConnection,
  fields: readonly NamedType[],
  sql: string,
  onRows: (rows: readonly LogRecord[]) => void | Promise<void>,
  { order = '"_seq"', repairs = false }: ReadOptions = {},
): Promise<void> {
  const names = fields.map((field) => quoteName(field.name));
  const parts = repairs ? REPAIR_PARTS.map((part) => `list_transform("_repairs", lambda r: r.${part})`) : [];
  const types = new Map(fields.map((field) => [field.name, field.type]));
  await db.stream(
    `SELECT CAST("_seq" AS BIGINT), CAST(${order} AS BIGINT), "_event_time", "_available_at", "_deleted"${[...names, ...parts].map((name) => `, ${name}`).join('')} FROM (${sql})`,
    ({ rows, columns }) => {
      const out: LogRecord[] = new Array(Math.min(rows, CHUNK_ROWS));
      const values = columns.slice(5, 5 + fields.length);
      const [named, rules, originals, contracts] = columns.slice(5 + fields.length);
      for (let i = 0; i < rows; i++) {
        const record: Record<string, Value> = {};
        for (let f = 0; f < fields.length; f++)
          record[fields[f]!.name] = valueAt(fields[f]!.type, values[f]!, i);
        out[i] = {
          fields: record,
          seq: Number(columns[0]!.data[i]),
          order: Number(columns[1]!.data[i]),
          eventTime: Number(columns[2]!.data[i]),
          availableAt: Number(columns[3]!.data[i]),
          deleted: columns[4]!.data[i] === 1,
          ...(named && textsAt(named, i).length > 0
            ? {
                repairs: textsAt(named, i).map((field, at): Repair => {
                  const type = types.get(field!);
                  const original = textsAt(originals!, i)[at]!;
                  return {
                    field: field!,
                    rule: textsAt(rules!, i)[at]!,
                    original: type ? decodeValue(type, original) : original,
                    contract: textsAt(contracts!, i)[at]!,
                  };
                }),
              }
            : {}),
        };
      }
      return onRows(out);
    },
  );
}
