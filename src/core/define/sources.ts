import { type Fingerprint, fingerprint } from '../base/fingerprint.js';
import { nearest } from '../base/nearest.js';
import { printType, TYPE_NAMES, type Value, type ValueType } from '../schema/types.js';
import { documentationOf } from './collect.js';
import { isSystemName } from './columns.js';
import { fieldOf, findField, type Resolved, sourceNames } from './context.js';
import { readContract } from './contract.js';
import { readPromises, withAliases } from './promises.js';
import { wholeReading } from './reading.js';
import { type Located, type Out, refusedKeys } from './shape.js';
import type { sourceShape, transformShape } from './shapes/source.js';
import { sqlTables } from './sql-tables.js';
import type { Availability, Cursor, FieldDefinition, ReadFrom, Source } from './types.js';

type RawSource = Out<typeof sourceShape>;
type RawRead = { readonly from: ReadFrom; readonly parentNames: readonly Located<string>[] };

/** Every source and transform. Parents come before what is computed from them. */
export function resolveSources(context: Resolved): void {
  const { raw, report } = context;
  const all = new Map<string, RawSource>(raw.sources);
  for (const [name, transform] of raw.transforms) all.set(name, asSource(transform));

  const reads = new Map<string, RawRead>();
  for (const [name, source] of all) {
    const from = readFrom(context, name, source);
    if (from) reads.set(name, from);
  }
  const open: string[] = [];
  const visited = new Set<string>();
  const visit = (name: string): void => {
    const circle = open.indexOf(name);
    if (circle >= 0) {
      const path = [...open.slice(circle), name].join(' → ');
      report.add(
        'DEF_CYCLE',
        all.get(name)!.name!.place,
        `transforms depend on each other in a circle: ${path}`,
        {
          hint: 'A transform reads the known records of other sources; break the circle.',
        },
      );
      return;
    }
    if (visited.has(name)) return;
    visited.add(name);
    open.push(name);
    const from = reads.get(name);
    for (const parent of from?.parentNames ?? []) visit(parent.value);
    open.pop();
    const source = resolveSource(context, name, all.get(name)!, from?.from ?? { kind: 'push' });
    if (source) context.sources.set(name, source);
  };
  for (const name of all.keys()) visit(name);
}

/** Places that are not files of this machine. */
export function refuseUrl(
  report: Resolved['report'],
  { value, place }: Located<string>,
  subject: string,
): void {
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(value)?.[1];
  if (scheme === undefined) return;
  report.add('DEF_INVALID_VALUE', place, `${subject} is \`${value}\`: ${scheme}:// is not in this version`, {
    hint: 'This version reads and writes files of this machine: give a path.',
  });
}

/** `transforms:` is short for a source that reads a transform. */
function asSource(transform: Out<typeof transformShape>): RawSource {
  const { sql, from, ...rest } = transform;
  const places = { place: sql?.place ?? transform.$.place, keys: transform.$.keys };
  const inner = { ...(sql ? { sql } : {}), ...(from ? { from } : {}), $: places, $rest: new Map() };
  const keys = new Map([['transform', places.place]]);
  return { ...rest, read: { transform: inner, $: { place: places.place, keys }, $rest: new Map() } };
}

const READERS = ['files', 'push', 'sql', 'postgres', 'transform'] as const;

const OVERLAP_MICROS = 600_000_000;
const OVERLAP_NUMBERS = 1_000;

/** Undefined: the source names none. */
function readCursor(
  { report }: Resolved,
  subject: string,
  raw: RawSource,
  read: Pick<NonNullable<Exclude<RawSource['read'], Located<string>>>, 'cursor' | 'overlap'>,
): Cursor | undefined | 'refused' {
  const { cursor, overlap } = read;
  if (!cursor) return undefined;
  const written = raw.fields?.get(cursor.value)?.value;
  const type = written && ('value' in written ? written.value : written.type?.value);
  if (!type) {
    if (raw.fields && !written)
      report.unknown(`\`cursor\` of ${subject}`, 'field', cursor, [...raw.fields.keys()]);
    return 'refused';
  }
  const timed = type.kind === 'timestamp' || type.kind === 'date';
  if (!timed && type.kind !== 'int64') {
    report.add(
      'DEF_TYPE',
      cursor.place,
      `\`cursor\` of ${subject} is the field \`${cursor.value}\` of type ${printType(type)}: expected timestamp, date or int64`,
      { hint: 'Name a field that grows with every change of a row.' },
    );
    return 'refused';
  }
  if (overlap && overlap.value.timed !== timed) {
    report.add(
      'DEF_INVALID_VALUE',
      overlap.place,
      `\`overlap\` of ${subject} is ${overlap.text}: expected ${timed ? 'a duration' : 'a whole number'}`,
      { hint: timed ? 'Write `overlap: 10m`.' : 'Write `overlap: 1000`.' },
    );
    return 'refused';
  }
  return {
    field: cursor.value,
    overlap: overlap?.value.amount ?? (timed ? OVERLAP_MICROS : OVERLAP_NUMBERS),
  };
}

