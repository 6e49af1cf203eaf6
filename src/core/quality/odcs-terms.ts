/** The words of the Open Data Contract Standard 3.x and ours: types, severities, rules, in both directions. */
import { typeOfDuckDb } from '../schema/coerce-sql.js';
import { checkPattern } from '../schema/pattern.js';
import { parseType, printType, type ValueType } from '../schema/types.js';
import { literalForm } from './contract-form.js';
import { type Form, type FormValue, isObject } from './form.js';

export const ODCS_VERSION = 'v3.1.0';

export type Judgement = Form;
export type Part = { readonly rule: Form; readonly judgement: Judgement };
export type Path = readonly (string | number)[];

export const ENGINE = 'millrace';
export const own = (name: string): string => `millrace.${name}`;

export const list = (value: FormValue | undefined): readonly FormValue[] =>
  Array.isArray(value) ? value : [];
export const objects = (value: FormValue | undefined): readonly Form[] => list(value).filter(isObject);
export const textOf = (value: FormValue | undefined): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;
export const equal = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b);
export const canonical = (value: unknown): string =>
  JSON.stringify(value, (_key, item) =>
    typeof item === 'bigint'
      ? `${item}`
      : item !== null && typeof item === 'object' && !Array.isArray(item)
        ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
        : item,
  ) ?? '';

/** JSON has no whole numbers beyond 2^53: they are texts in a document. */
export const toPlain = (value: FormValue): FormValue =>
  typeof value === 'bigint'
    ? value.toString()
    : Array.isArray(value)
      ? value.map(toPlain)
      : isObject(value)
        ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toPlain(item)]))
        : value;

// --- types

export interface OdcsType {
  readonly logicalType: string;
  readonly physicalType: string;
  readonly logicalTypeOptions?: Form;
  readonly items?: Form;
}

export function odcsType(type: ValueType, timezone: string): OdcsType {
  switch (type.kind) {
    case 'int64':
      return { logicalType: 'integer', physicalType: 'BIGINT', logicalTypeOptions: { format: 'i64' } };
    case 'float64':
      return { logicalType: 'number', physicalType: 'DOUBLE', logicalTypeOptions: { format: 'f64' } };
    case 'decimal':
      return { logicalType: 'number', physicalType: `DECIMAL(18,${type.scale})` };
    case 'boolean':
      return { logicalType: 'boolean', physicalType: 'BOOLEAN' };
    case 'timestamp':
      return {
        logicalType: 'timestamp',
        physicalType: 'TIMESTAMP WITH TIME ZONE',
        logicalTypeOptions: { timezone: true, defaultTimezone: timezone },
      };
    case 'date':
      return { logicalType: 'date', physicalType: 'DATE' };
    case 'float64_vector':
      return {
        logicalType: 'array',
        physicalType: 'DOUBLE[]',
        ...(type.dimension === undefined
          ? {}
          : { logicalTypeOptions: { minItems: type.dimension, maxItems: type.dimension } }),
        items: { logicalType: 'number', logicalTypeOptions: { format: 'f64' } },
      };
    default:
      return { logicalType: 'string', physicalType: 'VARCHAR' };
  }
}

/** Physical types of other systems, as far as their name tells the value type. */
export function physicalType(name: string): ValueType | undefined {
  const decimal = /^(?:decimal|numeric|number|bignumeric)\s*\(\s*\d+\s*(?:,\s*(\d+)\s*)?\)$/i.exec(name);
  if (decimal) {
    const scale = Number(decimal[1] ?? 0);
    return scale === 0 ? { kind: 'int64' } : scale <= 15 ? { kind: 'decimal', scale } : { kind: 'float64' };
  }
  const bare = name
    .replace(/\s*\(.*?\)\s*/, '')
    .trim()
    .toLowerCase();
  if (/^(timestamp|datetime)/.test(bare)) return { kind: 'timestamp' };
  if (/^(n?varchar2?|n?char|character varying|character|clob|string|text|uuid)$/.test(bare))
    return { kind: 'string' };
  if (/^(tiny|small|medium|big)?int(eger)?\d*$|^(long|short|byteint)$/.test(bare)) return { kind: 'int64' };
  if (/^(real|float\d*|double( precision)?)$/.test(bare)) return { kind: 'float64' };
  return typeOfDuckDb(name) ?? parseType(name);
}

