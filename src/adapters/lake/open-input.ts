import { isDeepStrictEqual } from 'node:util';
import { MillraceError, type Place } from '../../core/base/error.js';
import type { FileFormat, Source } from '../../core/define/types.js';
import { type ColumnDifference, columnsMessage, diffColumns } from '../../core/quality/index.js';
import type { DuckDbConnection } from '../duckdb/connection.js';
import { quoteName, quoteText } from '../duckdb/text.js';
import { checkZstdFrames, hasZstd, readBytes } from '../files/decompress.js';
import { splitRecord, stageDelimited } from '../files/delimited.js';
import { emptyFile, type InputFile } from '../files/inputs.js';
import { JSON_SEPARATOR, stageJsonDocument, stageJsonLines } from '../files/json-lines.js';
import { StageWriter, toUtf8, type UnreadableRow } from '../files/staging.js';
import { inputFields } from './shape.js';
import type { StagedInput } from './stage.js';

/** An input whose columns fit the source, with what could not even be split. */
export interface OpenedInput extends StagedInput {
  readonly file: InputFile;
  readonly header: readonly string[];
  readonly unreadable: readonly UnreadableRow[];
  readonly extraColumns: readonly string[];
  /** Where its rows stand together with those of other files. */
  readonly pile?: Pile;
}

/** Rewritten rows of small delimited files with one header, which is that of the source. */
export interface Pile {
  readonly path: string;
  readonly delimiter: string;
  readonly header: readonly string[];
}

/** Whether somebody delivers the files of a source; what its query gives is in a file for a moment only. */
export const fromFiles = ({ read }: Source): boolean => read.kind === 'files' || read.kind === 'push';

/** Where to look when something is wrong with a file: the file, or the definition whose query gave it. */
export const placeIn = (source: Source, file: string, line?: number): Place =>
  fromFiles(source) ? { file, ...(line === undefined ? {} : { line }) } : (source.place ?? { file });

/** A batch that must be refused for its columns. Turned into BATCH_REFUSED once it has been recorded. */
export class SchemaRefusal extends Error {
  constructor(
    readonly place: Place,
    message: string,
    readonly hint: string,
    readonly difference: ColumnDifference,
  ) {
    super(message);
  }
}

/** The longest line of a Zstandard file that Node itself cannot decompress. */
const MAX_LINE_BYTES = 1 << 21;

const DELIMITERS: readonly (readonly [string, string])[] = [
  [',', 'a comma'],
  [';', 'a semicolon'],
  ['\t', 'a tab'],
  ['|', 'a vertical bar'],
  [':', 'a colon'],
];
const delimiterName = (delimiter: string): string =>
  DELIMITERS.find(([text]) => text === delimiter)?.[1] ?? `"${delimiter}"`;

function checkHeader(
  source: Source,
  file: InputFile,
  delimiter: string,
  names: readonly string[],
  lenient: boolean,
): ColumnDifference {
  const fields = inputFields(source);
  const difference = diffColumns(fields, names);
  const wanted = new Set(fields.flatMap(({ name, from = name, aliases = [] }) => [from, ...aliases]));
  const fits = (header: readonly string[]): number => header.filter((name) => wanted.has(name)).length;
  const found = fits(names);
  if (difference.missing.length > 0) {
    const text = names.join(delimiter);
    const likely = DELIMITERS.filter(([other]) => other !== delimiter)
      .map(([other]) => ({ other, fit: fits(splitRecord(text, other).map((name) => (name ?? '').trim())) }))
      .sort((a, b) => b.fit - a.fit)[0]!;
    if (likely.fit > Math.max(found, 1) || (likely.fit > found && wanted.size === 1)) {
      throw new MillraceError(
        'FILE_DELIMITER',
        `${file.path} does not split into the expected columns by ${delimiterName(delimiter)}; it looks delimited by ${delimiterName(likely.other)}`,
        {
          place: { file: file.path, line: 1 },
          hint: `Declare under read: { delimiter: ${JSON.stringify(likely.other)} }`,
        },
      );
    }
  }
  refuseColumns(source, file, difference, lenient);
  return difference;
}

function refuseColumns(
  source: Source,
  { path, format }: InputFile,
  difference: ColumnDifference,
  lenient: boolean,
): void {
  const said = columnsMessage(lenient ? { ...difference, missing: [] } : difference, formOf(format));
  if (said)
    throw new SchemaRefusal(placeIn(source, path, 1), `${path}: ${said.message}`, said.hint, difference);
}

/** What a file of this format is made of. */
export const formOf = (format: FileFormat): 'delimited' | 'records' | 'table' =>
  format === 'csv' ? 'delimited' : format === 'parquet' ? 'table' : 'records';

/**
 * Zstandard on a Node without it: DuckDB decompresses, line by line, no faster than the lines are taken. Not strict:
 * a file may mix CRLF with the LF of quoted fields.
 */
