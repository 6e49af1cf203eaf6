/** What a version of a dataset must be like to be published. */
import type { DatasetChecks, Limits } from '../define/types.js';
import type { ColumnStatistics } from './manifest.js';

/** Of all rows of a version, partition by partition. */
export interface Observed {
  readonly rows: number;
  /** Column → its statistics in each partition, with that partition's rows. */
  readonly columns: ReadonlyMap<string, readonly (ColumnStatistics & { readonly rows: number })[]>;
  readonly label: string | null;
  /** Feature → population stability index against the version before; empty without one. */
  readonly drift: ReadonlyMap<string, number>;
}

export interface BrokenCheck {
  /** `rows`, `label_rate`, `null_rate`, `range`, `drift`. */
  readonly check: string;
  readonly feature: string | null;
  readonly message: string;
}

export const hasChecks = ({ rows, labelRate, features }: DatasetChecks): boolean =>
  features.size > 0 || [rows, labelRate].some(({ min, max }) => min !== null || max !== null);

const number = (value: number): string => String(Number(value.toPrecision(6)));

function outside(value: number, { min, max }: Limits): string | undefined {
  if (min !== null && value < min) return `below ${min}`;
  if (max !== null && value > max) return `above ${max}`;
  return undefined;
}

export function brokenChecks(checks: DatasetChecks, observed: Observed): readonly BrokenCheck[] {
  const broken: BrokenCheck[] = [];
  const say = (check: string, feature: string | null, message: string): void => {
    broken.push({ check, feature, message });
  };
  const rows = outside(observed.rows, checks.rows);
  if (rows !== undefined) say('rows', null, `${observed.rows} rows, ${rows}`);
  if (observed.label !== null && (checks.labelRate.min !== null || checks.labelRate.max !== null)) {
    let [sum, count] = [0, 0];
    for (const { mean, nulls, rows: all } of observed.columns.get(observed.label) ?? []) {
      sum += (mean ?? 0) * (all - nulls);
      count += all - nulls;
    }
    const rate = count === 0 ? Number.NaN : sum / count;
    const wrong = outside(rate, checks.labelRate);
    if (wrong !== undefined)
      say('label_rate', null, `the mean of ${observed.label} is ${number(rate)}, ${wrong}`);
  }
  for (const [feature, check] of checks.features) {
    const parts = observed.columns.get(feature) ?? [];
    const nulls = parts.reduce((total, part) => total + part.nulls, 0);
    const rate = observed.rows === 0 ? 0 : nulls / parts.reduce((total, part) => total + part.rows, 0);
    if (check.nullRate !== null && rate > check.nullRate)
      say(
        'null_rate',
        feature,
        `${number(100 * rate)} % of ${feature} is null, above ${number(100 * check.nullRate)} %`,
      );
    const least = Math.min(...parts.flatMap(({ min }) => (min === null ? [] : [min])));
    const greatest = Math.max(...parts.flatMap(({ max }) => (max === null ? [] : [max])));
    if (check.min !== null && least < check.min)
      say('range', feature, `${feature} goes down to ${number(least)}, below ${check.min}`);
    if (check.max !== null && greatest > check.max)
      say('range', feature, `${feature} goes up to ${number(greatest)}, above ${check.max}`);
    const drift = observed.drift.get(feature);
    if (check.drift !== null && drift !== undefined && drift > check.drift)
      say(
        'drift',
        feature,
        `${feature} is distributed otherwise than in the version before: PSI ${number(drift)}, above ${check.drift}`,
      );
  }
  return broken;
}
