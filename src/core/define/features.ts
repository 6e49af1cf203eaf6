import type { Place } from '../base/error.js';
import { fingerprint } from '../base/fingerprint.js';
import { printDuration } from '../base/time.js';
import { checkExpression, type Expression, type ParsedExpression, type Scope } from '../expression/index.js';
import {
  FLOAT64,
  isNumeric,
  printType,
  sameType,
  TIMESTAMP,
  type Value,
  type ValueType,
} from '../schema/types.js';
import { readAggregation } from './aggregation.js';
import { documentationOf } from './collect.js';
import { foldName, PART_COLUMN } from './columns.js';
import { fieldOf, joinKeysOf, keyField, type Resolved, sourceAndField } from './context.js';
import { mentionedNames, readExpression } from './expressions.js';
import { type Located, type Out, suggestion } from './shape.js';
import type { featureShape } from './shapes/feature.js';
import { canonicalValue, rawJoinKeys } from './sources.js';
import type { Aggregation, Computation, Feature, Source } from './types.js';
import { literalValue } from './values.js';
import { readEmbedding, readNeighbours } from './vectors.js';

type RawFeature = Out<typeof featureShape>;

interface Unit {
  readonly name: string;
  readonly raw: RawFeature;
  /** Set when `windows` was written. */
  readonly window: number | 'all' | undefined;
}

/** What an expression, a function or a similarity reads: other features and request fields. */
interface Inputs {
  readonly features: readonly string[];
  readonly keys: readonly string[];
  readonly request: readonly string[];
}

const KINDS = ['aggregation', 'lookup', 'computation', 'expression', 'compute'] as const;
const RESERVED_NAMES: ReadonlyMap<string, string> = new Map([
  ['request', 'expressions mean something else by it'],
  ['as_of', 'expressions mean something else by it'],
  [PART_COLUMN, 'datasets have a column of that name for the split'],
  ['rowid', 'tables have a column of that name'],
]);

export function resolveFeatures(context: Resolved): void {
  const units = expand(context);
  const requestTypes = requestTypesFromDatasets(context, units);
  const open: string[] = [];
  const done = new Set<string>();

  const resolve = (name: string): Feature | undefined => {
    if (done.has(name)) return context.features.get(name);
    const unit = units.get(name);
    if (!unit) return undefined;
    const start = open.indexOf(name);
    if (start >= 0) {
      const circle = [...open.slice(start), name];
      const place = (unit.raw.expression ?? unit.raw.name)!.place;
      context.report.add(
        'DEF_CYCLE',
        place,
        `features depend on each other in a circle: ${circle.join(' → ')}`,
        {
          hint: 'Break the circle: compute one of them from records.',
        },
      );
      return undefined;
    }
    open.push(name);
    const feature = resolveFeature(context, unit, units, resolve, requestTypes);
    open.pop();
    done.add(name);
    if (feature) context.features.set(name, feature);
    return feature;
  };
  for (const name of units.keys()) resolve(name);
}

