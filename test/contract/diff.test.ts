import { describe, expect, it } from 'vitest';
import type { Source } from '../../src/core/define/types.js';
import { diffContracts, nextVersion } from '../../src/core/quality/contract-diff.js';
import { contractFingerprint, snapshotOf } from '../../src/core/quality/contract-snapshot.js';
import { fromYaml } from '../define/check.js';

const BASE = `
sources:
  - name: orders
    read: { files: orders.csv }
    record_key: order_id
    event_time: at
    available_at: { delay: 2h }
    fields: { order_id: string, user_id: int64, amount: decimal(2), status: string, note: string, day: date, at: timestamp }
    contract:
      user_id: { not_null: true }
      amount: { range: [0, 100] }
      status: { in: [paid, open] }
      order_id: { pattern: '^[A-Z]{2}\\d+$' }
      note: { length: [null, 80], severity: warning, action: flag }
      rules: [{ name: sane, check: 'amount > 0' }]
      batch: { rows: { min: 10 }, null_rate: { note: 0.1 } }
`;

const sourceOf = (text: string): Source => {
  const { definitions, diagnostics } = fromYaml(text);
  expect(diagnostics.filter((item) => item.severity === 'error')).toEqual([]);
  return definitions.sources.get('orders')!;
};
const base = snapshotOf(sourceOf(BASE));
const changed = (from: string, to: string) => {
  expect(BASE).toContain(from);
  return diffContracts(base, snapshotOf(sourceOf(BASE.replace(from, to))), (field) => [`reader.${field}`]);
};

