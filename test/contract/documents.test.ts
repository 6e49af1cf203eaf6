import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Form } from '../../src/core/quality/form.js';
import { openProject } from '../../src/open.js';
import {
  compareContracts,
  exportContract,
  importContract,
  printNote,
  writeImported,
} from '../../src/services/contract.js';
import { planProject } from '../../src/services/plan-project.js';
import type { Project } from '../../src/services/project.js';
import { odcsValidator } from './odcs-schema.js';

const validate = odcsValidator();
const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'millrace-contract-'));
  folders.push(folder);
  mkdirSync(path.join(folder, 'definitions'));
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  return folder;
}

async function within<T>(folder: string, work: (project: Project) => Promise<T>): Promise<T> {
  const project = await openProject(folder, { now: () => 1_700_000_000_000_000 });
  try {
    return await work(project);
  } finally {
    await project.close();
  }
}

/** As another tool writes it, with parts of which a definition knows nothing. */
const FOREIGN = `apiVersion: v3.1.0
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
name: Shop orders
version: 2.3.1
status: active
domain: commerce
tenant: acme
tags: [shop]
description: { purpose: What was bought, usage: Features, limitations: none }
servers:
  - { server: lake, type: local, path: ./data/orders.csv, format: csv }
team: { name: commerce-data, members: [{ username: a@example.com, role: owner, dateIn: '2026-01-01' }] }
support: [{ channel: '#orders', tool: slack }]
roles: [{ role: reader, access: read }]
schema:
  - name: orders
    physicalType: table
    businessName: Orders
    quality:
      - { id: enough, metric: rowCount, mustBeGreaterThan: 9, severity: error, dimension: completeness, businessImpact: high }
      - { id: one_per_day, metric: duplicateValues, mustBe: 0, arguments: { properties: [customer_id, day] } }
      - { id: in_sql, type: sql, query: 'SELECT count(*) FROM {object} WHERE discount > amount', mustBe: 0 }
      - { id: prose, type: text, description: Looks right }
    properties:
      - { name: order_id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true, unique: true, classification: internal }
      - name: customer_id
        logicalType: string
        required: true
        relationships: [{ type: foreignKey, to: customers.customer_id }]
      - name: amount
        physicalName: AMT
        description: Gross
        logicalType: number
        physicalType: NUMERIC(12,2)
        required: true
        logicalTypeOptions: { minimum: 0, exclusiveMaximum: 100000, multipleOf: 0.01 }
        quality:
          - { id: some, metric: nullValues, unit: percent, mustBeLessThan: 1, severity: warning, schedule: 0 20 * * * }
          - { id: great, type: custom, engine: greatExpectations, implementation: { type: expect_something } }
      - name: status
        logicalType: string
        logicalTypeOptions: { pattern: '^(?=x)', format: uuid }
        quality:
          - { id: known, metric: invalidValues, arguments: { validValues: [paid, open] }, mustBe: 0, severity: warning, description: The two of them }
      - { name: day, logicalType: date }
      - { name: bought_at, logicalType: timestamp, required: true, logicalTypeOptions: { timezone: false, defaultTimezone: Etc/UTC } }
      - { name: lines, logicalType: array, items: { logicalType: object } }
slaProperties:
  - { property: latency, value: 4, unit: h, element: orders.bought_at, driver: operational }
  - { property: retention, value: 3, unit: y, element: orders }
customProperties: [{ property: costCentre, value: 42 }]
`;

const CUSTOMERS =
  'sources:\n  - { name: customers, read: push, record_key: customer_id, event_time: at, fields: { customer_id: string, at: timestamp } }\n';

