import type { DuckDBConnection } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CoerceOptions, coerceJson, coerceText } from '../../src/core/schema/coerce.js';
import { printValue, toCsv, toJson } from '../../src/core/schema/coerce-print.js';
import { coerceNativeSql, duckDbType, literalSql, typeOfDuckDb } from '../../src/core/schema/coerce-sql.js';
import { parseType, printType, type Value } from '../../src/core/schema/types.js';
import fc from '../property.js';
import { canonical, connect, loadTexts, readingOf, rowsOf, sqlReadings } from './duck.js';

const RUNS = Number(process.env['MILLRACE_COERCE_RUNS'] ?? 1000);
const SEED = Number(process.env['MILLRACE_COERCE_SEED'] ?? 11);
const UTC: CoerceOptions = { timezone: 'UTC', ambiguousTime: 'refuse', nulls: [] };
const TYPES = [
  'int64',
  'float64',
  'decimal(0)',
  'decimal(2)',
  'decimal(9)',
  'decimal(15)',
  'string',
  'boolean',
  'timestamp',
  'date',
  'float64_vector',
  'float64_vector(2)',
];

let connection: DuckDBConnection;
beforeAll(async () => {
  connection = await connect();
});
afterAll(() => connection.closeSync());

const doubles = fc.oneof(
  fc.double(),
  fc.integer({ min: -100000, max: 100000 }).map((value) => value / 100),
  fc.integer().map((value) => value / 1000),
  fc.integer(),
  fc.constantFrom(
    0,
    -0,
    1,
    0.1 + 0.2,
    1e-6,
    1e-7,
    1.005,
    2.675,
    1e15,
    1e16,
    1e21,
    1e22,
    2 ** 53 - 1,
    2 ** 53,
    -(2 ** 53),
    2 ** 63,
    0.5,
    90071992547409.91,
    90071992547409.92,
    9007199.254740991,
    1e300,
    5e-324,
    NaN,
    Infinity,
    -Infinity,
  ),
);
const scalar = fc.oneof(
  doubles.filter(Number.isFinite),
  fc.string({ maxLength: 6 }).filter((text) => !text.includes('\u0000')),
  fc.boolean(),
  fc.constantFrom(
    null,
    '',
    ' ',
    '12',
    '1e3',
    '0x1',
    'true',
    'no',
    '2024-02-29',
    '2024-02-30',
    '2024-03-01T10:00:00+02:00',
    '[1, 2]',
    'null',
    'é"\\\n',
    '😀',
  ),
);
const json = fc.oneof(
  scalar,
  fc.array(scalar, { maxLength: 3 }),
  fc.array(doubles.filter(Number.isFinite), { maxLength: 3 }),
  fc.constantFrom({}, { a: 1 }, [[1]], [null], [], [1, null]),
);

describe('JSON values', () => {
  it.each(TYPES)('become the same %s in TypeScript and in SQL', async (name) => {
    const type = parseType(name)!;
    const samples = fc.sample(json, { numRuns: RUNS, seed: SEED }).map((value) => JSON.stringify(value));
    await loadTexts(connection, 'documents', samples);
    const sql = coerceNativeSql(type, 'raw::JSON', 'JSON', UTC);
    const bySql = await sqlReadings(connection, 'documents', type, sql);
    const differences = samples.flatMap((text, index) => {
      const value: unknown = JSON.parse(text);
      const byJs = readingOf(type, coerceJson(type, value, UTC));
      // Whole numbers beyond 2^53 are digits in a file, but already rounded in a parsed request: refused there.
      const rounded =
        typeof value === 'number' &&
        Math.abs(value) > Number.MAX_SAFE_INTEGER / 10 ** 15 &&
        byJs === 'refused' &&
        /^-?\d+$/.test(text);
      return byJs === bySql[index] || rounded
        ? []
        : [`${printType(type)} ${text}: TypeScript ${byJs}, SQL ${bySql[index]}`];
    });
    expect(differences.slice(0, 20)).toEqual([]);
  });

  it.each([
    [
      'string',
      7,
      '7 is not a valid string: numbers are not read as texts; quote it, or declare a number type',
    ],
    [
      'timestamp',
      1704067200,
      '1704067200 is not a valid timestamp: a number does not say its unit; send the text 2024-03-01T12:00:00Z',
    ],
    ['int64', 2 ** 60, '1152921504606847000 is not a valid int64: send whole numbers beyond 2^53 as text'],
    ['int64', 1.5, '1.5 is not a valid int64: it is not a whole number'],
    ['decimal(2)', 12.345, '12.345 has more than 2 decimals, decimal(2) holds 2'],
    ['boolean', 2, '2 is not a valid boolean'],
    ['float64_vector(2)', [1], '[1] is not a valid float64_vector(2): it has 1 elements, not 2'],
    ['float64_vector', [1, '2'], '[1,"2"] is not a valid float64_vector: "2" is no number'],
    ['string', 'a\ud800', '"a\\ud800" is not a valid string: it has half of a surrogate pair'],
  ])('%s refuses %j', (name, value, message) => {
    expect(coerceJson(parseType(name)!, value, UTC)).toMatchObject({ ok: false, message });
  });

  it('keeps the empty text of a string and takes it for null elsewhere', () => {
    expect(coerceJson(parseType('string')!, '', UTC)).toEqual({ ok: true, value: '' });
    expect(coerceJson(parseType('int64')!, ' ', UTC)).toEqual({ ok: true, value: null });
  });

  it('takes a bigint without rounding', () => {
    expect(coerceJson(parseType('int64')!, 2n ** 62n, UTC)).toEqual({ ok: true, value: 2n ** 62n });
    expect(coerceJson(parseType('int64')!, 2n ** 63n, UTC)).toMatchObject({ ok: false });
  });
});

