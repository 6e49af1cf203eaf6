/** What can be said of transforms before any record is there: whether their SQL runs, gives their fields, and how. */
import type { Diagnostic } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import type { Definitions, Source } from '../core/define/types.js';
import type { TransformKind } from '../core/lineage/classify.js';
import { coerceNativeSql, duckDbType } from '../core/schema/coerce-sql.js';
import { printType, type ValueType } from '../core/schema/types.js';
import type { DescribeSql, OutputColumn, SqlParser } from '../ports/sql-parser.js';
import { transformKind } from './transform-sql.js';

export interface CheckedTransforms {
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

export async function checkTransforms(
  definitions: Definitions,
  parser: SqlParser,
  describe: DescribeSql,
): Promise<CheckedTransforms> {
  const diagnostics: Diagnostic[] = [];
  const transforms: CheckedTransforms['transforms'][number][] = [];
  for (const source of definitions.sources.values()) {
    if (source.read.kind !== 'transform') continue;
    const { sql, parents } = source.read;
    const read = parents.map((name) => definitions.sources.get(name)!);
    const columns = await describe(sql, read).catch((error: unknown) =>
      error instanceof Error ? error : new Error(String(error)),
    );
    if (columns instanceof Error) {
      const words = await wordsOfSql(sql, read, describe);
      diagnostics.push(
        diagnostic(
          source,
          'DEF_EXPRESSION',
          `the SQL of transform \`${source.name}\` does not run: ${firstLine(columns.message)}`,
          words.length > 0
            ? `${words.join(', ')} is a word of SQL: as a name it stands in double quotes, as "${words[0]}".`
            : 'It is DuckDB SQL over the fields of the sources that it reads.',
        ),
      );
      continue;
    }
    diagnostics.push(...fieldsOf(source, columns));
    const { kind, reason } = await transformKind({ definitions, sqlParser: async () => parser }, source);
    transforms.push({ name: source.name, kind, reason });
  }
  return { diagnostics, transforms };
}

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

/** DuckDB's first sentence, without the query that we made around it. */
const firstLine = (message: string): string => message.split('\n')[0]!.replace(/^DuckDB says: /, '');
