import { readBatch } from './batch-rules.js';
import { findField, type Resolved, recordScope } from './context.js';
import { readCondition } from './expressions.js';
import { type FieldRules, readFieldRules } from './field-rules.js';
import { isBatchSql, judged, type RawContract } from './judgement.js';
import type { MappingEntry } from './shape.js';
import type { Contract, RowRule, Source } from './types.js';

/**
 * The rules of a source. That its record key and event time are there is implied. References to other sources are
 * checked once all sources are known (`checkReferences`).
 */
export function readContract(
  context: Resolved,
  source: Source,
  raw: RawContract | undefined,
  onError: 'quarantine' | 'fail' | undefined,
): Contract {
  const rows: RowRule[] = [];
  for (const name of new Set([...source.recordKey, source.eventTime].filter(Boolean))) {
    rows.push({
      id: `${name}.not_null`,
      field: name,
      check: { kind: 'not_null' },
      severity: 'error',
      action: 'quarantine',
    });
  }
  for (const [name, entry] of raw?.$rest ?? []) {
    const { value, keyPlace } = entry as MappingEntry<readonly FieldRules[]>;
    for (const rules of value) readFieldRules(context, source, name, { value: rules, keyPlace }, rows);
  }
  for (const rule of raw?.rules ?? []) readNamedRule(context, source, rule, rows);
  return {
    rows,
    batch: readBatch(context, source, raw?.batch ?? []),
    ...(onError === 'fail' ? { onError } : {}),
  };
}

function readNamedRule(
  context: Resolved,
  source: Source,
  rule: NonNullable<RawContract['rules']>[number],
  rows: RowRule[],
): void {
  if (!rule.name) return;
  const { report } = context;
  const subject = `rule \`${rule.name.value}\``;
  const id = rule.name.value;
  if (rows.some((other) => other.id === id)) {
    report.add('DEF_DUPLICATE_NAME', rule.name.place, `${subject} of source \`${source.name}\` stands twice`);
    return;
  }
  const target = rule.field && findField(context, subject, source, rule.field);
  if (rule.field && !target) return;
  const add = (check: RowRule['check'], field: string | null): void => {
    const judgement = judged(context, source, rule, { label: subject, check, target: target ?? null });
    if (judgement) rows.push({ id, field, check, ...judgement });
  };
  const kinds = (['check', 'unique', 'sql'] as const).filter((key) => rule.$.keys.has(key));
  if (kinds.length !== 1) {
    report.add(
      'DEF_MISSING_KEY',
      rule.$.place,
      kinds.length === 0
        ? `${subject} has none of \`check\`, \`unique\`, \`sql\``
        : `${subject} has \`${kinds.join('` and `')}\`: expected one of them`,
      {
        hint: 'Write `check: "amount >= 0"`, `unique: [a, b]`, or `sql: "SELECT _row FROM {batch} WHERE ..."`.',
      },
    );
  } else if (rule.field && kinds[0] !== 'check') {
    report.add(
      'DEF_UNKNOWN_KEY',
      rule.$.keys.get('field'),
      `${subject}: ${kinds[0]} does not take \`field\``,
    );
  } else if (rule.check) {
    const expression = readCondition(report, subject, rule.check, recordScope(context, source));
    if (expression) add({ kind: 'expression', expression }, target?.name ?? null);
  } else if (rule.unique) {
    const fields = rule.unique.flatMap((field) => findField(context, subject, source, field)?.name ?? []);
    if (fields.length === rule.unique.length) add({ kind: 'unique', fields }, null);
  } else if (rule.sql && isBatchSql(report, subject, rule.sql)) {
    if (/_row\b|\*/i.test(rule.sql.value)) add({ kind: 'sql', sql: rule.sql.value }, null);
    else
      report.add(
        'DEF_INVALID_VALUE',
        rule.sql.place,
        `${subject} does not give \`_row\`: expected the rows that break it`,
        {
          hint: 'Write `SELECT _row FROM {batch} WHERE ...`; a rule over the whole batch stands under `batch: { rules: ... }`.',
        },
      );
  }
}