describe('native columns', () => {
  it.each([
    'int64',
    'float64',
    'decimal(0)',
    'decimal(2)',
    'decimal(9)',
    'decimal(15)',
    'string',
    'boolean',
    'timestamp',
    'date',
    'float64_vector',
  ])('DOUBLE becomes the %s that a JSON number becomes', async (name) => {
    const type = parseType(name)!;
    const samples = fc.sample(doubles, { numRuns: RUNS, seed: SEED });
    await connection.run('CREATE OR REPLACE TABLE doubles (i INTEGER, raw DOUBLE)');
    const appender = await connection.createAppender('doubles');
    samples.forEach((value, index) => {
      appender.appendInteger(index);
      appender.appendDouble(value);
      appender.endRow();
    });
    appender.closeSync();
    const bySql = await sqlReadings(connection, 'doubles', type, coerceNativeSql(type, 'raw', 'DOUBLE', UTC));
    const differences = samples.flatMap((value, index) => {
      // 0 and 1 are booleans in JSON, whose numbers have one type; a column of doubles holds no booleans.
      const byJs = name === 'boolean' ? 'refused' : readingOf(type, coerceJson(type, value, UTC));
      return byJs === bySql[index] ? [] : [`${value}: TypeScript ${byJs}, SQL ${bySql[index]}`];
    });
    expect(differences.slice(0, 20)).toEqual([]);
  });

  it.each([
    ['int64', '9223372036854775807::UBIGINT', 'UBIGINT', '9223372036854775807'],
    ['int64', '9223372036854775808::UBIGINT', 'UBIGINT', 'refused'],
    ['int64', '12.00::DECIMAL(9,2)', 'DECIMAL(9,2)', '12'],
    ['int64', '12.50::DECIMAL(9,2)', 'DECIMAL(9,2)', 'refused'],
    ['int64', 'true', 'BOOLEAN', 'refused'],
    ['int64', 'NULL::BOOLEAN', 'BOOLEAN', 'null'],
    ['float64', '9007199254740993::BIGINT', 'BIGINT', '9007199254740992'],
    ['float64', '0.1::DECIMAL(38,20)', 'DECIMAL(38,20)', '0.1'],
    ['float64', "'nan'::FLOAT", 'FLOAT', 'refused'],
    ['float64', '1.5::FLOAT', 'FLOAT', '1.5'],
    ['decimal(2)', '0.1::FLOAT', 'FLOAT', '0.10'],
    ['decimal(2)', '12.3400::DECIMAL(18,4)', 'DECIMAL(18,4)', '12.34'],
    ['decimal(2)', '12.3450::DECIMAL(18,4)', 'DECIMAL(18,4)', 'refused'],
    ['decimal(2)', '-12.3450::DECIMAL(38,30)', 'DECIMAL(38,30)', 'refused'],
    ['decimal(2)', '9999999999999999.9900::DECIMAL(38,4)', 'DECIMAL(38,4)', '9999999999999999.99'],
    ['decimal(2)', '9999999999999999.9950::DECIMAL(38,4)', 'DECIMAL(38,4)', 'refused'],
    ['decimal(2)', '10000000000000000::DECIMAL(38,0)', 'DECIMAL(38,0)', 'refused'],
    ['decimal(2)', '-0.01::DECIMAL(4,2)', 'DECIMAL(4,2)', '-0.01'],
    ['decimal(15)', '999.9::DECIMAL(4,1)', 'DECIMAL(4,1)', '999.900000000000000'],
    ['decimal(15)', '1000.1::DECIMAL(5,1)', 'DECIMAL(5,1)', 'refused'],
    ['decimal(2)', 'NULL::DECIMAL(18,4)', 'DECIMAL(18,4)', 'null'],
    ['decimal(2)', '9999999999999999::BIGINT', 'BIGINT', '9999999999999999.00'],
    ['decimal(2)', '-10000000000000000::BIGINT', 'BIGINT', 'refused'],
    ['decimal(0)', '170141183460469231731687303715884105727::HUGEINT', 'HUGEINT', 'refused'],
    ['decimal(0)', '18446744073709551615::UBIGINT', 'UBIGINT', 'refused'],
    ['float64', '-0.0::DOUBLE', 'DOUBLE', '0'],
    ['float64', '-0.0::FLOAT', 'FLOAT', '0'],
    ['boolean', '1::TINYINT', 'TINYINT', 'true'],
    ['boolean', '2::TINYINT', 'TINYINT', 'refused'],
    ['string', "'007'", 'VARCHAR', '007'],
    ['string', '7', 'INTEGER', 'refused'],
    ['timestamp', "TIMESTAMP '2024-03-01 12:00:00'", 'TIMESTAMP', '1709294400000000'],
    ['timestamp', "TIMESTAMPTZ '2024-03-01 12:00:00+02'", 'TIMESTAMP WITH TIME ZONE', '1709287200000000'],
    ['timestamp', "'2024-03-01 12:00:00.123456789'::TIMESTAMP_NS", 'TIMESTAMP_NS', '1709294400123456'],
    ['timestamp', "'1960-03-01 12:00:00.123456789'::TIMESTAMP_NS", 'TIMESTAMP_NS', '-310391999876544'],
    ['timestamp', "'2024-03-01 12:00:00'::TIMESTAMP_S", 'TIMESTAMP_S', '1709294400000000'],
    ['timestamp', "'infinity'::TIMESTAMP", 'TIMESTAMP', 'refused'],
    ['timestamp', "'-infinity'::TIMESTAMPTZ", 'TIMESTAMP WITH TIME ZONE', 'refused'],
    ['timestamp', "'1500-01-01'::TIMESTAMP", 'TIMESTAMP', 'refused'],
    ['timestamp', 'make_timestamp(9007199254740991)', 'TIMESTAMP', '9007199254740991'],
    ['timestamp', 'make_timestamp(9007199254740992)', 'TIMESTAMP', 'refused'],
    ['timestamp', 'make_timestamp(-9007199254740991)', 'TIMESTAMP', '-9007199254740991'],
    ['timestamp', 'make_timestamptz(-9007199254740991)', 'TIMESTAMP WITH TIME ZONE', '-9007199254740991'],
    ['timestamp', 'make_timestamptz(9007199254740992)', 'TIMESTAMP WITH TIME ZONE', 'refused'],
    ['timestamp', "'9999-01-01'::TIMESTAMP_S", 'TIMESTAMP_S', 'refused'],
    ['timestamp', "DATE '5877642-06-25 (BC)'", 'DATE', 'refused'],
    ['timestamp', 'NULL::TIMESTAMP', 'TIMESTAMP', 'null'],
    ['timestamp', "DATE '2024-03-01'", 'DATE', '1709251200000000'],
    ['timestamp', '1709251200', 'INTEGER', 'refused'],
    ['date', "DATE '2024-03-01'", 'DATE', '19783'],
    ['date', "'infinity'::DATE", 'DATE', 'refused'],
    ['date', "TIMESTAMP '2024-03-01'", 'TIMESTAMP', 'refused'],
    ['float64_vector(2)', '[1, -0.0]', 'DOUBLE[]', '[1,0]'],
    ['float64_vector(2)', '[1.5::FLOAT, 2]', 'FLOAT[]', '[1.5,2]'],
    ['float64_vector(2)', '[1, 2]::DOUBLE[2]', 'DOUBLE[2]', '[1,2]'],
    ['float64_vector(2)', '[1, 2, 3]', 'INTEGER[]', 'refused'],
    ['float64_vector', '[1, NULL]', 'INTEGER[]', 'refused'],
    ['float64_vector', "['nan'::DOUBLE]", 'DOUBLE[]', 'refused'],
  ])('%s of %s', async (name, raw, duckName, expected) => {
    await connection.run(`CREATE OR REPLACE TABLE native AS SELECT 0 AS i, ${raw} AS raw`);
    const type = parseType(name)!;
    expect(
      await sqlReadings(connection, 'native', type, coerceNativeSql(type, 'raw', duckName, UTC)),
    ).toEqual([expected]);
  });

  it('reads a TIMESTAMP without zone on the clocks of the source', async () => {
    const zoned: CoerceOptions = { timezone: 'America/Los_Angeles', ambiguousTime: 'refuse', nulls: [] };
    await connection.run(
      "CREATE OR REPLACE TABLE native AS SELECT * FROM (VALUES (0, TIMESTAMP '2024-03-10 01:59:00'), (1, TIMESTAMP '2024-03-10 02:30:00'), (2, TIMESTAMP '2024-03-10 03:00:00')) AS t(i, raw)",
    );
    const type = parseType('timestamp')!;
    expect(
      await sqlReadings(connection, 'native', type, coerceNativeSql(type, 'raw', 'TIMESTAMP', zoned)),
    ).toEqual(['1710064740000000', 'refused', '1710064800000000']);
  });
});

