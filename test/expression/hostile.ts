import { parseInstant } from '../../src/core/base/time.js';
import type { Value, ValueType } from '../../src/core/schema/types.js';
import { BOOLEAN, DATE, decimal, FLOAT64, INT64, STRING, TIMESTAMP } from '../../src/core/schema/types.js';
import { pickFrom, random } from '../world.js';

/** Columns and rows that break careless engines, and a generator of typed expressions over them. */

export const COLUMNS: Readonly<Record<string, ValueType>> = {
  i1: INT64,
  i2: INT64,
  f1: FLOAT64,
  f2: FLOAT64,
  d1: decimal(2),
  d2: decimal(5),
  s1: STRING,
  s2: STRING,
  b1: BOOLEAN,
  b2: BOOLEAN,
  t1: TIMESTAMP,
  t2: TIMESTAMP,
  a1: DATE,
  a2: DATE,
};

const at = (text: string): number => parseInstant(text)!;
const day = (text: string): number => at(text) / 86_400_000_000;

const INTS: readonly Value[] = [
  0,
  1,
  -1,
  2,
  3,
  7,
  -7,
  10,
  100,
  1000,
  -13,
  86_400,
  2 ** 31,
  2 ** 53 - 1,
  -(2 ** 53) + 1,
  9007199254740993n,
  9223372036854775807n,
  -9223372036854775808n,
  -9223372036854775807n,
  3037000500,
  -3037000500,
  999_999_999_999_999,
  1_000_000_000_000_000,
  null,
];
const FLOATS: readonly Value[] = [
  0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  2.5,
  -2.5,
  0.1,
  0.2,
  0.3,
  1.005,
  2.675,
  -1.005,
  0.285,
  0.49999999999999994,
  -0.49999999999999994,
  2251799813685249.5,
  9007199254740992,
  9.223372036854775e18,
  2 ** 63,
  -(2 ** 63),
  1e17,
  1.7976931348623157e308,
  -1.7976931348623157e308,
  5e-324,
  2.2250738585072014e-308,
  1e-10,
  123456.789,
  1e15,
  1e16,
  99999.995,
  -12345.125,
  3.25,
  2 ** 511.5,
  -(2 ** 1023),
  8.98846567431158e307,
  2 ** -537,
  -(2 ** -500),
  2 ** -538.5,
  4.450147717014403e-308,
  0.9999999999999999,
  -1.0000000000000002,
  null,
];
const DECIMALS: readonly Value[] = [
  0,
  1,
  -1,
  5,
  -5,
  50,
  -50,
  150,
  250,
  -250,
  149,
  151,
  12_345,
  -12_345,
  99_999,
  100_000,
  1_234_567,
  250_000,
  350_000,
  999_999_999_999_999,
  9007199254740991,
  99999999999999999n * 10n,
  999999999999999999n,
  -999999999999999999n,
  123456789012345678n,
  null,
];
const STRINGS: readonly Value[] = [
  '',
  ' ',
  'a',
  'A',
  'abc',
  'ABC',
  'aBc',
  'b',
  'abcabc',
  '  pad ',
  '\tx\n',
  'a%b_c',
  '100%',
  '\\',
  "it's",
  'é',
  'e\u0301',
  'É',
  'ß',
  'İ',
  'ſ',
  'K',
  '😀',
  'a😀b',
  '\uffff',
  '\ufffd',
  '👩‍👩‍👧',
  'नि',
  '日本語',
  '0',
  '1',
  '-1',
  '+7',
  ' 1',
  '1 ',
  '1.5',
  '.5',
  '5.',
  '-0',
  '-0.0',
  '1e3',
  '1e400',
  '1e-400',
  '9223372036854775807',
  '9223372036854775808',
  '-9223372036854775808',
  '007',
  '1_000',
  '0x10',
  'NaN',
  'inf',
  '2.675',
  '0.005',
  '-0.005',
  '99999999999999999.995',
  '0.99999999999999999999',
  '1.7976931348623159e308',
  '1.7976931348623158e308',
  '2.4703282292062327e-324',
  '2.4703282292062328e-324',
  '-1e9999',
  '1e-9999',
  '0e9999',
  '1e-99999',
  `${'9'.repeat(255)}.${'9'.repeat(255)}e-254`,
  '9'.repeat(256),
  'true',
  'TRUE',
  'False',
  't',
  '2024-02-29',
  '2023-02-29',
  '2024-03-10T02:30:00',
  '2024-03-10 02:30:00.123456Z',
  '2024-03-10T02:30:00+02:00',
  '1969-12-31T23:59:59.999999-07:30',
  '2024-13-01',
  '2024-01-01 24:00:00',
  '2024-06-30T23:59:60Z',
  '1600-01-01',
  '2024-01-01T10:00',
  '\n1',
  '1\n',
  '\u00a0a\u00a0',
  null,
];
const INSTANTS: readonly Value[] = [
  0,
  -1,
  1,
  at('1969-12-31T23:59:59.999999Z'),
  at('2024-02-29T12:34:56.789012Z'),
  at('2023-12-31T23:59:59.999999Z'),
  at('2024-01-01'),
  at('2024-12-30T00:00:00Z'),
  at('2021-01-03T23:59:59Z'),
  at('2024-03-10T09:59:59.999999Z'),
  at('2024-03-10T10:00:00Z'),
  at('2024-11-03T08:59:59Z'),
  at('2024-11-03T09:00:00Z'),
  at('2024-03-31T01:00:00Z'),
  at('2024-10-27T00:59:59.5Z'),
  at('1900-01-01'),
  at('1850-06-15T03:04:05Z'),
  at('1960-05-05T05:05:05.000001Z'),
  at('2100-02-28T23:00:00Z'),
  at('2200-07-01'),
  2 ** 53 - 1,
  -(2 ** 53) + 1,
  at('1945-08-14T23:00:00Z'),
  null,
];
const DATES: readonly Value[] = [
  0,
  -1,
  1,
  day('2024-02-29'),
  day('2023-12-31'),
  day('2024-01-01'),
  day('2021-01-03'),
  day('2020-12-31'),
  day('1900-03-01'),
  day('1700-01-01'),
  day('2250-12-31'),
  -105_000,
  110_000,
  null,
];
const BOOLEANS: readonly Value[] = [true, false, null];

