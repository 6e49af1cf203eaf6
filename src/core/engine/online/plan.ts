/** What an online group keeps of its source, and how a list of features is read from it. */
import { foldFor } from '../../algebra/catalogue.js';
import type { Fold } from '../../algebra/fold.js';
import { type Fingerprint, fingerprint } from '../../base/fingerprint.js';
import type { Duration } from '../../base/time.js';
import type { Feature, Source } from '../../define/types.js';
import { compileJsRow, type Expression } from '../../expression/index.js';
import { printType, type Value, type ValueType } from '../../schema/types.js';
import type { FeatureGroup } from '../feature-plan.js';
import { sweepFeature, sweepLookup } from '../sweep-plan.js';

/** Of the bytes below. Part of every group's fingerprint, so another format is another group. */
export const ONLINE_FORMAT = 1;

export interface SealSizes {
  /** Events of a sealed segment. */
  readonly segment: number;
  /** Newest events that stay in the head when it is sealed. */
  readonly slack: number;
}

export const SEAL: SealSizes = { segment: 256, slack: 32 };

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
      [seal.segment, seal.slack],
      rows,
      atoms.map((atom) => [atom.field, atom.mask]),
    ]),
    source: source.name,
    recordKey: source.recordKey,
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

/** Windows over one field (or over rows) with one predicate and one upper end, narrowest first. */
export interface Lane {
  readonly field: number;
  readonly mask: number;
  /** Place of its summary in a directory row, in words. */
  readonly atom: number;
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

/** How `features` (all of them features of this group) are read. */
export function planReader(group: OnlineGroup, features: readonly Feature[], source: Source): OnlineReader {
  const fieldIndex = (name: string | null | undefined): number =>
    name === null || name === undefined ? -1 : group.fields.findIndex((field) => field.name === name);
  const maskIndex = (expression: Expression | null): number =>
    expression === null
      ? MASK_NONE
      : group.predicates.findIndex((item) => item.canonical === expression.canonical);
  const types: ValueType[] = [];
  interface Draft {
    field: number;
    mask: number;
    atom: number;
    offset: number;
    includeCurrent: boolean;
    windows: Set<number>;
    needsSum: boolean;
    needsExtremes: boolean;
  }
  const drafts = new Map<string, Draft>();
  const reads: (OnlineRead & { lens?: string; width?: number })[] = [];
  let span: Duration | null = 0;
  for (const feature of features) {
    const { computation } = feature;
    if (computation.kind === 'lookup') {
      const lookup = sweepLookup(feature, source)!;
      types.push(lookup.outputType);
      reads.push({
        kind: 'lookup',
        field: fieldIndex(lookup.field),
        maxAge: lookup.maxAge,
        output: lookup.output,
      });
      span = null;
      continue;
    }
    if (computation.kind !== 'aggregation') continue;
    const { inputType, byType, outputType } = sweepFeature(feature, source)!;
    types.push(outputType);
    const { function: name, window, offset, includeCurrent, arguments: args } = computation;
    if (span !== null) span = window === null ? null : Math.max(span, window + offset);
    const field = fieldIndex(computation.field);
    const mask = maskIndex(computation.where);
    const flat = computation.groupBy === null;
    const fold = foldFor(name, { inputType, byType, arguments: args }, !flat);
    const newestRow = flat && NEWEST_ROW.has(name);
    const newestValues = flat && NEWEST_VALUES.has(name);
    const generic: GenericRead = {
      fold,
      lens: { window, offset, includeCurrent, mask },
      field,
      by: fieldIndex(args.by),
      ratioMask: maskIndex(computation.ratioWhere),
      group: fieldIndex(computation.groupBy),
      newest: newestRow ? 1 : newestValues ? (args.k ?? 1) : Number.POSITIVE_INFINITY,
      nulls: newestRow && !(name === 'last' && args.ignoreNulls),
      oldest: flat && OLDEST_ROW.has(name) && !(name === 'first' && args.ignoreNulls),
    };
    if (!isSummed(feature, inputType ?? undefined)) {
      reads.push({ kind: 'generic', generic });
      continue;
    }
    const atom =
      field < 0
        ? DIRECTORY_BASE + group.rowAtoms.indexOf(mask)
        : DIRECTORY_BASE +
          group.rowAtoms.length +
          ATOM_WORDS * group.fieldAtoms.findIndex((item) => item.field === field && item.mask === mask);
    const width = window ?? Number.POSITIVE_INFINITY;
    const key = `${field}/${mask}/${offset}/${includeCurrent}`;
    let draft = drafts.get(key);
    if (!draft) {
      draft = {
        field,
        mask,
        atom,
        offset,
        includeCurrent,
        windows: new Set(),
        needsSum: false,
        needsExtremes: false,
      };
      drafts.set(key, draft);
    }
    draft.windows.add(width);
    if (name === 'sum' || name === 'mean') draft.needsSum = true;
    if (name === 'min' || name === 'max') draft.needsExtremes = true;
    const type = inputType ?? outputType;
    reads.push({
      kind: 'summed',
      function: name as Summed,
      lane: -1,
      window: -1,
      type,
      generic,
      lens: key,
      width,
    });
  }
  const keys = [...drafts.keys()];
  let slots = 0;
  const lanes: Lane[] = keys.map((key) => {
    const draft = drafts.get(key)!;
    const windows = [...draft.windows].sort((a, b) => a - b);
    slots += windows.length;
    return { ...draft, windows, slot: slots - windows.length };
  });
  return {
    group,
    features,
    types,
    lanes,
    slots,
    deep: reads.some((read) => read.kind !== 'summed'),
    span,
    reads: reads.map((read) => {
      if (read.kind !== 'summed') return read;
      const lane = keys.indexOf(read.lens!);
      const { kind, function: name, type, generic } = read;
      return { kind, function: name, lane, window: lanes[lane]!.windows.indexOf(read.width!), type, generic };
    }),
  };
}
