import { describe, expect, it } from 'vitest';
import {
  definitionChanges,
  type KnownDefinitions,
  knownDefinitions,
} from '../../src/core/plan/definition-changes.js';
import { costOf, expectedRows, expectedSeconds } from '../../src/core/plan/estimate.js';
import { approvalReason } from '../../src/core/plan/policy.js';
import { BASE, fromYaml } from '../define/check.js';

const ran = (rows: number | null, seconds: number, bytes: number | null = null) => ({ rows, bytes, seconds });

describe('what a step is expected to take', () => {
  it('is not known before it ran', () => {
    expect(expectedSeconds([], { rows: 10, bytes: null })).toBeNull();
  });

  it('is linear in rows, with what every run takes at the start', () => {
    const earlier = [ran(100, 2), ran(200, 3), ran(300, 4)];
    expect(expectedSeconds(earlier, { rows: 1000, bytes: null })).toBeCloseTo(11, 9);
    expect(expectedSeconds(earlier, { rows: 0, bytes: null })).toBeCloseTo(1, 9);
  });

  it('goes through zero when one size alone was seen, and never falls below it', () => {
    expect(expectedSeconds([ran(100, 2), ran(100, 4)], { rows: 50, bytes: null })).toBeCloseTo(1.5, 9);
    expect(expectedSeconds([ran(100, 1), ran(200, 10)], { rows: 10, bytes: null })!).toBeGreaterThan(0);
    expect(expectedSeconds([ran(100, 4), ran(200, 2)], { rows: 10_000, bytes: null })).toBe(3);
  });

  it('counts bytes where rows are not known, and repeats the last time where neither is', () => {
    expect(expectedSeconds([ran(null, 2, 100)], { rows: null, bytes: 300 })).toBeCloseTo(6, 9);
    expect(expectedSeconds([ran(null, 5), ran(null, 7)], { rows: null, bytes: null })).toBe(5);
    expect(expectedRows([ran(null, 1, 10), ran(50, 1, 100)], 400)).toBe(200);
  });
});

describe('a policy', () => {
  const cost = costOf([
    { expected: { rows: 10, bytes: 5, seconds: 3 } },
    { expected: { rows: null, bytes: null, seconds: null } },
  ]);

  it('adds up what is known and counts what is not', () => {
    expect(cost).toEqual({ rows: 10, bytes: 5, seconds: 3, unknown: 1 });
  });

  it('asks always, above a budget, or never', () => {
    expect(approvalReason(cost, { run: 'auto', budget: {} })).toBeNull();
    expect(approvalReason(cost, { run: 'ask', budget: {} })).toContain('ask');
    expect(approvalReason(cost, { run: 'auto', budget: { seconds: 3, rows: 10 } })).toBeNull();
    expect(approvalReason(cost, { run: 'auto', budget: { seconds: 2.5 } })).toContain('2.5 s');
    expect(approvalReason(cost, { run: 'auto', budget: { rows: 9 } })).toContain('9 rows');
  });
});

describe('changes of definitions', () => {
  const text = `${BASE}
features:
  - { name: spend_7d, entity: user, aggregation: { function: sum, source: orders.total, window: 7d } }
  - { name: doubled, entity: user, expression: spend_7d * 2 }
datasets:
  - { name: churn, observations: { source: orders, time: at }, features: [spend_7d] }
`;
  const changes = (next: string) => {
    const [before, after] = [text, next].map((yaml) => {
      const { definitions, diagnostics } = fromYaml(yaml);
      expect(diagnostics.filter(({ severity }) => severity === 'error')).toEqual([]);
      // As they come out of the registry.
      return JSON.parse(JSON.stringify(knownDefinitions(definitions))) as KnownDefinitions;
    });
    return definitionChanges(before!, after!).map(
      ({ thing, class: kind, what }) => `${kind}: ${thing} ${what}`,
    );
  };

  it('are none where lines move and comments come', () => {
    expect(changes(`# what we sell\n\n${text}`)).toEqual([]);
  });

  it('are cosmetic where people are told something else', () => {
    expect(changes(text.replace('name: churn,', 'name: churn, owner: ann,'))).toEqual([
      'cosmetic: dataset.churn computes the same: owner ann is new',
    ]);
  });

  it('are additive where something is new', () => {
    const counted =
      '  - { name: orders_7d, entity: user, aggregation: { function: count, source: orders } }\n';
    expect(changes(text.replace('datasets:', `${counted}datasets:`))).toEqual([
      'additive: feature.orders_7d is new',
    ]);
  });

  it('are breaking where a meaning changes, in the thing itself and in what reads it', () => {
    expect(changes(text.replace('window: 7d', 'window: 14d'))).toEqual([
      'breaking: feature.spend_7d means something else: computation.window 7d → 14d',
      'breaking: feature.doubled through what is read, which means something else now',
      'breaking: dataset.churn through what is read, which means something else now',
    ]);
    expect(changes(text.replace('name: churn,', 'name: leavers,'))).toEqual([
      'additive: dataset.leavers is new',
      'breaking: dataset.churn is no more',
    ]);
  });

  it('of a source concern who reads what has changed, and nobody where new records are judged otherwise', () => {
    expect(changes(text.replace('city: string', 'city: string, country: string'))).toEqual([
      'additive: source.users has more fields: fields.country.type string is new',
    ]);
    const contract = '\n    contract: { total: { not_null: true } }\n  - name: users';
    expect(changes(text.replace('\n  - name: users', contract))).toEqual([
      'additive: source.orders judges new records otherwise',
    ]);
    // Observations hold all fields of their source; a feature only those that it is told by.
    expect(changes(text.replace('paid: boolean', 'paid: string'))).toEqual([
      'breaking: source.orders has other fields: fields.paid.type boolean → string',
      'breaking: dataset.churn through what is read, which means something else now',
    ]);
  });

  it('of a gate train nothing again', () => {
    const model = `${text}labels: [{ name: bought, source: orders, expression: paid, horizon: 1h }]
models: [{ name: pays, dataset: churn, task: binary, trainer: { kind: baseline }, promote: { require: [test.auc >= 0.6] } }]
`.replace(
      'features: [spend_7d]',
      'features: [spend_7d], label: bought, split: { by: time, parts: { train: 0.7, test: 0.3 } }',
    );
    const of = (yaml: string) => knownDefinitions(fromYaml(yaml).definitions);
    expect(definitionChanges(of(model), of(model.replace('0.6', '0.7')))).toEqual([
      {
        thing: 'model.pays',
        class: 'cosmetic',
        what: 'computes the same: promote.require.0 test.auc >= 0.6 → test.auc >= 0.7',
      },
    ]);
  });
});
