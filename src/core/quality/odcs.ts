/**
 * Open Data Contract Standard 3.x ↔ source definitions. Both sides are plain values; YAML is read and written outside.
 *
 * What the standard can say is said in its own words (`required`, `logicalTypeOptions`, library metrics), so that
 * other tools check it too. The rest stands where the schema allows it: `type: custom, engine: millrace` with the rule
 * as a definition writes it, and `customProperties` named `millrace.*`. A document that is already there keeps
 * everything the definition does not speak of, and every rule that has not changed as it was written.
 */

import { coerceJson } from '../schema/coerce.js';
import { checkPattern } from '../schema/pattern.js';
import { parseType, printType, type ValueType } from '../schema/types.js';
import type { FieldForm, SourceForm } from './contract-form.js';
import { type Form, type FormValue, isObject } from './form.js';
import { fieldName, fromOdcs, type ImportedSource, sourceName } from './odcs-import.js';
import { slaProperties } from './odcs-levels.js';
import {
  canonical,
  ENGINE,
  equal,
  intoStructure,
  type Judgement,
  judgementEntry,
  judgementOf,
  list,
  ODCS_VERSION,
  objects,
  odcsType,
  outOfStructure,
  own,
  type Part,
  RULE_OPTIONS,
  readQuality,
  referenceOf,
  round,
  type Scope,
  type Structure,
  textOf,
  toPlain,
  typeOfProperty,
  unlessEmpty,
  withProperties,
} from './odcs-terms.js';
import { PROMISE_KEYS } from './promise-form.js';

export interface ExportOptions {
  /** Identifier of a new document; one that is there keeps its own. */
  readonly id: string;
  /** Semantic version; absent: that of the document that is there, else 1.0.0. */
  readonly version?: string;
  /** The document that is there. */
  readonly base?: Form;
}

const ORDER = [
  'apiVersion',
  'kind',
  'id',
  'name',
  'version',
  'status',
  'domain',
  'tenant',
  'dataProduct',
  'tags',
  'description',
  'servers',
  'team',
  'support',
  'roles',
  'price',
  'schema',
  'slaDefaultElement',
  'slaProperties',
  'authoritativeDefinitions',
  'customProperties',
  'contractCreatedTs',
];
const OBJECT_ORDER = [
  'id',
  'name',
  'physicalName',
  'logicalType',
  'physicalType',
  'businessName',
  'description',
  'dataGranularityDescription',
  'tags',
  'quality',
  'relationships',
  'properties',
  'authoritativeDefinitions',
  'customProperties',
];
const PROPERTY_ORDER = [
  'id',
  'name',
  'physicalName',
  'businessName',
  'description',
  'logicalType',
  'physicalType',
  'logicalTypeOptions',
  'items',
  'primaryKey',
  'primaryKeyPosition',
  'required',
  'unique',
  'relationships',
  'quality',
];

function inOrder(value: Readonly<Record<string, FormValue | undefined>>, order: readonly string[]): Form {
  const keys = [
    ...order.filter((key) => key in value),
    ...Object.keys(value).filter((key) => !order.includes(key)),
  ];
  return Object.fromEntries(keys.flatMap((key) => (value[key] === undefined ? [] : [[key, value[key]!]])));
}

/** Keys of a source that the standard has no place for, as custom properties of the schema object. */
const SOURCE_KEYS = [
  'kind',
  'read',
  'event_time',
  'available_at',
  'deleted',
  'sequence',
  'timezone',
  'ambiguous_time',
  'on_error',
  'keys',
  ...PROMISE_KEYS,
] as const;

const asList = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value;
const asBlocks = (value: FormValue | undefined): readonly Form[] =>
  value === undefined ? [] : Array.isArray(value) ? objects(value) : isObject(value) ? [value] : [];

