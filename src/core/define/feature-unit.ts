/** A feature as it was written, before it is resolved. */

import { sameType, type ValueType } from '../schema/types.js';
import { fieldOf, type Resolved } from './context.js';
import type { Out } from './shape.js';
import type { featureShape } from './shapes/feature.js';
import type { Source } from './types.js';

export type RawFeature = Out<typeof featureShape>;

export interface Unit {
  readonly name: string;
  readonly raw: RawFeature;
  /** Set when `windows` was written. */
  readonly window: number | 'all' | undefined;
}

export type RequestTypes = (feature: string, field: string) => ValueType | undefined;

/** `request.x` of a feature has the type of field x of the observations of the datasets that use the feature. */
export function requestTypesFromDatasets(context: Resolved, units: ReadonlyMap<string, Unit>): RequestTypes {
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
