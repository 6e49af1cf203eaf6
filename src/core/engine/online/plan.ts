/** What an online group keeps of its source, and how a list of features is read from it. */
import { foldFor } from '../../algebra/catalogue.js';
import type { Fold } from '../../algebra/fold.js';
import { invariant } from '../../base/error.js';
import { type Fingerprint, fingerprint } from '../../base/fingerprint.js';
import type { Duration } from '../../base/time.js';
import { readingPrint } from '../../define/reading.js';
import type { Feature, Source } from '../../define/types.js';
import { compileJsRow, type Expression } from '../../expression/index.js';
import { printType, type Value, type ValueType } from '../../schema/types.js';
import type { FeatureGroup } from '../feature-plan.js';
import { sweepFeature, sweepLookup } from '../sweep-plan.js';
import {
  atomsOf,
  directoryWords,
  type FieldAtom,
  isLaneFunction,
  type Lane,
  type LaneFunction,
  planLanes,
  ROW,
  type RowAtom,
  type Wanted,
} from './lanes.js';

/** Of the stored bytes. Part of every group's fingerprint, so another format is another group. */
export const ONLINE_FORMAT = 3;

/** How a group's events and versions are cut into stored values. */
export interface SealSizes {
  /** Most events of a sealed segment; the least is half of it. */
  readonly segment: number;
  /** Events that follow the last segment at least. */
  readonly slack: number;
  /** 2^block seqs share a block of versions. */
  readonly block: number;
  /** 2^fan blocks, or runs of hashes, become one run of the next level. */
  readonly fan: number;
}

export const SEAL: SealSizes = { segment: 256, slack: 32, block: 5, fan: 4 };

export interface OnlineField {
  readonly name: string;
  readonly type: ValueType;
}

export interface OnlinePredicate {
  readonly canonical: string;
  readonly evaluate: (row: Readonly<Record<string, Value>>) => Value;
}

/** One (source, join keys) with all that its features need: a key space of the store, named by its fingerprint. */
export interface OnlineGroup {
  /** `source(key,key)`. */
  readonly id: string;
  readonly fingerprint: Fingerprint;
  readonly source: string;
  readonly recordKey: readonly string[];
  /** The source declares a sequence, which then orders events of one event time before anything else. */
  readonly sequenced: boolean;
  readonly keyFields: readonly string[];
  readonly fields: readonly OnlineField[];
  /** Evaluated once when a record is applied; kept as one byte an event: 0 false, 1 true, 2 null. */
  readonly predicates: readonly OnlinePredicate[];
  /** Longest window + offset: what has to be kept so that every t from the present on is answered. Null: all. */
  readonly span: Duration | null;
  readonly seal: SealSizes;
  /** What segments count. */
  readonly rowAtoms: readonly RowAtom[];
  /** (field, predicate) pairs of which segments keep count, exact sum, min, max and the sum of squares. */
  readonly fieldAtoms: readonly FieldAtom[];
}

/** What lanes have to answer of a feature; null when they do not answer it. */
function wantedOf(
  { computation }: Feature,
  fieldIndex: (name: string | null) => number,
  maskIndex: (expression: Expression | null) => number,
  typeOf: (name: string | null) => ValueType | undefined,
): Wanted | null {
  if (computation.kind === 'lookup')
    return {
      function: 'last',
      field: fieldIndex(computation.field),
      mask: -1,
      also: -1,
      offset: 0,
      includeCurrent: true,
      width: Number.POSITIVE_INFINITY,
    };
  if (computation.kind !== 'aggregation' || computation.groupBy !== null) return null;
  const { function: name, field, where, ratioWhere, window, offset, includeCurrent } = computation;
  if (!isLaneFunction(name, typeOf(field), computation.arguments.ignoreNulls)) return null;
  return {
    function: name,
    field: fieldIndex(field),
    mask: maskIndex(where),
    also: maskIndex(ratioWhere),
    offset,
    includeCurrent,
    width: window ?? Number.POSITIVE_INFINITY,
  };
}