/** The sources that stand as tables in SQL, where they stand. */
const sourcesOfSql = (sql: Located<string>, known: readonly string[]): readonly Located<string>[] =>
  sqlTables(sql.value).flatMap(({ text: written, offset }) => {
    // The engine compares names without regard to case.
    const text = known.find((other) => other.toLowerCase() === written.toLowerCase());
    if (text === undefined) return [];
    return [{ value: text, text, place: sql.at(offset), at: (inner: number) => sql.at(offset + inner) }];
  });

function readFrom(context: Resolved, name: string, raw: RawSource): RawRead | undefined {
  const { report } = context;
  const { read } = raw;
  const subject = `source \`${name}\``;
  if (!read) return undefined;
  if ('value' in read) return { from: { kind: 'push' }, parentNames: [] };
  if (read.$.keys.has('kafka'))
    return report.add(
      'DEF_INVALID_VALUE',
      read.$.keys.get('kafka'),
      `${subject} reads from kafka, which is not in this version`,
      { hint: `Use one of ${READERS.join(', ')}.` },
    );
  const kinds = READERS.filter((kind) => read.$.keys.has(kind));
  if (kinds.length !== 1) {
    const found = kinds.length === 0 ? 'none' : kinds.join(' and ');
    return report.add(
      'DEF_MISSING_KEY',
      read.$.place,
      `\`read\` of ${subject} names ${found}: expected one of ${READERS.join(', ')}`,
      {
        hint: 'Write `read: { files: data/*.csv }`, `read: push`, or `read: { transform: { sql: ... } }`.',
      },
    );
  }
  if (read.push) {
    if (read.push.value) return { from: { kind: 'push' }, parentNames: [] };
    return report.add(
      'DEF_INVALID_VALUE',
      read.push.place,
      `\`push\` of ${subject} is false: expected true`,
      {
        hint: 'Name files or a transform instead.',
      },
    );
  }
  if (read.files) {
    if (read.files.length === 0)
      return report.add(
        'DEF_INVALID_VALUE',
        read.$.keys.get('files'),
        `\`files\` of ${subject} is an empty list`,
      );
    for (const file of read.files) refuseUrl(report, file, `\`files\` of ${subject}`);
    const from: ReadFrom = {
      kind: 'files',
      patterns: read.files.map((file) => file.value),
      ...(read.format ? { format: read.format.value } : {}),
      ...(read.delimiter
        ? { delimiter: read.delimiter.value }
        : read.format?.text === 'tsv'
          ? { delimiter: '\t' }
          : {}),
      ...(read.encoding ? { encoding: read.encoding.value } : {}),
      ...(read.nulls ? { nulls: read.nulls.map((written) => written.value) } : {}),
    };
    return { from, parentNames: [] };
  }
  if (read.sql) {
    const cursor = readCursor(context, subject, raw, read);
    if (cursor === 'refused') return undefined;
    for (const table of sourcesOfSql(read.sql, sourceNames(context)))
      report.add(
        'DEF_INVALID_VALUE',
        table.place,
        `the SQL of ${subject} reads files, and \`${table.text}\` is a source`,
        { hint: 'Records of other sources are read by a transform: `read: { transform: { sql: ... } }`.' },
      );
    return { from: { kind: 'sql', sql: read.sql.value, ...(cursor ? { cursor } : {}) }, parentNames: [] };
  }
  if (read.postgres) {
    const { postgres } = read;
    const cursor = readCursor(context, subject, raw, postgres);
    if (!postgres.connection || cursor === 'refused') return undefined;
    if ((postgres.table === undefined) === (postgres.query === undefined))
      return report.add(
        'DEF_MISSING_KEY',
        postgres.$.place,
        `\`postgres\` of ${subject} names ${postgres.table ? 'a table and a query' : 'neither table nor query'}: expected one of them`,
        { hint: 'Write `table: orders`, or `query: "SELECT ..."`.' },
      );
    const from: ReadFrom = {
      kind: 'postgres',
      connection: postgres.connection.value,
      ...(postgres.table ? { table: postgres.table.value } : { query: postgres.query!.value }),
      ...(cursor ? { cursor } : {}),
    };
    return { from, parentNames: [] };
  }
  const { transform } = read;
  if (!transform?.sql) return undefined;
  const known = sourceNames(context);
  const parents: Located<string>[] = [];
  if (transform.from) {
    for (const parent of transform.from) {
      if (known.includes(parent.value)) parents.push(parent);
      else report.unknown(subject, 'source', parent, known);
    }
    if (parents.length < transform.from.length) return undefined;
  } else {
    for (const table of sourcesOfSql(transform.sql, known))
      if (!parents.some((parent) => parent.value === table.value)) parents.push(table);
  }
  if (parents.length === 0) {
    const others = known.filter((other) => other !== name);
    const near = sqlTables(transform.sql.value)
      .map(({ text }) => nearest(text, others))
      .find((one) => one !== undefined);
    return report.add('DEF_UNKNOWN_NAME', transform.sql.place, `the SQL of ${subject} names no source`, {
      ...(near === undefined ? {} : { nearest: near }),
      hint:
        near !== undefined
          ? `Did you mean \`${near}\`?`
          : others.length > 0
            ? `Read from ${others.slice(0, 8).join(', ')}.`
            : 'Define the source it reads first.',
    });
  }
  return {
    from: {
      kind: 'transform',
      sql: transform.sql.value,
      parents: parents.map((parent) => parent.value).sort(),
    },
    parentNames: parents,
  };
}

