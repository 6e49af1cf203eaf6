/** Where an asset comes from and what it feeds: sources, fields, features, labels, datasets, models, services, monitors. */
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { printInstant } from '../core/base/time.js';
import type { Definitions } from '../core/define/types.js';
import type { Project } from './project.js';

export interface LineageNode {
  /** `feature.user_count_30d`, `source.purchases.amount`. */
  readonly id: string;
  readonly owner: string | null;
  readonly updated: string | null;
}

export interface Lineage {
  readonly asset: LineageNode;
  readonly up: readonly { readonly depth: number; readonly node: LineageNode }[];
  readonly down: readonly { readonly depth: number; readonly node: LineageNode }[];
}

/** Child → parents over the whole project; fields of sources are nodes under their source. */
export function lineageEdges(definitions: Definitions): ReadonlyMap<string, ReadonlySet<string>> {
  const edges = new Map<string, Set<string>>();
  const link = (child: string, parent: string): void => {
    const parents = edges.get(child) ?? new Set<string>();
    parents.add(parent);
    edges.set(child, parents);
    if (!edges.has(parent)) edges.set(parent, new Set());
  };
  for (const source of definitions.sources.values()) {
    for (const field of source.fields) link(`source.${source.name}.${field.name}`, `source.${source.name}`);
    if (source.read.kind === 'transform')
      for (const parent of source.read.parents) link(`source.${source.name}`, `source.${parent}`);
  }
  for (const feature of definitions.features.values()) {
    const id = `feature.${feature.name}`;
    const { computation } = feature;
    if (computation.kind === 'aggregation' || computation.kind === 'lookup') {
      const source = definitions.sources.get(computation.source)!;
      const fields = new Set<string>();
      if (computation.field) fields.add(computation.field);
      if (computation.kind === 'aggregation') {
        if (computation.arguments.by) fields.add(computation.arguments.by);
        if (computation.groupBy) fields.add(computation.groupBy);
        for (const expression of [computation.where, computation.ratioWhere])
          for (const slot of expression?.slots ?? []) fields.add(slot.slot);
      }
      for (const key of feature.joinKeys) fields.add(source.keys[key] ?? key);
      for (const field of fields) link(id, `source.${source.name}.${field}`);
    }
    for (const dependency of feature.dependsOn) link(id, `feature.${dependency}`);
    for (const field of feature.requestFields) link(id, `request.${field.name}`);
  }
  for (const set of definitions.featureSets.values())
    for (const feature of set.features) link(`feature_set.${set.name}`, `feature.${feature}`);
  for (const label of definitions.labels.values()) {
    const fields = new Set((label.expression?.slots ?? []).map((slot) => slot.slot));
    if (label.aggregation?.field) fields.add(label.aggregation.field);
    for (const field of fields) link(`label.${label.name}`, `source.${label.source}.${field}`);
  }
  for (const dataset of definitions.datasets.values()) {
    for (const feature of dataset.features) link(`dataset.${dataset.name}`, `feature.${feature}`);
    if (dataset.label) link(`dataset.${dataset.name}`, `label.${dataset.label}`);
    if (dataset.observations.from.kind === 'source')
      link(`dataset.${dataset.name}`, `source.${dataset.observations.from.source}`);
  }
  for (const model of definitions.models.values()) link(`model.${model.name}`, `dataset.${model.dataset}`);
  for (const service of definitions.services.values())
    link(`service.${service.name}`, `model.${service.model}`);
  for (const monitor of definitions.monitors.values())
    link(`monitor.${monitor.name}`, `service.${monitor.service}`);
  return edges;
}

function reach(from: string, next: (id: string) => Iterable<string>): { id: string; depth: number }[] {
  const found: { id: string; depth: number }[] = [];
  const seen = new Set([from]);
  const visit = (id: string, depth: number): void => {
    for (const other of [...next(id)].sort()) {
      if (seen.has(other)) continue;
      seen.add(other);
      found.push({ id: other, depth });
      visit(other, depth + 1);
    }
  };
  visit(from, 1);
  return found;
}

export async function lineageOf(project: Project, wanted: string): Promise<Lineage> {
  const { definitions } = project;
  const edges = lineageEdges(definitions);
  const matches = [...edges.keys()]
    .filter((id) => id === wanted || id.endsWith(`.${wanted}`))
    .sort((a, b) => a.length - b.length);
  const id = matches[0];
  if (id === undefined) {
    const near = nearest(
      wanted,
      [...edges.keys()].flatMap((item) => [item, item.slice(item.indexOf('.') + 1)]),
    );
    throw new MillraceError('UNKNOWN_NAME', `there is no asset named "${wanted}"`, {
      hint: near
        ? `Did you mean "${near}"?`
        : 'Name a source, SOURCE.FIELD, feature, dataset, model, service or monitor.',
    });
  }
  const children = new Map<string, string[]>();
  for (const [child, parents] of edges)
    for (const parent of parents) children.set(parent, [...(children.get(parent) ?? []), child]);
  const registry = await project.registry();
  const log = await project.log();
  const node = async (name: string): Promise<LineageNode> => {
    const [kind, rest] = [name.slice(0, name.indexOf('.')), name.slice(name.indexOf('.') + 1)];
    const bare = rest.split('.')[0]!;
    let updated: number | null = null;
    if (kind === 'source') updated = (await log.state(definitions.sources.get(bare)!)).maxAvailableAt;
    if (kind === 'dataset' || kind === 'model') updated = registry.version(kind, bare)?.createdAt ?? null;
    const collections: Readonly<Record<string, ReadonlyMap<string, { readonly owner?: string }>>> = {
      source: definitions.sources,
      feature: definitions.features,
      feature_set: definitions.featureSets,
      label: definitions.labels,
      dataset: definitions.datasets,
      model: definitions.models,
      service: definitions.services,
      monitor: definitions.monitors,
    };
    return {
      id: name,
      owner: collections[kind]?.get(bare)?.owner ?? null,
      updated: updated === null ? null : printInstant(updated),
    };
  };
  const all = async (items: { id: string; depth: number }[]) => {
    const nodes: { depth: number; node: LineageNode }[] = [];
    for (const item of items) nodes.push({ depth: item.depth, node: await node(item.id) });
    return nodes;
  };
  return {
    asset: await node(id),
    up: await all(reach(id, (item) => edges.get(item) ?? [])),
    down: await all(reach(id, (item) => children.get(item) ?? [])),
  };
}
