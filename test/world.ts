/** Random logs and observations that meet at edges: ties, late versions, corrections that move, tombstones, null keys. */
import {
  BOOLEAN,
  DATE,
  decimal,
  FLOAT64,
  INT64,
  STRING,
  TIMESTAMP,
  type Value,
  type ValueType,
} from '../src/core/schema/types.js';
import type { RawObservation, RawVersion } from '../src/testing/oracle.js';

/** mulberry32: a failing seed can be run again. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export const pickFrom = <T>(next: () => number, items: readonly T[]): T =>
  items[Math.floor(next() * items.length)]!;

export const FIELDS: Readonly<Record<string, ValueType>> = {
  amount: FLOAT64,
  wild: FLOAT64,
  price: decimal(2),
  quantity: INT64,
  huge: INT64,
  label: STRING,
  flag: BOOLEAN,
  day: DATE,
  seen: TIMESTAMP,
  vector: { kind: 'float64_vector', dimension: 3 },
};
export const NUMBERS = ['amount', 'wild', 'price', 'quantity', 'huge'];
export const SCALARS = [...NUMBERS, 'label', 'flag', 'day', 'seen'];

const WILD = [0.1, -0.1, 1e16, -1e16, 1e308, -1e308, 5e-324, 3, 1 / 3, 2 ** 53, 1e-200, 123456789.125];
const HUGE = [9_223_372_036_854_775_807n, -9_223_372_036_854_775_808n, 9_007_199_254_740_993n, 1, -5];
const LABELS = [
  'a',
  'b',
  'B',
  'é',
  'e\u0301',
  '\u{1F600}',
  '\uFFFD',
  '',
  '007',
  '7',
  '__proto__',
  'with "quotes", and\nlines',
];

export interface WorldShape {
  /** `in_order`: one version a record, known when it happened. */
  readonly style: 'in_order' | 'bitemporal';
  readonly records: number;
  /** Events lie in [start, start + span * unit). */
  readonly span: number;
  readonly start: number;
  readonly unit: number;
  readonly observations: number;
}

export interface World {
  /** Shuffled: nothing may depend on the order of the log but through `order`. */
  readonly log: readonly RawVersion[];
  readonly observations: readonly RawObservation[];
}

const ENTITIES = ['u', 'v', 'w'];
/** Observed, never recorded. */
const STRANGER = '007';

export function world(next: () => number, shape: WorldShape): World {
  const { style, span, start, unit } = shape;
  const pick = <T>(items: readonly T[]): T => pickFrom(next, items);
  const maybe = (value: Value): Value => (next() < 0.15 ? null : value);
  const bitemporal = style === 'bitemporal';
  const log: Omit<RawVersion, 'order'>[] = [];
  for (let i = 0; i < shape.records; i++) {
    const versions = bitemporal && next() < 0.35 ? 1 + Math.floor(next() * 4) : 1;
    let eventTime = Math.floor(next() * span);
    let entity: string | null = next() < 0.05 ? null : pick(ENTITIES);
    for (let v = 0; v < versions; v++) {
      if (v > 0 && next() < 0.4) eventTime = Math.floor(next() * span);
      if (v > 0 && next() < 0.2) entity = pick(ENTITIES);
      const late = bitemporal && next() < 0.35 ? Math.floor(next() * span) - 5 : 0;
      log.push({
        recordKey: `r${i}`,
        entity,
        eventTime: start + eventTime * unit,
        availableAt: start + (eventTime + late) * unit,
        deleted: bitemporal && next() < 0.12,
        fields: {
          amount: maybe(Math.round(next() * 10_000) / 100),
          wild: maybe(pick(WILD)),
          price: maybe(Math.round(next() * 2_000) - 1_000),
          quantity: maybe(Math.floor(next() * 6)),
          huge: maybe(pick(HUGE)),
          label: maybe(pick(LABELS)),
          flag: maybe(next() < 0.5),
          day: maybe(19_000 + Math.floor(next() * 5)),
          seen: maybe(start + Math.floor(next() * 5) * 1_000_000 + 7),
          vector: maybe([pick([0, 1.5]), -0.25, next()]),
        },
      });
    }
  }
  for (let i = log.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [log[i], log[j]] = [log[j]!, log[i]!];
  }
  const observations = Array.from({ length: shape.observations }, (): RawObservation => {
    // Half of them exactly on an event or on the edge of a window that ends there.
    const edge = pick(log).eventTime + pick([0, 0, 1, 10 * unit, 10 * unit + 1, 11 * unit, 25 * unit, -1]);
    const at = next() < 0.5 ? edge : start + (Math.floor(next() * span * 1.4) - 5) * unit;
    return { entity: next() < 0.05 ? null : pick([...ENTITIES, STRANGER]), at };
  });
  return { log: log.map((version, i) => ({ ...version, order: i + 1 })), observations };
}
