/** Open Data Contract Standard 3.x → source definitions, with a note on everything that could not be taken over. */
import { MillraceError } from '../base/error.js';
import { isSystemName } from '../define/columns.js';
import { printType, type ValueType } from '../schema/types.js';
import { eventTimeScore } from './clock-names.js';
import { blocks, type FieldForm, fits, followsInBlock, one, type SourceForm } from './contract-form.js';
import { type Form, type FormValue, isObject } from './form.js';
import { levelsOfDocument, unmeasured } from './odcs-levels.js';
import {
  equal,
  isIsoFormat,
  judgementOf,
  list,
  objects,
  outOfStructure,
  own,
  type Part,
  type Path,
  propertiesOf,
  RULE_OPTIONS,
  readQuality,
  referenceOf,
  textOf,
  typeOfProperty,
} from './odcs-terms.js';

/** What import could not do, or had to make up. */
export interface ImportNote {
  /** lost: stays in the document and does nothing here. changed: means something a little different. assumed: made up. */
  readonly kind: 'lost' | 'changed' | 'assumed';
  readonly path: readonly (string | number)[];
  readonly message: string;
}

export interface ImportedSource {
  readonly form: SourceForm;
  readonly notes: readonly ImportNote[];
  /** The document with this schema object alone, to be kept beside the definition. */
  readonly document: Form;
}

/** Names of sources and rules are identifiers. */
const identifier = (text: string): string => {
  const name = text.replaceAll(/\W+/g, '_').replace(/^_+|_+$/g, '');
  return /^[A-Za-z]/.test(name) ? name : `source_${name}`;
};
export const sourceName = (object: Form): string => identifier(textOf(object['name']) ?? 'source');
/** Names that begin with _ are the system's. */
export const fieldName = (property: Form): string => {
  const name = textOf(property['name']) ?? '';
  return isSystemName(name) ? (/^rowid$/i.test(name) ? 'row_id' : name.replace(/^_+/, '') || 'field') : name;
};

/** The person or team that answers for the contract. */
function ownerOf(document: Form): string | undefined {
  const team = document['team'];
  if (isObject(team) && textOf(team['name']) !== undefined) return textOf(team['name']);
  const members = isObject(team) ? objects(team['members']) : objects(team);
  const owner = members.find((member) => /owner/i.test(String(member['role'] ?? ''))) ?? members[0];
  return owner && (textOf(owner['name']) ?? textOf(owner['username']));
}

/**
 * Each schema object of a document as a source.
 * @throws MillraceError FORMAT_UNKNOWN for what is no data contract of version 3.
 */
export function fromOdcs(document: Form): readonly ImportedSource[] {
  const version = String(document['apiVersion'] ?? '(none)');
  if (document['kind'] !== 'DataContract' || !/^v3\./.test(version))
    throw new MillraceError(
      'FORMAT_UNKNOWN',
      `this is no data contract of version 3: kind ${String(document['kind'] ?? '(none)')}, apiVersion ${version}`,
      {
        hint: 'Give a document with `kind: DataContract` and `apiVersion: v3.1.0` (3.0 is read too).',
      },
    );
  const all = objects(document['schema']);
  if (all.length === 0)
    throw new MillraceError(
      'FORMAT_UNKNOWN',
      'the contract has no schema: there is nothing to make a source of',
    );
  const taken = new Set<string>();
  return all.flatMap((object, index) => {
    if (taken.has(sourceName(object))) return [];
    taken.add(sourceName(object));
    return [importObject(document, object, index)];
  });
}

/** What is true of keys and event times without being said. */
const PRESENT: Part = { rule: { not_null: true }, judgement: {} };

const KNOWN_PROPERTY_KEYS = new Set([
  'id',
  'name',
  'physicalName',
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
  'customProperties',
]);
const OPTIONS_OF_TYPES = new Set(['timezone', 'defaultTimezone', 'minItems', 'maxItems']);

