import type { DuckDBConnection } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Imputation, RowRule } from '../../src/core/define/types.js';
import {
  compileRepairs,
  compileRowChecks,
  decodeSql,
  decodeValue,
  deliveredFields,
  deliveredSql,
  encodeSql,
  encodeValue,
  firstRepairsSql,
  meanOf,
  medianOf,
  REPAIRS_TYPE,
  type Row,
  rowChecksSql,
} from '../../src/core/quality/index.js';
import { duckDbType, literalSql, quoteName } from '../../src/core/schema/coerce-sql.js';
import type { Value } from '../../src/core/schema/types.js';
import fc from '../property.js';
import { connect, rowsOf } from './duck.js';
import { expression, fieldsOf, readings, rule, sourceOf } from './sources.js';

let connection: DuckDBConnection;
beforeAll(async () => {
  connection = await connect();
});
afterAll(() => connection.closeSync());

const TYPES = {
  id: 'string',
  at: 'timestamp',
  n: 'int64',
  x: 'float64',
  price: 'decimal(2)',
  code: 'string',
  ok: 'boolean',
  day: 'date',
  seen: 'timestamp',
  gone: 'boolean',
};
const FIELDS = fieldsOf(TYPES);
const typeOf = (name: string) => FIELDS.find((field) => field.name === name)!.type;

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { freq: 4 });
const row: fc.Arbitrary<Row> = fc.record<Record<string, Value>>({
  id: fc.constant('a'),
  at: fc.constant(0),
  n: maybe(
    fc.oneof(fc.integer({ min: -5, max: 5 }), fc.constantFrom<Value>(2n ** 62n, -(2n ** 63n), 2 ** 53 - 1)),
  ),
  x: maybe(
    fc.oneof(
      fc.integer({ min: -2, max: 2 }),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
    ),
  ),
  price: maybe(
    fc.oneof(fc.integer({ min: -300, max: 300 }), fc.constantFrom<Value>(10n ** 17n, -(10n ** 17n))),
  ),
  code: maybe(fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom('', 'A1', '😀', "it's"))),
  ok: maybe(fc.boolean()),
  day: maybe(fc.integer({ min: -700_000, max: 3 })),
  seen: maybe(fc.integer({ min: -3e15, max: 3 })),
  gone: maybe(fc.boolean()),
});

const cap = (field: string, min?: Value, max?: Value): RowRule =>
  rule(
    `${field}.range`,
    field,
    {
      kind: 'range',
      ...(min === undefined ? {} : { min }),
      ...(max === undefined ? {} : { max }),
      minExclusive: false,
      maxExclusive: false,
    },
    'cap',
  );
const impute = (id: string, field: string, check: RowRule['check'], how: Imputation): RowRule => ({
  ...rule(id, field, check, 'impute'),
  impute: how,
});
const constant = (value: Value): Imputation => ({ kind: 'constant', value });

const RULES: readonly RowRule[] = [
  cap('n', -2, 2),
  cap('x', 0),
  cap('price', undefined, 10n ** 16n),
  cap('day', -1, 1),
  cap('seen', 0, 2),
  impute('n.not_null', 'n', { kind: 'not_null' }, constant(-9)),
  impute('x.not_null', 'x', { kind: 'not_null' }, constant(0.1)),
  impute('price.not_null', 'price', { kind: 'not_null' }, constant(12345)),
  impute('code.set', 'code', { kind: 'set', values: ['A1', '😀'] }, constant("other's")),
  impute('code.length', 'code', { kind: 'length', min: 3 }, constant('long')),
  impute('code.pattern', 'code', { kind: 'pattern', pattern: '^[A-Z😀o]' }, constant('Z')),
  impute('ok.not_null', 'ok', { kind: 'not_null' }, constant(false)),
  impute(
    'sane',
    'price',
    { kind: 'expression', expression: expression('ok or price < 1', TYPES) },
    constant(99),
  ),
  impute('day.last', 'day', { kind: 'not_null' }, { kind: 'last', by: ['id'] }),
  impute('seen.median', 'seen', { kind: 'not_null' }, { kind: 'median' }),
];

async function load(rows: readonly Row[]): Promise<void> {
  await connection.run(
    `CREATE OR REPLACE TABLE rows (_position INTEGER, ${FIELDS.map((field) => `${quoteName(field.name)} ${duckDbType(field.type)}`).join(', ')})`,
  );
  for (let at = 0; at < rows.length; at += 500)
    await connection.run(
      `INSERT INTO rows VALUES ${rows
        .slice(at, at + 500)
        .map(
          (values, index) =>
            `(${[at + index, ...FIELDS.map((field) => literalSql(field.type, values[field.name] ?? null))].join(', ')})`,
        )
        .join(', ')}`,
    );
}

