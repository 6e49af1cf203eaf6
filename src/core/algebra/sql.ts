/**
 * The SQL reading of the folds: one statement of plain aggregates that gives the state of every entity, and how its
 * rows become the fold's encoded state, the same bytes as `encode` gives after adding the members one by one.
 * Three shapes: flat (one row an entity), keyed (one row an entity and key: counts by value, by bucket, by register,
 * exact sums of doubles by exponent) and ranked (the members that matter, by their place in the order).
 */
import type { FunctionName } from '../define/types.js';
import type { Dialect, DialectName } from '../expression/index.js';
import { dialectOf } from '../expression/index.js';
import { FLOAT64, INT64, STRING, type Value, type ValueType } from '../schema/types.js';
import { compareText, compareValues, encodeValue } from './compare.js';
import { type Dyadic, encodeDyadic } from './exact.js';
import type { FoldContext } from './fold.js';
import { FREQUENCY_NAMES } from './folds/frequencies.js';
import { MOMENT_FOLDS, type MomentName } from './folds/numbers.js';
import { rankOf } from './folds/sketches.js';

/** SQL texts of the parts. */
export interface StateParts {
  /** A table or a parenthesised query. Its rows are members: known, inside the window, past `where`. */
  readonly from: string;
  readonly entity: string;
  /** The aggregated field in the engine's type of it (`Dialect.typeName`). */
  readonly value: string;
  readonly by: string;
  /** `ratio`: BOOLEAN. */
  readonly predicate: string;
  /** Microseconds, BIGINT. */
  readonly eventTime: string;
  /** Member order, as many columns as are needed to be total. */
  readonly order: readonly string[];
  /** `group_by`: the category as text. */
  readonly group?: string;
}

export interface StateColumn {
  readonly name: string;
  readonly type: ValueType;
}

/** Rows in the columns' order, in JavaScript's reading of their types; the first column is the entity. */
export type StateRows = readonly (readonly Value[])[];

export interface StateSql {
  readonly sql: string;
  /** After the entity. Wide integers come as text. */
  readonly columns: readonly StateColumn[];
  /** The encoded state from the rows of one entity, in any order; of no rows, the state of no members. */
  encoded(rows: StateRows): unknown;
}

interface Words {
  /** The 64 bits of a double as BIGINT. */
  bits(value: string): string;
  shiftRight(value: string, by: number): string;
  /** An exact sum of integers that may leave 64 bits, as text. */
  wideSum(value: string): string;
  readonly text: string;
}

const WORDS: Readonly<Record<DialectName, Words>> = {
  duckdb: {
    bits: (value) => `CAST(CAST(${value} AS BIT) AS BIGINT)`,
    shiftRight: (value, by) => `(${value} >> ${by})`,
    wideSum: (value) => `CAST(sum(CAST(${value} AS HUGEINT)) AS VARCHAR)`,
    text: 'VARCHAR',
  },
  postgres: {
    bits: (value) => `CAST(CAST('x' || encode(float8send(${value}), 'hex') AS BIT(64)) AS BIGINT)`,
    shiftRight: (value, by) => `(${value} >> ${by})`,
    wideSum: (value) => `CAST(sum(CAST(${value} AS NUMERIC)) AS TEXT)`,
    text: 'TEXT',
  },
  spark: {
    bits: (value) => `CAST(reflect('java.lang.Double', 'doubleToLongBits', ${value}) AS BIGINT)`,
    shiftRight: (value, by) => `shiftright(${value}, ${by})`,
    wideSum: (value) => `CAST(sum(CAST(${value} AS DECIMAL(38, 0))) AS STRING)`,
    text: 'STRING',
  },
};

/** Pieces of an integer in base 2^22: products of four of them, summed over 2^39 rows, stay within 127 bits. */
const PIECE_BITS = 22;

/** Exponents (a, b, c) with a + b + c = power: the monomials of a power of a three-piece integer. */
const monomials = (power: number): readonly (readonly [number, number, number])[] =>
  Array.from({ length: power + 1 }, (_, a) =>
    Array.from({ length: power - a + 1 }, (_, b) => [a, b, power - a - b] as const),
  ).flat();

const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));

