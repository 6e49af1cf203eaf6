/**
 * Where the typed rows of a batch stand. Rows that are judged by themselves do not change once they are read: `staged`
 * is a view over them. A Parquet file whose columns have the types of their fields is read again where it lies, as often as
 * it is asked: that costs less than to hold its rows. What must be read from texts is held, or, beyond what may be held,
 * becomes a Parquet file of typed rows: memory does not grow with the batch. Rows that other rows decide about, or that
 * are repaired, are one table, which DuckDB spills.
 */
import { statSync } from 'node:fs';
import { invariant } from '../../../core/base/error.js';
import type { Source } from '../../../core/define/types.js';
import { effectiveContract, isReference, isSql, isUnique, repairRules } from '../../../core/quality/index.js';
import { typeOfDuckDb } from '../../../core/schema/coerce-sql.js';
import type { ValueType } from '../../../core/schema/types.js';
import type { DuckDbConnection } from '../../duckdb/connection.js';
import { quoteText } from '../../duckdb/text.js';
import { inputFields } from '../shape.js';
import { scriptRules, stagedSql } from '../stage.js';
import { type BatchInput, fileOf } from './input.js';
import { rawRow } from './raw-row.js';

/** Nothing but a row itself decides about it. */
export const isJudgedAlone = (source: Source): boolean =>
  repairRules(source).fields.length === 0 &&
  scriptRules(source).length === 0 &&
  effectiveContract(source).rows.every((rule) => !isReference(rule) && !isUnique(rule) && !isSql(rule));

/** The rows of one input, to be read more than once. */
export interface StagedRows {
  readonly rows: number;
  /** SELECT of the columns of `stagedSql` and `_place`, which counts the rows of the batch from 0. */
  readonly select: string;
  /** True of the rows of `select` that break a rule. */
  readonly broken: string;
  /** What they take of the memory, about. */
  readonly bytes: number;
}

/** Bytes of a row beside its fields, of a number, and of a text in DuckDB's tables, about. */
const ROW_BYTES = 40;
const NUMBER_BYTES = 8;
const TEXT_BYTES = 32;
/** A row of delimited text in memory, over its size on the disk. */
const TEXT_GROWTH = 2;

/** By the place of the input in the batch. */
export const heldTable = (input: number): string => `staged_${input}`;

const rowBytes = (source: Source): number =>
  inputFields(source).reduce(
    (sum, { type }) => sum + (isNarrow(type) ? NUMBER_BYTES : TEXT_BYTES),
    ROW_BYTES,
  );

const isNarrow = ({ kind }: ValueType): boolean =>
  kind === 'int64' ||
  kind === 'float64' ||
  kind === 'decimal' ||
  kind === 'boolean' ||
  kind === 'timestamp' ||
  kind === 'date';

/** Makes the rows of an input readable again. `table`: where they may be held; `before`: rows of the inputs before it. */
export async function stageRows(
  db: DuckDbConnection,
  input: BatchInput,
  options: {
    readonly table: string;
    readonly before: number;
    readonly now: number;
    /** Where `openInput` has written the texts of a file that is no Parquet file. */
    readonly textPath: string;
    /** Of the Parquet file that is made of texts; removed by the caller. */
    readonly path: string;
    /** Bytes that rows may still take of the memory. */
    readonly room: number;
  },
): Promise<StagedRows> {
  const { table, before, now, room } = options;
  const { source } = input;
  const staged = stagedSql(source, input, fileOf(input), now, rawRow(input).kept);
  const count = async (from: string): Promise<number> => {
    const [found] = await db.rows<{ n: number }>(`SELECT count(*) AS n FROM ${from}`);
    return Number(found!.n);
  };
  const known =
    input.format === 'parquet' ? await count(`read_parquet(${quoteText(input.file.path)})`) : undefined;
  if (known !== undefined && isTyped(source, input))
    return {
      rows: known,
      bytes: 0,
      select: `SELECT *, "_line" + ${before - 1} AS "_place" FROM (${staged})`,
      broken: '"_broken"',
    };
  const bytes =
    known === undefined ? TEXT_GROWTH * statSync(options.textPath).size : known * rowBytes(source);
  const broken = '("_reasons" IS NOT NULL OR "_marks" IS NOT NULL)';
  if (bytes <= room) {
    await db.run(`CREATE OR REPLACE TEMP TABLE ${table} AS ${staged}`);
    return {
      rows: await count(table),
      bytes,
      select: `SELECT *, rowid + ${before} AS "_place" FROM ${table}`,
      broken,
    };
  }
  const typed = quoteText(options.path);
  await db.run(`COPY (${staged}) TO ${typed} (FORMAT parquet, COMPRESSION lz4_raw)`);
  return {
    rows: await count(`read_parquet(${typed})`),
    bytes: 0,
    select: `SELECT * EXCLUDE (file_row_number), file_row_number + ${before} AS "_place" FROM read_parquet(${typed}, file_row_number = true)`,
    broken,
  };
}

/** Every column has the type of its field already: to type it costs next to nothing. */
const isTyped = (source: Source, input: BatchInput): boolean =>
  inputFields(source).every(({ name, from = name, type }) => {
    const column = input.column(from);
    return column.sql === '' || typeOfDuckDb(column.type)?.kind === type.kind;
  });

export const stagedViewSql = (inputs: readonly StagedRows[]): string => {
  invariant(inputs.length > 0, 'a batch has an input');
  return `CREATE OR REPLACE TEMP VIEW staged AS ${inputs.map(({ select }) => select).join(' UNION ALL ')}`;
};
