import { printDate, printInstant } from '../../src/core/base/time.js';
import { dialectOf, type Expression } from '../../src/core/expression/index.js';
import { INT64, type Value, type ValueType } from '../../src/core/schema/types.js';

/** A session with a real engine, in another time zone than UTC. */
export interface Session {
  readonly dialect: 'duckdb' | 'postgres';
  run(sql: string): Promise<void>;
  /** The named columns of a query, each in JavaScript's reading of its type. */
  query(
    sql: string,
    columns: readonly { readonly name: string; readonly type: ValueType }[],
  ): Promise<readonly (readonly Value[])[]>;
  /** The engine's names of the types of expressions over a table. */
  types(expressions: readonly string[], from: string): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** An engine that holds the hostile rows in a table `rows`. */
export interface Engine {
  readonly dialect: Session['dialect'];
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

/** Creates a table of typed columns with these rows, numbered by a first column `n`. */
export async function fill(
  session: Session,
  table: string,
  columns: Readonly<Record<string, ValueType>>,
  rows: readonly Readonly<Record<string, Value>>[],
  /** Written after the type of every text column. */
  collation = '',
): Promise<void> {
  const { typeName } = dialectOf(session.dialect);
  const typed = Object.entries(columns).map(([name, type]) => ({ name, type, sql: typeName(type) }));
  const declared = typed.map(
    ({ name, type, sql }) => `${name} ${sql}${type.kind === 'string' ? collation : ''}`,
  );
  await session.run(`CREATE TABLE ${table} (n INTEGER, ${declared.join(', ')})`);
  const values = rows.map(
    (row, n) => `(${n}, ${typed.map(({ name, type, sql }) => literal(row[name]!, type, sql)).join(', ')})`,
  );
  await session.run(`INSERT INTO ${table} VALUES ${values.join(', ')}`);
}

/** The session as an engine over the hostile rows. */
export async function engineOver(
  session: Session,
  columns: Readonly<Record<string, ValueType>>,
  rows: readonly Readonly<Record<string, Value>>[],
  collation = '',
): Promise<Engine> {
  await fill(session, 'rows', columns, rows, collation);
  return {
    dialect: session.dialect,
    async evaluate(expressions) {
      const named = expressions.map(({ sql, type }, i) => ({ sql: `${sql} AS e${i}`, name: `e${i}`, type }));
      const found = await session.query(
        `SELECT n, ${named.map(({ sql }) => sql).join(', ')} FROM rows ORDER BY n`,
        named,
      );
      return expressions.map((_, i) => found.map((row) => row[i]!));
    },
    types: (expressions) => session.types(expressions, 'rows'),
    async kept(expression) {
      const found = await session.query(`SELECT count(*) AS c FROM rows WHERE ${expression}`, [
        { name: 'c', type: INT64 },
      ]);
      return found[0]![0] as number;
    },
    close: session.close,
  };
}

export const normal = (value: bigint): number | bigint =>
  Number.isSafeInteger(Number(value)) ? Number(value) : value;

/** Values of the expression over rows, as JavaScript computes them. */
export const slotsOf = (expression: Expression, row: Readonly<Record<string, Value>>): readonly Value[] =>
  expression.slots.map(({ slot }) => row[slot]!);