/** Whether times written in such a format (in Java's letters) are read without its being declared. */
export const isIsoFormat = (format: FormValue | undefined): boolean =>
  typeof format === 'string' && /^yyyy-MM-dd(('?T'?| )HH:mm(:ss(\.S{1,9})?)?('?Z'?|X{1,3})?)?$/.test(format);

/** Until 3.0 the standard had no timestamps: a date with a time of day is one. */
const hasTimeOfDay = (property: Form): boolean =>
  isObject(property['logicalTypeOptions']) &&
  /[Hhk]/.test(textOf(property['logicalTypeOptions']['format']) ?? '');

/** The value type of a property; a text says why there is none. */
export function typeOfProperty(property: Form): ValueType | string {
  const logical = textOf(property['logicalType']);
  const physical = textOf(property['physicalType']);
  const told = physical === undefined ? undefined : physicalType(physical);
  switch (logical) {
    case 'string':
      return { kind: 'string' };
    case 'integer':
      return { kind: 'int64' };
    case 'boolean':
      return { kind: 'boolean' };
    case 'date':
      return told?.kind === 'timestamp' || hasTimeOfDay(property) ? { kind: 'timestamp' } : { kind: 'date' };
    case 'timestamp':
      return { kind: 'timestamp' };
    case 'number':
      return told && ['int64', 'decimal', 'float64'].includes(told.kind) ? told : { kind: 'float64' };
    case 'array': {
      const items = isObject(property['items']) ? textOf(property['items']['logicalType']) : undefined;
      if (items !== undefined && items !== 'number' && items !== 'integer')
        return `an array of ${items}: fields hold single values and vectors of numbers`;
      const options = isObject(property['logicalTypeOptions']) ? property['logicalTypeOptions'] : {};
      const dimension = options['minItems'];
      return typeof dimension === 'number' && dimension > 0 && dimension === options['maxItems']
        ? { kind: 'float64_vector', dimension }
        : { kind: 'float64_vector' };
    }
    case 'time':
      return { kind: 'string' };
    case undefined:
      return told ?? (physical === undefined ? 'it has no type' : `the type ${physical} is not known here`);
    default:
      return `the type ${logical}: fields hold single values and vectors of numbers`;
  }
}

// --- customProperties

export const propertiesOf = (holder: Form): ReadonlyMap<string, FormValue> =>
  new Map(
    objects(holder['customProperties']).flatMap((item) =>
      typeof item['property'] === 'string' ? [[item['property'], item['value'] ?? null] as const] : [],
    ),
  );

/** Ours first, in their order; others as they were. */
export function withProperties(
  base: FormValue | undefined,
  ours: readonly (readonly [string, FormValue])[],
): readonly Form[] {
  const kept = objects(base).filter((item) => !String(item['property']).startsWith('millrace.'));
  return [...ours.map(([property, value]) => ({ property, value: toPlain(value) })), ...kept];
}

export const unlessEmpty = (key: string, value: readonly FormValue[]): Form =>
  value.length === 0 ? {} : { [key]: value };

// --- judgements

const SEVERITIES: Readonly<Record<string, string>> = {
  info: 'info',
  information: 'info',
  low: 'info',
  warn: 'warning',
  warning: 'warning',
  medium: 'warning',
  error: 'error',
  high: 'error',
  fail: 'error',
  critical: 'critical',
  fatal: 'critical',
};

export type Scope = 'record' | 'batch';
/** What a rule of the standard does when it does not say: a warning warns, an error refuses. */
const usualAction = (severity: string, scope: Scope): string =>
  severity === 'info' || severity === 'warning' ? 'warn' : scope === 'batch' ? 'fail' : 'quarantine';
/** What a definition does when it does not say. */
const defaultAction = (scope: Scope): string => (scope === 'batch' ? 'fail' : 'quarantine');

