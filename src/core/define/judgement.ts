/** What happens to a row that breaks a rule: severity, action, what stands in for a value. */

import { isSqlExpressible } from '../expression/index.js';
import { isNumeric, printType, type Value, type ValueType } from '../schema/types.js';
import { findField, type Resolved } from './context.js';
import type { ScalarValue } from './node.js';
import type { Located, Out } from './shape.js';
import type { sourceShape } from './shapes/source.js';
import type { FieldDefinition, Imputation, RowRule, Severity, Source } from './types.js';
import { literalValue } from './values.js';

export type RawContract = NonNullable<Out<typeof sourceShape>['contract']>;
type RawAction = NonNullable<NonNullable<RawContract['rules']>[number]['action']>;
export interface Judgement {
  readonly severity?: Located<Severity>;
  readonly action?: RawAction;
}
type Judged = Pick<RowRule, 'severity' | 'action' | 'impute'>;

const ROW_CHECKS_TO_CAP =
  'A cap puts the nearest bound in the place of a value: it needs `range`, `min` or `max`.';

/**
 * Severity and action of a rule. `target` is the field that a repair changes, null where the rule is about no field
 * alone. Undefined: the action does not fit, and a diagnostic says so.
 */
export function judged(
  context: Resolved,
  source: Source,
  raw: Judgement,
  rule: { readonly label: string; readonly check: RowRule['check']; readonly target: FieldDefinition | null },
): Judged | undefined {
  const severity = raw.severity?.value ?? 'error';
  const { action } = raw;
  if (!action) return { severity, action: 'quarantine' };
  const cap = !('$' in action) && action.value === 'cap';
  if (!('$' in action) && !cap) return { severity, action: action.value };
  const place = '$' in action ? action.$.place : action.place;
  const refuse = (why: string, hint: string): undefined =>
    context.report.add('DEF_INVALID_VALUE', place, `${rule.label} ${why}`, { hint });
  const { check, target } = rule;
  if (check.kind === 'reference' || check.kind === 'unique' || check.kind === 'sql')
    return refuse(
      `cannot be repaired: it compares records with each other`,
      'Use quarantine, drop, flag, warn or fail.',
    );
  if (check.kind === 'expression' && !isSqlExpressible(check.expression))
    return refuse(
      'cannot be repaired: its expression has no SQL',
      'Use quarantine, drop, flag, warn or fail.',
    );
  if (!target)
    return refuse(
      'does not say which field is repaired',
      'Name it: `field: amount`, beside `check` and `action`.',
    );
  const fixed = new Set([
    ...source.recordKey,
    source.eventTime,
    source.availableAt.kind === 'field' ? source.availableAt.field : undefined,
    source.deleted,
    source.sequence,
  ]);
  if (fixed.has(target.name))
    return refuse(
      `would repair \`${target.name}\`: keys, times, delete markers and sequences of records are never made up`,
      'Use quarantine, drop or fail.',
    );
  if (target.type.kind === 'float64_vector')
    return refuse(`would repair \`${target.name}\`, a vector`, 'Use quarantine, drop, flag, warn or fail.');
  if (cap) {
    if (check.kind !== 'range') return refuse('cannot be capped', ROW_CHECKS_TO_CAP);
    if (target.type.kind === 'string')
      return refuse('cannot be capped: texts have no nearest bound', 'Impute a constant instead.');
    if ((check.min !== undefined && check.minExclusive) || (check.max !== undefined && check.maxExclusive))
      return refuse(
        'cannot be capped: `greater_than` and `less_than` have no nearest value',
        'Use `range`, `min` or `max`.',
      );
    return { severity, action: 'cap' };
  }
  const impute =
    '$' in action ? readImputation(context, source, action, rule.label, check, target) : undefined;
  return impute && { severity, action: 'impute', impute };
}

