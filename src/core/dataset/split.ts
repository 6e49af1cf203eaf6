/**
 * Which part of a version a row is in, told from what its partition keeps of it: its instant, and for shares by entity
 * or at random its place in [0, 1). So a cut that moves changes no partition. Splits by time are purged.
 */
import { createHash } from 'node:crypto';
import type { Duration, Instant } from '../base/time.js';
import type { PartName, Split } from '../define/types.js';

/** Columns that a partition keeps of each row beside what it says: microseconds, and the place. */
export const AT_COLUMN = '_at';
export const PLACE_COLUMN = '_place';

export type PartRule =
  | { readonly by: 'all'; readonly parts: readonly { readonly name: PartName }[] }
  | {
      readonly by: 'time';
      /** Rows with t < until are before the cut, so equal times stay together; null: the last. */
      readonly parts: readonly { readonly name: PartName; readonly until: Instant | null }[];
      /** How long after t the label looks: rows whose label ends after their part does are in none. */
      readonly horizon: Duration;
    }
  | {
      readonly by: 'place';
      /** Rows with a place below `below` that are in no part before. */
      readonly parts: readonly { readonly name: PartName; readonly below: number }[];
    };

const cumulative = (shares: readonly { readonly share: number }[]): readonly number[] => {
  const sums: number[] = [];
  for (const { share } of shares) sums.push((sums.at(-1) ?? 0) + share);
  return sums;
};

/** Ranks, from 0 in order of time, of the rows at whose instants parts end: `partRule` wants these instants. */
export function cutRanks(split: Split | null, rows: number): readonly number[] {
  if (split?.by !== 'time' || rows === 0) return [];
  return cumulative(split.parts)
    .slice(0, -1)
    .map((share) => Math.min(rows - 1, Math.round(share * rows)));
}

export function partRule(split: Split | null, horizon: Duration, cuts: readonly Instant[]): PartRule {
  if (split === null) return { by: 'all', parts: [{ name: 'train' }] };
  if (split.by === 'entity' || split.by === 'random') {
    const edges = cumulative(split.parts);
    return { by: 'place', parts: split.parts.map(({ name }, i) => ({ name, below: edges[i]! })) };
  }
  const parts =
    split.by === 'time_cuts'
      ? split.parts
      : split.parts.map(({ name }, i) => ({ name, until: cuts[i] ?? null }));
  return { by: 'time', parts, horizon };
}

/** Index into the rule's parts; -1: in none. */
export function partIndex(rule: PartRule, at: Instant, place: number): number {
  const last = rule.parts.length - 1;
  if (rule.by === 'all') return 0;
  if (rule.by === 'place') {
    const index = rule.parts.findIndex(({ below }) => place < below);
    return index < 0 ? last : index;
  }
  const found = rule.parts.findIndex(({ until }) => until === null || at < until);
  const index = found < 0 ? last : found;
  const { until } = rule.parts[index]!;
  return until !== null && index < last && at + rule.horizon > until ? -1 : index;
}

/** Uniform in [0, 1) from SHA-256 of seed and identity: the same row falls alike whatever else is in the set. */
export function placeOf(seed: number, identity: string): number {
  const digest = createHash('sha256').update(`${seed}:${identity}`).digest();
  return digest.readUIntBE(0, 6) / 2 ** 48;
}
