import { describe, expect, it } from 'vitest';
import { auditLeakage } from '../../src/core/dataset/leakage.js';
import { fromYaml, show } from '../define/check.js';

/** Loans: asked for at `asked`, and paid back or not by `settled`. `clock` says when a settlement is known. */
const project = (given: {
  readonly clock?: string;
  readonly features: string;
  readonly names: string;
  readonly label?: string;
  readonly observations?: string;
  readonly dataset?: string;
}): string => `
entities:
  - { name: user, join_key: user_id }
  - { name: loan, join_key: loan_id }
  - { name: branch, join_key: branch_id }
sources:
  - name: applications
    read: { files: a.csv }
    record_key: loan_id
    event_time: asked
    fields: { loan_id: string, user_id: int64, branch_id: string, amount: float64, asked: timestamp }
  - name: settlements
    read: { files: s.csv }
    record_key: loan_id
    event_time: settled
    ${given.clock ?? ''}
    fields: { loan_id: string, user_id: int64, branch_id: string, repaid: float64, settled: timestamp, known: timestamp }
  - name: visits
    read: { files: v.csv }
    record_key: visit_id
    event_time: at
    fields: { visit_id: string, user_id: int64, pages: int64, at: timestamp }
transforms:
  - name: branch_days
    sql: SELECT branch_id, date_trunc('day', settled) AS day, avg(repaid) AS mean FROM settlements GROUP BY ALL
    record_key: [branch_id, day]
    event_time: day
    fields: { branch_id: string, day: timestamp, mean: float64 }
  - name: branch_days_honest
    sql: SELECT branch_id, date_trunc('day', settled) AS day, avg(repaid) AS mean, max(settled) AS last FROM settlements GROUP BY ALL
    record_key: [branch_id, day]
    event_time: day
    available_at: last
    fields: { branch_id: string, day: timestamp, mean: float64, last: timestamp }
features:
${given.features}
labels:
  - ${given.label ?? "{ name: bad, source: settlements, expression: 'repaid < 0.9', horizon: 30d }"}
datasets:
  - { name: train, observations: { ${given.observations ?? 'source: applications, time: asked'} }, features: [${given.names}], label: bad ${given.dataset ?? ''} }
`;

function findings(given: Parameters<typeof project>[0]): string[] {
  const { definitions, diagnostics } = fromYaml(project(given));
  expect(diagnostics.filter((item) => item.severity === 'error').map(show)).toEqual([]);
  return auditLeakage(definitions, definitions.datasets.get('train')!).map((finding) => {
    expect(finding.remedy).toMatch(/\w/);
    if (finding.feature) expect(finding.message).toContain(finding.feature);
    return `${finding.severity} ${finding.rule}${finding.feature ? ` ${finding.feature}` : ''}`;
  });
}

const mean = (name: string, entity: string, of: string, more = ''): string =>
  `  - { name: ${name}, entity: ${entity}, aggregation: { function: mean, source: ${of}, window: 30d${more} } }`;
const KNOWN = 'available_at: known';

describe('the audit refuses', () => {
  it.each([
    [
      'the outcome record of the observation itself',
      { clock: KNOWN, features: mean('f', 'loan', 'settlements.repaid'), names: 'f' },
      ['refuse outcome_field f'],
    ],
    [
      'another field of the outcome record',
      {
        clock: KNOWN,
        features:
          '  - { name: f, entity: loan, aggregation: { function: last, source: settlements.user_id, window: 30d } }',
        names: 'f',
      },
      ['refuse outcome_field f'],
    ],
    [
      'that the outcome is there at all',
      {
        clock: KNOWN,
        features:
          '  - { name: f, entity: loan, aggregation: { function: count, source: settlements, window: 30d } }',
        names: 'f',
      },
      ['refuse outcome_field f'],
    ],
    [
      'past outcomes that are said to be known as they happen',
      { features: mean('f', 'user', 'settlements.repaid'), names: 'f' },
      ['refuse outcome_available_at_event f'],
    ],
    [
      'a delay of nothing',
      { clock: 'available_at: { delay: 0s }', features: mean('f', 'user', 'settlements.repaid'), names: 'f' },
      ['refuse outcome_available_at_event f'],
    ],
    [
      'what is computed from outcomes, with no word on when it is known',
      { clock: KNOWN, features: mean('f', 'branch', 'branch_days.mean'), names: 'f' },
      ['refuse derived_from_outcome f'],
    ],
    [
      'the current instant of the outcomes',
      {
        clock: KNOWN,
        features: mean('f', 'user', 'settlements.repaid', ', include_current: true'),
        names: 'f',
      },
      ['refuse includes_current f'],
    ],
    [
      'a leak behind an expression',
      {
        features: `${mean('inner', 'user', 'settlements.repaid')}\n  - { name: f, entity: user, expression: 'inner * 2' }`,
        names: 'f',
      },
      ['refuse outcome_available_at_event inner'],
    ],
    [
      'the outcome given with the observations',
      {
        clock: KNOWN,
        features: "  - { name: f, entity: user, expression: 'request.repaid', request: { repaid: float64 } }",
        names: 'f',
        observations: 'source: settlements, time: settled',
      },
      ['refuse outcome_request_field f'],
    ],
    [
      'every leak at once',
      {
        features: `${mean('a', 'user', 'settlements.repaid')}\n${mean('b', 'loan', 'settlements.repaid')}`,
        names: 'a, b',
      },
      ['refuse outcome_available_at_event a', 'refuse outcome_field b'],
    ],
  ] as const)('%s', (_, given, expected) => {
    expect(findings(given)).toEqual(expected);
  });
});

describe('the audit lets through', () => {
  it.each([
    ['what has nothing to do with the outcome', { features: mean('f', 'user', 'visits.pages'), names: 'f' }],
    [
      'past outcomes that say when they were known',
      { clock: KNOWN, features: mean('f', 'user', 'settlements.repaid'), names: 'f' },
    ],
    [
      'past outcomes that are known with a delay',
      {
        clock: 'available_at: { delay: 2d }',
        features: mean('f', 'branch', 'settlements.repaid'),
        names: 'f',
      },
    ],
    [
      'what is computed from outcomes and says when it is known',
      { clock: KNOWN, features: mean('f', 'branch', 'branch_days_honest.mean'), names: 'f' },
    ],
    [
      'past applications of the same user',
      { features: mean('f', 'user', 'applications.amount'), names: 'f' },
    ],
    [
      'a field of the application',
      {
        clock: KNOWN,
        features: "  - { name: f, entity: user, expression: 'request.amount', request: { amount: float64 } }",
        names: 'f',
      },
    ],
    [
      'earlier records of the source whose later records an aggregate label counts',
      {
        features: mean('f', 'user', 'visits.pages'),
        names: 'f',
        label: '{ name: bad, entity: user, aggregation: { function: count, source: visits }, horizon: 30d }',
      },
    ],
  ] as const)('%s', (_, given) => {
    expect(findings(given)).toEqual([]);
  });

  it('hindsight, but says so', () => {
    expect(
      findings({
        clock: KNOWN,
        features: mean('f', 'user', 'visits.pages'),
        names: 'f',
        dataset: ', knowledge: hindsight',
      }),
    ).toEqual(['warn hindsight']);
  });
});