/** `windows: [1h, 7d]` → `${name}_1h`, `${name}_7d`. */
function expand(context: Resolved): ReadonlyMap<string, Unit> {
  const { report, raw } = context;
  const units = new Map<string, Unit>();
  const keyNames = new Map(
    [...raw.entities].flatMap(([entity, written]) =>
      rawJoinKeys(written).map(
        (key) => [foldName(key.value), `it is a join key of entity \`${entity}\``] as const,
      ),
    ),
  );
  for (const [name, feature] of raw.features) {
    const reserved = name.startsWith('_')
      ? 'names that begin with _ are kept for the system'
      : (RESERVED_NAMES.get(foldName(name)) ?? keyNames.get(foldName(name)));
    if (reserved !== undefined) {
      report.add(
        'DEF_INVALID_VALUE',
        feature.name!.place,
        `a feature cannot be named \`${name}\`: ${reserved}`,
        { hint: 'Give it another name.' },
      );
    }
    const windows = feature.aggregation?.windows;
    if (!windows) {
      units.set(name, { name, raw: feature, window: undefined });
      continue;
    }
    if (feature.aggregation?.window) {
      report.add(
        'DEF_INVALID_VALUE',
        feature.aggregation.window.place,
        `feature \`${name}\` has both \`window\` and \`windows\`: expected one of them`,
      );
    }
    const names: string[] = [];
    for (const window of windows) {
      const unit = `${name}_${window.value === 'all' ? 'all' : /^\w+$/.test(window.text) ? window.text : printDuration(window.value)}`;
      if (raw.features.has(unit) || units.has(unit) || raw.featureSets.has(unit)) {
        report.add(
          'DEF_DUPLICATE_NAME',
          window.place,
          `feature \`${name}\` with the window ${window.text} is named \`${unit}\`, which is taken`,
        );
        continue;
      }
      names.push(unit);
      units.set(unit, { name: unit, raw: feature, window: window.value });
    }
    context.expansions.set(name, names);
  }
  return units;
}

function resolveFeature(
  context: Resolved,
  unit: Unit,
  units: ReadonlyMap<string, Unit>,
  resolve: (name: string) => Feature | undefined,
  requestTypes: RequestTypes,
): Feature | undefined {
  const { report } = context;
  const { raw, name } = unit;
  const subject = `feature \`${name}\``;
  // Of one definition with several windows, faults are reported for the first only.
  const kinds = KINDS.filter((kind) => raw.$.keys.has(kind));
  if (kinds.length !== 1) {
    const found = kinds.length === 0 ? 'nothing that computes it' : kinds.join(' and ');
    return report.add(
      'DEF_MISSING_KEY',
      raw.name!.place,
      `${subject} has ${found}: expected one of aggregation, lookup, computation, expression`,
      {
        hint: 'Write `aggregation: { function: count, source: SOURCE, window: 30d }`.',
      },
    );
  }
  const declared = readEntities(context, subject, raw);
  if (declared === undefined) return undefined;
  const { entities, known } = declared;

  if (raw.aggregation) {
    const raws = raw.aggregation;
    const window = unit.window ?? raws.window?.value ?? 'all';
    const before = report.diagnostics.length;
    const found = readAggregation(context, subject, raws, window === 'all' ? null : window);
    dropRepeated(context, before, unit);
    if (!found || !known || !carriesKeys(context, subject, found.source, entities, raw)) return undefined;
    if (found.source.kind === 'states') {
      report.add(
        'DEF_TYPE',
        raws.source!.place,
        `${subject} aggregates the states of \`${found.source.name}\`: every change counts as one record`,
        {
          severity: 'warning',
          hint: 'Use `lookup` for the current state.',
        },
      );
    }
    return finish(context, unit, entities, { kind: 'aggregation', ...found.aggregation }, found.type, {
      sources: [found.source],
    });
  }
  if (raw.lookup || raw.computation?.function?.value === 'lookup_embedding') {
    const found = raw.lookup
      ? readLookup(context, subject, raw.lookup)
      : readEmbedding(context, subject, raw.computation!, joinKeysOf(context, entities));
    if (!found || !known || !carriesKeys(context, subject, found.source, entities, raw)) return undefined;
    if (found.source.kind !== 'states') {
      return report.add(
        'DEF_TYPE',
        (raw.lookup?.source ?? raw.computation?.source ?? raw.name)!.place,
        `${subject} looks up the events of \`${found.source.name}\`: expected a source of kind states`,
        {
          hint: 'Set `kind: states`, or use an aggregation with function last.',
        },
      );
    }
    return finish(context, unit, entities, found.computation, found.type, { sources: [found.source] });
  }
  if (!known) return undefined;

  const text = expressionText(context, subject, raw);
  if (raw.computation?.function?.value === 'nearest_neighbours') {
    const own = joinKeysOf(context, entities).map((key) => key.name);
    const found = readNeighbours(context, subject, raw.computation, own);
    if (!text || !found) return undefined;
    const read = readInputs(context, unit, text, entities, units, resolve, requestTypes);
    if (!read) return undefined;
    const { type } = read.expression;
    if (type.kind !== 'float64_vector' || !dimensionsMeet(type, found.vectors))
      return report.add(
        'DEF_TYPE',
        text.place,
        `${subject}: \`query\` is ${printType(type)}, and \`${found.search.source}.${found.search.field}\` is ${printType(found.vectors)}`,
        { hint: 'Search with a vector of the same length.' },
      );
    const { expression, entities: all, features, requestFields } = read;
    return finish(
      context,
      unit,
      all,
      { kind: 'neighbours', ...found.search, query: expression },
      found.type,
      {
        features,
        requestFields,
        sources: [found.source],
      },
    );
  }
  if (raw.compute) return resolveFunction(context, unit, entities, units, resolve);
  if (!text) return undefined;
  const read = readInputs(context, unit, text, entities, units, resolve, requestTypes);
  if (!read) return undefined;
  const { expression, entities: all, features, requestFields } = read;
  return finish(context, unit, all, { kind: 'expression', expression }, expression.type, {
    features,
    requestFields,
  });
}

