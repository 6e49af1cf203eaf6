/** Labels: what is to be predicted, and how long its outcome takes. */

import { fingerprint } from '../base/fingerprint.js';
import { printType } from '../schema/types.js';
import { readAggregation } from './aggregation.js';
import { documentationOf } from './collect.js';
import { foldName, PART_COLUMN } from './columns.js';
import { findSource, joinKeysOf, keyField, keyFields, type Resolved, recordScope } from './context.js';
import { readExpression } from './expressions.js';
import { canonicalAggregation, declaredType, typedDefault } from './feature-values.js';
import { aggregatedFields, readingPrint } from './reading.js';
import type { Out } from './shape.js';
import type { labelShape } from './shapes/training.js';
import { canonicalValue } from './sources.js';
import type { Label } from './types.js';

type RawLabel = Out<typeof labelShape>;
export function resolveLabels(context: Resolved): ReadonlyMap<string, Label> {
  const labels = new Map<string, Label>();
  for (const [name, raw] of context.raw.labels) {
    const label = resolveLabel(context, name, raw);
    if (label) labels.set(name, label);
  }
  return labels;
}

function resolveLabel(context: Resolved, name: string, raw: RawLabel): Label | undefined {
  const { report } = context;
  const subject = `label \`${name}\``;
  const horizon = raw.horizon?.value;
  const grace = raw.grace?.value ?? 0;
  const common = { ...documentationOf(raw), name, grace };
  if (name.startsWith('_') || [PART_COLUMN, 'rowid'].includes(foldName(name))) {
    report.add(
      'DEF_INVALID_VALUE',
      raw.name!.place,
      `a label cannot be named \`${name}\`: \`${PART_COLUMN}\`, \`rowid\` and names that begin with _ are kept for the system`,
      { hint: 'Give it another name.' },
    );
  }
  if (raw.$.keys.has('aggregation')) {
    for (const key of ['source', 'expression'] as const) {
      if (raw[key])
        report.add(
          'DEF_INVALID_VALUE',
          raw[key].place,
          `${subject} has both \`aggregation\` and \`${key}\`: expected one form`,
        );
    }
    if (!raw.entity) {
      return report.add(
        'DEF_MISSING_KEY',
        raw.$.place,
        `${subject} has no \`entity\`: expected whose records are aggregated`,
      );
    }
    if (!context.raw.entities.has(raw.entity.value))
      return report.unknown(subject, 'entity', raw.entity, context.raw.entities.keys());
    if (!raw.aggregation || horizon === undefined) return undefined;
    for (const key of ['window', 'windows', 'offset', 'include_current'] as const) {
      const place = raw.aggregation.$.keys.get(key);
      if (place)
        report.add(
          'DEF_UNKNOWN_KEY',
          place,
          `${subject}: a label looks forward by \`horizon\` and takes no \`${key}\``,
          { hint: `Remove \`${key}\`.` },
        );
    }
    const found = readAggregation(context, subject, raw.aggregation, horizon);
    if (!found || !context.entities.has(raw.entity.value)) return undefined;
    const missing = joinKeysOf(context, [raw.entity.value]).find((key) => !keyField(found.source, key.name));
    if (missing) {
      return report.add(
        'DEF_UNKNOWN_NAME',
        raw.aggregation.source!.place,
        `${subject}: source \`${found.source.name}\` has no field for the join key \`${missing.name}\``,
        {
          hint: `Add \`keys: { ${missing.name}: FIELD }\` to the source if the field has another name.`,
        },
      );
    }
    const valueType = declaredType(context, subject, raw.value_type, found.type);
    if (!valueType) return undefined;
    const written = raw.aggregation.default;
    const fallback =
      written && written.value !== null ? typedDefault(context, subject, written, valueType) : undefined;
    if (fallback === 'invalid') return undefined;
    const { aggregation } = found;
    const joinKeys = joinKeysOf(context, [raw.entity.value]).map(({ name: key }) => key);
    const print = fingerprint({
      kind: 'label',
      name,
      aggregation: canonicalAggregation(aggregation),
      source: readingPrint(found.source, [
        ...aggregatedFields(aggregation),
        ...keyFields(found.source, joinKeys),
      ]),
      entity: context.entities.get(raw.entity.value)!.fingerprint,
      horizon,
      grace,
      valueType: printType(valueType),
      default: fallback === undefined ? undefined : [canonicalValue(fallback)],
    });
    return {
      ...common,
      default: fallback,
      source: found.source.name,
      kind: 'aggregation',
      expression: null,
      aggregation,
      entity: raw.entity.value,
      horizon,
      valueType,
      fingerprint: print,
    };
  }
  for (const key of ['source', 'expression'] as const) {
    if (raw.$.keys.has(key)) continue;
    report.add('DEF_MISSING_KEY', raw.$.place, `${subject} has no \`${key}\``, {
      hint: 'Write `source` and `expression`, or `entity` and `aggregation`.',
    });
  }
  const source = raw.source && findSource(context, subject, raw.source);
  if (raw.entity && !context.raw.entities.has(raw.entity.value))
    report.unknown(subject, 'entity', raw.entity, context.raw.entities.keys());
  if (!source || !raw.expression) return undefined;
  const expression = readExpression(report, subject, raw.expression, recordScope(context, source));
  const valueType = expression && declaredType(context, subject, raw.value_type, expression.type);
  if (!expression || !valueType || horizon === undefined) return undefined;
  const print = fingerprint({
    kind: 'label',
    name,
    expression: expression.canonical,
    source: readingPrint(
      source,
      expression.slots.map(({ slot }) => slot),
    ),
    horizon,
    grace,
    valueType: printType(valueType),
  });
  return {
    ...common,
    default: undefined,
    source: source.name,
    kind: 'record',
    expression,
    aggregation: null,
    entity: raw.entity?.value ?? null,
    horizon,
    valueType,
    fingerprint: print,
  };
}
