import { MillraceError } from '../base/error.js';
import { fingerprint } from '../base/fingerprint.js';
import { nearest } from '../base/nearest.js';
import { parseType, printType, type Value } from '../schema/types.js';
import {
  type CategoricalColumn,
  categoryValue,
  type Feature,
  type FeatureColumn,
  type FeatureTable,
  type NumericColumn,
  writeNumbers,
} from './matrix.js';

/**
 * How one feature becomes numbers.
 *
 * - `standard` (linear models): (x - mean) / scale of each component, missing = the mean = 0; then one 0/1 column for
 *   each component that had missing values in training.
 * - `one_hot` (linear models): a 0/1 column for each kept category, then for all other categories when training had
 *   rare ones, then for missing when training had any. What has no column is all zeros.
 * - `number` (trees): the numbers as they are, NaN = missing.
 * - `category` (trees): the index of the category; `categories.length` = any other one, one more = missing.
 */
export type FeatureEncoding =
  | {
      readonly kind: 'standard';
      readonly name: string;
      readonly type: string;
      readonly means: readonly number[];
      readonly scales: readonly number[];
      readonly indicators: readonly boolean[];
    }
  | {
      readonly kind: 'one_hot';
      readonly name: string;
      readonly type: string;
      readonly categories: readonly string[];
      readonly other: boolean;
      readonly missing: boolean;
    }
  | { readonly kind: 'number'; readonly name: string; readonly type: string; readonly width: number }
  | {
      readonly kind: 'category';
      readonly name: string;
      readonly type: string;
      readonly categories: readonly string[];
    };

/** Plain JSON, fitted on training rows only. `width` is the number of encoded columns. */
export interface Encoder {
  readonly version: 1;
  readonly form: 'linear' | 'tree';
  readonly width: number;
  readonly features: readonly FeatureEncoding[];
}

export interface EncoderOptions {
  readonly form: 'linear' | 'tree';
  /** Linear form: divide by the standard deviation (n in the denominator). Means are taken off either way. */
  readonly standardise?: boolean;
  /** Categories seen in fewer training rows are pooled into 'other'. */
  readonly minCategoryRows?: number;
  /** The most frequent categories that are kept. */
  readonly maxCategories?: number;
}

export function encodingWidth(encoding: FeatureEncoding): number {
  switch (encoding.kind) {
    case 'standard':
      return encoding.means.length + encoding.indicators.filter(Boolean).length;
    case 'one_hot':
      return encoding.categories.length + Number(encoding.other) + Number(encoding.missing);
    case 'number':
      return encoding.width;
    case 'category':
      return 1;
  }
}

function columnNames(encoding: FeatureEncoding): string[] {
  const { name } = encoding;
  const component = (count: number) => (_: unknown, index: number) =>
    count === 1 ? name : `${name}[${index}]`;
  switch (encoding.kind) {
    case 'standard': {
      const names = encoding.means.map(component(encoding.means.length));
      return [...names, ...names.filter((_, c) => encoding.indicators[c]).map((each) => `${each} missing`)];
    }
    case 'one_hot':
      return [
        ...encoding.categories.map((category) => `${name} = ${category}`),
        ...(encoding.other ? [`${name} other`] : []),
        ...(encoding.missing ? [`${name} missing`] : []),
      ];
    case 'number':
      return Array.from({ length: encoding.width }, component(encoding.width));
    case 'category':
      return [name];
  }
}

/** Names of the encoded columns, for people: `age`, `age missing`, `city = Oslo`, `city other`, `embedding[3]`. */
export const encodedNames = (encoder: Encoder): string[] => encoder.features.flatMap(columnNames);

function fitStandard(column: NumericColumn, standardise: boolean): FeatureEncoding {
  const { width, values } = column;
  const rows = values.length / width;
  const means: number[] = [];
  const scales: number[] = [];
  const indicators: boolean[] = [];
  for (let c = 0; c < width; c++) {
    let count = 0;
    let sum = 0;
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (let at = c; at < values.length; at += width) {
      const x = values[at]!;
      if (!Number.isFinite(x)) continue;
      count++;
      sum += x;
      if (x < low) low = x;
      if (x > high) high = x;
    }
    let mean = count === 0 ? 0 : low === high ? low : sum / count;
    let scale = 1;
    if (low < high) {
      let correction = 0;
      for (let at = c; at < values.length; at += width) {
        if (Number.isFinite(values[at]!)) correction += values[at]! - mean;
      }
      mean += correction / count;
      let squares = 0;
      for (let at = c; at < values.length; at += width) {
        if (Number.isFinite(values[at]!)) squares += (values[at]! - mean) ** 2;
      }
      const deviation = Math.sqrt(squares / count);
      if (standardise && deviation > 0 && Number.isFinite(deviation)) scale = deviation;
    }
    means.push(mean + 0);
    scales.push(scale);
    indicators.push(count < rows && count > 0);
  }
  return { kind: 'standard', name: column.name, type: printType(column.type), means, scales, indicators };
}

