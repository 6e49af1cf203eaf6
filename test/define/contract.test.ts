import { describe, expect, it } from 'vitest';
import { check, fromYaml } from './check.js';

const source = (contract: string, more = ''): string => `sources:
  - name: s
    read: push
    record_key: id
    event_time: at
    fields: { id: string, at: timestamp, seen: timestamp, n: int64, x: float64, price: decimal(2), code: string, ok: boolean, v: float64_vector(2) }
    available_at: seen
${more}    contract:
${contract
  .trim()
  .split('\n')
  .map((line) => `      ${line}`)
  .join('\n')}
`;
const contractOf = (contract: string, more = '') => {
  const { definitions, diagnostics } = fromYaml(source(contract, more));
  expect(diagnostics).toEqual([]);
  return definitions!.sources.get('s')!;
};

const FIXED = 'keys, times, delete markers and sequences of records are never made up';

describe('actions', () => {
  it('repair by the nearest bound, a constant, the mean, the median or the last value', () => {
    const { contract } = contractOf(`
n: { range: [0, 10], action: cap }
x: { not_null: true, action: { impute: mean } }
price:
  - { not_null: true, action: { impute: median }, severity: warn }
  - { range: [0, 100], action: { impute: constant, value: 9.5 } }
  - { range: [1, 50], action: flag }
code: { not_null: true, action: { impute: last, by: [code] } }
ok: { not_null: true, action: { impute: last } }
rules:
  - { name: sane, check: n < price, field: n, action: { impute: constant, value: 0 } }
`);
    expect(
      contract.rows.slice(2).map(({ id, action, impute, severity }) => [id, action, impute, severity]),
    ).toEqual([
      ['n.range', 'cap', undefined, 'error'],
      ['x.not_null', 'impute', { kind: 'mean' }, 'error'],
      ['price.not_null', 'impute', { kind: 'median' }, 'warning'],
      ['price.range', 'impute', { kind: 'constant', value: 950 }, 'error'],
      ['price.range#2', 'flag', undefined, 'error'],
      ['code.not_null', 'impute', { kind: 'last', by: ['code'] }, 'error'],
      ['ok.not_null', 'impute', { kind: 'last', by: ['id'] }, 'error'],
      ['sane', 'impute', { kind: 'constant', value: 0 }, 'error'],
    ]);
  });

  it('are parts of the fingerprint, the order of repairs and fail-fast included', () => {
    const n = 'n: { range: [0, 10], action: cap }';
    const x = 'x: { not_null: true, action: { impute: mean } }';
    const print = (contract: string, more = '') => contractOf(contract, more).fingerprint;
    const plain = print(`${n}\n${x}`);
    expect(print(`${n}\n${x}`, '    on_error: quarantine\n')).toBe(plain);
    const others = [
      print(`${x}\n${n}`),
      print(`${n}\nx: { not_null: true, action: { impute: median } }`),
      print(`n: { range: [0, 10] }\n${x}`),
      print(`${n}\n${x}`, '    on_error: fail\n'),
    ];
    expect(new Set([plain, ...others]).size).toBe(5);
    expect(contractOf(n, '    on_error: fail\n').contract.onError).toBe('fail');
  });

  it.each<[string, string, string]>([
    [
      'an unknown one',
      'n: { range: [0, 1], action: »capp }',
      'DEF_INVALID_VALUE `action` of source `s` is `capp`: expected one of quarantine, flag, warn, drop, fail, cap (cap)',
    ],
    [
      'a cap without bounds',
      'code: { pattern: "^a", action: »cap }',
      'DEF_INVALID_VALUE `pattern` of field `code` cannot be capped',
    ],
    [
      'a cap of texts',
      'code: { min: a, action: »cap }',
      'DEF_INVALID_VALUE `range` of field `code` cannot be capped: texts have no nearest bound',
    ],
    [
      'a cap at open bounds',
      'n: { greater_than: 0, action: »cap }',
      'DEF_INVALID_VALUE `range` of field `n` cannot be capped: `greater_than` and `less_than` have no nearest value',
    ],
    [
      'a cap of an expression',
      'rules:\n  - { name: r, check: n > 0, field: n, action: »cap }',
      'DEF_INVALID_VALUE rule `r` cannot be capped',
    ],
    [
      'a repair of uniqueness',
      'code: { unique: true, action: »{ impute: last } }',
      'DEF_INVALID_VALUE `unique` of field `code` cannot be repaired: it compares records with each other',
    ],
    [
      'a repair of a key',
      'id: { length: [1, 3], action: »{ impute: last } }',
      `DEF_INVALID_VALUE \`length\` of field \`id\` would repair \`id\`: ${FIXED}`,
    ],
    [
      'a repair of availability',
      'seen: { not_null: true, action: »{ impute: median } }',
      `DEF_INVALID_VALUE \`not_null\` of field \`seen\` would repair \`seen\`: ${FIXED}`,
    ],
    [
      'a repair of a vector',
      'v: { not_null: true, action: »{ impute: last } }',
      'DEF_INVALID_VALUE `not_null` of field `v` would repair `v`, a vector',
    ],
    [
      'an imputation into no field',
      'rules:\n  - { name: r, check: n > 0, action: »{ impute: mean } }',
      'DEF_INVALID_VALUE rule `r` does not say which field is repaired',
    ],
    [
      'an unknown imputation',
      'n: { not_null: true, action: { impute: »meen } }',
      'DEF_INVALID_VALUE `impute` of source `s` is `meen`: expected one of constant, mean, median, last (mean)',
    ],
    [
      'a mean of texts',
      'code: { not_null: true, action: { impute: »mean } }',
      'DEF_TYPE `not_null` of field `code`: `mean` needs a number, and `code` is string',
    ],
    [
      'a median of booleans',
      'ok: { not_null: true, action: { impute: »median } }',
      'DEF_TYPE `not_null` of field `ok`: `median` needs a number or a time, and `ok` is boolean',
    ],
    [
      'a constant that is not given',
      'n: { not_null: true, action: »{ impute: constant } }',
      'DEF_MISSING_KEY `not_null` of field `n` has no `value`: expected the constant',
    ],
    [
      'a constant of another type',
      'n: { not_null: true, action: { impute: constant, value: »many } }',
      'DEF_TYPE `value` of `not_null` of field `n` is `many`: expected a value of type int64',
    ],
    [
      'a constant that breaks its rule',
      'n: { range: [0, 9], action: { impute: constant, value: »10 } }',
      'DEF_INVALID_VALUE `value` of `range` of field `n` is `10`, which breaks the rule itself',
    ],
    [
      'a constant outside of its set',
      'code: { in: [a, b], action: { impute: constant, value: »c } }',
      'DEF_INVALID_VALUE `value` of `in` of field `code` is `c`, which breaks the rule itself',
    ],
    [
      'a value for a mean',
      'n: { not_null: true, action: { impute: mean, »value: 3 } }',
      'DEF_UNKNOWN_KEY `not_null` of field `n`: impute mean does not take `value`',
    ],
    [
      'a group for a median',
      'n: { not_null: true, action: { impute: median, »by: id } }',
      'DEF_UNKNOWN_KEY `not_null` of field `n`: impute median does not take `by`',
    ],
    [
      'a group by an unknown field',
      'n: { not_null: true, action: { impute: last, by: »cod } }',
      'DEF_UNKNOWN_NAME `by` of `not_null` of field `n` names the field `cod`, which source `s` does not have (code)',
    ],
    [
      'as_of alone',
      'code: { not_null: true, as_of: »ingest }',
      'DEF_MISSING_KEY `as_of` of field `code` stands without `references`',
    ],
    [
      'a rule of two kinds',
      'rules:\n  - »{ name: r, check: n > 0, unique: n }',
      'DEF_MISSING_KEY rule `r` has `check` and `unique`: expected one of them',
    ],
    [
      'a field for uniqueness',
      'rules:\n  - { name: r, unique: n, »field: n }',
      'DEF_UNKNOWN_KEY rule `r`: unique does not take `field`',
    ],
    [
      'SQL that names no rows',
      'rules:\n  - { name: r, sql: »"SELECT n FROM {batch}" }',
      'DEF_INVALID_VALUE rule `r` does not give `_row`: expected the rows that break it',
    ],
    [
      'SQL over something else',
      'rules:\n  - { name: r, sql: »"SELECT _row FROM s" }',
      'DEF_INVALID_VALUE the SQL of rule `r` does not read `{batch}`',
    ],
    [
      'two statements',
      `rules:\n  - { name: r, sql: »"SELECT _row FROM {batch}; DROP TABLE x" }`,
      'DEF_INVALID_VALUE the SQL of rule `r` is more than one statement',
    ],
    [
      'no SELECT',
      `batch: { rules: [{ name: r, sql: »"DELETE FROM {batch}" }] }`,
      'DEF_INVALID_VALUE the SQL of rule `r` is no SELECT',
    ],
    [
      'a count without a limit',
      `batch: { rules: [{ name: r, sql: »"SELECT count(*) FROM {batch}" }] }`,
      'DEF_MISSING_KEY rule `r` gives a count and has no limit',
    ],
    [
      'a statistic of texts',
      'batch: { std: { »code: { max: 1 } } }',
      'DEF_TYPE `std` needs a number, and `code` is string',
    ],
    [
      'a distribution of an unknown field',
      'batch: { distribution: { »cod: previous } }',
      'DEF_UNKNOWN_NAME contract of source `s` names the field `cod`, which source `s` does not have (code)',
    ],
    [
      'two references',
      'batch: { distribution: { n: »{ batches: 3, file: a.csv } } }',
      '`distribution` of field `n` names batches and file: expected one of batches, file, profile',
    ],
    [
      'a row action for a batch',
      'batch: { rows: { min: 1 }, action: »drop }',
      'DEF_INVALID_VALUE `action` of source `s` is `drop`: expected one of fail, warn',
    ],
  ])('refuse %s', (_what, contract, message) => {
    check(source(contract), [message.startsWith('DEF_') ? message : `DEF_INVALID_VALUE ${message}`]);
  });
});

