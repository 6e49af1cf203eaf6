/** Rules of one field. */

import { checkPattern } from '../schema/pattern.js';
import { isNumeric, printType, type Value } from '../schema/types.js';
import { fieldOf, findField, type Resolved } from './context.js';
import { freshId, type Judgement, judged, wrongType } from './judgement.js';
import type { ScalarValue } from './node.js';
import type { Located, MappingEntry } from './shape.js';
import type { RowRule, Source } from './types.js';
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
export function readFieldRules(
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
