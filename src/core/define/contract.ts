import { isSqlExpressible } from '../expression/index.js';
import { checkPattern } from '../schema/pattern.js';
import { isNumeric, printType, type Value, type ValueType } from '../schema/types.js';
import { fieldOf, findField, type Resolved, recordScope } from './context.js';
import { readCondition } from './expressions.js';
import type { ScalarValue } from './node.js';
import type { Located, MappingEntry, Out } from './shape.js';
import type { sourceShape } from './shapes/source.js';
import type {
  BatchRule,
  Contract,
  DistributionReference,
  FieldDefinition,
  Imputation,
  RowRule,
  Severity,
  Source,
  Statistic,
} from './types.js';
import { literalValue } from './values.js';

type RawContract = NonNullable<Out<typeof sourceShape>['contract']>;
type RawBatch = NonNullable<RawContract['batch']>[number];
type RawAction = NonNullable<NonNullable<RawContract['rules']>[number]['action']>;
type FieldRules = {
  readonly not_null?: Located<boolean>;
  readonly range?: readonly Located<ScalarValue>[];
  readonly min?: Located<ScalarValue>;
  readonly max?: Located<ScalarValue>;
  readonly greater_than?: Located<ScalarValue>;
  readonly less_than?: Located<ScalarValue>;
  readonly in?: readonly Located<ScalarValue>[];
  readonly pattern?: Located<string>;
  readonly length?: readonly Located<ScalarValue>[];
  readonly unique?: Located<boolean>;
  readonly references?: Located<string>;
  readonly as_of?: Located<'record' | 'ingest'>;
} & Judgement;
interface Judgement {
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
function judged(
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
function freshId(id: string, rules: readonly { readonly id: string }[]): string {
  let n = 1;
  const numbered = (): string => (n === 1 ? id : `${id}#${n}`);
  while (rules.some((rule) => rule.id === numbered())) n++;
  return numbered();
}

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

/** One SELECT over `{batch}`. What else is wrong with it the engine says when it runs. */
function isBatchSql(report: Resolved['report'], subject: string, sql: Located<string>): boolean {
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

function readFieldRules(
  context: Resolved,
  source: Source,
  name: string,
  { value: raw, keyPlace }: MappingEntry<FieldRules>,
  rows: RowRule[],
): void {
  const { report } = context;
  const subject = `contract of source \`${source.name}\``;
  const written: Located<string> = { value: name, text: name, place: keyPlace, at: () => keyPlace };
  const field = findField(context, subject, source, written);
  if (!field) return;
  const label = (key: string): string => `\`${key}\` of field \`${name}\``;
  const add = (suffix: string, key: string, check: RowRule['check']): void => {
    const id = `${name}.${suffix}`;
    const judgement = judged(context, source, raw, { label: label(key), check, target: field });
    if (!judgement) return;
    const rule: RowRule = { id, field: name, check, ...judgement };
    const implied =
      check.kind === 'not_null' && (source.recordKey.includes(name) || name === source.eventTime)
        ? rows.findIndex((other) => other.id === id)
        : -1;
    if (implied < 0) rows.push({ ...rule, id: freshId(id, rows) });
    else if (rule.action === 'flag' || rule.action === 'warn') {
      report.add(
        'DEF_INVALID_VALUE',
        (raw.action as Located<string>).place,
        `${label('not_null')} has the action ${rule.action}: a record without its key or time cannot be kept`,
        {
          hint: 'Use quarantine, drop or fail.',
        },
      );
    } else rows[implied] = rule;
  };
  const literal = (item: Located<ScalarValue> | undefined, key: string): Value | undefined => {
    if (!item || item.value === null) return undefined;
    const value = literalValue(item.value, item.text, field.type);
    if (value === undefined) wrongType(context, item, label(key), field.type);
    return value;
  };
  const needs = (kind: string, key: string, item: { readonly place: Located<string>['place'] }): boolean => {
    if (field.type.kind === kind) return true;
    report.add(
      'DEF_TYPE',
      item.place,
      `${label(key)} needs a ${kind} field, and \`${name}\` is ${printType(field.type)}`,
    );
    return false;
  };

  if (raw.not_null?.value) add('not_null', 'not_null', { kind: 'not_null' });
  const low = raw.range?.[0] ?? raw.min ?? raw.greater_than;
  const high = raw.range?.[1] ?? raw.max ?? raw.less_than;
  if (low || high) {
    const place = (low ?? high)!;
    if (!isNumeric(field.type) && !['timestamp', 'date', 'string'].includes(field.type.kind))
      needs('numeric', 'range', place);
    else {
      const min = literal(low, 'range');
      const max = literal(high, 'range');
      if (min !== undefined && max !== undefined && (min as number) > (max as number)) {
        report.add(
          'DEF_INVALID_VALUE',
          place.place,
          `${label('range')} is empty: ${low!.text} is greater than ${high!.text}`,
        );
      } else if (min !== undefined || max !== undefined) {
        add('range', 'range', {
          kind: 'range',
          ...(min === undefined ? {} : { min }),
          ...(max === undefined ? {} : { max }),
          minExclusive: low !== undefined && low === raw.greater_than,
          maxExclusive: high !== undefined && high === raw.less_than,
        });
      }
    }
  }
  if (raw.in) {
    const values = raw.in.flatMap((item) => literal(item, 'in') ?? []);
    if (values.length > 0) add('set', 'in', { kind: 'set', values });
  }
  if (raw.pattern && needs('string', 'pattern', raw.pattern)) {
    const broken = checkPattern(raw.pattern.value);
    if (broken === undefined) add('pattern', 'pattern', { kind: 'pattern', pattern: raw.pattern.value });
    else
      report.add(
        'DEF_INVALID_VALUE',
        raw.pattern.place,
        `${label('pattern')} is no pattern that every engine reads alike: ${broken}`,
      );
  }
  if (raw.length?.[0] && needs('string', 'length', raw.length[0])) {
    const [min, max] = raw.length.map((item) =>
      typeof item.value === 'number' && Number.isInteger(item.value) && item.value >= 0
        ? item.value
        : undefined,
    );
    if (
      raw.length.some((item) => item.value !== null && (typeof item.value !== 'number' || item.value < 0))
    ) {
      report.add(
        'DEF_INVALID_VALUE',
        raw.length[0].place,
        `${label('length')} is not \`[least, greatest]\`: expected whole numbers from 0, or null`,
      );
    } else
      add('length', 'length', {
        kind: 'length',
        ...(min === undefined ? {} : { min }),
        ...(max === undefined ? {} : { max }),
      });
  }
  if (raw.unique?.value) add('unique', 'unique', { kind: 'unique', fields: [name] });
  if (raw.references) {
    const dot = raw.references.value.indexOf('.');
    if (dot < 0) {
      report.add(
        'DEF_INVALID_VALUE',
        raw.references.place,
        `${label('references')} is \`${raw.references.value}\`: expected source.field such as planes.tailnum`,
      );
    } else {
      add('reference', 'references', {
        kind: 'reference',
        source: raw.references.value.slice(0, dot),
        field: raw.references.value.slice(dot + 1),
        ...(raw.as_of?.value === 'ingest' ? { asOf: 'ingest' } : {}),
      });
    }
  } else if (raw.as_of) {
    report.add('DEF_MISSING_KEY', raw.as_of.place, `${label('as_of')} stands without \`references\``);
  }
}

function wrongType(context: Resolved, item: Located<ScalarValue>, label: string, type: ValueType): undefined {
  return context.report.add(
    'DEF_TYPE',
    item.place,
    `${label} is \`${item.text}\`: expected a value of type ${printType(type)}`,
  );
}

interface Limits {
  readonly min?: Located<number>;
  readonly max?: Located<number>;
}
const between = ({ min, max }: Limits) => ({
  ...(min ? { min: min.value } : {}),
  ...(max ? { max: max.value } : {}),
});

const DEFAULT_BATCHES = 10;
const DEFAULT_EFFECT = 0.05;
const DEFAULT_ROWS = 30;

function readBatch(context: Resolved, source: Source, blocks: readonly RawBatch[]): readonly BatchRule[] {
  const rules: BatchRule[] = [];
  for (const block of blocks) readBatchBlock(context, source, block, rules);
  // What `schema_changes` says of added columns holds where the contract itself says nothing of them.
  if (source.schemaChanges?.added === undefined && !rules.some(({ check }) => check.kind === 'extra_columns'))
    rules.push({
      id: 'extra_columns',
      check: { kind: 'extra_columns', policy: 'warn' },
      severity: 'info',
      action: 'warn',
    });
  return rules;
}

function readBatchBlock(context: Resolved, source: Source, raw: RawBatch, rules: BatchRule[]): void {
  const { report } = context;
  const base = { severity: raw.severity?.value ?? 'error', action: raw.action?.value ?? 'fail' } as const;
  const add = (id: string, check: BatchRule['check']): void =>
    void rules.push({ id: freshId(id, rules), check, ...base });
  const known = (key: string, name: string, place: Located<string>['place'], numeric: boolean): boolean => {
    const field = findField(context, `contract of source \`${source.name}\``, source, {
      value: name,
      text: name,
      place,
      at: () => place,
    });
    if (field && numeric && !isNumeric(field.type)) {
      report.add('DEF_TYPE', place, `\`${key}\` needs a number, and \`${name}\` is ${printType(field.type)}`);
      return false;
    }
    return field !== undefined;
  };
  const each = <V>(
    key: string,
    entries: ReadonlyMap<string, MappingEntry<V>> | undefined,
    numeric: boolean,
    use: (name: string, value: V) => void,
  ): void => {
    for (const [name, { value, keyPlace }] of entries ?? [])
      if (known(key, name, keyPlace, numeric)) use(name, value);
  };
  if (raw.rows) add('row_count', { kind: 'row_count', ...between(raw.rows) });
  each('null_rate', raw.null_rate, false, (field, limits) =>
    add(`${field}.null_rate`, {
      kind: 'null_rate',
      field,
      ...('value' in limits ? { max: limits.value } : between(limits)),
    }),
  );
  each('distinct_count', raw.distinct_count, false, (field, limits) =>
    add(`${field}.distinct_count`, { kind: 'distinct_count', field, ...between(limits) }),
  );
  each('mean', raw.mean, true, (field, limits) =>
    add(`${field}.mean`, { kind: 'mean', field, ...between(limits) }),
  );
  for (const statistic of ['std', 'sum', 'min', 'max'] as const satisfies readonly Statistic[])
    each(statistic, raw[statistic], true, (field, limits) =>
      add(`${field}.${statistic}`, { kind: 'statistic', statistic, field, ...between(limits) }),
    );
  each('median', raw.median, true, (field, limits) =>
    add(`${field}.median`, { kind: 'statistic', statistic: 'quantile', field, q: 0.5, ...between(limits) }),
  );
  each('quantile', raw.quantile, true, (field, quantiles) => {
    for (const { q, ...limits } of quantiles)
      if (q)
        add(`${field}.quantile_${q.value}`, {
          kind: 'statistic',
          statistic: 'quantile',
          field,
          q: q.value,
          ...between(limits),
        });
  });
  for (const [field, { value, keyPlace }] of raw.distribution ?? []) {
    if (!known('distribution', field, keyPlace, false)) continue;
    const against = readReference(context, field, value);
    if (!against) continue;
    const limits = '$' in value ? value : undefined;
    add(`${field}.distribution`, {
      kind: 'distribution',
      field,
      against,
      minimumEffect: limits?.minimum_effect?.value ?? DEFAULT_EFFECT,
      minimumRows: limits?.minimum_rows?.value ?? DEFAULT_ROWS,
    });
  }
  for (const { name, sql, ...limits } of raw.rules ?? []) {
    if (!name || !sql || !isBatchSql(report, `rule \`${name.value}\``, sql)) continue;
    const bounds = between(limits);
    if (Object.keys(bounds).length === 0 && /^\s*select\s+count\s*\(/i.test(sql.value))
      report.add('DEF_MISSING_KEY', sql.place, `rule \`${name.value}\` gives a count and has no limit`, {
        hint: 'Add `max: 0`; without a limit the rows that the SQL gives are the breach, and a count is always a row.',
      });
    else add(name.value, { kind: 'sql', sql: sql.value, ...bounds });
  }
  if (raw.quarantine_rate)
    add('quarantine_rate', { kind: 'quarantine_rate', max: raw.quarantine_rate.value });
  if (raw.extra_columns) {
    const policy = raw.extra_columns.value;
    rules.push({
      id: freshId('extra_columns', rules),
      check: { kind: 'extra_columns', policy },
      severity: policy === 'refuse' ? base.severity : 'info',
      action: policy === 'refuse' ? 'fail' : 'warn',
    });
  }
}

function readReference(
  context: Resolved,
  field: string,
  raw: NonNullable<RawBatch['distribution']> extends ReadonlyMap<string, MappingEntry<infer V>> ? V : never,
): DistributionReference | undefined {
  if (!('$' in raw)) return { kind: 'batches', batches: DEFAULT_BATCHES };
  const kinds = (['batches', 'file', 'profile'] as const).filter((key) => raw.$.keys.has(key));
  if (kinds.length > 1)
    return context.report.add(
      'DEF_INVALID_VALUE',
      raw.$.place,
      `\`distribution\` of field \`${field}\` names ${kinds.join(' and ')}: expected one of batches, file, profile`,
    );
  if (raw.file) return { kind: 'file', path: raw.file.value };
  if (raw.profile) return { kind: 'profile', path: raw.profile.value };
  return { kind: 'batches', batches: raw.batches?.value ?? DEFAULT_BATCHES };
}

/** `references: planes.tailnum` must name a field of another source, of the same type. */
export function checkReferences(context: Resolved): void {
  for (const source of context.sources.values()) {
    const raw = (context.raw.sources.get(source.name) ?? context.raw.transforms.get(source.name))?.contract;
    for (const rule of source.contract.rows) {
      if (rule.check.kind !== 'reference') continue;
      const { check } = rule;
      const written = (
        raw?.$rest.get(rule.field!) as MappingEntry<readonly FieldRules[]> | undefined
      )?.value.find(({ references }) => references?.value === `${check.source}.${check.field}`)?.references;
      if (!written) continue;
      const subject = `\`references\` of field \`${rule.field}\``;
      const name = { ...written, value: check.source };
      const names = [...context.raw.sources.keys(), ...context.raw.transforms.keys()];
      const other = context.sources.get(check.source);
      if (!other) {
        if (!names.includes(check.source)) context.report.unknown(subject, 'source', name, names);
        continue;
      }
      const target = findField(context, subject, other, written, check.source.length + 1);
      const own = fieldOf(source, rule.field!);
      if (target && own && printType(target.type) !== printType(own.type)) {
        context.report.add(
          'DEF_TYPE',
          written.place,
          `${subject} compares ${printType(own.type)} with ${printType(target.type)} of \`${written.value}\``,
          { hint: 'Give both fields the same type.' },
        );
      }
    }
  }
}
