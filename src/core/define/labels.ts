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

/** What labels of both forms have, and where to say what is wrong. */
interface LabelFrame {
  readonly context: Resolved;
  readonly raw: RawLabel;
  readonly subject: string;
  readonly common: Pick<Label, 'name' | 'description' | 'owner' | 'tags' | 'grace'>;
}

function resolveLabel(context: Resolved, name: string, raw: RawLabel): Label | undefined {
  const common = { ...documentationOf(raw), name, grace: raw.grace?.value ?? 0 };
  if (name.startsWith('_') || [PART_COLUMN, 'rowid'].includes(foldName(name)))
    context.report.add(
      'DEF_INVALID_VALUE',
      raw.name!.place,
      `a label cannot be named \`${name}\`: \`${PART_COLUMN}\`, \`rowid\` and names that begin with _ are kept for the system`,
      { hint: 'Give it another name.' },
    );
  const frame: LabelFrame = { context, raw, subject: `label \`${name}\``, common };
  return raw.$.keys.has('aggregation') ? aggregationLabel(frame) : recordLabel(frame);
}

/** Keys of features that a label, which looks forward, does not take. */
const BACKWARD = ['window', 'windows', 'offset', 'include_current'] as const;

function sayAggregationFaults({ context: { report }, raw, subject }: LabelFrame): void {
  for (const key of ['source', 'expression'] as const)
    if (raw[key])
      report.add(
        'DEF_INVALID_VALUE',
        raw[key].place,
        `${subject} has both \`aggregation\` and \`${key}\`: expected one form`,
      );
  for (const key of BACKWARD) {
    const place = raw.aggregation?.$.keys.get(key);
    if (place)
      report.add(
        'DEF_UNKNOWN_KEY',
        place,
        `${subject}: a label looks forward by \`horizon\` and takes no \`${key}\``,
        { hint: `Remove \`${key}\`.` },
      );
  }
}

/** A label over the records in `[t, t + horizon)`. */
function aggregationLabel(frame: LabelFrame): Label | undefined {
  const { context, raw, subject, common } = frame;
  const { report } = context;
  sayAggregationFaults(frame);
  if (!raw.entity)
    return report.add(
      'DEF_MISSING_KEY',
      raw.$.place,
      `${subject} has no \`entity\`: expected whose records are aggregated`,
    );
  const entity = raw.entity.value;
  if (!context.raw.entities.has(entity))
    return report.unknown(subject, 'entity', raw.entity, context.raw.entities.keys());
  const horizon = raw.horizon?.value;
  if (!raw.aggregation || horizon === undefined) return undefined;
  const found = readAggregation(context, subject, raw.aggregation, horizon);
  if (!found || !context.entities.has(entity)) return undefined;
  const joinKeys = joinKeysOf(context, [entity]).map((key) => key.name);
  const missing = joinKeys.find((key) => !keyField(found.source, key));
  if (missing !== undefined)
    return report.add(
      'DEF_UNKNOWN_NAME',
      raw.aggregation.source!.place,
      `${subject}: source \`${found.source.name}\` has no field for the join key \`${missing}\``,
      { hint: `Add \`keys: { ${missing}: FIELD }\` to the source if the field has another name.` },
    );
  const valueType = declaredType(context, subject, raw.value_type, found.type);
  if (!valueType) return undefined;
  const written = raw.aggregation.default;
  const fallback =
    written && written.value !== null ? typedDefault(context, subject, written, valueType) : undefined;
  if (fallback === 'invalid') return undefined;
  const { aggregation, source } = found;
  return {
    ...common,
    default: fallback,
    source: source.name,
    kind: 'aggregation',
    expression: null,
    aggregation,
    entity,
    horizon,
    valueType,
    fingerprint: fingerprint({
      kind: 'label',
      name: common.name,
      aggregation: canonicalAggregation(aggregation),
      source: readingPrint(source, [...aggregatedFields(aggregation), ...keyFields(source, joinKeys)]),
      entity: context.entities.get(entity)!.fingerprint,
      horizon,
      grace: common.grace,
      valueType: printType(valueType),
      default: fallback === undefined ? undefined : [canonicalValue(fallback)],
    }),
  };
}

/** A label that is an expression over one record, which is complete `horizon` after t. */
function recordLabel({ context, raw, subject, common }: LabelFrame): Label | undefined {
  const { report } = context;
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
  const horizon = raw.horizon?.value;
  const expression = readExpression(report, subject, raw.expression, recordScope(context, source));
  const valueType = expression && declaredType(context, subject, raw.value_type, expression.type);
  if (!expression || !valueType || horizon === undefined) return undefined;
  const fields = expression.slots.map(({ slot }) => slot);
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
    fingerprint: fingerprint({
      kind: 'label',
      name: common.name,
      expression: expression.canonical,
      source: readingPrint(source, fields),
      horizon,
      grace: common.grace,
      valueType: printType(valueType),
    }),
  };
}
