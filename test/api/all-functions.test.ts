import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { openDuckDb } from '../../src/adapters/duckdb/connection.js';
import { categoryText } from '../../src/core/algebra/compare.js';
import { printInstant } from '../../src/core/base/time.js';
import { type Feature, FUNCTION_NAMES, type FunctionName } from '../../src/core/define/types.js';
import { sweepFeature } from '../../src/core/engine/sweep-plan.js';
import type { Status } from '../../src/core/engine/types.js';
import { compileJsRow } from '../../src/core/expression/index.js';
import { toCsv, toJson } from '../../src/core/schema/coerce-print.js';
import { printType, type Value, type ValueType } from '../../src/core/schema/types.js';
import { openProject } from '../../src/open.js';
import { historicalFeatures } from '../../src/services/historical.js';
import { materialize } from '../../src/services/materialize.js';
import { answerFeatures, featureReader } from '../../src/services/serve.js';
import {
  ORACLE_TOLERANCE,
  type OracleAnswer,
  oracleFeature,
  type RawVersion,
} from '../../src/testing/oracle.js';
import { FIELDS, NUMBERS, random, SCALARS, type WorldShape, world } from '../world.js';
import { closing, csv, projectFolder, readCsv } from './support.js';

const SHAPE: WorldShape = {
  style: 'bitemporal',
  records: 45,
  span: 90,
  start: Date.UTC(2024, 0, 1) * 1000,
  unit: 1_000_000,
  observations: 24,
};
const typeOf = (field: string): ValueType => FIELDS[field]!;
const ANY = [...SCALARS, 'vector'];

/** What a function is over, and the arguments it needs. */
const USES: Readonly<
  Record<
    FunctionName,
    { readonly over: readonly string[]; readonly arguments?: Readonly<Record<string, unknown>> }
  >
> = {
  count: { over: ['', ...ANY] },
  count_distinct: { over: ANY },
  sum: { over: NUMBERS },
  mean: { over: NUMBERS },
  min: { over: SCALARS },
  max: { over: SCALARS },
  std: { over: NUMBERS },
  var: { over: NUMBERS },
  std_pop: { over: NUMBERS },
  var_pop: { over: NUMBERS },
  skewness: { over: ['amount', 'price', 'quantity'] },
  kurtosis: { over: ['amount', 'price', 'quantity'] },
  first: { over: ANY, arguments: { ignore_nulls: true } },
  last: { over: ANY, arguments: { ignore_nulls: false } },
  first_k: { over: ANY, arguments: { k: 2 } },
  last_k: { over: ANY, arguments: { k: 3 } },
  last_distinct_k: { over: SCALARS, arguments: { k: 3 } },
  top_k: { over: SCALARS, arguments: { k: 2 } },
  min_by: { over: ANY, arguments: { by: 'price' } },
  max_by: { over: ANY, arguments: { by: 'label' } },
  mode: { over: SCALARS },
  histogram: { over: SCALARS },
  median: { over: NUMBERS },
  quantile: { over: NUMBERS, arguments: { q: 0.9 } },
  approx_quantile: { over: ['amount', 'price', 'quantity'], arguments: { q: 0.9 } },
  approx_count_distinct: { over: SCALARS },
  ratio: { over: [''], arguments: { of: 'quantity > 2' } },
  entropy: { over: SCALARS },
  ewma: { over: NUMBERS, arguments: { half_life: '7s' } },
  decayed_sum: { over: NUMBERS, arguments: { half_life: '7s' } },
  seconds_since_last: { over: [''] },
  seconds_since_first: { over: [''] },
  lag: { over: ANY, arguments: { k: 2 } },
  list: { over: ANY, arguments: { k: 4 } },
};

/** Every function with windows, offset, where, group_by, default, include_current and ignore_nulls. */
function features(): Record<string, unknown>[] {
  return FUNCTION_NAMES.flatMap((name, i) => {
    const { over, arguments: given } = USES[name];
    const feature = (
      variant: string,
      turn: number,
      rest: Record<string, unknown>,
      beside: Record<string, unknown> = {},
    ) => {
      const field = over[(i + turn) % over.length]!;
      return {
        name: `${name}_${variant}`,
        entity: 'user',
        aggregation: {
          function: name,
          source: field === '' ? 'events' : `events.${field}`,
          ...given,
          ...rest,
        },
        ...beside,
      };
    };
    const numeric = ![
      'first',
      'last',
      'first_k',
      'last_k',
      'last_distinct_k',
      'top_k',
      'min_by',
      'max_by',
      'mode',
      'histogram',
      'lag',
      'list',
      'min',
      'max',
      'sum',
    ].includes(name);
    return [
      feature('plain', 0, { windows: ['10s', '45s', 'all'] }),
      feature('shifted', 1, {
        window: '25s',
        offset: '5s',
        ...(name === 'ratio' ? { where: 'flag' } : { where: "flag or label = 'a'" }),
        include_current: true,
      }),
      feature('grouped', 2, {
        window: '60s',
        group_by: ['label', 'quantity', 'price', 'flag', 'day'][FUNCTION_NAMES.indexOf(name) % 5]!,
      }),
      ...(numeric ? [feature('defaulted', 3, { window: '10s' }, { default: -1 })] : []),
      ...(name === 'first' || name === 'last'
        ? [feature('other_nulls', 4, { window: '30s', ignore_nulls: name === 'last' })]
        : []),
      ...over.slice(0, 12).map((_, turn) => feature(`over_${turn}`, turn + 3, { window: '40s' })),
    ];
  });
}

