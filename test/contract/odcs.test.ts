import { describe, expect, it } from 'vitest';
import { fingerprint } from '../../src/core/base/fingerprint.js';
import type { Source } from '../../src/core/define/types.js';
import { type SourceForm, sourceForm } from '../../src/core/quality/contract-form.js';
import { contractFingerprint, snapshotOf } from '../../src/core/quality/contract-snapshot.js';
import type { Form } from '../../src/core/quality/form.js';
import { toOdcs } from '../../src/core/quality/odcs.js';
import { fromOdcs } from '../../src/core/quality/odcs-import.js';
import { fromYaml } from '../define/check.js';
import fc from '../property.js';
import { odcsValidator } from './odcs-schema.js';
import { yamlOf } from './support.js';

const validate = odcsValidator();

function valid(document: Form): void {
  if (validate === null) return;
  validate(document);
  expect(validate.errors ?? []).toEqual([]);
}

/** The first source of a definition text without faults. */
function sourceOf(text: string, name?: string): Source {
  const { definitions, diagnostics } = fromYaml(text);
  expect(diagnostics.filter((item) => item.severity === 'error').map((item) => item.message)).toEqual([]);
  return name === undefined ? [...definitions.sources.values()][0]! : definitions.sources.get(name)!;
}

const read = (form: SourceForm, rest = ''): Source =>
  sourceOf(`${yamlOf({ sources: [form] })}${rest}`, form.name);
const ID = { id: '00000000-0000-8000-8000-000000000000' };

const ORDERS = `
sources:
  - name: customers
    kind: states
    read: { files: customers.csv }
    record_key: [customer_id, since]
    event_time: since
    fields: { customer_id: int64, since: timestamp }
  - name: orders
    description: What was bought
    owner: growth-team
    tags: [shop, features]
    read: { files: [a.csv, 'b*.csv.gz'], delimiter: ';', nulls: [NA] }
    record_key: order_id
    event_time: bought_at
    available_at: { delay: 2h }
    deleted: gone
    sequence: version
    timezone: Europe/Berlin
    ambiguous_time: later
    fields:
      order_id: string
      customer_id: int64
      amount: { type: decimal(2), from: Amount }
      status: string
      email: string
      weight: float64
      day: date
      vector: float64_vector(3)
      any: float64_vector
      gone: boolean
      version: int64
      bought_at: timestamp
    contract:
      order_id: { pattern: '^[A-Z]\\d+$', length: [3, 10], severity: critical, action: fail }
      customer_id: { not_null: true, references: customers.customer_id }
      amount: [{ not_null: true, range: [0, 10000.5] }, { max: 5000, severity: warning, action: flag }]
      status: { in: [paid, open, 'null'], severity: warning, action: warn }
      email: { unique: true, length: [null, 80] }
      weight: { greater_than: 0, less_than: 1e300, action: { impute: median } }
      day: { min: '2020-01-01', severity: warning }
      rules:
        - { name: paid_has_amount, check: "status <> 'paid' or amount > 0", action: flag }
        - { name: one_per_day, unique: [customer_id, day], severity: warning }
        - { name: in_sql, sql: "SELECT _row FROM {batch} WHERE amount > 1" }
      batch:
        - { rows: { min: 10, max: 1000 }, null_rate: { email: 0.07, day: { min: 0.01, max: 0.5 } }, severity: critical }
        - { mean: { amount: { min: 1, max: 9 } }, median: { weight: { max: 3 } }, quantile: { weight: [{ q: 0.9, max: 7 }] }, distribution: { status: previous, amount: { batches: 5 } }, quarantine_rate: 0.01, extra_columns: refuse, action: warn }
        - { rules: [{ name: total, sql: 'SELECT sum(amount) FROM {batch}', max: 1e6 }] }
`;

