import type { DuckDBConnection } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BatchRule, Contract, RowRule, Statistic } from '../../src/core/define/types.js';
import {
  batchMeasuresSql,
  columnsMessage,
  compileRowChecks,
  diffColumns,
  dispose,
  effectiveContract,
  isUnique,
  judgeBatch,
  type ReferenceRule,
  type Row,
  referenceCheck,
  referenceSql,
  rowChecksSql,
  typeReason,
  uniqueCheck,
  uniqueSql,
} from '../../src/core/quality/index.js';
import { coerceText } from '../../src/core/schema/coerce.js';
import { duckDbType, literalSql, quoteName } from '../../src/core/schema/coerce-sql.js';
import { DATE, parseType, type Value } from '../../src/core/schema/types.js';
import fc from '../property.js';
import { connect, rowsOf } from './duck.js';
import { expression, fieldsOf, readings, rule, sourceOf } from './sources.js';

const RUNS = Number(process.env['MILLRACE_COERCE_RUNS'] ?? 600);

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
  v: 'float64_vector',
  gone: 'boolean',
};

async function load(
  table: string,
  rows: readonly Row[],
  types: Readonly<Record<string, string>> = TYPES,
): Promise<void> {
  const fields = fieldsOf(types);
  await connection.run(
    `CREATE OR REPLACE TABLE ${table} (_position INTEGER, ${fields.map((field) => `${quoteName(field.name)} ${duckDbType(field.type)}`).join(', ')})`,
  );
  if (rows.length === 0) return;
  const tuples = rows.map(
    (row, index) =>
      `(${[index, ...fields.map((field) => literalSql(field.type, row[field.name] ?? null))].join(', ')})`,
  );
  await connection.run(`INSERT INTO ${table} VALUES ${tuples.join(', ')}`);
}

const text = fc.oneof(
  fc.string({ maxLength: 4 }),
  fc.constantFrom('', 'A1', 'a', '😀', '\ufb00', '\uffff', 'e\u0301', 'AB12', "it's", 'a\u0000b'),
);
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { freq: 6 });
const integer: fc.Arbitrary<Value> = fc.oneof(
  fc.integer({ min: -5, max: 5 }),
  fc.constantFrom<Value>(2n ** 53n, 2n ** 62n, -(2n ** 63n), 9007199254740991),
);
const row: fc.Arbitrary<Row> = fc.record<Record<string, Value>>({
  id: maybe(text),
  at: maybe(fc.integer({ min: -3, max: 3 })),
  n: maybe(integer),
  x: maybe(
    fc.oneof(
      fc.integer({ min: -2, max: 2 }),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
    ),
  ),
  price: maybe(
    fc.oneof(fc.integer({ min: -300, max: 300 }), fc.constantFrom<Value>(10n ** 17n, -(10n ** 17n))),
  ),
  code: maybe(text),
  ok: maybe(fc.boolean()),
  day: maybe(fc.integer({ min: -2, max: 2 })),
  v: maybe(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 })),
  gone: maybe(fc.boolean()),
});

const range = (
  min: Value | undefined,
  max: Value | undefined,
  minExclusive = false,
  maxExclusive = false,
): RowRule['check'] => ({
  kind: 'range',
  ...(min === undefined ? {} : { min }),
  ...(max === undefined ? {} : { max }),
  minExclusive,
  maxExclusive,
});