/** A block as its rules, each alone, and what they have in common. */
function partsOf(block: Form): readonly Part[] {
  const { severity, action, ...rules } = block;
  const judgement: Judgement = {
    ...(severity === undefined ? {} : { severity }),
    ...(action === undefined ? {} : { action }),
  };
  const { min, max, greater_than, less_than, references, as_of, ...others } = rules;
  const together = (items: Readonly<Record<string, FormValue | undefined>>): Form[] => {
    const present = Object.entries(items).filter(([, value]) => value !== undefined) as [string, FormValue][];
    return present.length === 0 ? [] : [Object.fromEntries(present)];
  };
  return [
    ...Object.entries(others)
      .filter(([key]) => key === 'not_null')
      .map(([key, value]) => ({ [key]: value })),
    ...together({ min, max, greater_than, less_than }),
    ...Object.entries(others)
      .filter(([key]) => key !== 'not_null')
      .map(([key, value]) => ({ [key]: value })),
    ...together({ references, as_of }),
  ].map((rule) => ({ rule, judgement }));
}

/** `{ mean: { a, b } }` → one rule for each field. */
function batchPartsOf(block: Form): readonly Part[] {
  const { severity, action, ...rules } = block;
  const judgement: Judgement = {
    ...(severity === undefined ? {} : { severity }),
    ...(action === undefined ? {} : { action }),
  };
  return Object.entries(rules).flatMap(([key, value]) =>
    isObject(value) && key !== 'rows'
      ? Object.entries(value).map(([field, limits]) => ({ rule: { [key]: { [field]: limits } }, judgement }))
      : key === 'rules'
        ? list(value).map((item) => ({ rule: { [key]: [item] }, judgement }))
        : [{ rule: { [key]: value }, judgement }],
  );
}

/** The order in which a block of batch rules is read: a document that comes back has the same order. */
const BATCH_ORDER = [
  'rows',
  'null_rate',
  'distinct_count',
  'mean',
  'std',
  'sum',
  'min',
  'max',
  'median',
  'quantile',
  'distribution',
  'rules',
  'quarantine_rate',
  'extra_columns',
];

const stableId = (text: string): string => text.replaceAll(/[^A-Za-z0-9_-]+/g, '-');

/** An entry of `quality` for a rule of one field. */
function fieldEntry(field: string, { rule, judgement }: Part): Form {
  const [key] = Object.keys(rule) as [string];
  const head = { id: stableId(`${field}-${key === 'in' ? 'set' : key}`) };
  const tail = judgementEntry(judgement, 'record');
  switch (key) {
    case 'not_null':
      return { ...head, metric: 'nullValues', mustBe: 0, dimension: 'completeness', ...tail };
    case 'in':
      return {
        ...head,
        metric: 'invalidValues',
        arguments: { validValues: toPlain(rule['in']!) },
        mustBe: 0,
        dimension: 'conformity',
        ...tail,
      };
    case 'pattern':
      return {
        ...head,
        metric: 'invalidValues',
        arguments: { pattern: rule['pattern']! },
        mustBe: 0,
        dimension: 'conformity',
        ...tail,
      };
    case 'unique':
      return { ...head, metric: 'duplicateValues', mustBe: 0, dimension: 'uniqueness', ...tail };
    default:
      return { ...head, type: 'custom', engine: ENGINE, implementation: toPlain(rule), ...tail };
  }
}

function namedEntry(rule: Form): Form {
  const { severity, action, ...body } = rule;
  const tail = judgementEntry(
    { ...(severity === undefined ? {} : { severity }), ...(action === undefined ? {} : { action }) },
    'record',
  );
  const id = body['name'] as string;
  return body['unique'] === undefined
    ? { id, type: 'custom', engine: ENGINE, implementation: toPlain(body), ...tail }
    : {
        id,
        metric: 'duplicateValues',
        arguments: {
          properties: toPlain(typeof body['unique'] === 'string' ? [body['unique']] : body['unique']),
        },
        mustBe: 0,
        dimension: 'uniqueness',
        ...tail,
      };
}

interface BatchEntry {
  /** The property it stands in; null for the table. */
  readonly field: string | null;
  readonly rule: Form;
  readonly entry: Form;
}