export function judgementOf(entry: Form, scope: Scope): Judgement {
  const severity = SEVERITIES[String(entry['severity'] ?? 'error').toLowerCase()] ?? 'error';
  const action = propertiesOf(entry).get(own('action')) ?? usualAction(severity, scope);
  return {
    ...(severity === 'error' ? {} : { severity }),
    ...(action === defaultAction(scope) ? {} : { action }),
  };
}

export function judgementEntry(judgement: Judgement, scope: Scope): Form {
  const severity = (judgement['severity'] as string | undefined) ?? 'error';
  const action = judgement['action'] ?? defaultAction(scope);
  return {
    severity,
    ...(action === usualAction(severity, scope)
      ? {}
      : { customProperties: withProperties(undefined, [[own('action'), action]]) }),
  };
}

// --- rules of the standard

/** What an entry of `quality` says, in our words; a text says why it cannot be taken over. */
export type Read =
  | { readonly scope: Scope; readonly rule: Form; readonly changed?: string }
  | { readonly named: Form }
  | string;

export const OPERATORS = [
  'mustBe',
  'mustNotBe',
  'mustBeGreaterThan',
  'mustBeGreaterOrEqualTo',
  'mustBeLessThan',
  'mustBeLessOrEqualTo',
  'mustBeBetween',
  'mustNotBeBetween',
] as const;

/** Limits of a whole number (`step` 1) or of a share (0); undefined for `mustNot…`. */
export function limitsOf(
  entry: Form,
  step: 0 | 1,
): { min?: number; max?: number; strict: boolean } | undefined {
  const operator = OPERATORS.find((key) => entry[key] !== undefined);
  const value = operator && entry[operator];
  const strict = step === 0 && (operator === 'mustBeLessThan' || operator === 'mustBeGreaterThan');
  if (operator === 'mustBeBetween' && Array.isArray(value))
    return { min: Number(value[0]), max: Number(value[1]), strict };
  if (typeof value !== 'number') return undefined;
  switch (operator) {
    case 'mustBe':
      return { min: value, max: value, strict };
    case 'mustBeGreaterThan':
      return { min: step === 1 ? Math.floor(value) + 1 : value, strict };
    case 'mustBeGreaterOrEqualTo':
      return { min: value, strict };
    case 'mustBeLessThan':
      return { max: step === 1 ? Math.ceil(value) - 1 : value, strict };
    case 'mustBeLessOrEqualTo':
      return { max: value, strict };
    default:
      return undefined;
  }
}

export const round = (value: number): number => Number(value.toPrecision(15));

/** Names of 3.0: `rule` instead of `metric`. */
export const METRICS: Readonly<Record<string, string>> = {
  nullCheck: 'nullValues',
  nullCount: 'nullValues',
  nullValues: 'nullValues',
  missingValues: 'missingValues',
  missingCount: 'missingValues',
  invalidValues: 'invalidValues',
  invalidCount: 'invalidValues',
  validValues: 'invalidValues',
  duplicateValues: 'duplicateValues',
  duplicateCount: 'duplicateValues',
  uniqueCheck: 'duplicateValues',
  rowCount: 'rowCount',
};

const ruleName = (entry: Form, taken: ReadonlySet<string>): string => {
  const wanted = (textOf(entry['id']) ?? textOf(entry['name']) ?? 'rule').replaceAll(/\W+/g, '_');
  const base = /^[A-Za-z_]/.test(wanted) ? wanted : `rule_${wanted}`;
  let name = base;
  for (let n = 2; taken.has(name); n++) name = `${base}_${n}`;
  return name;
};

