/** A source as its owner would write it: the way back from what was read, for documents and for suggestions. */
import { printDuration } from '../base/time.js';
import type { Cursor, Source } from '../define/types.js';
import { parseType } from '../schema/types.js';
import {
  type ContractSnapshot,
  type PlainObject,
  type SnapshotRule,
  snapshotOf,
} from './contract-snapshot.js';
import { type Form, type FormValue, isObject } from './form.js';
import { promiseForm } from './promise-form.js';

/** Keys of `fields` entries; a bare type stands for `{ type }`. */
export interface FieldForm {
  readonly type: string;
  readonly from?: string;
  readonly format?: string;
  readonly description?: string;
}

/** Keys and values as under `sources:` in YAML. */
export interface SourceForm {
  readonly name: string;
  readonly description?: string;
  readonly owner?: string;
  readonly tags?: readonly string[];
  readonly kind?: string;
  readonly read: FormValue;
  readonly record_key?: string | readonly string[];
  readonly event_time?: string;
  readonly available_at?: FormValue;
  readonly deleted?: string;
  readonly sequence?: string;
  readonly timezone?: string;
  readonly ambiguous_time?: string;
  readonly on_error?: string;
  readonly fields: Readonly<Record<string, string | FieldForm>>;
  readonly keys?: Form;
  readonly rename?: Form;
  readonly schema_changes?: Form;
  readonly history?: FormValue;
  readonly service_levels?: Form;
  readonly contract?: ContractForm;
}

/** Field → blocks of rules, and `rules` and `batch`. */
export type ContractForm = { readonly [key: string]: Form | readonly Form[] };

export const one = <T>(items: readonly T[]): T | readonly T[] => (items.length === 1 ? items[0]! : items);

/** Definition keys of a check that judges one field. The order is that in which they are read. */
const FIELD_KEYS = ['range', 'in', 'pattern', 'length', 'unique', 'references'];

/** A literal as a definition takes it: whole numbers beyond 2^53 are numbers there, and texts in JSON. */
export const literalForm = (type: string, value: FormValue): FormValue =>
  parseType(type)?.kind === 'int64' && typeof value === 'string' && /^-?\d+$/.test(value)
    ? BigInt(value)
    : value;

function fieldRule(check: SnapshotRule['check'], type: string): Form {
  const literal = (key: string): FormValue => literalForm(type, check[key] as FormValue);
  switch (check.kind) {
    case 'not_null':
      return { not_null: true };
    case 'range': {
      const { minExclusive, maxExclusive } = check;
      const [hasMin, hasMax] = [check['min'] !== undefined, check['max'] !== undefined];
      if (hasMin && hasMax && !minExclusive && !maxExclusive)
        return { range: [literal('min'), literal('max')] };
      return {
        ...(hasMin ? { [minExclusive ? 'greater_than' : 'min']: literal('min') } : {}),
        ...(hasMax ? { [maxExclusive ? 'less_than' : 'max']: literal('max') } : {}),
      };
    }
    case 'set':
      return { in: (check['values'] as readonly FormValue[]).map((item) => literalForm(type, item)) };
    case 'pattern':
      return { pattern: check['pattern'] as string };
    case 'length':
      return { length: [(check['min'] as number) ?? null, (check['max'] as number) ?? null] };
    case 'unique':
      return { unique: true };
    default:
      return {
        references: `${check['source'] as string}.${check['field'] as string}`,
        ...(check['asOf'] === 'ingest' ? { as_of: 'ingest' } : {}),
      };
  }
}

/** Severity and action, where they are not what they are without being written. */
function judgementForm(rule: SnapshotRule, usual: string, type: string): Form {
  const { kind, ...rest } = rule.impute ?? {};
  const action: FormValue =
    rule.impute === undefined
      ? rule.action
      : {
          impute: kind as string,
          ...Object.fromEntries(
            Object.entries(rest).map(([key, value]) => [
              key,
              key === 'value' ? literalForm(type, value as FormValue) : (value as FormValue),
            ]),
          ),
        };
  return {
    ...(rule.severity === 'error' ? {} : { severity: rule.severity }),
    ...(action === usual ? {} : { action }),
  };
}

