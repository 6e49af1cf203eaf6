/**
 * A stateless transform's second reading: its SELECT in our own expressions, for records that are pushed. Only what
 * means the same to the bit in DuckDB's SQL and here is read; the rest waits for SQL.
 */
import type { Definitions, Source } from '../define/types.js';
import { checkExpression, type Expression, parseExpression } from '../expression/index.js';
import { sameType, type ValueType } from '../schema/types.js';
import type { Query, Select } from './query.js';

export interface RowReading {
  readonly parent: string;
  /** Rows for which it is true are kept; null: all. */
  readonly keep: Expression | null;
  /** The row as it goes through the door: its columns, in the fields' types. */
  readonly columns: readonly {
    readonly name: string;
    readonly type: ValueType;
    readonly value: Expression;
  }[];
}

/** Operations that DuckDB's operators of the same spelling do alike, on all values that records hold. */
const ALIKE: ReadonlySet<string> = new Set(
  `neg_int add_int sub_int mul_int neg_float add_float sub_float mul_float int_to_float eq ne lt le gt ge distinct
  not_distinct between in and or not is_null is_not_null case coalesce`
    .split(/\s+/)
    .filter((op) => op !== ''),
);

/** Literals of kinds that DuckDB types as we do. */
const LITERALS: ReadonlySet<ValueType['kind']> = new Set(['int64', 'decimal', 'string', 'boolean']);

function unlike(expression: Expression): string | null {
  const visit = (node: Expression['ast']): string | null => {
    if (node.node === 'column') return null;
    if (node.node === 'literal')
      return node.value === null || LITERALS.has(node.type.kind)
        ? null
        : `a literal of type ${node.type.kind}`;
    if (!ALIKE.has(node.op)) return node.op.replaceAll('_', ' ');
    for (const argument of node.args) {
      const found = visit(argument);
      if (found !== null) return found;
    }
    return null;
  };
  return visit(expression.ast);
}

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** The reading, or in words why there is none. The query must be `stateless`. */
export function readRows(definitions: Definitions, source: Source, query: Query): RowReading | string {
  if (query.kind !== 'select' || query.ctes.length > 0 || query.from?.kind !== 'table')
    return 'it reads its parent through another query';
  const parent = definitions.sources.get(query.from.path.at(-1)!);
  if (!parent || query.from.columns.length > 0) return 'it reads its parent under other names';
  const alias = (query.from.alias ?? parent.name).toLowerCase();
  const scope = {
    resolve: (path: readonly string[]) => {
      const own = path.length === 2 && path[0]!.toLowerCase() === alias ? path.slice(1) : path;
      if (own.length !== 1) return undefined;
      const field = parent.fields.find((item) => item.name.toLowerCase() === own[0]!.toLowerCase());
      return field && { type: field.type, slot: field.name };
    },
    names: () => parent.fields.map((field) => field.name),
  };
  const read = (text: string): Expression | string => {
    const parsed = parseExpression(text);
    if (!parsed.ok) return `${text} is not in our expressions`;
    const checked = checkExpression(parsed.ast, scope);
    if (!checked.ok) return `${text} is not in our expressions`;
    const other = unlike(checked.expression);
    return other === null ? checked.expression : `${text}: ${other}`;
  };
  const outputs = outputsOf(query, parent);
  if (typeof outputs === 'string') return outputs;
  const columns: RowReading['columns'][number][] = [];
  for (const field of source.fields) {
    const name = field.from ?? field.name;
    const text = outputs.get(name.toLowerCase());
    if (text === undefined) return `it gives no column ${name}`;
    const value = read(text);
    if (typeof value === 'string') return value;
    if (!sameType(value.type, field.type)) return `${text} is of another type than ${field.name}`;
    columns.push({ name, type: field.type, value });
  }
  const keep = query.where === null ? null : read(query.where.text);
  if (typeof keep === 'string') return keep;
  if (keep !== null && keep.type.kind !== 'boolean') return 'its condition is not true or false';
  return { parent: parent.name, keep, columns };
}

/** Output columns by folded name, as expression texts; of two of one name the first, as DuckDB's readers take it. */
function outputsOf(query: Select, parent: Source): ReadonlyMap<string, string> | string {
  const outputs = new Map<string, string>();
  const put = (name: string, text: string): void => {
    if (!outputs.has(name.toLowerCase())) outputs.set(name.toLowerCase(), text);
  };
  for (const item of query.items) {
    if (item.kind === 'term') put(item.name ?? item.term.text, item.term.text);
    else if (item.kind === 'star') {
      const excluded = new Set(item.exclude.map((name) => name.toLowerCase()));
      for (const { name } of parent.fields) {
        if (excluded.has(name.toLowerCase())) continue;
        const replaced = item.replace.find((entry) => entry.name.toLowerCase() === name.toLowerCase());
        const renamed = item.rename.find((entry) => entry.from.toLowerCase() === name.toLowerCase());
        put(renamed?.to ?? name, replaced?.term.text ?? quote(name));
      }
    } else return 'COLUMNS(...) is left to SQL';
  }
  return outputs;
}