/** Σ v^power from the sums of its monomials. */
function powerSum(power: number, sums: readonly bigint[]): bigint {
  return monomials(power).reduce((total, [a, b, c], i) => {
    const ways = factorial(power) / (factorial(a) * factorial(b) * factorial(c));
    return total + ((BigInt(ways) * sums[i]!) << BigInt(PIECE_BITS * (b + 2 * c)));
  }, 0n);
}

const addDyadic = (x: Dyadic, y: Dyadic): Dyadic => {
  const exponent = Math.min(x.exponent, y.exponent);
  return {
    m: (x.m << BigInt(x.exponent - exponent)) + (y.m << BigInt(y.exponent - exponent)),
    exponent,
  };
};

class Statement {
  readonly d: Dialect;
  readonly words: Words;
  readonly type: ValueType;
  readonly value: string;

  constructor(
    readonly context: FoldContext,
    readonly parts: StateParts,
    dialect: DialectName,
  ) {
    this.d = dialectOf(dialect);
    this.words = WORDS[dialect];
    this.type = context.inputType ?? FLOAT64;
    this.value = this.type.kind === 'string' ? this.d.textLeaf(parts.value) : parts.value;
  }

  /** `SELECT entity, columns FROM ... WHERE ... GROUP BY entity, keys`. */
  grouped(
    keys: Readonly<Record<string, string>>,
    aggregates: Readonly<Record<string, string>>,
    where: string | null,
    from = this.parts.from,
  ): string {
    const named = Object.entries({ ...keys, ...aggregates }).map(([name, sql]) => `${sql} AS ${name}`);
    const { entity } = this.parts;
    return (
      `SELECT ${[`${entity} AS entity`, ...named].join(', ')} FROM ${from}` +
      `${where === null ? '' : ` WHERE ${where}`} GROUP BY ${[entity, ...Object.values(keys)].join(', ')}`
    );
  }

  /** The unscaled integer of an int64 or a decimal. */
  integer(): string {
    const { d, type, value } = this;
    if (type.kind !== 'decimal') return value;
    return `CAST(${d.factor(value, type.scale)} * CAST(${10 ** type.scale} AS DECIMAL(${type.scale + 1}, 0)) AS BIGINT)`;
  }

  /** A number as double, correctly rounded. */
  double(): string {
    const { d, type, value, words } = this;
    if (type.kind === 'float64') return value;
    return type.kind === 'int64' ? d.float(value) : d.float(`CAST(${value} AS ${words.text})`);
  }

  /** What a sketch hashes: see `hashText`. */
  hashText(): string {
    const { d, type, value, words } = this;
    const text = (integer: string): string => `CAST(${integer} AS ${words.text})`;
    switch (type.kind) {
      case 'string':
        return value;
      case 'float64':
        return text(words.bits(value));
      case 'timestamp':
        return text(d.time.micros(value));
      case 'date':
        return text(d.time.subtractDates(value, "DATE '1970-01-01'"));
      case 'boolean':
        return `CASE WHEN ${value} THEN 'true' ELSE 'false' END`;
      default:
        return text(this.integer());
    }
  }
}

const column = (name: string, type: ValueType): StateColumn => ({ name, type });
const COUNT = column('n', INT64);

/** One row an entity: the values of the columns, or null when there is none. */
const flat = (
  statement: Statement,
  aggregates: Readonly<Record<string, readonly [sql: string, type: ValueType]>>,
  where: string | null,
  encoded: (values: readonly Value[] | null) => unknown,
): StateSql => ({
  sql: statement.grouped(
    {},
    Object.fromEntries(Object.entries(aggregates).map(([name, [sql]]) => [name, sql])),
    where,
  ),
  columns: Object.entries(aggregates).map(([name, [, type]]) => column(name, type)),
  encoded: (rows) => encoded(rows[0]?.slice(1) ?? null),
});

