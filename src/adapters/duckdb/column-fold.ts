/** Columns of a relation through JavaScript: one stream of chunks, and a state for each column that takes in its values. */
import type { NumberState } from '../../core/drift/number-state.js';
import { TextState } from '../../core/drift/text-state.js';
import type { RawVector } from './columns.js';
import type { DuckDbConnection } from './connection.js';
import { type NumberSink, ownSinks, threadSinks } from './number-threads.js';
import { quoteName } from './text.js';

/** Columns are taken in together up to this many megabytes at worst, and what one of texts or numbers can take. */
const TOGETHER_MB = 480;
const TEXTS_MB = 30;
const NUMBERS_MB = 10;
/** Texts whose counts a second pass gives, where there are too many to count each. */
const FREQUENT = 1_000;

export interface ReadColumn {
  readonly name: string;
  readonly type: string;
}

export type Taken = ReturnType<NumberState['finish']> | ReturnType<TextState['finish']>;

/** Columns to take in, in their order, and where they are read from. */
export interface Fold {
  readonly from: string;
  readonly columns: readonly ReadColumn[];
  /** How many rows the types were told from; all where absent. */
  readonly toldFrom?: number;
  /** Threads beside this one that take in numbers. */
  readonly threads: number;
}

export interface Folded {
  readonly rows: number;
  readonly taken: readonly Taken[];
}

export const isNumber = (sqlType: string): boolean =>
  /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|UINTEGER|FLOAT|DOUBLE|DECIMAL.*)$/.test(sqlType);
const isInstant = (sqlType: string): boolean => sqlType.startsWith('TIMESTAMP') || sqlType === 'DATE';

/** What takes in one column: its expressions, and where their vectors go. */
interface Intake {
  readonly sql: readonly string[];
  add(rows: number, vectors: readonly RawVector[]): void;
  /** Whether it is of texts and all were null until now: a column that could still become anything. */
  isEmptyText(): boolean;
  finish(): Taken | Promise<Taken>;
}

const isSet = (bits: Uint8Array, row: number): boolean => ((bits[row >> 3]! >> (row & 7)) & 1) === 1;

/** The numbers of one chunk that are not null. */
const present = new Float64Array(2_048);

/** Numbers, instants (µs) and dates (days) as doubles. */
function numberIntake(column: string, sqlType: string, sink: NumberSink): Intake {
  const value =
    sqlType === 'DATE'
      ? `date_diff('day', DATE '1970-01-01', ${column})`
      : isInstant(sqlType)
        ? `epoch_us(${column})`
        : column;
  return {
    sql: [`CAST(${value} AS DOUBLE)`],
    add: (rows, [vector]) => {
      const bytes = vector!.bytes(8);
      const data = new Float64Array(bytes.buffer, bytes.byteOffset, rows);
      const { valid } = vector!;
      if (valid === null) {
        sink.add(data, rows);
        return;
      }
      let n = 0;
      for (let i = 0; i < rows; i++) if (isSet(valid, i)) present[n++] = data[i]!;
      sink.addNulls(rows - n);
      sink.add(present, n);
    },
    isEmptyText: () => false,
    finish: () => sink.finish(),
  };
}

export const textSql = (column: string, sqlType: string): string =>
  sqlType === 'VARCHAR' ? column : `CAST(${column} AS VARCHAR)`;

function textIntake(column: string, sqlType: string): Intake {
  const state = new TextState();
  const text = textSql(column, sqlType);
  return {
    sql: [`hash(${text})`, text],
    add: (rows, [hashes, texts]) => {
      const bytes = hashes!.bytes(8);
      state.add(new Uint32Array(bytes.buffer, bytes.byteOffset, 2 * rows), rows, texts!.valid, (row) =>
        texts!.textAt(row),
      );
    },
    isEmptyText: () => state.count === 0,
    finish: () => state.finish(FREQUENT),
  };
}

function truthIntake(column: string): Intake {
  const seen = [0, 0];
  let nulls = 0;
  return {
    sql: [`CAST(${column} AS UTINYINT)`],
    add: (rows, [vector]) => {
      const data = vector!.bytes(1);
      const { valid } = vector!;
      for (let i = 0; i < rows; i++) {
        if (valid && !isSet(valid, i)) nulls++;
        else seen[data[i]!]!++;
      }
    },
    isEmptyText: () => false,
    finish: () => ({
      type: 'categorical',
      counts: new Map(
        [['false', seen[0]!] as const, ['true', seen[1]!] as const].filter(([, count]) => count > 0),
      ),
      nulls,
    }),
  };
}

export const isText = ({ type }: ReadColumn): boolean =>
  !isNumber(type) && !isInstant(type) && type !== 'BOOLEAN';

function intakeOf(column: ReadColumn, nextSink: () => NumberSink): Intake {
  const name = quoteName(column.name);
  if (isText(column)) return textIntake(name, column.type);
  return column.type === 'BOOLEAN' ? truthIntake(name) : numberIntake(name, column.type, nextSink());
}

/** Columns in their order, as many together as memory allows. */
function groupsOf(columns: readonly ReadColumn[]): readonly (readonly ReadColumn[])[] {
  const groups: ReadColumn[][] = [[]];
  let room = TOGETHER_MB;
  for (const column of columns) {
    const size = isText(column) ? TEXTS_MB : NUMBERS_MB;
    if (size > room) {
      groups.push([]);
      room = TOGETHER_MB;
    }
    room -= size;
    groups.at(-1)!.push(column);
  }
  return groups;
}

/** Undefined where a column has no value among the rows that its type was told from. */
export async function foldColumns(
  db: DuckDbConnection,
  { from, columns, toldFrom = Number.POSITIVE_INFINITY, threads }: Fold,
): Promise<Folded | undefined> {
  const taken: Taken[] = [];
  const sinks = threads > 0 ? threadSinks(threads) : ownSinks;
  let rowsOfFile = 0;
  try {
    for (const group of groupsOf(columns)) {
      const intakes = group.map((column) => intakeOf(column, sinks.next));
      let told = true;
      rowsOfFile = 0;
      await db.vectors(
        `SELECT ${intakes.flatMap(({ sql }) => sql).join(', ')} FROM ${from}`,
        (rows, vectors) => {
          let at = 0;
          for (const intake of intakes) {
            intake.add(rows, vectors.slice(at, at + intake.sql.length));
            at += intake.sql.length;
          }
          if (rowsOfFile < toldFrom && rowsOfFile + rows >= toldFrom)
            told = !intakes.some((intake) => intake.isEmptyText());
          rowsOfFile += rows;
          return told && (sinks.room() ?? true);
        },
      );
      if (!told) return undefined;
      taken.push(...(await Promise.all(intakes.map((intake) => intake.finish()))));
    }
  } finally {
    await sinks.close();
  }
  return { rows: rowsOfFile, taken };
}
