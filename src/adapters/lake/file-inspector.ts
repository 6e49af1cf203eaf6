import { rmSync } from 'node:fs';
import path from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import type { Source } from '../../core/define/types.js';
import {
  CANDIDATES,
  type Candidate,
  type KeyFacts,
  LAYOUTS,
  NULL_TEXTS,
  type TextFacts,
  type ValueFacts,
} from '../../core/quality/suggest-facts.js';
import { coerceNativeSql, coerceSql, typeOfDuckDb } from '../../core/schema/coerce-sql.js';
import { INT64, STRING, type ValueType } from '../../core/schema/types.js';
import type { FileInspector, InspectedFiles } from '../../ports/file-inspector.js';
import type { DuckDb } from '../duckdb/connection.js';
import { quoteText } from '../duckdb/text.js';
import { type InputFile, inspectFile } from '../files/inputs.js';
import { type OpenedInput, openInput, SchemaRefusal } from './open-input.js';
import { writtenSql } from './stage.js';

/** No column has this name: a file that is asked for it says what it has instead. */
const NOTHING = '\u0000';
const MAX_VALUES = 50;
const MAX_MASKS = 5_000;
const SAMPLE = 1_000;

interface Layout {
  readonly delimiter: string;
  readonly encoding: 'utf-8' | 'latin-1';
}

/** A source that reads one column as text, so that a file can be opened before it is declared. */
const probe = (file: InputFile, column: string, layout: Layout): Source => ({
  name: 'inspected',
  records: '',
  fingerprint: '',
  tags: [],
  kind: 'events',
  read: { kind: 'files', patterns: [file.path], format: file.format, ...layout },
  recordKey: [],
  eventTime: column,
  availableAt: { kind: 'event_time' },
  timezone: 'UTC',
  ambiguousTime: 'refuse',
  fields: [{ name: column, type: STRING }],
  keys: {},
  contract: { rows: [], batch: [] },
});

type Cells = Record<string, unknown>;

export function createFileInspector(db: DuckDb, temporaryFolder: string): FileInspector {
  const stagePath = path.join(temporaryFolder, 'inspected');

  const header = async (file: InputFile, layout: Layout): Promise<readonly string[]> => {
    try {
      return (await openInput(db, probe(file, NOTHING, layout), file, { stagePath })).header;
    } catch (error) {
      if (!(error instanceof SchemaRefusal)) throw error;
      if (error.difference.repeated.length > 0)
        throw new MillraceError('FILE_UNREADABLE', error.message, {
          place: { file: file.path, line: 1 },
          hint: error.hint,
        });
      return error.difference.extra;
    }
  };

  /** A header that is one column with other delimiters in it is split by the most frequent of them. */
  const layoutOf = async (file: InputFile): Promise<Layout> => {
    const usual: Layout = { delimiter: file.impliedDelimiter, encoding: 'utf-8' };
    if (file.format !== 'csv') return usual;
    const [name, ...more] = await header(file, usual);
    if (more.length > 0 || name === undefined) return usual;
    const [best] = [';', '\t', '|']
      .map((delimiter) => ({ delimiter, columns: name.split(delimiter).length }))
      .sort((a, b) => b.columns - a.columns);
    return best!.columns > 1 ? { ...usual, delimiter: best!.delimiter } : usual;
  };

  const open = async (file: InputFile): Promise<OpenedInput & { readonly layout: Layout }> => {
    const layout = await layoutOf(file);
    const read = async (chosen: Layout) => {
      const [first] = await header(file, chosen);
      if (first === undefined)
        throw new MillraceError('FILE_UNREADABLE', `${file.path} has no columns`, {
          place: { file: file.path },
        });
      return { ...(await openInput(db, probe(file, first, chosen), file, { stagePath })), layout: chosen };
    };
    const latin: Layout = { ...layout, encoding: 'latin-1' };
    try {
      const input = await read(layout);
      return input.unreadable.some((row) => row.rule === 'parse.encoding') ? await read(latin) : input;
    } catch (error) {
      if (error instanceof MillraceError && error.code === 'FILE_ENCODING') return await read(latin);
      throw error;
    }
  };

  const inspect = async (paths: readonly string[]): Promise<InspectedFiles> => {
    const files = paths.map((file) => inspectFile(path.resolve(file), undefined));
    let first: (OpenedInput & { readonly layout: Layout }) | undefined;
    let unreadable = 0;
    for (const file of files) {
      const input = await open(file);
      first ??= input;
      const missing = first.header.filter((name) => !input.header.includes(name));
      if (missing.length > 0 && input.format !== 'json' && input.format !== 'ndjson')
        throw new MillraceError(
          'FILE_UNREADABLE',
          `${file.path} lacks the columns ${missing.join(', ')} of ${files[0]!.path}`,
          {
            place: { file: file.path, line: 1 },
            hint: 'Look at files of one shape together.',
          },
        );
      unreadable += input.unreadable.length;
      const select = `SELECT ${first.header.map((name, i) => `${input.column(name).sql || 'NULL'} AS c${i}`).join(', ')} FROM (${input.rawSql})`;
      await db.run(
        input.file.path === files[0]!.path
          ? `CREATE OR REPLACE TEMP TABLE inspected AS ${select}`
          : `INSERT INTO inspected ${select}`,
      );
      rmSync(stagePath, { force: true });
    }
    const shape = first!;
    const types = shape.header.map((name) => shape.column(name).type);
    const [total] = await db.rows<{ n: number }>('SELECT count(*) AS n FROM inspected');
    const columns: TextFacts[] = [];
    for (const [i, name] of shape.header.entries())
      columns.push(await textFacts(db, name, `c${i}`, types[i]!, Number(total!.n)));
    const position = (name: string): number => shape.header.indexOf(name);
    return {
      format: shape.format,
      ...(shape.layout.delimiter === files[0]!.impliedDelimiter ? {} : { delimiter: shape.layout.delimiter }),
      ...(shape.layout.encoding === 'latin-1' ? { encoding: 'latin-1' as const } : {}),
      rows: Number(total!.n),
      unreadable,
      columns,
      values: async (typed, nulls) => {
        const out: ValueFacts[] = [];
        for (const { name, type, format } of typed) {
          const column = { sql: `c${position(name)}`, type: types[position(name)]! };
          const field = format === undefined ? { type } : { type, format };
          out.push(await valueFacts(db, name, writtenSql(field, column), type, nulls));
        }
        return out;
      },
      distinct: async (lists) => {
        const out: KeyFacts[] = [];
        for (const list of lists) {
          const names = list.map((name) => `c${position(name)}`).join(', ');
          const [row] = await db.rows<{ n: number }>(
            `SELECT count(*) AS n FROM (SELECT DISTINCT ${names} FROM inspected)`,
          );
          out.push({ columns: list, distinct: Number(row!.n) });
        }
        return out;
      },
    };
  };

  return { inspect, close: async () => db.close() };
}

