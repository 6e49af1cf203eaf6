import { MillraceError } from '../base/error.js';
import { printType, type Value, type ValueType } from '../schema/types.js';

/** Name and type of one model input. */
export interface Feature {
  readonly name: string;
  readonly type: ValueType;
}

/**
 * Numbers of one feature, row after row. `width` is 1 for scalars and n for float64_vector(n): component c of row r
 * is `values[r * width + c]`. NaN is missing. Booleans are 0 and 1, timestamps microseconds, dates days, decimals
 * their value (12.34, not 1234): see `numericValue`.
 */
export interface NumericColumn extends Feature {
  readonly kind: 'numeric';
  readonly width: number;
  readonly values: Float64Array;
}

/** Categories of one feature: `dictionary[codes[r]]` is the category of row r, code -1 is missing. */
export interface CategoricalColumn extends Feature {
  readonly kind: 'categorical';
  readonly codes: Int32Array;
  readonly dictionary: readonly string[];
}

export type FeatureColumn = NumericColumn | CategoricalColumn;

export interface FeatureTable {
  readonly rows: number;
  readonly columns: readonly FeatureColumn[];
}

const unusable = (feature: Feature): MillraceError =>
  new MillraceError(
    'TRAIN_FAILED',
    `feature '${feature.name}' has type ${printType(feature.type)}, which no built-in trainer can use`,
    {
      hint: 'Derive a number, a boolean, a string or a float64_vector(n) from it, or leave it out of the model.',
    },
  );

/** How trainers see a feature: strings are categories, other scalars and vectors of fixed length are numbers. */
export function featureKind(feature: Feature): FeatureColumn['kind'] {
  switch (feature.type.kind) {
    case 'string':
      return 'categorical';
    case 'list':
    case 'map':
      throw unusable(feature);
    case 'float64_vector':
      if (feature.type.dimension === undefined) throw unusable(feature);
      return 'numeric';
    default:
      return 'numeric';
  }
}

export const featureWidth = (type: ValueType): number =>
  type.kind === 'float64_vector' ? (type.dimension ?? 0) : 1;

function wrongValue(feature: Feature, value: unknown): MillraceError {
  const shown = Array.isArray(value) ? `a list of ${value.length}` : `${typeof value} ${String(value)}`;
  return new MillraceError(
    'REQUEST_INVALID',
    `feature '${feature.name}' is ${printType(feature.type)}, got ${shown}`,
  );
}

/** The number a scalar value stands for; null, undefined and non-finite numbers are missing (NaN). */
export function numericValue(feature: Feature, value: Value | undefined): number {
  if (value === null || value === undefined) return Number.NaN;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value !== 'number' && typeof value !== 'bigint') throw wrongValue(feature, value);
  const number = Number(value);
  if (!Number.isFinite(number)) return Number.NaN;
  return feature.type.kind === 'decimal' ? number / 10 ** feature.type.scale : number;
}

/** The category a value stands for, or undefined when it is missing. */
export function categoryValue(feature: Feature, value: Value | undefined): string | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value === 'object') throw wrongValue(feature, value);
  return typeof value === 'string' ? value : String(value);
}

/** Writes the numbers of one value (all NaN when it is null) at `out[offset ...]`. */
export function writeNumbers(
  feature: Feature,
  width: number,
  value: Value | undefined,
  out: Float64Array,
  offset: number,
): void {
  if (feature.type.kind !== 'float64_vector') {
    out[offset] = numericValue(feature, value);
  } else if (value === null || value === undefined) {
    out.fill(Number.NaN, offset, offset + width);
  } else {
    if (!Array.isArray(value) || value.length !== width) throw wrongValue(feature, value);
    for (let c = 0; c < width; c++) out[offset + c] = numericValue(feature, value[c] as Value);
  }
}

/** A table from columns of values, one value a row, in the order of the features. */
export function buildTable(
  features: readonly Feature[],
  columns: readonly (readonly (Value | undefined)[])[],
): FeatureTable {
  if (features.length !== columns.length) {
    throw new MillraceError('TRAIN_FAILED', `${features.length} features but ${columns.length} columns`);
  }
  const rows = columns[0]?.length ?? 0;
  return {
    rows,
    columns: features.map((feature, j): FeatureColumn => {
      const values = columns[j]!;
      if (values.length !== rows) {
        throw new MillraceError(
          'TRAIN_FAILED',
          `feature '${feature.name}' has ${values.length} rows, the first one has ${rows}`,
        );
      }
      return featureKind(feature) === 'numeric'
        ? numericColumn(feature, values)
        : categoricalColumn(feature, values);
    }),
  };
}

function numericColumn(feature: Feature, values: readonly (Value | undefined)[]): NumericColumn {
  const width = featureWidth(feature.type);
  const numbers = new Float64Array(values.length * width);
  for (let r = 0; r < values.length; r++) writeNumbers(feature, width, values[r], numbers, r * width);
  return { name: feature.name, type: feature.type, kind: 'numeric', width, values: numbers };
}

/** Codes are given in order of first appearance. Works for any scalar type, to treat an identifier as a category. */
function categoricalColumn(feature: Feature, values: readonly (Value | undefined)[]): CategoricalColumn {
  const codes = new Int32Array(values.length);
  const dictionary: string[] = [];
  const known = new Map<string, number>();
  for (let r = 0; r < values.length; r++) {
    const category = categoryValue(feature, values[r]);
    if (category === undefined) {
      codes[r] = -1;
      continue;
    }
    let code = known.get(category);
    if (code === undefined) {
      code = dictionary.push(category) - 1;
      known.set(category, code);
    }
    codes[r] = code;
  }
  return { name: feature.name, type: feature.type, kind: 'categorical', codes, dictionary };
}

/** The given rows of a table, in the given order. Dictionaries are shared. */
export function takeRows(table: FeatureTable, rows: ArrayLike<number>): FeatureTable {
  const count = rows.length;
  return {
    rows: count,
    columns: table.columns.map((column): FeatureColumn => {
      if (column.kind === 'categorical') {
        const codes = new Int32Array(count);
        for (let i = 0; i < count; i++) codes[i] = column.codes[rows[i]!]!;
        return { ...column, codes };
      }
      const { width } = column;
      const values = new Float64Array(count * width);
      for (let i = 0; i < count; i++) {
        for (let c = 0; c < width; c++) values[i * width + c] = column.values[rows[i]! * width + c]!;
      }
      return { ...column, values };
    }),
  };
}