/** With faults in it, still a source whose fields others can be checked against. */
function resolveSource(context: Resolved, name: string, raw: RawSource, from: ReadFrom): Source | undefined {
  const { report } = context;
  const subject = `source \`${name}\``;
  const fields = readFields(context, subject, raw);
  if (!fields) return undefined;
  const kind = raw.kind?.value ?? 'events';
  const draft = { name, fields } as Source;
  const typed = (
    written: Located<string>,
    key: string,
    kinds: readonly ValueType['kind'][],
  ): string | undefined => {
    const field = findField(context, `\`${key}\` of ${subject}`, draft, written);
    if (!field) return undefined;
    if (kinds.includes(field.type.kind)) return field.name;
    return report.add(
      'DEF_TYPE',
      written.place,
      `\`${key}\` of ${subject} is the field \`${field.name}\` of type ${printType(field.type)}: expected ${kinds.join(' or ')}`,
      {
        hint: `Declare \`${field.name}: ${kinds[0]}\`.`,
      },
    );
  };
  const eventTime = raw.event_time && typed(raw.event_time, 'event_time', ['timestamp', 'date']);
  const availableAt = readAvailability(
    raw,
    from,
    (written) => typed(written, 'available_at', ['timestamp', 'date']),
    draft,
  );
  const deleted = raw.deleted && typed(raw.deleted, 'deleted', ['boolean', 'int64']);
  const sequence = raw.sequence && typed(raw.sequence, 'sequence', ['int64']);
  const keys: Record<string, string> = {};
  const joinKeys = new Set(
    [...context.raw.entities.values()].flatMap((entity) => rawJoinKeys(entity).map((key) => key.value)),
  );
  for (const [key, { value, keyPlace }] of raw.keys ?? []) {
    const field = findField(context, `\`keys\` of ${subject}`, draft, value);
    if (field) keys[key] = field.name;
    if (!joinKeys.has(key)) {
      report.unknown(
        `\`keys\` of ${subject}`,
        'join key',
        { value: key, text: key, place: keyPlace, at: () => keyPlace },
        joinKeys,
      );
    }
  }
  const recordKey = readRecordKey(context, subject, raw, draft, keys, kind, eventTime);
  const timezone = raw.timezone?.value ?? context.settings.timezone;
  const bare: Omit<Source, 'contract' | 'records' | 'fingerprint'> = {
    ...documentationOf(raw),
    name,
    kind,
    read: from,
    recordKey: recordKey ?? [],
    eventTime: eventTime ?? '',
    availableAt: availableAt ?? { kind: 'event_time' },
    ...(deleted ? { deleted } : {}),
    ...(sequence ? { sequence } : {}),
    timezone,
    ambiguousTime: raw.ambiguous_time?.value ?? 'refuse',
    fields: withAliases(context, subject, raw, draft),
    keys,
    ...readPromises(raw, timezone),
    ...(raw.watch && watchable(context, subject, from, raw.watch) ? { watch: raw.watch.value } : {}),
  };
  const contract = readContract(
    context,
    { ...bare, contract: { rows: [], batch: [] }, records: '', fingerprint: '' },
    raw.contract,
    raw.on_error?.value,
  );
  const records = recordsPrint(context, bare);
  return { ...bare, contract, records, fingerprint: sourceFingerprint(records, bare, contract) };
}