/** Members in order, the first `most` of them: rows of rank and values. */
function ranked(
  statement: Statement,
  order: readonly string[],
  values: Readonly<Record<string, readonly [sql: string, type: ValueType]>>,
  where: string | null,
  most: number,
  encoded: (rows: readonly (readonly Value[])[]) => unknown,
  from = statement.parts.from,
): StateSql {
  const { entity } = statement.parts;
  const named = Object.entries(values).map(([name, [sql]]) => `${sql} AS ${name}`);
  const names = Object.keys(values);
  const inner =
    `SELECT ${[`${entity} AS entity`, ...named].join(', ')}, ` +
    `row_number() OVER (PARTITION BY ${entity} ORDER BY ${order.join(', ')}) AS place FROM ${from}` +
    `${where === null ? '' : ` WHERE ${where}`}`;
  const limit = Number.isFinite(most) ? ` WHERE place <= ${most}` : '';
  return {
    sql: `SELECT entity, place, ${names.join(', ')} FROM (${inner}) AS ranked${limit}`,
    columns: [
      column('place', INT64),
      ...Object.entries(values).map(([name, [, type]]) => column(name, type)),
    ],
    encoded: (rows) =>
      encoded([...rows].sort((a, b) => Number(a[1]) - Number(b[1])).map((row) => row.slice(2))),
  };
}

function moments(statement: Statement, name: MomentName): StateSql {
  const { type, words } = statement;
  const isDouble = type.kind === 'float64';
  const powers = Array.from({ length: MOMENT_FOLDS[name].powers }, (_, i) => i + 1);
  const mask = 2 ** PIECE_BITS - 1;
  const present = `${statement.value} IS NOT NULL`;
  // A double is its 53-bit integer times a power of two: summed by exponent, nothing is rounded.
  const whole = isDouble ? 'm' : 'v';
  const inner = isDouble
    ? `(SELECT entity, CASE WHEN b < 0 THEN -size ELSE size END AS m, CASE WHEN raised = 0 THEN -1074 ELSE raised - 1075 END AS e FROM ` +
      `(SELECT entity, b, raised, (b & 4503599627370495) + CASE WHEN raised = 0 THEN 0 ELSE 4503599627370496 END AS size FROM ` +
      `(SELECT entity, b, ${words.shiftRight('b', 52)} & 2047 AS raised FROM ` +
      `(SELECT ${statement.parts.entity} AS entity, ${words.bits(statement.value)} AS b FROM ${statement.parts.from} WHERE ${present}) AS bits) AS cut) AS parts)`
    : `(SELECT ${statement.parts.entity} AS entity, ${statement.integer()} AS v FROM ${statement.parts.from} WHERE ${present})`;
  const pieces = [
    `(${whole} & ${mask})`,
    `(${words.shiftRight(whole, PIECE_BITS)} & ${mask})`,
    words.shiftRight(whole, 2 * PIECE_BITS),
  ];
  const wide = (piece: string): string => statement.d.wideInt(piece);
  const sums = powers.flatMap((power) =>
    monomials(power).map((exponents): [string, string] => [
      `s${exponents.join('')}`,
      words.wideSum(
        exponents.flatMap((times, i) => Array.from({ length: times }, () => wide(pieces[i]!))).join(' * '),
      ),
    ]),
  );
  const key = isDouble ? 'e' : '0';
  const sql =
    `SELECT entity, ${key} AS e, count(*) AS n, ${sums.map(([sum, text]) => `${text} AS ${sum}`).join(', ')} ` +
    `FROM ${inner} AS numbers GROUP BY entity${isDouble ? ', e' : ''}`;
  return {
    sql,
    columns: [column('e', INT64), COUNT, ...sums.map(([sum]) => column(sum, STRING))],
    encoded: (rows) => {
      let n = 0;
      const totals: Dyadic[] = powers.map(() => ({ m: 0n, exponent: 0 }));
      for (const [, e, count, ...texts] of rows) {
        n += Number(count);
        let at = 0;
        for (const [i, power] of powers.entries()) {
          const width = monomials(power).length;
          const m = powerSum(
            power,
            texts.slice(at, at + width).map((text) => BigInt(text as string)),
          );
          at += width;
          totals[i] = addDyadic(totals[i]!, { m, exponent: power * Number(e) });
        }
      }
      return [n, ...totals.map((total) => (isDouble ? encodeDyadic(total) : String(total.m)))];
    },
  };
}