describe('a document of another tool', () => {
  it('becomes a definition, and every line that could not be taken over is named', async () => {
    const folder = newFolder({ 'orders.odcs.yaml': FOREIGN, 'definitions/customers.yaml': CUSTOMERS });
    const imported = await importContract(path.join(folder, 'orders.odcs.yaml'));
    const lineOf = (text: string): number => FOREIGN.split('\n').findIndex((line) => line.includes(text)) + 1;
    const notes = imported.notes.map((note) => printNote('orders.odcs.yaml', note));
    const said = (text: string, part: string): void =>
      expect(notes).toContainEqual(
        expect.stringMatching(new RegExp(`^orders\\.odcs\\.yaml:${lineOf(text)}: .*${part}`)),
      );
    said('id: in_sql', 'SQL');
    said('id: prose', 'prose');
    said('classification', 'classification');
    said('multipleOf', 'multipleOf');
    said('id: some', 'taken over with a difference');
    said('id: great', 'greatExpectations');
    said("pattern: '", 'pattern');
    said("pattern: '", 'format');
    said('name: lines', 'array of object');
    said('property: retention', 'service level');
    said('roles:', 'roles');
    expect(notes.every((note) => imported.text.includes(`# ${note}`))).toBe(true);
    const [source] = (parse(imported.text) as { sources: Form[] }).sources;
    expect(source).toEqual({
      name: 'orders',
      description: 'What was bought',
      owner: 'commerce-data',
      tags: ['shop'],
      read: { files: './data/orders.csv', format: 'csv' },
      record_key: 'order_id',
      event_time: 'bought_at',
      timezone: 'UTC',
      fields: {
        order_id: 'int64',
        customer_id: 'string',
        amount: { type: 'decimal(2)', from: 'AMT', description: 'Gross' },
        status: 'string',
        day: 'date',
        bought_at: 'timestamp',
      },
      service_levels: { freshness: '4h' },
      contract: {
        order_id: { unique: true },
        customer_id: { not_null: true, references: 'customers.customer_id' },
        amount: { not_null: true, min: 0, less_than: 100000 },
        status: { in: ['paid', 'open'], severity: 'warning', action: 'warn' },
        rules: [{ name: 'one_per_day', unique: ['customer_id', 'day'] }],
        batch: [{ rows: { min: 10 } }, { null_rate: { amount: 0.01 }, severity: 'warning', action: 'warn' }],
      },
    });
  });

  it('keeps all that a definition does not speak of, and is a fixed point', async () => {
    const folder = newFolder({ 'orders.odcs.yaml': FOREIGN, 'definitions/customers.yaml': CUSTOMERS });
    const imported = await importContract(path.join(folder, 'orders.odcs.yaml'));
    await writeImported(folder, imported, path.join(folder, 'definitions/orders.yaml'), false);
    const first = await within(folder, (project) =>
      exportContract(project, project.definitions.sources.get('orders')!, undefined),
    );
    const before = parse(FOREIGN) as Form;
    const { document } = first;
    if (validate) {
      validate(document);
      expect(validate.errors ?? []).toEqual([]);
    }
    for (const key of Object.keys(before).filter((name) => name !== 'schema'))
      expect(document[key]).toEqual(before[key]);
    const object = (of: Form): Form => (of['schema'] as readonly Form[])[0]!;
    expect(object(document)['businessName']).toBe('Orders');
    expect(object(document)['quality']).toEqual(object(before)['quality']);
    const properties = (of: Form): readonly Form[] => object(of)['properties'] as readonly Form[];
    const property = (of: Form, name: string): Form => properties(of).find((item) => item['name'] === name)!;
    for (const name of ['order_id', 'customer_id', 'amount', 'status', 'day'])
      expect(property(document, name)).toMatchObject(property(before, name));
    // Again in, again out: not a byte is different.
    writeFileSync(path.join(folder, 'again.yaml'), first.text);
    const again = await importContract(path.join(folder, 'again.yaml'));
    await writeImported(folder, again, path.join(folder, 'definitions/orders.yaml'), true);
    const second = await within(folder, (project) =>
      exportContract(project, project.definitions.sources.get('orders')!, undefined),
    );
    expect(second.text).toBe(first.text);
  });

  it('gets a new version by what has changed in the definition', async () => {
    const folder = newFolder({ 'orders.odcs.yaml': FOREIGN, 'definitions/customers.yaml': CUSTOMERS });
    const file = path.join(folder, 'definitions/orders.yaml');
    await writeImported(folder, await importContract(path.join(folder, 'orders.odcs.yaml')), file, false);
    writeFileSync(file, readFileSync(file, 'utf8').replace('[ paid, open ]', '[ paid, open, lost ]'));
    const { document } = await within(folder, (project) =>
      exportContract(project, project.definitions.sources.get('orders')!, undefined),
    );
    // It only warns: nothing that was accepted is refused.
    expect(document['version']).toBe('2.3.2');
    writeFileSync(
      file,
      readFileSync(file, 'utf8')
        .replace('      day: date\n', '')
        .replace('[ customer_id, day ]', '[ customer_id, status ]'),
    );
    const next = await within(folder, (project) =>
      exportContract(project, project.definitions.sources.get('orders')!, undefined),
    );
    expect(next.document['version']).toBe('3.0.0');
  });

  it('of version 3.0 is read too, others are refused with the reason', async () => {
    const folder = newFolder({
      'old.yaml': `apiVersion: v3.0.2
kind: DataContract
id: a
version: 1.0.0
status: draft
team: [{ username: ann, role: Owner }]
schema:
  - name: t
    properties:
      - { name: id, logicalType: string, primaryKey: true }
      - { name: at, physicalType: timestamp_ntz, quality: [{ rule: nullCheck, mustBe: 0 }] }
      - { name: v, physicalType: varchar(20), quality: [{ rule: duplicateCount, mustBe: 0 }] }
`,
      'v2.yaml': 'apiVersion: v2.2.2\nkind: DataContract\n',
      'broken.yaml': 'a: [1\n',
    });
    const { text, sources } = await importContract(path.join(folder, 'old.yaml'));
    expect(sources).toEqual(['t']);
    expect(parse(text)).toMatchObject({
      sources: [
        {
          owner: 'ann',
          record_key: 'id',
          event_time: 'at',
          fields: { id: 'string', at: 'timestamp', v: 'string' },
          contract: { v: { unique: true } },
        },
      ],
    });
    await expect(importContract(path.join(folder, 'v2.yaml'))).rejects.toMatchObject({
      code: 'FORMAT_UNKNOWN',
    });
    await expect(importContract(path.join(folder, 'broken.yaml'))).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
    });
    await expect(importContract(path.join(folder, 'none.yaml'))).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
  });
});

