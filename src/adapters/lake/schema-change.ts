/** What becomes of a file whose columns are not those of the source, or not those of the batch before. */
import type {
  FieldDefinition,
  SchemaChangeAction,
  SchemaChangeKind,
  Source,
} from '../../core/define/types.js';
import { BATCH_PROFILE_OPTIONS, type BatchProfile, mergeBatches } from '../../core/drift/batch-profile.js';
import { profileColumn } from '../../core/drift/profile.js';
import { valueSample } from '../../core/drift/sample.js';
import {
  findRenames,
  type LostField,
  likelyRenames,
  profileDistance,
  type ReadAs,
  type Rename,
} from '../../core/drift/schema-change.js';
import { columnOf, columnsMessage, diffColumns } from '../../core/quality/index.js';
import { type CoerceOptions, coerceJson, coerceText } from '../../core/schema/coerce.js';
import { printType, type Value } from '../../core/schema/types.js';
import type { FileShape, SchemaChange } from '../../ports/record-log.js';
import type { DuckDbConnection } from '../duckdb/connection.js';
import type { KeptBatch } from './ledger.js';
import { formOf, fromFiles, type OpenedInput, placeIn, SchemaRefusal } from './open-input.js';
import { inputFields } from './shape.js';
import { coerceOptions } from './stage.js';

export interface SettledSchema {
  /** The source as this file is read. */
  readonly source: Source;
  readonly shape: FileShape;
  /** Columns that are left out. */
  readonly extra: readonly string[];
  readonly changes: readonly SchemaChange[];
}

const DEFAULTS: Readonly<Record<SchemaChangeKind, SchemaChangeAction>> = {
  added: 'alert',
  removed: 'refuse',
  retyped: 'refuse',
  reordered: 'adapt',
  renamed: 'refuse',
};

export const changePolicy = (source: Source, kind: SchemaChangeKind): SchemaChangeAction =>
  source.schemaChanges?.[kind] ?? DEFAULTS[kind];

/** What `extra_columns` is where the contract does not say. */
export const addedPolicy = (source: Source): 'refuse' | 'ignore' | 'warn' =>
  (({ refuse: 'refuse', adapt: 'ignore', alert: 'warn' }) as const)[changePolicy(source, 'added')];

const SAMPLE_ROWS = 16_384;
const NO_RENAMES: ReturnType<typeof likelyRenames> = { renames: [], perhaps: [] };
/** Batches that a lost column is compared with. */
export const RECENT_BATCHES = 10;

export const renameLine = (renames: readonly Pick<Rename, 'field' | 'to'>[]): string =>
  `rename: { ${renames.map(({ field, to }) => `${/^\w+$/.test(to) ? to : JSON.stringify(to)}: ${field}`).join(', ')} }`;

export const printRename = ({ from, to, score }: Rename): string => `${from} → ${to} (${score.toFixed(2)})`;

/**
 * Holds the columns of an opened file against the source and the file before. Throws SchemaRefusal where the policy
 * refuses; otherwise gives the source with the columns that this file is to be read from.
 */
