/** A feature as the engines take it: the aggregation or lookup with the types it reads and gives. */
import { FOLDS } from '../algebra/catalogue.js';
import type { Feature, Source } from '../define/types.js';
import { FLOAT64, type ValueType } from '../schema/types.js';
import type { SweepFeature, SweepLookup } from './types.js';

const fieldType = (source: Source, field: string | null | undefined): ValueType | null =>
  source.fields.find((item) => item.name === field)?.type ?? null;

export function sweepFeature(feature: Feature, source: Source): SweepFeature | undefined {
  const { computation } = feature;
  if (computation.kind !== 'aggregation') return undefined;
  const inputType = fieldType(source, computation.field);
  const byType = fieldType(source, computation.arguments.by);
  const flat = FOLDS[computation.function].outputType({
    inputType,
    byType,
    arguments: computation.arguments,
  });
  const outputType: ValueType = computation.groupBy === null ? flat : { kind: 'map', of: flat };
  return { name: feature.name, aggregation: computation, inputType, byType, outputType };
}

export function sweepLookup(feature: Feature, source: Source): SweepLookup | undefined {
  const { computation } = feature;
  if (computation.kind !== 'lookup') return undefined;
  const { field, maxAge, output } = computation;
  const outputType = output === 'age_seconds' ? FLOAT64 : fieldType(source, field)!;
  return { name: feature.name, field, maxAge, output, outputType };
}