describe('a source as a document', () => {
  const source = sourceOf(ORDERS, 'orders');
  const document = toOdcs(sourceForm(source), ID);

  it('is valid Open Data Contract Standard 3.1.0', () => valid(document));

  it('says in the words of the standard what the standard can say', () => {
    const [schema] = document['schema'] as readonly Form[];
    const properties = schema!['properties'] as readonly Form[];
    const property = (name: string): Form => properties.find((item) => item['name'] === name)!;
    expect(property('amount')).toMatchObject({
      physicalName: 'Amount',
      logicalType: 'number',
      physicalType: 'DECIMAL(18,2)',
      required: true,
      logicalTypeOptions: { minimum: 0, maximum: 10000.5 },
    });
    expect(property('order_id')).toMatchObject({ primaryKey: true, primaryKeyPosition: 1, required: true });
    expect(property('email')).toMatchObject({ unique: true, logicalTypeOptions: { maxLength: 80 } });
    expect(property('customer_id')['relationships']).toEqual([
      { type: 'foreignKey', to: 'customers.customer_id' },
    ]);
    expect(property('status')['quality']).toMatchObject([
      {
        metric: 'invalidValues',
        arguments: { validValues: ['paid', 'open', 'null'] },
        mustBe: 0,
        severity: 'warning',
      },
    ]);
    expect((schema!['quality'] as readonly Form[]).map((item) => item['id'])).toEqual(
      expect.arrayContaining(['paid_has_amount', 'one_per_day', 'row_count']),
    );
  });

  it('comes back as the same contract, and again as the same document', () => {
    const [imported] = fromOdcs(document);
    expect(imported!.notes).toEqual([]);
    const rest = ORDERS.slice(ORDERS.indexOf('  - name: customers'), ORDERS.indexOf('  - name: orders'));
    const again = read(imported!.form, rest);
    expect(contractFingerprint(snapshotOf(again))).toBe(contractFingerprint(snapshotOf(source)));
    expect(again.fingerprint).toBe(source.fingerprint);
    expect({ owner: again.owner, tags: again.tags, description: again.description }).toEqual({
      owner: 'growth-team',
      tags: ['shop', 'features'],
      description: 'What was bought',
    });
    expect(toOdcs(sourceForm(again), ID)).toEqual(document);
    expect(toOdcs(sourceForm(again), { ...ID, base: document })).toEqual(document);
    expect(fingerprint(JSON.stringify(toOdcs(sourceForm(again), { ...ID, base: document })))).toBe(
      fingerprint(JSON.stringify(document)),
    );
  });
});

const bound = fc.integer({ min: -1000, max: 1000 });
const severity = fc.constantFrom('info', 'warning', 'error', 'critical');
const judged = <T extends object>(rule: fc.Arbitrary<T>, actions: readonly string[]) =>
  fc
    .tuple(
      rule,
      fc.option(severity, { nil: undefined }),
      fc.option(fc.constantFrom(...actions), { nil: undefined }),
    )
    .map(([body, level, action]) => ({
      ...body,
      ...(level === undefined ? {} : { severity: level }),
      ...(action === undefined ? {} : { action }),
    }));
const interval = fc
  .tuple(bound, fc.nat(500), fc.constantFrom('range', 'min', 'max', 'open', 'half'))
  .map(([low, width, shape]): object => {
    const high = low + width + 1;
    if (shape === 'range') return { range: [low, high] };
    if (shape === 'min') return { min: low };
    if (shape === 'max') return { max: high };
    return shape === 'open' ? { greater_than: low, less_than: high } : { min: low, less_than: high };
  });
