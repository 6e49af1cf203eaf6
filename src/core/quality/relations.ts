/** Rules that compare a record with others: SQL over relations, and the same in TypeScript over maps. */
import type { RowRule } from '../define/types.js';
import { quoteName } from '../schema/coerce-sql.js';
import type { Value } from '../schema/types.js';
import type { Row } from './rules.js';

export type ReferenceRule = RowRule & { readonly check: { readonly kind: 'reference' } };
export type UniqueRule = RowRule & { readonly check: { readonly kind: 'unique' } };

export const isReference = (rule: RowRule): rule is ReferenceRule => rule.check.kind === 'reference';
export type SqlRule = RowRule & { readonly check: { readonly kind: 'sql' } };
export const isUnique = (rule: RowRule): rule is UniqueRule => rule.check.kind === 'unique';
export const isSql = (rule: RowRule): rule is SqlRule => rule.check.kind === 'sql';

/** The name that stands for `{batch}` in the SQL of rules. */
export const BATCH_VIEW = '_batch';

/** The SQL of a rule over a relation or view named `_batch`. */
export const batchSql = (sql: string): string =>
  sql.replace(/;\s*$/, '').replaceAll('{batch}', quoteName(BATCH_VIEW));

/** A statement that lets `batchSql` read `relation`. */
export const batchViewSql = (relation: string): string =>
  `CREATE OR REPLACE TEMP VIEW ${quoteName(BATCH_VIEW)} AS ${relation}`;

/** True when the reference must have been known when the record was; false: when it is ingested. */
export const asOfRecord = (rule: ReferenceRule): boolean => rule.check.asOf !== 'ingest';

/**
 * SQL BOOLEAN, never NULL: true where `columnSql` is not null and is no value of the rule's field in
 * `knownRelation`: the known records of the other source with `_available_at` and `_until` (null: for ever). As of
 * the record: only those known at `availableSql`, its available_at.
 */
export function referenceSql(
  rule: ReferenceRule,
  columnSql: string,
  availableSql: string,
  knownRelation: string,
): string {
  const then = asOfRecord(rule)
    ? ` AND known."_available_at" <= ${availableSql} AND coalesce(${availableSql} < known."_until", true)`
    : '';
  return (
    `(${columnSql} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM ${knownRelation} AS known` +
    ` WHERE known.${quoteName(rule.check.field)} = ${columnSql}${then}))`
  );
}

/** `[from, until)`: when a value is known; until null: for ever. */
export type Known = readonly (readonly [from: number, until: number | null])[];

/** The TypeScript reading of `referenceSql`; `known` gives when a value is known, nothing where it never is. */
export const referenceCheck =
  (rule: ReferenceRule, known: (value: Value) => Known) =>
  (row: Row, availableAt: number): boolean => {
    const value = row[rule.field!] ?? null;
    return (
      value !== null &&
      !known(value).some(
        ([from, until]) =>
          !asOfRecord(rule) || (from <= availableAt && (until === null || availableAt < until)),
      )
    );
  };

/**
 * A query of one column `position`: the rows of `batchRelation` that break the rule. Values that known records
 * have belong to those records' keys; others belong to the record key that comes first in the batch. A row with
 * a null among the values breaks nothing. `positionColumn` orders the batch; both relations have the fields and
 * the record key under their names. Pass only rows that the other rules let through, and no tombstones.
 */
export function uniqueSql(
  rule: UniqueRule,
  recordKey: readonly string[],
  batchRelation: string,
  knownRelation: string,
  positionColumn: string,
): string {
  const names = (prefix: string, fields: readonly string[]): string[] =>
    fields.map((field) => `${prefix}${quoteName(field)}`);
  const same = (fields: readonly string[]): string =>
    fields.map((field) => `known.${quoteName(field)} = batch.${quoteName(field)}`).join(' AND ');
  const { fields } = rule.check;
  const known = `SELECT 1 FROM ${knownRelation} AS known WHERE ${same(fields)}`;
  const position = quoteName(positionColumn);
  const key = `row(${names('', recordKey).join(', ')})`;
  const columns = [...new Set([...fields, ...recordKey])].map(quoteName).join(', ');
  return (
    `SELECT batch.position FROM (SELECT ${columns}, ${position} AS position, ${key} AS record_key,` +
    ` first_value(${key}) OVER (PARTITION BY ${names('', fields).join(', ')} ORDER BY ${position}) AS holder` +
    ` FROM ${batchRelation} WHERE ${names('', fields)
      .map((name) => `${name} IS NOT NULL`)
      .join(' AND ')}) AS batch` +
    ` WHERE CASE WHEN EXISTS (${known}) THEN NOT EXISTS (${known} AND ${same(recordKey)})` +
    ` ELSE batch.record_key IS DISTINCT FROM batch.holder END`
  );
}

/** A tuple of values as one text, with lengths so that no two tuples share it. */
export function tupleKey(values: readonly Value[]): string {
  return values
    .map((value) => {
      const text = typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
      return `${value === null ? 'null' : typeof value === 'bigint' ? 'number' : typeof value}:${text.length}:${text}`;
    })
    .join('|');
}

/**
 * The TypeScript reading of `uniqueSql`, row by row. `known` gives the record keys (as tuples) that known records
 * with these values have.
 */
export function uniqueCheck(
  rule: UniqueRule,
  recordKey: readonly string[],
  known: (values: readonly Value[]) => readonly (readonly Value[])[],
): (row: Row) => boolean {
  const holders = new Map<string, string>();
  return (row) => {
    const values = rule.check.fields.map((field) => row[field] ?? null);
    if (values.includes(null)) return false;
    const own = tupleKey(recordKey.map((field) => row[field] ?? null));
    const before = known(values);
    if (before.length > 0) return !before.some((key) => tupleKey(key) === own);
    const tuple = tupleKey(values);
    const holder = holders.get(tuple);
    if (holder === undefined) holders.set(tuple, own);
    return holder !== undefined && holder !== own;
  };
}
