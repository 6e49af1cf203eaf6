/** What an online group keeps of its source, and how a list of features is read from it. */
import { foldFor } from '../../algebra/catalogue.js';
import type { Fold } from '../../algebra/fold.js';
import { invariant } from '../../base/error.js';
import { type Fingerprint, fingerprint } from '../../base/fingerprint.js';
import type { Duration } from '../../base/time.js';
import type { Feature, Source } from '../../define/types.js';
import { compileJsRow, type Expression } from '../../expression/index.js';
import { printType, type Value, type ValueType } from '../../schema/types.js';
import type { FeatureGroup } from '../feature-plan.js';
import { sweepFeature, sweepLookup } from '../sweep-plan.js';

/** Of the stored bytes. Part of every group's fingerprint, so another format is another group. */
export const ONLINE_FORMAT = 2;

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
  /** Indexes of predicates (-1: none) of which segments count their rows. */
  readonly rowAtoms: readonly number[];
  /** (field, predicate) pairs of which segments keep count, exact sum, min, max. */
  readonly fieldAtoms: readonly { readonly field: number; readonly mask: number }[];
}

const SUMMED: ReadonlySet<string> = new Set(['sum', 'mean', 'min', 'max', 'count']);
const asNumber = (type: ValueType): boolean =>
  type.kind === 'float64' || type.kind === 'int64' || type.kind === 'decimal';
const hasOrder = (type: ValueType): boolean =>
  asNumber(type) || type.kind === 'timestamp' || type.kind === 'date';

/** Functions answered from segment summaries alone. */
function isSummed(feature: Feature, type: ValueType | undefined): boolean {
  const { computation } = feature;
  if (computation.kind !== 'aggregation' || computation.groupBy !== null || !SUMMED.has(computation.function))
    return false;
  if (computation.field === null) return computation.function === 'count';
  return type !== undefined && hasOrder(type);
}

const MASK_NONE = -1;