describe('messages of refused texts', () => {
  it.each([
    ['int64', 'abc', '"abc" is not a valid int64'],
    ['int64', '1.5', '"1.5" is not a valid int64: it is not written as a whole number'],
    [
      'int64',
      '9223372036854775808',
      '"9223372036854775808" is not a valid int64: it needs more than 64 bits',
    ],
    ['float64', '1e400', '"1e400" is not a valid float64: it is beyond the range of a double'],
    ['decimal(2)', '12.345', '"12.345" has 3 decimals, decimal(2) holds 2'],
    [
      'decimal(2)',
      '99999999999999999',
      '"99999999999999999" is not a valid decimal(2): it has more than 18 digits',
    ],
    ['date', '2023-02-29', '"2023-02-29" is not a valid date: this day does not exist'],
    ['timestamp', '2023-02-29 10:00', '"2023-02-29 10:00" is not a valid timestamp: this day does not exist'],
    [
      'timestamp',
      '1500-01-01',
      '"1500-01-01" is not a valid timestamp: it is outside of the years 1684 to 2255',
    ],
    ['float64_vector(2)', '[1, x]', '"[1, x]" is not a valid float64_vector(2): "x" is no number'],
  ])('%s of %s', (name, text, message) => {
    expect(coerceText(parseType(name)!, text, UTC)).toMatchObject({ ok: false, message });
  });

  it('name the zone when the clocks were changed', () => {
    const options: CoerceOptions = { timezone: 'Europe/Berlin', ambiguousTime: 'refuse', nulls: [] };
    const read = (text: string) => coerceText(parseType('timestamp')!, text, options);
    expect(read('2024-03-31 02:30')).toMatchObject({
      message: expect.stringContaining('does not exist in Europe/Berlin'),
    });
    expect(read('2024-10-27 02:30')).toMatchObject({
      message: expect.stringContaining('exists twice in Europe/Berlin'),
    });
    expect(read('2024-10-27 02:30+01:00')).toMatchObject({ ok: true });
  });

  it('take the earlier or the later instant where the source says so', () => {
    const read = (text: string, ambiguousTime: 'earlier' | 'later') =>
      printValue(
        parseType('timestamp')!,
        (
          coerceText(parseType('timestamp')!, text, {
            timezone: 'Europe/Berlin',
            ambiguousTime,
            nulls: [],
          }) as { value: Value }
        ).value,
      );
    expect(read('2024-10-27 02:30', 'earlier')).toBe('2024-10-27T00:30:00Z');
    expect(read('2024-10-27 02:30', 'later')).toBe('2024-10-27T01:30:00Z');
    expect(read('2024-03-31 02:30', 'earlier')).toBe('2024-03-31T00:30:00Z');
    expect(read('2024-03-31 02:30', 'later')).toBe('2024-03-31T01:30:00Z');
  });
});

