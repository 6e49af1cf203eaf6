/** Features over embeddings: the vectors of a states source, looked up or searched. */
import { printType, type ValueType } from '../schema/types.js';
import { fieldOf, keyField, type Resolved, recordScope, sourceAndField } from './context.js';
import { readCondition } from './expressions.js';
import type { Located, Out } from './shape.js';
import type { computationShape } from './shapes/feature.js';
import type { Computation, JoinKey, Neighbours, Source } from './types.js';

export type RawComputation = Out<typeof computationShape>;

export interface VectorField {
  readonly source: Source;
  readonly field: string;
  readonly type: ValueType;
}

const dimensionFits = (type: ValueType, dimension: number | undefined): boolean =>
  type.kind === 'float64_vector' &&
  (dimension === undefined || type.dimension === undefined || type.dimension === dimension);

/**
 * The vectors of a computation are states with a float64_vector field and the given join keys: named by `source`, or
 * the one source that fits.
 */
function readVectors(
  context: Resolved,
  subject: string,
  raw: RawComputation,
  keys: readonly JoinKey[],
): VectorField | undefined {
  const { report } = context;
  const place = raw.source?.place ?? raw.function!.place;
  const dimension = raw.dimension?.value;
  let found: VectorField | undefined;
  if (raw.source) {
    const target = sourceAndField(context, subject, raw.source, undefined);
    if (!target || target.field === undefined) return undefined;
    const field = target.field ?? target.source.fields.find((other) => other.type.kind === 'float64_vector');
    if (field?.type.kind !== 'float64_vector')
      return report.add('DEF_TYPE', place, `${subject}: \`${raw.source.value}\` has no float64_vector field`);
    found = { source: target.source, field: field.name, type: field.type };
  } else {
    const fitting = [...context.sources.values()].flatMap((source) => {
      if (source.kind !== 'states' || !keys.every((key) => keyField(source, key.name))) return [];
      return source.fields
        .filter((field) => field.type.kind === 'float64_vector' && dimensionFits(field.type, dimension))
        .map((field) => ({ source, field: field.name, type: field.type }));
    });
    if (fitting.length !== 1) {
      const keyNames = keys.map((key) => key.name).join(', ');
      const names = fitting.map((one) => `${one.source.name}.${one.field}`).join(', ');
      const broken = [...context.raw.sources.keys()].some((name) => !context.sources.has(name));
      if (fitting.length === 0 && broken) return undefined;
      return report.add(
        'DEF_UNKNOWN_NAME',
        place,
        fitting.length === 0
          ? `${subject}: no source of kind states has ${keyNames} and a float64_vector${raw.dimension ? `(${raw.dimension.value})` : ''} field`
          : `${subject}: several sources carry vectors: ${names}`,
        {
          hint:
            fitting.length === 0
              ? 'Define a source that carries the vectors.'
              : 'Choose one with `source: SOURCE.FIELD`.',
        },
      );
    }
    found = fitting[0]!;
  }
  if (!dimensionFits(found.type, dimension)) {
    return report.add(
      'DEF_TYPE',
      raw.dimension!.place,
      `${subject}: \`dimension\` is ${dimension}, and \`${found.source.name}.${found.field}\` is ${printType(found.type)}`,
    );
  }
  return raw.dimension
    ? { ...found, type: { kind: 'float64_vector', dimension: raw.dimension.value } }
    : found;
}

/** `model` and `version` as a condition over the fields of those names, and as a name where there is no such field. */
function modelOf(context: Resolved, subject: string, raw: RawComputation, source: Source) {
  const told: string[] = [];
  const named: string[] = [];
  let place: Located<string> | undefined;
  for (const [field, written] of [
    ['model', raw.model],
    ['version', raw.version],
  ] as const) {
    if (!written) continue;
    if (fieldOf(source, field)?.type.kind === 'string') {
      told.push(`${field} = '${written.value.replaceAll("'", "''")}'`);
      place ??= written;
    } else named.push(`${field} ${written.value}`);
  }
  const where = place
    ? readCondition(
        context.report,
        `\`model\` of ${subject}`,
        { ...place, value: told.join(' and ') },
        recordScope(context, source),
      )
    : null;
  return { where, name: named.length === 0 ? undefined : named.join(', ') };
}

/**
 * The current vector. Of a source that holds the vectors of several models (it has string fields `model`, `version`),
 * the last one of the named model up to t: an aggregation, since states of other models may be newer.
 */