const texts = (names: readonly string[]): string =>
  `[${names.map((name) => encodeSql(typeOf(name), quoteName(name))).join(', ')}]`;
const listOf = (cell: unknown): unknown[] =>
  cell === null ? [] : [...((cell as { readonly items?: unknown[] }).items ?? (cell as unknown[]))];

describe('repairs by caps and constants', () => {
  for (const deleted of [undefined, 'gone'])
    it(`give the same values, masks and reasons in TypeScript and in SQL${deleted ? ', tombstones apart' : ''}`, async () => {
      const source = sourceOf(
        TYPES,
        [...RULES, rule('n.small', 'n', { kind: 'set', values: [-2, 0, 2, -9] })],
        {
          deleted,
          fingerprint: 'f1',
        },
      );
      const rows = fc.sample(row, { numRuns: 1500, seed: 5 });
      await load(rows);
      const names = FIELDS.map((field) => field.name);
      const { layers, repairs, open } = firstRepairsSql(source, quoteName, readings.print);
      const repaired = layers.reduce((inner, layer) => `${layer} FROM (${inner})`, 'SELECT * FROM rows');
      const checks = rowChecksSql(source, quoteName, readings.print);
      const judged = await rowsOf(
        connection,
        `SELECT ${texts(names)}, list_transform(fixes, lambda r: r.field), list_transform(fixes, lambda r: r.rule),` +
          ` list_transform(fixes, lambda r: r.original), open, ${checks.map((check) => check.violated).join(', ')}` +
          ` FROM (SELECT *, ${repairs} AS fixes, ${open} AS open FROM (${repaired})) ORDER BY _position`,
      );
      const repairer = compileRepairs(source, readings)!;
      const check = compileRowChecks(source, readings);
      const fired = new Set<string>();
      rows.forEach((given, index) => {
        const [values, fields, rules, originals, waiting, ...broken] = judged[index]!;
        const decoded = (field: string, text: unknown): Value =>
          decodeValue(typeOf(field), text as string | null);
        const bySql = {
          row: Object.fromEntries(names.map((name, i) => [name, decoded(name, listOf(values)[i])])),
          repairs: listOf(fields).map((field, i) => ({
            field,
            rule: listOf(rules)[i],
            original: decoded(field as string, listOf(originals)[i]),
            contract: 'f1',
          })),
          open: listOf(waiting),
          broken: checks.flatMap((one, i) => (broken[i] === true ? [one.rule.id] : [])),
        };
        const done = repairer.first(given);
        const byJs = {
          row: done.row,
          repairs: done.repairs,
          open: repairer.late.filter((late) => late.broken(done.row)).map((late) => late.rule.id),
          broken: check(done.row).map((reason) => reason.rule),
        };
        expect({ given, ...bySql }).toEqual({ given, ...byJs });
        expect(deliveredFields(done.row, done.repairs)).toEqual(given);
        for (const { rule: id } of done.repairs) fired.add(id);
        for (const id of [...byJs.open, ...byJs.broken]) fired.add(id);
      });
      expect([...fired].sort()).toEqual(
        expect.arrayContaining([...RULES.map((one) => one.id), 'n.small'].sort()),
      );
    });

  it('judge the repaired record again: what a repair could not mend is to be quarantined', () => {
    const rules = [
      cap('n', 5, 9),
      rule('n.set', 'n', { kind: 'set', values: [1, 2, 9] }),
      impute(
        'x.range',
        'x',
        { kind: 'range', min: 5, minExclusive: false, maxExclusive: false },
        constant(1),
      ),
    ];
    const source = sourceOf(TYPES, rules);
    const { row: mended, repairs } = compileRepairs(source, readings)!.first({ id: 'a', at: 0, n: 1, x: 0 });
    expect(repairs.map(({ rule: id, original }) => [id, original])).toEqual([
      ['n.range', 1],
      ['x.range', 0],
    ]);
    expect(compileRowChecks(source, readings)(mended).map(({ rule: id, action }) => [id, action])).toEqual([
      ['n.set', 'quarantine'],
      ['x.range', 'quarantine'],
    ]);
  });

  it('are none when judging fails: the rule then counts as broken', () => {
    const check = { kind: 'expression', expression: expression('n > 0', TYPES) } as const;
    const source = sourceOf(TYPES, [impute('sane', 'n', check, constant(1))]);
    const failing = {
      ...readings,
      compile: () => () => {
        throw new Error('no luck');
      },
    };
    expect(compileRepairs(source, failing)!.first({ id: 'a', at: 0, n: -1 }).repairs).toEqual([]);
    expect(compileRowChecks(source, failing)({ id: 'a', at: 0, n: -1 })).toMatchObject([
      { rule: 'sane', action: 'quarantine', message: 'sane could not be judged: no luck' },
    ]);
  });
});

