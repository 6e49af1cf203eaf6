/**
 * THE TABLE's row type. A fold is a named aggregate over the members of a window, in member order
 * (event_time, available_at, seq). The same fold is read by the naive oracle, the sweep, the online engine,
 * profiles and metrics.
 */

import type { Instant } from '../base/time.js';
import type { FunctionArguments, FunctionName } from '../define/types.js';
import type { Value, ValueType } from '../schema/types.js';

/** One record of a window, as a fold sees it. */
export interface Member {
  readonly eventTime: Instant;
  /** The aggregated field's value in JavaScript's reading of its type; null for functions over rows. */
  readonly value: Value;
  /** `min_by`, `max_by`: the ordering value. `ratio`: the predicate (true, false or null). Else null. */
  readonly by: Value;
  /** `group_by`: the category as text; null and absent belong to no group. */
  readonly group?: string | null;
}

export interface FoldContext {
  readonly inputType: ValueType | null;
  readonly byType: ValueType | null;
  readonly arguments: FunctionArguments;
}

/**
 * `S` is the state: mutable, private to its owner. `finish` never changes it.
 * Laws (proved over the whole catalogue by test/laws): merge is associative with init as identity;
 * add in order then finish = the definition; merge of adjacent runs = the run of both;
 * remove undoes add exactly (where `remove` exists); encode then decode is the identity on finished values,
 * and equal member lists give equal encoded bytes however they were merged.
 */
export interface Fold<S = unknown> {
  readonly function: FunctionName;
  /** True when members may be added, removed and merged in any order with the same state. */
  readonly commutative: boolean;
  init(): S;
  add(state: S, member: Member): void;
  /** Exact inverse of `add` for a member that is present. Absent where it cannot be exact. */
  remove?(state: S, member: Member): void;
  /** `into` becomes into ⊕ from; unless commutative, every member of `from` follows those of `into`. */
  merge(into: S, from: S): void;
  /** The value at observation instant `at` (only time-dependent folds read it). Null: nothing to aggregate. */
  finish(state: S, at: Instant): Value;
  /**
   * Says what a null from `finish` means: `ok` the value itself is null (`first`, `last`), `error` the exact result
   * does not fit its type. Absent: `empty`.
   */
  nullStatus?(state: S): 'ok' | 'empty' | 'error';
  /** Whether a part of a value that is not null is null because its exact result does not fit. Absent: never. */
  partFailed?(state: S, value: Value): boolean;
  /** Plain JSON-able, canonical. */
  encode(state: S): unknown;
  decode(encoded: unknown): S;
}

export type FoldFactory = (context: FoldContext) => Fold;