async function* zstdLines(
  db: DuckDbConnection,
  file: InputFile,
  encoding: 'utf-8' | 'latin-1',
): AsyncGenerator<Buffer> {
  let ready: Buffer | undefined;
  let ended = false;
  let wake: () => void = () => undefined;
  let taken: () => void = () => undefined;
  const reading = db
    .stream(
      `SELECT line FROM read_csv(${quoteText(file.path)}, auto_detect=false, header=false, compression='zstd', delim='\u0001',` +
        ` quote='', escape='', strict_mode=false, max_line_size=${MAX_LINE_BYTES}, encoding='${encoding}',` +
        ` columns={'line': 'VARCHAR'})`,
      async ({ rows, columns }) => {
        const lines: string[] = new Array(rows);
        for (let i = 0; i < rows; i++) lines[i] = (columns[0]!.data[i] as string | null) ?? '';
        ready = Buffer.from(`${lines.join('\n')}\n`, 'utf8');
        await new Promise<void>((resolve) => {
          taken = resolve;
          wake();
        });
      },
    )
    .finally(() => {
      ended = true;
      wake();
    });
  reading.catch(() => undefined);
  for (;;) {
    if (ready === undefined && !ended) await new Promise<void>((resolve) => (wake = resolve));
    if (ready === undefined) break;
    const bytes = ready;
    ready = undefined;
    yield bytes;
    taken();
  }
  await reading;
}

/** The bytes of a file, decompressed and in UTF-8. */
function textOf(
  db: DuckDbConnection,
  file: InputFile,
  encoding: 'utf-8' | 'latin-1',
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  if (file.compression === 'zstd') checkZstdFrames(file.path);
  return file.compression === 'zstd' && !hasZstd
    ? toUtf8(zstdLines(db, file, encoding), 'utf-8', file.path)
    : toUtf8(readBytes(file, signal), encoding, file.path);
}

export interface OpenOptions {
  /** Where the rewritten rows go; removed by the caller. */
  readonly stagePath: string;
  /** The number of the file in its batch: small ones may go on piles. */
  readonly number?: number;
  /** That of the file before: a file with the same columns goes there too. */
  readonly pile?: Pile | undefined;
  readonly signal?: AbortSignal;
  /** Missing columns are for the caller to judge. */
  readonly lenient?: boolean;
}

/**
 * Opens a file, verifies it to its last byte and makes its rows ready for SQL. Throws FILE_TORN, FILE_DELIMITER,
 * FILE_UNREADABLE, FILE_EMPTY, FILE_ENCODING, or SchemaRefusal for missing columns.
 */
export async function openInput(
  db: DuckDbConnection,
  source: Source,
  file: InputFile,
  options: OpenOptions,
): Promise<OpenedInput> {
  switch (file.format) {
    case 'csv':
      return openDelimited(db, source, file, options);
    case 'json':
    case 'ndjson':
      return openJson(db, source, file, options, file.format);
    case 'parquet':
      return openParquet(db, source, file, options.lenient === true);
  }
}

/** A file of more bytes is read by itself. However its rows are rewritten, one is shorter than `LINE_BYTES`. */
const PILED_BYTES = 1 << 18;
const LINE_BYTES = 1 << 20;

/** Reading buffers are as large as the longest row needs, and small enough that threads share a file. */
function lineSize(longest: number): string {
  const line = Math.max(LINE_BYTES, longest + 1024);
  return `max_line_size=${line}, buffer_size=${line * 4}`;
}

const readOptions = (source: Source): Extract<Source['read'], { kind: 'files' }> =>
  source.read.kind === 'files' ? source.read : { kind: 'files', patterns: [] };

async function openDelimited(
  db: DuckDbConnection,
  source: Source,
  file: InputFile,
  options: OpenOptions,
): Promise<OpenedInput> {
  const { delimiter = file.impliedDelimiter, encoding = 'utf-8' } = readOptions(source);
  const piled = options.number !== undefined && file.compression === 'none' && file.bytes <= PILED_BYTES;
  let writer: StageWriter | undefined;
  let pile: Pile | undefined;
  let difference: ColumnDifference | undefined;
  try {
    const { header, unreadable } = await stageDelimited(textOf(db, file, encoding, options.signal), {
      path: file.path,
      delimiter,
      onHeader: (names) => {
        difference = checkHeader(source, file, delimiter, names, options.lenient === true);
        if (piled && difference.missing.length === 0)
          pile = samePile(options.pile, names, delimiter) ?? {
            path: options.stagePath,
            delimiter,
            header: names,
          };
        writer = pile
          ? new StageWriter(pile.path, { number: options.number!, bytes: file.bytes })
          : new StageWriter(options.stagePath);
        return writer;
      },
    });
    const numbers = `${pile ? `'_file': 'INTEGER', ` : ''}'_line': 'BIGINT'`;
    const columns = header.map((_, index) => `'_c${index}': 'VARCHAR'`).join(', ');
    return {
      file,
      format: 'csv',
      header,
      unreadable,
      extraColumns: difference!.extra,
      ...(pile ? { pile } : {}),
      rawSql:
        `SELECT * FROM read_csv(${quoteText(pile?.path ?? options.stagePath)}, auto_detect=false, header=false, delim=${quoteText(delimiter)},` +
        ` quote='"', escape='"', new_line='\\n', nullstr='', allow_quoted_nulls=false, strict_mode=true,` +
        ` ${lineSize(pile ? 0 : writer!.longest)}, columns={${numbers}, ${columns}})`,
      column: (name) => ({
        sql: header.includes(name) ? `"_c${header.indexOf(name)}"` : '',
        type: 'VARCHAR',
      }),
    };
  } finally {
    writer?.close();
  }
}

