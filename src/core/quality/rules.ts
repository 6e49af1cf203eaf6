/**
 * Rules that judge one record: what they mean to a person, in TypeScript and in SQL. A null passes every rule but
 * `not_null`; a rule is broken only when it is definitely false, or when judging it fails.
 */
import type { Contract, FieldDefinition, RowAction, RowRule, Severity, Source } from '../define/types.js';
import type { Expression } from '../expression/index.js';
import { type Coerced, show } from '../schema/coerce.js';
import { printValue } from '../schema/coerce-print.js';
import { literalSql, quoteText } from '../schema/coerce-sql.js';
import { compilePattern, patternSql } from '../schema/pattern.js';
import { STRING, type Value, type ValueType } from '../schema/types.js';

export type Row = Readonly<Record<string, Value>>;

/** Why a record was refused, flagged or dropped. */
export interface Reason {
  /** Id of the rule; `amount.type` when the value could not be read at all. */
  readonly rule: string;
  readonly field: string | null;
  /** The offending value as it came (text, JSON value) or, after reading, as `printValue` shows it. */
  readonly value: unknown;
  readonly message: string;
  readonly severity: Severity;
  readonly action: RowAction;
  /** The rule failed while it judged: the message says why, whatever becomes of the record. */
  readonly unjudged?: true;
}

/** The two readings of row expressions, given from outside so that rules do not choose a compiler. */
export interface ExpressionReadings {
  compile(expression: Expression): (row: Row) => Value;
  /** SQL of the expression's type; undefined when only TypeScript can compute it. */
  print(expression: Expression, column: (field: string) => string): string | undefined;
}

/** Rules without which a record cannot be placed in the log. They hold for tombstones too. */
function impliedRules(source: Source): readonly RowRule[] {
  const fields = new Set([
    ...source.recordKey,
    source.eventTime,
    ...(source.sequence === undefined ? [] : [source.sequence]),
  ]);
  return [...fields].map((field) => ({
    id: `${field}.not_null`,
    field,
    check: { kind: 'not_null' },
    severity: 'error',
    action: 'quarantine',
  }));
}

/** What a rule does when records are judged: one that could not be repaired goes to quarantine. */
export const judgedAction = ({ action }: RowRule): RowAction =>
  action === 'cap' || action === 'impute' ? 'quarantine' : action;

const refuses = (action: RowAction): boolean =>
  action === 'quarantine' || action === 'fail' || action === 'drop';

/** The contract with the implied rules first. A declared `not_null` that refuses the row stands for the implied one. */
export function effectiveContract(source: Source): Contract {
  const declared = source.contract.rows;
  const implied = impliedRules(source).filter(
    (rule) =>
      !declared.some(
        (other) => other.field === rule.field && other.check.kind === 'not_null' && refuses(other.action),
      ),
  );
  const replaced = new Set(implied.map((rule) => rule.id));
  return {
    rows: [...implied, ...declared.filter((rule) => !replaced.has(rule.id))],
    batch: source.contract.batch,
  };
}

/** True for rules that also judge tombstones: those of the record key, the event time and the sequence. */
function judgesTombstones(source: Source, rule: RowRule): boolean {
  if (rule.check.kind !== 'not_null' || rule.field === null) return false;
  return (
    source.recordKey.includes(rule.field) || rule.field === source.eventTime || rule.field === source.sequence
  );
}

/** True when the record's declared delete marker is true or 1. */
export function isTombstone(source: Source, row: Row): boolean {
  const marker = source.deleted === undefined ? null : row[source.deleted];
  return marker === true || marker === 1;
}

export function tombstoneSql(source: Source, column: (field: string) => string): string {
  if (source.deleted === undefined) return 'false';
  const type = typeOfField(source.fields, source.deleted);
  const marker = column(source.deleted);
  return type.kind === 'boolean' ? `coalesce(${marker}, false)` : `coalesce(${marker} = 1, false)`;
}

export const typeOfField = (fields: readonly FieldDefinition[], name: string | null): ValueType =>
  fields.find((field) => field.name === name)?.type ?? STRING;

const between = (min: string | undefined, max: string | undefined): string =>
  min === undefined ? `${max}` : max === undefined ? min : `${min} and ${max}`;

/** What the rule wants, to stand after "expected". */
export function expectation(rule: RowRule, type: ValueType): string {
  const { check } = rule;
  const print = (value: Value): string => (type.kind === 'string' ? show(value) : printValue(type, value));
  switch (check.kind) {
    case 'not_null':
      return 'a value';
    case 'range':
      return between(
        check.min === undefined
          ? undefined
          : `${check.minExclusive ? 'more than' : 'at least'} ${print(check.min)}`,
        check.max === undefined
          ? undefined
          : `${check.maxExclusive ? 'less than' : 'at most'} ${print(check.max)}`,
      );
    case 'set': {
      const shown = check.values.slice(0, 8).map(print).join(', ');
      return `one of ${shown}${check.values.length > 8 ? `, ... (${check.values.length} values)` : ''}`;
    }
    case 'pattern':
      return `a text that matches ${check.pattern}`;
    case 'length':
      return between(
        check.min === undefined ? undefined : `a length of at least ${check.min}`,
        check.max === undefined
          ? undefined
          : `${check.min === undefined ? 'a length of ' : ''}at most ${check.max}`,
      );
    case 'expression':
      return check.expression.text;
    case 'reference':
      return `a value of ${check.source}.${check.field}${check.asOf === 'ingest' ? '' : ' known at the time of the record'}`;
    case 'unique':
      return `${check.fields.join(', ')} to be unique`;
    case 'sql':
      return rule.id;
  }
}