/** Rules after one another as blocks of one severity and action each. */
export function blocks(
  parts: readonly { readonly rule: Form; readonly judgement: Form }[],
  after: (block: Form, rule: Form) => boolean,
): readonly Form[] {
  const out: { rule: Form; judgement: Form }[] = [];
  for (const part of parts) {
    const last = out.at(-1);
    if (
      last &&
      JSON.stringify(last.judgement, bigintText) === JSON.stringify(part.judgement, bigintText) &&
      after(last.rule, part.rule)
    )
      last.rule = merged(last.rule, part.rule);
    else out.push({ ...part });
  }
  return out.map(({ rule, judgement }) => ({ ...rule, ...judgement }));
}

const bigintText = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? `${value}n` : value;

/** `{ mean: { a } }` and `{ mean: { b } }` → `{ mean: { a, b } }`; lists one after the other. */
export function merged(a: Form, b: Form): Form {
  const out: Record<string, FormValue> = { ...a };
  for (const [key, value] of Object.entries(b)) {
    const old = out[key];
    out[key] =
      isObject(old) && isObject(value)
        ? merged(old, value)
        : Array.isArray(old) && Array.isArray(value)
          ? [...old, ...value]
          : value;
  }
  return out;
}

const position = (rule: Form): number => {
  const key = Object.keys(rule)[0]!;
  return key === 'not_null' ? -1 : Math.max(0, FIELD_KEYS.indexOf(key));
};

const limitsOf = (check: PlainObject): Form => ({
  ...(check['min'] === undefined ? {} : { min: check['min'] as number }),
  ...(check['max'] === undefined ? {} : { max: check['max'] as number }),
});

const DEFAULT_REFERENCE = { batches: 10, minimumEffect: 0.05, minimumRows: 30 };