const dimensionsMeet = (a: ValueType, b: ValueType): boolean =>
  a.kind === 'float64_vector' &&
  b.kind === 'float64_vector' &&
  (a.dimension === undefined || b.dimension === undefined || a.dimension === b.dimension);

/** An expression over features, join keys and request fields, with what it reads. */
function readInputs(
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

/** The windows of one definition share its faults: they are said once. */
function dropRepeated(context: Resolved, before: number, unit: Unit): void {
  if (unit.window === undefined) return;
  const { diagnostics } = context.report;
  const key = (index: number): string =>
    `${diagnostics[index]!.code}${JSON.stringify(diagnostics[index]!.place)}`;
  const earlier = new Set(diagnostics.slice(0, before).map((_, index) => key(index)));
  for (let index = diagnostics.length - 1; index >= before; index--)
    if (earlier.has(key(index))) diagnostics.splice(index, 1);
}

function readEntities(
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
function carriesKeys(
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

function readLookup(context: Resolved, subject: string, raw: NonNullable<RawFeature['lookup']>) {
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
function expressionText(context: Resolved, subject: string, raw: RawFeature): Located<string> | undefined {
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

function findInputs(
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
function resolveInputs(
  inputs: Inputs,
  resolve: (name: string) => Feature | undefined,
): readonly Feature[] | undefined {
  const found = inputs.features.map(resolve);
  return found.every((feature) => feature !== undefined) ? (found as readonly Feature[]) : undefined;
}

const unionOf = (features: readonly Feature[]): readonly string[] => [
  ...new Set(features.flatMap((feature) => feature.entities)),
];

function coversEntities(
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

function expressionScope(
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

function resolveFunction(
  context: Resolved,
  unit: Unit,
  entities: readonly string[],
  units: ReadonlyMap<string, Unit>,
  resolve: (name: string) => Feature | undefined,
): Feature | undefined {
  const { report } = context;
  const { raw, name } = unit;
  const subject = `feature \`${name}\``;
  const compute = raw.compute as unknown as (inputs: Readonly<Record<string, Value>>) => Value;
  const named = raw.inputs ?? [];
  if (!raw.value_type) {
    return report.add(
      'DEF_MISSING_KEY',
      raw.name!.place,
      `${subject} has no \`value_type\`: a function does not tell what it gives`,
      {
        hint: 'Write `valueType: "float64"`.',
      },
    );
  }
  const given = new Map([...(raw.request ?? [])].map(([key, { value }]) => [key, value.value]));
  const inputs = findInputs(
    context,
    entities,
    units,
    named.map((input) => input.value.split('.')),
  );
  const read = resolveInputs(inputs, resolve);
  if (!read || !coversEntities(context, subject, raw, entities, read)) return undefined;
  const all = raw.entity || raw.entities ? entities : unionOf(read);
  const scope = expressionScope(context, all, units, (field) => given.get(field));
  const slots: string[] = [];
  for (const input of named) {
    const found = scope.resolve(input.value.split('.'));
    if (!found) report.unknown(`\`inputs\` of ${subject}`, 'input', input, scope.names());
    else if (found.type === undefined) {
      report.add('DEF_MISSING_KEY', input.place, `${subject} does not say the type of \`${input.value}\``, {
        hint: `Write \`request: { ${input.value.slice('request.'.length)}: 'float64' }\`.`,
      });
    } else slots.push(found.slot);
  }
  if (slots.length < named.length) return undefined;
  const requestFields = inputs.request.map((field) => ({ name: field, type: given.get(field)! }));
  const text = String(compute).replaceAll('\r\n', '\n');
  return finish(
    context,
    unit,
    all,
    { kind: 'function', inputs: slots, compute, text },
    raw.value_type.value,
    { features: read, requestFields },
  );
}

interface Basis {
  readonly sources?: readonly Source[];
  readonly features?: readonly Feature[];
  readonly requestFields?: Feature['requestFields'];
}

function finish(
  context: Resolved,
  unit: Unit,
  entities: readonly string[],
  computation: Computation,
  derived: ValueType,
  basis: Basis,
): Feature | undefined {
  const { raw, name } = unit;
  const valueType = declaredType(context, `feature \`${name}\``, raw.value_type, derived);
  const fallback = readDefault(context, `feature \`${name}\``, raw, valueType ?? derived);
  if (!valueType || fallback === 'invalid') return undefined;
  const joinKeys = joinKeysOf(context, entities).map((key) => key.name);
  const requestFields = basis.requestFields ?? [];
  return {
    ...documentationOf(raw),
    name,
    entities,
    joinKeys,
    computation,
    valueType,
    default: fallback,
    dependsOn: (basis.features ?? []).map((feature) => feature.name),
    requestFields,
    fingerprint: fingerprint({
      kind: 'feature',
      name,
      entities: entities.map((entity) => context.entities.get(entity)?.fingerprint ?? entity),
      computation: canonicalComputation(computation),
      sources: (basis.sources ?? []).map((source) => source.fingerprint),
      features: Object.fromEntries(
        (basis.features ?? []).map((feature) => [feature.name, feature.fingerprint]),
      ),
      request: Object.fromEntries(requestFields.map((field) => [field.name, printType(field.type)])),
      valueType: printType(valueType),
      default: fallback === undefined ? undefined : [canonicalValue(fallback)],
    }),
  };
}

/** What a computation says, apart from the sources and features it reads. */
function canonicalComputation(computation: Computation): unknown {
  switch (computation.kind) {
    case 'aggregation':
      return { kind: computation.kind, ...canonicalAggregation(computation) };
    case 'lookup':
      return { ...computation };
    case 'neighbours':
      return {
        ...computation,
        query: computation.query.canonical,
        where: computation.where?.canonical ?? null,
      };
    case 'expression':
      return { kind: computation.kind, expression: computation.expression.canonical };
    case 'function':
      return { kind: computation.kind, inputs: computation.inputs, text: computation.text };
  }
}

export const canonicalAggregation = (aggregation: Aggregation) => ({
  function: aggregation.function,
  source: aggregation.source,
  field: aggregation.field,
  arguments: { ...aggregation.arguments },
  window: aggregation.window,
  offset: aggregation.offset,
  includeCurrent: aggregation.includeCurrent,
  where: aggregation.where?.canonical ?? null,
  ratioWhere: aggregation.ratioWhere?.canonical ?? null,
  groupBy: aggregation.groupBy,
});

/** A declared type is the derived one, the same with a dimension, or float64 over an exact number. */
export function declaredType(
  context: Resolved,
  subject: string,
  declared: Located<ValueType> | undefined,
  derived: ValueType,
): ValueType | undefined {
  if (!declared) return derived;
  const { value } = declared;
  if (sameType(value, derived)) return derived;
  if (value.kind === 'float64' && isNumeric(derived)) return value;
  if (value.kind === 'float64_vector' && derived.kind === 'float64_vector') {
    if (value.dimension === undefined) return derived;
    if (derived.dimension === undefined) return value;
  }
  return context.report.add(
    'DEF_TYPE',
    declared.place,
    `${subject} gives ${printType(derived)}, but its \`value_type\` is ${printType(value)}`,
    {
      hint: `Write \`value_type: ${printType(derived)}\`, or leave it out.`,
    },
  );
}

function readDefault(
  context: Resolved,
  subject: string,
  raw: RawFeature,
  type: ValueType,
): Value | undefined | 'invalid' {
  const written = raw.default ?? raw.aggregation?.default ?? raw.lookup?.default;
  if (!written || written.value === null) return undefined;
  if (
    raw.expression ||
    raw.compute ||
    (raw.computation && raw.computation.function?.value !== 'lookup_embedding')
  ) {
    context.report.add(
      'DEF_INVALID_VALUE',
      written.place,
      `${subject} is computed from other features: \`default\` has no meaning there`,
      {
        hint: 'Use `coalesce(..., value)` in the expression.',
      },
    );
    return 'invalid';
  }
  return typedDefault(context, subject, written, type);
}

export function typedDefault(
  context: Resolved,
  subject: string,
  written: NonNullable<RawFeature['default']>,
  type: ValueType,
): Value | 'invalid' {
  const value = literalValue(written.value, written.text, type);
  if (value !== undefined) return value;
  context.report.add(
    'DEF_TYPE',
    written.place,
    `\`default\` of ${subject} is \`${written.text}\`: expected a value of type ${printType(type)}`,
  );
  return 'invalid';
}

type RequestTypes = (feature: string, field: string) => ValueType | undefined;

/** `request.x` of a feature has the type of field x of the observations of the datasets that use the feature. */
function requestTypesFromDatasets(context: Resolved, units: ReadonlyMap<string, Unit>): RequestTypes {
  const { raw } = context;
  const reads = new Map<string, readonly string[]>();
  for (const [name, unit] of units) {
    const text = unit.raw.expression ?? unit.raw.computation?.query;
    const args = unit.raw.computation?.args?.map((arg) => arg.value.split('.').at(-1)!) ?? [];
    const words = text ? [...text.value.matchAll(/[A-Za-z_]\w*/g)].map((match) => match[0]) : [];
    const inputs = unit.raw.inputs?.map((input) => input.value.split('.').at(-1)!) ?? [];
    reads.set(
      name,
      [...words, ...args, ...inputs].filter((word) => units.has(word)),
    );
  }
  const sourcesOf = new Map<string, Source[]>();
  for (const dataset of raw.datasets.values()) {
    const source = context.sources.get(dataset.observations?.source?.value ?? '');
    if (!source) continue;
    const queue = (dataset.features ?? []).map((feature) => feature.value);
    const seen = new Set<string>();
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
      if (seen.has(name)) continue;
      seen.add(name);
      queue.push(
        ...(raw.featureSets.get(name)?.features?.map((feature) => feature.value) ?? []),
        ...(reads.get(name) ?? []),
      );
      sourcesOf.set(name, [...(sourcesOf.get(name) ?? []), source]);
    }
  }
  return (feature, field) => {
    const types = (sourcesOf.get(feature) ?? []).flatMap((source) => fieldOf(source, field)?.type ?? []);
    const [first] = types;
    return first && types.every((type) => sameType(type, first)) ? first : undefined;
  };
}
