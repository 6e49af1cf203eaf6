import type { DuckDBConnection } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CoerceOptions, coerceText } from '../../src/core/schema/coerce.js';
import { coerceSql } from '../../src/core/schema/coerce-sql.js';
import { parseType, printType, type ValueType } from '../../src/core/schema/types.js';
import fc from '../property.js';
import { connect, loadTexts, readingOf, sqlReadings } from './duck.js';

const RUNS = Number(process.env['MILLRACE_COERCE_RUNS'] ?? 1500);
const SEED = Number(process.env['MILLRACE_COERCE_SEED'] ?? 20240310);

let connection: DuckDBConnection;
beforeAll(async () => {
  connection = await connect();
  // Results must not hang on the session's zone.
  await connection.run("SET TimeZone = 'Asia/Kathmandu'");
});
afterAll(() => connection.closeSync());

const UTC: CoerceOptions = { timezone: 'UTC', ambiguousTime: 'refuse', nulls: [] };

const digits = (max: number) => fc.stringMatching(new RegExp(`^[0-9]{0,${max}}$`));
const oneOf = (...texts: string[]) => fc.constantFrom(...texts);
const join = (...parts: fc.Arbitrary<string>[]) => fc.tuple(...parts).map((texts) => texts.join(''));
const mostly = (text: string, ...others: string[]) =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(text) }, { weight: 1, arbitrary: oneOf(...others) });