/** What is wrong, with the value and what was expected, on one line. */
export function messageFor(rule: RowRule, value: Value, type: ValueType): string {
  const expected = expectation(rule, type);
  const shown = typeof value === 'string' ? show(value) : printValue(type, value);
  if (rule.check.kind === 'expression' || rule.check.kind === 'sql')
    return `the rule ${expected} does not hold`;
  if (rule.check.kind === 'unique') return `another record has the same ${rule.check.fields.join(', ')}`;
  return `${rule.field} is ${shown}, expected ${expected}`;
}

/** The reason that a broken rule gives for a record. */
export function reasonFor(rule: RowRule, row: Row, fields: readonly FieldDefinition[]): Reason {
  const type = typeOfField(fields, rule.field);
  const value = rule.field === null ? null : (row[rule.field] ?? null);
  return {
    rule: rule.id,
    field: rule.field,
    value: value === null || typeof value === 'string' ? value : printValue(type, value),
    message: messageFor(rule, value, type),
    severity: rule.severity,
    action: judgedAction(rule),
  };
}

/** The reason for a value that could not be read as its type; undefined when it could. */
export function typeReason(
  field: string,
  raw: unknown,
  coerced: Coerced,
  format?: string,
): Reason | undefined {
  if (coerced.ok) return undefined;
  const expected = format === undefined ? coerced.expected : `the format ${format}`;
  return {
    rule: `${field}.type`,
    field,
    value: raw,
    message: `${field}: ${coerced.message}; expected ${expected}`,
    severity: 'error',
    action: 'quarantine',
  };
}