function readImputation(
  context: Resolved,
  source: Source,
  raw: Extract<RawAction, { readonly $: unknown }>,
  label: string,
  check: RowRule['check'],
  target: FieldDefinition,
): Imputation | undefined {
  const { report } = context;
  const kind = raw.impute?.value;
  if (!kind) return undefined;
  for (const [key, owner] of [
    ['value', 'constant'],
    ['by', 'last'],
  ] as const) {
    if (raw.$.keys.has(key) && kind !== owner)
      return report.add(
        'DEF_UNKNOWN_KEY',
        raw.$.keys.get(key),
        `${label}: impute ${kind} does not take \`${key}\``,
      );
  }
  const type = printType(target.type);
  if (kind === 'constant') {
    if (!raw.value || raw.value.value === null)
      return report.add('DEF_MISSING_KEY', raw.$.place, `${label} has no \`value\`: expected the constant`, {
        hint: 'Write `{ impute: constant, value: 0 }`.',
      });
    const value = literalValue(raw.value.value, raw.value.text, target.type);
    if (value === undefined) return wrongType(context, raw.value, `\`value\` of ${label}`, target.type);
    if (isOutside(check, value as number))
      return report.add(
        'DEF_INVALID_VALUE',
        raw.value.place,
        `\`value\` of ${label} is \`${raw.value.text}\`, which breaks the rule itself`,
      );
    return { kind, value: value as Value };
  }
  if (kind === 'mean' && !isNumeric(target.type))
    return report.add(
      'DEF_TYPE',
      raw.impute!.place,
      `${label}: \`mean\` needs a number, and \`${target.name}\` is ${type}`,
      {
        hint: 'Use median for times, last or constant for others.',
      },
    );
  if (kind === 'median' && !isNumeric(target.type) && !['timestamp', 'date'].includes(target.type.kind))
    return report.add(
      'DEF_TYPE',
      raw.impute!.place,
      `${label}: \`median\` needs a number or a time, and \`${target.name}\` is ${type}`,
      { hint: 'Use last or constant.' },
    );
  if (kind !== 'last') return { kind };
  if (raw.by) {
    const by = raw.by.flatMap(
      (written) => findField(context, `\`by\` of ${label}`, source, written)?.name ?? [],
    );
    return by.length === raw.by.length ? { kind, by } : undefined;
  }
  return { kind, by: source.recordKey.filter((name) => name !== source.eventTime) };
}

/** True for a constant that breaks the limits or the set it is to repair. */
function isOutside(check: RowRule['check'], value: Value & number): boolean {
  if (check.kind === 'set') return !check.values.includes(value);
  if (check.kind !== 'range' || typeof value === 'string') return false;
  const { min, max } = check as { readonly min?: number; readonly max?: number };
  return (
    (min !== undefined && (check.minExclusive ? value <= min : value < min)) ||
    (max !== undefined && (check.maxExclusive ? value >= max : value > max))
  );
}

/** The id, with a number where it stands already. */
export function freshId(id: string, rules: readonly { readonly id: string }[]): string {
  let n = 1;
  const numbered = (): string => (n === 1 ? id : `${id}#${n}`);
  while (rules.some((rule) => rule.id === numbered())) n++;
  return numbered();
}

/** One SELECT over `{batch}`. What else is wrong with it the engine says when it runs. */
export function isBatchSql(report: Resolved['report'], subject: string, sql: Located<string>): boolean {
  const code = sql.value.replace(/'(?:[^']|'')*'|--[^\n]*|\/\*[\s\S]*?\*\//g, ' ');
  const fault = !/^\s*(select|with|from)\b/i.test(code)
    ? 'is no SELECT'
    : code.replace(/;\s*$/, '').includes(';')
      ? 'is more than one statement'
      : !code.includes('{batch}')
        ? 'does not read `{batch}`'
        : undefined;
  if (fault === undefined) return true;
  report.add('DEF_INVALID_VALUE', sql.place, `the SQL of ${subject} ${fault}`, {
    hint: 'Write one SELECT; `{batch}` stands for the rows that are judged, with their fields and `_row`.',
  });
  return false;
}

export function wrongType(
  context: Resolved,
  item: Located<ScalarValue>,
  label: string,
  type: ValueType,
): undefined {
  return context.report.add(
    'DEF_TYPE',
    item.place,
    `${label} is \`${item.text}\`: expected a value of type ${printType(type)}`,
  );
}
