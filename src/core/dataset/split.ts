/** Which part each labelled observation belongs to. Splits by time are purged. */
import { createHash } from 'node:crypto';
import type { Duration, Instant } from '../base/time.js';
import type { PartName, Split } from '../define/types.js';

export interface SplitInput {
  /** Observation instants, microseconds. */
  readonly at: Float64Array;
  /** How long after t the label looks: 0 without a label. */
  readonly horizon: Duration;
  /** For splits by entity: the entity key text of each row. For random splits: a stable row identity. */
  readonly identity: readonly string[];
}

export interface SplitResult {
  readonly names: readonly PartName[];
  /** Index into `names` for each row; -1 is purged. */
  readonly part: Int8Array;
  readonly purged: number;
  /** Instants at which parts end (exclusive), null for the last and for splits that are not by time. */
  readonly until: readonly (Instant | null)[];
}

/** The instants that end each part: rows with t < cut are before it, so equal times stay together. */
function timeCuts(
  split: Extract<Split, { by: 'time' | 'time_cuts' }>,
  at: Float64Array,
): readonly (Instant | null)[] {
  if (split.by === 'time_cuts') return split.parts.map((part) => part.until);
  const sorted = Float64Array.from(at).sort();
  let share = 0;
  return split.parts.map((part, index) => {
    share += part.share;
    if (index === split.parts.length - 1 || sorted.length === 0) return null;
    return sorted[Math.min(sorted.length - 1, Math.round(share * sorted.length))]!;
  });
}

/** Uniform in [0, 1) from SHA-256 of seed and identity: the same row falls alike whatever else is in the set. */
function uniform(seed: number, identity: string): number {
  const digest = createHash('sha256').update(`${seed}:${identity}`).digest();
  return digest.readUIntBE(0, 6) / 2 ** 48;
}

export function splitRows(split: Split | null, input: SplitInput): SplitResult {
  const rows = input.at.length;
  const part = new Int8Array(rows);
  if (split === null) return { names: ['train'], part, purged: 0, until: [null] };
  const names = split.parts.map((item) => item.name);
  let purged = 0;
  if (split.by === 'time' || split.by === 'time_cuts') {
    const until = timeCuts(split, input.at);
    for (let i = 0; i < rows; i++) {
      const t = input.at[i]!;
      let index = until.findIndex((end) => end === null || t < end);
      if (index < 0) index = until.length - 1;
      const end = until[index] ?? null;
      if (end !== null && index < until.length - 1 && t + input.horizon > end) {
        part[i] = -1;
        purged++;
      } else part[i] = index;
    }
    return { names, part, purged, until };
  }
  const cumulative: number[] = [];
  for (const item of split.parts) cumulative.push((cumulative.at(-1) ?? 0) + item.share);
  for (let i = 0; i < rows; i++) {
    const u = uniform(split.seed, input.identity[i]!);
    const index = cumulative.findIndex((edge) => u < edge);
    part[i] = index < 0 ? names.length - 1 : index;
  }
  return { names, part, purged, until: names.map(() => null) };
}