function batchEntry({ rule: bare, judgement }: Part): BatchEntry {
  const rule = { ...bare, ...judgement };
  const [key, value] = Object.entries(bare)[0]!;
  const tail = judgementEntry(judgement, 'batch');
  if (key === 'rows') {
    const { min, max } = value as { readonly min?: number; readonly max?: number };
    const operator: Form =
      min !== undefined && max !== undefined
        ? min === max
          ? { mustBe: min }
          : { mustBeBetween: [min, max] }
        : min !== undefined
          ? { mustBeGreaterOrEqualTo: min }
          : { mustBeLessOrEqualTo: max! };
    return {
      field: null,
      rule,
      entry: { id: 'row_count', metric: 'rowCount', ...operator, dimension: 'completeness', ...tail },
    };
  }
  if (key === 'null_rate') {
    const [field, limit] = Object.entries(value as Form)[0]!;
    if (typeof limit === 'number' && round(round(limit * 100) / 100) === limit)
      return {
        field,
        rule,
        entry: {
          id: stableId(`${field}-null_rate`),
          metric: 'nullValues',
          unit: 'percent',
          mustBeLessOrEqualTo: round(limit * 100),
          dimension: 'completeness',
          ...tail,
        },
      };
  }
  const about = isObject(value)
    ? Object.keys(value)[0]!
    : key === 'rules'
      ? String((list(value)[0] as Form)['name'])
      : '';
  return {
    field: null,
    rule,
    entry: {
      id: stableId(about === '' ? key : `${about}-${key}`),
      type: 'custom',
      engine: ENGINE,
      implementation: { batch: toPlain(bare) },
      ...tail,
    },
  };
}

/** Ids within one list are told apart by a number. */
function numbered(entries: readonly Form[]): readonly Form[] {
  const seen = new Set(entries.flatMap((entry) => textOf(entry['id']) ?? []));
  const used = new Set<string>();
  return entries.map((entry) => {
    const id = textOf(entry['id']);
    if (id === undefined) return entry;
    let fresh = id;
    for (let n = 2; used.has(fresh) || (fresh !== id && seen.has(fresh)); n++) fresh = `${id}-${n}`;
    used.add(fresh);
    return fresh === id ? entry : { ...entry, id: fresh };
  });
}

/** Rules that a list of entries shall say: each is said once, first by the entry that says it already. */
class Wanted {
  readonly #open: { readonly said: string; readonly entry: Form }[] = [];
  /** All that holds: what an entry repeats of it stays. */
  readonly #holds = new Set<string>();

  add(scope: Scope | 'named', rule: Form, entry: Form): void {
    this.#open.push({ said: this.holds(scope, rule), entry });
  }

  /** The rule is said elsewhere, by the structure or by what the standard implies: no entry has to. */
  holds(scope: Scope | 'named', rule: Form): string {
    const said = `${scope} ${canonical(rule)}`;
    this.#holds.add(said);
    return said;
  }