const RULES: readonly RowRule[] = [
  rule('code.not_null', 'code', { kind: 'not_null' }),
  rule('n.range', 'n', range(-2, 2)),
  rule('n.open', 'n', range(-2, 2, true, true)),
  rule('n.big', 'n', range(2n ** 53n, 2n ** 62n, true)),
  rule('x.range', 'x', range(0, undefined)),
  rule('x.less', 'x', range(undefined, 1, false, true)),
  rule('price.range', 'price', range(-150, 10n ** 17n, false, true)),
  rule('at.range', 'at', range(0, 2)),
  rule('day.range', 'day', range(-1, 1)),
  rule('code.range', 'code', range('A', '\uffff')),
  rule('code.set', 'code', { kind: 'set', values: ['', 'a', "it's", '😀', 'a\u0000b'] }),
  rule('n.set', 'n', { kind: 'set', values: [0, 1, 2n ** 53n] }),
  rule('price.set', 'price', { kind: 'set', values: [0, 100, -100] }),
  rule('ok.set', 'ok', { kind: 'set', values: [true] }),
  rule('day.set', 'day', { kind: 'set', values: [0] }),
  rule('at.set', 'at', { kind: 'set', values: [1] }),
  rule('n.none', 'n', { kind: 'set', values: [] }),
  rule('code.pattern', 'code', { kind: 'pattern', pattern: '^[A-Z]{1,2}\\d+$|^.?$' }),
  rule('code.length', 'code', { kind: 'length', min: 1, max: 2 }),
  rule('v.length', 'v', { kind: 'length', min: 2 }),
  rule('sane', null, { kind: 'expression', expression: expression("n >= 0 or code = 'a'", TYPES) }),
  rule('cheap', null, { kind: 'expression', expression: expression('price < 1.5 and ok', TYPES) }),
];

describe('row rules', () => {
  for (const deleted of [undefined, 'gone']) {
    it(`are broken by the same rows in TypeScript and in SQL${deleted ? ', tombstones apart' : ''}`, async () => {
      const source = sourceOf(TYPES, RULES, { deleted });
      const rows = fc.sample(row, { numRuns: RUNS, seed: 3 });
      await load('rows', rows);
      const checks = rowChecksSql(source, quoteName, readings.print);
      const ids = checks.map((check) => check.rule.id);
      const judged = await rowsOf(
        connection,
        `SELECT ${checks.map((check) => check.violated).join(', ')} FROM rows ORDER BY _position`,
      );
      const judge = compileRowChecks(source, readings);
      const broken = new Set<string>();
      rows.forEach((values, index) => {
        expect(judged[index]!.every((cell) => typeof cell === 'boolean')).toBe(true);
        const bySql = ids.filter((_, column) => judged[index]![column] === true);
        const byJs = judge(values).map((reason) => reason.rule);
        expect({ values, rules: bySql }).toEqual({ values, rules: byJs });
        for (const id of byJs) broken.add(id);
      });
      expect([...broken].sort()).toEqual([...ids].sort());
    });
  }

  it.each<[RowRule, Row, string]>([
    [
      rule('price.range', 'price', range(0, undefined)),
      { price: -500 },
      'price is -5.00, expected at least 0.00',
    ],
    [rule('x.range', 'x', range(0, 1, true, true)), { x: 1 }, 'x is 1, expected more than 0 and less than 1'],
    [
      rule('code.set', 'code', { kind: 'set', values: ['a', 'b'] }),
      { code: 'c' },
      'code is "c", expected one of "a", "b"',
    ],
    [
      rule('code.pattern', 'code', { kind: 'pattern', pattern: '^a' }),
      { code: 'b\n' },
      'code is "b\\n", expected a text that matches ^a',
    ],
    [
      rule('code.length', 'code', { kind: 'length', min: 1, max: 2 }),
      { code: 'abc' },
      'code is "abc", expected a length of at least 1 and at most 2',
    ],
    [
      rule('code.max', 'code', { kind: 'length', max: 2 }),
      { code: 'abc' },
      'code is "abc", expected a length of at most 2',
    ],
    [rule('n.not_null', 'n', { kind: 'not_null' }), {}, 'n is null, expected a value'],
    [
      rule('at.range', 'at', range(0, undefined)),
      { at: -1_000_000 },
      'at is 1969-12-31T23:59:59Z, expected at least 1970-01-01T00:00:00Z',
    ],
    [
      rule('sane', null, { kind: 'expression', expression: expression('n > 0', TYPES) }),
      { n: 0 },
      'the rule n > 0 does not hold',
    ],
  ])('%j says what is wrong', (one, values, message) => {
    const reasons = compileRowChecks(sourceOf(TYPES, [one]), readings)({ id: 'a', at: 0, ...values });
    expect(reasons.map((reason) => reason.message)).toEqual([message]);
  });

  it('count as broken when judging them fails', () => {
    const failing = {
      ...readings,
      compile: () => () => {
        throw new Error('no luck');
      },
    };
    const check = rule('sane', null, { kind: 'expression', expression: expression('n > 0', TYPES) });
    const reasons = compileRowChecks(sourceOf(TYPES, [check]), failing)({ id: 'a', at: 0 });
    expect(reasons).toMatchObject([{ rule: 'sane', message: 'sane could not be judged: no luck' }]);
  });

  it('imply a record key, an event time and a sequence, and keep a declared rule that is as strict', () => {
    const declared = [
      rule('id.not_null', 'id', { kind: 'not_null' }, 'fail'),
      rule('at.not_null', 'at', { kind: 'not_null' }, 'flag'),
    ];
    const { rows } = effectiveContract(sourceOf(TYPES, declared, { sequence: 'n' }));
    expect(rows.map(({ id, action }) => [id, action])).toEqual([
      ['at.not_null', 'quarantine'],
      ['n.not_null', 'quarantine'],
      ['id.not_null', 'fail'],
    ]);
  });

  it('act by their strongest action', () => {
    const reason = (id: string, action: RowRule['action']) => ({
      rule: id,
      field: null,
      value: null,
      message: '',
      severity: 'error' as const,
      action,
    });
    expect(dispose([])).toEqual({ outcome: 'accept', flags: [] });
    expect(dispose([reason('a', 'flag'), reason('b', 'warn')])).toEqual({ outcome: 'accept', flags: ['a'] });
    expect(dispose([reason('a', 'drop'), reason('b', 'quarantine')]).outcome).toBe('quarantine');
    expect(dispose([reason('a', 'quarantine'), reason('b', 'fail')]).outcome).toBe('fail');
    expect(dispose([reason('a', 'drop')]).outcome).toBe('drop');
  });

  it('name a value that cannot be read by its field and type', () => {
    const coerced = coerceText(DATE, '2023-02-30', { timezone: 'UTC', ambiguousTime: 'refuse', nulls: [] });
    expect(typeReason('day', '2023-02-30', coerced)).toMatchObject({
      rule: 'day.type',
      value: '2023-02-30',
      action: 'quarantine',
      message:
        'day: "2023-02-30" is not a valid date: this day does not exist; expected a date such as 2024-03-01',
    });
  });
});