const SHOP = (rule: string, field = ''): string => `
entities: [{ name: customer, join_key: customer }]
sources:
  - name: orders
    read: { files: orders.csv }
    record_key: id
    event_time: at
    fields: { id: string, customer: string, amount: float64${field}, at: timestamp }
    contract: { amount: ${rule} }
features:
  - name: spend
    entity: customer
    aggregation: { function: sum, source: orders.amount, window: 30d }
feature_sets: [{ name: all, features: [spend] }]
`;

describe('versions of a contract', () => {
  it('are recorded with what comes in, compared with readers, and announced by the plan', async () => {
    const definition = 'definitions/shop.yaml';
    const folder = newFolder({
      [definition]: SHOP('{ range: [0, 100] }'),
      'orders.csv': 'id,customer,amount,at\na,x,5,2024-01-01\nb,y,500,2024-01-02\n',
    });
    const ingest = () =>
      within(folder, async (project) => {
        const source = project.definitions.sources.get('orders')!;
        return (await project.log()).ingestFiles(source, [path.join(folder, 'orders.csv')], {
          now: project.now(),
        });
      });
    const versions = () =>
      within(folder, async (project) =>
        (await (await project.log()).contracts('orders')).map(
          ({ version, semver, batches, accepted }) => [version, semver, batches, accepted] as const,
        ),
      );
    await within(folder, async (project) => {
      const source = project.definitions.sources.get('orders')!;
      await expect(compareContracts(project, source, undefined)).rejects.toMatchObject({
        code: 'UNKNOWN_NAME',
      });
    });
    expect(await ingest()).toMatchObject({ accepted: 1, quarantined: 1 });
    expect(await versions()).toEqual([[1, '1.0.0', 1, 1]]);
    await within(folder, async (project) => expect((await planProject(project)).contracts).toEqual([]));

    writeFileSync(path.join(folder, definition), SHOP('{ range: [10, 1000] }'));
    await within(folder, async (project) => {
      const source = project.definitions.sources.get('orders')!;
      const diff = await compareContracts(project, source, undefined);
      expect(diff).toMatchObject({ from: '1.0.0', class: 'breaking', suggested: '2.0.0' });
      expect(diff.changes).toMatchObject([
        { change: 'rule.changed', field: 'amount', readers: ['feature.spend', 'feature_set.all'] },
      ]);
      const plan = await planProject(project);
      expect(plan.contracts).toMatchObject([
        { source: 'orders', from: '1.0.0', to: '2.0.0', class: 'breaking' },
      ]);
    });
    expect(await ingest()).toMatchObject({ accepted: 1, quarantined: 1 });
    expect(await versions()).toEqual([
      [1, '1.0.0', 1, 1],
      [2, '2.0.0', 1, 1],
    ]);

    writeFileSync(path.join(folder, definition), SHOP('{ range: [0, 100] }'));
    await within(folder, (project) =>
      (async () => {
        const source = project.definitions.sources.get('orders')!;
        expect(await compareContracts(project, source, '1')).toMatchObject({ class: null });
        expect(await compareContracts(project, source, '1.0.0', 'v2.0.0')).toMatchObject({
          class: 'breaking',
        });
        await expect(compareContracts(project, source, '7')).rejects.toMatchObject({ code: 'UNKNOWN_NAME' });
        const out = path.join(folder, 'orders.odcs.yaml');
        const { text } = await exportContract(project, source, out);
        writeFileSync(out, text);
        expect(await compareContracts(project, source, out)).toMatchObject({ class: null });
        expect(existsSync(out)).toBe(true);
      })(),
    );
    await ingest();
    expect((await versions()).map(([, semver]) => semver)).toEqual(['1.0.0', '2.0.0', '3.0.0']);
  });

  it('are recorded for pushed records too', async () => {
    const folder = newFolder({
      'definitions/shop.yaml': SHOP('{ min: 0 }').replace('{ files: orders.csv }', 'push'),
    });
    const push = (id: string) =>
      within(folder, async (project) => {
        const source = project.definitions.sources.get('orders')!;
        const row = { id, customer: 'x', amount: 1, at: '2024-01-01T00:00:00Z' };
        await (await project.log()).ingestRows(source, [row], { now: project.now() });
      });
    await push('a');
    await push('b');
    await within(folder, async (project) =>
      expect(await (await project.log()).contracts('orders')).toMatchObject([
        { version: 1, semver: '1.0.0', batches: 2, accepted: 2 },
      ]),
    );
  });
});
