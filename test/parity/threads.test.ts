/** One value at any number of threads, in blocks and as a whole, in memory and through a file. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DuckDb, openDuckDb } from '../../src/adapters/duckdb/connection.js';
import type { LakeReader } from '../../src/adapters/duckdb/offline/session.js';
import { createOfflineStore } from '../../src/adapters/duckdb/offline-store.js';
import type { SweepLimits } from '../../src/adapters/duckdb/sweep-records.js';
import { knownSql } from '../../src/adapters/lake/relation.js';
import { FOLDS, outputTypeOf } from '../../src/core/algebra/catalogue.js';
import { FUNCTION_NAMES, type FunctionArguments, type Source } from '../../src/core/define/types.js';
import type { Wanted } from '../../src/core/engine/blocks.js';
import { columnValue } from '../../src/core/engine/columns.js';
import type { SweepColumn, SweepFeature } from '../../src/core/engine/types.js';
import { checkExpression, type Expression, parseExpression } from '../../src/core/expression/index.js';
import { duckDbType } from '../../src/core/schema/coerce-sql.js';
import {
  BOOLEAN,
  DATE,
  decimal,
  FLOAT64,
  INT64,
  STRING,
  TIMESTAMP,
  type ValueType,
} from '../../src/core/schema/types.js';
import type { ObservationTable, OfflineStore, RecordScan } from '../../src/ports/offline-store.js';

const ROWS = 1_500;
const DRAW = (stream: number) => `(hash(i * 32 + ${stream}) >> 11)::DOUBLE / 9007199254740992.0`;
const nullable = (stream: number, sql: string) => `CASE WHEN ${DRAW(stream)} < 0.1 THEN NULL ELSE ${sql} END`;

/** Every kind of lane: doubles, 64-bit integers safe and not, few texts, as many texts as rows, lists. */
const FIELDS: Readonly<Record<string, { readonly type: ValueType; readonly sql: string }>> = {
  amount: { type: FLOAT64, sql: nullable(1, `round(${DRAW(2)} * 10000) / 100`) },
  wild: { type: FLOAT64, sql: `(${DRAW(3)} - 0.5) * pow(10.0, floor(${DRAW(4)} * 600) - 300)` },
  price: { type: decimal(2), sql: nullable(5, `floor(${DRAW(6)} * 2000) / 100 - 10`) },
  quantity: { type: INT64, sql: nullable(7, `floor(${DRAW(8)} * 6)`) },
  huge: {
    type: INT64,
    sql: nullable(9, `CASE WHEN ${DRAW(10)} < 0.01 THEN 9223372036854775807 - i ELSE i - 5 END`),
  },
  label: { type: STRING, sql: nullable(11, `'label ' || floor(${DRAW(12)} * 9)`) },
  text: { type: STRING, sql: nullable(13, `'text é ' || (i * 7919 % 4999)`) },
  flag: { type: BOOLEAN, sql: nullable(14, `${DRAW(15)} < 0.5`) },
  day: { type: DATE, sql: nullable(16, `DATE '2024-01-01' + (floor(${DRAW(17)} * 9))::INTEGER`) },
  seen: {
    type: TIMESTAMP,
    sql: nullable(18, `make_timestamptz((floor(${DRAW(19)} * 9) * 1000003)::BIGINT)`),
  },
  vector: { type: { kind: 'float64_vector' }, sql: nullable(20, `[i / 3.0, ${DRAW(21)}]`) },
};

const source = {
  name: 'log',
  kind: 'events',
  recordKey: ['id'],
  eventTime: 'ts',
  availableAt: { kind: 'field', field: 'available' },
  fields: [
    { name: 'id', type: INT64 },
    { name: 'user', type: STRING },
    ...Object.entries(FIELDS).map(([name, { type }]) => ({ name, type })),
  ],
} as unknown as Source;

const expressionOf = (text: string): Expression => {
  const parsed = parseExpression(text);
  if (!parsed.ok) throw new Error(parsed.problem.message);
  const checked = checkExpression(parsed.ast, {
    resolve: ([name]) => (name! in FIELDS ? { type: FIELDS[name!]!.type, slot: name! } : undefined),
    names: () => Object.keys(FIELDS),
  });
  if (!checked.ok) throw new Error(JSON.stringify(checked));
  return checked.expression;
};

