/** Lookups inside DuckDB = the sweep = the naive oracle, in value and status, over logs with every kind of trouble. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DuckDb, openDuckDb } from '../../src/adapters/duckdb/connection.js';
import type { LakeReader } from '../../src/adapters/duckdb/offline/session.js';
import { createOfflineStore } from '../../src/adapters/duckdb/offline-store.js';
import { quoteName } from '../../src/adapters/duckdb/text.js';
import { knownSql } from '../../src/adapters/lake/relation.js';
import type { Availability, Feature, JoinKey, Source } from '../../src/core/define/types.js';
import { columnValue } from '../../src/core/engine/columns.js';
import { type FeaturePlan, finishBase } from '../../src/core/engine/feature-plan.js';
import { STATUS, STATUS_NAMES, type SweepLookup } from '../../src/core/engine/types.js';
import { toCsv } from '../../src/core/schema/coerce-print.js';
import { duckDbType } from '../../src/core/schema/coerce-sql.js';
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
} from '../../src/core/schema/types.js';
import type { ObservationTable, OfflineStore } from '../../src/ports/offline-store.js';
import type { LogState } from '../../src/ports/record-log.js';
import { computeFeatures, heldFeatures } from '../../src/services/historical.js';
import { oracleLookup, type RawVersion } from '../../src/testing/oracle.js';
import fc from '../property.js';

const VALUES: Readonly<Record<string, { readonly type: ValueType; readonly values: readonly Value[] }>> = {
  city: { type: STRING, values: ['a', 'B', 'é', 'é', '\u{1F600}', '', "o'k", 'x'.repeat(40)] },
  big: { type: INT64, values: [9_223_372_036_854_775_807n, -9_223_372_036_854_775_808n, 0, -5, 2 ** 53 - 1] },
  ratio: { type: FLOAT64, values: [0.1, -1e308, 5e-324, 1 / 3, 0, 2 ** 53] },
  price: { type: decimal(2), values: [-1, 0, 12345, 999_999_999_999_999] },
  flag: { type: BOOLEAN, values: [true, false] },
  day: { type: DATE, values: [0, -1, 19_000, 40_000] },
  seen: { type: TIMESTAMP, values: [0, -1, 1_704_067_200_000_001] },
  vector: { type: { kind: 'float64_vector' }, values: [[1, 2.5], [], [-1e-300, 0.1]] },
};
const FIELDS = Object.keys(VALUES);

interface Row {
  readonly id: number;
  readonly user: string | null;
  readonly region: number | null;
  readonly ts: number;
  readonly available: number;
  readonly order: number;
  readonly deleted: boolean;
  readonly values: readonly Value[];
}

interface World {
  readonly source: Source;
  readonly joinKeys: readonly JoinKey[];
  readonly rows: readonly Row[];
  readonly horizon: number;
  readonly observations: readonly {
    readonly user: string | null;
    readonly region: number | null;
    readonly at: number;
  }[];
  readonly maxAge: number;
  /** Pretend that the log is so large that texts are coded, or that other entities' records are dropped first. */
  readonly large: boolean;
}

const AVAILABILITY: readonly Availability[] = [
  { kind: 'event_time' },
  { kind: 'field', field: 'available' },
  { kind: 'delay', delay: 5 as never },
  { kind: 'append' },
];
const RECORD_KEYS = [
  ['user', 'ts'],
  ['user', 'region', 'ts'],
  ['user'],
  ['id'],
  ['id', 'ts'],
  ['region', 'ts'],
];

