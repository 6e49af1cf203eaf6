/** What parts of a dataset are made of, as sums over its partitions: a partition that is as it was is not read again. */
import { type Fingerprint, fingerprint } from '../base/fingerprint.js';
import type { Instant } from '../base/time.js';
import { columnValue } from '../engine/columns.js';
import type { Column } from '../engine/types.js';
import type { ValueType } from '../schema/types.js';
import { addLabels, countLabels, type LabelTally } from './balance.js';
import type { Bounds } from './partition.js';
import { type PartRule, partIndex } from './split.js';

/** Of rows of one part. JSON-safe: what is cached is what is computed. */
export interface PartTally {
  readonly rows: number;
  /** Instants of the first and the last row; null: no row. */
  readonly from: Instant | null;
  readonly to: Instant | null;
  readonly label: LabelTally | null;
}

/** Which part all rows of a partition are in, -1: in none; undefined where that depends on the row. */
export function wholePart(rule: PartRule, { from, to }: Bounds): number | undefined {
  if (rule.by === 'all') return 0;
  if (rule.by === 'place' || from === null || to === null) return undefined;
  for (const { until } of rule.parts)
    for (const edge of until === null ? [] : [until, until - rule.horizon + 1])
      if (edge > from && edge < to) return undefined;
  return partIndex(rule, from, 0);
}

/** Names what a tally was made of, and by. */
export const tallyName = (columns: readonly Fingerprint[], rule: PartRule | null): Fingerprint =>
  fingerprint({ columns, rule: rule && { ...rule } });

/** The rows `[from, to)` by part, those in none left out; without a rule all are one part. */
export function tallyParts(
  rule: PartRule | null,
  columns: { readonly at: Column; readonly place: Column; readonly label: Column | null },
  { from, to }: { readonly from: number; readonly to: number },
): readonly PartTally[] {
  const { at, place, label } = columns;
  const parts = Array.from({ length: rule?.parts.length ?? 1 }, () => ({
    rows: 0,
    from: Number.POSITIVE_INFINITY,
    to: Number.NEGATIVE_INFINITY,
    labels: label && countLabels(label.type),
  }));
  for (let row = from; row < to; row++) {
    const instant = Number(columnValue(at, row));
    const index = rule === null ? 0 : partIndex(rule, instant, Number(columnValue(place, row)));
    if (index < 0) continue;
    const part = parts[index]!;
    part.rows++;
    part.from = Math.min(part.from, instant);
    part.to = Math.max(part.to, instant);
    if (label !== null) part.labels!.add(columnValue(label, row));
  }
  return parts.map((part) => ({
    rows: part.rows,
    from: part.rows === 0 ? null : part.from,
    to: part.rows === 0 ? null : part.to,
    label: part.labels?.tally() ?? null,
  }));
}

/** One after another, in the order of their partitions. */
export function addTallies(tallies: readonly PartTally[], label: ValueType | null): PartTally {
  let rows = 0;
  let from: Instant | null = null;
  let to: Instant | null = null;
  for (const tally of tallies) {
    rows += tally.rows;
    if (tally.from !== null && (from === null || tally.from < from)) from = tally.from;
    if (tally.to !== null && (to === null || tally.to > to)) to = tally.to;
  }
  const labels = tallies.flatMap((tally) => tally.label ?? []);
  return { rows, from, to, label: label && addLabels(label, labels) };
}
