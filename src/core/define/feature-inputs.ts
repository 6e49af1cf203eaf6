/** What a feature reads: other features, entities, a lookup's source, fields of the request; and the scope of its expression. */

import type { Place } from '../base/error.js';
import { checkExpression, type Expression, type ParsedExpression, type Scope } from '../expression/index.js';
import { FLOAT64, sameType, TIMESTAMP, type ValueType } from '../schema/types.js';
import { joinKeysOf, keyField, type Resolved, sourceAndField } from './context.js';
import { mentionedNames, readExpression } from './expressions.js';
import type { RawFeature, RequestTypes, Unit } from './feature-unit.js';
import { type Located, suggestion } from './shape.js';
import type { Computation, Feature, Source } from './types.js';

/** What an expression, a function or a similarity reads: other features and request fields. */
interface Inputs {
  readonly features: readonly string[];
  readonly keys: readonly string[];
  readonly request: readonly string[];
}

export const dimensionsMeet = (a: ValueType, b: ValueType): boolean =>
  a.kind === 'float64_vector' &&
  b.kind === 'float64_vector' &&
  (a.dimension === undefined || b.dimension === undefined || a.dimension === b.dimension);

/** An expression over features, join keys and request fields, with what it reads. */
export function readInputs(
  context: Resolved,
  unit: Unit,
  text: Located<string>,
  entities: readonly string[],
  units: ReadonlyMap<string, Unit>,
  resolve: (name: string) => Feature | undefined,
  requestTypes: RequestTypes,
):
  | {
      readonly expression: Expression;
      readonly entities: readonly string[];
      readonly features: readonly Feature[];
      readonly requestFields: Feature['requestFields'];
    }
  | undefined {
  const { report } = context;
  const { raw, name } = unit;
  const subject = `feature \`${name}\``;
  const parsed = report.parse(subject, text);
  if (!parsed) return undefined;
  const inputs = findInputs(
    context,
    entities,
    units,
    mentionedNames(parsed).map((name) => name.path),
  );
  const read = resolveInputs(inputs, resolve);
  if (!read) {
    reportUnknownNames(
      context,
      subject,
      text,
      parsed,
      expressionScope(context, entities, units, () => undefined),
    );
    return undefined;
  }
  if (!coversEntities(context, subject, raw, entities, read)) return undefined;
  const all = raw.entity || raw.entities ? entities : unionOf(read);
  const given = new Map([...(raw.request ?? [])].map(([key, { value }]) => [key, value.value]));
  const scope = expressionScope(
    context,
    all,
    units,
    (field) => given.get(field) ?? requestTypes(name, field),
  );
  const expression = readExpression(report, subject, text, scope);
  if (!expression) return undefined;
  const widened =
    raw.value_type?.value.kind === 'float64' &&
    (expression.type.kind === 'int64' || expression.type.kind === 'decimal')
      ? readExpression(report, subject, { ...text, value: `cast((${text.value}) as float64)` }, scope)
      : expression;
  if (!widened) return undefined;
  const requestFields = widened.slots
    .filter((slot) => slot.slot.startsWith('request.'))
    .map((slot) => ({ name: slot.slot.slice('request.'.length), type: slot.type }));
  return { expression: widened, entities: all, features: read, requestFields };
}

export function readEntities(
  context: Resolved,
  subject: string,
  raw: RawFeature,
): { readonly entities: readonly string[]; readonly known: boolean } | undefined {
  const { report } = context;
  const written = raw.entities ?? (raw.entity ? [raw.entity] : []);
  if (raw.entity && raw.entities) {
    report.add(
      'DEF_INVALID_VALUE',
      raw.entity.place,
      `${subject} has both \`entity\` and \`entities\`: expected one of them`,
    );
  }
  if (
    written.length === 0 &&
    (raw.aggregation || raw.lookup || raw.computation?.function?.value === 'lookup_embedding')
  ) {
    if (raw.$.keys.has('entity') || raw.$.keys.has('entities')) return undefined;
    return report.add(
      'DEF_MISSING_KEY',
      raw.name!.place,
      `${subject} has no \`entity\`: expected whose feature it is`,
      {
        hint:
          context.raw.entities.size > 0
            ? `Entities: ${[...context.raw.entities.keys()].join(', ')}.`
            : 'Define an entity first.',
      },
    );
  }
  let known = true;
  for (const entity of written) {
    if (!context.raw.entities.has(entity.value)) {
      report.unknown(subject, 'entity', entity, context.raw.entities.keys());
      known = false;
    } else if (!context.entities.has(entity.value)) known = false;
  }
  return { entities: [...new Set(written.map((entity) => entity.value))], known };
}

