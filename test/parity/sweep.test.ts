import { describe, expect, it } from 'vitest';
import { FOLDS, outputTypeOf } from '../../src/core/algebra/catalogue.js';
import { categoryText } from '../../src/core/algebra/compare.js';
import { FUNCTION_NAMES, type FunctionArguments, type FunctionName } from '../../src/core/define/types.js';
import { sweep } from '../../src/core/engine/sweep.js';
import type { SweepFeature, SweepLookup } from '../../src/core/engine/types.js';
import type { Expression } from '../../src/core/expression/index.js';
import { FLOAT64, INT64, STRING, type Value } from '../../src/core/schema/types.js';
import { ORACLE_TOLERANCE, oracleFeature, oracleLookup, type Predicate } from '../../src/testing/oracle.js';
import { FIELDS, NUMBERS, pickFrom, random, SCALARS, type World, type WorldShape, world } from '../world.js';
import { answer, sweepInput } from './columns.js';

const predicate: Predicate = (expression, version) => {
  if (expression.canonical === 'flag') return version.fields['flag'] as boolean | null;
  const quantity = version.fields['quantity'] as number | null;
  return quantity === null ? null : quantity > 2;
};
const expression = (canonical: string): Expression => ({ canonical }) as Expression;

/** A world in which the log lies in another order than `order` says: nothing may depend on its place. */
function worldOf(seed: number, style: WorldShape['style']): World {
  const next = random(seed);
  const { log, observations } = world(next, {
    style,
    records: 10 + Math.floor(next() * 40),
    span: pickFrom(next, [20, 60, 200]),
    start: 0,
    unit: 1,
    observations: 25,
  });
  return { log: [...log].reverse(), observations };
}

function feature(next: () => number, name: FunctionName, index: number): SweepFeature {
  const pick = <T>(items: readonly T[]): T => pickFrom(next, items);
  const entry = FOLDS[name];
  const candidates = entry.accepts(STRING) ? SCALARS : NUMBERS;
  const field =
    entry.needsField === false || (entry.needsField === 'optional' && next() < 0.5) ? null : pick(candidates);
  const by = name === 'min_by' || name === 'max_by' ? pick(SCALARS) : undefined;
  const args: FunctionArguments = {
    ignoreNulls: next() < 0.5,
    ...(by && { by }),
    ...(name === 'list' && next() < 0.5 ? {} : { k: 1 + Math.floor(next() * 3) }),
    q: pick([0, 0.1, 0.25, 0.5, 0.9, 1]),
    halfLife: pick([1, 7, 30]),
    ...(name === 'histogram' && field !== null && NUMBERS.includes(field) && next() < 0.5
      ? { edges: [-5, 0, 2.5, 50] }
      : {}),
  };
  const inputType = field === null ? null : FIELDS[field]!;
  const byType = by === undefined ? null : FIELDS[by]!;
  const groupBy = next() < 0.15 ? pick(['label', 'quantity', 'flag', 'price', 'day']) : null;
  return {
    name: `${name}_${index}`,
    aggregation: {
      function: name,
      source: 's',
      field,
      arguments: args,
      window: pick([null, 0, 1, 10, 25, 1_000]),
      offset: pick([0, 0, 0, 3, 10, -4, -20]),
      includeCurrent: next() < 0.25,
      where: next() < 0.3 ? expression(pick(['flag', 'quantity > 2'])) : null,
      ratioWhere: name === 'ratio' ? expression(pick(['flag', 'quantity > 2'])) : null,
      groupBy,
    },
    inputType,
    byType,
    outputType: outputTypeOf(name, { inputType, byType, arguments: args }, groupBy !== null),
  };
}

/** Equal to the bit; nearly equal for the functions whose oracle is only near. */
function same(name: FunctionName, actual: Value, expected: Value): boolean {
  if (actual instanceof Map && expected instanceof Map) {
    const keys = [...actual.keys()];
    return (
      keys.length === expected.size &&
      [...expected.keys()].every(
        (key, i) => keys[i] === key && same(name, actual.get(key)!, expected.get(key) as Value),
      )
    );
  }
  if (Array.isArray(actual) && Array.isArray(expected))
    return actual.length === expected.length && actual.every((item, i) => Object.is(item, expected[i]));
  const tolerance = ORACLE_TOLERANCE[name];
  if (tolerance !== undefined && typeof actual === 'number' && typeof expected === 'number')
    return Math.abs(actual - expected) <= tolerance * Math.max(Math.abs(actual), Math.abs(expected), 1e-300);
  return Object.is(actual, expected);
}