export function readEmbedding(
  context: Resolved,
  subject: string,
  raw: RawComputation,
  keys: readonly JoinKey[],
): { readonly computation: Computation; readonly source: Source; readonly type: ValueType } | undefined {
  const found = readVectors(context, subject, raw, keys);
  if (!found) return undefined;
  const { source, field, type } = found;
  const maxAge = raw.max_age?.value ?? null;
  const { where, name } = modelOf(context, subject, raw, source);
  if (where === undefined) return undefined;
  if (where === null) {
    const model = name === undefined ? {} : { model: name };
    return {
      computation: { kind: 'lookup', source: source.name, field, maxAge, output: 'value', ...model },
      source,
      type,
    };
  }
  const computation: Computation = {
    kind: 'aggregation',
    function: 'last',
    source: source.name,
    field,
    arguments: { ignoreNulls: false },
    window: maxAge,
    offset: 0,
    includeCurrent: true,
    where,
    ratioWhere: null,
    groupBy: null,
  };
  return { computation, source, type };
}

/** Whose the vectors are: the entity named by `of`, or the one entity with a single join key that the source carries. */
function neighbourKey(
  context: Resolved,
  subject: string,
  raw: RawComputation,
  source: Source,
): JoinKey | undefined {
  const { report } = context;
  if (raw.of && !context.raw.entities.has(raw.of.value))
    return report.unknown(subject, 'entity', raw.of, context.raw.entities.keys());
  const fitting = [...context.entities.values()].filter(
    (entity) =>
      (!raw.of || entity.name === raw.of.value) &&
      entity.joinKeys.length === 1 &&
      keyField(source, entity.joinKeys[0]!.name),
  );
  const keys = new Map(fitting.map((entity) => [entity.joinKeys[0]!.name, entity.joinKeys[0]!]));
  if (keys.size === 1) return [...keys.values()][0];
  return report.add(
    keys.size === 0 ? 'DEF_UNKNOWN_NAME' : 'DEF_MISSING_KEY',
    (raw.of ?? raw.source ?? raw.function!).place,
    keys.size === 0
      ? `${subject}: the vectors of \`${source.name}\` belong to no entity with one join key`
      : `${subject}: the vectors of \`${source.name}\` may be those of ${fitting.map((entity) => entity.name).join(' or ')}`,
    {
      hint:
        keys.size === 0 ? 'Define the entity whose vectors they are.' : `Write \`of: ${fitting[0]!.name}\`.`,
    },
  );
}

/** Everything of `nearest_neighbours` but its query. */
export function readNeighbours(
  context: Resolved,
  subject: string,
  raw: RawComputation,
  own: readonly string[],
):
  | {
      readonly search: Omit<Neighbours, 'query'>;
      readonly source: Source;
      readonly type: ValueType;
      readonly vectors: ValueType;
    }
  | undefined {
  const { report } = context;
  if (!raw.source)
    return report.add(
      'DEF_MISSING_KEY',
      raw.function!.place,
      `${subject}: nearest_neighbours has no \`source\``,
      {
        hint: 'Write `source: products.embedding`.',
      },
    );
  if (!raw.k) {
    // What stands there has a fault that is said already.
    if (raw.$.keys.has('k')) return undefined;
    return report.add('DEF_MISSING_KEY', raw.function!.place, `${subject}: nearest_neighbours has no \`k\``, {
      hint: 'Write `k: 10`.',
    });
  }
  const found = readVectors(context, subject, raw, []);
  if (!found) return undefined;
  const { source, field } = found;
  if (source.kind !== 'states')
    return report.add(
      'DEF_TYPE',
      raw.source.place,
      `${subject} searches the events of \`${source.name}\`: expected a source of kind states`,
      { hint: 'Set `kind: states` on the source.' },
    );
  const key = neighbourKey(context, subject, raw, source);
  if (!key) return undefined;
  const exclude = raw.exclude_self?.value === true ? key.name : null;
  if (exclude !== null && !own.includes(exclude))
    return report.add(
      'DEF_INVALID_VALUE',
      raw.exclude_self!.place,
      `${subject} is not about \`${exclude}\`: there is no self to leave out`,
      { hint: 'Leave `exclude_self` out.' },
    );
  const { where, name } = modelOf(context, subject, raw, source);
  if (where === undefined) return undefined;
  if (name !== undefined)
    return report.add(
      'DEF_UNKNOWN_NAME',
      (raw.model ?? raw.version!).place,
      `${subject} wants the vectors of ${name}, and source \`${source.name}\` has no string field to tell them by`,
      { hint: 'Add the string fields `model` and `version` to the source, or leave them out here.' },
    );
  const output = raw.output?.value ?? 'keys';
  return {
    search: {
      source: source.name,
      field,
      key: keyField(source, key.name)!.name,
      k: raw.k.value,
      metric: raw.metric?.value ?? 'cosine',
      maxAge: raw.max_age?.value ?? null,
      where,
      exclude,
      output,
    },
    source,
    type: { kind: 'list', of: output === 'keys' ? key.type : { kind: 'float64' } },
    vectors: found.type,
  };
}