export function planGroup(group: FeatureGroup, seal: SealSizes = SEAL): OnlineGroup {
  const { source } = group;
  const typeOf = new Map(source.fields.map((field) => [field.name, field.type]));
  const typed = (name: string | null): ValueType | undefined =>
    name === null ? undefined : typeOf.get(name);
  const names = new Set<string>();
  const expressions = new Map<string, Expression>();
  let span: Duration | null = 0;
  for (const { computation } of group.features) {
    if (computation.kind === 'lookup') {
      names.add(computation.field);
      span = null;
    } else if (computation.kind === 'aggregation') {
      for (const name of [computation.field, computation.arguments.by, computation.groupBy])
        if (name) names.add(name);
      for (const item of [computation.where, computation.ratioWhere])
        if (item) expressions.set(item.canonical, item);
      if (span !== null)
        span = computation.window === null ? null : Math.max(span, computation.window + computation.offset);
    }
  }
  for (const { computation } of group.searches) {
    names.add(computation.field);
    for (const { slot } of computation.where?.slots ?? []) names.add(slot);
    span = null;
  }
  const fields = [...names].sort().map((name) => ({ name, type: typeOf.get(name)! }));
  const canonicals = [...expressions.keys()].sort();
  const predicates = canonicals.map((canonical) => ({
    canonical,
    evaluate: compileJsRow(expressions.get(canonical)!),
  }));
  const fieldIndex = (name: string | null): number => fields.findIndex((item) => item.name === name);
  const maskIndex = (expression: Expression | null): number =>
    expression === null ? -1 : canonicals.indexOf(expression.canonical);
  const { rowAtoms, fieldAtoms } = atomsOf(
    group.features.flatMap((feature) => wantedOf(feature, fieldIndex, maskIndex, typed) ?? []),
  );
  return {
    id: group.id,
    fingerprint: fingerprint([
      ONLINE_FORMAT,
      readingPrint(source, [
        ...names,
        ...group.keyFields,
        ...[...expressions.values()].flatMap(({ slots }) => slots.map(({ slot }) => slot)),
      ]),
      source.name,
      source.recordKey,
      group.keyFields,
      fields.map((field) => [field.name, printType(field.type)]),
      canonicals,
      span,
      [seal.segment, seal.slack, seal.block, seal.fan],
      rowAtoms.map((atom) => [atom.mask, atom.also]),
      fieldAtoms.map((atom) => [atom.field, atom.mask, atom.squares]),
    ]),
    source: source.name,
    recordKey: source.recordKey,
    sequenced: source.sequence !== undefined,
    keyFields: group.keyFields,
    fields,
    predicates,
    span,
    seal,
    rowAtoms,
    fieldAtoms,
  };
}

export const planGroups = (groups: readonly FeatureGroup[], seal: SealSizes = SEAL): readonly OnlineGroup[] =>
  groups.map((group) => planGroup(group, seal));

/** Where an aggregation looks: `[t - offset - window, t - offset)`, closed above with `includeCurrent`. */
export interface Lens {
  readonly window: Duration | null;
  readonly offset: Duration;
  readonly includeCurrent: boolean;
  /** Index of a predicate, -1 for none. */
  readonly mask: number;
}

export interface LaneRead {
  readonly kind: 'lane';
  readonly function: LaneFunction;
  readonly accumulator: number;
  readonly at: number;
  /** Of the field; of a decimal also its scale. */
  readonly type: ValueType | null;
  readonly scale: number;
  /** Where a lane cannot say the value exactly. */
  readonly generic: GenericRead;
}

export interface LookupRead {
  readonly kind: 'lookup';
  readonly type: ValueType;
  readonly accumulator: number;
  readonly at: number;
  readonly maxAge: Duration | null;
  readonly output: 'value' | 'age_seconds';
}

export type OnlineRead = LaneRead | LookupRead | { readonly kind: 'generic'; readonly generic: GenericRead };

export interface GenericRead {
  readonly fold: Fold;
  readonly lens: Lens;
  readonly field: number;
  readonly by: number;
  readonly ratioMask: number;
  readonly group: number;
  /** Newest members with a value that suffice; Infinity: all members. */
  readonly newest: number;
  /** Reads that differ in their windows only, and whose members may come in any order, have one name. */
  readonly family: string | null;
}

export interface OnlineReader {
  readonly group: OnlineGroup;
  readonly features: readonly Feature[];
  /** Types of the values as read, before `finishBase` widens them. */
  readonly types: readonly ValueType[];
  readonly lanes: readonly Lane[];
  /** Words of the accumulators of all lanes. */
  readonly words: number;
  readonly reads: readonly OnlineRead[];
  /** Values of an entity that is not there. */
  readonly nothing: readonly Value[];
  /** Windows of each family of reads, narrowest first. */
  readonly families: ReadonlyMap<string, readonly GenericRead[]>;
  /** Some reads need events, not summaries only. */
  readonly deep: boolean;
  /** Longest window + offset of these features; null: all. */
  readonly span: Duration | null;
}