const OPTIONS = { timezone: 'UTC', ambiguousTime: 'refuse', nulls: NULL_TEXTS } as const;
const TYPES: Readonly<Record<Candidate, ValueType>> = {
  int64: INT64,
  float64: { kind: 'float64' },
  boolean: { kind: 'boolean' },
  date: { kind: 'date' },
  timestamp: { kind: 'timestamp' },
};
const BOOLEAN_WORDS = ['true', 'false', 'yes', 'no', 't', 'f'];

const number = (value: unknown): number => Number(value ?? 0);
const optional = (value: unknown): number | null =>
  value === null || value === undefined ? null : Number(value);

async function textFacts(
  db: DuckDb,
  name: string,
  column: string,
  sqlType: string,
  rows: number,
): Promise<TextFacts> {
  const native = sqlType === 'VARCHAR' || sqlType === 'JSON' ? null : (typeOfDuckDb(sqlType) ?? STRING);
  const none = Object.fromEntries(CANDIDATES.map((type) => [type, 0])) as Record<Candidate, number>;
  const empty = Object.fromEntries(CANDIDATES.map((type) => [type, null])) as Record<Candidate, null>;
  if (native !== null) {
    const [row] = await db.rows<Cells>(
      `SELECT count(${column}) AS n, count(DISTINCT ${column}) AS d FROM inspected`,
    );
    return {
      name,
      native,
      json: false,
      blank: rows - number(row!['n']),
      nullTexts: {},
      count: number(row!['n']),
      readable: none,
      unreadable: empty,
      texts: 0,
      distinct: number(row!['d']),
      leadingZeros: 0,
      plain: 0,
      fractionMin: null,
      fractionMax: null,
      digitsMax: null,
      zoned: 0,
      layouts: [],
    };
  }
  const json = sqlType === 'JSON';
  // The different values with their counts are enough for every question, and far fewer than the rows.
  const text = json ? `(${column} ->> '$')` : column;
  const kind = json ? `json_type(${column})` : `'VARCHAR'`;
  await db.run(
    `CREATE OR REPLACE TEMP TABLE told AS SELECT raw, kind, trim(raw) AS t, n FROM (SELECT ${text} AS raw, ${kind} AS kind, count(*)::DOUBLE AS n FROM inspected WHERE ${column} IS NOT NULL GROUP BY ALL) WHERE kind <> 'NULL' AND trim(raw) <> ''`,
  );
  const isNull = `t IN (${NULL_TEXTS.map(quoteText).join(', ')})`;
  const readable = (type: Candidate): string =>
    type === 'boolean'
      ? json
        ? `(kind = 'BOOLEAN' OR lower(t) IN (${BOOLEAN_WORDS.map(quoteText).join(', ')}))`
        : `lower(t) IN (${BOOLEAN_WORDS.map(quoteText).join(', ')})`
      : `((${coerceSql(TYPES[type], 'raw', OPTIONS).value}) IS NOT NULL${json && (type === 'int64' || type === 'float64') ? '' : json ? " AND kind = 'VARCHAR'" : ''})`;
  const plain = "regexp_full_match(t, '[+-]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)')";
  const fraction = "length(regexp_extract(t, '\\.([0-9]*)$', 1))";
  const [row] = await db.rows<Cells>(
    `SELECT coalesce(sum(n) FILTER (NOT null_text), 0) AS n, coalesce(sum(n), 0) AS present, count(*) FILTER (NOT null_text) AS d,
      ${CANDIDATES.map((type) => `coalesce(sum(n) FILTER (NOT null_text AND ${readable(type)}), 0) AS ${type}, min(raw) FILTER (NOT null_text AND NOT ${readable(type)}) AS bad_${type}`).join(', ')},
      coalesce(sum(n) FILTER (kind = 'VARCHAR' AND NOT null_text), 0) AS texts,
      coalesce(sum(n) FILTER (regexp_full_match(t, '[+-]?0[0-9]+(\\.[0-9]*)?|[+][0-9]{8,15}')), 0) AS zeros,
      coalesce(sum(n) FILTER (${plain}), 0) AS plain, min(${fraction}) FILTER (${plain}) AS fmin, max(${fraction}) FILTER (${plain}) AS fmax,
      max(length(regexp_replace(t, '[^0-9]', '', 'g'))) FILTER (${plain}) AS digits,
      coalesce(sum(n) FILTER (regexp_matches(t, '[0-9] ?([Zz]|UTC|[+-][0-9]{2}(:?[0-9]{2})?)$') AND ${readable('timestamp')} AND NOT ${readable('date')}), 0) AS zoned
     FROM (SELECT *, ${isNull} AS null_text FROM told)`,
  );
  const nulls = await db.rows<{ t: string; n: number }>(
    `SELECT t, sum(n) AS n FROM told WHERE ${isNull} GROUP BY t ORDER BY t`,
  );
  const texts = `SELECT DISTINCT t FROM told WHERE NOT (${isNull})`;
  // Few values rule most layouts out; all of them are asked about the rest.
  const likely = await fittingLayouts(db, LAYOUTS, `${texts} ORDER BY t LIMIT ${SAMPLE}`);
  const cells = row!;
  return {
    name,
    native: null,
    json,
    blank: rows - number(cells['present']),
    nullTexts: Object.fromEntries(nulls.map(({ t, n }) => [t, Number(n)])),
    count: number(cells['n']),
    readable: Object.fromEntries(CANDIDATES.map((type) => [type, number(cells[type])])) as Record<
      Candidate,
      number
    >,
    unreadable: Object.fromEntries(
      CANDIDATES.map((type) => [type, (cells[`bad_${type}`] as string | null) ?? null]),
    ) as Record<Candidate, string | null>,
    texts: number(cells['texts']),
    distinct: number(cells['d']),
    leadingZeros: number(cells['zeros']),
    plain: number(cells['plain']),
    fractionMin: optional(cells['fmin']),
    fractionMax: optional(cells['fmax']),
    digitsMax: optional(cells['digits']),
    zoned: number(cells['zoned']),
    layouts: await fittingLayouts(db, likely, texts),
  };
}

