import { checkPattern } from '../schema/pattern.js';
import { isNumeric, printType, type Value, type ValueType } from '../schema/types.js';
import { fieldOf, findField, type Resolved, recordScope } from './context.js';
import { readCondition } from './expressions.js';
import type { ScalarValue } from './node.js';
import type { Located, MappingEntry, Out } from './shape.js';
import type { sourceShape } from './shapes.js';
import type { BatchRule, Contract, RowAction, RowRule, Severity, Source } from './types.js';
import { literalValue } from './values.js';

type RawContract = NonNullable<Out<typeof sourceShape>['contract']>;
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
} & Judgement;
interface Judgement {
  readonly severity?: Located<Severity>;
  readonly action?: Located<RowAction>;
}

const judged = (raw: Judgement): { readonly severity: Severity; readonly action: RowAction } => ({
  severity: raw.severity?.value ?? 'error',
  action: raw.action?.value ?? 'quarantine',
});

/**
 * The rules of a source. That its record key and event time are there is implied. References to other sources are
 * checked once all sources are known (`checkReferences`).
 */
export function readContract(context: Resolved, source: Source, raw: RawContract | undefined): Contract {
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
  for (const [name, entry] of raw?.$rest ?? [])
    readFieldRules(context, source, name, entry as MappingEntry<FieldRules>, rows);
  for (const rule of raw?.rules ?? []) {
    if (!rule.name) continue;
    const subject = `rule \`${rule.name.value}\``;
    const base = { id: rule.name.value, field: null, ...judged(rule) };
    if (rows.some((other) => other.id === base.id)) {
      context.report.add(
        'DEF_DUPLICATE_NAME',
        rule.name.place,
        `${subject} of source \`${source.name}\` stands twice`,
      );
      continue;
    }
    if (rule.check) {
      const expression = readCondition(context.report, subject, rule.check, recordScope(context, source));
      if (expression) rows.push({ ...base, check: { kind: 'expression', expression } });
    } else if (rule.unique) {
      const fields = rule.unique.flatMap((field) => findField(context, subject, source, field)?.name ?? []);
      if (fields.length === rule.unique.length) rows.push({ ...base, check: { kind: 'unique', fields } });
    } else if (!rule.$.keys.has('check') && !rule.$.keys.has('unique')) {
      context.report.add('DEF_MISSING_KEY', rule.$.place, `${subject} has neither \`check\` nor \`unique\``, {
        hint: 'Write `check: "amount >= 0"`, or `unique: [a, b]`.',
      });
    }
  }
  return { rows, batch: readBatch(context, source, raw?.batch) };
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
  const add = (suffix: string, check: RowRule['check']): void => {
    const id = `${name}.${suffix}`;
    const rule: RowRule = { id, field: name, check, ...judged(raw) };
    const implied = rows.findIndex((other) => other.id === id);
    if (implied < 0) rows.push(rule);
    else if (rule.action === 'flag' || rule.action === 'warn') {
      report.add(
        'DEF_INVALID_VALUE',
        raw.action!.place,
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

  if (raw.not_null?.value) add('not_null', { kind: 'not_null' });
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
        add('range', {
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
    if (values.length > 0) add('set', { kind: 'set', values });
  }
  if (raw.pattern && needs('string', 'pattern', raw.pattern)) {
    const broken = checkPattern(raw.pattern.value);
    if (broken === undefined) add('pattern', { kind: 'pattern', pattern: raw.pattern.value });
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
      add('length', {
        kind: 'length',
        ...(min === undefined ? {} : { min }),
        ...(max === undefined ? {} : { max }),
      });
  }
  if (raw.unique?.value) add('unique', { kind: 'unique', fields: [name] });
  if (raw.references) {
    const dot = raw.references.value.indexOf('.');
    if (dot < 0) {
      report.add(
        'DEF_INVALID_VALUE',
        raw.references.place,
        `${label('references')} is \`${raw.references.value}\`: expected source.field such as planes.tailnum`,
      );
    } else {
      add('reference', {
        kind: 'reference',
        source: raw.references.value.slice(0, dot),
        field: raw.references.value.slice(dot + 1),
      });
    }
  }
}

function wrongType(context: Resolved, item: Located<ScalarValue>, label: string, type: ValueType): undefined {
  return context.report.add(
    'DEF_TYPE',
    item.place,
    `${label} is \`${item.text}\`: expected a value of type ${printType(type)}`,
  );
}

function readBatch(context: Resolved, source: Source, raw: RawContract['batch']): readonly BatchRule[] {
  const base = { severity: raw?.severity?.value ?? 'error', action: raw?.action?.value ?? 'fail' } as const;
  const rules: BatchRule[] = [];
  const between = (limits: { readonly min?: Located<number>; readonly max?: Located<number> }) => ({
    ...(limits.min ? { min: limits.min.value } : {}),
    ...(limits.max ? { max: limits.max.value } : {}),
  });
  const known = (name: string, place: Located<string>['place'], numeric: boolean): boolean => {
    const field = findField(context, `contract of source \`${source.name}\``, source, {
      value: name,
      text: name,
      place,
      at: () => place,
    });
    if (field && numeric && !isNumeric(field.type)) {
      context.report.add(
        'DEF_TYPE',
        place,
        `\`mean\` needs a number, and \`${name}\` is ${printType(field.type)}`,
      );
      return false;
    }
    return field !== undefined;
  };
  if (raw?.rows) rules.push({ id: 'row_count', check: { kind: 'row_count', ...between(raw.rows) }, ...base });
  for (const [name, { value, keyPlace }] of raw?.null_rate ?? []) {
    if (known(name, keyPlace, false))
      rules.push({
        id: `${name}.null_rate`,
        check: { kind: 'null_rate', field: name, max: value.value },
        ...base,
      });
  }
  for (const [name, { value, keyPlace }] of raw?.distinct_count ?? []) {
    if (known(name, keyPlace, false))
      rules.push({
        id: `${name}.distinct_count`,
        check: { kind: 'distinct_count', field: name, ...between(value) },
        ...base,
      });
  }
  for (const [name, { value, keyPlace }] of raw?.mean ?? []) {
    if (known(name, keyPlace, true))
      rules.push({ id: `${name}.mean`, check: { kind: 'mean', field: name, ...between(value) }, ...base });
  }
  if (raw?.quarantine_rate) {
    rules.push({
      id: 'quarantine_rate',
      check: { kind: 'quarantine_rate', max: raw.quarantine_rate.value },
      ...base,
    });
  }
  const policy = raw?.extra_columns?.value ?? 'warn';
  rules.push({
    id: 'extra_columns',
    check: { kind: 'extra_columns', policy },
    severity: policy === 'refuse' ? base.severity : 'info',
    action: policy === 'refuse' ? 'fail' : 'warn',
  });
  return rules;
}

/** `references: planes.tailnum` must name a field of another source, of the same type. */
export function checkReferences(context: Resolved): void {
  for (const source of context.sources.values()) {
    const raw = (context.raw.sources.get(source.name) ?? context.raw.transforms.get(source.name))?.contract;
    for (const rule of source.contract.rows) {
      if (rule.check.kind !== 'reference') continue;
      const written = (raw?.$rest.get(rule.field!) as MappingEntry<FieldRules> | undefined)?.value.references;
      if (!written) continue;
      const subject = `\`references\` of field \`${rule.field}\``;
      const name = { ...written, value: rule.check.source };
      const names = [...context.raw.sources.keys(), ...context.raw.transforms.keys()];
      const other = context.sources.get(rule.check.source);
      if (!other) {
        if (!names.includes(rule.check.source)) context.report.unknown(subject, 'source', name, names);
        continue;
      }
      const target = findField(context, subject, other, written, rule.check.source.length + 1);
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
