/** Rules of one field. */

import type { Place } from '../base/error.js';
import { checkPattern } from '../schema/pattern.js';
import { isNumeric, printType, type Value } from '../schema/types.js';
import { fieldOf, findField, type Resolved } from './context.js';
import { freshId, type Judgement, judged, wrongType } from './judgement.js';
import type { ScalarValue } from './node.js';
import type { Located, MappingEntry } from './shape.js';
import type { FieldDefinition, RowRule, Source } from './types.js';
import { literalValue } from './values.js';

export type FieldRules = {
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

type Check = RowRule['check'];

/** A field with rules written about it. */
interface RuledField {
  readonly context: Resolved;
  readonly field: FieldDefinition;
  readonly raw: FieldRules;
  /** How a key of the rules is named in a message. */
  readonly label: (key: string) => string;
}

const labelOf =
  (name: string): RuledField['label'] =>
  (key) =>
    `\`${key}\` of field \`${name}\``;

function literal(
  { context, field, label }: RuledField,
  item: Located<ScalarValue> | undefined,
  key: string,
): Value | undefined {
  if (!item || item.value === null) return undefined;
  const value = literalValue(item.value, item.text, field.type);
  if (value === undefined) wrongType(context, item, label(key), field.type);
  return value;
}

function needs(
  { context, field, label }: RuledField,
  kind: string,
  key: string,
  item: { readonly place: Place },
): boolean {
  if (field.type.kind === kind) return true;
  context.report.add(
    'DEF_TYPE',
    item.place,
    `${label(key)} needs a ${kind} field, and \`${field.name}\` is ${printType(field.type)}`,
  );
  return false;
}

const isOrdered = ({ type }: FieldDefinition): boolean =>
  isNumeric(type) || ['timestamp', 'date', 'string'].includes(type.kind);

function readRange(ruled: RuledField): Check | undefined {
  const { context, field, raw, label } = ruled;
  const low = raw.range?.[0] ?? raw.min ?? raw.greater_than;
  const high = raw.range?.[1] ?? raw.max ?? raw.less_than;
  const first = low ?? high;
  if (!first) return undefined;
  if (!isOrdered(field)) {
    needs(ruled, 'numeric', 'range', first);
    return undefined;
  }
  const min = literal(ruled, low, 'range');
  const max = literal(ruled, high, 'range');
  if (min !== undefined && max !== undefined && (min as number) > (max as number))
    return context.report.add(
      'DEF_INVALID_VALUE',
      first.place,
      `${label('range')} is empty: ${low!.text} is greater than ${high!.text}`,
    );
  if (min === undefined && max === undefined) return undefined;
  return {
    kind: 'range',
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    minExclusive: low !== undefined && low === raw.greater_than,
    maxExclusive: high !== undefined && high === raw.less_than,
  };
}

function readSet(ruled: RuledField): Check | undefined {
  const values = ruled.raw.in?.flatMap((item) => literal(ruled, item, 'in') ?? []) ?? [];
  return values.length > 0 ? { kind: 'set', values } : undefined;
}

function readPattern(ruled: RuledField): Check | undefined {
  const { pattern } = ruled.raw;
  if (!pattern || !needs(ruled, 'string', 'pattern', pattern)) return undefined;
  const broken = checkPattern(pattern.value);
  if (broken === undefined) return { kind: 'pattern', pattern: pattern.value };
  return ruled.context.report.add(
    'DEF_INVALID_VALUE',
    pattern.place,
    `${ruled.label('pattern')} is no pattern that every engine reads alike: ${broken}`,
  );
}

function readLength(ruled: RuledField): Check | undefined {
  const { length } = ruled.raw;
  if (!length?.[0] || !needs(ruled, 'string', 'length', length[0])) return undefined;
  const isBound = (value: ScalarValue): boolean =>
    value === null || (typeof value === 'number' && Number.isInteger(value) && value >= 0);
  if (!length.every(({ value }) => isBound(value)))
    return ruled.context.report.add(
      'DEF_INVALID_VALUE',
      length[0].place,
      `${ruled.label('length')} is not \`[least, greatest]\`: expected whole numbers from 0, or null`,
    );
  const [min, max] = length.map(({ value }) => (value === null ? undefined : (value as number)));
  return {
    kind: 'length',
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
  };
}

function readReference({ context, raw, label }: RuledField): Check | undefined {
  const { references, as_of: asOf } = raw;
  if (!references) {
    if (asOf)
      context.report.add('DEF_MISSING_KEY', asOf.place, `${label('as_of')} stands without \`references\``);
    return undefined;
  }
  const dot = references.value.indexOf('.');
  if (dot < 0)
    return context.report.add(
      'DEF_INVALID_VALUE',
      references.place,
      `${label('references')} is \`${references.value}\`: expected source.field such as planes.tailnum`,
    );
  return {
    kind: 'reference',
    source: references.value.slice(0, dot),
    field: references.value.slice(dot + 1),
    ...(asOf?.value === 'ingest' ? { asOf: 'ingest' } : {}),
  };
}

/** The rules of a field by the key that they are written under, in the order in which they judge. */
const READERS: readonly (readonly [key: string, read: (ruled: RuledField) => Check | undefined])[] = [
  ['not_null', ({ raw }) => (raw.not_null?.value ? { kind: 'not_null' } : undefined)],
  ['range', readRange],
  ['in', readSet],
  ['pattern', readPattern],
  ['length', readLength],
  ['unique', ({ raw, field }) => (raw.unique?.value ? { kind: 'unique', fields: [field.name] } : undefined)],
  ['references', readReference],
];

/** Adds the rules written about a field to those of the source. */
export function readFieldRules(
  context: Resolved,
  source: Source,
  name: string,
  { value: raw, keyPlace }: MappingEntry<FieldRules>,
  rows: RowRule[],
): void {
  const written: Located<string> = { value: name, text: name, place: keyPlace, at: () => keyPlace };
  const field = findField(context, `contract of source \`${source.name}\``, source, written);
  if (!field) return;
  const ruled: RuledField = { context, field, raw, label: labelOf(name) };
  for (const [key, read] of READERS) {
    const check = read(ruled);
    if (check) addRule(ruled, source, key, check, rows);
  }
}

/** One rule more; `not_null` of a key or the event time is there already, and what is written takes its place. */
function addRule(
  { context, field, raw, label }: RuledField,
  source: Source,
  key: string,
  check: Check,
  rows: RowRule[],
): void {
  const judgement = judged(context, source, raw, { label: label(key), check, target: field });
  if (!judgement) return;
  const id = `${field.name}.${check.kind}`;
  const rule: RowRule = { id, field: field.name, check, ...judgement };
  const isNeeded = source.recordKey.includes(field.name) || field.name === source.eventTime;
  const implied = check.kind === 'not_null' && isNeeded ? rows.findIndex((other) => other.id === id) : -1;
  if (implied < 0) rows.push({ ...rule, id: freshId(id, rows) });
  else if (rule.action === 'flag' || rule.action === 'warn')
    context.report.add(
      'DEF_INVALID_VALUE',
      (raw.action as Located<string>).place,
      `${label('not_null')} has the action ${rule.action}: a record without its key or time cannot be kept`,
      { hint: 'Use quarantine, drop or fail.' },
    );
  else rows[implied] = rule;
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