function batchRule({ id, check }: SnapshotRule): Form {
  const field = check['field'] as string;
  switch (check.kind) {
    case 'row_count':
      return { rows: limitsOf(check) };
    case 'null_rate':
      return {
        null_rate: { [field]: check['min'] === undefined ? (check['max'] as number) : limitsOf(check) },
      };
    case 'distinct_count':
    case 'mean':
      return { [check.kind]: { [field]: limitsOf(check) } };
    case 'statistic': {
      if (check['statistic'] !== 'quantile')
        return { [check['statistic'] as string]: { [field]: limitsOf(check) } };
      if (/\.median(#\d+)?$/.test(id)) return { median: { [field]: limitsOf(check) } };
      return { quantile: { [field]: [{ q: check['q'] as number, ...limitsOf(check) }] } };
    }
    case 'distribution': {
      const { kind, ...against } = check['against'] as Form;
      const reference: Form = {
        ...(kind === 'batches'
          ? against['batches'] === DEFAULT_REFERENCE.batches
            ? {}
            : { batches: against['batches']! }
          : { [kind as string]: against['path']! }),
        ...(check['minimumEffect'] === DEFAULT_REFERENCE.minimumEffect
          ? {}
          : { minimum_effect: check['minimumEffect'] as number }),
        ...(check['minimumRows'] === DEFAULT_REFERENCE.minimumRows
          ? {}
          : { minimum_rows: check['minimumRows'] as number }),
      };
      return {
        distribution: { [field]: Object.keys(reference).length === 0 ? 'previous' : reference },
      };
    }
    case 'sql':
      return { rules: [{ name: id, sql: check['sql'] as string, ...limitsOf(check) }] };
    case 'quarantine_rate':
      return { quarantine_rate: check['max'] as number };
    default:
      return { extra_columns: check['policy'] as string };
  }
}

/** Whether two batch rules can stand in one block: not when both would write the same key. */
export function fits(block: Form, rule: Form): boolean {
  return Object.entries(rule).every(([key, value]) => {
    const old = block[key];
    if (old === undefined || (Array.isArray(old) && Array.isArray(value))) return true;
    return isObject(old) && isObject(value) && fits(old, value);
  });
}

/** The `contract:` that is read as these rules; empty when there are none beside the implied ones. */
function contractForm(contract: ContractSnapshot): ContractForm {
  const typeOf = (field: string | null): string =>
    contract.fields.find((item) => item.name === field)?.type ?? 'string';
  const implied = new Set([...contract.recordKey, contract.eventTime]);
  const plainly = (rule: SnapshotRule): boolean => rule.severity === 'error' && rule.action === 'quarantine';
  const fields = new Map<string, { rule: Form; judgement: Form }[]>();
  const named: Form[] = [];
  for (const rule of contract.rows) {
    const { check, field } = rule;
    const judgement = judgementForm(rule, 'quarantine', typeOf(field));
    if (check.kind === 'expression')
      named.push({
        name: rule.id,
        check: (check['expression'] as PlainObject)['text'] as string,
        ...(field === null ? {} : { field }),
        ...judgement,
      });
    else if (check.kind === 'sql') named.push({ name: rule.id, sql: check['sql'] as string, ...judgement });
    else if (field === null)
      named.push({ name: rule.id, unique: check['fields'] as readonly string[], ...judgement });
    else if (check.kind !== 'not_null' || !implied.has(field) || !plainly(rule))
      fields.set(field, [...(fields.get(field) ?? []), { rule: fieldRule(check, typeOf(field)), judgement }]);
  }
  const batch = contract.batch
    .filter((rule) => rule.check.kind !== 'extra_columns' || rule.check['policy'] !== 'warn')
    .map((rule) => ({
      rule: batchRule(rule),
      judgement: rule.check['policy'] === 'ignore' ? {} : judgementForm(rule, 'fail', 'string'),
    }));
  return {
    ...Object.fromEntries([...fields].map(([field, parts]) => [field, one(blocks(parts, followsInBlock))])),
    ...(named.length === 0 ? {} : { rules: named }),
    ...(batch.length === 0 ? {} : { batch: one(blocks(batch, fits)) }),
  };
}

/** Rules of one block are read in the order of their keys. */
export const followsInBlock = (block: Form, rule: Form): boolean =>
  position(rule) > Math.max(...Object.keys(block).map((key) => position({ [key]: true })));

function availabilityForm({ availableAt, read }: Source): FormValue | undefined {
  switch (availableAt.kind) {
    case 'field':
      return availableAt.field;
    case 'delay':
      return { delay: printDuration(availableAt.delay) };
    case 'append':
      return read.kind === 'push' ? undefined : 'append';
    case 'event_time':
      return read.kind === 'push' ? 'event_time' : undefined;
  }
}

function cursorForm({ fields }: Source, cursor: Cursor | undefined): Form {
  if (cursor === undefined) return {};
  const counted = fields.find(({ name }) => name === cursor.field)?.type.kind === 'int64';
  return { cursor: cursor.field, overlap: counted ? cursor.overlap : printDuration(cursor.overlap) };
}

function readForm(source: Source): FormValue {
  const { read } = source;
  if (read.kind === 'push') return 'push';
  if (read.kind === 'sql') return { sql: read.sql, ...cursorForm(source, read.cursor) };
  if (read.kind === 'postgres') {
    const { kind: _, cursor, ...rest } = read;
    return { postgres: { ...(rest as Form), ...cursorForm(source, cursor) } };
  }
  if (read.kind === 'transform') return { transform: { sql: read.sql, from: read.parents } };
  const { kind: _, patterns, ...rest } = read;
  return { files: one(patterns), ...(rest as Form) };
}

/** The definition that is read as this source. */
export function sourceForm(source: Source): SourceForm {
  const snapshot = snapshotOf(source);
  const available = availabilityForm(source);
  const contract = contractForm(snapshot);
  return {
    name: source.name,
    ...(source.description === undefined ? {} : { description: source.description }),
    ...(source.owner === undefined ? {} : { owner: source.owner }),
    ...(source.tags.length === 0 ? {} : { tags: source.tags }),
    kind: source.kind,
    read: readForm(source),
    record_key: one(source.recordKey),
    event_time: source.eventTime,
    ...(available === undefined ? {} : { available_at: available }),
    ...(source.deleted === undefined ? {} : { deleted: source.deleted }),
    ...(source.sequence === undefined ? {} : { sequence: source.sequence }),
    timezone: source.timezone,
    ...(source.ambiguousTime === 'refuse' ? {} : { ambiguous_time: source.ambiguousTime }),
    ...(snapshot.onError === undefined ? {} : { on_error: snapshot.onError }),
    fields: Object.fromEntries(
      snapshot.fields.map(({ name, type, from }) => {
        const format = source.fields.find((field) => field.name === name)?.format;
        const more = { ...(from === undefined ? {} : { from }), ...(format === undefined ? {} : { format }) };
        return [name, Object.keys(more).length === 0 ? type : { type, ...more }];
      }),
    ),
    ...(Object.keys(source.keys).length === 0 ? {} : { keys: source.keys }),
    ...promiseForm(source),
    ...(Object.keys(contract).length === 0 ? {} : { contract }),
  };
}