export async function settleSchema(
  db: DuckDbConnection,
  source: Source,
  input: OpenedInput,
  before: { readonly profiles: () => readonly BatchProfile[]; readonly shape: FileShape | undefined },
): Promise<SettledSchema> {
  const fields = inputFields(source);
  const difference = diffColumns(fields, input.header);
  const json = input.format === 'json' || input.format === 'ndjson';
  const profiles = difference.missing.length > 0 && input.header.length > 0 ? before.profiles() : [];
  const needed = new Set([...source.recordKey, source.eventTime]);
  // JSON may leave out what is null: gone is only what was there before.
  const missing =
    input.header.length === 0
      ? []
      : difference.missing.filter(({ field, nearest }) => {
          if (!json || needed.has(field) || nearest !== undefined) return true;
          const known = mergeBatches(profiles, field);
          return known !== undefined && known.nulls < 0.5 * (known.nulls + known.count);
        });
  const { renames, perhaps } =
    missing.length > 0 && difference.extra.length > 0
      ? await renamesOf(
          db,
          source,
          input,
          missing.map(({ field }) => field),
          difference.extra,
          profiles,
        )
      : NO_RENAMES;
  const changes: SchemaChange[] = [];
  const renaming = changePolicy(source, 'renamed');
  const refusedRenames = renames.filter(({ byValues }) => renaming === 'refuse' || !byValues);
  const removed = missing.filter(({ field }) => !renames.some((rename) => rename.field === field));
  const removing = changePolicy(source, 'removed');
  const refusedRemovals = removed.filter(({ field }) => removing === 'refuse' || needed.has(field));
  const path = input.file.path;
  if (refusedRenames.length > 0 || refusedRemovals.length > 0) {
    const lacking = missing.filter(({ field }) =>
      [...refusedRenames, ...refusedRemovals].some((other) => other.field === field),
    );
    const said = columnsMessage(
      {
        missing: lacking.map((item) =>
          renames.some(({ field }) => field === item.field) ? { ...item, nearest: undefined } : item,
        ),
        extra: difference.extra,
        repeated: [],
      },
      fromFiles(source) ? formOf(input.format) : 'table',
      fromFiles(source) ? `${path}: the file` : 'its query',
    )!;
    const asked = perhaps.filter(({ field }) => refusedRemovals.some((other) => other.field === field));
    const list = (word: string, pairs: readonly Rename[]): string =>
      pairs.length > 0 ? `; ${word} renamed: ${pairs.map(printRename).join(', ')}` : '';
    const accepting = (pairs: readonly Rename[]): string =>
      `\`${renameLine(pairs)}\`, or run \`millrace accept ${source.name} ${pairs.map(({ field, to }) => `--rename ${to}=${field}`).join(' ')}\`.`;
    const told = asked.length > 0 ? `If that is so, write at ${source.name} ${accepting(asked)}` : said.hint;
    throw new SchemaRefusal(
      placeIn(source, path, 1),
      `${said.message}${list('probably', refusedRenames)}${list('perhaps', asked)}`,
      refusedRenames.length > 0
        ? `Accept it in the definition of ${source.name}: ${accepting(refusedRenames)}`
        : lacking.some(({ field }) => needed.has(field))
          ? told
          : `${told} If ${lacking.length === 1 ? 'it is' : 'they are'} gone for good, \`schema_changes: { removed: alert }\` at ${source.name} reads ${lacking.length === 1 ? 'it' : 'them'} as null.`,
      difference,
    );
  }
  for (const rename of renames)
    changes.push({
      kind: 'renamed',
      action: renaming,
      message: `${rename.to} is read as ${rename.field}; probably renamed: ${printRename(rename)}; to keep it: ${renameLine([rename])}`,
    });
  if (removed.length > 0)
    changes.push({
      kind: 'removed',
      action: removing,
      message: `columns that are gone are read as null: ${removed.map(({ column }) => column).join(', ')}`,
    });
  const read = new Map(renames.map(({ field, to }) => [field, to]));
  const settled = readingFrom(source, new Set(input.header), read);
  const shape: FileShape = {
    format: input.format,
    columns: json
      ? [...input.header].sort().map((name) => [name, 'JSON'])
      : input.header.map((name) => [name, input.format === 'csv' ? 'text' : input.column(name).type]),
  };
  if (before.shape && before.shape.format === shape.format)
    changes.push(...compareShapes(source, before.shape, shape));
  const taken = new Set(read.values());
  return { source: settled, shape, changes, extra: difference.extra.filter((name) => !taken.has(name)) };
}

/** The source with the columns that its fields have in a file. */
export const readingFrom = (
  source: Source,
  present: ReadonlySet<string>,
  renamed: ReadonlyMap<string, string> = new Map(),
): Source => ({
  ...source,
  fields: source.fields.map((field) => {
    const column = renamed.get(field.name) ?? columnOf(field, present);
    return column === undefined || column === (field.from ?? field.name) ? field : { ...field, from: column };
  }),
});

function compareShapes(source: Source, was: FileShape, is: FileShape): SchemaChange[] {
  const out: SchemaChange[] = [];
  const types = new Map(was.columns);
  const retyped = is.columns.filter(([name, type]) => types.has(name) && types.get(name) !== type);
  if (retyped.length > 0 && changePolicy(source, 'retyped') !== 'adapt')
    out.push({
      kind: 'retyped',
      action: 'alert',
      message: `columns have another type in the file: ${retyped.map(([name, type]) => `${name} was ${types.get(name)}, is ${type}`).join('; ')}`,
    });
  const names = new Set(is.columns.map(([name]) => name));
  const kept = was.columns.map(([name]) => name).filter((name) => names.has(name));
  const order = is.columns.map(([name]) => name).filter((name) => types.has(name));
  const at = kept.findIndex((name, i) => name !== order[i]);
  if (at >= 0 && is.format !== 'json' && is.format !== 'ndjson') {
    const action = changePolicy(source, 'reordered');
    const message = `the columns stand in another order: ${order[at]} where ${kept[at]} was`;
    out.push({ kind: 'reordered', action, message });
  }
  return out;
}

function lostField({ name, from = name }: FieldDefinition, profiles: readonly BatchProfile[]): LostField {
  const before = mergeBatches(profiles, name);
  const last = profiles[0]?.columns[name];
  const earlier = profiles.length > 1 ? mergeBatches(profiles.slice(1), name) : undefined;
  const ownDistance = last && earlier ? profileDistance(last, earlier) : undefined;
  return {
    field: name,
    column: from,
    ...(before ? { before } : {}),
    ...(ownDistance === undefined ? {} : { ownDistance }),
  };
}