const show = (value: Value): string =>
  value instanceof Map ? JSON.stringify([...value].map(([key, item]) => [key, String(item)])) : String(value);

const LOOKUPS: readonly SweepLookup[] = [
  { name: 'amount', field: 'amount', maxAge: null, output: 'value', outputType: FLOAT64 },
  { name: 'label', field: 'label', maxAge: 10, output: 'value', outputType: STRING },
  { name: 'huge', field: 'huge', maxAge: 25, output: 'value', outputType: INT64 },
  { name: 'age', field: 'label', maxAge: null, output: 'age_seconds', outputType: FLOAT64 },
  { name: 'young', field: 'label', maxAge: 25, output: 'age_seconds', outputType: FLOAT64 },
];

function differences(seed: number, { log, observations }: World, sequenced: boolean): string[] {
  const next = random(seed + 1_000_000);
  const features = FUNCTION_NAMES.map((name, i) => feature(next, name, i));
  const columns = sweep(sweepInput(log, observations, FIELDS, features, LOOKUPS, predicate, sequenced));
  const options = { predicate, categoryText, groupType: (field: string) => FIELDS[field]!, sequenced };
  const wrong: string[] = [];
  const compare = (
    name: FunctionName,
    i: number,
    row: number,
    expected: { value: Value; status: string },
    what: string,
  ) => {
    const actual = answer(columns[i]!, row);
    const close = same(name, actual.value, expected.value);
    if (!close || actual.status !== expected.status)
      wrong.push(
        `seed ${seed} row ${row} ${what}: ${show(actual.value)} ${actual.status}, oracle ${show(expected.value)} ${expected.status}`,
      );
  };
  observations.forEach((observation, row) => {
    features.forEach((item, i) => {
      const { aggregation } = item;
      const what = `${item.name}(${aggregation.field}) ${JSON.stringify({ ...aggregation, where: aggregation.where?.canonical })}`;
      compare(aggregation.function, i, row, oracleFeature(log, observation, item, options), what);
    });
    LOOKUPS.forEach((lookup, i) => {
      compare(
        'last',
        features.length + i,
        row,
        oracleLookup(log, observation, lookup, sequenced),
        `lookup ${lookup.name}`,
      );
    });
  });
  return wrong;
}

const SEEDS = Number(process.env['MILLRACE_SEEDS'] ?? 12);
const run = (make: (seed: number) => World, sequenced = false): string[] => {
  const wrong: string[] = [];
  for (let seed = 1; seed <= SEEDS && wrong.length < 5; seed++)
    wrong.push(...differences(seed, make(seed), sequenced));
  return wrong.slice(0, 5);
};

describe('the sweep equals the naive oracle on every function, value and status', () => {
  it('when records come in order', () => {
    expect(run((seed) => worldOf(seed, 'in_order'))).toEqual([]);
  });

  it('when records are late, corrected, moved in time and entity, deleted and brought back', () => {
    expect(run((seed) => worldOf(seed, 'bitemporal'))).toEqual([]);
  });

  it('when a declared sequence breaks ties', () => {
    expect(run((seed) => worldOf(seed + 5_000, 'bitemporal'), true)).toEqual([]);
  });

  it('in hindsight', () => {
    const make = (seed: number): World => {
      const { log, observations } = worldOf(seed + 10_000, 'bitemporal');
      return {
        log,
        observations: observations.map((item) => ({ ...item, knowledge: Number.POSITIVE_INFINITY })),
      };
    };
    expect(run(make)).toEqual([]);
  });

  it('with a knowledge instant for each observation', () => {
    const make = (seed: number): World => {
      const { log, observations } = worldOf(seed + 20_000, 'bitemporal');
      return {
        log,
        observations: observations.map((item, i) => ({ ...item, knowledge: item.at + ((i * 7) % 40) - 15 })),
      };
    };
    expect(run(make)).toEqual([]);
  });
});
