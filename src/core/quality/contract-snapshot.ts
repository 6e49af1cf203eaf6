/**
 * What a source promises, as plain JSON: fields, keys, clocks and rules, without where it is read from and without
 * what is written about it. Kept in the registry, so that a later definition can be compared with it.
 */
import { type Fingerprint, fingerprint } from '../base/fingerprint.js';
import type { Availability, BatchRule, RowRule, Source } from '../define/types.js';
import type { Expression } from '../expression/index.js';
import { toJson } from '../schema/coerce-print.js';
import { printType, type Value, type ValueType } from '../schema/types.js';
import { typeOfField } from './rules.js';

export type Plain =
  | null
  | boolean
  | number
  | string
  | readonly Plain[]
  | { readonly [key: string]: Plain | undefined };
export type PlainObject = { readonly [key: string]: Plain | undefined };

export interface SnapshotRule {
  readonly id: string;
  readonly field: string | null;
  /** `kind` and its arguments; values as in JSON output, an expression as `{ text, canonical, reads }`. */
  readonly check: PlainObject & { readonly kind: string };
  readonly severity: string;
  readonly action: string;
  /** Of the action `impute`. */
  readonly impute?: PlainObject;
}

export interface ContractSnapshot {
  readonly source: string;
  readonly kind: Source['kind'];
  readonly recordKey: readonly string[];
  readonly eventTime: string;
  readonly availableAt: Availability;
  readonly deleted?: string;
  readonly sequence?: string;
  readonly timezone: string;
  readonly ambiguousTime: Source['ambiguousTime'];
  readonly keys: Readonly<Record<string, string>>;
  readonly fields: readonly { readonly name: string; readonly type: string; readonly from?: string }[];
  readonly rows: readonly SnapshotRule[];
  readonly batch: readonly SnapshotRule[];
  readonly onError?: 'fail';
}

const isExpression = (value: object): value is Expression => 'canonical' in value && 'slots' in value;

function plain(value: unknown): Plain {
  if (value === null || value === undefined) return null;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object') return value as Plain;
  if (Array.isArray(value)) return value.map(plain);
  if (isExpression(value))
    return {
      text: value.text,
      canonical: value.canonical,
      reads: [...new Set(value.slots.map((slot) => slot.slot))].sort(),
    };
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => [key, plain(item)]),
  );
}

/** Values of the judged field's own type; everything else stands in JSON as it is. */
const literal = (type: ValueType, value: Value | undefined): Plain | undefined =>
  value === undefined ? undefined : (toJson(type, value) as Plain);

function plainCheck(check: RowRule['check'] | BatchRule['check'], type: ValueType): SnapshotRule['check'] {
  const written = plain(check) as SnapshotRule['check'];
  if (check.kind === 'range') {
    const min = literal(type, check.min);
    const max = literal(type, check.max);
    return { ...written, ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) };
  }
  if (check.kind === 'set') return { ...written, values: check.values.map((item) => literal(type, item)!) };
  return written;
}

export function snapshotOf(source: Source): ContractSnapshot {
  const rule = (item: RowRule | BatchRule): SnapshotRule => {
    const field = 'field' in item ? item.field : 'field' in item.check ? (item.check.field as string) : null;
    const type = typeOfField(source.fields, field);
    const impute = 'impute' in item ? item.impute : undefined;
    return {
      id: item.id,
      field,
      check: plainCheck(item.check, type),
      severity: item.severity,
      action: item.action,
      ...(impute === undefined
        ? {}
        : {
            impute:
              impute.kind === 'constant'
                ? { kind: impute.kind, value: literal(type, impute.value)! }
                : (plain(impute) as PlainObject),
          }),
    };
  };
  return {
    source: source.name,
    kind: source.kind,
    recordKey: source.recordKey,
    eventTime: source.eventTime,
    availableAt: source.availableAt,
    ...(source.deleted === undefined ? {} : { deleted: source.deleted }),
    ...(source.sequence === undefined ? {} : { sequence: source.sequence }),
    timezone: source.timezone,
    ambiguousTime: source.ambiguousTime,
    keys: source.keys,
    fields: source.fields.map(({ name, type, from }) => ({
      name,
      type: printType(type),
      ...(from === undefined ? {} : { from }),
    })),
    rows: source.contract.rows.map(rule),
    batch: source.contract.batch.map(rule),
    ...(source.contract.onError === undefined ? {} : { onError: source.contract.onError }),
  };
}

/** The identity of a contract: the order of fields and rules does not count, nor how an expression is spelled. */
export function contractFingerprint(snapshot: ContractSnapshot): Fingerprint {
  const byId = (rules: readonly SnapshotRule[]) =>
    Object.fromEntries(
      rules.map(({ id, ...rest }) => [id, { ...rest, check: withoutSpelling(rest.check) as PlainObject }]),
    );
  return fingerprint({
    ...snapshot,
    fields: Object.fromEntries(snapshot.fields.map(({ name, ...rest }) => [name, rest])),
    rows: byId(snapshot.rows),
    batch: byId(snapshot.batch),
  });
}

/** Expressions by what they mean. */
export function withoutSpelling(value: Plain | undefined): Plain {
  if (value === null || value === undefined || typeof value !== 'object') return value ?? null;
  if (Array.isArray(value)) return (value as readonly Plain[]).map(withoutSpelling);
  const object = value as PlainObject;
  if (typeof object['canonical'] === 'string') return object['canonical'];
  return Object.fromEntries(
    Object.entries(object)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => [key, withoutSpelling(item)]),
  );
}
