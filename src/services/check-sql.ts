/** What can be said of SQL before any record is there: whether it runs, what it gives, and how transforms go. */
import type { Diagnostic } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import type { Definitions, FieldDefinition, Source } from '../core/define/types.js';
import type { TransformKind } from '../core/lineage/classify.js';
import { BATCH_VIEW, batchSql } from '../core/quality/index.js';
import { coerceNativeSql, duckDbType } from '../core/schema/coerce-sql.js';
import { printType, type ValueType } from '../core/schema/types.js';
import type { DescribeSql, OutputColumn, SqlParser } from '../ports/sql-parser.js';
import { transformKind } from './transform-sql.js';

export interface CheckedSql {
  readonly diagnostics: readonly Diagnostic[];
  readonly transforms: readonly {
    readonly name: string;
    readonly kind: TransformKind['kind'];
    readonly reason: string;
  }[];
}

/** Whether the door refuses every value of such a column for the field. */
const neverFits = (source: Source, field: ValueType, column: string): boolean =>
  coerceNativeSql(field, 'v', column, {
    timezone: source.timezone,
    ambiguousTime: source.ambiguousTime,
    nulls: [],
  }).value === `NULL::${duckDbType(field)}`;

interface SqlRule {
  readonly id: string;
  readonly sql: string;
  /** What its query has to give. */
  readonly gives: '_row' | 'one number' | 'rows';
}

/** Rules of a source that are written in SQL. */
const sqlRules = ({ contract }: Source): readonly SqlRule[] => [
  ...contract.rows.flatMap(({ id, check }): SqlRule[] =>
    check.kind === 'sql' ? [{ id, sql: check.sql, gives: '_row' }] : [],
  ),
  ...contract.batch.flatMap(({ id, check }): SqlRule[] =>
    check.kind !== 'sql'
      ? []
      : [
          {
            id,
            sql: check.sql,
            gives: check.min === undefined && check.max === undefined ? 'rows' : 'one number',
          },
        ],
  ),
];

/** Whether anything of a project is written in SQL that the engine can be asked about. */
export const hasSql = ({ sources }: Definitions): boolean =>
  [...sources.values()].some((source) => source.read.kind === 'transform' || sqlRules(source).length > 0);

export async function checkSql(
  definitions: Definitions,
  parser: SqlParser,
  describe: DescribeSql,
): Promise<CheckedSql> {
  const diagnostics: Diagnostic[] = [];
  const transforms: CheckedSql['transforms'][number][] = [];
  for (const source of definitions.sources.values()) {
    diagnostics.push(...(await checkRules(source, describe)));
    if (source.read.kind !== 'transform') continue;
    const { sql, parents } = source.read;
    const read = parents.map((name) => definitions.sources.get(name)!);
    const columns = await describe(sql, read).catch((error: unknown) =>
      error instanceof Error ? error : new Error(String(error)),
    );
    if (columns instanceof Error) {
      const words = await wordsOfSql(sql, read, describe);
      const near = meant(columns.message, read, definitions.sources.keys());
      diagnostics.push({
        ...diagnostic(
          source,
          'DEF_EXPRESSION',
          `the SQL of transform \`${source.name}\` does not run: ${firstLine(columns.message)}`,
          words.length > 0
            ? `${words.join(', ')} is a word of SQL: as a name it stands in double quotes, as "${words[0]}".`
            : 'It is DuckDB SQL over the fields of the sources that it reads.',
        ),
        ...(near === undefined ? {} : { nearest: near }),
      });
      continue;
    }
    diagnostics.push(...fieldsOf(source, columns));
    const { kind, reason } = await transformKind({ definitions, sqlParser: async () => parser }, source);
    transforms.push({ name: source.name, kind, reason });
  }
  return { diagnostics, transforms };
}

const ROW: FieldDefinition = { name: '_row', type: { kind: 'int64' } };

