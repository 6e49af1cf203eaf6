/** Columns that a dataset adds to its observations: names that stand for one thing only, in SQL too. */
import type { Resolved } from './context.js';
import type { Located } from './shape.js';
import type { Feature, Label, Source } from './types.js';

/** The column of a dataset that says which part a row is in. */
export const PART_COLUMN = 'part';

/** SQL engines do not tell names apart that differ in case only. */
export const foldName = (name: string): string => name.toLowerCase();

/** Names that tables have of themselves, whatever their columns are. */
export const isSystemName = (name: string): boolean =>
  name === '' || name.startsWith('_') || foldName(name) === 'rowid';

const WIDENINGS: ReadonlySet<string> = new Set(['int_to_float', 'decimal_to_float', 'int_to_decimal']);

/** The feature is the observation's own field of its name: the column it replaces means the same. */
const isRequestField = ({ name, computation }: Feature): boolean => {
  if (computation.kind !== 'expression') return false;
  const { ast } = computation.expression;
  const inner = ast.node === 'operation' && WIDENINGS.has(ast.op) ? ast.args[0]! : ast;
  return inner.node === 'column' && inner.slot === `request.${name}`;
};

/** The label is a field of its records with its own name. */
const isOwnField = ({ name, expression }: Label): boolean =>
  expression?.ast.node === 'column' && expression.ast.slot === name;

/**
 * What is wrong with a column of an observations file beside what a dataset adds, or undefined: an added column takes
 * the place of a column with its name.
 */
export function columnProblem(
  column: string,
  features: readonly Feature[],
  label: string | null,
): string | undefined {
  if (foldName(column) === PART_COLUMN) return `\`${PART_COLUMN}\` is the column of the split`;
  const feature = features.find(({ name }) => foldName(name) === foldName(column));
  if (feature && !(feature.name === column && isRequestField(feature)))
    return `the feature \`${feature.name}\` is something else`;
  if (label !== null && label !== column && foldName(label) === foldName(column))
    return `the label \`${label}\` differs only in case`;
  return undefined;
}

/** Two of these names differ only in case: the pair, or undefined. */
export function likeNames(
  columns: readonly string[],
  features: readonly string[],
): readonly [string, string] | undefined {
  const names = new Map(
    columns.filter((name) => !features.includes(name)).map((name) => [foldName(name), name]),
  );
  for (const name of features) {
    const other = names.get(foldName(name));
    if (other !== undefined) return [other, name];
    names.set(foldName(name), name);
  }
  return undefined;
}

/**
 * Features and label of one dataset have names that differ in more than case, and that no field of its observations
 * has with another meaning: an added column takes the place of a column with its name.
 */
export function checkColumns(
  context: Resolved,
  subject: string,
  written: {
    readonly features: Located<unknown>['place'] | undefined;
    readonly label: Located<string> | undefined;
  },
  features: readonly string[],
  label: Label | undefined,
  source: Source | undefined,
): void {
  const { report } = context;
  const taken = new Map<string, string>();
  const add = (
    name: string,
    kind: 'feature' | 'label',
    place: Located<unknown>['place'] | undefined,
  ): void => {
    const other = taken.get(foldName(name));
    taken.set(foldName(name), name);
    if (other === undefined) return;
    report.add(
      'DEF_DUPLICATE_NAME',
      place,
      other === name
        ? `${subject} has a feature and a label named \`${name}\``
        : `${subject} has the ${kind} \`${name}\` and \`${other}\`, which differ only in case`,
      { hint: 'Rename one of them: SQL does not tell them apart.' },
    );
  };
  for (const name of features) add(name, 'feature', written.features);
  if (label) add(label.name, 'label', written.label?.place);

  for (const field of source?.fields ?? []) {
    const name = taken.get(foldName(field.name));
    if (foldName(field.name) === PART_COLUMN) {
      report.add(
        'DEF_DUPLICATE_NAME',
        written.features,
        `${subject}: its observations have a field \`${field.name}\`, and \`${PART_COLUMN}\` is the column of the split`,
        {
          hint: `Rename the field in source \`${source!.name}\`: \`${field.name}_of: { type, from: ${field.name} }\`.`,
        },
      );
    }
    if (name === undefined) continue;
    const feature = context.features.get(name);
    const isLabel = label !== undefined && label.name === name;
    if (
      field.name === name &&
      (isLabel ? isOwnField(label) : feature === undefined || isRequestField(feature))
    )
      continue;
    report.add(
      'DEF_DUPLICATE_NAME',
      isLabel ? written.label?.place : written.features,
      `${subject}: its observations have a field \`${field.name}\`, and the ${isLabel ? 'label' : 'feature'} \`${name}\` is something else`,
      {
        hint: isLabel
          ? 'Rename the label.'
          : `Rename the feature; only a feature that is \`request.${field.name}\` may have the name of the field.`,
      },
    );
  }
}
