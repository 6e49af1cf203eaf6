/**
 * The naive oracle: docs/reference/semantics.md read literally, one observation at a time, sharing no code with the folds and the
 * sweep but the weight 2^x of the decayed sums, which is a definition. Numbers are BigInt rationals, members are sorted arrays. It is slow and is meant to be.
 */
import { exp2 } from '../core/algebra/exp2.js';
import type { Instant } from '../core/base/time.js';
import type { Status, SweepFeature, SweepLookup } from '../core/engine/types.js';
import type { Expression } from '../core/expression/index.js';
import { FLOAT64, type Value, type ValueType } from '../core/schema/types.js';

/** One appended version, as it stands in the log. */
export interface RawVersion {
  readonly recordKey: string;
  /** Null: the entity key holds a null and matches nothing. */
  readonly entity: string | null;
  readonly eventTime: Instant;
  readonly availableAt: Instant;
  readonly order: number;
  readonly deleted: boolean;
  readonly fields: Readonly<Record<string, Value>>;
}

/** An observation of one entity; null: its key is not known. Instants are microseconds. */
export interface RawObservation {
  readonly entity: string | null;
  readonly at: Instant;
  /** Absent: k = at. */
  readonly knowledge?: Instant;
}

/** A value as `Value` holds it, and why it is null or a default. */
export interface OracleAnswer {
  readonly value: Value;
  readonly status: Status;
}

/** Evaluates `where` and ratio predicates: true, false or null. */
export type Predicate = (expression: Expression, version: RawVersion) => boolean | null;
/** The text of a `group_by` or histogram category. */
export type CategoryText = (type: ValueType, value: Value) => string;

/** How texts and predicates are read; the oracle itself knows no expressions. */
export interface OracleOptions {
  readonly predicate: Predicate;
  readonly categoryText: CategoryText;
  readonly groupType?: (field: string) => ValueType;
  /** The source declares `sequence` (here `order`): it alone orders members of one event time. */
  readonly sequenced?: boolean;
}

const later = (a: RawVersion, b: RawVersion): boolean =>
  a.availableAt !== b.availableAt ? a.availableAt > b.availableAt : a.order > b.order;

/** Semantics, section 2: the records that exist for knowledge instant k. */
function knownAt(log: readonly RawVersion[], k: Instant): RawVersion[] {
  const known = new Map<string, RawVersion>();
  for (const version of log) {
    if (version.availableAt > k) continue;
    const current = known.get(version.recordKey);
    if (current === undefined || later(version, current)) known.set(version.recordKey, version);
  }
  return [...known.values()].filter((version) => !version.deleted);
}

function inMemberOrder(versions: readonly RawVersion[], sequenced = false): RawVersion[] {
  return [...versions].sort(
    (a, b) =>
      a.eventTime - b.eventTime ||
      (sequenced ? a.order - b.order : 0) ||
      a.availableAt - b.availableAt ||
      a.order - b.order,
  );
}

/**
 * An aggregation at an observation, from all versions ever appended: those known at `knowledge`, of them the members of
 * the window, of them the value. Quadratic, and plain enough to be read against the definition.
 */
