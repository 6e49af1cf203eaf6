/** The pipeline as a small graph: definitions in, nodes in columns out. Features stand as one node per source they read. */
import type { Definitions, Feature } from '../core/define/types.js';
import { planFeatures } from '../core/engine/feature-plan.js';

export type NodeKind = 'source' | 'transform' | 'features' | 'dataset' | 'model' | 'service' | 'monitor';

export interface PipelineNode {
  readonly id: string;
  readonly kind: NodeKind;
  readonly name: string;
  readonly detail: string;
  readonly column: number;
}

export interface PipelineEdge {
  readonly from: string;
  readonly to: string;
  /** `label`: the outcome; `observations`: the rows of a dataset. */
  readonly role: 'data' | 'label' | 'observations';
}

export interface PipelineGraph {
  readonly nodes: readonly PipelineNode[];
  readonly edges: readonly PipelineEdge[];
}

/** `details` replaces the second line of nodes by id (`source.x`, `dataset.x`, `model.x`, …): counts, verdicts. */
export function pipelineGraph(
  definitions: Definitions,
  details: ReadonlyMap<string, string> = new Map(),
): PipelineGraph {
  const nodes: PipelineNode[] = [];
  const edges = new Map<string, PipelineEdge>();
  const add = (kind: NodeKind, id: string, name: string, detail: string, column: number): void => {
    nodes.push({ id, kind, name, detail: details.get(id) ?? detail, column });
  };
  const link = (from: string, to: string, role: PipelineEdge['role'] = 'data'): void => {
    edges.set(`${from} ${to} ${role}`, { from, to, role });
  };

  const depths = new Map<string, number>();
  const depthOf = (name: string): number => {
    const known = depths.get(name);
    if (known !== undefined) return known;
    const read = definitions.sources.get(name)?.read;
    const depth = read?.kind === 'transform' ? 1 + Math.max(-1, ...read.parents.map(depthOf)) : 0;
    depths.set(name, depth);
    return depth;
  };
  for (const source of definitions.sources.values()) {
    const { read } = source;
    add(
      read.kind === 'transform' ? 'transform' : 'source',
      `source.${source.name}`,
      source.name,
      source.kind,
      depthOf(source.name),
    );
    if (read.kind === 'transform')
      for (const parent of read.parents) link(`source.${parent}`, `source.${source.name}`);
  }

  const all = [...definitions.features.values()];
  const plan = planFeatures(definitions, all);
  const group = new Map<string, string>();
  const sizes = new Map<string, number>();
  for (const { source, features } of plan.groups) {
    for (const feature of features) group.set(feature.name, `features.${source.name}`);
    sizes.set(source.name, (sizes.get(source.name) ?? 0) + features.length);
  }
  const featureColumn = 1 + Math.max(-1, ...depths.values());
  const words = (n: number): string => `${n} feature${n === 1 ? '' : 's'}`;
  for (const [source, size] of sizes) {
    add('features', `features.${source}`, source, words(size), featureColumn);
    link(`source.${source}`, `features.${source}`);
  }
  const derived = all.filter((feature) => !group.has(feature.name));
  const readsOthers = derived.some((feature) => feature.dependsOn.length > 0);
  const computed = 'features:computed';
  if (derived.length > 0) {
    add('features', computed, 'computed', words(derived.length), featureColumn + (readsOthers ? 1 : 0));
    for (const feature of derived)
      for (const name of feature.dependsOn) if (group.has(name)) link(group.get(name)!, computed);
  }

  const datasetColumn = featureColumn + (derived.length > 0 && readsOthers ? 2 : all.length > 0 ? 1 : 0);
  const groupOf = (feature: Feature): string => group.get(feature.name) ?? computed;
  for (const dataset of definitions.datasets.values()) {
    const id = `dataset.${dataset.name}`;
    add('dataset', id, dataset.name, words(dataset.features.length), datasetColumn);
    for (const name of dataset.features) {
      const feature = definitions.features.get(name);
      if (feature) link(groupOf(feature), id);
    }
    const { from } = dataset.observations;
    if (from.kind === 'source') link(`source.${from.source}`, id, 'observations');
    const label = dataset.label === null ? undefined : definitions.labels.get(dataset.label);
    if (label) link(`source.${label.source}`, id, 'label');
  }
  const present = [definitions.datasets, definitions.models, definitions.services].map((kind) =>
    kind.size > 0 ? 1 : 0,
  );
  const modelColumn = datasetColumn + present[0];
  const serviceColumn = modelColumn + present[1];
  const monitorColumn = serviceColumn + present[2];
  for (const model of definitions.models.values()) {
    add('model', `model.${model.name}`, model.name, model.task, modelColumn);
    link(`dataset.${model.dataset}`, `model.${model.name}`);
  }
  for (const service of definitions.services.values()) {
    add('service', `service.${service.name}`, service.name, 'predictions', serviceColumn);
    link(`model.${service.model}`, `service.${service.name}`);
  }
  for (const monitor of definitions.monitors.values()) {
    add('monitor', `monitor.${monitor.name}`, monitor.name, 'drift', monitorColumn);
    link(`service.${monitor.service}`, `monitor.${monitor.name}`);
  }
  return { nodes, edges: [...edges.values()] };
}