/** Fewer values before say nothing about a push. */
const PUSH_MINIMUM = 20;

/** The same for pushed rows: fields that most earlier records had, and names that all rows have. */
export function pushedRenames(
  absent: readonly FieldDefinition[],
  profiles: readonly BatchProfile[],
  rows: readonly Readonly<Record<string, unknown>>[],
  names: readonly string[],
  options: CoerceOptions,
): readonly Rename[] {
  const types = new Map(absent.map(({ name, type }) => [name, type]));
  const lost = absent
    .map((field) => lostField(field, profiles))
    .filter(({ before }) => before && before.count >= PUSH_MINIMUM && before.count > before.nulls);
  return findRenames(lost, names, (column, { field }) => {
    const type = types.get(field)!;
    const results = rows.map((row) => coerceJson(type, row[column], options));
    const given = rows.filter((row) => row[column] !== null && row[column] !== undefined).length;
    const unread = results.filter(({ ok }) => !ok).length;
    return {
      readable: given === 0 ? null : (given - unread) / given,
      profile: profileColumn(
        valueSample(
          type,
          results.flatMap((result) => (result.ok ? [result.value] : [])),
        ),
        BATCH_PROFILE_OPTIONS,
      ),
    };
  });
}

/** Reads a sample of the new columns in the types of those that are gone. */
async function renamesOf(
  db: DuckDbConnection,
  source: Source,
  input: OpenedInput,
  lostFields: readonly string[],
  added: readonly string[],
  profiles: readonly BatchProfile[],
): Promise<ReturnType<typeof likelyRenames>> {
  const fields = inputFields(source);
  const lost = lostFields.map((name) => lostField(fields.find((field) => field.name === name)!, profiles));
  const json = input.format === 'json' || input.format === 'ndjson';
  const select = added.map((name, i) => `CAST(${input.column(name).sql} AS VARCHAR) AS "v${i}"`);
  const columns = await db.columns(
    `SELECT ${select.join(', ')} FROM (SELECT * FROM (${input.rawSql}) WHERE hash("_line") % 1024 < (SELECT greatest(1, least(1024, 1024 * ${SAMPLE_ROWS} / greatest(count(*), 1))) FROM (${input.rawSql})) LIMIT ${SAMPLE_ROWS})`,
  );
  const options = coerceOptions(source);
  const known = new Map<string, ReadAs>();
  const typeOf = new Map(fields.map((field) => [field.name, field.type]));
  const readAs = (column: string, { field }: LostField): ReadAs => {
    const type = typeOf.get(field)!;
    const key = `${column}\n${JSON.stringify(type)}`;
    const cached = known.get(key);
    if (cached) return cached;
    const data = columns[added.indexOf(column)]!;
    let given = 0;
    const values: Value[] = [];
    let unread = 0;
    for (let row = 0; row < data.data.length; row++) {
      const text = data.valid?.[row] === 0 ? null : (data.data[row] as string | null);
      if (text === null) {
        values.push(null);
        continue;
      }
      const result = json ? coerceJson(type, JSON.parse(text), options) : coerceText(type, text, options);
      if (!result.ok) {
        given++;
        unread++;
      } else {
        if (result.value !== null) given++;
        values.push(result.value);
      }
    }
    const read: ReadAs = {
      readable: given === 0 ? null : (given - unread) / given,
      profile: profileColumn(valueSample(type, values), BATCH_PROFILE_OPTIONS),
    };
    known.set(key, read);
    return read;
  };
  return likelyRenames(lost, added, readAs);
}

/** From this share of unreadable values on a column has another type, when that many rows say so. */
const RETYPED_SHARE = 0.5;
const RETYPED_ROWS = 20;

/** Columns most of whose values cannot be read in their type, where those of the batch before could. */
export function retypedFields(
  source: Source,
  reasons: Readonly<Record<string, number>>,
  rows: number,
  before: readonly KeptBatch[],
): readonly SchemaChange[] {
  const last = before[0];
  if (!last || rows < RETYPED_ROWS) return [];
  const action = changePolicy(source, 'retyped');
  return inputFields(source).flatMap(({ name, type }): SchemaChange[] => {
    const unread = reasons[`${name}.type`] ?? 0;
    const was = (last.reasons[`${name}.type`] ?? 0) / Math.max(1, last.facts.rows);
    if (unread / rows < RETYPED_SHARE || was >= RETYPED_SHARE) return [];
    return [
      {
        kind: 'retyped',
        action,
        message: `${name} has another type: ${unread} of ${rows} values cannot be read as ${printType(type)}`,
      },
    ];
  });
}
