import type { Scalar, ValueType } from '../schema/types.js';

/** Operations on values of settled types. `OPERATIONS` in the printer and in the compiler have one row for each. */
export type Op =
  | 'neg_int'
  | 'abs_int'
  | 'add_int'
  | 'sub_int'
  | 'mul_int'
  | 'idiv_int'
  | 'mod_int'
  | 'sign'
  | 'neg_float'
  | 'abs_float'
  | 'add_float'
  | 'sub_float'
  | 'mul_float'
  | 'div_float'
  | 'mod_float'
  | 'neg_decimal'
  | 'abs_decimal'
  | 'add_decimal'
  | 'sub_decimal'
  | 'mul_decimal'
  | 'mod_decimal'
  | 'floor_float'
  | 'ceil_float'
  | 'trunc_float'
  | 'round_float'
  | 'round_float_to'
  | 'floor_decimal'
  | 'ceil_decimal'
  | 'trunc_decimal'
  | 'round_decimal'
  | 'rescale'
  | 'rescale_wide'
  | 'int_to_float'
  | 'decimal_to_float'
  | 'unscaled'
  | 'float_to_int'
  | 'float_to_decimal'
  | 'boolean_to_int'
  | 'int_to_string'
  | 'decimal_to_string'
  | 'boolean_to_string'
  | 'date_to_string'
  | 'timestamp_to_string'
  | 'string_to_int'
  | 'string_to_float'
  | 'string_to_decimal'
  | 'string_to_boolean'
  | 'string_to_date'
  | 'string_to_timestamp'
  | 'date_to_timestamp'
  | 'timestamp_to_date'
  | 'sqrt'
  | 'exp'
  | 'ln'
  | 'log10'
  | 'log2'
  | 'power'
  | 'sin'
  | 'cos'
  | 'tan'
  | 'atan2'
  | 'eq'
  | 'ne'
  | 'lt'
  | 'le'
  | 'gt'
  | 'ge'
  | 'distinct'
  | 'not_distinct'
  | 'between'
  | 'in'
  | 'and'
  | 'or'
  | 'not'
  | 'is_null'
  | 'is_not_null'
  | 'case'
  | 'coalesce'
  | 'nullif'
  | 'greatest'
  | 'least'
  | 'like'
  | 'join_text'
  | 'concat'
  | 'lower'
  | 'upper'
  | 'length'
  | 'trim'
  | 'ltrim'
  | 'rtrim'
  | 'substr'
  | 'replace'
  | 'starts_with'
  | 'ends_with'
  | 'contains'
  | 'strpos'
  | 'part'
  | 'epoch'
  | 'date_trunc'
  | 'date_diff'
  | 'add_duration'
  | 'sub_timestamp'
  | 'sub_date'
  | 'cosine_similarity'
  | 'dot_product'
  | 'euclidean_distance';

/** The words an operation needs besides its arguments: scales, a unit, a time zone, a pattern. */
export interface Parameters {
  /** Scale of the result (of the operands too, for neg, abs, add, sub, mod of decimals). */
  readonly scale?: number;
  /** Scale of the argument, where it differs. */
  readonly from?: number;
  readonly unit?: string;
  readonly zone?: string;
  readonly micros?: number;
  readonly pattern?: string;
  readonly escape?: string;
}

export type Typed =
  | { readonly node: 'literal'; readonly type: ValueType; readonly value: Scalar }
  | { readonly node: 'column'; readonly type: ValueType; readonly slot: string; readonly index: number }
  | {
      readonly node: 'operation';
      readonly op: Op;
      readonly type: ValueType;
      readonly args: readonly Typed[];
      readonly parameters: Parameters;
    };

export interface Slot {
  readonly slot: string;
  readonly path: readonly string[];
  readonly type: ValueType;
}

/** A typed expression, ready to print or compile. Frozen. */
export interface Expression {
  readonly type: ValueType;
  readonly ast: Typed;
  /** What it reads, in order of first mention. */
  readonly slots: readonly Slot[];
  /** Types found from use for names that the scope could not type. */
  readonly inferred: ReadonlyMap<string, ValueType>;
  readonly text: string;
  /** One text for all spellings of the same tree; for fingerprints. */
  readonly canonical: string;
}

/** Operations whose last bit depends on a mathematics library, and vectors: computed in JavaScript only. */
export const JAVASCRIPT_ONLY: ReadonlySet<Op> = new Set<Op>([
  'exp',
  'ln',
  'log10',
  'log2',
  'power',
  'sin',
  'cos',
  'tan',
  'atan2',
  'cosine_similarity',
  'dot_product',
  'euclidean_distance',
]);