const world: fc.Arbitrary<World> = fc
  .record({
    availability: fc.oneof(
      { arbitrary: fc.constantFrom(...AVAILABILITY), weight: 2 },
      { arbitrary: fc.constant<Availability>({ kind: 'field', field: 'available' }), weight: 3 },
    ),
    recordKey: fc.constantFrom(...RECORD_KEYS),
    sequenced: fc.boolean(),
    twoKeys: fc.boolean(),
    once: fc.boolean(),
    late: fc.constantFrom('never', 'late', 'early', 'any', 'any'),
    span: fc.constantFrom(3, 5, 20, 60),
    raw: fc.array(
      fc.record({
        id: fc.integer({ min: 0, max: 9 }),
        user: fc.option(fc.constantFrom('u', 'v', '007'), { freq: 12 }),
        region: fc.option(fc.integer({ min: 1, max: 2 }), { freq: 12 }),
        ts: fc.integer({ min: 0, max: 59 }),
        lag: fc.integer({ min: -15, max: 15 }),
        deleted: fc.boolean(),
        mark: fc.nat({ max: 5 }),
        picks: fc.array(fc.option(fc.nat({ max: 20 }), { freq: 6 }), {
          minLength: FIELDS.length,
          maxLength: FIELDS.length,
        }),
        order: fc.integer({ min: -1_000_000, max: 1_000_000 }),
      }),
      { maxLength: 40, size: 'max' },
    ),
    observations: fc.array(
      fc.record({
        user: fc.option(fc.constantFrom('u', 'v', '007', 'nobody'), { freq: 10 }),
        region: fc.option(fc.integer({ min: 1, max: 3 }), { freq: 10 }),
        at: fc.integer({ min: -5, max: 80 }),
      }),
      { minLength: 1, maxLength: 40, size: 'max' },
    ),
    horizon: fc.option(fc.nat({ max: 40 }), { freq: 4 }),
    maxAge: fc.integer({ min: 0, max: 20 }),
    large: fc.boolean(),
  })
  .map((drawn) => {
    const { availability, recordKey, once } = drawn;
    const seen = new Set<string>();
    const orders = new Set<number>();
    const rows: Row[] = [];
    for (const raw of drawn.raw) {
      const ts = raw.ts % drawn.span;
      // A record key is never null in the log.
      const user = recordKey.includes('user') ? (raw.user ?? 'u') : raw.user;
      const region = recordKey.includes('region') ? (raw.region ?? 1) : raw.region;
      const key = JSON.stringify(recordKey.map((name) => ({ id: raw.id, user, region, ts })[name]));
      if ((once && seen.has(key)) || (drawn.sequenced && orders.has(raw.order))) continue;
      seen.add(key);
      orders.add(raw.order);
      const lag =
        drawn.late === 'never'
          ? 0
          : drawn.late === 'late'
            ? Math.abs(raw.lag)
            : drawn.late === 'early'
              ? -Math.abs(raw.lag)
              : raw.lag;
      const available =
        availability.kind === 'event_time' ? ts : availability.kind === 'delay' ? ts + 5 : ts + lag;
      rows.push({
        id: raw.id,
        user,
        region,
        ts,
        available,
        order: drawn.sequenced ? raw.order : rows.length + 1,
        deleted: !once && raw.deleted && raw.mark === 0,
        values: FIELDS.map((name, i) => {
          const pick = raw.picks[i];
          const { values } = VALUES[name]!;
          return pick === null || pick === undefined ? null : values[pick % values.length]!;
        }),
      });
    }
    const source = {
      name: 'states',
      kind: 'states',
      read: { kind: 'push' },
      recordKey,
      eventTime: 'ts',
      availableAt: availability,
      ...(drawn.sequenced ? { sequence: 'order' } : {}),
      timezone: 'UTC',
      ambiguousTime: 'refuse',
      fields: [
        { name: 'id', type: INT64 },
        { name: 'user', type: STRING },
        { name: 'region', type: INT64 },
        { name: 'ts', type: TIMESTAMP },
        ...FIELDS.map((name) => ({ name, type: VALUES[name]!.type })),
      ],
      keys: {},
    } as unknown as Source;
    const joinKeys: JoinKey[] = [
      { name: 'user', type: STRING },
      ...(drawn.twoKeys ? [{ name: 'region', type: INT64 }] : []),
    ];
    return {
      source,
      joinKeys,
      rows,
      horizon: Math.min(drawn.horizon ?? rows.length, rows.length),
      observations: drawn.observations,
      maxAge: drawn.maxAge,
      large: drawn.large,
    };
  });

const literal = (type: ValueType, value: Value): string =>
  value === null
    ? `CAST(NULL AS ${duckDbType(type)})`
    : `CAST('${toCsv(type, value).replaceAll("'", "''")}' AS ${duckDbType(type)})`;

