/** The columns a file has against the fields a source declares. */
import { nearest } from '../base/nearest.js';
import type { FieldDefinition, Source } from '../define/types.js';

export interface MissingColumn {
  readonly field: string;
  /** The column that was looked for. */
  readonly column: string;
  /** The undeclared column of the file that it most likely is. */
  readonly nearest: string | undefined;
}

export interface ColumnDifference {
  readonly missing: readonly MissingColumn[];
  /** Columns of the file that no field reads, in the file's order. */
  readonly extra: readonly string[];
  /** Columns that stand in the file more than once. */
  readonly repeated: readonly string[];
}

/** Where a field is read: its own column, else the first accepted rename that is there; undefined: nowhere. */
export const columnOf = (
  { name, from, aliases = [] }: FieldDefinition,
  present: ReadonlySet<string>,
): string | undefined => [from ?? name, ...aliases].find((column) => present.has(column));

/** The declared name of a field's column in what a source delivers; the name itself when there is no such field. */
export const declaredColumn = ({ fields }: Pick<Source, 'fields'>, name: string): string =>
  fields.find((field) => field.name === name)?.from ?? name;

/**
 * The column in which a source delivers a field, among those that are there: its own, or an accepted rename. Where none
 * is, the declared one; the name itself when there is no such field.
 */
export function columnAmong(
  { fields }: Pick<Source, 'fields'>,
  name: string,
  present: ReadonlySet<string>,
): string {
  const field = fields.find((each) => each.name === name);
  return field ? (columnOf(field, present) ?? field.from ?? name) : name;
}

/** Names are compared exactly. */
export function diffColumns(
  fields: readonly FieldDefinition[],
  present: readonly string[],
): ColumnDifference {
  const names = new Set(present);
  const read = new Set(fields.map((field) => columnOf(field, names)));
  const extra = [...names].filter((name) => !read.has(name));
  return {
    missing: fields
      .filter((field) => columnOf(field, names) === undefined)
      .map((field) => ({
        field: field.name,
        column: field.from ?? field.name,
        nearest: nearest(field.from ?? field.name, extra),
      })),
    extra,
    repeated: [...names].filter((name) => present.indexOf(name) !== present.lastIndexOf(name)),
  };
}

/** Where to look when nothing in the input resembles what is missing. */
const LOOK_AT = {
  delimited: 'Check the delimiter and the header line.',
  records: 'Check the keys of its records.',
  table: 'Check the columns that it gives.',
} as const;

/** One line for missing or repeated columns and what to do; undefined when all fields can be read. */
export function columnsMessage(
  difference: ColumnDifference,
  form: keyof typeof LOOK_AT,
  what = 'the file',
): { readonly message: string; readonly hint: string } | undefined {
  const { missing, extra, repeated } = difference;
  if (repeated.length > 0) {
    return {
      message: `the column ${repeated.join(', ')} stands in the file more than once`,
      hint: 'Rename or remove one of them.',
    };
  }
  if (missing.length === 0) return undefined;
  const names = missing.map(({ column, nearest: near }) =>
    near === undefined ? column : `${column} (did you mean ${near}?)`,
  );
  const renamed = missing.find(({ nearest: near }) => near !== undefined);
  return {
    message: `${what} lacks the column${missing.length > 1 ? 's' : ''} ${names.join(', ')}`,
    hint: renamed
      ? `If the column was renamed, declare it: ${renamed.field}: { type: ..., from: ${renamed.nearest} }`
      : extra.length > 0
        ? `There are also: ${extra.slice(0, 10).join(', ')}.`
        : LOOK_AT[form],
  };
}