const DEFINITIONS = stringify({
  entities: [{ name: 'user', join_key: 'user_id' }],
  sources: [
    {
      name: 'events',
      read: { files: 'events.csv' },
      record_key: 'id',
      event_time: 'at',
      available_at: 'known_at',
      deleted: 'gone',
      fields: {
        id: 'string',
        user_id: 'string',
        at: 'timestamp',
        known_at: 'timestamp',
        gone: 'boolean',
        version: 'int64',
        ...Object.fromEntries(Object.entries(FIELDS).map(([name, type]) => [name, printType(type)])),
      },
    },
  ],
  features: [
    ...features(),
    {
      name: 'edges',
      entity: 'user',
      aggregation: { function: 'histogram', source: 'events.amount', window: '90s', edges: [-5, 0, 2.5, 50] },
    },
    {
      name: 'widened',
      entity: 'user',
      value_type: 'float64',
      default: 0.5,
      aggregation: { function: 'sum', source: 'events.price', window: '20s' },
    },
    { name: 'every_vector', entity: 'user', aggregation: { function: 'list', source: 'events.vector' } },
  ],
});

const fields = Object.keys(FIELDS);
const file = (log: readonly RawVersion[]): string =>
  csv([
    ['id', 'user_id', 'at', 'known_at', 'gone', 'version', ...fields],
    ...log.map((version) => [
      version.recordKey,
      version.entity,
      printInstant(version.eventTime),
      printInstant(version.availableAt),
      String(version.deleted),
      version.order,
      ...fields.map((name) =>
        version.fields[name] === null ? null : toCsv(typeOf(name), version.fields[name]!),
      ),
    ]),
  ]);

interface Expected extends OracleAnswer {
  readonly near: number | undefined;
}

/** The oracle's answer, with the default and the declared type of the feature. */
function oracle(feature: Feature, answer: OracleAnswer): Expected {
  const near =
    feature.computation.kind === 'aggregation' ? ORACLE_TOLERANCE[feature.computation.function] : undefined;
  if (
    answer.value === null &&
    feature.default !== undefined &&
    answer.status !== 'ok' &&
    answer.status !== 'error'
  )
    return { value: feature.default, status: 'defaulted', near };
  const widened =
    feature.name === 'widened' && answer.value !== null
      ? Number(toCsv(typeOf('price'), answer.value))
      : answer.value;
  return { value: widened, status: answer.status, near };
}

/** Equal, or within the relative tolerance of a sketch, at any depth. */
function agrees(actual: unknown, expected: unknown, near: number | undefined): boolean {
  if (near !== undefined && typeof actual === 'number' && typeof expected === 'number')
    return Math.abs(actual - expected) <= near * Math.max(Math.abs(actual), Math.abs(expected), 1e-300);
  if (typeof actual !== 'object' || typeof expected !== 'object' || actual === null || expected === null)
    return Object.is(actual, expected);
  const [left, right] = [Object.entries(actual), Object.entries(expected)];
  return (
    left.length === right.length &&
    left.every(([key, item], i) => right[i]![0] === key && agrees(item, right[i]![1], near))
  );
}

/** A cell as JSON gives it. */
const cell = (type: ValueType, text: string | null): unknown =>
  text === null || type.kind === 'string' || type.kind === 'timestamp' || type.kind === 'date'
    ? text
    : type.kind === 'int64'
      ? toJson(type, Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text))
      : JSON.parse(text);