function watchable(
  { report }: Resolved,
  subject: string,
  { kind }: ReadFrom,
  watch: Located<number>,
): boolean {
  if (kind !== 'push' && kind !== 'transform') return true;
  report.add('DEF_INVALID_VALUE', watch.place, `\`watch\` of ${subject}: there is nothing to look at`, {
    hint: 'Files, sql and postgres are looked at; what is pushed comes by itself, and transforms follow their parents.',
  });
  return false;
}

export const rawJoinKeys = (entity: {
  readonly join_key?: Located<string>;
  readonly join_keys?: readonly Located<string>[];
}): readonly Located<string>[] => entity.join_keys ?? (entity.join_key ? [entity.join_key] : []);

function readFields(
  context: Resolved,
  subject: string,
  raw: RawSource,
): readonly FieldDefinition[] | undefined {
  if (!raw.fields) return undefined;
  if (raw.fields.size === 0) {
    return context.report.add(
      'DEF_INVALID_VALUE',
      raw.$.keys.get('fields'),
      `\`fields\` of ${subject} is empty`,
      {
        hint: `Name every field with its type: ${TYPE_NAMES.join(', ')}.`,
      },
    );
  }
  const fields: FieldDefinition[] = [];
  const refused = [...refusedKeys(raw.fields)];
  for (const [name, { value, keyPlace }] of raw.fields) {
    const type = 'value' in value ? value.value : value.type?.value;
    if (!type) {
      refused.push(name);
      continue;
    }
    if (type.kind === 'list' || type.kind === 'map') {
      context.report.add(
        'DEF_TYPE',
        keyPlace,
        `field \`${name}\` of ${subject} is ${printType(type)}: records hold single values and vectors`,
        {
          hint: `Use one of ${TYPE_NAMES.join(', ')}.`,
        },
      );
      refused.push(name);
      continue;
    }
    if (isSystemName(name)) {
      context.report.add(
        'DEF_INVALID_VALUE',
        keyPlace,
        `field \`${name}\` of ${subject}: rowid and names that begin with _ are kept for the system`,
        {
          hint: `Write \`${/^rowid$/i.test(name) ? 'row_id' : name.replace(/^_+/, '') || 'name'}: { type: ${printType(type)}, from: ${JSON.stringify(name)} }\`.`,
        },
      );
      continue;
    }
    const from = 'value' in value ? undefined : value.from?.value;
    const format = 'value' in value ? undefined : value.format;
    if (format && type.kind !== 'timestamp' && type.kind !== 'date') {
      context.report.add(
        'DEF_TYPE',
        format.place,
        `\`format\` of field \`${name}\` of ${subject}: its type is ${printType(type)}, expected timestamp or date`,
      );
      refused.push(name);
      continue;
    }
    fields.push({
      name,
      type,
      ...(from === undefined || from === name ? {} : { from }),
      ...(format ? { format: format.value } : {}),
    });
  }
  context.refusedFields.set(raw.name!.value, refused);
  const folded = new Map<string, string>();
  for (const { name } of fields) {
    const other = folded.get(name.toLowerCase());
    if (other !== undefined) {
      context.report.add(
        'DEF_DUPLICATE_NAME',
        raw.fields.get(name)!.keyPlace,
        `fields \`${other}\` and \`${name}\` of ${subject} differ only in case`,
        {
          hint: 'Rename one with `{ type, from }`; SQL does not tell them apart.',
        },
      );
    }
    folded.set(name.toLowerCase(), name);
  }
  return fields;
}

function readAvailability(
  raw: RawSource,
  from: ReadFrom,
  typed: (written: Located<string>) => string | undefined,
  draft: Source,
): Availability | undefined {
  const written = raw.available_at;
  if (!written)
    return raw.$.keys.has('available_at')
      ? undefined
      : { kind: from.kind === 'push' ? 'append' : 'event_time' };
  if (!('value' in written)) return written.delay ? { kind: 'delay', delay: written.delay.value } : undefined;
  if (!fieldOf(draft, written.value) && (written.value === 'append' || written.value === 'event_time'))
    return { kind: written.value };
  const field = typed(written);
  return field === undefined ? undefined : { kind: 'field', field };
}