const edge = mostly(
  '',
  ' ',
  '\t',
  '\n',
  '\r\n',
  '\u00a0',
  '\u2003',
  '\v',
  '\f',
  '\u0000',
  '\ufeff',
  '\u0085',
);
const sign = oneOf('', '', '', '-', '+', '--', '+-', '-+', '\u2212');
const exponent = fc.oneof(fc.constant(''), join(oneOf('e', 'E', 'e+', 'e-', 'x'), digits(4)));
const number = join(edge, sign, digits(22), oneOf('', '', '.', ',', '_'), digits(20), exponent, edge);
const smallNumber = join(sign, digits(4), oneOf('', '.'), digits(4), edge);
const doubleText = fc.double().map(String);
const bigText = fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }).map(String);
const edgeNumbers = oneOf(
  '9223372036854775807',
  '9223372036854775808',
  '-9223372036854775808',
  '-9223372036854775809',
  '9223372036854775807.0',
  '0000000000000000000000000000000000000000000000009223372036854775807',
  '1e400',
  '-1e400',
  '1e-400',
  '-0',
  '-0.0',
  '+0',
  '1e99999999999999999999',
  '0e99999999999999999999',
  '1e-99999999999999999999',
  '2.2250738585072011e-308',
  '1.7976931348623158e308',
  '1.7976931348623159e308',
  '4.9e-324',
  '2.4703282292062327e-324',
  '2.4703282292062328e-324',
  '9007199254740993',
  '9007199254740992.5',
  '0.1',
  '1_000',
  '1,000',
  '0x10',
  '0b1',
  'inf',
  '-inf',
  'Infinity',
  'nan',
  'NaN',
  'NULL',
  'null',
  '1 2',
  '\u0661\u0662',
  '\uff11',
  '\u00b2',
  '\u2155',
  '12.',
  '.5',
  '.',
  '+.',
  '-.',
  'e5',
  '1e',
  '1e+',
  '1.5f',
  '1d',
  '$5',
  '5%',
  '999999999999999.99',
  '9999999999999999.99',
  '9999999999999999.990',
  '10000000000000000.00',
  '-9999999999999999.99',
  '999999999999999999',
  '1000000000000000000',
  '0.005',
  '0.0100000000000000000000000000000000000000000000000000',
  '00000000000000000000000000000000000000000000000000000.10',
  `0.${'0'.repeat(60)}1`,
  `1${'0'.repeat(308)}`,
  `1${'0'.repeat(309)}`,
  '179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880',
  '1.00000000000000011102230246251565404236316680908203125',
  '1.00000000000000011102230246251565404236316680908203124',
  '1.00000000000000011102230246251565404236316680908203126',
);
const words = oneOf(
  'true',
  'TRUE',
  'True',
  't',
  'T',
  'yes',
  'YES',
  'y',
  'on',
  'false',
  'FALSE',
  'f',
  'F',
  'no',
  'NO',
  'n',
  'off',
  '0',
  '1',
  '00',
  '01',
  '1.0',
  ' true ',
  'true\u00a0',
  't\u0280ue',
  '\uff54rue',
  'fal\u017fe',
  'ye\u017f',
  'y\u0117s',
  '-1',
  '2',
  '',
);
const two = (max: number) => fc.integer({ min: 0, max }).map((value) => String(value).padStart(2, '0'));
const year = fc.oneof(
  fc.integer({ min: 1950, max: 2060 }).map(String),
  fc.integer({ min: 0, max: 9999 }).map((value) => String(value).padStart(4, '0')),
  oneOf(
    '0000',
    '0001',
    '1683',
    '1684',
    '2255',
    '2256',
    '9999',
    '10000',
    '-0001',
    '+2024',
    '+002024',
    '24',
    '\u0662\u0660\u0662\u0664',
    '1900',
    '2000',
    '2100',
  ),
);
const day = join(year, mostly('-', '/', '', '\u2010'), two(13), mostly('-', '/', ''), two(32));
const zone = fc.oneof(
  oneOf(
    '',
    '',
    'Z',
    'z',
    'UTC',
    'utc',
    ' Z',
    ' UTC',
    'GMT',
    '\u00a0Z',
    '  Z',
    '+00',
    '-00:00',
    ' +05:30',
    '+0530',
    '-12',
    '+5',
    '+24:00',
    '+23:59',
    '+23:60',
    '-99:99',
    '+1:30',
    '+01:3',
    '+013',
    ' +1',
    '[UTC]',
  ),
  join(oneOf('+', '-'), two(24), oneOf('', ':'), two(60)),
);
const clock = join(
  mostly('T', ' ', 't', '  ', '_'),
  two(24),
  mostly(':', '', '.'),
  two(60),
  fc.oneof(
    fc.constant(''),
    join(fc.constant(':'), two(60), fc.oneof(fc.constant(''), join(oneOf('.', ',', ':'), digits(10)))),
  ),
);
const timestamp = fc.oneof(
  join(edge, day, edge),
  join(edge, day, clock, zone, edge),
  join(day, clock),
  oneOf(
    '2024-02-29',
    '2023-02-29',
    '1900-02-29',
    '2000-02-29',
    '2024-12-31T23:59:60Z',
    '2024-01-01T24:00:00Z',
    '2024-01-01 10',
    '2024-01-01T',
    '2024-1-1',
    '2024-01-01T1:00',
    '20240101',
    '20240101T000000Z',
    '2024-W01-1',
    '2024-001',
    '1704067200',
    '1704067200000',
    'infinity',
    '-infinity',
    'epoch',
    'now',
    'today',
    '2024-01-01 00:00:00 BC',
    '2024-01-01 (BC)',
    '44-03-15',
    '2024-01-01 10:00:00 America/Los_Angeles',
    '1684-07-28T00:12:25.259009Z',
    '1684-07-28T00:12:25.259008Z',
    '2255-06-05T23:47:34.740991Z',
    '2255-06-05T23:47:34.740992Z',
    '1684-07-28T02:12:25.259008+02:00',
    '2024-06-01 10:00:00.123456789',
    '2024-06-01 10:00:00.999999999',
    '2024-06-01 10:00:00,5',
    '2024-06-01 10:00:00.',
    '2024-06-01 10:00Z',
    '2024-06-01Z',
    '2024-06-01+02:00',
    '2024-01-01-01',
  ),
);
const listItem = fc.oneof(smallNumber, edgeNumbers, oneOf('null', '', '"1"', 'true', '[1]', 'NULL'));
const list = fc.oneof(
  fc
    .array(fc.oneof(fc.double().map(String), fc.integer().map(String)), { maxLength: 4 })
    .map((items) => `[${items.join(', ')}]`),
  fc.array(listItem, { maxLength: 4 }).map((items) => `[${items.join(',')}]`),
  join(
    edge,
    mostly('[', '(', '', '[['),
    edge,
    smallNumber,
    mostly(',', ';', ' ', ',,'),
    edge,
    smallNumber,
    edge,
    mostly(']', ')', '', ']]', ',]'),
    edge,
  ),
);
const junk = fc.oneof(fc.string({ unit: 'binary', maxLength: 8 }), fc.string({ maxLength: 8 }));

