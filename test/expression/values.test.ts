import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  checkExpression,
  compileJs,
  compileJsRow,
  FUNCTIONS,
  isSqlExpressible,
  parseExpression,
  printSql,
} from '../../src/core/expression/index.js';
import type { Value } from '../../src/core/schema/types.js';
import { parseType, printType } from '../../src/core/schema/types.js';
import { openDuck } from './duck.js';
import type { Engine } from './engine.js';
import { openPostgres } from './postgres.js';

const NOTHING = { resolve: () => undefined, names: () => [] };
const covered = new Set<string>();

function compile(text: string, names: Readonly<Record<string, string>> = {}) {
  const parsed = parseExpression(text);
  if (!parsed.ok) throw new Error(parsed.problem.message);
  const scope = {
    resolve: (path: readonly string[]) => {
      const name = path.join('.');
      return name in names
        ? { type: names[name] === '?' ? undefined : parseType(names[name]!), slot: name }
        : undefined;
    },
    names: () => Object.keys(names),
  };
  return checkExpression(parsed.ast, Object.keys(names).length === 0 ? NOTHING : scope);
}

describe('values', () => {
  const engines: Engine[] = [];
  beforeAll(async () => {
    const rows = [
      {
        i1: 1,
        i2: 1,
        f1: 1,
        f2: 1,
        d1: 1,
        d2: 1,
        s1: '',
        s2: '',
        b1: true,
        b2: true,
        t1: 0,
        t2: 0,
        a1: 0,
        a2: 0,
      },
    ];
    engines.push(await openDuck(rows), await openPostgres(rows));
  });
  afterAll(() => Promise.all(engines.map((engine) => engine.close())));

  const check = (input: string, expected: Value, type?: string): void => {
    for (const [, name] of input.matchAll(/([a-z_0-9]+)\(/g)) covered.add(name!);
    it(`${input} is ${String(expected)}`, async () => {
      const checked = compile(input);
      if (!checked.ok) throw new Error(checked.problems[0]!.message);
      expect(compileJs(checked.expression)([])).toBe(expected);
      if (type !== undefined) expect(printType(checked.expression.type)).toBe(type);
      const { type: kind } = checked.expression;
      for (const { dialect, evaluate } of engines) {
        if (!isSqlExpressible(checked.expression, dialect)) continue;
        const sql = printSql(checked.expression, { dialect, column: String });
        expect([dialect, (await evaluate([{ sql, type: kind }]))[0]![0]]).toEqual([dialect, expected]);
      }
    });
  };

  check('7 / 2', 3.5, 'float64');
  check('7 // 2', 3, 'int64');
  check('-7 // 2', -3);
  check('-7 % 3', -1);
  check('1 / 0', null);
  check('1 // 0', null);
  check('1 % 0', null);
  check('9223372036854775807 + 1', null);
  check('-9223372036854775808 // -1', null);
  check('9007199254740991 + 2', 9007199254740993n);
  check('9007199254740993 = 9007199254740992e0', true);
  check('0.1 + 0.2 = 0.3', true);
  check('0.3 / 0.1', 3, 'float64');
  check('1.5 * 1.25', 1875, 'decimal(3)');
  check('2.00 + 1', 300, 'decimal(2)');
  check('0.1e0 + 0.2e0', 0.30000000000000004);
  check('1e308 * 10e0', null);
  check('0e0 * -1e0', 0);
  check('5.5 % 2', 15, 'decimal(1)');
  check('null and false', false);
  check('null and true', null);
  check('null or true', true);
  check('not null', null);
  check('null = null', null);
  check('null is not distinct from null', true);
  check('1 in (2, null)', null);
  check('1 in (1, null)', true);
  check('1 not in (2, 3)', true);
  check('1 between 2 and null', false);
  check('1 between 0 and null', null);
  check("'\uffff' < '😀'", true);
  check("'B' < 'a'", true);
  check("'a😀c' like 'a_c'", true);
  check("'abc' like 'abc%abc'", false);
  check("'a%' like 'a!%' escape '!'", true);
  check('case when null then 1 else 2 end', 2);
  check('case 2 when 1 then 10 when 2 then 20 end', 20);
  check('case when false then 1 end', null);
  check('coalesce(null, 2, 3)', 2);
  check('nullif(2, 2)', null);
  check('nullif(2, 2.0)', null);
  check('greatest(1, null, 2.5)', 25, 'decimal(1)');
  check("least('b', 'B', null)", 'B');
  check('abs(-9223372036854775808)', null);
  check('abs(-1.5)', 15);
  check('sign(-0.5)', -1, 'int64');
  check('floor(-1.5)', -2, 'int64');
  check('floor(-1.5e0)', -2, 'float64');
  check('ceil(-0.5e0)', 0);
  check('trunc(-1.9)', -1);
  check('round(2.5)', 3);
  check('round(-2.5e0)', -3);
  check('round(2.675, 2)', 268, 'decimal(2)');
  check('round(1.005e0, 2)', 1);
  check('sqrt(2)', Math.SQRT2);
  check('sqrt(-1)', null);
  check('exp(0)', 1);
  check('ln(1)', 0);
  check('ln(0)', null);
  check('log10(1000)', 3);
  check('log2(8)', 3);
  check('power(2, 10)', 1024);
  check('sin(0)', 0);
  check('cos(0)', 1);
  check('tan(0)', 0);
  check('atan2(0, 1)', 0);
  check("lower('ÀBc')", 'Àbc');
  check("upper('straße')", 'STRAßE');
  check("length('a😀e\u0301')", 4);
  check("trim('  a\t ')", 'a\t');
  check("ltrim('  a ')", 'a ');
  check("rtrim(' a  ')", ' a');
  check("substr('a😀bc', 2, 2)", '😀b');
  check("substr('abc', 0, 2)", 'a');
  check("substr('abc', -1)", 'abc');
  check("substr('abc', 2, -1)", '');
  check("replace('a.b.c', '.', '$&')", 'a$&b$&c');
  check("replace('abc', '', 'x')", 'abc');
  check("concat('a', null, 'b')", 'ab');
  check("'a' || null", null);
  check("starts_with('abc', 'ab')", true);
  check("ends_with('abc', '')", true);
  check("contains('abc', 'bc')", true);
  check("strpos('a😀b', 'b')", 3);
  check("year(timestamp '1969-12-31 23:59:59.999999')", 1969);
  check("quarter(date '2024-12-31')", 4);
  check("month(date '2024-02-29')", 2);
  check("week(date '2024-12-30')", 1);
  check("week(date '2021-01-03')", 53);
  check("day(timestamp '2024-03-10T07:59:59Z', 'America/Los_Angeles')", 9);
  check("doy(date '2024-12-31')", 366);
  check("dow(date '2024-12-29')", 0);
  check("isodow(date '2024-12-29')", 7);
  check("hour(timestamp '2024-03-10T09:59:59Z', 'America/Los_Angeles')", 1);
  check("hour(timestamp '2024-03-10T10:00:00Z', 'America/Los_Angeles')", 3);
  check("minute(timestamp '2024-03-10T10:00:00Z', 'Asia/Kolkata')", 30);
  check("second(timestamp '1969-12-31 23:59:58.5')", 58);
  check("epoch(timestamp '1969-12-31 23:59:58.5')", -1.5);
  check("date_trunc('week', timestamp '1960-01-01')", Date.UTC(1959, 11, 28) * 1000);
  check("date_diff('week', timestamp '1960-01-03', timestamp '1960-01-04')", 1);
  check("date_diff('month', date '2024-01-31', date '2023-12-31')", -1);
  check("timestamp '2024-01-02' - timestamp '2024-01-01'", 86400, 'float64');
  check("timestamp '2024-01-01' + interval '1 day' = timestamp '2024-01-02'", true);
  check("timestamp '2024-01-01' > '2023-12-31T23:59:59Z'", true);
  check("duration('90m')", 5400, 'float64');
  check("date '2024-03-01' - date '2024-02-28'", 2, 'int64');
  check("cast('12x' as int64)", null);
  check("cast(' 12' as int64)", null);
  check("cast('2.675' as decimal(2))", 268);
  check("cast('1e400' as float64)", null);
  check("cast('TRUE' as boolean)", true);
  check("cast('2024-02-30' as date)", null);
  check("cast('2024-03-10T02:30:00+02:00' as timestamp)", Date.UTC(2024, 2, 10, 0, 30) * 1000);
  check('cast(2.5e0 as int64)', 3);
  check('cast(1e19 as int64)', null);
  check('cast(-1.50 as string)', '-1.50');
  check('cast(true as float64)', 1);
  check('cast(null as date) is null', true);
  check('null', null, 'string');
  check("duration('1h') * 2", 7200);

  it('computes on vectors from left to right', () => {
    const names = { a: 'float64_vector(3)', b: 'float64_vector(3)' };
    const run = (text: string, a: readonly number[], b: readonly number[]): Value => {
      const checked = compile(text, names);
      if (!checked.ok) throw new Error(checked.problems[0]!.message);
      for (const [, name] of text.matchAll(/([a-z_]+)\(/g)) covered.add(name!);
      return compileJs(checked.expression)([a, b]);
    };
    expect(run('dot_product(a, b)', [1, 2, 3], [4, 5, 6])).toBe(32);
    expect(run('dot_product(a, b)', [1e16, 1, -1e16], [1, 1, 1])).toBe(0);
    expect(run('euclidean_distance(a, b)', [0, 0, 0], [2, 3, 6])).toBe(7);
    expect(run('cosine_similarity(a, b)', [1, 0, 0], [1, 0, 0])).toBe(1);
    expect(run('cosine_similarity(a, b)', [0, 0, 0], [1, 0, 0])).toBe(null);
    expect(run('cosine_similarity(a, b)', [1, 0], [1, 0, 0])).toBe(null);
    const wrong = compile('dot_product(a, b)', { a: 'float64_vector(3)', b: 'float64_vector(4)' });
    expect(!wrong.ok && wrong.problems[0]!.message).toBe(
      'dot_product takes vectors of one length, not 3 and 4',
    );
  });

  it('has an example of every function', () => {
    expect(FUNCTIONS.map(({ name }) => name).filter((name) => !covered.has(name))).toEqual([]);
  });

  it('refuses to print what engines compute differently', () => {
    const checked = compile('1 + ln(a)', { a: 'float64' });
    if (!checked.ok) throw new Error('not checked');
    expect(isSqlExpressible(checked.expression)).toBe(false);
    expect(() => printSql(checked.expression, { dialect: 'duckdb', column: String })).toThrow(
      'ln is not expressible in SQL',
    );
  });

  it('reads rows by slot, a missing value being null', () => {
    const checked = compile('request.amount / nullif(avg, 0)', { 'request.amount': '?', avg: 'float64' });
    if (!checked.ok) throw new Error('not checked');
    const run = compileJsRow(checked.expression);
    expect(run({ 'request.amount': 10, avg: 4 })).toBe(2.5);
    expect(run({ 'request.amount': 10, avg: 0 })).toBe(null);
    expect(run({ avg: 4 })).toBe(null);
    expect(checked.expression.slots.map(({ slot, path }) => [slot, path])).toEqual([
      ['request.amount', ['request', 'amount']],
      ['avg', ['avg']],
    ]);
  });

  it('ends with a typed, frozen value', () => {
    const checked = compile('a + 1', { a: 'int64' });
    if (!checked.ok) throw new Error('not checked');
    expect(Object.isFrozen(checked.expression) && Object.isFrozen(checked.expression.ast)).toBe(true);
    expect(checked.expression.canonical).toBe('(a + 1)');
  });
});

describe('inference', () => {
  const check = (input: string, expected: Readonly<Record<string, string>>): void => {
    it(`${input} gives ${JSON.stringify(expected)}`, () => {
      const names = Object.fromEntries(Object.keys(expected).map((name) => [name, '?']));
      const checked = compile(input, { ...names, n: 'int64', s: 'string', t: 'timestamp' });
      if (!checked.ok) throw new Error(checked.problems[0]!.message);
      expect(
        Object.fromEntries([...checked.expression.inferred].map(([slot, type]) => [slot, printType(type)])),
      ).toEqual(expected);
    });
  };
  check("x = 'a'", { x: 'string' });
  check('x > 100', { x: 'float64' });
  check('x = n', { x: 'int64' });
  check('x / n', { x: 'float64' });
  check('x', { x: 'float64' });
  check('x = y', { x: 'float64', y: 'float64' });
  check("x = y and y = 'a'", { x: 'string', y: 'string' });
  check('x and not y', { x: 'boolean', y: 'boolean' });
  check('x > t', { x: 'timestamp' });
  check('hour(x) + length(y)', { x: 'timestamp', y: 'string' });
  check("coalesce(x, y) = 'a'", { x: 'string', y: 'string' });
  check("x in ('a', 'b') or y between 1 and 2", { x: 'string', y: 'float64' });
  check('x is null', { x: 'float64' });
  check('x || s', { x: 'string' });
  check('cast(x as int64)', { x: 'int64' });
  check('case when x then y else s end', { x: 'boolean', y: 'string' });
});

describe('type problems', () => {
  const check = (input: string, expected: string): void => {
    it(`${input}: ${expected}`, () => {
      const checked = compile(input, {
        n: 'int64',
        s: 'string',
        b: 'boolean',
        t: 'timestamp',
        f: 'float64',
        amount: 'decimal(2)',
        v: 'float64_vector(2)',
      });
      const shown = checked.ok
        ? 'no problem'
        : checked.problems
            .map(
              ({ message, offset, length, nearest }) =>
                `${offset}+${length} ${message}${nearest ? ` (${nearest})` : ''}`,
            )
            .join('; ');
      expect(shown).toBe(expected);
    });
  };
  check('s > n', '4+1 cannot compare string with int64');
  check("n = 'a'", '4+3 cannot compare int64 with string');
  check("t > 'yesterday'", "4+11 'yesterday' is no timestamp");
  check('s + 1', '0+1 + takes numbers, not string');
  check('amonut + nn', '0+6 there is no amonut here (amount); 9+2 there is no nn here (n)');
  check('rnd(f)', '0+3 there is no function rnd (round)');
  check('round(f, n)', '9+1 the number of places is a whole number written out, 0 to 15');
  check('round()', '0+7 round takes (x [, places]), not 0 arguments');
  check('n and b', '0+1 AND takes boolean, not int64');
  check('case when b then n else s end', '24+1 cannot mix in one CASE int64 with string');
  check('f // n', '0+6 // divides int64 by int64, not float64 by int64');
  check('cast(f as string)', '0+17 there is no cast from float64 to string');
  check('cast(t as int64)', '0+16 there is no cast from timestamp to int64');
  check("hour(t, 'Mars/Olympus')", '8+14 there is no time zone Mars/Olympus');
  check(
    "date_trunc('fortnight', t)",
    "11+11 the unit is one of 'second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'",
  );
  check('t + t', '0+5 cannot compute timestamp + timestamp');
  check(
    'amount * 0.00000000000001',
    '0+25 the product of decimal(2) and decimal(14) has 16 decimal places, more than 15',
  );
  check('v = v', '0+1 float64_vector(2) values cannot be compared');
  check('lower(n)', '6+1 lower takes string, not int64');
});