/** How often each value occurs. */
const frequencies = (statement: Statement): StateSql => ({
  sql: statement.grouped({ key: statement.value }, { n: 'count(*)' }, `${statement.value} IS NOT NULL`),
  columns: [column('key', statement.type), COUNT],
  encoded: (rows) =>
    [...rows]
      .sort((a, b) => compareValues(a[1]!, b[1]!))
      .map(([, value, n]) => [encodeValue(value!), Number(n)]),
});

/** Counts by sign, exponent and the top 6 bits of the mantissa. */
function buckets(statement: Statement): StateSql {
  const { words } = statement;
  const bits = words.bits(statement.double());
  const size = `${words.shiftRight(`(${bits} & 9223372036854775807)`, 46)} + 1`;
  const key = `CASE WHEN ${statement.value} = 0 THEN 0 WHEN ${statement.value} < 0 THEN -(${size}) ELSE ${size} END`;
  return {
    sql: statement.grouped({ key }, { n: 'count(*)' }, `${statement.value} IS NOT NULL`),
    columns: [column('key', INT64), COUNT],
    encoded: (rows) => rows.map(([, key, n]) => [Number(key), Number(n)]).sort((a, b) => a[0]! - b[0]!),
  };
}

/** The greatest rank in a register is that of the least 13 digits behind the register's three. */
function registers(statement: Statement): StateSql {
  const digest = `md5(${statement.hashText()})`;
  return {
    sql: statement.grouped(
      { key: `substring(${digest}, 1, 3)` },
      { least: `min(${statement.d.textLeaf(`substring(${digest}, 4, 13)`)})` },
      `${statement.value} IS NOT NULL`,
    ),
    columns: [column('key', STRING), column('least', STRING)],
    encoded: (rows) =>
      rows
        .map(([, key, least]) => [Number.parseInt(key as string, 16), rankOf(least as string)])
        .sort((a, b) => a[0]! - b[0]!),
  };
}

function inner(name: FunctionName, context: FoldContext, parts: StateParts, dialect: DialectName): StateSql {
  const statement = new Statement(context, parts, dialect);
  const { value, type } = statement;
  const { k = 1, ignoreNulls } = context.arguments;
  const present = `${value} IS NOT NULL`;
  const { order } = parts;
  const ascending = order.map((text) => `${text} ASC NULLS LAST`);
  const descending = order.map((text) => `${text} DESC NULLS LAST`);
  const values = { v: [value, type] as const };
  const run = (rows: readonly (readonly Value[])[]) => rows.map(([item]) => encodeValue(item!));

  if (name in MOMENT_FOLDS) return moments(statement, name as MomentName);
  if (FREQUENCY_NAMES.has(name)) return frequencies(statement);
  switch (name) {
    case 'count':
      return flat(
        statement,
        { n: ['count(*)', INT64] },
        context.inputType === null ? null : present,
        (row) => (row === null ? 0 : Number(row[0])),
      );
    case 'ratio':
      return flat(
        statement,
        {
          members: ['count(*)', INT64],
          trues: [`count(CASE WHEN ${parts.predicate} THEN 1 END)`, INT64],
        },
        null,
        (row) => (row === null ? [0, 0] : row.map(Number)),
      );
    case 'min':
    case 'max': {
      // PostgreSQL has no least boolean.
      const isBoolean = type.kind === 'boolean';
      const text = isBoolean ? `CASE WHEN ${value} THEN 1 ELSE 0 END` : value;
      return flat(statement, { v: [`${name}(${text})`, isBoolean ? INT64 : type] }, present, (row) =>
        row === null ? null : isBoolean ? Number(row[0]) === 1 : encodeValue(row[0]!),
      );
    }
    case 'seconds_since_last':
    case 'seconds_since_first': {
      const end = name === 'seconds_since_last' ? 'max' : 'min';
      return flat(
        statement,
        { moment: [`${end}(${parts.eventTime})`, INT64] },
        null,
        (row) => row?.[0] ?? null,
      );
    }
    case 'first':
    case 'last':
      return ranked(
        statement,
        name === 'first' ? ascending : descending,
        values,
        ignoreNulls ? present : null,
        1,
        run,
      );
    case 'first_k':
      return ranked(statement, ascending, values, present, k, run);
    case 'last_k':
    case 'lag':
      return ranked(statement, descending, values, present, k, (rows) => run(rows).reverse());
    case 'list':
      return ranked(
        statement,
        descending,
        values,
        present,
        context.arguments.k ?? Number.POSITIVE_INFINITY,
        (rows) => run(rows).reverse(),
      );
    case 'last_distinct_k': {
      const newest =
        `(SELECT *, row_number() OVER (PARTITION BY ${parts.entity}, ${value} ORDER BY ${descending.join(', ')}) AS _repeat ` +
        `FROM ${parts.from}) AS newest`;
      return ranked(
        statement,
        descending,
        values,
        `${present} AND _repeat = 1`,
        k,
        (rows) => run(rows).reverse(),
        newest,
      );
    }
    case 'min_by':
    case 'max_by': {
      const byType = context.byType ?? FLOAT64;
      const by = byType.kind === 'string' ? statement.d.textLeaf(parts.by) : parts.by;
      return ranked(
        statement,
        [`${by} ${name === 'max_by' ? 'DESC' : 'ASC'} NULLS LAST`, ...descending],
        { b: [by, byType], v: [value, type] },
        `${present} AND ${by} IS NOT NULL`,
        1,
        ([row]) => (row === undefined ? [null, null] : row.map(encodeValue)),
      );
    }
    case 'ewma':
    case 'decayed_sum':
      return ranked(
        statement,
        ascending,
        { t: [parts.eventTime, INT64], x: [statement.double(), FLOAT64] },
        present,
        Number.POSITIVE_INFINITY,
        (rows) => [rows.map(([t]) => t), rows.map(([, x]) => x)],
      );
    case 'approx_quantile':
      return buckets(statement);
    default:
      return registers(statement);
  }
}