describe('printed values', () => {
  const cases: readonly [string, Value, string, unknown][] = [
    ['int64', 2n ** 62n, '4611686018427387904', '4611686018427387904'],
    ['int64', -5, '-5', -5],
    ['decimal(2)', -5, '-0.05', -0.05],
    ['decimal(2)', 123456789012345678n, '1234567890123456.78', '1234567890123456.78'],
    ['decimal(0)', 12, '12', 12],
    ['float64', 0.1, '0.1', 0.1],
    ['timestamp', 1709294400123000, '2024-03-01T12:00:00.123Z', '2024-03-01T12:00:00.123Z'],
    ['date', 19783, '2024-03-01', '2024-03-01'],
    ['float64_vector', [1, 2.5], '[1,2.5]', [1, 2.5]],
    ['map(int64)', new Map([['a', 1]]), '{"a":1}', { a: 1 }],
    ['string', null, '', null],
  ];
  it.each(cases)('%s', (name, value, csv, jsonValue) => {
    const type = parseType(name)!;
    expect(toCsv(type, value)).toBe(csv);
    expect(toJson(type, value)).toEqual(jsonValue);
  });

  it('read back as the same value', () => {
    const check = (name: string, arbitrary: fc.Arbitrary<Value>) =>
      fc.assert(
        fc.property(arbitrary, (value) => {
          const type = parseType(name)!;
          const again = coerceText(type, toCsv(type, value), UTC);
          expect(readingOf(type, again)).toBe(canonical(type, value));
        }),
        { numRuns: 300 },
      );
    const safe = fc.integer({ min: -(10 ** 15), max: 10 ** 15 });
    check('int64', safe);
    check('decimal(2)', safe);
    check('decimal(15)', safe);
    check('timestamp', fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }));
    check('date', fc.integer({ min: -719528, max: 2932896 }));
    check(
      'float64',
      fc.double({ noNaN: true, noDefaultInfinity: true }).filter((value) => !Object.is(value, -0)),
    );
  });

  it('stand in SQL as the same value', async () => {
    const values: readonly [string, Value][] = [
      ['int64', -(2n ** 63n)],
      ['float64', 1e-7],
      ['decimal(2)', -5],
      ['decimal(2)', 999999999999999999n],
      ['string', "it's \u0000 é"],
      ['boolean', true],
      ['timestamp', -9007199254740991],
      ['date', -719528],
      ['float64_vector', [0.1, -2]],
      ['string', null],
    ];
    for (const [name, value] of values) {
      const type = parseType(name)!;
      await connection.run(
        `CREATE OR REPLACE TABLE literal AS SELECT 0 AS i, ${literalSql(type, value)} AS raw`,
      );
      expect(await rowsOf(connection, 'SELECT typeof(raw) FROM literal')).toEqual([[duckDbType(type)]]);
      const reading = await sqlReadings(connection, 'literal', type, {
        value: 'raw',
        bad: 'false',
        blank: 'false',
        badOf: () => 'false',
      });
      expect(reading).toEqual([canonical(type, value)]);
    }
  });
});

it('knows the value type of a DuckDB column', () => {
  const names = [
    'TINYINT',
    'HUGEINT',
    'FLOAT',
    'DECIMAL(18,2)',
    'DECIMAL(38,20)',
    'VARCHAR',
    "ENUM('a')",
    'BOOLEAN',
    'TIMESTAMP_NS',
    'TIMESTAMP WITH TIME ZONE',
    'DATE',
    'DOUBLE[]',
    'FLOAT[3]',
    'STRUCT(a INTEGER)',
    'VARCHAR[]',
    'BLOB',
  ];
  expect(names.map((name) => typeOfDuckDb(name)).map((type) => type && printType(type))).toEqual([
    'int64',
    'int64',
    'float64',
    'decimal(2)',
    'float64',
    'string',
    'string',
    'boolean',
    'timestamp',
    'timestamp',
    'date',
    'float64_vector',
    'float64_vector(3)',
    undefined,
    undefined,
    undefined,
  ]);
});