describe('every aggregation function through the public path', () => {
  it.each([1, 2])(
    'historical to CSV and Parquet, online and the oracle give one value (seed %i)',
    async (seed) => {
      const { log, observations: observed } = world(random(seed), SHAPE);
      const folder = projectFolder({
        'definitions/all.yaml': DEFINITIONS,
        'events.csv': file(log),
        'spine.csv': csv([
          ['row', 'user_id', 't'],
          ...observed.map(({ entity, at }, i) => [i, entity, printInstant(at)]),
        ]),
      });
      const project = closing(await openProject(folder));
      const recordLog = await project.log();
      const source = project.definitions.sources.get('events')!;
      const ingested = await recordLog.ingestFiles(source, recordLog.expand(source));
      expect(ingested).toMatchObject({ accepted: log.length, quarantined: 0, duplicates: 0 });

      const all = [...project.definitions.features.values()];
      const used = new Set(
        all.map(({ computation }) => computation.kind === 'aggregation' && computation.function),
      );
      expect(FUNCTION_NAMES.filter((name) => !used.has(name))).toEqual([]);
      const predicates = new Map<string, (row: Readonly<Record<string, Value>>) => Value>();
      const expected = all.map((feature) => {
        const swept = sweepFeature(feature, source)!;
        for (const one of [swept.aggregation.where, swept.aggregation.ratioWhere])
          if (one) predicates.set(one.canonical, compileJsRow(one));
        return observed.map((observation) =>
          oracle(
            feature,
            oracleFeature(log, observation, swept, {
              predicate: (one, version) => predicates.get(one.canonical)!(version.fields) as boolean | null,
              categoryText,
              groupType: typeOf,
            }),
          ),
        );
      });

      const wrong: string[] = [];
      const compare = (way: string, f: number, row: number, actual: unknown): void => {
        const feature = all[f]!;
        const { value, near } = expected[f]![row]!;
        const json = JSON.parse(JSON.stringify(toJson(feature.valueType, value)));
        if (!agrees(actual, json, near))
          wrong.push(
            `${way} ${feature.name} row ${row}: ${JSON.stringify(actual)} instead of ${JSON.stringify(json)}`,
          );
      };

      const names = all.map((feature) => feature.name);
      const observations = path.join(folder, 'spine.csv');
      const out = path.join(folder, 'out.csv');
      const result = await historicalFeatures(project, { observations, time: 't', features: names, out });
      const rows = readCsv(out);
      expect(rows.map((row) => row['row'])).toEqual(observed.map((_, i) => String(i)));
      for (const [row, cells] of rows.entries())
        for (const [f, { name, valueType }] of all.entries())
          compare('csv', f, row, cell(valueType, cells[name] ?? null));
      for (const [f, { name }] of all.entries()) {
        const counts: Partial<Record<Status, number>> = {};
        for (const { status } of expected[f]!) counts[status] = (counts[status] ?? 0) + 1;
        expect([name, result.statuses[name]]).toEqual([name, counts]);
      }

      const parquet = path.join(folder, 'out.parquet');
      await historicalFeatures(project, { observations, time: 't', features: names, out: parquet });
      const duckdb = await openDuckDb({ temporaryDirectory: folder });
      try {
        const types = await duckdb.rows<{ name: string; type: string }>(
          `SELECT column_name AS name, column_type AS type FROM (DESCRIBE SELECT * FROM read_parquet('${parquet}'))`,
        );
        const native: Readonly<Record<string, string>> = {
          int64: 'BIGINT',
          float64: 'DOUBLE',
          decimal: 'DECIMAL(18,2)',
          boolean: 'BOOLEAN',
          date: 'DATE',
          timestamp: 'TIMESTAMP WITH TIME ZONE',
          float64_vector: 'DOUBLE[]',
        };
        expect(
          Object.fromEntries(
            types.filter(({ name }) => names.includes(name)).map(({ name, type }) => [name, type]),
          ),
        ).toEqual(
          Object.fromEntries(all.map(({ name, valueType }) => [name, native[valueType.kind] ?? 'VARCHAR'])),
        );
        const select = all.map(({ name, valueType }) =>
          valueType.kind === 'timestamp'
            ? `strftime("${name}" AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ') AS "${name}"`
            : valueType.kind === 'float64_vector'
              ? `CAST(to_json("${name}") AS VARCHAR) AS "${name}"`
              : `CAST("${name}" AS VARCHAR) AS "${name}"`,
        );
        const stored = await duckdb.rows<Record<string, string | null>>(
          `SELECT ${select.join(', ')} FROM read_parquet('${parquet}')`,
        );
        expect(stored.length).toBe(observed.length);
        for (const [row, cells] of stored.entries())
          for (const [f, { name, valueType }] of all.entries())
            compare('parquet', f, row, cell(valueType, cells[name] ?? null));
      } finally {
        duckdb.close();
      }

      await materialize(project);
      const reader = await featureReader(project, names);
      for (const [row, { entity, at }] of observed.entries()) {
        const answer = answerFeatures(reader, { entities: [{ user_id: entity }], at }, 0);
        const { values, statuses } = answer.rows[0]!;
        for (const f of all.keys()) compare('online', f, row, JSON.parse(JSON.stringify(values[f])));
        expect(Object.fromEntries(names.map((name, f) => [name, statuses[f]]))).toEqual(
          Object.fromEntries(names.map((name, f) => [name, expected[f]![row]!.status])),
        );
      }
      expect(wrong).toEqual([]);
    },
    60_000,
  );
});