  #take(scope: Scope | 'named', rule: Form): boolean {
    const said = `${scope} ${canonical(rule)}`;
    const at = this.#open.findIndex((item) => item.said === said);
    if (at >= 0) this.#open.splice(at, 1);
    return this.#holds.has(said);
  }

  /** The entries that are there, without those whose rule is gone, then the rules that none of them says. */
  entries(base: FormValue | undefined, field: string | null, type: string): readonly Form[] {
    const kept = objects(base).filter((entry) => {
      const read = readQuality(entry, field, type, new Set());
      if (typeof read === 'string') return true;
      return 'named' in read
        ? this.#take('named', { ...read.named, ...judgementOf(entry, 'record') })
        : this.#take(read.scope, { ...read.rule, ...judgementOf(entry, read.scope) });
    });
    return numbered([...kept, ...this.#open.map((item) => item.entry)]);
  }
}

/** The document of one source: strictly valid ODCS 3.1.0, as far as the document that is there is valid itself. */
export function toOdcs(source: SourceForm, options: ExportOptions): Form {
  const base = options.base ?? {};
  const known = options.base === undefined ? undefined : importedOf(options.base, source.name);
  const present = objects(base['schema']);
  const object = present.find((item) => sourceName(item) === source.name) ?? {};
  const contract = source.contract ?? {};
  const key = asList(source.record_key);
  const types = new Map(
    Object.entries(source.fields).map(([name, field]) => [
      name,
      parseType(typeof field === 'string' ? field : field.type)!,
    ]),
  );

  const rank = ({ rule }: Part): number => BATCH_ORDER.indexOf(Object.keys(rule)[0]!);
  const batch = asBlocks(contract['batch'])
    .flatMap(batchPartsOf)
    .sort((a, b) => rank(a) - rank(b))
    .map(batchEntry);
  const wantedBy = (field: string | null): Wanted => {
    const wanted = new Wanted();
    for (const item of batch) if (item.field === field) wanted.add('batch', item.rule, item.entry);
    return wanted;
  };

  const readable = Object.entries(source.fields).map(([name, field]) =>
    propertyOf(
      { name, field: typeof field === 'string' ? { type: field } : field, type: types.get(name)! },
      source,
      key,
      objects(object['properties']).find((item) => fieldName(item) === name) ?? {},
      wantedBy(name),
    ),
  );
  // What no field can hold stays, where it stood.
  const properties = [...readable];
  objects(object['properties']).forEach((item, at) => {
    if (typeof typeOfProperty(item) === 'string' && source.fields[fieldName(item)] === undefined)
      properties.splice(at, 0, item);
  });

  const wanted = wantedBy(null);
  for (const rule of asBlocks(contract['rules'])) wanted.add('named', withUniqueList(rule), namedEntry(rule));
  const quality = wanted.entries(object['quality'], null, 'string');

  const ours = SOURCE_KEYS.flatMap((name) =>
    source[name] === undefined ? [] : [[own(name), source[name] as FormValue] as const],
  );
  const schema = inOrder(
    {
      physicalName: source.name,
      ...object,
      name: object['name'] ?? source.name,
      logicalType: 'object',
      physicalType:
        object['physicalType'] ??
        (source.read === 'push'
          ? 'topic'
          : isObject(source.read) && source.read['transform']
            ? 'view'
            : 'file'),
      quality: quality.length === 0 ? undefined : quality,
      properties,
      customProperties: withProperties(object['customProperties'], ours),
    },
    OBJECT_ORDER,
  );
  const service = slaProperties(
    objects(base['slaProperties']),
    source.service_levels,
    String(schema['name']),
    source.event_time,
  );
  const description = isObject(base['description']) ? base['description'] : {};
  const purpose =
    source.description === known?.form.description
      ? description
      : inOrder({ ...description, purpose: source.description }, ['purpose', 'usage', 'limitations']);
  const tags = equal(source.tags ?? [], known?.form.tags ?? []) ? base['tags'] : source.tags;
  return inOrder(
    {
      ...base,
      apiVersion: ODCS_VERSION,
      kind: 'DataContract',
      id: base['id'] ?? options.id,
      name: base['name'] ?? source.name,
      version: options.version ?? base['version'] ?? '1.0.0',
      status: base['status'] ?? 'active',
      tags: tags === undefined || (Array.isArray(tags) && tags.length === 0) ? undefined : tags,
      description: Object.keys(purpose).length === 0 ? undefined : purpose,
      team:
        source.owner === known?.form.owner
          ? base['team']
          : source.owner === undefined
            ? undefined
            : { ...(isObject(base['team']) ? base['team'] : {}), name: source.owner },
      slaProperties: service.length === 0 ? undefined : service,
      schema: present.includes(object)
        ? present.map((item) => (item === object ? schema : item))
        : [...present, schema],
    },
    ORDER,
  );
}

const withUniqueList = (rule: Form): Form =>
  typeof rule['unique'] === 'string' ? { ...rule, unique: [rule['unique']] } : rule;

function importedOf(document: Form, name: string): ImportedSource | undefined {
  return fromOdcs(document).find((item) => item.form.name === name);
}

/** A pattern that is not read here stays with those who read it. */
const isForeign = (option: string, value: FormValue): boolean =>
  option === 'pattern' && typeof value === 'string' && checkPattern(value) !== undefined;

/** Limits in the spelling that the document has for the same values. */
function asWritten(options: Form, base: Form, type: ValueType, timezone: string): Form {
  const meaning = (value: FormValue): unknown => {
    const read = coerceJson(type, value, { timezone, ambiguousTime: 'refuse', nulls: [] });
    return read.ok ? String(read.value) : canonical(value);
  };
  return Object.fromEntries(
    Object.entries(options).map(([key, value]) => {
      const written = base[key];
      return [key, written !== undefined && meaning(written) === meaning(value) ? written : value];
    }),
  );
}

function propertyOf(
  { name, field, type }: { readonly name: string; readonly field: FieldForm; readonly type: ValueType },
  source: SourceForm,
  key: readonly string[],
  base: Form,
  wanted: Wanted,
): Form {
  const implied = key.includes(name) || name === source.event_time;
  const written = typeOfProperty(base);
  const same = typeof written !== 'string' && equal(written, type);
  const fresh = odcsType(type, source.timezone ?? 'UTC');
  const structure: Structure = { options: {}, ...(implied ? { required: true } : {}) };
  const entries = objects(base['quality']);
  const structural = new Set(outOfStructure(base, type, implied).map(canonical));
  const said = (part: Part): boolean =>
    entries.some((entry) => {
      const read = readQuality(entry, name, printType(type), new Set());
      return (
        typeof read !== 'string' &&
        !('named' in read) &&
        read.scope === 'record' &&
        equal({ ...read.rule, ...judgementOf(entry, 'record') }, { ...part.rule, ...part.judgement })
      );
    });
  for (const part of asBlocks(source.contract?.[name]).flatMap(partsOf)) {
    // What the document says by an entry of its own stays there; else the standard's own words are used.
    const plain = Object.keys(part.judgement).length === 0;
    const stays = structural.delete(canonical(part.rule)) || !said(part);
    const rule = { ...part.rule, ...part.judgement };
    if (!plain || !stays || !intoStructure(part.rule, type, structure))
      wanted.add('record', rule, fieldEntry(name, part));
    else wanted.holds('record', rule);
  }
  if (implied) wanted.holds('record', { not_null: true });
  const quality = wanted.entries(entries, name, printType(type));
  const baseOptions = same && isObject(base['logicalTypeOptions']) ? base['logicalTypeOptions'] : {};
  const options = {
    ...(same ? {} : fresh.logicalTypeOptions),
    ...Object.fromEntries(
      Object.entries(baseOptions).filter(
        ([option, value]) => !RULE_OPTIONS.includes(option) || isForeign(option, value),
      ),
    ),
    ...asWritten(structure.options, same ? baseOptions : {}, type, source.timezone ?? 'UTC'),
  };
  const foreign = objects(base['relationships']).filter(
    (item) => typeof item['to'] !== 'string' || referenceOf(item['to']) === undefined,
  );
  const link =
    structure.references === undefined
      ? []
      : [
          objects(base['relationships']).find(
            (item) => typeof item['to'] === 'string' && referenceOf(item['to']) === structure.references,
          ) ?? { type: 'foreignKey', to: structure.references },
        ];
  const position = key.indexOf(name);
  const described = field.description ?? base['description'];
  const { primaryKeyPosition: _position, ...rest } = base;
  // What is false without being said may be said.
  const flag = (key: 'primaryKey' | 'required' | 'unique', value: boolean): Form | undefined =>
    value ? { [key]: true } : base[key] === false ? { [key]: false } : { [key]: undefined! };
  return inOrder(
    {
      ...rest,
      name: base['name'] ?? name,
      physicalName:
        field.from ?? (base['physicalName'] === undefined && name === base['name'] ? undefined : name),
      description: described,
      logicalType: same ? base['logicalType'] : fresh.logicalType,
      physicalType: same ? base['physicalType'] : fresh.physicalType,
      logicalTypeOptions: Object.keys(options).length === 0 ? undefined : options,
      items: same ? base['items'] : fresh.items,
      ...flag('primaryKey', position >= 0),
      ...(position < 0 ? {} : { primaryKeyPosition: position + 1 }),
      ...flag('required', structure.required === true),
      ...flag('unique', structure.unique === true),
      ...{ relationships: undefined, quality: undefined },
      ...unlessEmpty('relationships', [...link, ...foreign]),
      ...unlessEmpty('quality', quality),
    },
    PROPERTY_ORDER,
  );
}