/** States without a record key: the join keys of their entity, and event_time. */
function readRecordKey(
  context: Resolved,
  subject: string,
  raw: RawSource,
  draft: Source,
  keys: Readonly<Record<string, string>>,
  kind: Source['kind'],
  eventTime: string | undefined,
): readonly string[] | undefined {
  if (raw.record_key) {
    const found = raw.record_key.flatMap(
      (written) => findField(context, `\`record_key\` of ${subject}`, draft, written)?.name ?? [],
    );
    return found.length === raw.record_key.length && found.length > 0 ? found : undefined;
  }
  if (raw.$.keys.has('record_key')) return undefined;
  if (kind === 'events') {
    return context.report.add(
      'DEF_MISSING_KEY',
      raw.$.place,
      `${subject} has no \`record_key\`: expected the field or fields that identify a record`,
      {
        hint: 'The same key again is a correction of the record.',
      },
    );
  }
  const candidates = new Map<string, readonly string[]>();
  for (const entity of context.raw.entities.values()) {
    const carried = rawJoinKeys(entity).map(
      (key) => fieldOf(draft, Object.hasOwn(keys, key.value) ? keys[key.value]! : key.value)?.name,
    );
    if (carried.length > 0 && carried.every((field) => field !== undefined))
      candidates.set(carried.join('\0'), carried as string[]);
  }
  if (candidates.size === 1 && eventTime !== undefined) return [...[...candidates.values()][0]!, eventTime];
  if (eventTime === undefined) return undefined;
  const found =
    candidates.size === 0
      ? 'carries the join keys of no entity'
      : 'carries the join keys of several entities';
  return context.report.add('DEF_MISSING_KEY', raw.$.place, `${subject} has no \`record_key\` and ${found}`, {
    hint: 'Name the fields that identify a state, as in `record_key: [user_id, valid_from]`.',
  });
}

type Declared = Omit<Source, 'contract' | 'records' | 'fingerprint'>;

function recordsPrint(context: Resolved, source: Declared): Fingerprint {
  const parents = source.read.kind === 'transform' ? source.read.parents : [];
  return fingerprint({
    kind: 'source',
    name: source.name,
    form: source.kind,
    read: { ...source.read },
    parents: parents.map((name) => {
      const parent = context.sources.get(name);
      return parent ? wholeReading(parent) : '';
    }),
    recordKey: source.recordKey,
    eventTime: source.eventTime,
    availableAt: { ...source.availableAt },
    deleted: source.deleted,
    sequence: source.sequence,
    timezone: source.timezone,
    ambiguousTime: source.ambiguousTime,
    keys: source.keys,
  });
}

function sourceFingerprint(
  records: Fingerprint,
  source: Declared,
  contract: Source['contract'],
): Fingerprint {
  const repairs = contract.rows.flatMap((rule) =>
    rule.action === 'cap' || rule.action === 'impute' ? [rule.id] : [],
  );
  return fingerprint({
    records,
    fields: Object.fromEntries(
      source.fields.map(({ name, type, from, format }) => [
        name,
        [printType(type), from ?? null, ...(format === undefined ? [] : [format])],
      ]),
    ),
    rows: Object.fromEntries(
      contract.rows.map((rule) => [
        rule.id,
        [
          rule.field,
          canonicalCheck(rule.check),
          rule.severity,
          rule.action,
          ...(rule.impute ? [{ ...rule.impute }] : []),
        ],
      ]),
    ),
    batch: Object.fromEntries(
      contract.batch.map((rule) => [rule.id, [{ ...rule.check }, rule.severity, rule.action]]),
    ),
    ...(contract.onError ? { onError: contract.onError } : {}),
    // Repairs are made one after another.
    ...(repairs.length > 0 ? { repairs } : {}),
  });
}

type RowCheck = Source['contract']['rows'][number]['check'];
const canonicalCheck = (check: RowCheck): unknown =>
  check.kind === 'expression' ? { kind: check.kind, expression: check.expression.canonical } : { ...check };

/** Whether a value may stand in a fingerprint as it is. */
export const canonicalValue = (value: Value | undefined): unknown =>
  value instanceof Map ? [...value] : (value ?? null);