/** The statements that give the state of a fold for every entity: one, and a second that counts rows for `group_by`. */
export interface FoldSql {
  readonly statements: readonly { readonly sql: string; readonly columns: readonly StateColumn[] }[];
  /** The encoded state from the rows of one entity, one list for each statement. */
  encoded(results: readonly StateRows[]): unknown;
}

/** The state of a fold in SQL; equal to what its TypeScript reading encodes, whatever the engine. */
export function foldSql(
  name: FunctionName,
  context: FoldContext,
  parts: StateParts,
  dialect: DialectName,
): FoldSql {
  const { group, entity } = parts;
  if (group === undefined) {
    const { sql, columns, encoded } = inner(name, context, parts, dialect);
    return { statements: [{ sql, columns }], encoded: ([rows]) => encoded(rows!) };
  }
  // Each (entity, category) is folded by itself: the pair stands where the entity stood.
  const d = dialectOf(dialect);
  const category = d.textLeaf(group);
  const members = `(SELECT *, ${category} AS _category FROM ${parts.from}) AS categorised`;
  const numbered = `(SELECT *, dense_rank() OVER (ORDER BY ${entity}, _category) AS _pair FROM ${members} WHERE _category IS NOT NULL) AS pairs`;
  const folded = inner(name, context, { ...parts, from: numbered, entity: '_pair' }, dialect);
  const counts = `SELECT ${entity} AS entity, _pair AS pair, _category AS category, count(*) AS n FROM ${numbered} GROUP BY ${entity}, _pair, _category`;
  return {
    statements: [
      { sql: counts, columns: [column('pair', INT64), column('category', STRING), COUNT] },
      {
        sql:
          `SELECT owners.entity AS entity, folded.entity AS pair, ${folded.columns.map(({ name: item }) => `folded.${item} AS ${item}`).join(', ')} ` +
          `FROM (SELECT DISTINCT ${entity} AS entity, _pair AS pair FROM ${numbered}) AS owners ` +
          `JOIN (${folded.sql}) AS folded ON folded.entity = owners.pair`,
        columns: [column('pair', INT64), ...folded.columns],
      },
    ],
    encoded: ([groups, states]) =>
      [...groups!]
        .sort((a, b) => compareText(a[2] as string, b[2] as string))
        .map(([, pair, name, n]) => [
          name,
          Number(n),
          folded.encoded(states!.filter((row) => row[1] === pair).map((row) => row.slice(1))),
        ]),
  };
}
