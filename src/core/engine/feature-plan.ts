/**
 * What must be read to answer a list of features: the base features, grouped by (source, join keys) so that a group
 * is one scan offline and one key space online, and the derived ones in the order in which they can be computed.
 * Offline and online finish every value through `finishBase` and `deriveRow`: one code, one value.
 */
import { invariant, MillraceError } from '../base/error.js';
import { nearest } from '../base/nearest.js';
import { type Instant, parseDuration } from '../base/time.js';
import type { Computation, Definitions, Feature, JoinKey, Neighbours, Source } from '../define/types.js';
import { compileJsRow, type Expression } from '../expression/index.js';
import { printType, type Value, type ValueType } from '../schema/types.js';
import { conform } from './conform.js';
import { type Neighbour, nearestNeighbours, type VectorIndex } from './neighbours.js';
import type { Status } from './types.js';

export interface FeatureGroup {
  /** `source(key,key)`. */
  readonly id: string;
  readonly source: Source;
  readonly joinKeys: readonly JoinKey[];
  /** Fields of the source that hold the join keys, in key order. */
  readonly keyFields: readonly string[];
  readonly features: readonly Feature[];
  /** Features that search the vectors of all entities of this key space. */
  readonly searches: readonly SearchFeature[];
}

export type SearchFeature = Feature & {
  readonly computation: { readonly kind: 'neighbours' } & Neighbours;
};

export interface FeaturePlan {
  /** What was asked for, in order. */
  readonly outputs: readonly Feature[];
  /** Outputs and all they depend on, in dependency order. */
  readonly closure: readonly Feature[];
  readonly groups: readonly FeatureGroup[];
  readonly derived: readonly DerivedFeature[];
  /** Union over the closure, in first-use order. */
  readonly joinKeys: readonly JoinKey[];
  readonly requestFields: readonly { readonly name: string; readonly type: ValueType }[];
}

export interface DerivedFeature {
  readonly feature: Feature;
  readonly compute: (
    slots: Readonly<Record<string, Value>>,
    at: Instant,
    index: VectorIndex | undefined,
  ) => Value;
}

/** The vectors that each search goes through, by feature name. */
export type Indexes = ReadonlyMap<string, VectorIndex>;
export const NO_INDEXES: Indexes = new Map();

/** Names or sets, expanded to features; unknown names are one error that names the nearest. */
export function expandFeatures(definitions: Definitions, names: readonly string[]): readonly Feature[] {
  const expanded = names.flatMap(
    (name) => definitions.featureSets.get(name)?.features ?? windowsOf(definitions, name),
  );
  return [...new Set(expanded)].map((name) => {
    const feature = definitions.features.get(name);
    if (!feature) {
      const near = nearest(name, [...definitions.features.keys(), ...definitions.featureSets.keys()]);
      throw new MillraceError('UNKNOWN_NAME', `there is no feature or feature set named "${name}"`, {
        data: { name },
        hint: near ? `Did you mean "${near}"?` : 'Define it under `features:` or `feature_sets:`.',
      });
    }
    return feature;
  });
}

/** `spend` written with `windows: [1h, 7d]` stands for `spend_1h` and `spend_7d`. */
function windowsOf(definitions: Definitions, name: string): readonly string[] {
  if (definitions.features.has(name)) return [name];
  const family = [...definitions.features.keys()].filter((other) => {
    if (!other.startsWith(`${name}_`)) return false;
    const suffix = other.slice(name.length + 1);
    return suffix === 'all' || parseDuration(suffix) !== undefined;
  });
  return family.length > 0 ? family : [name];
}

export function planFeatures(definitions: Definitions, outputs: readonly Feature[]): FeaturePlan {
  const closure: Feature[] = [];
  const seen = new Set<string>();
  const visit = (feature: Feature): void => {
    if (seen.has(feature.name)) return;
    seen.add(feature.name);
    for (const name of feature.dependsOn) visit(definitions.features.get(name)!);
    closure.push(feature);
  };
  for (const feature of outputs) visit(feature);

  const keyTypes = new Map<string, JoinKey>();
  for (const entity of definitions.entities.values())
    for (const key of entity.joinKeys) keyTypes.set(key.name, key);
  const groups = new Map<
    string,
    {
      source: Source;
      joinKeys: JoinKey[];
      keyFields: string[];
      features: Feature[];
      searches: SearchFeature[];
    }
  >();
  const derived: DerivedFeature[] = [];
  const groupOf = (name: string, keys: readonly string[]) => {
    const id = `${name}(${keys.join(',')})`;
    const source = definitions.sources.get(name)!;
    let group = groups.get(id);
    if (!group) {
      const joinKeys = keys.map((key) => keyTypes.get(key)!);
      const keyFields = keys.map((key) => source.keys[key] ?? key);
      group = { source, joinKeys, keyFields, features: [], searches: [] };
      groups.set(id, group);
    }
    return group;
  };
  for (const feature of closure) {
    const computation = feature.computation;
    if (computation.kind === 'aggregation' || computation.kind === 'lookup') {
      groupOf(computation.source, feature.joinKeys).features.push(feature);
    } else if (computation.kind === 'neighbours') {
      const key = keyOfField(definitions.sources.get(computation.source)!, computation.key);
      groupOf(computation.source, [key]).searches.push(feature as SearchFeature);
      derived.push({ feature, compute: searchOf(computation) });
    } else if (computation.kind === 'expression') {
      const compute = compileJsRow(computation.expression);
      derived.push({ feature, compute: (slots) => compute(slots) });
    } else derived.push({ feature, compute: functionOf(feature, computation) });
  }
  const joinKeys = [...new Set(closure.flatMap((feature) => feature.joinKeys))].map(
    (name) => keyTypes.get(name)!,
  );
  const requestFields = new Map<string, ValueType>();
  for (const feature of closure)
    for (const field of feature.requestFields) requestFields.set(field.name, field.type);
  return {
    outputs,
    closure,
    groups: [...groups].map(([id, group]) => ({ id, ...group })),
    derived,
    joinKeys,
    requestFields: [...requestFields].map(([name, type]) => ({ name, type })),
  };
}