const texts: Readonly<Record<string, fc.Arbitrary<string>>> = {
  int64: fc.oneof(number, bigText, edgeNumbers, smallNumber, doubleText, junk),
  float64: fc.oneof(number, doubleText, edgeNumbers, smallNumber, junk),
  'decimal(0)': fc.oneof(number, smallNumber, edgeNumbers, doubleText, junk),
  'decimal(2)': fc.oneof(number, smallNumber, edgeNumbers, doubleText, junk),
  'decimal(15)': fc.oneof(number, smallNumber, edgeNumbers, doubleText, junk),
  string: junk,
  boolean: fc.oneof(words, join(edge, words, edge), junk),
  timestamp: fc.oneof({ weight: 8, arbitrary: timestamp }, { weight: 1, arbitrary: junk }),
  date: fc.oneof(day, join(edge, day, edge), timestamp, junk),
  float64_vector: fc.oneof(list, junk),
  'float64_vector(2)': fc.oneof(list, junk),
};

async function compare(
  type: ValueType,
  samples: readonly (string | null)[],
  options: CoerceOptions,
): Promise<string[]> {
  await loadTexts(connection, 'samples', samples);
  const bySql = await sqlReadings(connection, 'samples', type, coerceSql(type, 'raw', options));
  return samples.flatMap((text, index) => {
    const byJs = text === null ? 'null' : readingOf(type, coerceText(type, text, options));
    return byJs === bySql[index]
      ? []
      : [`${printType(type)} ${JSON.stringify(text)}: TypeScript ${byJs}, SQL ${bySql[index]}`];
  });
}

describe('the two readings of a text', () => {
  for (const [name, arbitrary] of Object.entries(texts)) {
    it(`agree for ${name}`, async () => {
      const type = parseType(name)!;
      const samples = [null, '', ' ', ...fc.sample(arbitrary, { numRuns: RUNS, seed: SEED })];
      expect((await compare(type, samples, UTC)).slice(0, 20)).toEqual([]);
      expect(
        (await compare(type, samples, { ...UTC, nulls: ['NA', '0', '-', "it's", '2024-02-29'] })).slice(
          0,
          20,
        ),
      ).toEqual([]);
    });
  }

  for (const timezone of [
    'America/Los_Angeles',
    'Europe/Berlin',
    'Australia/Lord_Howe',
    'Africa/Casablanca',
    'Pacific/Apia',
  ]) {
    it(`agree for local times of ${timezone}`, async () => {
      const near = fc
        .tuple(
          fc.integer({ min: 1880, max: 2255 }),
          oneOf('01-01', '03-10', '03-31', '04-07', '10-06', '10-27', '11-03', '12-30'),
          two(4),
          oneOf('00', '15', '30', '59'),
        )
        .map(([y, md, h, m]) => `${y}-${md} ${h}:${m}`);
      const edges = transitionTexts(timezone);
      const samples = [...edges, ...fc.sample(fc.oneof(near, timestamp), { numRuns: RUNS / 5, seed: SEED })];
      for (const ambiguousTime of ['refuse', 'earlier', 'later'] as const) {
        expect(
          (await compare({ kind: 'timestamp' }, samples, { timezone, ambiguousTime, nulls: [] })).slice(
            0,
            20,
          ),
        ).toEqual([]);
      }
    });
  }
});

/** Every local hour quarter of the days around the clock changes of 2011, 2024 and 2200. */
function transitionTexts(timezone: string): string[] {
  const format = new Intl.DateTimeFormat('en-US', { timeZone: timezone, timeZoneName: 'longOffset' });
  const offsetOf = (ms: number): string => format.format(ms).split('GMT')[1]!;
  const days: string[] = [];
  for (const yearNumber of [2011, 2024, 2200]) {
    for (let ms = Date.UTC(yearNumber, 0, 1); ms < Date.UTC(yearNumber + 1, 0, 1); ms += 86_400_000) {
      if (offsetOf(ms) === offsetOf(ms + 86_400_000)) continue;
      for (let quarter = -96; quarter < 192; quarter++)
        days.push(new Date(ms + quarter * 900_000).toISOString().slice(0, 19));
    }
  }
  return days;
}