describe('rules against other records', () => {
  const types = { id: 'int64', at: 'timestamp', a: 'string', b: 'int64' };
  const unique = rule('pair', null, { kind: 'unique', fields: ['a', 'b'] });
  const small: fc.Arbitrary<Row> = fc.record<Record<string, Value>>({
    id: fc.integer({ min: 0, max: 3 }),
    at: fc.constant(0),
    a: maybe(fc.constantFrom('x', 'y')),
    b: maybe(fc.integer({ min: 0, max: 1 })),
  });

  it('give values to the record key that has them first, alike in TypeScript and in SQL', async () => {
    if (!isUnique(unique)) throw new Error('unreachable');
    const samples = fc.sample(
      fc.tuple(fc.array(small, { maxLength: 6 }), fc.array(small, { maxLength: 3 })),
      { numRuns: 60, seed: 9 },
    );
    let violations = 0;
    for (const [batch, known] of samples) {
      await load('batch', batch, types);
      await load('known', known, types);
      const bySql = (await rowsOf(connection, uniqueSql(unique, ['id'], 'batch', 'known', '_position'))).map(
        ([position]) => Number(position),
      );
      const broken = uniqueCheck(unique, ['id'], ([a, b]) =>
        known.filter((one) => one['a'] === a && one['b'] === b).map((one) => [one['id']!]),
      );
      const byJs = batch.flatMap((values, index) => (broken(values) ? [index] : []));
      expect(bySql.sort()).toEqual(byJs);
      violations += byJs.length;
    }
    expect(violations).toBeGreaterThan(10);
  });

  it('find values that the other source does not know at the time of the record, alike in TypeScript and in SQL', async () => {
    const samples = fc.sample(
      fc.record({
        rows: fc.array(
          fc.record({ a: maybe(fc.constantFrom('x', 'y', 'z')), available: fc.integer({ min: 0, max: 6 }) }),
          { maxLength: 8 },
        ),
        known: fc.array(
          fc.record({
            a: maybe(fc.constantFrom('x', 'y')),
            from: fc.integer({ min: 0, max: 5 }),
            lasts: maybe(fc.integer({ min: 0, max: 4 })),
          }),
          { maxLength: 5 },
        ),
      }),
      { numRuns: 60, seed: 11 },
    );
    const number = (value: number | null): string =>
      value === null ? 'CAST(NULL AS BIGINT)' : `${value}::BIGINT`;
    const text = (value: string | null): string => (value === null ? 'CAST(NULL AS VARCHAR)' : `'${value}'`);
    const table = async (name: string, columns: string, tuples: readonly string[]): Promise<void> => {
      await connection.run(`CREATE OR REPLACE TABLE ${name} (${columns})`);
      if (tuples.length > 0) await connection.run(`INSERT INTO ${name} VALUES ${tuples.join(', ')}`);
    };
    const seen = new Set<string>();
    for (const { rows, known } of samples) {
      await table(
        'batch',
        'position INTEGER, a VARCHAR, "_available_at" BIGINT',
        rows.map(({ a, available }, index) => `(${index}, ${text(a)}, ${available})`),
      );
      await table(
        'letters',
        'a VARCHAR, "_available_at" BIGINT, "_until" BIGINT',
        known.map(
          ({ a, from, lasts }) => `(${text(a)}, ${from}, ${number(lasts === null ? null : from + lasts)})`,
        ),
      );
      for (const asOf of ['record', 'ingest'] as const) {
        const check = { kind: 'reference', source: 'letters', field: 'a', asOf } as const;
        const reference = rule('a.reference', 'a', check) as ReferenceRule;
        const bySql = await rowsOf(
          connection,
          `SELECT ${referenceSql(reference, 'batch.a', 'batch."_available_at"', 'letters')} FROM batch ORDER BY position`,
        );
        const broken = referenceCheck(reference, (value) =>
          known
            .filter((one) => one.a === value)
            .map(({ from, lasts }) => [from, lasts === null ? null : from + lasts] as const),
        );
        const byJs = rows.map(({ a, available }) => [broken({ a }, available)]);
        expect({ rows, known, asOf, broken: bySql }).toEqual({ rows, known, asOf, broken: byJs });
        for (const [index, { a }] of rows.entries()) if (a === 'x') seen.add(`${asOf} ${byJs[index]![0]}`);
      }
    }
    expect([...seen].sort()).toEqual(['ingest false', 'ingest true', 'record false', 'record true']);
  });
});