/** The join key that a field of a source carries. */
const keyOfField = (source: Source, field: string): string =>
  Object.keys(source.keys).find((key) => source.keys[key] === field) ?? field;

/** What a search finds for one row; null when there is no vector to search with. */
export function searchRow(
  search: Neighbours,
  slots: Readonly<Record<string, Value>>,
  at: Instant,
  index: VectorIndex,
  query = compileJsRow(search.query),
): readonly Neighbour[] | null {
  const vector = query(slots);
  if (vector === null) return null;
  const exclude = search.exclude === null ? null : (slots[search.exclude] ?? null);
  return nearestNeighbours(index, vector as readonly number[], at, search, exclude);
}

function searchOf(search: Neighbours): DerivedFeature['compute'] {
  const query = compileJsRow(search.query);
  return (slots, at, index) => {
    invariant(index !== undefined, 'a search has no vectors to go through');
    const found = searchRow(search, slots, at, index, query);
    if (found === null || found.length === 0) return null;
    return found.map(({ key, distance }) => (search.output === 'keys' ? key : distance));
  };
}

/** A user's function sees its inputs only, fresh for each row, and gives a value of its type or fails. */
function functionOf(
  feature: Feature,
  { inputs, compute }: Extract<Computation, { kind: 'function' }>,
): DerivedFeature['compute'] {
  return (slots) => {
    const given: Record<string, Value> = {};
    for (const slot of inputs) given[slot] = slots[slot] ?? null;
    const value = conform(feature.valueType, compute(given));
    if (value === undefined)
      throw new MillraceError(
        'EVALUATION',
        `the function of feature ${feature.name} gave what is no ${printType(feature.valueType)}`,
      );
    return value;
  };
}

/** The type a base feature's engine value has before it is widened to the feature's declared type. */
export interface Finished {
  readonly value: Value;
  readonly status: Status;
}

/** Widens and applies the default: the last step of every base value on every path. */
export function finishBase(
  feature: Pick<Feature, 'default' | 'valueType'>,
  computed: ValueType,
  value: Value,
  status: Status,
): Finished {
  if (value === null)
    return feature.default === undefined || status === 'error'
      ? { value: null, status: status === 'ok' ? 'ok' : status }
      : status === 'ok'
        ? { value: null, status }
        : { value: feature.default, status: 'defaulted' };
  return { value: widen(value, computed, feature.valueType), status };
}

/** int64 and decimal to float64; everything else is as it is. Division by a power of ten ≤ 1e15 rounds correctly. */
export function widen(value: Value, from: ValueType, to: ValueType): Value {
  if (to.kind !== 'float64' || (from.kind !== 'decimal' && from.kind !== 'int64')) return value;
  const scale = from.kind === 'decimal' ? from.scale : 0;
  return typeof value === 'bigint' ? Number(`${value}e-${scale}`) : (value as number) / 10 ** scale;
}

/** A null that comes of an error is one. */
const failed = (feature: Feature, statuses: Readonly<Record<string, Status>>): boolean =>
  feature.dependsOn.some((name) => statuses[name] === 'error');

/** Computes the derived features of one row into `slots`, which holds base values, keys, request fields and as_of. */
export function deriveRow(
  plan: FeaturePlan,
  slots: Record<string, Value>,
  statuses: Record<string, Status>,
  at: Instant,
  indexes: Indexes = NO_INDEXES,
): void {
  slots['as_of'] = at;
  for (const { feature, compute } of plan.derived) {
    let value: Value;
    try {
      value = compute(slots, at, indexes.get(feature.name)) ?? null;
    } catch {
      slots[feature.name] = null;
      statuses[feature.name] = 'error';
      continue;
    }
    if (typeof value === 'number') value = Number.isFinite(value) ? value + 0 : null;
    const kind = feature.computation.kind;
    const from =
      kind === 'expression'
        ? (feature.computation as { expression: Expression }).expression.type
        : feature.valueType;
    slots[feature.name] = value === null ? null : widen(value, from, feature.valueType);
    statuses[feature.name] = value !== null ? 'ok' : failed(feature, statuses) ? 'error' : 'empty';
  }
}
