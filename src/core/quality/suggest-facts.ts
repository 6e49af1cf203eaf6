/** What is measured of a file's columns, for suggestions. Counts are exact. */
import type { ValueType } from '../schema/types.js';

/** Texts that people write for null. */
export const NULL_TEXTS = [
  'NA',
  'N/A',
  'n/a',
  'NULL',
  'Null',
  'null',
  'None',
  'none',
  'NaN',
  'nan',
  'NAN',
  '-',
  '?',
  '\\N',
  '#N/A',
] as const;

/** Types that a text may turn out to have, the narrowest first. */
export const CANDIDATES = ['int64', 'float64', 'boolean', 'date', 'timestamp'] as const;
export type Candidate = (typeof CANDIDATES)[number];

/** Layouts of times that are not ISO 8601, as `strptime` writes them. */
export const LAYOUTS = [
  '%m/%d/%Y %H:%M:%S',
  '%m/%d/%Y %H:%M',
  '%m/%d/%Y',
  '%d/%m/%Y %H:%M:%S',
  '%d/%m/%Y %H:%M',
  '%d/%m/%Y',
  '%d.%m.%Y %H:%M:%S',
  '%d.%m.%Y %H:%M',
  '%d.%m.%Y',
  '%Y/%m/%d %H:%M:%S',
  '%Y/%m/%d',
  '%Y%m%d%H%M%S',
  '%Y%m%d',
  '%d-%b-%Y',
  '%d %b %Y',
  '%b %d, %Y',
] as const;

export interface TextFacts {
  readonly name: string;
  /** The type of a column that has one (Parquet); null for text and JSON. */
  readonly native: ValueType | null;
  /** JSON: numbers are not texts. */
  readonly json: boolean;
  /** Null or, in text, empty. */
  readonly blank: number;
  /** Of `NULL_TEXTS`: those that stand there, and how often. */
  readonly nullTexts: Readonly<Record<string, number>>;
  /** Values that are neither blank nor such a text. */
  readonly count: number;
  /** How many of `count` can be read as each type. */
  readonly readable: Readonly<Record<Candidate, number>>;
  /** A value that cannot be read, for each type; null when there is none. */
  readonly unreadable: Readonly<Record<Candidate, string | null>>;
  /** JSON: how many of `count` are texts. */
  readonly texts: number;
  /** Different values of `count`. */
  readonly distinct: number;
  /** Numbers that are no quantities: with zeros in front, such as `007`, or telephone numbers with a `+`. */
  readonly leadingZeros: number;
  /** Numbers without an exponent: how many, and how many digits they have after the point and in all. */
  readonly plain: number;
  readonly fractionMin: number | null;
  readonly fractionMax: number | null;
  readonly digitsMax: number | null;
  /** Timestamps that name their offset. */
  readonly zoned: number;
  /** Layouts of `LAYOUTS` that fit all of a sample of the different values. */
  readonly layouts: readonly string[];
}

export interface ValueFacts {
  readonly name: string;
  /** Values that could be read, nulls, and values that could not. */
  readonly count: number;
  readonly nulls: number;
  readonly unreadable: number;
  /** The least text that could not be read. */
  readonly example: string | null;
  readonly distinct: number;
  /** Values that stand there once, and how often the rarest one does. */
  readonly singles: number;
  readonly rarest: number;
  /** By falling count, then value; null when there are more than 50. As text. */
  readonly values: readonly (readonly [value: string, count: number])[] | null;
  /** Numbers, instants (µs) and days; null for others. */
  readonly numbers: {
    readonly min: number;
    readonly max: number;
    readonly q01: number;
    readonly q50: number;
    readonly q99: number;
    readonly whole: boolean;
  } | null;
  /** Texts: shortest and longest, in characters. */
  readonly lengths: readonly [number, number] | null;
  /** Texts with digits as 9, letters as A and a; null when there are too many. */
  readonly masks: readonly (readonly [mask: string, count: number])[] | null;
}

export interface KeyFacts {
  readonly columns: readonly string[];
  readonly distinct: number;
}