const ACTIONS = ['quarantine', 'flag', 'warn', 'drop', 'fail'];
const textRules = judged(
  fc.record(
    {
      not_null: fc.constant(true),
      in: fc.uniqueArray(fc.string({ maxLength: 4 }), { minLength: 1, maxLength: 4 }),
      pattern: fc.constantFrom('^[A-Z]{3}$', '\\d+', 'a|b'),
      length: fc.tuple(fc.option(fc.nat(3)), fc.integer({ min: 3, max: 9 })),
      unique: fc.constant(true),
      references: fc.constant('customers.name'),
    },
    { requiredKeys: [] },
  ),
  ACTIONS,
);
const numberRules = judged(
  fc
    .tuple(fc.record({ not_null: fc.constant(true) }, { requiredKeys: [] }), interval)
    .map(([a, b]) => ({ ...a, ...b })),
  ACTIONS,
);
const limits = fc.record({ min: fc.nat(9), max: fc.integer({ min: 10, max: 99 }) });
const batchRules = judged(
  fc.record(
    {
      rows: limits,
      null_rate: fc.record({ word: fc.integer({ min: 1, max: 999 }).map((n) => n / 1000) }),
      distinct_count: fc.record({ word: limits }),
      mean: fc.record({ total: limits }),
      quarantine_rate: fc.double({ min: 0.001, max: 1, noNaN: true }),
    },
    { requiredKeys: [] },
  ),
  ['fail', 'warn'],
).filter((rules) => Object.keys(rules).some((key) => key !== 'severity' && key !== 'action'));
/** A rule that is said again says nothing: a document that comes back says it once. */
function once(blocks: readonly object[]): readonly object[] {
  const said = new Set<string>();
  return blocks.map((block) => {
    const {
      severity,
      action,
      not_null,
      in: set,
      pattern,
      length,
      unique,
      references,
      ...interval
    } = block as Record<string, unknown>;
    const parts = [{ not_null }, { in: set }, { pattern }, { length }, { unique }, { references }, interval];
    const fresh = parts.filter((part) => {
      const text = JSON.stringify([part, severity ?? 'error', action ?? 'quarantine']);
      const first = !said.has(text);
      said.add(text);
      return first;
    });
    const judgement = { ...(severity ? { severity } : {}), ...(action ? { action } : {}) };
    return JSON.parse(JSON.stringify(Object.assign({}, ...fresh, judgement))) as object;
  });
}

const contracts = fc.record(
  {
    word: fc.array(textRules, { minLength: 1, maxLength: 3 }).map(once),
    total: fc.array(numberRules, { minLength: 1, maxLength: 3 }).map(once),
    count: fc.array(numberRules, { minLength: 1, maxLength: 2 }).map(once),
    rules: fc.constant([{ name: 'positive', check: 'total > 0 or count is null', action: 'flag' }]),
    batch: fc.array(batchRules, { minLength: 1, maxLength: 3 }),
  },
  { requiredKeys: [] },
);

const CUSTOMERS =
  '\n  - { name: customers, read: push, record_key: name, event_time: at, fields: { name: string, at: timestamp } }\n';

describe('any contract', () => {
  it('is a valid document, comes back as it was, and its document stays as it is', () => {
    fc.assert(
      fc.property(contracts, (contract) => {
        const source = read(
          {
            name: 'things',
            read: 'push',
            record_key: 'id',
            event_time: 'at',
            fields: { id: 'string', word: 'string', total: 'decimal(3)', count: 'int64', at: 'timestamp' },
            contract: contract as never,
          },
          CUSTOMERS,
        );
        const document = toOdcs(sourceForm(source), ID);
        valid(document);
        const [imported] = fromOdcs(document);
        expect(imported!.notes).toEqual([]);
        const again = read(imported!.form, CUSTOMERS);
        const rules = (of: Source) =>
          [...snapshotOf(of).rows, ...snapshotOf(of).batch]
            .map((rule) => JSON.stringify([rule.field, rule.check, rule.severity, rule.action]))
            .sort();
        expect(rules(again)).toEqual(rules(source));
        expect(toOdcs(sourceForm(again), ID)).toEqual(document);
        expect(toOdcs(sourceForm(again), { ...ID, base: document })).toEqual(document);
      }),
      { numRuns: 40 },
    );
  });
});

