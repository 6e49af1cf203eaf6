/** A source, features over it, and random logs with everything that a log may hold. */

import { categoryText } from '../../src/core/algebra/compare.js';
import { fingerprint } from '../../src/core/base/fingerprint.js';
import { MICROS_PER_SECOND } from '../../src/core/base/time.js';
import type { Aggregation, Feature, FunctionName, Lookup, Source } from '../../src/core/define/types.js';
import type { FeatureGroup } from '../../src/core/engine/feature-plan.js';
import {
  type OnlineReader,
  planGroup,
  planReader,
  type SealSizes,
} from '../../src/core/engine/online/index.js';
import { sweepFeature, sweepLookup } from '../../src/core/engine/sweep-plan.js';
import {
  checkExpression,
  compileJsRow,
  type Expression,
  parseExpression,
} from '../../src/core/expression/index.js';
import { BOOLEAN, decimal, FLOAT64, INT64, STRING, type Value } from '../../src/core/schema/types.js';
import type { LogRecord } from '../../src/ports/record-log.js';
import { type OracleAnswer, oracleFeature, oracleLookup, type RawVersion } from '../../src/testing/oracle.js';
import fc from '../property.js';

const FIELDS = [
  { name: 'id', type: INT64 },
  { name: 'user', type: STRING },
  { name: 'shop', type: INT64 },
  { name: 'amount', type: FLOAT64 },
  { name: 'price', type: decimal(2) },
  { name: 'items', type: INT64 },
  { name: 'kind', type: STRING },
  { name: 'ok', type: BOOLEAN },
  { name: 'vector', type: { kind: 'float64_vector' as const } },
];

const shape = {
  name: 'orders',
  kind: 'events' as const,
  tags: [],
  read: { kind: 'push' as const },
  recordKey: ['id'],
  eventTime: 'at',
  availableAt: { kind: 'event_time' as const },
  timezone: 'UTC',
  ambiguousTime: 'refuse' as const,
  fields: FIELDS,
  keys: { customer: 'user' },
  contract: { rows: [], batch: [] },
};
const print = fingerprint(JSON.parse(JSON.stringify(shape)));
export const ORDERS: Source = { ...shape, records: print, fingerprint: print };

export function expression(text: string): Expression {
  const parsed = parseExpression(text);
  if (!parsed.ok) throw new Error(`cannot read ${text}`);
  const checked = checkExpression(parsed.ast, {
    resolve: ([name]) => {
      const field = FIELDS.find((item) => item.name === name);
      return field && { type: field.type, slot: field.name };
    },
    names: () => FIELDS.map((field) => field.name),
  });
  if (!checked.ok) throw new Error(`cannot check ${text}: ${checked.problems[0]!.message}`);
  return checked.expression;
}

const feature = (name: string, computation: Feature['computation']): Feature => ({
  name,
  fingerprint: name,
  tags: [],
  entities: ['customer'],
  joinKeys: ['customer', 'shop'],
  computation,
  valueType: FLOAT64,
  default: undefined,
  dependsOn: [],
  requestFields: [],
});

export const S = MICROS_PER_SECOND;

export function aggregate(
  fn: FunctionName,
  field: string | null,
  window: number | null,
  more: Partial<Omit<Aggregation, 'arguments'>> & { arguments?: Partial<Aggregation['arguments']> } = {},
): Feature {
  const { arguments: args, ...rest } = more;
  const name = `${fn}_${field}_${window}_${JSON.stringify({ ...rest, where: rest.where?.canonical, ratioWhere: rest.ratioWhere?.canonical, args })}`;
  return feature(name, {
    kind: 'aggregation',
    function: fn,
    source: 'orders',
    field,
    arguments: { ignoreNulls: false, ...args },
    window,
    offset: 0,
    includeCurrent: false,
    where: null,
    ratioWhere: null,
    groupBy: null,
    ...rest,
  });
}

export const lookup = (field: string, maxAge: number | null, output: Lookup['output'] = 'value'): Feature =>
  feature(`lookup_${field}_${maxAge}_${output}`, { kind: 'lookup', source: 'orders', field, maxAge, output });

const dear = expression('amount > 10');
const good = expression('ok');

