/**
 * Where the typed rows of a batch stand. Rows that are judged by themselves do not change once they are read: `staged`
 * is a view over tables of them. What would not fit into memory is read again where it lies, a Parquet file as it is,
 * texts from a Parquet file made of them, so that memory does not grow with the batch. Rows that other rows decide
 * about, or that are repaired, are one table, which DuckDB spills.
 */
import { statSync } from 'node:fs';
import { invariant } from '../../../core/base/error.js';
import type { Source } from '../../../core/define/types.js';
import {
  effectiveContract,
  encodeSql,
  isReference,
  isSql,
  isUnique,
  repairRules,
  typeOfField,
} from '../../../core/quality/index.js';
import type { ValueType } from '../../../core/schema/types.js';
import type { DuckDbConnection } from '../../duckdb/connection.js';
import { quoteName, quoteText } from '../../duckdb/text.js';
import type { OpenedInput } from '../open-input.js';
import { inputFields } from '../shape.js';
import { scriptRules, stagedSql, wideSource } from '../stage.js';

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
  /** What they take of the memory, about. */
  readonly bytes: number;
}

/** Bytes of a row beside its fields, of a number, and of a text in DuckDB's tables, about. */
const ROW_BYTES = 40;
const NUMBER_BYTES = 8;
const TEXT_BYTES = 32;
/** A row of delimited text in memory, over its size on the disk. */
const TEXT_GROWTH = 2;

export const heldTable = (file: number): string => `staged_${file}`;

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

/** What a row of a file says, as texts: the columns of a table, or the one JSON value. */
export function rawTexts(input: OpenedInput): readonly string[] {
  switch (input.format) {
    case 'csv':
      return input.header.map((_, i) => `"_c${i}"`);
    case 'parquet':
      return input.header.map((_, i) => `CAST("_c${i}" AS VARCHAR)`);
    default:
      return ['CAST("_j" AS VARCHAR)'];
  }
}

/** Makes the rows of an input readable again. `file`: its number; `before`: rows of the inputs before it. */
export async function stageRows(
  db: DuckDbConnection,
  source: Source,
  input: OpenedInput,
  options: {
    readonly file: number;
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
  const { file, before, now, room } = options;
  const staged = stagedSql(source, input, file, now, rawTexts(input));
  const count = async (from: string): Promise<number> => {
    const [found] = await db.rows<{ n: number }>(
      `SELECT count(*) AS n FROM read_parquet(${quoteText(from)})`,
    );
    return Number(found!.n);
  };
  const known = input.format === 'parquet' ? await count(input.file.path) : undefined;
  const bytes =
    known === undefined ? TEXT_GROWTH * statSync(options.textPath).size : known * rowBytes(source);
  if (bytes <= room) {
    const table = heldTable(file);
    await db.run(`CREATE OR REPLACE TEMP TABLE ${table} AS ${staged}`);
    const [held] = await db.rows<{ n: number }>(`SELECT count(*) AS n FROM ${table}`);
    return { rows: Number(held!.n), bytes, select: `SELECT *, rowid + ${before} AS "_place" FROM ${table}` };
  }
  if (known !== undefined)
    return {
      rows: known,
      bytes: 0,
      select: `SELECT *, "_line" + ${before - 1} AS "_place" FROM (${staged})`,
    };
  await db.run(`COPY (${staged}) TO ${quoteText(options.path)} (FORMAT parquet, COMPRESSION lz4_raw)`);
  return {
    rows: await count(options.path),
    bytes: 0,
    select: `SELECT * EXCLUDE (file_row_number), file_row_number + ${before} AS "_place" FROM read_parquet(${quoteText(options.path)}, file_row_number = true)`,
  };
}

export const stagedViewSql = (inputs: readonly StagedRows[]): string => {
  invariant(inputs.length > 0, 'a batch has an input');
  return `CREATE OR REPLACE TEMP VIEW staged AS ${inputs.map(({ select }) => select).join(' UNION ALL ')}`;
};

/**
 * The rows that break a rule, as table `judged`: `_file`, `_line`, `_reasons`, `_marks`, and of those with reasons
 * `_raw` (what the file says) and `_repaired` (the values of fields that rules may repair, when any was repaired).
 */
export function judgedSql(
  source: Source,
  inputs: readonly OpenedInput[],
  streamed: boolean,
): readonly string[] {
  if (streamed)
    return [
      'CREATE OR REPLACE TEMP TABLE judged AS SELECT "_file", "_line", "_reasons", "_marks", "_raw", CAST(NULL AS VARCHAR[]) AS "_repaired"' +
        ' FROM staged WHERE "_reasons" IS NOT NULL OR "_marks" IS NOT NULL',
    ];
  const wide = wideSource(source);
  const repairing = repairRules(wide).fields;
  const repaired =
    repairing.length === 0
      ? 'CAST(NULL AS VARCHAR[])'
      : `CASE WHEN "_repairs" IS NOT NULL THEN [${repairing
          .map((name) => encodeSql(typeOfField(wide.fields, name), quoteName(name)))
          .join(', ')}] END`;
  return [
    'CREATE OR REPLACE TEMP TABLE judged ("_file" INTEGER, "_line" BIGINT, "_reasons" VARCHAR[], "_marks" VARCHAR[], "_raw" VARCHAR[], "_repaired" VARCHAR[])',
    'INSERT INTO judged SELECT "_file", "_line", NULL, "_marks", NULL, NULL FROM staged WHERE "_reasons" IS NULL AND "_marks" IS NOT NULL',
    ...inputs.map(
      (input, file) =>
        `INSERT INTO judged SELECT ${file}, s."_line", s."_reasons", s."_marks", [${rawTexts(input).join(', ')}], s.repaired FROM` +
        ` (SELECT "_line", "_reasons", "_marks", ${repaired} AS repaired FROM staged WHERE "_file" = ${file} AND "_reasons" IS NOT NULL) s` +
        ` JOIN (${input.rawSql}) raw ON raw."_line" = s."_line"`,
    ),
  ];
}