/** The source has a field for each join key. */
export function carriesKeys(
  context: Resolved,
  subject: string,
  source: Source,
  entities: readonly string[],
  raw: RawFeature,
): boolean {
  const { report } = context;
  const place = (raw.aggregation?.source ?? raw.lookup?.source ?? raw.name)!.place;
  let complete = true;
  for (const key of joinKeysOf(context, entities)) {
    const field = keyField(source, key.name);
    if (!field) {
      complete = false;
      report.add(
        'DEF_UNKNOWN_NAME',
        place,
        `${subject}: source \`${source.name}\` has no field for the join key \`${key.name}\``,
        {
          ...suggestion(
            key.name,
            source.fields.map((known) => known.name),
          ),
          hint: `Add \`keys: { ${key.name}: FIELD }\` to the source if the field has another name.`,
        },
      );
    } else if (!sameType(field.type, key.type)) complete = false;
  }
  return complete;
}

export function readLookup(context: Resolved, subject: string, raw: NonNullable<RawFeature['lookup']>) {
  const { report } = context;
  if (!raw.source) return undefined;
  const target = sourceAndField(context, subject, raw.source, raw.field);
  if (!target || target.field === undefined) return undefined;
  const output = raw.output?.value ?? 'value';
  if (!target.field && output === 'value') {
    return report.add(
      'DEF_MISSING_KEY',
      raw.source.place,
      `${subject} looks up no field of \`${target.source.name}\``,
      {
        hint: `Write \`source: ${target.source.name}.FIELD\`.`,
      },
    );
  }
  const computation: Computation = {
    kind: 'lookup',
    source: target.source.name,
    field: target.field?.name ?? target.source.eventTime,
    maxAge: raw.max_age?.value ?? null,
    output,
  };
  const type = output === 'age_seconds' ? FLOAT64 : target.field!.type;
  return { computation, source: target.source, type };
}

/** `cosine_similarity` with its arguments is the expression `cosine_similarity(a, b)`. */
export function expressionText(
  context: Resolved,
  subject: string,
  raw: RawFeature,
): Located<string> | undefined {
  if (raw.expression) return raw.expression;
  const { computation } = raw;
  if (!computation?.function) return undefined;
  if (computation.function.value === 'nearest_neighbours')
    return (
      computation.query ??
      context.report.add(
        'DEF_MISSING_KEY',
        computation.function.place,
        `${subject}: nearest_neighbours has no \`query\``,
        { hint: 'Write `query: user_embedding`, a vector feature or a request field.' },
      )
    );
  const args = computation.args ?? [];
  if (args.length !== 2) {
    return context.report.add(
      'DEF_MISSING_KEY',
      computation.$.keys.get('args') ?? computation.function.place,
      `${subject}: ${computation.function.value} has ${args.length} args: expected 2 vector features`,
      {
        hint: 'Write `args: [user.user_embedding, product.product_embedding]`.',
      },
    );
  }
  const [left, right] = args as [Located<string>, Located<string>];
  const prefix = `${computation.function.value}(`;
  const value = `${prefix}${left.value}, ${right.value})`;
  const at = (offset: number): Place => {
    const inLeft = offset - prefix.length;
    if (inLeft < 0) return computation.function!.place;
    const inRight = inLeft - left.value.length - 2;
    return inRight < 0
      ? left.at(Math.min(inLeft, left.value.length))
      : right.at(Math.min(inRight, right.value.length));
  };
  return { value, text: value, place: left.place, at };
}