describe('what is kept of a repaired value', () => {
  it('reads back exactly, in TypeScript, in SQL and from one to the other', async () => {
    const rows = fc.sample(row, { numRuns: 400, seed: 8 });
    await load(rows);
    const names = FIELDS.map((field) => field.name);
    const written = await rowsOf(connection, `SELECT ${texts(names)} FROM rows ORDER BY _position`);
    rows.forEach((values, index) => {
      const back = Object.fromEntries(
        names.map((name, i) => [
          name,
          decodeValue(typeOf(name), listOf(written[index]![0])[i] as string | null),
        ]),
      );
      expect(back).toEqual(values);
      for (const name of names)
        expect(decodeValue(typeOf(name), encodeValue(typeOf(name), values[name]!))).toEqual(values[name]!);
    });
    const same = names.map((name) => {
      const type = typeOf(name);
      return `bool_and(${decodeSql(type, encodeSql(type, quoteName(name)))} IS NOT DISTINCT FROM ${quoteName(name)})`;
    });
    expect(await rowsOf(connection, `SELECT ${same.join(', ')} FROM rows`)).toEqual([names.map(() => true)]);
  });

  it('is null when the field has another type by now', async () => {
    expect(decodeValue(typeOf('n'), 'many')).toBeNull();
    expect(decodeValue(typeOf('x'), 'many')).toBeNull();
    expect(decodeValue(typeOf('ok'), 'many')).toBeNull();
    expect(
      await rowsOf(
        connection,
        `SELECT ${decodeSql(typeOf('seen'), "'many'")}, ${decodeSql(typeOf('day'), "'many'")}`,
      ),
    ).toEqual([[null, null]]);
  });

  it('restores what was delivered: the value before the first repair of each field', async () => {
    const one = (field: string, original: string): string =>
      `{'field': '${field}', 'rule': 'r', 'original': ${original}, 'contract': 'c'}`;
    const list = `[${one('n', "'7'")}, ${one('x', 'NULL')}, ${one('n', "'8'")}]::${REPAIRS_TYPE}`;
    const select = ['n', 'x', 'price'].map((name) => deliveredSql(typeOf(name), name, quoteName(name)));
    expect(
      await rowsOf(
        connection,
        `SELECT ${select.join(', ')} FROM (SELECT 9::BIGINT AS n, 1.5::DOUBLE AS x, NULL::DECIMAL(18,2) AS price, ${list} AS "_repairs")`,
      ),
    ).toEqual([[7n, null, null]]);
  });
});

describe('means and medians', () => {
  it('are exact and rounded once, half to even, to the steps of the type', () => {
    const mean = (name: string, values: readonly Value[]) => {
      const state = meanOf(typeOf(name));
      for (const value of values) state.add(value);
      return state.finish();
    };
    expect(mean('n', [1, 2])).toEqual({ value: 2, count: 2 });
    expect(mean('n', [2, 3])).toEqual({ value: 2, count: 2 });
    expect(mean('n', [-1, -2])).toEqual({ value: -2, count: 2 });
    expect(mean('n', [-2, -3, -3])).toEqual({ value: -3, count: 3 });
    expect(mean('n', [2n ** 62n, 2n ** 62n + 2n])).toEqual({ value: 2n ** 62n + 1n, count: 2 });
    expect(mean('price', [101, 102])).toEqual({ value: 102, count: 2 });
    expect(mean('x', [1e308, 1e308, -1e308])).toEqual({ value: 1e308 / 3, count: 3 });
    expect(mean('x', [0.1, 0.2, 0.3])).toEqual({ value: 0.2, count: 3 });
    expect(mean('x', [])).toBeUndefined();
  });

  it('take the lower of the two values in the middle, as DuckDB does', async () => {
    for (const values of fc.sample(
      fc.array(fc.integer({ min: -4, max: 9 }), { minLength: 1, maxLength: 9 }),
      {
        numRuns: 40,
        seed: 2,
      },
    )) {
      const [[median]] = (await rowsOf(
        connection,
        `SELECT quantile_disc(v, 0.5) FROM (VALUES ${values.map((value) => `(${value})`).join(', ')}) AS t(v)`,
      )) as [[number]];
      expect(medianOf(values)).toBe(median);
    }
  });
});