describe('a document from elsewhere', () => {
  /** What people write beside what is enough: said twice, said to be false, or of no meaning here. */
  const embellished = fc.record({
    again: fc.subarray(['id', 'word', 'total'] as const),
    negated: fc.subarray(['count', 'at'] as const),
    object: fc.boolean(),
    second: fc.boolean(),
  });

  it('stays as it was written when its definition is exported', () => {
    fc.assert(
      fc.property(contracts, embellished, (contract, { again, negated, object, second }) => {
        const form: SourceForm = {
          name: 'things',
          read: 'push',
          record_key: 'id',
          event_time: 'at',
          fields: { id: 'string', word: 'string', total: 'decimal(3)', count: 'int64', at: 'timestamp' },
          service_levels: { completeness: { by: '09:00', timezone: 'Etc/GMT+8' } },
          contract: { ...contract, word: [{ not_null: true }, { unique: true }] } as never,
        };
        const plain = toOdcs(sourceForm(read(form, CUSTOMERS)), ID);
        const [schema] = plain['schema'] as readonly Form[];
        const properties = (schema!['properties'] as readonly Form[]).map((property): Form => {
          const name = property['name'] as string;
          const entry = { id: `${name}-none-missing`, type: 'library', metric: 'nullValues', mustBe: 0 };
          const told = again.some((one) => one === name) && property['required'] === true;
          const open = negated.some((one) => one === name) && property['required'] === undefined;
          return {
            ...property,
            ...(open ? { required: false, unique: false } : {}),
            ...(told ? { quality: [...((property['quality'] as readonly Form[]) ?? []), entry] } : {}),
          };
        });
        if (object) properties.splice(2, 0, { name: 'nested', logicalType: 'object', physicalType: 'json' });
        const later = { property: 'timeOfAvailability', value: '11:00-08:00', driver: 'analytics' };
        const document: Form = {
          ...plain,
          slaProperties: [...(plain['slaProperties'] as readonly Form[]), ...(second ? [later] : [])],
          schema: [{ ...schema, properties }],
        };
        valid(document);
        const [imported] = fromOdcs(document);
        expect(imported!.notes.every(({ kind }) => kind === 'lost')).toBe(true);
        const definition = read(imported!.form, CUSTOMERS);
        expect(toOdcs(sourceForm(definition), { ...ID, base: document })).toEqual(document);
      }),
      { numRuns: 30 },
    );
  });

  it('has a time of day with its offset, dates with hours, and each rule once', () => {
    const [imported] = fromOdcs({
      apiVersion: 'v3.0.2',
      kind: 'DataContract',
      slaProperties: [
        { property: 'timeOfAvailability', value: '09:30-08:00', element: 'tbl.at' },
        { property: 'timeOfAvailability', value: '08:00-08:00', element: 'tbl.at' },
      ],
      schema: [
        {
          name: 'tbl',
          properties: [
            { name: 'id', logicalType: 'string', primaryKey: true, required: false },
            {
              name: 'at',
              logicalType: 'date',
              logicalTypeOptions: { minimum: '2020-01-01 00:00:00', format: 'yyyy-MM-dd HH:mm:ss' },
            },
            {
              name: 'country',
              logicalType: 'string',
              required: true,
              quality: [
                { metric: 'nullValues', mustBe: 0 },
                { type: 'library', rule: 'nullCheck', mustBe: 0 },
              ],
              relationships: [{ to: 'countries.code' }],
            },
          ],
        },
      ],
    });
    expect(imported!.form.fields).toEqual({ id: 'string', at: 'timestamp', country: 'string' });
    expect(imported!.form.contract).toEqual({
      at: { min: '2020-01-01 00:00:00' },
      country: { not_null: true, references: 'countries.code' },
    });
    expect(imported!.form.service_levels).toEqual({
      completeness: { by: '09:30', timezone: 'Etc/GMT+8' },
    });
    expect(imported!.notes.map(({ kind, path }) => [kind, path.join('.')])).toEqual([
      ['assumed', 'schema.0'],
      ['lost', 'slaProperties.1'],
      ['assumed', 'schema'],
    ]);
  });
});