export function oracleFeature(
  log: readonly RawVersion[],
  observation: RawObservation,
  feature: SweepFeature,
  options: OracleOptions,
): OracleAnswer {
  const { aggregation } = feature;
  const isCount = aggregation.function === 'count' || aggregation.function === 'count_distinct';
  const zero = isCount && aggregation.groupBy === null ? 0 : null;
  const t = observation.at;
  const known = knownAt(log, observation.knowledge ?? t).filter(
    (version) => version.entity !== null && version.entity === observation.entity,
  );
  if (known.length === 0) return { value: zero, status: 'never_seen' };
  const top = t - aggregation.offset;
  const members = inMemberOrder(
    known.filter((version) => {
      if (aggregation.includeCurrent ? version.eventTime > top : version.eventTime >= top) return false;
      if (aggregation.window !== null && version.eventTime < top - aggregation.window) return false;
      return aggregation.where === null || options.predicate(aggregation.where, version) === true;
    }),
    options.sequenced,
  );
  if (aggregation.groupBy === null) return aggregate(members, t, feature, options);
  const groupBy = aggregation.groupBy;
  const categories = new Map<string, RawVersion[]>();
  for (const member of members) {
    const value = member.fields[groupBy] ?? null;
    if (value === null) continue;
    const text = options.categoryText(options.groupType?.(groupBy) ?? { kind: 'string' }, value);
    categories.set(text, [...(categories.get(text) ?? []), member]);
  }
  if (categories.size === 0) return { value: null, status: 'empty' };
  const keys = [...categories.keys()].sort(codePointOrder);
  const parts = keys.map((key) => aggregate(categories.get(key)!, t, feature, options));
  return {
    value: new Map(keys.map((key, i) => [key, parts[i]!.value])),
    status: parts.some((part) => part.status === 'error') ? 'error' : 'ok',
  };
}

/** The latest value of a field at an observation, from all versions ever appended. */
export function oracleLookup(
  log: readonly RawVersion[],
  observation: RawObservation,
  lookup: SweepLookup,
  sequenced = false,
): OracleAnswer {
  const t = observation.at;
  const known = knownAt(log, observation.knowledge ?? t).filter(
    (version) => version.entity !== null && version.entity === observation.entity,
  );
  if (known.length === 0) return { value: null, status: 'never_seen' };
  const current = inMemberOrder(
    known.filter((version) => version.eventTime <= t),
    sequenced,
  ).at(-1);
  if (current === undefined) return { value: null, status: 'empty' };
  const age = t - current.eventTime;
  if (lookup.maxAge !== null && age > lookup.maxAge) return { value: null, status: 'expired' };
  return {
    value: lookup.output === 'age_seconds' ? age / 1e6 : (current.fields[lookup.field] ?? null),
    status: 'ok',
  };
}

function codePointOrder(a: string, b: string): number {
  const left = [...a];
  const right = [...b];
  for (let i = 0; i < left.length && i < right.length; i++) {
    const order = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!;
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

const smaller = (a: Value, b: Value): number =>
  typeof a === 'string'
    ? codePointOrder(a, b as string)
    : (a as number) < (b as number)
      ? -1
      : (a as number) > (b as number)
        ? 1
        : 0;

/** A rational number with a positive denominator. */
interface Rational {
  readonly over: bigint;
  readonly under: bigint;
}

const rational = (over: bigint, under = 1n): Rational => ({ over, under });
const plus = (a: Rational, b: Rational): Rational =>
  a.under === b.under
    ? rational(a.over + b.over, a.under)
    : rational(a.over * b.under + b.over * a.under, a.under * b.under);
const times = (a: Rational, b: Rational): Rational => rational(a.over * b.over, a.under * b.under);
const divided = (a: Rational, b: Rational): Rational =>
  b.over < 0n ? rational(-a.over * b.under, a.under * -b.over) : rational(a.over * b.under, a.under * b.over);
const power = (a: Rational, n: number): Rational => (n === 0 ? rational(1n) : times(a, power(a, n - 1)));
const total = (items: readonly Rational[]): Rational => items.slice(1).reduce(plus, items[0] ?? rational(0n));

const UNIT = 1n << 1074n;

/** A double in units of 2^-1074, read from its bits. */
function units(x: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  const bits = view.getBigUint64(0);
  const exponent = (bits >> 52n) & 0x7ffn;
  const fraction = bits & 0xf_ffff_ffff_ffffn;
  const size = exponent === 0n ? fraction : (fraction + 0x10_0000_0000_0000n) << (exponent - 1n);
  return bits >> 63n === 1n ? -size : size;
}

const doubleAt = (ordinal: bigint): number => {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, ordinal);
  return view.getFloat64(0);
};

const INFINITY_ORDINAL = 0x7ff0_0000_0000_0000n;
const unitsAt = (ordinal: bigint): bigint =>
  ordinal === INFINITY_ORDINAL ? UNIT << 1024n : units(doubleAt(ordinal));

/** The positive double nearest to the number that `compare` places (its sign for number - x in units), ties to even. */
function nearest(compare: (units: bigint, scale: bigint) => number): number | null {
  let low = 0n;
  let high = INFINITY_ORDINAL;
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (compare(unitsAt(middle), 1n) >= 0) low = middle;
    else high = middle;
  }
  const side = compare(unitsAt(low) + unitsAt(high), 2n);
  const ordinal = side > 0 || (side === 0 && low % 2n === 1n) ? high : low;
  return ordinal === INFINITY_ORDINAL ? null : doubleAt(ordinal);
}

