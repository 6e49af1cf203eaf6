/**
 * A dataset in partitions by observation time. A partition's key is made of what its rows mean and of digests of just
 * those records of its parents that can reach it, so that an equal key is equal content and a correction restarts
 * the partitions within its windows and no other.
 */
import { type Fingerprint, fingerprint } from '../base/fingerprint.js';
import { type Instant, MICROS_PER_DAY } from '../base/time.js';
import { wholeReading } from '../define/reading.js';
import type { Dataset, Definitions, PartitionGrain } from '../define/types.js';
import type { FeaturePlan } from '../engine/feature-plan.js';
import { ENGINE_VERSION } from './manifest.js';

/** `[from, to)`; null on both sides is everything. */
export interface Bounds {
  readonly from: Instant | null;
  readonly to: Instant | null;
}

export const EVERYTHING: Bounds = { from: null, to: null };

/** The partition that an instant falls into. Partitions and digests begin and end at midnight UTC. */
export function boundsOf(grain: PartitionGrain, at: Instant): Bounds {
  if (grain === 'none') return EVERYTHING;
  if (grain.unit === 'month') {
    const date = new Date(Math.floor(at / 1000));
    const first = Math.floor((date.getUTCFullYear() * 12 + date.getUTCMonth()) / grain.count) * grain.count;
    const start = (months: number): Instant =>
      new Date(0).setUTCFullYear(Math.floor(months / 12), ((months % 12) + 12) % 12, 1) * 1000;
    return { from: start(first), to: start(first + grain.count) };
  }
  const length = grain.count * MICROS_PER_DAY;
  const from = Math.floor(at / length) * length;
  return { from, to: from + length };
}

/** The partitions that have any of these days, in their order. */
export function partitionsOf(grain: PartitionGrain, days: Iterable<number>): readonly Bounds[] {
  const found = new Map<number | null, Bounds>();
  for (const day of days) {
    const bounds = boundsOf(grain, day * MICROS_PER_DAY);
    found.set(bounds.from, bounds);
  }
  return [...found.values()].sort((a, b) => (a.from ?? 0) - (b.from ?? 0));
}

/** A sum of digests of records: of those that became known on one day and are about one day. */
export interface DigestCell {
  /** Day of `available_at`, and of the time that the digest is by. */
  readonly known: number;
  readonly day: number;
  /** Two sums of 64-bit digests; sums do not know the order of what was summed. */
  readonly sums: readonly [bigint, bigint];
}

/** Cells of a part of a log added to those of another part. */
export function mergeCells(...parts: readonly (readonly DigestCell[])[]): readonly DigestCell[] {
  const merged = new Map<string, DigestCell>();
  for (const cell of parts.flat()) {
    const id = `${cell.known}:${cell.day}`;
    const other = merged.get(id);
    merged.set(
      id,
      other ? { ...cell, sums: [other.sums[0] + cell.sums[0], other.sums[1] + cell.sums[1]] } : cell,
    );
  }
  return [...merged.values()];
}

/** Which records of a parent reach a partition: known before a day, about days in `[from, to)`. */
export interface Reached {
  readonly knownBefore: number;
  readonly from: number;
  readonly to: number;
}

