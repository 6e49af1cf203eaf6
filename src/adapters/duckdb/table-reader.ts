import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { MillraceError } from '../../core/base/error.js';
import { EXACT_VALUES } from '../../core/drift/number-state.js';
import type { ColumnState } from '../../core/drift/profile.js';
import type { CategoricalSketch } from '../../core/drift/sketch.js';
import type { FrequentTexts } from '../../core/drift/text-state.js';
import { typeOfDuckDb } from '../../core/schema/coerce-sql.js';
import { STRING, type ValueType } from '../../core/schema/types.js';
import type { TableReader } from '../../ports/table-reader.js';
import { inspectWhole } from '../files/whole.js';
import { foldColumns, isNumber, isText, type ReadColumn, textSql } from './column-fold.js';
import type { DuckDb } from './connection.js';
import { countValues, type FewValues, fewValues } from './few-values.js';
import { threadsFor } from './number-threads.js';
import { quoteName, quoteText } from './text.js';
import { NumberBuffer } from './value-buffer.js';

const bareName = (file: string): string => file.replace(/\.(gz|zst)$/i, '').toLowerCase();
const isDelimited = (file: string): boolean => /\.(csv|tsv|txt)$/.test(bareName(file));

const isParquet = (file: string): boolean => bareName(file).endsWith('.parquet');

function relation(file: string): string {
  const bare = bareName(file);
  const name = quoteText(file);
  if (isParquet(file)) return `read_parquet(${name})`;
  if (/\.(json|ndjson|jsonl)$/.test(bare)) return `read_json_auto(${name})`;
  throw new MillraceError('FORMAT_UNKNOWN', `cannot tell the format of "${file}"`, {
    place: { file },
    hint: 'Name it .csv, .parquet, .json or .ndjson (.gz and .zst may follow).',
  });
}

/** Rows of a large delimited file that its types are told from; when a later row does not fit, from all. */
const SNIFFED_ROWS = 65_536;
const SNIFFED_WHOLE_BYTES = 32 << 20;

/** What a value takes in a file of texts, about. */
const BYTES_A_VALUE = 10;

/** A file as a relation that is read again without looking for its dialect and types again. */
interface Opened {
  readonly from: string;
  readonly columns: readonly ReadColumn[];
  /** How many rows the types were told from; all where absent. */
  readonly toldFrom?: number;
  /** Columns that DuckDB groups by value, and their number of rows. */
  readonly few?: FewValues;
}

/** How many rows a file has: as its footer says, or by its size. */
const rowsAbout = (file: string, { few, columns }: Opened): number =>
  few?.rows ?? statSync(file).size / (BYTES_A_VALUE * columns.length);

type States = Awaited<ReturnType<TableReader['states']>>;