function importObject(document: Form, object: Form, index: number): ImportedSource {
  const notes: ImportNote[] = [];
  const note = (kind: ImportNote['kind'], path: Path, message: string): void =>
    void notes.push({ kind, path, message });
  const root: Path = ['schema', index];
  const custom = propertiesOf(object);
  const name = sourceName(object);
  if (object['name'] !== name) note('changed', [...root, 'name'], `the source is called ${name}`);

  const fields: Record<string, string | FieldForm> = {};
  const contract: Record<string, Form | readonly Form[]> = {};
  const batch: Part[] = [];
  const named: Form[] = [];
  const keys: { readonly name: string; readonly position: number }[] = [];
  const clocks: { readonly name: string; readonly required: boolean }[] = [];
  let zone: string | undefined;

  const readProperty = (
    property: Form,
    at: number,
  ): { name: string; type: ValueType; path: Path } | undefined => {
    const path: Path = [...root, 'properties', at];
    const field = fieldName(property);
    const type = typeOfProperty(property);
    if (typeof type === 'string' || field === '') {
      note('lost', path, `${field || 'a property without a name'} is left out: ${type}`);
      return undefined;
    }
    if (property['logicalType'] === 'time')
      note('changed', path, `${field} is a time of day: it is read as text`);
    const physical = textOf(property['physicalName']);
    const from = physical ?? (field === property['name'] ? undefined : textOf(property['name']));
    const description = textOf(property['description']);
    const typeName = printType(type);
    fields[field] =
      (from === undefined || from === field) && description === undefined
        ? typeName
        : {
            type: typeName,
            ...(from === undefined || from === field ? {} : { from }),
            ...(description === undefined ? {} : { description }),
          };
    if (property['primaryKey'] === true) {
      const position = property['primaryKeyPosition'];
      keys.push({
        name: field,
        position: typeof position === 'number' && position > 0 ? position : keys.length + 1,
      });
    }
    if (type.kind === 'timestamp' || type.kind === 'date')
      clocks.push({ name: field, required: property['required'] === true });
    const options = isObject(property['logicalTypeOptions']) ? property['logicalTypeOptions'] : {};
    if (type.kind === 'timestamp') zone ??= textOf(options['defaultTimezone']);
    for (const key of Object.keys(options))
      if (
        !RULE_OPTIONS.includes(key) &&
        !OPTIONS_OF_TYPES.has(key) &&
        !(key === 'format' && (/^[iuf]\d+$/.test(String(options[key])) || isIsoFormat(options[key])))
      )
        note(
          'lost',
          [...path, 'logicalTypeOptions', key],
          `${field}: ${key} ${String(options[key])} is not checked`,
        );
    for (const key of Object.keys(property))
      if (!KNOWN_PROPERTY_KEYS.has(key))
        note('lost', [...path, key], `${field}: ${key} has no place in a definition`);
    return { name: field, type, path };
  };

  const read = objects(object['properties']).map((property, at) => ({
    property,
    field: readProperty(property, at),
  }));
  const recordKey = [...keys].sort((a, b) => a.position - b.position).map((item) => item.name);
  const eventTime = eventTimeOf(document, custom, clocks, object);
  const implied = new Set([...recordKey, ...(eventTime === undefined ? [] : [eventTime])]);

  const take = (entry: Form, path: Path, field: string | null, type: string, parts: Part[]): void => {
    const found = readQuality(entry, field, type, new Set(named.map((rule) => String(rule['name']))));
    if (typeof found === 'string') {
      const title = textOf(entry['name']) ?? textOf(entry['id']) ?? textOf(entry['description']) ?? 'a rule';
      note('lost', path, `${field === null ? '' : `${field}: `}${title}: ${found}`);
      return;
    }
    if ('named' in found) {
      named.push({ ...found.named, ...judgementOf(entry, 'record') });
      return;
    }
    if (found.changed !== undefined)
      note('changed', path, `${field === null ? '' : `${field}: `}${found.changed}`);
    (found.scope === 'record' ? parts : batch).push({
      rule: found.rule,
      judgement: judgementOf(entry, found.scope),
    });
  };

  for (const [at, entry] of objects(object['quality']).entries())
    take(entry, [...root, 'quality', at], null, 'string', []);
  for (const { property, field } of read) {
    if (!field) continue;
    const parts: Part[] = [];
    for (const rule of outOfStructure(property, field.type, implied.has(field.name))) {
      if ('fault' in rule)
        note('lost', [...field.path, ...(rule.at as Path)], `${field.name}: ${rule.fault as string}`);
      else parts.push({ rule, judgement: {} });
    }
    objects(property['relationships']).forEach((item, at) => {
      if (typeof item['to'] !== 'string' || referenceOf(item['to']) === undefined)
        note(
          'lost',
          [...field.path, 'relationships', at],
          `${field.name}: a reference to another document or to several fields is not checked`,
        );
    });
    for (const [at, entry] of objects(property['quality']).entries())
      take(entry, [...field.path, 'quality', at], field.name, printType(field.type), parts);
    const rules = parts.filter(
      (part, at) =>
        !(implied.has(field.name) && equal(part, PRESENT)) &&
        parts.findIndex((other) => equal(other, part)) === at,
    );
    if (rules.length > 0) contract[field.name] = one(blocks(rules, followsInBlock));
  }
  if (named.length > 0) contract['rules'] = named;
  if (batch.length > 0) contract['batch'] = one(blocks(batch, fits));

  if (recordKey.length === 0)
    note(
      'assumed',
      root,
      `${name} has no primaryKey: write record_key, the field or fields that identify a record`,
    );
  if (eventTime === undefined)
    note(
      'assumed',
      root,
      `${name} has no timestamp or date: write event_time, the field that says when it happened`,
    );
  else if (!custom.has(own('event_time')))
    note('assumed', root, `event_time is ${eventTime}: the standard does not say which field it is`);
  notesOfDocument(document, object, root, note);

  const own_ = (key: string): Form => (custom.has(own(key)) ? { [key]: custom.get(own(key))! } : {});
  const description =
    (isObject(document['description']) ? textOf(document['description']['purpose']) : undefined) ??
    textOf(object['description']);
  const tags = [...new Set([...list(document['tags']), ...list(object['tags'])].map(String))];
  const owner = ownerOf(document);
  const readFrom = custom.get(own('read')) ?? readOf(document, object, name, note);
  const timezone = textOf(custom.get(own('timezone'))) ?? zone;
  const levels = withOwnLevels(levelsOfDocument(document, object['name']), custom.get(own('service_levels')));
  return {
    form: {
      name,
      ...(description === undefined ? {} : { description }),
      ...(owner === undefined ? {} : { owner }),
      ...(tags.length === 0 ? {} : { tags }),
      ...own_('kind'),
      read: readFrom,
      ...(recordKey.length === 0 ? {} : { record_key: one(recordKey) }),
      ...(eventTime === undefined ? {} : { event_time: eventTime }),
      ...own_('available_at'),
      ...own_('deleted'),
      ...own_('sequence'),
      ...(timezone === undefined ? {} : { timezone: timezone.replace(/^Etc\/UTC$/, 'UTC') }),
      ...own_('ambiguous_time'),
      ...own_('on_error'),
      fields,
      ...own_('keys'),
      ...own_('rename'),
      ...own_('schema_changes'),
      ...own_('history'),
      ...(Object.keys(levels).length === 0 ? {} : { service_levels: levels }),
      ...(Object.keys(contract).length === 0 ? {} : { contract }),
    } as SourceForm,
    notes,
    document: { ...document, schema: [object] },
  };
}

