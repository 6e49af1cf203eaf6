/** The type and the default of a feature's value, and its canonical form for fingerprints. */

import { fingerprint } from '../base/fingerprint.js';
import { isNumeric, printType, sameType, type Value, type ValueType } from '../schema/types.js';
import { documentationOf } from './collect.js';
import { joinKeysOf, keyFields, type Resolved } from './context.js';
import type { RawFeature, Unit } from './feature-unit.js';
import { computedFields, readingPrint } from './reading.js';
import type { Located } from './shape.js';
import { canonicalValue } from './sources.js';
import type { Aggregation, Computation, Feature, Source } from './types.js';
import { literalValue } from './values.js';

interface Basis {
  readonly sources?: readonly Source[];
  readonly features?: readonly Feature[];
  readonly requestFields?: Feature['requestFields'];
}

export function finish(
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
      sources: (basis.sources ?? []).map((source) =>
        readingPrint(source, [...computedFields(computation), ...keyFields(source, joinKeys)]),
      ),
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