export function createTableReader(db: DuckDb): TableReader {
  /** `rows`: how many of them the dialect and the types are told from; -1: all. */
  const sniff = async (file: string, rows: number): Promise<Opened> => {
    const [found] = await db.rows<{
      Delimiter: string;
      Quote: string;
      Escape: string;
      NewLineDelimiter: string;
      Comment: string;
      SkipRows: number;
      columns: string;
      DateFormat: string | null;
      TimestampFormat: string | null;
    }>(
      `SELECT * EXCLUDE ("Columns"), CAST(to_json("Columns") AS VARCHAR) AS "columns" FROM sniff_csv(${quoteText(file)}, header = true, sample_size = ${rows})`,
    );
    const told = found!;
    const columns = JSON.parse(told.columns) as ReadColumn[];
    const options = Object.entries({
      delim: told.Delimiter,
      quote: told.Quote,
      escape: told.Escape,
      new_line: told.NewLineDelimiter,
      comment: told.Comment,
      dateformat: told.DateFormat,
      timestampformat: told.TimestampFormat,
    }).flatMap(([option, value]) =>
      value === null ? [] : [`${option} = ${quoteText(value === '(empty)' ? '' : value)}`],
    );
    const types = columns.map(({ name, type }) => `${quoteText(name)}: ${quoteText(type)}`);
    return {
      columns,
      from: `read_csv(${quoteText(file)}, auto_detect = false, header = true, skip = ${told.SkipRows}, ${options.join(', ')}, columns = {${types.join(', ')}})`,
    };
  };

  const opened = new Map<string, Promise<Opened>>();
  const open = (file: string): Promise<Opened> => {
    const found =
      opened.get(file) ??
      (async () => {
        if (isDelimited(file)) return sniff(file, -1);
        const from = relation(file);
        const columns = await db.rows<ReadColumn>(
          `SELECT column_name AS name, column_type AS type FROM (DESCRIBE SELECT * FROM ${from})`,
        );
        return isParquet(file)
          ? { from, columns, few: await fewValues(db, file, columns) }
          : { from, columns };
      })();
    opened.set(file, found);
    return found;
  };

  /** The frequent texts of a column by name, with exact counts. */
  const nameTexts = async (
    from: string,
    { name, type }: ReadColumn,
    { hashes, ...found }: FrequentTexts,
  ): Promise<CategoricalSketch> => {
    const all = `SELECT ${textSql(quoteName(name), type)} AS text FROM ${from}`;
    const counts = new Map<string, number>();
    await db.stream(
      `SELECT text, count(*) FROM (${all}) SEMI JOIN (SELECT unnest([${hashes.map((hash) => `${hash}::UBIGINT`).join(', ')}]) AS h) ON hash(text) = h WHERE text IS NOT NULL GROUP BY text`,
      ({ rows, columns }) => {
        for (let i = 0; i < rows; i++) {
          const count = Number(columns[1]!.data[i]);
          if (count > found.complete) counts.set(columns[0]!.data[i] as string, count);
        }
      },
    );
    const [ends] = await db.rows<{ min: string | null; max: string | null }>(
      `SELECT min(text) AS min, max(text) AS max FROM (${all})`,
    );
    return { type: 'categorical_sketch', ...found, counts, min: ends!.min, max: ends!.max };
  };

  const read = async (file: string, table: Opened): Promise<States | undefined> => {
    const { from, columns, few } = table;
    const counted = few?.rows && few.rows > EXACT_VALUES ? few : undefined;
    const streamed = columns.filter(({ name }) => !counted?.names.has(name));
    const numbers = streamed.filter((column) => !isText(column)).length;
    const threads = Math.min(numbers, threadsFor(rowsAbout(file, table) * numbers, availableParallelism()));
    const found =
      streamed.length === 0
        ? { rows: counted!.rows, taken: [] }
        : await foldColumns(db, { ...table, columns: streamed, threads });
    if (found === undefined) return undefined;
    const taken = new Map(streamed.map(({ name }, i) => [name, found.taken[i]!]));
    const states: { name: string; type: ValueType; state: ColumnState }[] = [];
    for (const column of columns) {
      const { name, type } = column;
      const each = taken.get(name) ?? (await countValues(db, from, column));
      states.push({
        name,
        type: typeOfDuckDb(type) ?? (isNumber(type) ? { kind: 'float64' } : STRING),
        state: 'hashes' in each ? await nameTexts(from, column, each) : each,
      });
    }
    const { rows } = found;
    return { rows, columns: states };
  };

  return {
    columnNames: async (file) => {
      await inspectWhole(file);
      return (await open(file)).columns.map((column) => column.name);
    },
    states: async (file) => {
      await inspectWhole(file);
      if (isDelimited(file) && !opened.has(file) && statSync(file).size > SNIFFED_WHOLE_BYTES) {
        const table = { ...(await sniff(file, SNIFFED_ROWS)), toldFrom: SNIFFED_ROWS };
        try {
          const found = await read(file, table);
          if (found !== undefined) {
            opened.set(file, Promise.resolve(table));
            return found;
          }
        } catch (error) {
          // A later value is of another type than the first ones: so all of them are asked.
          if (!(error instanceof MillraceError)) throw error;
        }
      }
      return (await read(file, await open(file)))!;
    },
    countTexts: async (file, column, texts) => {
      const { from, columns } = await open(file);
      const { type } = columns.find(({ name }) => name === column)!;
      const counts = new Map(texts.map((text) => [text, 0]));
      await db.writeTable('wanted_texts', [{ name: 'text', type: 'VARCHAR', data: texts }]);
      await db.stream(
        `SELECT text, count(*) FROM (SELECT ${textSql(quoteName(column), type)} AS text FROM ${from}) SEMI JOIN wanted_texts USING (text) GROUP BY text`,
        ({ rows, columns }) => {
          for (let i = 0; i < rows; i++)
            counts.set(columns[0]!.data[i] as string, Number(columns[1]!.data[i]));
        },
      );
      return counts;
    },
    numbers: async (file, names) => {
      const { from, columns } = await open(file);
      const types = new Map(columns.map((column) => [column.name, column.type]));
      const buffers = names.map(() => new NumberBuffer());
      const select = names.map((name) => {
        const column = quoteName(name);
        return types.get(name) === 'BOOLEAN'
          ? `CAST(CAST(${column} AS INTEGER) AS DOUBLE)`
          : `TRY_CAST(${column} AS DOUBLE)`;
      });
      await db.stream(
        `SELECT ${select.map((sql) => `coalesce(${sql}, 'nan'::DOUBLE)`).join(', ')} FROM ${from}`,
        (chunk) => {
          for (const [i, buffer] of buffers.entries()) buffer.append(chunk.columns[i]!, chunk.rows);
        },
      );
      return buffers.map((buffer) => buffer.finish().values);
    },
    close: async () => db.close(),
  };
}
