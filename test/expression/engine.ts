import { printDate, printInstant } from '../../src/core/base/time.js';
import type { DialectName, Expression } from '../../src/core/expression/index.js';
import type { Value, ValueType } from '../../src/core/schema/types.js';

/** An engine that holds the hostile rows in a table `rows`, in a session with another time zone than UTC. */
export interface Engine {
  readonly dialect: DialectName;
  /** The values of each SQL expression over all rows, in the reading of its type. */
  evaluate(
    expressions: readonly { readonly sql: string; readonly type: ValueType }[],
  ): Promise<readonly (readonly Value[])[]>;
  /** The engine's names of the expressions' types. */
  types(expressions: readonly string[]): Promise<readonly string[]>;
  /** How many rows a WHERE of the expression keeps. */
  kept(expression: string): Promise<number>;
  close(): Promise<void>;
}

/** A value as a literal of the named SQL type, in the words that DuckDB and PostgreSQL share. */
export function literal(value: Value, type: ValueType, sqlType: string): string {
  if (value === null) return 'NULL';
  switch (type.kind) {
    case 'string':
      return `'${String(value).replaceAll("'", "''")}'`;
    case 'timestamp':
      return `TIMESTAMPTZ '${printInstant(value as number)}'`;
    case 'date':
      return `DATE '${printDate(value as number)}'`;
    case 'decimal': {
      const digits = String(value)
        .replace('-', '')
        .padStart(type.scale + 1, '0');
      return `'${(value as number) < 0 ? '-' : ''}${digits.slice(0, -type.scale)}.${digits.slice(-type.scale)}'::${sqlType}`;
    }
    default:
      return `'${value}'::${sqlType}`;
  }
}

export const normal = (value: bigint): number | bigint =>
  Number.isSafeInteger(Number(value)) ? Number(value) : value;

/** Values of the expression over rows, as JavaScript computes them. */
export const slotsOf = (expression: Expression, row: Readonly<Record<string, Value>>): readonly Value[] =>
  expression.slots.map(({ slot }) => row[slot]!);