let folder: string;
let db: DuckDb;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-threads-'));
  db = await openDuckDb({ temporaryDirectory: folder, threads: 2 });
  const fields = Object.entries(FIELDS).map(
    ([name, { type, sql }]) => `CAST(${sql} AS ${duckDbType(type)}) AS ${name}`,
  );
  // A third of everything is of one user; a tenth of the records has a second version.
  await db.run(
    `CREATE TEMP TABLE log AS SELECT CASE WHEN ${DRAW(28)} < 0.1 THEN i // 2 ELSE i END AS id,
      CASE WHEN ${DRAW(22)} < 0.33 THEN 'hot' WHEN ${DRAW(22)} < 0.35 THEN NULL ELSE 'user ' || floor(300 * pow(${DRAW(23)}, 3)) END AS "user",
      ${fields.join(', ')}, i + 1 AS _seq, i + 1 AS _order,
      CAST(floor(${DRAW(24)} * 3000) * 1000000 AS BIGINT) AS _event_time,
      CAST(floor(${DRAW(24)} * 3000) * 1000000 + CASE WHEN ${DRAW(25)} < 0.2 THEN ${DRAW(26)} * 1e8 ELSE 0 END AS BIGINT) AS _available_at,
      ${DRAW(27)} < 0.02 AS _deleted FROM range(${ROWS}) r(i)`,
  );
  await db.run(
    `COPY (SELECT i AS oid, CASE WHEN ${DRAW(1)} < 0.33 THEN 'hot' WHEN ${DRAW(1)} < 0.4 THEN NULL ELSE 'user ' || floor(400 * ${DRAW(2)}) END AS "user",
      make_timestamptz((floor(${DRAW(3)} * 3100) * 1000000)::BIGINT) AS "at" FROM range(150) r(i)) TO '${path.join(folder, 'spine.parquet')}' (FORMAT parquet)`,
  );
});
afterAll(() => {
  db.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A log that says of itself that it has so many rows: many rows, many blocks, threads. */
const lakeOf = (rows: number): LakeReader => {
  const state = {
    source: 'log',
    rows,
    lastSeq: rows,
    maxAvailableAt: null,
    minEventTime: null,
    maxEventTime: null,
    hasVersions: true,
    segments: [],
  };
  const relation = 'SELECT * FROM log';
  return {
    state: async () => state,
    relation: () => relation,
    knownSql: (of, at, options) => knownSql(of, at, relation, options),
  };
};

function wantedOf(): Wanted {
  const names = Object.keys(FIELDS).filter((name) => name !== 'vector');
  const wheres = [null, expressionOf('flag'), expressionOf('quantity > 2')];
  const features = FUNCTION_NAMES.flatMap((name, f): SweepFeature[] => {
    const entry = FOLDS[name];
    const accepted = names.filter((field) => entry.accepts(FIELDS[field]!.type));
    return [0, 1, 2].map((round): SweepFeature => {
      const i = f * 3 + round;
      const field = entry.needsField === false ? null : accepted[i % accepted.length]!;
      const by = name === 'min_by' || name === 'max_by' ? names[(i * 5) % names.length]! : undefined;
      const given: FunctionArguments = {
        ignoreNulls: i % 2 === 0,
        ...(by && { by }),
        k: 3,
        q: 0.5,
        halfLife: 1e8,
      };
      const inputType = field === null ? null : FIELDS[field]!.type;
      const byType = by === undefined ? null : FIELDS[by]!.type;
      const groupBy = round === 2 ? ['label', 'quantity', 'flag'][f % 3]! : null;
      return {
        name: `${name}_${round}`,
        aggregation: {
          function: name,
          source: 'log',
          field,
          arguments: given,
          window: [30e6, 400e6, null][round]! as never,
          offset: (i % 5 === 0 ? -20e6 : 0) as never,
          includeCurrent: i % 4 === 0,
          where: wheres[i % 3]!,
          ratioWhere: name === 'ratio' ? expressionOf('quantity > 2') : null,
          groupBy,
        },
        inputType,
        byType,
        outputType: outputTypeOf(name, { inputType, byType, arguments: given }, groupBy !== null),
      };
    });
  });
  const lookups = Object.entries(FIELDS).map(([field, { type }], i) => ({
    name: `lookup_${field}`,
    field,
    maxAge: i % 2 === 0 ? null : 50e6,
    output: 'value' as const,
    outputType: type,
  }));
  return { features, lookups };
}

const plain = (column: SweepColumn): unknown[] =>
  Array.from(column.status, (status, row) => [status, columnValue(column.column, row)]);

async function swept(
  rows: number,
  limits: Partial<SweepLimits>,
  knowledge: RecordScan['knowledge'],
  out: string,
): Promise<{ columns: Map<string, unknown[]>; bytes: Buffer }> {
  const store: OfflineStore = createOfflineStore(db, lakeOf(rows), {
    threads: 1,
    memoryBytes: 8 * 2 ** 30,
    temporaryDirectory: folder,
    ...limits,
  });
  const table: ObservationTable = await store.observationsFromFile(path.join(folder, 'spine.parquet'), {
    time: 'at',
    timezone: 'UTC',
    types: new Map(),
  });
  const entities = await store.entities(table, [{ name: 'user', type: STRING }]);
  const wanted = wantedOf();
  const predicates = new Map(
    wanted.features.flatMap(({ aggregation: { where, ratioWhere } }) =>
      [where, ratioWhere].flatMap((item) => (item ? [[item.canonical, item] as const] : [])),
    ),
  );
  const scan: RecordScan = {
    source,
    horizonSeq: ROWS - 100,
    entities,
    keyFields: ['user'],
    fields: Object.keys(FIELDS),
    predicates,
    knowledge,
    signal: new AbortController().signal,
  };
  const columns = await store.sweep(scan, table, wanted);
  const file = path.join(folder, `${out}.parquet`);
  await store.write(
    table,
    columns.map(({ name, column }) => ({ name, column })),
    { file, format: 'parquet' },
  );
  await store.release(entities);
  await store.release(table);
  return {
    columns: new Map(columns.map((column) => [column.name, plain(column)])),
    bytes: readFileSync(file),
  };
}

describe.each(['as_of', 'hindsight'] as const)('all functions and lookups (%s)', (knowledge) => {
  it('are the same bytes with one, two and three threads, in blocks, and through a file', async () => {
    const whole = await swept(20_000, {}, knowledge, 'whole');
    expect(whole.columns.size).toBe(FUNCTION_NAMES.length * 3 + Object.keys(FIELDS).length);
    const many = 2_000_000;
    // Less than the records would take that the log claims to have.
    const memoryBytes = 700 * 2 ** 20;
    for (const [name, limits] of Object.entries({
      'two threads': { threads: 2 },
      'file, one thread': { memoryBytes },
      'file, three threads': { memoryBytes, threads: 3 },
    })) {
      const other = await swept(many, limits, knowledge, name);
      for (const [feature, values] of whole.columns)
        expect(other.columns.get(feature), `${name}: ${feature}`).toEqual(values);
      expect(other.bytes.equals(whole.bytes), name).toBe(true);
    }
    expect(readdirSync(folder).filter((name) => name.startsWith('sweep-'))).toEqual([]);
  });
});