describe('batch rules', () => {
  const contract: Contract = {
    rows: [],
    batch: [
      { id: 'row_count', check: { kind: 'row_count', min: 3 }, severity: 'error', action: 'fail' },
      {
        id: 'code.null_rate',
        check: { kind: 'null_rate', field: 'code', max: 0.25 },
        severity: 'error',
        action: 'fail',
      },
      {
        id: 'n.distinct_count',
        check: { kind: 'distinct_count', field: 'n', min: 2, max: 3 },
        severity: 'warning',
        action: 'warn',
      },
      {
        id: 'price.mean',
        check: { kind: 'mean', field: 'price', min: 1, max: 2 },
        severity: 'error',
        action: 'fail',
      },
      { id: 'x.mean', check: { kind: 'mean', field: 'x', max: 10 }, severity: 'error', action: 'fail' },
      {
        id: 'quarantine_rate',
        check: { kind: 'quarantine_rate', max: 0.1 },
        severity: 'critical',
        action: 'fail',
      },
      {
        id: 'extra_columns',
        check: { kind: 'extra_columns', policy: 'refuse' },
        severity: 'error',
        action: 'fail',
      },
    ],
  };

  const statistic = (name: Statistic, q?: number): BatchRule => ({
    id: `x.${name}${q ?? ''}`,
    check: {
      kind: 'statistic',
      statistic: name,
      field: 'x',
      ...(q === undefined ? {} : { q }),
      min: 0,
      max: 1,
    },
    severity: 'error',
    action: 'fail',
  });
  const measured: Contract = {
    rows: [],
    batch: [
      ...contract.batch,
      statistic('std'),
      statistic('sum'),
      statistic('min'),
      statistic('max'),
      statistic('quantile', 0.5),
      statistic('quantile', 0.9),
    ],
  };

  it('measure what plain arithmetic measures', async () => {
    const plain = row.map(
      (values): Record<string, Value> => ({
        ...values,
        x: typeof values['x'] === 'number' && Math.abs(values['x']) > 1e9 ? null : values['x']!,
        price: typeof values['price'] === 'bigint' ? null : values['price']!,
      }),
    );
    for (const rows of [[], ...fc.sample(fc.array(plain, { maxLength: 30 }), { numRuns: 25, seed: 4 })]) {
      await load('rows', rows);
      const sql = `SELECT ${batchMeasuresSql(measured).join(', ')} FROM rows`;
      const [values] = await rowsOf(connection, sql);
      const numbers = (field: string, scale = 1): number[] =>
        rows.flatMap((one) => ((one[field] ?? null) === null ? [] : [Number(one[field]) / scale]));
      const x = numbers('x').sort((a, b) => a - b);
      const mean = (list: readonly number[]): number | null =>
        list.length === 0 ? null : list.reduce((sum, each) => sum + each, 0) / list.length;
      const deviation =
        x.length < 2
          ? null
          : Math.sqrt(x.reduce((sum, each) => sum + (each - mean(x)!) ** 2, 0) / (x.length - 1));
      const quantile = (q: number): number | null => {
        const at = (x.length - 1) * q;
        const [low, high] = [x[Math.floor(at)], x[Math.ceil(at)]];
        return low === undefined || high === undefined ? null : low + (high - low) * (at - Math.floor(at));
      };
      const nulls = rows.filter((one) => (one['code'] ?? null) === null).length;
      const expected = [
        rows.length === 0 ? null : nulls / rows.length,
        new Set(rows.flatMap((one) => ((one['n'] ?? null) === null ? [] : [String(one['n'])]))).size,
        mean(numbers('price', 100)),
        mean(x),
        deviation,
        x.length === 0 ? null : x.reduce((sum, each) => sum + each, 0),
        x[0] ?? null,
        x.at(-1) ?? null,
        quantile(0.5),
        quantile(0.9),
      ];
      expect(values!.length).toBe(expected.length);
      values!.forEach((value, index) => {
        const wanted = expected[index]!;
        if (value === null || wanted === null) expect(value).toBe(wanted);
        else
          expect(Math.abs((value as number) - wanted)).toBeLessThanOrEqual(
            1e-9 * Math.max(1, Math.abs(wanted)),
          );
      });
    }
  });

  const found = { distributions: {}, errors: {} };

  it('refuse and warn with what was measured and what was expected', () => {
    const verdict = judgeBatch(contract, {
      rows: 2,
      quarantined: 1,
      extraColumns: ['colour'],
      values: { 'code.null_rate': 0.5, 'n.distinct_count': 1, 'price.mean': 2.5, 'x.mean': null },
      ...found,
    });
    expect(verdict.failures.map((failure) => failure.message)).toEqual([
      'the number of rows is 2, expected at least 3',
      'nulls of code are 50 %, expected at most 25 %',
      'the mean of price is 2.5, expected at most 2',
      'rows in quarantine are 50 %, expected at most 10 %',
      'columns that the source does not declare: colour',
    ]);
    expect(verdict.warnings).toEqual([
      {
        rule: 'n.distinct_count',
        message: 'the number of distinct values of n is 1, expected at least 2',
        severity: 'warning',
      },
    ]);
  });

  it('say which statistic, and count a rule that cannot be judged as broken', () => {
    const base = { severity: 'error', action: 'fail' } as const;
    const rules: Contract = {
      rows: [],
      batch: [
        statistic('std'),
        statistic('quantile', 0.5),
        statistic('quantile', 0.95),
        { id: 'code.null_rate', check: { kind: 'null_rate', field: 'code', min: 0.1 }, ...base },
        { id: 'too_many', check: { kind: 'sql', sql: '', max: 0 }, ...base },
        { id: 'none', check: { kind: 'sql', sql: '' }, ...base },
        { id: 'typo', check: { kind: 'sql', sql: '' }, ...base },
        {
          id: 'x.distribution',
          check: {
            kind: 'distribution',
            field: 'x',
            against: { kind: 'batches', batches: 3 },
            minimumEffect: 0.05,
            minimumRows: 30,
          },
          ...base,
        },
      ],
    };
    const measures = {
      rows: 9,
      quarantined: 0,
      extraColumns: [],
      values: {
        'x.std': 4,
        'x.quantile0.5': 5,
        'x.quantile0.95': -1,
        'code.null_rate': 0.05,
        too_many: 3,
        none: 2,
      },
      distributions: { 'x.distribution': { verdict: 'drifted', found: 'KS D 0.4' } },
      errors: { typo: 'there is no column amuont' },
    } as const;
    expect(judgeBatch(rules, measures).failures.map((failure) => failure.message)).toEqual([
      'the standard deviation of x is 4, expected at most 1',
      'the median of x is 5, expected at most 1',
      'the 95 % quantile of x is -1, expected at least 0',
      'nulls of code are 5 %, expected at least 10 %',
      'too_many is 3, expected at most 0',
      'none gives 2 rows, expected none',
      'typo could not be judged: there is no column amuont',
      'the values of x changed: KS D 0.4',
    ]);
    expect(judgeBatch(rules, { ...measures, values: { 'x.std': Number.NaN } }).failures[0]!.message).toBe(
      'the standard deviation of x is beyond the range of doubles',
    );
    const quiet = { 'x.distribution': { verdict: 'insufficient_data', found: 'too few rows' } } as const;
    expect(
      judgeBatch(rules, { ...measures, distributions: quiet }).failures.map((failure) => failure.rule),
    ).not.toContain('x.distribution');
  });

  it('find nothing wrong with nothing, but for its size', () => {
    const verdict = judgeBatch(contract, { rows: 0, quarantined: 0, extraColumns: [], values: {}, ...found });
    expect(verdict.failures.map((failure) => failure.rule)).toEqual(['row_count']);
  });
});

describe('columns of a file', () => {
  const fields = [
    { name: 'amount', type: parseType('int64')! },
    { name: 'user', type: parseType('string')!, from: 'user_id' },
  ];

  it('pair a missing column with the undeclared one that looks like it', () => {
    const difference = diffColumns(fields, ['amonut', 'user_id', 'colour']);
    expect(difference).toEqual({
      missing: [{ field: 'amount', column: 'amount', nearest: 'amonut' }],
      extra: ['amonut', 'colour'],
      repeated: [],
    });
    expect(columnsMessage(difference, 'delimited')).toEqual({
      message: 'the file lacks the column amount (did you mean amonut?)',
      hint: 'If the column was renamed, declare it: amount: { type: ..., from: amonut }',
    });
  });

  it('say nothing when every field can be read', () => {
    expect(columnsMessage(diffColumns(fields, ['amount', 'user_id', 'more']), 'delimited')).toBeUndefined();
  });

  it('refuse a name that stands twice', () => {
    expect(columnsMessage(diffColumns(fields, ['amount', 'amount', 'user_id']), 'delimited')?.message).toBe(
      'the column amount stands in the file more than once',
    );
  });
});