/** Kept categories: most frequent first, equal ones by code unit order. */
function frequentCategories(column: CategoricalColumn, minRows: number, maxCategories: number) {
  const counts = new Float64Array(column.dictionary.length);
  let missing = false;
  for (const code of column.codes) {
    if (code < 0) missing = true;
    else counts[code]!++;
  }
  const seen = column.dictionary
    .map((category, code) => ({ category, count: counts[code]! }))
    .filter((each) => each.count > 0);
  seen.sort((a, b) => b.count - a.count || (a.category < b.category ? -1 : 1));
  const categories = seen
    .filter((each) => each.count >= minRows)
    .slice(0, maxCategories)
    .map((each) => each.category);
  return { categories, other: categories.length < seen.length, missing };
}

function fitFeature(column: FeatureColumn, options: Required<EncoderOptions>): FeatureEncoding {
  const { name } = column;
  const type = printType(column.type);
  if (column.kind === 'numeric') {
    return options.form === 'tree'
      ? { kind: 'number', name, type, width: column.width }
      : fitStandard(column, options.standardise);
  }
  const found = frequentCategories(column, options.minCategoryRows, options.maxCategories);
  return options.form === 'tree'
    ? { kind: 'category', name, type, categories: found.categories }
    : { kind: 'one_hot', name, type, ...found };
}

/** The same for encoders that give the same bits for every row. */
export const encoderFingerprint = (encoder: Encoder): string => fingerprint(JSON.stringify(encoder));

/** Learns the encoding from training rows. Defaults: standardise, no minimum, 254 categories. */
export function fitEncoder(table: FeatureTable, options: EncoderOptions): Encoder {
  const full = { standardise: true, minCategoryRows: 1, maxCategories: 254, ...options };
  const features = table.columns.map((column) => fitFeature(column, full));
  const width = features.reduce((sum, encoding) => sum + encodingWidth(encoding), 0);
  return { version: 1, form: options.form, width, features };
}

/** An encoder with its dictionaries looked up. `out` needs `width` places. */
export interface CompiledEncoder {
  readonly width: number;
  /** One value a feature, in the order of the encoder. */
  readonly encodeRow: (values: readonly (Value | undefined)[], out: Float64Array) => void;
  /** Columns are found by name, so their order does not matter. */
  readonly bindTable: (table: FeatureTable) => (row: number, out: Float64Array) => void;
}

interface Step {
  readonly encoding: FeatureEncoding;
  readonly feature: Feature;
  readonly offset: number;
  readonly codes: ReadonlyMap<string, number>;
}

/** Standardised numbers end here, so that no score of finite coefficients is NaN. */
const LARGEST = 1e150;

function writeStandard(
  encoding: Extract<FeatureEncoding, { kind: 'standard' }>,
  numbers: Float64Array,
  start: number,
  out: Float64Array,
  offset: number,
): void {
  const { means, scales, indicators } = encoding;
  let indicator = offset + means.length;
  for (let c = 0; c < means.length; c++) {
    const x = numbers[start + c]!;
    const known = Number.isFinite(x);
    out[offset + c] = known ? Math.max(-LARGEST, Math.min(LARGEST, (x - means[c]!) / scales[c]!)) : 0;
    if (indicators[c]) out[indicator++] = known ? 0 : 1;
  }
}

/** `code`: index of the category; the number of categories = another one; one more = missing. */
function writeOneHot(
  encoding: Extract<FeatureEncoding, { kind: 'one_hot' }>,
  code: number,
  out: Float64Array,
  offset: number,
): void {
  const count = encoding.categories.length;
  out.fill(0, offset, offset + encodingWidth(encoding));
  if (code < count) out[offset + code] = 1;
  else if (code === count && encoding.other) out[offset + count] = 1;
  else if (code > count && encoding.missing) out[offset + count + Number(encoding.other)] = 1;
}

function writeFinite(
  numbers: Float64Array,
  start: number,
  width: number,
  out: Float64Array,
  offset: number,
): void {
  for (let c = 0; c < width; c++) {
    const x = numbers[start + c]!;
    out[offset + c] = Number.isFinite(x) ? x : Number.NaN;
  }
}

function categoryCode(step: Step, count: number, category: string | undefined): number {
  return category === undefined ? count + 1 : (step.codes.get(category) ?? count);
}

const categoriesOf = (encoding: FeatureEncoding): readonly string[] =>
  encoding.kind === 'one_hot' || encoding.kind === 'category' ? encoding.categories : [];

function steps(encoder: Encoder): Step[] {
  let offset = 0;
  return encoder.features.map((encoding) => {
    const type = parseType(encoding.type);
    if (!type) throw new MillraceError('STORE_CORRUPT', `the model has an unknown type '${encoding.type}'`);
    const step = {
      encoding,
      feature: { name: encoding.name, type },
      offset,
      codes: new Map(categoriesOf(encoding).map((category, code) => [category, code])),
    };
    offset += encodingWidth(encoding);
    return step;
  });
}