export function findInputs(
  context: Resolved,
  entities: readonly string[],
  units: ReadonlyMap<string, Unit>,
  paths: readonly (readonly string[])[],
): Inputs {
  const features: string[] = [];
  const keys: string[] = [];
  const request: string[] = [];
  const own = joinKeysOf(context, entities).map((key) => key.name);
  for (const path of paths) {
    const bare =
      path.length === 1
        ? path[0]!
        : path.length === 2 && context.raw.entities.has(path[0]!)
          ? path[1]!
          : undefined;
    if (path.length === 2 && path[0] === 'request') request.push(path[1]!);
    else if (bare !== undefined && units.has(bare)) features.push(bare);
    else if (bare !== undefined && own.includes(bare)) keys.push(bare);
  }
  return { features: [...new Set(features)], keys, request };
}

/** Of an expression whose inputs have faults, only what is certain: names that do not exist. */
function reportUnknownNames(
  context: Resolved,
  subject: string,
  text: Located<string>,
  parsed: ParsedExpression,
  scope: Scope,
): void {
  const names = new Set(scope.names());
  const lenient: Scope = {
    resolve: (path) =>
      scope.resolve(path) ??
      (names.has(path.at(-1)!) ? { type: undefined, slot: path.join('.') } : undefined),
    names: scope.names,
  };
  const unknown = new Set(
    mentionedNames(parsed).flatMap(({ path, offset }) => (lenient.resolve(path) ? [] : offset)),
  );
  const checked = checkExpression(parsed, lenient);
  for (const problem of checked.ok ? [] : checked.problems) {
    if (unknown.has(problem.offset)) context.report.problem(subject, text, problem);
  }
}

/** Undefined when a feature among the inputs has faults of its own: they are reported there. */
export function resolveInputs(
  inputs: Inputs,
  resolve: (name: string) => Feature | undefined,
): readonly Feature[] | undefined {
  const found = inputs.features.map(resolve);
  return found.every((feature) => feature !== undefined) ? (found as readonly Feature[]) : undefined;
}

export const unionOf = (features: readonly Feature[]): readonly string[] => [
  ...new Set(features.flatMap((feature) => feature.entities)),
];

export function coversEntities(
  context: Resolved,
  subject: string,
  raw: RawFeature,
  entities: readonly string[],
  read: readonly Feature[],
): boolean {
  if (!raw.entity && !raw.entities) return true;
  const own = new Set(joinKeysOf(context, entities).map((key) => key.name));
  const stray = read.find((feature) => !feature.joinKeys.every((key) => own.has(key)));
  if (!stray) return true;
  const needed = [...new Set([...entities, ...stray.entities])];
  context.report.add(
    'DEF_TYPE',
    (raw.entity ?? raw.entities?.[0] ?? raw.name)!.place,
    `${subject} reads \`${stray.name}\` of ${stray.entities.join(', ')}, but is of ${entities.join(', ')}`,
    {
      hint: `Write \`entities: [${needed.join(', ')}]\`.`,
    },
  );
  return false;
}

export function expressionScope(
  context: Resolved,
  entities: readonly string[],
  units: ReadonlyMap<string, Unit>,
  requestType: (field: string) => ValueType | undefined,
): Scope {
  const keys = joinKeysOf(context, entities);
  return {
    resolve(path) {
      if (path.length === 2 && path[0] === 'request')
        return { type: requestType(path[1]!), slot: `request.${path[1]}` };
      if (path.length === 1 && path[0] === 'as_of') return { type: TIMESTAMP, slot: 'as_of' };
      const owner = path.length === 2 ? path[0]! : undefined;
      if (path.length > 2 || (owner !== undefined && !context.raw.entities.has(owner))) return undefined;
      const name = path.at(-1)!;
      const feature = context.features.get(name);
      if (feature && (owner === undefined || feature.entities.includes(owner)))
        return { type: feature.valueType, slot: name };
      const pool =
        owner === undefined
          ? keys
          : (context.entities.get(owner)?.joinKeys ?? []).filter((key) => keys.includes(key));
      const key = pool.find((joinKey) => joinKey.name === name);
      return key && { type: key.type, slot: name };
    },
    names: () => [...units.keys(), ...keys.map((key) => key.name), 'as_of', 'request'],
  };
}