/** Those of the layouts in which every `t` of the query is written. */
async function fittingLayouts(
  db: DuckDb,
  layouts: readonly string[],
  texts: string,
): Promise<readonly string[]> {
  if (layouts.length === 0) return layouts;
  const [fit] = await db.rows<Cells>(
    `SELECT ${layouts.map((layout, i) => `coalesce(bool_and(try_strptime(t, ${quoteText(layout)}) IS NOT NULL), false) AS l${i}`).join(', ')} FROM (${texts})`,
  );
  return layouts.filter((_, i) => fit![`l${i}`] === true);
}

/** Numbers, instants and days as doubles. */
function numberSql(type: ValueType, value: string): string | undefined {
  switch (type.kind) {
    case 'int64':
    case 'float64':
    case 'decimal':
      return `${value}::DOUBLE`;
    case 'timestamp':
      return `epoch_us(${value})::DOUBLE`;
    case 'date':
      return `date_diff('day', DATE '1970-01-01', ${value})::DOUBLE`;
    default:
      return undefined;
  }
}

async function valueFacts(
  db: DuckDb,
  name: string,
  column: { readonly sql: string; readonly type: string },
  type: ValueType,
  nulls: readonly string[],
): Promise<ValueFacts> {
  const options = { ...OPTIONS, nulls };
  const reading =
    column.type === 'VARCHAR'
      ? coerceSql(type, column.sql, options)
      : coerceNativeSql(type, column.sql, column.type, options);
  await db.run(
    `CREATE OR REPLACE TEMP TABLE typed AS SELECT v, bad, CASE WHEN bad THEN min(raw) END AS example, count(*)::DOUBLE AS n FROM
      (SELECT ${reading.value} AS v, ${reading.bad} AS bad, ${column.sql}::VARCHAR AS raw FROM inspected) GROUP BY v, bad`,
  );
  const numeric = numberSql(type, 'v');
  const isText = type.kind === 'string';
  const quantiles =
    numeric === undefined
      ? ''
      : `, min(${numeric}) AS least, max(${numeric}) AS most, bool_and(${numeric} = floor(${numeric})) AS whole`;
  const [row] = await db.rows<Cells>(
    `SELECT coalesce(sum(n) FILTER (v IS NOT NULL), 0) AS count, coalesce(sum(n) FILTER (v IS NULL AND NOT bad), 0) AS nulls,
      coalesce(sum(n) FILTER (bad), 0) AS bad, min(example) AS example, count(v) AS d, count(*) FILTER (v IS NOT NULL AND n = 1) AS singles,
      coalesce(min(n) FILTER (v IS NOT NULL), 0) AS rarest${quantiles}${isText ? ', min(length(v)) AS shortest, max(length(v)) AS longest' : ''} FROM typed`,
  );
  const cells = row!;
  const distinct = number(cells['d']);
  const values =
    distinct > MAX_VALUES
      ? null
      : (
          await db.rows<{ v: string; n: number }>(
            `SELECT v::VARCHAR AS v, n FROM typed WHERE v IS NOT NULL ORDER BY n DESC, v`,
          )
        ).map(({ v, n }) => [v, Number(n)] as const);
  const count = number(cells['count']);
  let numbers: ValueFacts['numbers'] = null;
  if (numeric !== undefined && count > 0) {
    const at = (q: number): string =>
      `(SELECT min(x) FROM (SELECT ${numeric} AS x, sum(n) OVER (ORDER BY ${numeric}) AS upto FROM typed WHERE v IS NOT NULL) WHERE upto >= ${q} * ${count})`;
    const [quantile] = await db.rows<Cells>(
      `SELECT ${at(0.01)} AS q01, ${at(0.5)} AS q50, ${at(0.99)} AS q99`,
    );
    numbers = {
      min: number(cells['least']),
      max: number(cells['most']),
      q01: number(quantile!['q01']),
      q50: number(quantile!['q50']),
      q99: number(quantile!['q99']),
      whole: cells['whole'] === true,
    };
  }
  const masks = isText
    ? await db.rows<{ mask: string; n: number }>(
        `SELECT regexp_replace(regexp_replace(regexp_replace(v, '[0-9]', '9', 'g'), '[A-Z]', 'A', 'g'), '[a-z]', 'a', 'g') AS mask, sum(n) AS n
         FROM typed WHERE v IS NOT NULL AND length(v) <= 64 GROUP BY mask ORDER BY n DESC, mask LIMIT ${MAX_MASKS + 1}`,
      )
    : [];
  return {
    name,
    count,
    nulls: number(cells['nulls']),
    unreadable: number(cells['bad']),
    example: (cells['example'] as string | null) ?? null,
    distinct,
    singles: number(cells['singles']),
    rarest: number(cells['rarest']),
    values,
    numbers,
    lengths: isText && count > 0 ? [number(cells['shortest']), number(cells['longest'])] : null,
    masks:
      !isText || masks.length > MAX_MASKS || number(cells['longest']) > 64
        ? null
        : masks.map(({ mask, n }) => [mask, Number(n)] as const),
  };
}