const POOLS: Readonly<Record<string, readonly Value[]>> = {
  int64: INTS,
  float64: FLOATS,
  decimal: DECIMALS,
  string: STRINGS,
  boolean: BOOLEANS,
  timestamp: INSTANTS,
  date: DATES,
};

export type Random = () => number;

export function hostileRows(count: number, seed: number): readonly Readonly<Record<string, Value>>[] {
  const next = random(seed);
  return Array.from({ length: count }, () =>
    Object.fromEntries(
      Object.entries(COLUMNS).map(([name, type]) => [name, pickFrom(next, POOLS[type.kind]!)]),
    ),
  );
}

type Kind = 'int' | 'float' | 'dec' | 'str' | 'bool' | 'ts' | 'date';
const KINDS: readonly Kind[] = ['int', 'float', 'dec', 'str', 'bool', 'ts', 'date'];
const CAST_TARGETS: Readonly<Record<Kind, readonly (readonly [Kind, string])[]>> = {
  int: [
    ['float', 'int64'],
    ['dec', 'int64'],
    ['str', 'int64'],
    ['bool', 'int64'],
  ],
  float: [
    ['int', 'float64'],
    ['dec', 'float64'],
    ['str', 'float64'],
    ['bool', 'float64'],
  ],
  dec: [
    ['float', 'decimal(2)'],
    ['float', 'decimal(0)'],
    ['int', 'decimal(3)'],
    ['str', 'decimal(2)'],
    ['dec', 'decimal(1)'],
    ['dec', 'decimal(6)'],
  ],
  str: [
    ['int', 'string'],
    ['dec', 'string'],
    ['bool', 'string'],
    ['ts', 'string'],
    ['date', 'string'],
  ],
  bool: [['str', 'boolean']],
  ts: [
    ['str', 'timestamp'],
    ['date', 'timestamp'],
  ],
  date: [
    ['str', 'date'],
    ['ts', 'date'],
  ],
};
const ZONES = [
  'America/Los_Angeles',
  'Europe/Amsterdam',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'UTC',
  'America/New_York',
  'Pacific/Apia',
  'Africa/Monrovia',
];
const UNITS = ['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'];
const PARTS = ['year', 'quarter', 'month', 'week', 'day', 'doy', 'dow', 'isodow'];
const PATTERNS = [
  '%',
  '_',
  '%a%',
  'a%',
  '%c',
  'a_c',
  '_%',
  '%_b%',
  "a!%b%' escape '!",
  '😀%',
  '%b_c',
  'abc%abc',
  '%ab%bc%',
  '',
];