export function readQuality(
  entry: Form,
  field: string | null,
  type: string,
  taken: ReadonlySet<string>,
): Read {
  const kind = textOf(entry['type']) ?? 'library';
  if (kind === 'custom') return readCustom(entry, field, type);
  if (kind === 'text') return 'a rule in prose is for people; nothing checks it';
  if (kind === 'sql')
    return 'its SQL is written for the tables of another system: rewrite it as `sql:` over {batch}';
  const written = textOf(entry['metric']) ?? textOf(entry['rule']);
  const metric = written === undefined ? undefined : METRICS[written];
  if (metric === undefined) return `the metric ${written ?? '(none)'} is not known here`;
  const given = isObject(entry['arguments']) ? entry['arguments'] : {};
  const zero = entry['mustBe'] === 0 || OPERATORS.every((key) => entry[key] === undefined);
  const percent = entry['unit'] === 'percent' || entry['unit'] === '%';
  if (metric === 'rowCount') {
    const limits = limitsOf(entry, 1);
    if (limits === undefined || field !== null || percent)
      return 'the row count has no limits that can be checked';
    const { strict: _, ...bounds } = limits;
    return { scope: 'batch', rule: { rows: bounds } };
  }
  if (metric === 'duplicateValues') {
    if (!zero) return 'only `mustBe: 0` duplicates can be checked';
    if (field !== null) return { scope: 'record', rule: { unique: true } };
    const fields = list(given['properties']).map(String);
    if (fields.length === 0) return 'it names no properties';
    return { named: { name: ruleName(entry, taken), unique: fields } };
  }
  if (field === null) return `${metric} of a whole table cannot be checked: name a property`;
  if (metric === 'nullValues' || metric === 'missingValues') {
    const missing = list(given['missingValues']).filter((item) => item !== null && item !== '');
    const note =
      missing.length > 0
        ? `texts that mean null (${missing.join(', ')}) belong under \`read: { nulls: [...] }\``
        : undefined;
    if (zero)
      return { scope: 'record', rule: { not_null: true }, ...(note === undefined ? {} : { changed: note }) };
    const limits = limitsOf(entry, 0);
    if (!percent || limits === undefined)
      return 'a number of nulls depends on the size of a batch: give a percentage';
    const { min, max, strict } = limits;
    const bounds = {
      ...(min === undefined || min === 0 ? {} : { min: round(min / 100) }),
      ...(max === undefined ? {} : { max: round(max / 100) }),
    };
    return {
      scope: 'batch',
      rule: {
        null_rate: { [field]: bounds.min === undefined && bounds.max !== undefined ? bounds.max : bounds },
      },
      ...(strict
        ? { changed: 'the limit itself is allowed here' }
        : note === undefined
          ? {}
          : { changed: note }),
    };
  }
  if (!zero)
    return 'only `mustBe: 0` invalid values can be checked for each record; use a rule in SQL for a share';
  const values = list(given['validValues'] ?? entry['validValues']);
  if (values.length > 0)
    return { scope: 'record', rule: { in: values.map((item) => literalForm(type, item)) } };
  const pattern = textOf(given['pattern']);
  if (pattern === undefined) return 'it names neither validValues nor a pattern';
  const fault = checkPattern(pattern);
  return fault === undefined
    ? { scope: 'record', rule: { pattern } }
    : `the pattern is not one that every engine reads alike: ${fault}`;
}

/** Rules of ours stand in `implementation` as a definition writes them. */
function readCustom(entry: Form, field: string | null, type: string): Read {
  const { implementation } = entry;
  if (entry['engine'] !== ENGINE || !isObject(implementation))
    return `the engine ${String(entry['engine'])} is not run here`;
  if (isObject(implementation['batch'])) return { scope: 'batch', rule: implementation['batch'] };
  if (field === null) return { named: implementation };
  return {
    scope: 'record',
    rule: Object.fromEntries(
      Object.entries(implementation).map(([key, value]) => [
        key,
        Array.isArray(value) ? value.map((item) => literalForm(type, item)) : literalForm(type, value),
      ]),
    ),
  };
}

export const REFERENCE = /^[A-Za-z_]\w*\.[A-Za-z_]\w*$/;

export interface Structure {
  required?: true;
  unique?: true;
  options: Record<string, FormValue>;
  references?: string;
}