const sign = (x: bigint): number => (x > 0n ? 1 : x < 0n ? -1 : 0);

function round(x: Rational): number | null {
  if (x.over === 0n) return 0;
  const size = x.over < 0n ? -x.over : x.over;
  const value = nearest((point, scale) => sign(size * UNIT * scale - point * x.under));
  return value === null ? null : x.over < 0n ? -value : value;
}

function roundRoot(x: Rational): number | null {
  if (x.over === 0n) return 0;
  return nearest((point, scale) => sign(x.over * UNIT * UNIT * scale * scale - point * point * x.under));
}

function exact(type: ValueType, value: Value): Rational {
  if (type.kind === 'decimal') return rational(BigInt(value as number | bigint), 10n ** BigInt(type.scale));
  if (type.kind === 'int64') return rational(BigInt(value as number | bigint));
  let over = units(value as number);
  let under = UNIT;
  while (under > 1n && over % 2n === 0n) {
    over /= 2n;
    under /= 2n;
  }
  return rational(over, under);
}

/** The same numbers over their greatest denominator; the others divide it. */
function alike(items: readonly Rational[]): Rational[] {
  const under = items.reduce((greatest, item) => (item.under > greatest ? item.under : greatest), 1n);
  return items.map((item) => rational(item.over * (under / item.under), under));
}

const INT64 = 2n ** 63n;
const DIGITS_18 = 10n ** 18n;