/** Order of text by code point, as SQL compares; other values by size. Negative: a before b. */
export function compareValues(a: Value, b: Value): number {
  if (typeof a === 'string' && typeof b === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return a! < b! ? -1 : a! > b! ? 1 : 0;
}

function lengthOf(value: Value): number {
  if (typeof value === 'string') return [...value].length;
  return Array.isArray(value) ? value.length : 0;
}

/** True when the row breaks the rule; undefined for rules that compare records (see relations.ts). */
export function compileRule(
  rule: RowRule,
  readings: ExpressionReadings,
): ((row: Row) => boolean) | undefined {
  const { check } = rule;
  const onValue = (broken: (value: Value) => boolean) => {
    const field = rule.field!;
    return (row: Row): boolean => {
      const value = row[field] ?? null;
      return value !== null && broken(value);
    };
  };
  switch (check.kind) {
    case 'not_null': {
      const field = rule.field!;
      return (row) => (row[field] ?? null) === null;
    }
    case 'range': {
      const { min, max } = check;
      return onValue((value) => {
        const low = min === undefined ? 1 : compareValues(value, min);
        const high = max === undefined ? -1 : compareValues(value, max);
        return low < 0 || (low === 0 && check.minExclusive) || high > 0 || (high === 0 && check.maxExclusive);
      });
    }
    case 'set': {
      const values = new Set(check.values);
      return onValue((value) => !values.has(value));
    }
    case 'pattern': {
      const matches = compilePattern(check.pattern);
      return onValue((value) => !matches(value as string));
    }
    case 'length': {
      const { min = 0, max = Infinity } = check;
      return onValue((value) => lengthOf(value) < min || lengthOf(value) > max);
    }
    case 'expression': {
      const evaluate = readings.compile(check.expression);
      return (row) => evaluate(row) === false;
    }
    case 'reference':
    case 'unique':
    case 'sql':
      return undefined;
  }
}

/**
 * Fields that the rule looks at even where they are null; of all others a null breaks nothing. Where a value could not
 * be read it stands as null, and such a rule says nothing of its record: the reason for the type already does.
 */
export function looksAtNull({ field, check }: RowRule): readonly string[] {
  if (check.kind === 'expression') return check.expression.slots.map(({ slot }) => slot);
  return check.kind === 'not_null' && field !== null ? [field] : [];
}

/** What `looksAtNull` asks for in SQL, where `unread` gives what is true of a value that could not be read. */
export function judgedWhere(
  rule: RowRule,
  violated: string,
  unread: (field: string) => string | undefined,
): string {
  const guards = [...new Set(looksAtNull(rule))].flatMap((field) => unread(field) ?? []);
  return guards.length === 0 ? violated : `(${violated} AND NOT (${guards.join(' OR ')}))`;
}

const ALL_READ: ReadonlySet<string> = new Set();

/** A rule that fails while it judges counts as broken, and says so. */
export const notJudged = ({ id }: { readonly id: string }, error: unknown): string =>
  `${id} could not be judged: ${error instanceof Error ? error.message : error}`;

export const unjudgedReason = (reason: Reason, message: string): Reason => ({
  ...reason,
  message,
  unjudged: true,
});

/**
 * The row rules of the effective contract over typed rows, in the order of the rules. Tombstones are judged only
 * by the implied rules. Rules that compare records are left out. A rule that throws is broken. `unread` names the
 * fields whose values could not be read; they are null in the row.
 */
export function compileRowChecks(
  source: Source,
  readings: ExpressionReadings,
): (row: Row, unread?: ReadonlySet<string>) => readonly Reason[] {
  const rules = effectiveContract(source).rows.flatMap((rule) => {
    const broken = compileRule(rule, readings);
    return broken
      ? [{ rule, tombstones: judgesTombstones(source, rule), reads: looksAtNull(rule), broken }]
      : [];
  });
  return (row, unread = ALL_READ) => {
    const dead = isTombstone(source, row);
    const reasons: Reason[] = [];
    for (const { rule, tombstones, reads, broken } of rules) {
      if (dead && !tombstones) continue;
      if (unread.size > 0 && reads.some((field) => unread.has(field))) continue;
      try {
        if (broken(row)) reasons.push(reasonFor(rule, row, source.fields));
      } catch (error) {
        reasons.push(unjudgedReason(reasonFor(rule, row, source.fields), notJudged(rule, error)));
      }
    }
    return reasons;
  };
}

/**
 * SQL BOOLEAN, never NULL: true where the row breaks the rule. Undefined when SQL cannot judge it alone:
 * `reference`, `unique` and `sql` (see relations.ts), and expressions that only TypeScript computes.
 */
export function rowRuleSql(
  rule: RowRule,
  fields: readonly FieldDefinition[],
  column: (field: string) => string,
  print: ExpressionReadings['print'],
): string | undefined {
  const { check } = rule;
  const value = rule.field === null ? '' : column(rule.field);
  const type = typeOfField(fields, rule.field);
  const broken = (conditions: readonly (string | undefined)[]): string => {
    const all = conditions.filter((condition) => condition !== undefined);
    return all.length === 0 ? 'false' : `coalesce(${all.join(' OR ')}, false)`;
  };
  switch (check.kind) {
    case 'not_null':
      return `(${value} IS NULL)`;
    case 'range':
      return broken([
        check.min === undefined
          ? undefined
          : `${value} ${check.minExclusive ? '<=' : '<'} ${literalSql(type, check.min)}`,
        check.max === undefined
          ? undefined
          : `${value} ${check.maxExclusive ? '>=' : '>'} ${literalSql(type, check.max)}`,
      ]);
    case 'set': {
      const values = check.values.filter((item) => item !== null).map((item) => literalSql(type, item));
      return values.length === 0
        ? `(${value} IS NOT NULL)`
        : broken([`${value} NOT IN (${values.join(', ')})`]);
    }
    case 'pattern':
      return broken([`NOT regexp_matches(${value}, ${quoteText(patternSql(check.pattern))})`]);
    case 'length':
      return broken([
        check.min === undefined ? undefined : `length(${value}) < ${check.min}`,
        check.max === undefined ? undefined : `length(${value}) > ${check.max}`,
      ]);
    case 'expression': {
      const sql = print(check.expression, column);
      return sql === undefined ? undefined : broken([`NOT (${sql})`]);
    }
    case 'reference':
    case 'unique':
    case 'sql':
      return undefined;
  }
}

export interface RowCheckSql {
  readonly rule: RowRule;
  /** See `rowRuleSql`; tombstones are already left out where the rule does not judge them. */
  readonly violated: string | undefined;
}

/** `compileRowChecks` in SQL: one BOOLEAN for each rule of the effective contract, in order. */
export function rowChecksSql(
  source: Source,
  column: (field: string) => string,
  print: ExpressionReadings['print'],
): readonly RowCheckSql[] {
  const dead = tombstoneSql(source, column);
  return effectiveContract(source).rows.map((rule) => {
    const violated = rowRuleSql(rule, source.fields, column, print);
    const guarded = violated === undefined || dead === 'false' || judgesTombstones(source, rule);
    return { rule, violated: guarded ? violated : `(NOT ${dead} AND ${violated})` };
  });
}

export interface Disposition {
  /** fail: the whole batch is refused. */
  readonly outcome: 'accept' | 'quarantine' | 'drop' | 'fail';
  /** Ids of broken rules with action `flag`, to be kept with the record. */
  readonly flags: readonly string[];
}

/** What becomes of a record: the strongest action of its reasons (fail, quarantine, drop). */
export function dispose(reasons: readonly Reason[]): Disposition {
  const has = (action: RowAction): boolean => reasons.some((reason) => reason.action === action);
  return {
    outcome: has('fail') ? 'fail' : has('quarantine') ? 'quarantine' : has('drop') ? 'drop' : 'accept',
    flags: reasons.filter((reason) => reason.action === 'flag').map((reason) => reason.rule),
  };
}