/** Rules in SQL over a batch without rows: those that cannot run would count as broken by every row. */
async function checkRules(source: Source, describe: DescribeSql): Promise<readonly Diagnostic[]> {
  const found: Diagnostic[] = [];
  const batch: Source = { ...source, name: BATCH_VIEW, fields: [...source.fields, ROW] };
  for (const { id, sql, gives } of sqlRules(source)) {
    const columns = await describe(batchSql(sql), [batch]).catch((error: unknown) =>
      error instanceof Error ? error : new Error(String(error)),
    );
    const rule = `rule \`${id}\` of source \`${source.name}\``;
    if (columns instanceof Error) {
      // A file that the query reads need not be there yet.
      if (/\bIO Error\b/.test(columns.message)) continue;
      found.push(
        diagnostic(
          source,
          'DEF_EXPRESSION',
          `the SQL of ${rule} does not run: ${firstLine(columns.message)}`,
          `It is DuckDB SQL over {batch}, which has ${source.fields.map(({ name }) => name).join(', ')}, _row, _event_time and _available_at.${/syntax error/i.test(columns.message) ? ' A name that SQL has a meaning for stands in double quotes: "at".' : ''}`,
        ),
      );
      continue;
    }
    const names = columns.map(({ name }) => name);
    if (gives === '_row' && !names.includes('_row'))
      found.push(
        diagnostic(
          source,
          'DEF_EXPRESSION',
          `the SQL of ${rule} gives no \`_row\``,
          `It gives ${names.join(', ')}; a rule for one record gives the \`_row\` of every row that breaks it.`,
        ),
      );
    if (gives === 'one number' && (names.length !== 1 || !NUMERIC.test(columns[0]!.type)))
      found.push(
        diagnostic(
          source,
          'DEF_EXPRESSION',
          `the SQL of ${rule} gives ${columns.map(({ name, type }) => `${name} ${type}`).join(', ')}: a rule with a limit gives one number`,
          'Give one number, or take the limit out: then no row may come.',
        ),
      );
  }
  return found;
}

const NUMERIC = /INT|DECIMAL|DOUBLE|FLOAT|BOOLEAN|^"?NULL"?$/i;

/** Fields that stand in the SQL and that DuckDB takes for words of its own unless they are quoted. */
async function wordsOfSql(
  sql: string,
  parents: readonly Source[],
  describe: DescribeSql,
): Promise<readonly string[]> {
  const words = new Set<string>();
  for (const parent of parents)
    for (const { name } of parent.fields) {
      if (!/^\w+$/.test(name) || !new RegExp(`(?<!["\\w])${name}(?!["\\w])`).test(sql)) continue;
      const taken = await describe(`SELECT ${name}, 1 AS one FROM "${parent.name}"`, [parent]).then(
        () => false,
        () => true,
      );
      if (taken) words.add(name);
    }
  return [...words];
}

function fieldsOf(source: Source, columns: readonly OutputColumn[]): Diagnostic[] {
  const found: Diagnostic[] = [];
  for (const field of source.fields) {
    const wanted = field.from ?? field.name;
    const column = columns.find((item) => item.name.toLowerCase() === wanted.toLowerCase());
    if (!column) {
      const near = nearest(
        wanted,
        columns.map((item) => item.name),
      );
      found.push({
        ...diagnostic(
          source,
          'DEF_UNKNOWN_NAME',
          `the SQL of transform \`${source.name}\` gives no column \`${wanted}\``,
          `Its columns: ${columns.map((item) => item.name).join(', ')}.`,
        ),
        ...(near === undefined ? {} : { nearest: near }),
      });
    } else if (neverFits(source, field.type, column.type))
      found.push(
        diagnostic(
          source,
          'DEF_TYPE',
          `the column \`${wanted}\` of transform \`${source.name}\` is ${column.type}, and the field is ${printType(field.type)}`,
          'Cast it in the SQL, or declare the field as it is.',
        ),
      );
  }
  return found;
}

const diagnostic = (
  source: Source,
  code: 'DEF_EXPRESSION' | 'DEF_UNKNOWN_NAME' | 'DEF_TYPE',
  message: string,
  hint: string,
): Diagnostic => ({
  code,
  severity: 'error',
  message,
  hint,
  ...(source.place ? { place: source.place } : {}),
});

/** What was meant by a name that DuckDB does not know: a source for a table, for a column what DuckDB or the parents have. */
function meant(message: string, parents: readonly Source[], sources: Iterable<string>): string | undefined {
  const table = /Table with name (\S+) does not exist/.exec(message)?.[1];
  if (table !== undefined) return nearest(table, sources);
  const proposed = /^(?:Candidate bindings: |Did you mean )"([^"]+)"/m.exec(message)?.[1];
  const unknown = /column (?:named )?"([^"]+)"/.exec(message)?.[1];
  const fields = parents.flatMap((parent) => parent.fields.map(({ name }) => name));
  return proposed ?? (unknown === undefined ? undefined : nearest(unknown, fields));
}

/** DuckDB's first sentence, without the query that we made around it. */
const firstLine = (message: string): string => message.split('\n')[0]!.replace(/^DuckDB says: /, '');