/** Every way of reading: from summaries, newest first, oldest first, in full, by category; offsets, predicates. */
export const WINDOWED: readonly Feature[] = [
  ...[3 * S, 10 * S, 40 * S].flatMap((window) => [
    aggregate('count', null, window),
    aggregate('sum', 'amount', window),
    aggregate('sum', 'price', window),
    aggregate('mean', 'amount', window),
    aggregate('mean', 'price', window),
    aggregate('min', 'amount', window),
    aggregate('max', 'items', window),
    aggregate('sum', 'items', window),
    aggregate('sum', 'amount', window, { where: dear }),
    aggregate('count', null, window, { where: dear, offset: 2 * S }),
    aggregate('sum', 'amount', window, { offset: 5 * S, includeCurrent: true }),
    aggregate('last', 'kind', window),
    aggregate('lag', 'amount', window, { arguments: { k: 2 } }),
    aggregate('std', 'amount', window),
    aggregate('var_pop', 'price', window),
    aggregate('var', 'items', window, { where: dear }),
    aggregate('first', 'kind', window, { where: dear }),
    aggregate('last', 'amount', window, { where: dear, offset: 2 * S }),
    aggregate('first', 'items', window, { offset: 5 * S, includeCurrent: true }),
    aggregate('seconds_since_first', null, window),
    aggregate('seconds_since_last', null, window, { where: dear }),
    aggregate('ratio', null, window, { ratioWhere: good, where: dear }),
    aggregate('count_distinct', 'kind', window),
    aggregate('count', 'amount', window, { groupBy: 'kind' }),
  ]),
  aggregate('count', 'kind', 10 * S),
  aggregate('count', 'items', 10 * S, { includeCurrent: true }),
  aggregate('mean', 'items', 20 * S, { where: good }),
  aggregate('last', 'amount', 20 * S, { arguments: { ignoreNulls: true }, where: good }),
  aggregate('first', 'kind', 20 * S),
  aggregate('first', 'kind', 20 * S, { arguments: { ignoreNulls: true } }),
  aggregate('last_k', 'kind', 30 * S, { arguments: { k: 3 } }),
  aggregate('last', 'vector', 30 * S),
  aggregate('seconds_since_last', null, 30 * S),
  aggregate('seconds_since_first', null, 30 * S, { where: dear }),
  aggregate('std', 'amount', 20 * S),
  aggregate('count_distinct', 'kind', 20 * S),
  aggregate('min', 'kind', 20 * S),
  aggregate('max_by', 'kind', 20 * S, { arguments: { by: 'amount' } }),
  aggregate('ratio', null, 20 * S, { ratioWhere: good }),
  aggregate('ratio', null, 20 * S, { ratioWhere: good, where: dear }),
  aggregate('sum', 'amount', 20 * S, { groupBy: 'kind' }),
  aggregate('count', null, 20 * S, { groupBy: 'shop' }),
];

export const UNBOUNDED: readonly Feature[] = [
  aggregate('count', null, null),
  aggregate('sum', 'amount', null),
  aggregate('max', 'amount', null, { offset: 3 * S }),
  aggregate('median', 'amount', null),
  aggregate('first', 'items', null),
  aggregate('last', 'kind', null, { where: dear }),
  aggregate('std_pop', 'items', null),
  aggregate('seconds_since_first', null, null),
  lookup('kind', null),
  lookup('items', 8 * S),
  lookup('amount', 8 * S, 'age_seconds'),
];

export function groupOf(features: readonly Feature[]): FeatureGroup {
  return {
    id: 'orders(customer,shop)',
    source: ORDERS,
    joinKeys: [
      { name: 'customer', type: STRING },
      { name: 'shop', type: INT64 },
    ],
    keyFields: ['user', 'shop'],
    features,
    searches: [],
  };
}

export const readerOf = (features: readonly Feature[], seal?: SealSizes): OnlineReader =>
  planReader(planGroup(groupOf(features), seal), features, ORDERS);

export const USERS: readonly Value[] = ['007', 'é', 'é', 'b'];