/** The sums over what is reached, as text, by request. O((cells + requests) log days). */
export function reachedDigests(
  cells: readonly DigestCell[],
  requests: readonly Reached[],
): readonly string[] {
  const days = [...new Set(cells.map(({ day }) => day))].sort((a, b) => a - b);
  const place = new Map(days.map((day, i) => [day, i + 1]));
  const trees = [new Array<bigint>(days.length + 1).fill(0n), new Array<bigint>(days.length + 1).fill(0n)];
  const add = ({ day, sums }: DigestCell): void => {
    for (let i = place.get(day)!; i <= days.length; i += i & -i)
      for (const [k, tree] of trees.entries()) tree[i] = tree[i]! + sums[k]!;
  };
  /** Days below the given one. */
  const placesBefore = (day: number): number => {
    let [low, high] = [0, days.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (days[middle]! < day) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const total = (tree: readonly bigint[], before: number): bigint => {
    let sum = 0n;
    for (let i = placesBefore(before); i > 0; i -= i & -i) sum += tree[i]!;
    return sum;
  };
  const waiting = [...cells].sort((a, b) => a.known - b.known);
  const order = requests.map((_, i) => i).sort((a, b) => requests[a]!.knownBefore - requests[b]!.knownBefore);
  const digests = new Array<string>(requests.length);
  let next = 0;
  for (const index of order) {
    const { knownBefore, from, to } = requests[index]!;
    while (next < waiting.length && waiting[next]!.known < knownBefore) add(waiting[next++]!);
    digests[index] = trees.map((tree) => (total(tree, to) - total(tree, from)).toString(16)).join('-');
  }
  return digests;
}

/** How a build reads a parent: by which of its times, in which direction and how far. */
export interface ParentReach {
  readonly source: string;
  readonly role: 'observations' | 'features' | 'label';
  /** The field that the parent's digests are by; null: event_time. */
  readonly time: string | null;
  /** How far before an observation its records lie at most, microseconds. */
  readonly back: number;
  /** How far after. */
  readonly ahead: number;
  /** Records known only after the observation do not reach it. */
  readonly asOf: boolean;
}

/** How far back from an observation each source is read, by all features together. */
function featureWindows(plan: FeaturePlan): ReadonlyMap<string, number> {
  const windows = new Map<string, number>();
  for (const { source, features, searches } of plan.groups) {
    let back = windows.get(source.name) ?? 0;
    if (searches.length > 0) back = Number.POSITIVE_INFINITY;
    for (const feature of features) back = Math.max(back, featureWindow(feature.computation));
    windows.set(source.name, back);
  }
  return windows;
}

/** Infinite where there is no bound. */
export function featureWindow(computation: FeaturePlan['outputs'][number]['computation']): number {
  if (computation.kind === 'aggregation')
    return computation.window === null ? Number.POSITIVE_INFINITY : computation.window + computation.offset;
  if (computation.kind === 'lookup') return computation.maxAge ?? Number.POSITIVE_INFINITY;
  return 0;
}

export function parentReaches(
  definitions: Definitions,
  dataset: Dataset,
  plan: FeaturePlan,
): readonly ParentReach[] {
  const reaches: ParentReach[] = [];
  const { from, time } = dataset.observations;
  const observed = from.kind === 'source' ? definitions.sources.get(from.source)! : null;
  const byEvent = observed !== null && observed.eventTime === time;
  if (observed)
    reaches.push({
      source: observed.name,
      role: 'observations',
      time: byEvent ? null : time,
      back: 0,
      ahead: 0,
      asOf: false,
    });
  for (const [source, back] of featureWindows(plan))
    reaches.push({
      source,
      role: 'features',
      time: null,
      back,
      ahead: 0,
      asOf: dataset.knowledge === 'as_of',
    });
  const label = dataset.label === null ? null : definitions.labels.get(dataset.label)!;
  // An outcome that is the observation's own record is in the digest of the observations.
  if (label && !(label.kind === 'record' && label.source === observed?.name))
    reaches.push({
      source: label.source,
      role: 'label',
      time: null,
      // An outcome is found by its key, however long before the observation it happened.
      back: label.kind === 'record' ? Number.POSITIVE_INFINITY : 0,
      ahead: label.horizon,
      asOf: false,
    });
  return reaches;
}

/** The records that reach a partition. Days are whole: what is on its way into a window's first day counts. */
export function reachOf({ back, ahead, asOf }: ParentReach, { from, to }: Bounds): Reached {
  return {
    knownBefore: asOf && to !== null ? Math.ceil(to / MICROS_PER_DAY) : Number.POSITIVE_INFINITY,
    from: from === null ? Number.NEGATIVE_INFINITY : Math.floor((from - back) / MICROS_PER_DAY),
    to: to === null ? Number.POSITIVE_INFINITY : Math.ceil((to + ahead) / MICROS_PER_DAY),
  };
}

/**
 * What the rows of every partition mean: everything of the dataset but the shares and cuts of its parts. `features` are
 * its own, or those that it had.
 */
export function partitionMeaning(
  definitions: Definitions,
  dataset: Dataset,
  features: readonly { readonly name: string; readonly fingerprint: Fingerprint }[],
  engine: string,
): Fingerprint {
  const { from, time, where } = dataset.observations;
  const { split } = dataset;
  return fingerprint({
    kind: 'partition',
    observations: { from: { ...from }, time, where: where?.canonical ?? null },
    source: from.kind === 'source' ? wholeReading(definitions.sources.get(from.source)!) : null,
    features: features.map(({ name, fingerprint: own }) => [name, own]),
    label: dataset.label === null ? null : definitions.labels.get(dataset.label)!.fingerprint,
    knowledge: dataset.knowledge,
    // A row's place among the shares is kept with it.
    placed:
      split?.by === 'entity' || split?.by === 'random'
        ? { by: split.by, seed: split.seed, entity: split.entity ?? null }
        : null,
    folds: ENGINE_VERSION,
    engine,
  });
}

/** What a partition's key is made of. */
export interface KeyedPartition extends Bounds {
  readonly meaning: Fingerprint;
  /** `role source` → digest of the records that reach it. */
  readonly parents: Readonly<Record<string, string>>;
  readonly maturity: ReturnType<typeof maturityOf>;
}

export const partitionKey = ({ meaning, from, to, parents, maturity }: KeyedPartition): Fingerprint =>
  fingerprint({ meaning, from, to, parents, maturity });

/** Labels are mature through some instant: what that says of a partition, alike for all later instants once all are. */
export function maturityOf(
  { from, to }: Bounds,
  label: { readonly horizon: number; readonly grace: number } | null,
  knownThrough: Instant | null,
): 'all' | 'none' | number {
  if (label === null) return 'all';
  if (knownThrough === null) return 'none';
  const through = knownThrough - label.horizon - label.grace;
  if (to !== null && through >= to - 1) return 'all';
  if (from !== null && through < from) return 'none';
  return through;
}