describe('a change of a contract', () => {
  const CASES: readonly (readonly [what: string, from: string, to: string, expected: readonly string[]])[] = [
    ['a removed field', 'day: date, ', '', ['breaking field.removed day']],
    ['an added field', 'day: date', 'day: date, city: string', ['additive field.added city']],
    ['a field that is probably renamed', 'day: date', 'dayz: date', ['breaking field.renamed day']],
    [
      'a field renamed over its column',
      'day: date',
      'moment: { type: date, from: day }',
      ['breaking field.renamed day'],
    ],
    ['another column', 'day: date', 'day: { type: date, from: d }', ['risky field.column day']],
    ['a narrower type', 'user_id: int64', 'user_id: boolean', ['breaking field.type user_id']],
    ['a wider type', 'day: date', 'day: timestamp', ['risky field.type day']],
    ['fewer decimals', 'decimal(2)', 'decimal(1)', ['breaking field.type amount']],
    [
      'another record key',
      'record_key: order_id',
      'record_key: [order_id, user_id]',
      ['breaking record_key null'],
    ],
    ['another availability', 'delay: 2h', 'delay: 3h', ['breaking available_at null']],
    [
      'another time zone',
      'record_key: order_id',
      'record_key: order_id\n    timezone: Europe/Berlin',
      ['breaking timezone null'],
    ],
    [
      'a new requirement',
      'amount: { range',
      'amount: { not_null: true, range',
      ['breaking rule.required amount'],
    ],
    ['a requirement less', 'user_id: { not_null: true }', '', ['risky rule.removed user_id']],
    ['a smaller set', '[paid, open]', '[paid]', ['breaking rule.tightened status']],
    ['a larger set', '[paid, open]', '[paid, open, lost]', ['risky rule.loosened status']],
    ['another set', '[paid, open]', '[paid, lost]', ['breaking rule.changed status']],
    ['another form', '^[A-Z]{2}\\d+$', '^[A-Z]([A-Z])[0-9]+$', ['compatible rule.changed order_id']],
    ['another alternative', '^[A-Z]{2}\\d+$', '^[A-Z]{2}\\d+$|^\\d+$', ['risky rule.loosened order_id']],
    ['a class of more', '[A-Z]{2}', '[A-Za-z]{1,3}', ['risky rule.loosened order_id']],
    ['a set of two', '[A-Z]{2}', '(AB|CD)', ['breaking rule.tightened order_id']],
    ['a longer pattern', '\\d+$', '\\d{2,}$', ['breaking rule.tightened order_id']],
    ['another pattern', '[A-Z]{2}', '[a-z]{2}', ['breaking rule.changed order_id']],
    ['a narrower range', '[0, 100]', '[1, 100]', ['breaking rule.tightened amount']],
    ['a wider range', '[0, 100]', '[0, 1000]', ['risky rule.loosened amount']],
    ['a moved range', '[0, 100]', '[10, 1000]', ['breaking rule.changed amount']],
    ['an open end', 'range: [0, 100]', 'greater_than: 0, max: 100', ['breaking rule.tightened amount']],
    ['a rule that only marks, changed', '[null, 80]', '[null, 40]', ['compatible rule.changed note']],
    [
      'a rule that begins to refuse',
      'severity: warning, action: flag',
      'severity: warning',
      ['breaking rule.action note'],
    ],
    [
      'another severity',
      'severity: warning, action',
      'severity: info, action',
      ['compatible rule.severity note'],
    ],
    ['another expression', "check: 'amount > 0'", "check: 'amount > 1'", ['risky rule.changed null']],
    [
      'a new rule that refuses',
      "name: sane, check: 'amount > 0' }",
      "name: sane, check: 'amount > 0' }, { name: more, check: 'user_id > 0' }",
      ['risky rule.added null'],
    ],
    [
      'a new rule that marks',
      'amount: { range: [0, 100] }',
      "amount: { range: [0, 100] }\n      day: { min: '2020-01-01', action: warn }",
      ['compatible rule.added day'],
    ],
    ['a repair', 'range: [0, 100]', 'range: [0, 100], action: cap', ['risky rule.action amount']],
    ['a laxer batch', 'rows: { min: 10 }', 'rows: { min: 5 }', ['risky rule.loosened null']],
    ['a stricter batch', 'note: 0.1', 'note: 0.01', ['risky rule.tightened note']],
  ];
  for (const [what, from, to, expected] of CASES)
    it(`${what} is ${expected[0]!.split(' ')[0]}`, () => {
      const { changes } = changed(from, to);
      expect(changes.map((change) => `${change.class} ${change.change} ${change.field}`)).toEqual(expected);
      for (const change of changes) {
        expect(change.reason).not.toBe('');
        expect(change.readers).toContain(`reader.${change.field}`);
      }
    });

  it('names the readers of a renamed field by its new name too', () => {
    expect(changed('day: date', 'dayz: date').changes[0]!.readers).toEqual(['reader.day', 'reader.dayz']);
  });

  it('has the gravest class of its parts, and they come in that order', () => {
    const {
      class: worst,
      bump,
      changes,
    } = changed(
      'day: date, at: timestamp }\n    contract:\n      user_id: { not_null: true }',
      'city: string, at: timestamp }\n    contract:',
    );
    expect([worst, bump]).toEqual(['breaking', 'major']);
    expect(changes.map((change) => change.class)).toEqual(['breaking', 'risky', 'additive']);
  });

  it('is none for another order, spelling, place or description', () => {
    const other = sourceOf(
      BASE.replace('files: orders.csv', 'files: other/*.parquet')
        .replace('order_id: string, user_id: int64', 'user_id: int64, order_id: string')
        .replace("'amount > 0'", "'(amount>0)'")
        .replace(
          'record_key: order_id',
          'record_key: [order_id]\n    description: What was bought\n    owner: me',
        ),
    );
    expect(contractFingerprint(snapshotOf(other))).toBe(contractFingerprint(base));
    expect(diffContracts(base, snapshotOf(other))).toEqual({ class: null, bump: 'none', changes: [] });
  });

  it('survives being stored as JSON', () => {
    const stored = JSON.parse(JSON.stringify(base)) as typeof base;
    expect(contractFingerprint(stored)).toBe(contractFingerprint(base));
    expect(diffContracts(stored, base).class).toBe(null);
  });

  it('asks for the version that semver says', () => {
    const next = (bump: Parameters<typeof nextVersion>[1]): string => nextVersion('1.4.2', bump);
    expect([next('none'), next('patch'), next('minor'), next('major')]).toEqual([
      '1.4.2',
      '1.4.3',
      '1.5.0',
      '2.0.0',
    ]);
  });
});