/** Puts a rule that refuses records into the property itself; false when the standard has no word for it. */
export function intoStructure(rule: Form, type: ValueType, into: Structure): boolean {
  const [key] = Object.keys(rule);
  const free = (option: string): boolean => into.options[option] === undefined;
  const limit = (value: FormValue | undefined): boolean =>
    value === undefined ||
    (['int64', 'float64', 'decimal'].includes(type.kind)
      ? typeof value === 'number'
      : ['timestamp', 'date'].includes(type.kind) && typeof value === 'string');
  switch (key) {
    case 'not_null':
      if (into.required) return false;
      into.required = true;
      return true;
    case 'unique':
      if (into.unique) return false;
      into.unique = true;
      return true;
    case 'pattern':
      if (!free('pattern')) return false;
      into.options['pattern'] = rule['pattern']!;
      return true;
    case 'length': {
      const [min, max] = rule['length'] as readonly (number | null)[];
      if (!free('minLength') || !free('maxLength')) return false;
      if (min !== null) into.options['minLength'] = min!;
      if (max !== null) into.options['maxLength'] = max!;
      return true;
    }
    case 'references':
      if (into.references !== undefined || Object.keys(rule).length > 1) return false;
      if (!REFERENCE.test(rule['references'] as string)) return false;
      into.references = rule['references'] as string;
      return true;
    case 'range':
    case 'min':
    case 'max':
    case 'greater_than':
    case 'less_than': {
      const [low, high] = (rule['range'] as readonly FormValue[] | undefined) ?? [rule['min'], rule['max']];
      const limits: Form = {
        ...(low === undefined || low === null ? {} : { minimum: low }),
        ...(high === undefined || high === null ? {} : { maximum: high }),
        ...(rule['greater_than'] === undefined ? {} : { exclusiveMinimum: rule['greater_than'] }),
        ...(rule['less_than'] === undefined ? {} : { exclusiveMaximum: rule['less_than'] }),
      };
      if (!Object.values(limits).every(limit) || !RANGE_OPTIONS.every(free)) return false;
      Object.assign(into.options, limits);
      return true;
    }
    default:
      return false;
  }
}

const RANGE_OPTIONS = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'];
export const RULE_OPTIONS = [...RANGE_OPTIONS, 'pattern', 'minLength', 'maxLength'];

/** The rules in a property itself. */
export function outOfStructure(
  property: Form,
  type: ValueType,
  implied: boolean,
): readonly (Form | { readonly fault: string; readonly at: Path })[] {
  const options = isObject(property['logicalTypeOptions']) ? property['logicalTypeOptions'] : {};
  const name = printType(type);
  const out: (Form | { fault: string; at: Path })[] = [];
  if (property['required'] === true && !implied) out.push({ not_null: true });
  const limit = (key: string): FormValue | undefined => {
    const value = options[key];
    return value === undefined ? undefined : literalForm(name, value);
  };
  const [min, max] = [limit('minimum'), limit('maximum')];
  const [above, below] = [limit('exclusiveMinimum'), limit('exclusiveMaximum')];
  if (min !== undefined && max !== undefined && above === undefined && below === undefined)
    out.push({ range: [min, max] });
  else if ([min, max, above, below].some((value) => value !== undefined))
    out.push({
      ...(above !== undefined ? { greater_than: above } : min !== undefined ? { min } : {}),
      ...(below !== undefined ? { less_than: below } : max !== undefined ? { max } : {}),
    });
  const pattern = textOf(options['pattern']);
  if (pattern !== undefined) {
    const fault = checkPattern(pattern);
    out.push(
      fault === undefined
        ? { pattern }
        : {
            fault: `the pattern is not one that every engine reads alike: ${fault}`,
            at: ['logicalTypeOptions', 'pattern'],
          },
    );
  }
  const [least, most] = [options['minLength'], options['maxLength']];
  if (typeof least === 'number' || typeof most === 'number')
    out.push({ length: [(least as number) ?? null, (most as number) ?? null] });
  if (property['unique'] === true) out.push({ unique: true });
  const reference = objects(property['relationships']).find((item) => typeof item['to'] === 'string');
  const to = reference && referenceOf(reference['to'] as string);
  if (to !== undefined) out.push({ references: to });
  return out;
}

/** `customers.id`, or `#/schema/customers/properties/id`; undefined for references to other documents. */
export function referenceOf(to: string): string | undefined {
  if (REFERENCE.test(to)) return to;
  const inside = /^#?\/?schema\/([A-Za-z_]\w*)\/properties\/([\w-]+)$/.exec(to);
  return inside ? `${inside[1]}.${inside[2]}` : undefined;
}