const NEWEST_VALUES: ReadonlySet<string> = new Set(['last_k', 'lag']);

export const directoryStride = (group: OnlineGroup): number => directoryWords(group);

/** How `features` are read: all of them aggregations and lookups of this group. */
export function planReader(group: OnlineGroup, features: readonly Feature[], source: Source): OnlineReader {
  const fieldIndex = (name: string | null | undefined): number =>
    name === null || name === undefined ? -1 : group.fields.findIndex((field) => field.name === name);
  const maskIndex = (expression: Expression | null): number =>
    expression === null ? -1 : group.predicates.findIndex((item) => item.canonical === expression.canonical);

  const typeOf = new Map(source.fields.map((field) => [field.name, field.type]));
  const typed = (name: string | null): ValueType | undefined =>
    name === null ? undefined : typeOf.get(name);
  const wanted = features.map((feature) => wantedOf(feature, fieldIndex, maskIndex, typed));
  const { lanes, places, words } = planLanes(
    group,
    ROW.events,
    wanted.filter((item) => item !== null),
    (field) => group.fields[field]!.type,
  );
  let placed = 0;
  const planned = features.map((feature, i) => {
    const { computation } = feature;
    const place = wanted[i] ? places[placed++]! : null;
    const asLookup = sweepLookup(feature, source);
    if (asLookup) {
      const { field, maxAge, output, outputType } = asLookup;
      const read: LookupRead = { kind: 'lookup', type: typeOf.get(field)!, ...place!, maxAge, output };
      return { type: outputType, span: null, read, nothing: null };
    }
    invariant(computation.kind === 'aggregation', `feature ${feature.name} is not read from a source`);
    const { inputType, byType, outputType } = sweepFeature(feature, source)!;
    const { function: name, window, offset, includeCurrent, arguments: args } = computation;
    const flat = computation.groupBy === null;
    const fold = foldFor(name, { inputType, byType, arguments: args }, !flat);
    const mask = maskIndex(computation.where);
    const few = flat && NEWEST_VALUES.has(name);
    const newest = few ? (args.k ?? 1) : flat && name === 'last' ? 1 : Number.POSITIVE_INFINITY;
    const generic: GenericRead = {
      fold,
      lens: { window, offset, includeCurrent, mask },
      field: fieldIndex(computation.field),
      by: fieldIndex(args.by),
      ratioMask: maskIndex(computation.ratioWhere),
      group: fieldIndex(computation.groupBy),
      newest,
      family: fold.commutative
        ? JSON.stringify([
            name,
            args,
            computation.field,
            computation.groupBy,
            mask,
            maskIndex(computation.ratioWhere),
            offset,
            includeCurrent,
          ])
        : null,
    };
    const type = inputType;
    const read: OnlineRead =
      place && wanted[i]
        ? {
            kind: 'lane',
            function: wanted[i].function,
            ...place,
            type,
            scale: type?.kind === 'decimal' ? type.scale : 0,
            generic,
          }
        : { kind: 'generic', generic };
    return {
      type: outputType,
      span: window === null ? null : window + offset,
      read,
      nothing: fold.finish(fold.init(), 0),
    };
  });
  const reads = planned.map(({ read }) => read);
  const families = new Map<string, GenericRead[]>();
  for (const read of reads) {
    if (read.kind === 'lookup' || read.generic.family === null) continue;
    families.set(read.generic.family, [...(families.get(read.generic.family) ?? []), read.generic]);
  }
  const width = ({ lens }: GenericRead): number => lens.window ?? Number.POSITIVE_INFINITY;
  for (const family of families.values()) family.sort((a, b) => width(a) - width(b));
  return {
    group,
    features,
    types: planned.map((item) => item.type),
    lanes,
    words,
    reads,
    nothing: planned.map((item) => item.nothing),
    families,
    deep: reads.some((read) => read.kind === 'generic'),
    span: planned.reduce<Duration | null>(
      (longest, item) => (longest === null || item.span === null ? null : Math.max(longest, item.span)),
      0,
    ),
  };
}