export function planGroup(group: FeatureGroup, seal: SealSizes = SEAL): OnlineGroup {
  const { source } = group;
  const typeOf = new Map(source.fields.map((field) => [field.name, field.type]));
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
  const rowAtoms = new Set<number>();
  const fieldAtoms = new Map<string, { field: number; mask: number }>();
  for (const feature of group.features) {
    const { computation } = feature;
    if (computation.kind !== 'aggregation') continue;
    const field = fields.findIndex((item) => item.name === computation.field);
    const mask = computation.where === null ? MASK_NONE : canonicals.indexOf(computation.where.canonical);
    if (!isSummed(feature, fields[field]?.type)) continue;
    if (computation.field === null) rowAtoms.add(mask);
    else fieldAtoms.set(`${field}/${mask}`, { field, mask });
  }
  const rows = [...rowAtoms].sort((a, b) => a - b);
  const atoms = [...fieldAtoms.values()].sort((a, b) => a.field - b.field || a.mask - b.mask);
  return {
    id: group.id,
    fingerprint: fingerprint([
      ONLINE_FORMAT,
      source.fingerprint,
      source.name,
      source.recordKey,
      group.keyFields,
      fields.map((field) => [field.name, printType(field.type)]),
      canonicals,
      span,
      [seal.segment, seal.slack, seal.block, seal.fan],
      rows,
      atoms.map((atom) => [atom.field, atom.mask]),
    ]),
    source: source.name,
    recordKey: source.recordKey,
    sequenced: source.sequence !== undefined,
    keyFields: group.keyFields,
    fields,
    predicates,
    span,
    seal,
    rowAtoms: rows,
    fieldAtoms: atoms,
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

export type Summed = 'count' | 'sum' | 'mean' | 'min' | 'max';

/** Windows over one field, or over rows (field -1), with one predicate and one upper end, narrowest first. */
export interface Lane {
  readonly field: number;
  readonly mask: number;
  /** Places in a directory row of the summaries of the field and of the rows; -1: not needed. */
  readonly atom: number;
  readonly rowAtom: number;
  readonly offset: Duration;
  readonly includeCurrent: boolean;
  /** Infinity: the whole history. */
  readonly windows: readonly Duration[];
  readonly needsSum: boolean;
  readonly needsExtremes: boolean;
  /** Number of the first window among the windows of all lanes. */
  readonly slot: number;
}

export type OnlineRead =
  | {
      readonly kind: 'summed';
      readonly function: Summed;
      /** -1: rows are counted. */
      readonly field: number;
      readonly lane: number;
      /** Index into the lane's windows. */
      readonly window: number;
      readonly type: ValueType;
      readonly generic: GenericRead;
    }
  | { readonly kind: 'generic'; readonly generic: GenericRead }
  | {
      readonly kind: 'lookup';
      readonly field: number;
      readonly maxAge: Duration | null;
      readonly output: 'value' | 'age_seconds';
    };

export type LookupRead = Extract<OnlineRead, { kind: 'lookup' }>;

export interface GenericRead {
  readonly fold: Fold;
  readonly lens: Lens;
  readonly field: number;
  readonly by: number;
  readonly ratioMask: number;
  readonly group: number;
  /** Newest members that suffice, of which null values count only when `nulls`; Infinity: all. */
  readonly newest: number;
  readonly nulls: boolean;
  /** Only the oldest member matters. */
  readonly oldest: boolean;
}

export interface OnlineReader {
  readonly group: OnlineGroup;
  readonly features: readonly Feature[];
  /** Types of the values as read, before `finishBase` widens them. */
  readonly types: readonly ValueType[];
  readonly lanes: readonly Lane[];
  /** Windows of all lanes. */
  readonly slots: number;
  readonly reads: readonly OnlineRead[];
  /** Some reads need events, not summaries only. */
  readonly deep: boolean;
  /** Longest window + offset of these features; null: all. */
  readonly span: Duration | null;
}

const NEWEST_ROW: ReadonlySet<string> = new Set(['last', 'seconds_since_last']);
const NEWEST_VALUES: ReadonlySet<string> = new Set(['last_k', 'lag']);
const OLDEST_ROW: ReadonlySet<string> = new Set(['first', 'seconds_since_first']);

/** Words of a directory row before its summaries. */
export const DIRECTORY_BASE = 10;
export const ATOM_WORDS = 5;
export const directoryStride = (group: OnlineGroup): number =>
  DIRECTORY_BASE + group.rowAtoms.length + ATOM_WORDS * group.fieldAtoms.length;

interface Wanted {
  readonly function: Summed;
  readonly field: number;
  readonly mask: number;
  readonly offset: Duration;
  readonly includeCurrent: boolean;
  /** Infinity: the whole history. */
  readonly width: Duration;
}

const upperOf = (item: Pick<Wanted, 'mask' | 'offset' | 'includeCurrent'>): string =>
  `${item.mask}/${item.offset}/${item.includeCurrent}`;

/** Lanes for what is wanted; rows are counted by a field's lane where one has the same predicate and upper end. */
function planLanes(
  group: OnlineGroup,
  wanted: readonly Wanted[],
): { lanes: readonly Lane[]; laneOf: readonly number[] } {
  const { rowAtoms, fieldAtoms } = group;
  const members = new Map<string, Wanted[]>();
  const laneKeys: string[] = [];
  const hosts = new Map<string, string>();
  for (const item of wanted) if (item.field >= 0) hosts.set(upperOf(item), `${item.field}/${upperOf(item)}`);
  for (const item of wanted) {
    const key =
      item.field >= 0
        ? `${item.field}/${upperOf(item)}`
        : (hosts.get(upperOf(item)) ?? `-1/${upperOf(item)}`);
    laneKeys.push(key);
    members.set(key, [...(members.get(key) ?? []), item]);
  }
  let slot = 0;
  const lanes = [...members.values()].map((items): Lane => {
    const { mask, offset, includeCurrent } = items[0]!;
    const field = Math.max(...items.map((item) => item.field));
    const windows = [...new Set(items.map((item) => item.width))].sort((a, b) => a - b);
    const fieldAtom = fieldAtoms.findIndex((item) => item.field === field && item.mask === mask);
    slot += windows.length;
    return {
      field,
      mask,
      atom: field < 0 ? -1 : DIRECTORY_BASE + rowAtoms.length + ATOM_WORDS * fieldAtom,
      rowAtom: items.some((item) => item.field < 0) ? DIRECTORY_BASE + rowAtoms.indexOf(mask) : -1,
      offset,
      includeCurrent,
      windows,
      needsSum: items.some((item) => item.function === 'sum' || item.function === 'mean'),
      needsExtremes: items.some((item) => item.function === 'min' || item.function === 'max'),
      slot: slot - windows.length,
    };
  });
  const names = [...members.keys()];
  return { lanes, laneOf: laneKeys.map((key) => names.indexOf(key)) };
}

/** How `features` are read: all of them aggregations and lookups of this group. */
export function planReader(group: OnlineGroup, features: readonly Feature[], source: Source): OnlineReader {
  const fieldIndex = (name: string | null | undefined): number =>
    name === null || name === undefined ? -1 : group.fields.findIndex((field) => field.name === name);
  const maskIndex = (expression: Expression | null): number =>
    expression === null
      ? MASK_NONE
      : group.predicates.findIndex((item) => item.canonical === expression.canonical);

  const planned = features.map((feature) => {
    const { computation } = feature;
    const asLookup = sweepLookup(feature, source);
    if (asLookup) {
      const { field, maxAge, output, outputType } = asLookup;
      const read: LookupRead = { kind: 'lookup', field: fieldIndex(field), maxAge, output };
      return { type: outputType, span: null, read, wanted: null };
    }
    invariant(computation.kind === 'aggregation', `feature ${feature.name} is not read from a source`);
    const { inputType, byType, outputType } = sweepFeature(feature, source)!;
    const { function: name, window, offset, includeCurrent, arguments: args } = computation;
    const field = fieldIndex(computation.field);
    const mask = maskIndex(computation.where);
    const flat = computation.groupBy === null;
    const newestRow = flat && NEWEST_ROW.has(name);
    const newestValues = flat && NEWEST_VALUES.has(name);
    const generic: GenericRead = {
      fold: foldFor(name, { inputType, byType, arguments: args }, !flat),
      lens: { window, offset, includeCurrent, mask },
      field,
      by: fieldIndex(args.by),
      ratioMask: maskIndex(computation.ratioWhere),
      group: fieldIndex(computation.groupBy),
      newest: newestRow ? 1 : newestValues ? (args.k ?? 1) : Number.POSITIVE_INFINITY,
      nulls: newestRow && !(name === 'last' && args.ignoreNulls),
      oldest: flat && OLDEST_ROW.has(name) && !(name === 'first' && args.ignoreNulls),
    };
    const width = window ?? Number.POSITIVE_INFINITY;
    const wanted: Wanted | null = isSummed(feature, inputType ?? undefined)
      ? { function: name as Summed, field, mask, offset, includeCurrent, width }
      : null;
    return {
      type: outputType,
      span: window === null ? null : window + offset,
      read: generic,
      wanted,
      inputType,
    };
  });

  const wanted = planned.flatMap((item) => item.wanted ?? []);
  const { lanes, laneOf } = planLanes(group, wanted);
  const reads = planned.map(({ read, wanted: item, type, inputType }): OnlineRead => {
    if ('kind' in read) return read;
    if (!item) return { kind: 'generic', generic: read };
    const lane = laneOf[wanted.indexOf(item)]!;
    const window = lanes[lane]!.windows.indexOf(item.width);
    return {
      kind: 'summed',
      function: item.function,
      field: item.field,
      lane,
      window,
      type: inputType ?? type,
      generic: read,
    };
  });
  return {
    group,
    features,
    types: planned.map((item) => item.type),
    lanes,
    slots: lanes.reduce((total, lane) => total + lane.windows.length, 0),
    reads,
    deep: reads.some((read) => read.kind !== 'summed'),
    span: planned.reduce<Duration | null>(
      (longest, item) => (longest === null || item.span === null ? null : Math.max(longest, item.span)),
      0,
    ),
  };
}
