import { readFileSync } from 'node:fs';

/** Reads a file made by `golden/make_golden.py`. The shape is the one the script writes. */
export function golden<T>(name: 'statistics' | 'metrics'): T {
  return JSON.parse(readFileSync(new URL(`./golden/${name}.json`, import.meta.url), 'utf8')) as T;
}

export interface StatisticsGolden {
  readonly special: Readonly<Record<string, readonly (readonly number[])[]>>;
  readonly kolmogorov: Readonly<
    Record<'kstwo_sf' | 'smirnov_sf', readonly (readonly [number, number, number])[]>
  >;
  readonly samples: {
    readonly cases: readonly {
      readonly a: readonly number[];
      readonly b: readonly number[];
      readonly ks: readonly [number, number];
      readonly asymptotic: number;
      readonly wasserstein: number;
      readonly energy: number;
    }[];
    readonly large: readonly (readonly [n: number, m: number, shift: number, statistic: number, p: number])[];
  };
  readonly tables: readonly {
    readonly a: readonly number[];
    readonly b: readonly number[];
    readonly plain: readonly [number, number, number];
    readonly default: readonly [number, number];
    readonly jensen_shannon: number;
    readonly cramers_v: number;
  }[];
  readonly adjusted: readonly (readonly [readonly number[], readonly number[]])[];
  readonly profiles: readonly {
    readonly values: readonly number[];
    readonly mean: number;
    readonly std: number | null;
    readonly quantiles: Readonly<Record<string, number>>;
  }[];
}