describe('batch rules', () => {
  it('are read block by block, with ids that tell them apart', () => {
    const { contract } = contractOf(`
batch:
  - rows: { min: 10 }
    null_rate: { n: 0.5, code: { min: 0.1, max: 0.2 } }
    median: { n: { max: 5 } }
    quantile: { x: [{ q: 0.5, min: 1 }, { q: 0.99, max: 9 }] }
    std: { x: { max: 3 } }
    sum: { price: { min: 0 } }
    min: { n: { min: 0 } }
    max: { n: { max: 99 } }
    distribution: { n: previous, code: { file: ref.csv, minimum_effect: 0.2 }, x: { profile: p.json }, price: { batches: 3, minimum_rows: 50 } }
    rules:
      - { name: heavy, sql: "SELECT count(*) FROM {batch} WHERE n > 9", max: 0 }
      - { name: none, sql: "FROM {batch} WHERE n < 0" }
  - rows: { min: 100 }
    extra_columns: ignore
    action: warn
`);
    expect(contract.batch.map(({ id, action }) => `${id} ${action}`)).toEqual([
      'row_count fail',
      'n.null_rate fail',
      'code.null_rate fail',
      'x.std fail',
      'price.sum fail',
      'n.min fail',
      'n.max fail',
      'n.median fail',
      'x.quantile_0.5 fail',
      'x.quantile_0.99 fail',
      'n.distribution fail',
      'code.distribution fail',
      'x.distribution fail',
      'price.distribution fail',
      'heavy fail',
      'none fail',
      'row_count#2 warn',
      'extra_columns warn',
    ]);
    expect(contract.batch.flatMap(({ check }) => (check.kind === 'distribution' ? [check] : []))).toEqual([
      {
        kind: 'distribution',
        field: 'n',
        against: { kind: 'batches', batches: 10 },
        minimumEffect: 0.05,
        minimumRows: 30,
      },
      {
        kind: 'distribution',
        field: 'code',
        against: { kind: 'file', path: 'ref.csv' },
        minimumEffect: 0.2,
        minimumRows: 30,
      },
      {
        kind: 'distribution',
        field: 'x',
        against: { kind: 'profile', path: 'p.json' },
        minimumEffect: 0.05,
        minimumRows: 30,
      },
      {
        kind: 'distribution',
        field: 'price',
        against: { kind: 'batches', batches: 3 },
        minimumEffect: 0.05,
        minimumRows: 50,
      },
    ]);
    expect(contract.batch[2]!.check).toEqual({ kind: 'null_rate', field: 'code', min: 0.1, max: 0.2 });
  });
});
