import type { ValueType } from '../schema/types.js';
import type { RawDefinitions } from './collect.js';
import type { Report } from './report.js';
import { type Located, suggestion } from './shape.js';
import type { Entity, Feature, FieldDefinition, JoinKey, Settings, Source } from './types.js';

/** What is resolved so far. A name in `raw` that is missing here has had its diagnostic. */
export interface Resolved {
  readonly report: Report;
  readonly raw: RawDefinitions;
  readonly settings: Settings;
  readonly sources: Map<string, Source>;
  readonly entities: Map<string, Entity>;
  readonly features: Map<string, Feature>;
  /** Fields that are written but have no usable type, by source: they have had their diagnostic. */
  readonly refusedFields: Map<string, readonly string[]>;
  /** A feature written with `windows`: its name → the features it became. */
  readonly expansions: Map<string, readonly string[]>;
}

export const sourceNames = ({ raw }: Resolved): readonly string[] => [
  ...raw.sources.keys(),
  ...raw.transforms.keys(),
];

export const fieldOf = (source: Source, name: string): FieldDefinition | undefined =>
  source.fields.find((field) => field.name === name);

/** The field of a source that carries a join key, if any. */
export const keyField = (source: Source, key: string): FieldDefinition | undefined =>
  fieldOf(source, Object.hasOwn(source.keys, key) ? source.keys[key]! : key);

/** Names of the fields in which a source holds join keys. */
export const keyFields = (source: Source, joinKeys: readonly string[]): readonly string[] =>
  joinKeys.flatMap((key) => keyField(source, key)?.name ?? []);

export function findSource(context: Resolved, subject: string, name: Located<string>): Source | undefined {
  const known = sourceNames(context);
  if (!known.includes(name.value)) return context.report.unknown(subject, 'source', name, known);
  return context.sources.get(name.value);
}

export function findField(
  context: Resolved,
  subject: string,
  source: Source,
  name: Located<string>,
  offset = 0,
): FieldDefinition | undefined {
  const written = name.value.slice(offset);
  const field = fieldOf(source, written);
  if (field || context.refusedFields.get(source.name)?.includes(written)) return field;
  const names = source.fields.map((known) => known.name);
  const near = suggestion(written, names);
  return context.report.add(
    'DEF_UNKNOWN_NAME',
    name.at(offset),
    `${subject} names the field \`${written}\`, which source \`${source.name}\` does not have`,
    {
      ...near,
      hint: near.nearest ? `Did you mean \`${near.nearest}\`?` : `Its fields: ${names.join(', ')}.`,
    },
  );
}

/** `orders.total_amount` → source and field. Null: no field is named; undefined: there is none of that name. */
export function sourceAndField(
  context: Resolved,
  subject: string,
  written: Located<string>,
  separate: Located<string> | undefined,
): { readonly source: Source; readonly field: FieldDefinition | null | undefined } | undefined {
  const dot = written.value.indexOf('.');
  const name: Located<string> = dot < 0 ? written : { ...written, value: written.value.slice(0, dot) };
  const source = findSource(context, subject, name);
  if (!source) return undefined;
  if (dot < 0 && !separate) return { source, field: null };
  const field =
    dot < 0
      ? findField(context, subject, source, separate!)
      : findField(context, subject, source, written, dot + 1);
  return { source, field };
}

/** The join keys of some entities, in order, without repetition. */
export function joinKeysOf(context: Resolved, entities: readonly string[]): readonly JoinKey[] {
  const keys = new Map<string, JoinKey>();
  for (const name of entities)
    for (const key of context.entities.get(name)?.joinKeys ?? []) keys.set(key.name, key);
  return [...keys.values()];
}

/** The fields of a source, as expressions over its records see them. */
export const recordScope = (context: Resolved, source: Source) => ({
  resolve(
    path: readonly string[],
  ): { readonly type: ValueType | undefined; readonly slot: string } | undefined {
    const name =
      path.length === 1 ? path[0]! : path.length === 2 && path[0] === source.name ? path[1]! : undefined;
    if (name === undefined) return undefined;
    if (context.refusedFields.get(source.name)?.includes(name)) return { type: undefined, slot: name };
    const field = fieldOf(source, name);
    return field && { type: field.type, slot: field.name };
  },
  names: (): Iterable<string> => source.fields.map((field) => field.name),
});