function aggregate(
  members: readonly RawVersion[],
  t: Instant,
  feature: SweepFeature,
  options: OracleOptions,
): OracleAnswer {
  const { aggregation, inputType } = feature;
  const field = aggregation.field;
  const { k = 1, q = 0.5, by, halfLife = 1, edges, ignoreNulls } = aggregation.arguments;
  const type: ValueType = inputType ?? { kind: 'float64' };
  const all = members.map((member) => (field === null ? null : (member.fields[field] ?? null)));
  const values = all.filter((value) => value !== null);
  const ok = (value: Value): OracleAnswer => ({ value, status: value === null ? 'empty' : 'ok' });
  const fitting = (value: Value): OracleAnswer => ({ value, status: value === null ? 'error' : 'ok' });
  const counted = (n: number): OracleAnswer => ({ value: n, status: n === 0 ? 'empty' : 'ok' });
  const nothing: OracleAnswer = { value: null, status: 'empty' };
  const numbers = (): Rational[] => alike(values.map((value) => exact(type, value)));
  const central = (order: number): Rational => {
    const items = numbers();
    const sum = total(items);
    const count = BigInt(items.length);
    return total(
      items.map((item) => power(rational(count * item.over - sum.over, count * item.under), order)),
    );
  };
  const n = values.length;
  const frequencies = (): [Value, number][] => {
    const found: [Value, number][] = [];
    for (const value of values) {
      const entry = found.find(([other]) => other === value);
      if (entry) entry[1]++;
      else found.push([value, 1]);
    }
    return found.sort((a, b) => smaller(a[0], b[0]));
  };
  const byFrequency = (): Value[] =>
    frequencies()
      .sort((a, b) => b[1] - a[1] || smaller(a[0], b[0]))
      .map(([value]) => value);
  const spread = (correction: 0 | 1, root: boolean): OracleAnswer => {
    if (n < 1 + correction) return nothing;
    const variance = divided(central(2), rational(BigInt(n - correction)));
    return fitting(root ? roundRoot(variance) : round(variance));
  };

  switch (aggregation.function) {
    case 'count':
      return counted(field === null ? members.length : n);
    case 'count_distinct':
      return counted(
        new Set(values.map((value) => (typeof value === 'object' ? JSON.stringify(value) : value))).size,
      );
    case 'sum': {
      if (n === 0) return nothing;
      if (type.kind === 'float64') return fitting(round(total(numbers())));
      const sum = values.reduce<bigint>((result, value) => result + BigInt(value as number | bigint), 0n);
      if (type.kind === 'decimal' ? sum >= DIGITS_18 || sum <= -DIGITS_18 : sum >= INT64 || sum < -INT64)
        return fitting(null);
      return fitting(BigInt(Number(sum)) === sum && Number.isSafeInteger(Number(sum)) ? Number(sum) : sum);
    }
    case 'mean':
      return n === 0 ? nothing : fitting(round(divided(total(numbers()), rational(BigInt(n)))));
    case 'var':
      return spread(1, false);
    case 'std':
      return spread(1, true);
    case 'var_pop':
      return spread(0, false);
    case 'std_pop':
      return spread(0, true);
    case 'skewness': {
      const m2 = n < 3 ? rational(0n) : divided(central(2), rational(BigInt(n)));
      if (m2.over === 0n) return nothing;
      const m3 = divided(central(3), rational(BigInt(n)));
      const factor = rational(BigInt(n) * BigInt(n - 1), BigInt(n - 2) ** 2n);
      const size = roundRoot(times(factor, divided(power(m3, 2), power(m2, 3))))!;
      return ok(m3.over < 0n ? -size : size);
    }
    case 'kurtosis': {
      const m2 = n < 4 ? rational(0n) : divided(central(2), rational(BigInt(n)));
      if (m2.over === 0n) return nothing;
      const m4 = divided(central(4), rational(BigInt(n)));
      const excess = plus(
        times(rational(BigInt(n + 1)), divided(m4, power(m2, 2))),
        rational(BigInt(-3 * (n - 1))),
      );
      return ok(round(times(rational(BigInt(n - 1), BigInt(n - 2) * BigInt(n - 3)), excess)));
    }
    case 'min':
    case 'max': {
      const sorted = [...values].sort(smaller);
      return ok((aggregation.function === 'min' ? sorted[0] : sorted.at(-1)) ?? null);
    }
    case 'first':
    case 'last': {
      const pool = ignoreNulls ? values : all;
      if (pool.length === 0) return nothing;
      return { value: aggregation.function === 'first' ? pool[0]! : pool.at(-1)!, status: 'ok' };
    }
    case 'first_k':
      return n === 0 ? nothing : ok(values.slice(0, k));
    case 'last_k':
      return n === 0 ? nothing : ok(values.slice(-k).reverse());
    case 'last_distinct_k': {
      const newest: Value[] = [];
      for (const value of [...values].reverse())
        if (!newest.includes(value) && newest.length < k) newest.push(value);
      return n === 0 ? nothing : ok(newest);
    }
    case 'lag':
      return ok(n < k ? null : values[n - k]!);
    case 'list':
      return n === 0 ? nothing : ok(aggregation.arguments.k === undefined ? values : values.slice(-k));
    case 'top_k':
      return n === 0 ? nothing : ok(byFrequency().slice(0, k));
    case 'mode':
      return ok(byFrequency()[0] ?? null);
    case 'min_by':
    case 'max_by': {
      const factor = aggregation.function === 'min_by' ? 1 : -1;
      let best: RawVersion | null = null;
      for (const member of members) {
        if ((member.fields[by!] ?? null) === null || (member.fields[field!] ?? null) === null) continue;
        if (best === null || factor * smaller(member.fields[by!]!, best.fields[by!]!) <= 0) best = member;
      }
      return ok(best === null ? null : best.fields[field!]!);
    }
    case 'histogram': {
      if (n === 0) return nothing;
      if (edges === undefined)
        return ok(new Map(frequencies().map(([value, count]) => [options.categoryText(type, value), count])));
      const doubles = numbers().map((item) => round(item)!);
      const within = (low: number, high: number): number =>
        doubles.filter((x) => x >= low && x < high).length;
      const bounds = [Number.NEGATIVE_INFINITY, ...edges, Number.POSITIVE_INFINITY];
      return ok(
        new Map(
          bounds.slice(0, -1).map((low, i) => {
            const from = i === 0 ? '(-inf' : `[${low}`;
            const to = i === bounds.length - 2 ? '+inf' : `${bounds[i + 1]}`;
            return [`${from},${to})`, within(low, bounds[i + 1]!)];
          }),
        ),
      );
    }
    case 'median':
    case 'quantile': {
      if (n === 0) return nothing;
      const sorted = numbers()
        .map((item) => round(item)!)
        .sort((a, b) => a - b);
      const position = (n - 1) * (aggregation.function === 'median' ? 0.5 : q);
      const low = sorted[Math.floor(position)]!;
      const high = sorted[Math.ceil(position)]!;
      const fraction = position - Math.floor(position);
      return ok(low === high ? low : low * (1 - fraction) + high * fraction + 0);
    }
    case 'ratio': {
      const trues = members.filter(
        (member) => options.predicate(aggregation.ratioWhere!, member) === true,
      ).length;
      return ok(members.length === 0 ? null : round(rational(BigInt(trues), BigInt(members.length))));
    }
    case 'seconds_since_last':
    case 'seconds_since_first': {
      const member = aggregation.function === 'seconds_since_last' ? members.at(-1) : members[0];
      return ok(member === undefined ? null : round(rational(BigInt(t - member.eventTime), 1_000_000n)));
    }
    case 'entropy': {
      if (n === 0) return nothing;
      const terms = frequencies()
        .map(([, count]) => count)
        .filter((count) => count !== n)
        .map((count) => rational(units((-count / n) * Math.log2(count / n)), UNIT));
      return ok(round(total(terms)));
    }
    case 'ewma':
    case 'decayed_sum': {
      if (n === 0) return nothing;
      const withValue = members.filter((member) => (member.fields[field!] ?? null) !== null);
      const origin = aggregation.function === 'ewma' ? withValue.at(-1)!.eventTime : t;
      const weights = withValue.map((member) => exp2((member.eventTime - origin) / halfLife));
      const products = weights.map((weight, i) => weight * round(exact(type, values[i]!))!);
      if (products.some((product) => !Number.isFinite(product))) return fitting(null);
      const sum = total(alike(products.map((product) => exact(FLOAT64, product))));
      if (aggregation.function === 'decayed_sum') return fitting(round(sum));
      return fitting(round(divided(sum, total(alike(weights.map((weight) => exact(FLOAT64, weight)))))));
    }
    case 'approx_quantile': {
      if (n === 0) return nothing;
      const sorted = numbers()
        .map((item) => round(item)!)
        .sort((a, b) => a - b);
      return ok(sorted[Math.floor((n - 1) * q)]!);
    }
    case 'approx_count_distinct':
      return n === 0 ? nothing : ok(new Set(values).size);
  }
}

/** Functions whose value the oracle gives only nearly: relative errors of the sketches on small sets. */
export const ORACLE_TOLERANCE: Readonly<Record<string, number>> = {
  approx_quantile: 0.01,
  approx_count_distinct: 0.1,
};