/** Records with few keys, entities and instants, so that they meet. seq is the place in the array, from 1. */
export function logs(maxLength: number): fc.Arbitrary<LogRecord[]> {
  const instant = fc.integer({ min: 0, max: 60 }).map((s) => s * S);
  const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(value, { freq: 6 });
  const record = fc.record({
    id: fc.integer({ min: 1, max: Math.max(4, Math.floor(maxLength * 0.7)) }),
    user: fc.oneof(
      { weight: 12, arbitrary: fc.constantFrom(...USERS) },
      { weight: 1, arbitrary: fc.constant(null) },
    ),
    shop: fc.constantFrom(1, 2),
    amount: maybe(
      fc.oneof(
        fc.integer({ min: -500, max: 5000 }).map((x) => x / 100),
        fc.constantFrom(0.1, 1e16, -1e16, 3e-9, 1e300, -1e300),
      ),
    ),
    price: maybe(fc.integer({ min: -1000, max: 100_000 })),
    items: maybe(
      fc.oneof(
        { weight: 12, arbitrary: fc.integer({ min: -3, max: 9 }) },
        { weight: 1, arbitrary: fc.constantFrom(9_007_199_254_740_993n, -9_007_199_254_740_995n) },
        { weight: 1, arbitrary: fc.constant(9_007_199_254_740_991) },
      ),
    ),
    kind: maybe(fc.constantFrom('a', 'b', 'ß', '😀', '')),
    ok: maybe(fc.boolean()),
    vector: maybe(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 2, maxLength: 2 })),
    at: instant,
    delay: fc.oneof(
      { weight: 6, arbitrary: fc.constant(0) },
      { weight: 2, arbitrary: fc.integer({ min: 0, max: 30 }).map((s) => s * S) },
      { weight: 1, arbitrary: fc.constant(-7 * S) },
    ),
    deleted: fc.oneof(
      { weight: 7, arbitrary: fc.constant(false) },
      { weight: 1, arbitrary: fc.constant(true) },
    ),
  });
  return fc
    .tuple(fc.array(record, { maxLength, size: 'max' }), fc.infiniteStream(fc.nat()), fc.boolean())
    .map(([drafts, random, declaredOrder]) => {
      const orders = drafts.map((_, i) => i + 1);
      if (declaredOrder) {
        for (let i = orders.length - 1; i > 0; i--) {
          const j = (random.next().value as number) % (i + 1);
          [orders[i], orders[j]] = [orders[j]!, orders[i]!];
        }
      }
      return drafts.map(({ at, delay, deleted, ...fields }, i) => ({
        fields: fields as Record<string, Value>,
        eventTime: at,
        availableAt: at + delay,
        order: orders[i]!,
        seq: i + 1,
        deleted,
      }));
    });
}

const entityText = (user: Value, shop: Value): string | null =>
  user === null || shop === null ? null : JSON.stringify([user, shop]);

export function rawVersions(records: readonly LogRecord[]): RawVersion[] {
  return records.map((record) => ({
    recordKey: String(record.fields['id']),
    entity: entityText(record.fields['user'] ?? null, record.fields['shop'] ?? null),
    eventTime: record.eventTime,
    availableAt: record.availableAt,
    order: record.order,
    deleted: record.deleted,
    fields: record.fields,
  }));
}

const compiled = new Map<string, (row: Readonly<Record<string, Value>>) => Value>();

export function expected(
  log: readonly RawVersion[],
  features: readonly Feature[],
  key: readonly Value[],
  at: number,
): OracleAnswer[] {
  const observation = { entity: entityText(key[0]!, key[1]!), at };
  return features.map((item) => {
    const asLookup = sweepLookup(item, ORDERS);
    if (asLookup) return oracleLookup(log, observation, asLookup);
    return oracleFeature(log, observation, sweepFeature(item, ORDERS)!, {
      predicate: (predicate, version) => {
        let run = compiled.get(predicate.canonical);
        if (!run) {
          run = compileJsRow(predicate);
          compiled.set(predicate.canonical, run);
        }
        return run(version.fields) as boolean | null;
      },
      categoryText,
      groupType: (field) => FIELDS.find((candidate) => candidate.name === field)!.type,
    });
  });
}

export const through = (records: readonly LogRecord[]): { seq: number; availableAt: number | null } => ({
  seq: records.at(-1)?.seq ?? 0,
  availableAt: records.length === 0 ? null : Math.max(...records.map((record) => record.availableAt)),
});