/** An expression of the kind, as text. */
export function generate(next: Random, kind: Kind, depth: number): string {
  const g = (of: Kind): string => generate(next, of, depth - 1);
  const any = (): Kind => pickFrom(next, KINDS);
  const like = (text: string): string =>
    text.includes("' escape '") ? `'${text}'` : `'${text.replaceAll("'", "''")}'`;
  if (depth <= 0 || next() < 0.12) {
    if (next() < 0.7) {
      const n = next() < 0.5 ? 1 : 2;
      return {
        int: `i${n}`,
        float: `f${n}`,
        dec: `d${n}`,
        str: `s${n}`,
        bool: `b${n}`,
        ts: `t${n}`,
        date: `a${n}`,
      }[kind];
    }
    return pickFrom(
      next,
      {
        int: [
          '0',
          '1',
          '-1',
          '2',
          '10',
          '9223372036854775807',
          '-9223372036854775808',
          '3',
          'cast(null as int64)',
        ],
        float: [
          '0e0',
          '1.5e0',
          '-2.5e0',
          '1e308',
          '1e-300',
          '0.1e0',
          '1e18',
          '9007199254740992e0',
          '9223372036854775807e0',
          '0.005e0',
          "duration('1h')",
          '3e0',
        ],
        dec: ['0.5', '1.25', '-0.1', '100.0', '0.001', '-1.5', '0.0'],
        str: ["''", "'a'", "'abc'", "'😀'", "'\uffff'", "'1.5'", "' x '", "'é'"],
        bool: ['true', 'false', 'null'],
        ts: [
          "timestamp '2024-03-10T10:00:00Z'",
          "timestamp '1969-12-31 23:59:59.999999'",
          "timestamp '2024-01-01'",
        ],
        date: ["date '2024-02-29'", "date '1969-12-31'", "date '2024-12-30'"],
      }[kind],
    );
  }
  const roll = next();
  if (roll < 0.06)
    return `case when ${g('bool')} then ${g(kind)} when ${g('bool')} then ${g(kind)}${next() < 0.5 ? ` else ${g(kind)}` : ''} end`;
  if (roll < 0.09) {
    const on = any();
    return `case ${g(on)} when ${g(on)} then ${g(kind)} else ${g(kind)} end`;
  }
  if (roll < 0.13) return `coalesce(${g(kind)}, ${g(kind)})`;
  if (roll < 0.16) return `nullif(${g(kind)}, ${g(kind)})`;
  if (roll < 0.2) return `${pickFrom(next, ['greatest', 'least'])}(${g(kind)}, ${g(kind)}, ${g(kind)})`;
  if (roll < 0.3) {
    const [from, to] = pickFrom(next, CAST_TARGETS[kind]);
    return `cast(${g(from)} as ${to})`;
  }
  const any2 = any();
  switch (kind) {
    case 'int':
      return pickFrom<() => string>(next, [
        () => `(${g('int')} ${pickFrom(next, ['+', '-', '*', '//', '%'])} ${g('int')})`,
        () => `(${g('int')} ${pickFrom(next, ['+', '-', '*', '//', '%'])} ${g('int')})`,
        () => `(- ${g('int')})`,
        () => `${pickFrom(next, ['abs', 'round', 'floor'])}(${g('int')})`,
        () => `${pickFrom(next, ['floor', 'ceil', 'trunc', 'round'])}(${g('dec')})`,
        () => `sign(${g(pickFrom(next, ['int', 'float', 'dec'] as const))})`,
        () => `length(${g('str')})`,
        () => `strpos(${g('str')}, ${g('str')})`,
        () => `${pickFrom(next, [...PARTS, 'hour', 'minute', 'second'])}(${g('ts')})`,
        () => `${pickFrom(next, PARTS)}(${g('date')})`,
        () =>
          `${pickFrom(next, [...PARTS, 'hour', 'minute', 'second'])}(${g('ts')}, '${pickFrom(next, ZONES)}')`,
        () => `date_diff('${pickFrom(next, UNITS)}', ${g('ts')}, ${g('ts')})`,
        () => `(${g('date')} - ${g('date')})`,
      ])();
    case 'float':
      return pickFrom<() => string>(next, [
        () => `(${g('float')} ${pickFrom(next, ['+', '-', '*', '/', '%'])} ${g('float')})`,
        () => `(${g('float')} ${pickFrom(next, ['+', '-', '*', '/', '%'])} ${g('float')})`,
        () =>
          `(${g('float')} ${pickFrom(next, ['+', '-', '*', '/', '%'])} ${g(pickFrom(next, ['int', 'dec'] as const))})`,
        () =>
          `(${g(pickFrom(next, ['int', 'dec'] as const))} / ${g(pickFrom(next, ['int', 'dec'] as const))})`,
        () => `(- ${g('float')})`,
        () => `${pickFrom(next, ['abs', 'floor', 'ceil', 'trunc', 'round', 'sqrt'])}(${g('float')})`,
        () => `round(${g('float')}, ${pickFrom(next, [0, 1, 2, 5, 15])})`,
        () => `epoch(${g(pickFrom(next, ['ts', 'date'] as const))})`,
        () => `(${g('ts')} - ${g('ts')})`,
      ])();
    case 'dec':
      return pickFrom<() => string>(next, [
        () =>
          `(${g('dec')} ${pickFrom(next, ['+', '-', '%'])} ${g(pickFrom(next, ['dec', 'int'] as const))})`,
        () => `(${g('int')} ${pickFrom(next, ['+', '-', '%', '*'])} ${g('dec')})`,
        () => `(cast(${g('dec')} as decimal(3)) * cast(${g('dec')} as decimal(2)))`,
        () => `(- ${g('dec')})`,
        () => `abs(${g('dec')})`,
        () => `round(${g('dec')}, ${pickFrom(next, [0, 1, 2, 3])})`,
      ])();
    case 'str':
      return pickFrom<() => string>(next, [
        () => `(${g('str')} || ${g('str')})`,
        () => `concat(${g('str')}, ${g('str')})`,
        () => `${pickFrom(next, ['lower', 'upper', 'trim', 'ltrim', 'rtrim'])}(${g('str')})`,
        () => `substr(${g('str')}, ${g('int')}, ${g('int')})`,
        () =>
          `substr(${g('str')}, ${pickFrom(next, [-2, -1, 0, 1, 2, 3])}, ${pickFrom(next, [-1, 0, 1, 2, 3, 5])})`,
        () => `substr(${g('str')}, ${g('int')})`,
        () => `replace(${g('str')}, ${g('str')}, ${g('str')})`,
      ])();
    case 'bool':
      return pickFrom<() => string>(next, [
        () => `(${g(any2)} ${pickFrom(next, ['=', '<>', '<', '<=', '>', '>='])} ${g(any2)})`,
        () => `(${g(any2)} ${pickFrom(next, ['=', '<>', '<', '<=', '>', '>='])} ${g(any2)})`,
        () =>
          `(${g(pickFrom(next, ['int', 'float', 'dec'] as const))} ${pickFrom(next, ['=', '<', '>='])} ${g(pickFrom(next, ['int', 'float', 'dec'] as const))})`,
        () => `(${g(any2)} is ${pickFrom(next, ['', 'not '])}distinct from ${g(any2)})`,
        () => `(${g(any2)} is ${pickFrom(next, ['', 'not '])}null)`,
        () => `(${g(any2)} ${pickFrom(next, ['', 'not '])}between ${g(any2)} and ${g(any2)})`,
        () => `(${g(any2)} ${pickFrom(next, ['', 'not '])}in (${g(any2)}, ${g(any2)}, ${g(any2)}))`,
        () => `(${g('bool')} ${pickFrom(next, ['and', 'or'])} ${g('bool')})`,
        () => `(not ${g('bool')})`,
        () => `(${g('str')} ${pickFrom(next, ['', 'not '])}like ${like(pickFrom(next, PATTERNS))})`,
        () => `${pickFrom(next, ['starts_with', 'ends_with', 'contains'])}(${g('str')}, ${g('str')})`,
      ])();
    case 'ts':
      return pickFrom<() => string>(next, [
        () => `date_trunc('${pickFrom(next, UNITS)}', ${g(pickFrom(next, ['ts', 'date'] as const))})`,
        () =>
          `(${g('ts')} ${pickFrom(next, ['+', '-'])} duration('${pickFrom(next, ['1h', '1us', '400d', '3w', '0s'])}'))`,
        () => `(interval '90 minutes' + ${g('ts')})`,
      ])();
    case 'date':
      return `cast(${g('ts')} as date)`;
  }
}

export const anyKind = (next: Random): Kind => pickFrom(next, KINDS);