function eventTimeOf(
  document: Form,
  custom: ReadonlyMap<string, FormValue>,
  clocks: readonly { readonly name: string; readonly required: boolean }[],
  object: Form,
): string | undefined {
  const written = textOf(custom.get(own('event_time')));
  if (written !== undefined) return written;
  const fresh = objects(document['slaProperties'])
    .filter((item) => /^(latency|ly|freshness|frequency|fy)$/i.test(String(item['property'])))
    .flatMap((item) => String(item['element'] ?? '').split(','))
    .map((element) => element.trim().split('.'))
    .find(([table, field]) => table === object['name'] && clocks.some((clock) => clock.name === field));
  if (fresh) return fresh[1];
  const score = (clock: { readonly name: string; readonly required: boolean }): number =>
    eventTimeScore(clock.name) + (clock.required ? 3 : 0);
  return [...clocks].sort((a, b) => score(b) - score(a))[0]?.name;
}

function readOf(
  document: Form,
  object: Form,
  name: string,
  note: (kind: ImportNote['kind'], path: Path, message: string) => void,
): FormValue {
  if (object['physicalType'] === 'topic') {
    note('assumed', ['schema'], 'a topic is read as records that are pushed over HTTP');
    return 'push';
  }
  const servers = objects(document['servers']);
  const at = servers.findIndex((item) => item['type'] === 'local' && textOf(item['path']) !== undefined);
  if (at >= 0) {
    const { path, format, delimiter } = servers[at]!;
    const known = ['csv', 'json', 'ndjson', 'parquet'].includes(String(format));
    return {
      files: path!,
      ...(known ? { format: format! } : {}),
      ...(delimiter === 'new_line' ? { format: 'ndjson' } : {}),
    };
  }
  note(
    'assumed',
    ['schema'],
    `no server of the contract is a local file: read is data/${name}*.csv, correct it`,
  );
  return { files: `data/${name}*.csv` };
}

/** What the document states, with what only `millrace.service_levels` says where they agree. */
function withOwnLevels(stated: Form, own: FormValue | undefined): Form {
  if (!isObject(own)) return stated;
  return Object.fromEntries(
    Object.entries(stated).map(([level, value]) => {
      const ours = own[level];
      const [of, is] = [mainOf(level, ours), mainOf(level, value)];
      return [level, of !== undefined && of === is ? ours! : value];
    }),
  );
}

const MAIN: Readonly<Record<string, string>> = { passing: 'share', freshness: 'within', completeness: 'by' };
const mainOf = (level: string, value: FormValue | undefined): FormValue | undefined =>
  isObject(value) ? value[MAIN[level]!] : value;

/** Parts of the document that say nothing a definition can hold. */
function notesOfDocument(
  document: Form,
  object: Form,
  root: Path,
  note: (kind: ImportNote['kind'], path: Path, message: string) => void,
): void {
  const left = unmeasured(document, object['name']);
  objects(document['slaProperties']).forEach((item, at) => {
    if (!left.has(at)) return;
    note(
      'lost',
      ['slaProperties', at],
      `service level ${String(item['property'])} ${String(item['value'])}${textOf(item['unit']) ?? ''} is not measured from the contract`,
    );
  });
  for (const [key, what] of [
    ['servers', 'servers are kept in the document; where records come from stands in `read`'],
    ['roles', 'roles are kept in the document; access is not managed here'],
    ['price', 'the price is kept in the document'],
    ['support', 'support channels are kept in the document; alerts have their own'],
  ] as const)
    if (list(document[key]).length > 0 || isObject(document[key])) note('lost', [key], what);
  for (const at of objects(object['relationships']).keys())
    note('lost', [...root, 'relationships', at], 'a reference over several fields is not checked');
  if (object['logicalType'] === 'blob') note('lost', root, 'a blob has no fields');
}