const samePile = (pile: Pile | undefined, header: readonly string[], delimiter: string): Pile | undefined =>
  pile?.delimiter === delimiter && isDeepStrictEqual(pile.header, header) ? pile : undefined;

async function openJson(
  db: DuckDbConnection,
  source: Source,
  file: InputFile,
  options: OpenOptions,
  format: FileFormat,
): Promise<OpenedInput> {
  const { encoding = 'utf-8' } = readOptions(source);
  const writer = new StageWriter(options.stagePath);
  const bytes = textOf(db, file, encoding, options.signal);
  let unreadable: readonly UnreadableRow[];
  try {
    const stage = format === 'json' ? stageJsonDocument : stageJsonLines;
    ({ unreadable } = await stage(bytes, writer, file.path));
  } finally {
    writer.close();
  }
  const rawSql =
    `SELECT "_line", CAST("_j" AS JSON) AS "_j" FROM read_csv(${quoteText(options.stagePath)}, auto_detect=false, header=false,` +
    ` delim=${quoteText(String.fromCharCode(JSON_SEPARATOR))}, quote='', escape='', new_line='\\n', ${lineSize(writer.longest)},` +
    ` columns={'_line': 'BIGINT', '_j': 'VARCHAR'})`;
  const keys = await db.rows<{ name: string }>(
    `SELECT DISTINCT unnest(json_keys("_j")) AS name FROM (${rawSql}) ORDER BY name`,
  );
  const renamed = renamedKeys(
    source,
    keys.map((key) => key.name),
  );
  const later = new Set([...renamed.values()].flat());
  const header = keys.map((key) => key.name).filter((name) => !later.has(name));
  const difference = jsonDifference(source, header);
  if (header.length > 0) refuseColumns(source, file, difference, options.lenient === true);
  return {
    file,
    format,
    header,
    unreadable,
    extraColumns: difference.extra,
    rawSql,
    column: (name) => ({
      sql: [name, ...(renamed.get(name) ?? [])]
        .map(jsonMember)
        .reduceRight((rest, own) => `coalesce(nullif(${own}, 'null'), ${rest})`),
      type: 'JSON',
    }),
  };
}

const jsonMember = (name: string): string =>
  `json_extract("_j", ${quoteText(`/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`)})`;

/** Records of one file may have a field under its own name and under accepted ones: a key → those read where it is null. */
function renamedKeys(source: Source, keys: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const present = new Set(keys);
  return new Map(
    inputFields(source).flatMap(({ name, from = name, aliases = [] }) => {
      const [first, ...rest] = [from, ...aliases].filter((key) => present.has(key));
      return first === undefined || rest.length === 0 ? [] : [[first, rest] as const];
    }),
  );
}

/** JSON may leave out what is null: a key that no record has is missing only where it must be or seems renamed. */
function jsonDifference(source: Source, header: readonly string[]): ColumnDifference {
  const difference = diffColumns(inputFields(source), header);
  const needed = new Set([...source.recordKey, source.eventTime]);
  return {
    ...difference,
    missing: difference.missing.filter(({ field, nearest: near }) => needed.has(field) || near !== undefined),
  };
}

async function openParquet(
  db: DuckDbConnection,
  source: Source,
  file: InputFile,
  lenient: boolean,
): Promise<OpenedInput> {
  const from = `read_parquet(${quoteText(file.path)}, file_row_number=true)`;
  let described: { column_name: string; column_type: string }[];
  try {
    described = await db.rows(
      `SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet(${quoteText(file.path)}))`,
    );
  } catch (error) {
    throw new MillraceError('FILE_UNREADABLE', `${file.path} is not a whole Parquet file`, {
      place: { file: file.path },
      hint: 'Fetch or write the file again; nothing was ingested.',
      cause: error,
    });
  }
  const header = described.map((row) => row.column_name);
  const types = new Map(described.map((row) => [row.column_name, row.column_type]));
  const difference = diffColumns(inputFields(source), header);
  if (header.length === 0) throw emptyFile(file.path);
  refuseColumns(source, file, difference, lenient);
  return {
    file,
    format: 'parquet',
    header,
    unreadable: [],
    extraColumns: difference.extra,
    rawSql: `SELECT file_row_number + 1 AS "_line", ${header.map((name, index) => `${quoteName(name)} AS "_c${index}"`).join(', ')} FROM ${from}`,
    column: (name) => ({
      sql: header.includes(name) ? `"_c${header.indexOf(name)}"` : '',
      type: types.get(name) ?? 'VARCHAR',
    }),
  };
}