let db: DuckDb;
let store: OfflineStore;
let lake: LakeReader;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-latest-'));
  db = await openDuckDb({ temporaryDirectory: folder, threads: 2 });
  store = createOfflineStore(db, {
    state: (source) => lake.state(source),
    relation: (state) => lake.relation(state),
    knownSql: (source, state, options) => lake.knownSql(source, state, options),
  });
});
afterAll(() => {
  db.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A lake of one log in a table, read by the lake's own SQL. */
async function lakeOf({ source, rows, large }: World): Promise<LakeReader> {
  const columns = source.fields.map(({ name, type }) => `${quoteName(name)} ${duckDbType(type)}`).join(', ');
  await db.run(
    `CREATE OR REPLACE TEMP TABLE log (${columns}, _seq BIGINT, _order BIGINT, _event_time BIGINT, _available_at BIGINT, _deleted BOOLEAN)`,
  );
  const tuples = rows.map((row, i) => {
    const own = [
      literal(INT64, row.id),
      literal(STRING, row.user),
      literal(INT64, row.region),
      `make_timestamptz(${row.ts})`,
    ];
    const values = FIELDS.map((name, j) => literal(VALUES[name]!.type, row.values[j]!));
    return `(${[...own, ...values, i + 1, row.order, row.ts, row.available, row.deleted].join(', ')})`;
  });
  // Stored in another order than appended: only `_seq` may count.
  if (tuples.length > 0) await db.run(`INSERT INTO log VALUES ${tuples.reverse().join(', ')}`);
  const keys = rows.map((row) => recordKeyOf(source, row));
  const state: LogState = {
    source: source.name,
    rows: large ? 1_000_000 : rows.length,
    lastSeq: large ? 1_000_000 : rows.length,
    maxAvailableAt: null,
    minEventTime: null,
    maxEventTime: null,
    hasVersions: new Set(keys).size < keys.length || rows.some(({ deleted }) => deleted),
    segments: [],
  };
  const relation = 'SELECT * FROM log';
  return {
    state: async () => state,
    relation: () => relation,
    knownSql: (of, at, options) => knownSql(of, at, relation, options),
  };
}

const recordKeyOf = (source: Source, row: Row): string =>
  JSON.stringify(
    source.recordKey.map((name) => ({ id: row.id, user: row.user, region: row.region, ts: row.ts })[name]),
  );

async function observe({ observations }: World): Promise<ObservationTable> {
  await db.run('CREATE OR REPLACE TEMP TABLE spine ("user" VARCHAR, region BIGINT, "at" TIMESTAMPTZ)');
  await db.run(
    `INSERT INTO spine VALUES ${observations
      .map(
        ({ user, region, at }) =>
          `(${literal(STRING, user)}, ${literal(INT64, region)}, make_timestamptz(${at}))`,
      )
      .join(', ')}`,
  );
  const file = path.join(folder, 'spine.parquet');
  await db.run(`COPY spine TO '${file}' (FORMAT parquet)`);
  return store.observationsFromFile(file, { time: 'at', timezone: 'UTC', types: new Map() });
}

const DEFAULTS: Readonly<Record<string, Value>> = {
  city: "no'where",
  big: 7,
  ratio: 0.1,
  price: -105,
  seen: 1,
};

function featuresOf({ joinKeys, maxAge }: World): Feature[] {
  const one = (
    name: string,
    lookup: Partial<SweepLookup>,
    valueType: ValueType,
    otherwise?: Value,
  ): Feature =>
    ({
      name,
      entities: ['e'],
      joinKeys: joinKeys.map((key) => key.name),
      computation: {
        kind: 'lookup',
        source: 'states',
        field: 'city',
        maxAge: null,
        output: 'value',
        ...lookup,
      },
      valueType,
      default: otherwise,
      dependsOn: [],
      requestFields: [],
    }) as unknown as Feature;
  return [
    ...FIELDS.map((field) => one(field, { field }, VALUES[field]!.type)),
    ...FIELDS.map((field) => one(`${field}_or`, { field, maxAge }, VALUES[field]!.type, DEFAULTS[field])),
    one('city_new', { maxAge }, STRING),
    one('age', { output: 'age_seconds' }, FLOAT64),
    one('age_new', { output: 'age_seconds', maxAge }, FLOAT64),
  ];
}

function planOf(given: World, features: readonly Feature[]): FeaturePlan {
  const { source, joinKeys } = given;
  return {
    outputs: features,
    closure: features,
    groups: [
      { id: 'states', source, joinKeys, keyFields: joinKeys.map((key) => key.name), features, searches: [] },
    ],
    derived: [],
    joinKeys,
    requestFields: [],
  };
}

const project = {
  signal: new AbortController().signal,
  log: (): Promise<never> => Promise.reject(new Error('lookups need no log')),
};

/** Values and statuses of every feature, by row, as text. */
async function answers(
  from: OfflineStore,
  given: World,
  knowledge: 'as_of' | 'hindsight',
): Promise<string[]> {
  const table = await observe(given);
  const features = featuresOf(given);
  const columns = await computeFeatures(from, table, planOf(given, features), {
    horizons: new Map([['states', given.horizon]]),
    knowledge,
    project,
  });
  await store.release(table);
  return columns.flatMap(({ feature, column, status }) =>
    given.observations.map((_, row) =>
      shown(feature.name, row, columnValue(column, row), STATUS_NAMES[status[row]!]!),
    ),
  );
}

const shown = (name: string, row: number, value: Value, status: string): string =>
  `${name}[${row}] ${typeof value} ${Object.is(value, -0) ? '-0' : JSON.stringify(typeof value === 'bigint' ? `${value}` : value)} ${status}`;

function expected(given: World, knowledge: 'as_of' | 'hindsight'): string[] {
  const entity = (of: { user: string | null; region: number | null }): string | null => {
    const key = given.joinKeys.map(({ name }) => (name === 'user' ? of.user : of.region));
    return key.includes(null) ? null : JSON.stringify(key);
  };
  const log: RawVersion[] = given.rows.slice(0, given.horizon).map((row) => ({
    recordKey: recordKeyOf(given.source, row),
    entity: entity(row),
    eventTime: row.ts,
    availableAt: row.available,
    order: row.order,
    deleted: row.deleted,
    fields: Object.fromEntries(FIELDS.map((name, i) => [name, row.values[i]!])),
  }));
  return featuresOf(given).flatMap((feature) =>
    given.observations.map((observation, row) => {
      const lookup = { ...feature.computation, outputType: feature.valueType } as unknown as SweepLookup;
      const found = oracleLookup(
        log,
        {
          entity: entity(observation),
          at: observation.at,
          ...(knowledge === 'hindsight' ? { knowledge: Number.POSITIVE_INFINITY } : {}),
        },
        lookup,
        given.source.sequence !== undefined,
      );
      const { value, status } = finishBase(feature, feature.valueType, found.value, found.status);
      return shown(feature.name, row, value, status);
    }),
  );
}

const withSweep = (): OfflineStore => ({ ...store, lookups: async () => null });

describe('lookups inside DuckDB', () => {
  it.each(['as_of', 'hindsight'] as const)(
    'give the oracle’s values and statuses, and the sweep’s (%s)',
    async (knowledge) => {
      await fc.assert(
        fc.asyncProperty(world, async (given) => {
          lake = await lakeOf(given);
          const wanted = expected(given, knowledge);
          expect(await answers(store, given, knowledge)).toEqual(wanted);
          expect(await answers(withSweep(), given, knowledge)).toEqual(wanted);
        }),
        { numRuns: Number(process.env['MILLRACE_RUNS'] ?? 40) },
      );
    },
  );

  it('go to Parquet in the order of the observations, with defaults and statuses, as the sweep’s do', async () => {
    await fc.assert(
      fc.asyncProperty(world, async (given) => {
        lake = await lakeOf(given);
        const features = featuresOf(given);
        const table = await observe(given);
        const plan = planOf(given, features);
        const options = {
          horizons: new Map([['states', given.horizon]]),
          knowledge: 'as_of' as const,
          project,
        };
        const held = (await heldFeatures(store, table, plan, options))!;
        const files = ['held', 'swept'].map((name) => path.join(folder, `${name}.parquet`));
        await store.write(table, held.added, { file: files[0]!, format: 'parquet' });
        await held.release();
        const swept = await computeFeatures(withSweep(), table, plan, options);
        await store.write(
          table,
          swept.map(({ feature, column }) => ({ name: feature.name, column })),
          { file: files[1]!, format: 'parquet' },
        );
        await store.release(table);
        for (const { feature, status } of swept)
          expect([feature.name, ...held.statuses.get(feature.name)!]).toEqual([
            feature.name,
            ...STATUS_NAMES.map((_, code) => status.filter((one) => one === code).length),
          ]);
        const read = (file: string): Promise<unknown[]> =>
          db.rows(
            `SELECT epoch_us("at") AS at, "user", region, ${features.map(({ name }) => `CAST(${name} AS VARCHAR) AS ${name}, typeof(${name})`).join(', ')} FROM read_parquet('${file}')`,
          );
        expect(await read(files[0]!)).toEqual(await read(files[1]!));
      }),
      { numRuns: Number(process.env['MILLRACE_RUNS'] ?? 40) / 2 },
    );
  });

  it('leave to the sweep what would compare too many versions with too many observations', async () => {
    const rows: Row[] = Array.from({ length: 2 }, (_, i) => ({
      id: 1,
      user: 'u',
      region: 1,
      ts: 1,
      available: 1 + i,
      order: i + 1,
      deleted: i === 1,
      values: FIELDS.map(() => null),
    }));
    const given: World = {
      source: {
        ...fc.sample(world, 1)[0]!.source,
        recordKey: ['user', 'ts'],
        availableAt: { kind: 'append' },
      },
      joinKeys: [{ name: 'user', type: STRING }],
      rows,
      horizon: 2,
      observations: [{ user: 'u', region: 1, at: 9 }],
      maxAge: 1,
      large: false,
    };
    lake = await lakeOf(given);
    // Ten thousand versions, all deleted by the last, and as many observations after that.
    await db.run('INSERT INTO log SELECT log.* FROM log, range(5000) WHERE _seq = 1');
    const table = await observe({
      ...given,
      observations: Array.from({ length: 10_001 }, () => given.observations[0]!),
    });
    const scan = {
      source: given.source,
      horizonSeq: 2,
      joinKeys: given.joinKeys,
      keyFields: ['user'],
      lookups: [{ name: 'city', field: 'city', maxAge: null, output: 'value', outputType: STRING }],
      knowledge: 'as_of',
    } as const;
    expect(await store.lookups(table, scan)).toBeNull();
    const few = await observe(given);
    const held = (await store.lookups(few, scan))!;
    expect((await held.columns())[0]!.status).toEqual(Uint8Array.of(STATUS.never_seen));
    await held.release();
    for (const one of [table, few]) await store.release(one);
    expect(await db.rows("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'held%'")).toEqual([]);
  });

  it('order a tie of event time and sequence by available_at, then by append', async () => {
    const row = (id: number, available: number, city: string): Row => ({
      id,
      user: 'u',
      region: 1,
      ts: 1,
      available,
      order: 5,
      deleted: false,
      values: FIELDS.map((name) => (name === 'city' ? city : null)),
    });
    const given: World = {
      source: {
        ...fc.sample(world, 1)[0]!.source,
        recordKey: ['id'],
        sequence: 'order',
        availableAt: { kind: 'field', field: 'available' },
      },
      joinKeys: [{ name: 'user', type: STRING }],
      rows: [row(1, 7, 'late, first'), row(2, 7, 'late, second'), row(3, 2, 'early')],
      horizon: 3,
      observations: [1, 2, 6, 7].map((at) => ({ user: 'u', region: 1, at })),
      maxAge: 1,
      large: false,
    };
    lake = await lakeOf(given);
    const found = await answers(store, given, 'as_of');
    expect(found.filter((text) => text.startsWith('city['))).toEqual([
      'city[0] object null never_seen',
      'city[1] string "early" ok',
      'city[2] string "early" ok',
      'city[3] string "late, second" ok',
    ]);
  });
});