function columnOf(step: Step, table: FeatureTable): FeatureColumn {
  const { encoding } = step;
  const column = table.columns.find((each) => each.name === encoding.name);
  if (!column) {
    const near = nearest(
      encoding.name,
      table.columns.map((each) => each.name),
    );
    throw new MillraceError(
      'REQUEST_INVALID',
      `the model needs feature '${encoding.name}', which the table lacks`,
      {
        ...(near === undefined ? {} : { hint: `Did you mean '${near}'?` }),
      },
    );
  }
  const kind = encoding.kind === 'standard' || encoding.kind === 'number' ? 'numeric' : 'categorical';
  const type = printType(column.type);
  if (column.kind !== kind || type !== encoding.type) {
    throw new MillraceError(
      'REQUEST_INVALID',
      `feature '${encoding.name}' was ${kind} ${encoding.type} in training and is ${column.kind} ${type} now`,
    );
  }
  return column;
}

/** Codes of the encoder for the codes of a column; the last place is for missing (code -1). */
function translate(step: Step, column: CategoricalColumn): Int32Array {
  const count = categoriesOf(step.encoding).length;
  const codes = Int32Array.from(column.dictionary, (category) => categoryCode(step, count, category));
  const all = new Int32Array(codes.length + 1);
  all.set(codes);
  all[codes.length] = count + 1;
  return all;
}

function tableWriter(step: Step, table: FeatureTable): (row: number, out: Float64Array) => void {
  const { encoding, offset } = step;
  const column = columnOf(step, table);
  if (column.kind === 'categorical') {
    const codes = translate(step, column);
    const missing = codes.length - 1;
    const codeAt = (row: number): number => codes[column.codes[row]! < 0 ? missing : column.codes[row]!]!;
    return encoding.kind === 'one_hot'
      ? (row, out) => writeOneHot(encoding, codeAt(row), out, offset)
      : (row, out) => {
          out[offset] = codeAt(row);
        };
  }
  const { values, width } = column;
  return encoding.kind === 'standard'
    ? (row, out) => writeStandard(encoding, values, row * width, out, offset)
    : (row, out) => writeFinite(values, row * width, width, out, offset);
}

export function compileEncoder(encoder: Encoder): CompiledEncoder {
  const all = steps(encoder);
  const widest = all.reduce((most, { encoding }) => Math.max(most, encodingWidth(encoding)), 1);
  const scratch = new Float64Array(widest);
  const encodeRow = (values: readonly (Value | undefined)[], out: Float64Array): void => {
    if (values.length !== all.length) {
      throw new MillraceError(
        'REQUEST_INVALID',
        `the model has ${all.length} features, got ${values.length} values`,
      );
    }
    for (let j = 0; j < all.length; j++) {
      const step = all[j]!;
      const { encoding, feature, offset } = step;
      const value = values[j];
      switch (encoding.kind) {
        case 'number':
          writeNumbers(feature, encoding.width, value, out, offset);
          break;
        case 'standard':
          writeNumbers(feature, encoding.means.length, value, scratch, 0);
          writeStandard(encoding, scratch, 0, out, offset);
          break;
        case 'category':
          out[offset] = categoryCode(step, encoding.categories.length, categoryValue(feature, value));
          break;
        case 'one_hot':
          writeOneHot(
            encoding,
            categoryCode(step, encoding.categories.length, categoryValue(feature, value)),
            out,
            offset,
          );
          break;
      }
    }
  };
  const bindTable = (table: FeatureTable) => {
    const writers = all.map((step) => tableWriter(step, table));
    return (row: number, out: Float64Array): void => {
      for (const write of writers) write(row, out);
    };
  };
  return { width: encoder.width, encodeRow, bindTable };
}

/** The encoded numbers of one row of values. Serving code compiles the encoder once instead. */
export function encodeRow(encoder: Encoder, values: readonly (Value | undefined)[]): Float64Array {
  const out = new Float64Array(encoder.width);
  compileEncoder(encoder).encodeRow(values, out);
  return out;
}

/** Encoded rows one after the other: column j of row r is at `r * width + j`. */
export function encodeTable(encoder: Encoder, table: FeatureTable): Float64Array {
  const { width } = encoder;
  const out = new Float64Array(table.rows * width);
  const write = compileEncoder(encoder).bindTable(table);
  for (let r = 0; r < table.rows; r++) write(r, out.subarray(r * width, (r + 1) * width));
  return out;
}

/** One encoded column at a time (trees are fitted by column), in the order of the encoder. */
export function* encodedColumns(encoder: Encoder, table: FeatureTable): Generator<Float64Array> {
  for (const step of steps(encoder)) {
    const width = encodingWidth(step.encoding);
    const write = tableWriter({ ...step, offset: 0 }, table);
    const scratch = new Float64Array(width);
    const columns = Array.from({ length: width }, () => new Float64Array(table.rows));
    for (let r = 0; r < table.rows; r++) {
      write(r, scratch);
      for (let c = 0; c < width; c++) columns[c]![r] = scratch[c]!;
    }
    yield* columns;
  }
}
