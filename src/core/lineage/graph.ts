/**
 * The graph of a project: every field, feature, column of a dataset, label, model, service and monitor, and what each
 * is made of. An edge says in which role the parent counts. Fields stand under their source or dataset, which stand
 * for the rows.
 */
import type { Aggregation, Definitions, Source } from '../define/types.js';
import { ROLES, type Role } from './query.js';
import type { FieldUse, QueryLineage } from './resolve.js';

export type NodeKind =
  | 'source'
  | 'feature'
  | 'feature_set'
  | 'request'
  | 'label'
  | 'dataset'
  | 'model'
  | 'service'
  | 'monitor';

export interface LineageNode {
  /** `source.purchases`, `source.purchases.amount`, `dataset.train.user_count_30d`. */
  readonly id: string;
  readonly kind: NodeKind;
  readonly name: string;
  /** Set for fields of sources and columns of datasets. */
  readonly field: string | null;
  /** What could not be followed on the way up from here. */
  readonly unresolved: readonly string[];
}

/** `rows`: it counts which rows there are. */
export type EdgeRole = Role | 'rows';

export interface LineageEdge {
  readonly child: number;
  readonly parent: number;
  readonly roles: readonly EdgeRole[];
}

export interface LineageGraph {
  readonly nodes: readonly LineageNode[];
  readonly index: ReadonlyMap<string, number>;
  /** By node: the edges in which it is the child, the parent. */
  readonly up: readonly (readonly LineageEdge[])[];
  readonly down: readonly (readonly LineageEdge[])[];
}

/** The lineage of a transform's query, or why there is none. */
export type TransformLineage = QueryLineage | { readonly failed: string };

/** The columns that a transform's SQL sees of a parent, in order. */
export const parentColumns = (parent: Source): readonly string[] => [
  ...parent.fields.map((field) => field.name),
  '_available_at',
  '_event_time',
];

const EDGE_ROLES: readonly EdgeRole[] = [...ROLES, 'rows'];
const BIT = new Map(EDGE_ROLES.map((role, i) => [role, 1 << i]));
/** Roles by set of bits: edges of one kind share their list. */
const LISTS = Array.from({ length: 1 << EDGE_ROLES.length }, (_, bits) =>
  EDGE_ROLES.filter((_, i) => (bits & (1 << i)) !== 0),
);

class Builder {
  readonly nodes: LineageNode[] = [];
  readonly index = new Map<string, number>();
  private readonly edges: Map<number, number>[] = [];

  node(
    kind: NodeKind,
    name: string,
    field: string | null = null,
    unresolved: readonly string[] = [],
  ): string {
    const id = field === null ? `${kind}.${name}` : `${kind}.${name}.${field}`;
    if (!this.index.has(id)) {
      this.index.set(id, this.nodes.length);
      this.nodes.push({ id, kind, name, field, unresolved });
      this.edges.push(new Map());
    }
    return id;
  }
  link(child: string, parent: string, role: EdgeRole): void {
    const from = this.index.get(child);
    const to = this.index.get(parent);
    if (from === undefined || to === undefined || from === to) return;
    const parents = this.edges[from]!;
    parents.set(to, (parents.get(to) ?? 0) | BIT.get(role)!);
  }
  build(): LineageGraph {
    const up: LineageEdge[][] = this.nodes.map(() => []);
    const down: LineageEdge[][] = this.nodes.map(() => []);
    for (const [child, parents] of this.edges.entries())
      for (const [parent, bits] of parents) {
        const edge = { child, parent, roles: LISTS[bits]! };
        up[child]!.push(edge);
        down[parent]!.push(edge);
      }
    return { nodes: this.nodes, index: this.index, up, down };
  }
}

/** Where a use in a transform's SQL leads: a field, the rows, or the times under their system names. */
function usedNode(definitions: Definitions, use: FieldUse): string {
  const source = definitions.sources.get(use.source);
  if (!source || use.field === '*') return `source.${use.source}`;
  if (use.field === '_event_time') return `source.${source.name}.${source.eventTime}`;
  if (use.field === '_available_at')
    return source.availableAt.kind === 'field'
      ? `source.${source.name}.${source.availableAt.field}`
      : source.availableAt.kind === 'append'
        ? `source.${source.name}`
        : `source.${source.name}.${source.eventTime}`;
  return `source.${source.name}.${use.field}`;
}

function addTransform(
  graph: Builder,
  definitions: Definitions,
  source: Source,
  lineage: TransformLineage | undefined,
): void {
  const own = `source.${source.name}`;
  if (source.read.kind !== 'transform') return;
  for (const parent of source.read.parents) graph.link(own, `source.${parent}`, 'rows');
  if (lineage === undefined || 'failed' in lineage) {
    // Said, not guessed: every field may come from any part of the parents.
    for (const field of source.fields)
      for (const parent of source.read.parents)
        graph.link(`${own}.${field.name}`, `source.${parent}`, 'transformation');
    return;
  }
  for (const use of lineage.rows)
    for (const role of use.roles) graph.link(own, usedNode(definitions, use), role);
  for (const field of source.fields) {
    const wanted = (field.from ?? field.name).toLowerCase();
    const output = lineage.outputs.find((item) => item.name.toLowerCase() === wanted);
    for (const use of output?.uses ?? [])
      for (const role of use.roles) graph.link(`${own}.${field.name}`, usedNode(definitions, use), role);
    if (output === undefined)
      for (const table of lineage.tables)
        graph.link(`${own}.${field.name}`, `source.${table}`, 'transformation');
  }
}

/** Said where a query runs, but not in words that the parser knows. */
export const notRead = (why: string): string =>
  `lineage of this transform is by table only: its SQL is not read (${why})`;

/** What is not known of a field's way through a transform. */
function unresolvedOf(lineage: TransformLineage | undefined, output: string): readonly string[] {
  if (lineage === undefined) return ['its SQL has not been read'];
  if ('failed' in lineage) return [notRead(lineage.failed)];
  const found = lineage.outputs.find((item) => item.name.toLowerCase() === output.toLowerCase());
  if (found) return found.unresolved;
  return lineage.complete
    ? [`its SQL gives no column \`${output}\``]
    : lineage.unresolved.filter((what) => what.startsWith('columns of')).map((what) => `one of the ${what}`);
}

/** The whole project. `transforms`: the lineage of each transform's query, by source name. */
export function lineageGraph(
  definitions: Definitions,
  transforms: ReadonlyMap<string, TransformLineage>,
): LineageGraph {
  const graph = new Builder();
  for (const source of definitions.sources.values()) {
    const lineage = transforms.get(source.name);
    const transform = source.read.kind === 'transform';
    const faults =
      transform && lineage && !('failed' in lineage)
        ? lineage.unresolved
        : transform
          ? unresolvedOf(lineage, '')
          : [];
    graph.node('source', source.name, null, faults);
    for (const field of source.fields)
      graph.node(
        'source',
        source.name,
        field.name,
        transform ? unresolvedOf(lineage, field.from ?? field.name) : [],
      );
  }
  for (const feature of definitions.features.values()) {
    graph.node('feature', feature.name);
    for (const field of feature.requestFields) graph.node('request', field.name);
  }
  for (const set of definitions.featureSets.values()) graph.node('feature_set', set.name);
  for (const label of definitions.labels.values()) graph.node('label', label.name);
  for (const dataset of definitions.datasets.values()) {
    graph.node('dataset', dataset.name);
    for (const feature of dataset.features) graph.node('dataset', dataset.name, feature);
    if (dataset.label !== null) graph.node('dataset', dataset.name, dataset.label);
  }
  for (const model of definitions.models.values()) graph.node('model', model.name);
  for (const service of definitions.services.values()) graph.node('service', service.name);
  for (const monitor of definitions.monitors.values()) graph.node('monitor', monitor.name);

  for (const source of definitions.sources.values()) {
    const own = `source.${source.name}`;
    for (const field of source.fields) graph.link(`${own}.${field.name}`, own, 'rows');
    addTransform(graph, definitions, source, transforms.get(source.name));
    for (const { check } of source.contract.rows)
      if (check.kind === 'reference') graph.link(own, `source.${check.source}.${check.field}`, 'filter');
  }
  for (const feature of definitions.features.values()) addFeature(graph, definitions, feature.name);
  for (const set of definitions.featureSets.values())
    for (const feature of set.features)
      graph.link(`feature_set.${set.name}`, `feature.${feature}`, 'identity');
  for (const label of definitions.labels.values()) {
    const id = `label.${label.name}`;
    const source = definitions.sources.get(label.source)!;
    const field = (name: string): string => `source.${label.source}.${name}`;
    for (const slot of label.expression?.slots ?? []) graph.link(id, field(slot.slot), 'transformation');
    if (label.aggregation) addAggregation(graph, id, source, label.aggregation);
    if (label.kind === 'record') for (const key of source.recordKey) graph.link(id, field(key), 'join');
    graph.link(id, field(source.eventTime), 'window');
    graph.link(id, `source.${label.source}`, 'rows');
  }
  for (const dataset of definitions.datasets.values()) {
    const id = `dataset.${dataset.name}`;
    const columns = [...dataset.features, ...(dataset.label === null ? [] : [dataset.label])];
    for (const column of columns) graph.link(id, `${id}.${column}`, 'identity');
    for (const feature of dataset.features) graph.link(`${id}.${feature}`, `feature.${feature}`, 'identity');
    if (dataset.label !== null) graph.link(`${id}.${dataset.label}`, `label.${dataset.label}`, 'identity');
    const { from, where, time } = dataset.observations;
    if (from.kind !== 'source') continue;
    const field = (name: string): string => `source.${from.source}.${name}`;
    for (const of of [id, ...columns.map((column) => `${id}.${column}`)]) {
      graph.link(of, `source.${from.source}`, 'rows');
      for (const slot of where?.slots ?? []) graph.link(of, field(slot.slot), 'filter');
      graph.link(of, field(time), 'window');
    }
  }
  for (const model of definitions.models.values()) {
    const dataset = definitions.datasets.get(model.dataset)!;
    const columns = [...dataset.features, ...(dataset.label === null ? [] : [dataset.label])];
    for (const column of columns)
      if (!model.exclude.includes(column))
        graph.link(`model.${model.name}`, `dataset.${dataset.name}.${column}`, 'transformation');
  }
  for (const service of definitions.services.values())
    graph.link(`service.${service.name}`, `model.${service.model}`, 'identity');
  for (const monitor of definitions.monitors.values())
    graph.link(`monitor.${monitor.name}`, `service.${monitor.service}`, 'aggregation');
  return graph.build();
}

function addAggregation(graph: Builder, id: string, source: Source, aggregation: Aggregation): void {
  const field = (name: string): string => `source.${source.name}.${name}`;
  if (aggregation.field !== null) graph.link(id, field(aggregation.field), 'aggregation');
  else graph.link(id, `source.${source.name}`, 'aggregation');
  if (aggregation.arguments.by) graph.link(id, field(aggregation.arguments.by), 'sort');
  if (aggregation.groupBy !== null) graph.link(id, field(aggregation.groupBy), 'group_by');
  for (const slot of aggregation.where?.slots ?? []) graph.link(id, field(slot.slot), 'filter');
  for (const slot of aggregation.ratioWhere?.slots ?? []) graph.link(id, field(slot.slot), 'conditional');
  graph.link(id, field(source.eventTime), 'window');
  if (source.availableAt.kind === 'field') graph.link(id, field(source.availableAt.field), 'window');
}

function addFeature(graph: Builder, definitions: Definitions, name: string): void {
  const feature = definitions.features.get(name)!;
  const id = `feature.${name}`;
  const { computation } = feature;
  if (computation.kind === 'aggregation' || computation.kind === 'lookup') {
    const source = definitions.sources.get(computation.source)!;
    const field = (of: string): string => `source.${source.name}.${of}`;
    if (computation.kind === 'aggregation') addAggregation(graph, id, source, computation);
    else {
      const role = computation.output === 'value' ? 'identity' : 'transformation';
      graph.link(id, field(computation.output === 'value' ? computation.field : source.eventTime), role);
      graph.link(id, field(source.eventTime), 'window');
      if (source.availableAt.kind === 'field') graph.link(id, field(source.availableAt.field), 'window');
    }
    for (const key of feature.joinKeys) graph.link(id, field(source.keys[key] ?? key), 'join');
    graph.link(id, `source.${source.name}`, 'rows');
  }
  if (computation.kind === 'neighbours') {
    const { source: name, field, key, where, output } = computation;
    const source = definitions.sources.get(name)!;
    const at = (of: string): string => `source.${name}.${of}`;
    graph.link(id, at(field), 'transformation');
    graph.link(id, at(key), output === 'keys' ? 'transformation' : 'join');
    for (const { slot } of where?.slots ?? []) graph.link(id, at(slot), 'filter');
    graph.link(id, at(source.eventTime), 'window');
    if (source.availableAt.kind === 'field') graph.link(id, at(source.availableAt.field), 'window');
    graph.link(id, `source.${name}`, 'rows');
  }
  for (const dependency of feature.dependsOn) graph.link(id, `feature.${dependency}`, 'transformation');
  for (const request of feature.requestFields) graph.link(id, `request.${request.name}`, 'transformation');
}

export interface Reached {
  readonly node: number;
  /** Edges on the shortest way from the asset. */
  readonly depth: number;
  /** The edge over which it is reached. */
  readonly edge: LineageEdge;
}

/** Everything above or below some nodes, nearest first; each once. */
export function reach(
  graph: LineageGraph,
  from: readonly number[],
  direction: 'up' | 'down',
): readonly Reached[] {
  const seen = new Uint8Array(graph.nodes.length);
  for (const node of from) seen[node] = 1;
  const found: Reached[] = [];
  let edge: readonly { readonly node: number; readonly depth: number }[] = from.map((node) => ({
    node,
    depth: 0,
  }));
  while (edge.length > 0) {
    const next: { node: number; depth: number }[] = [];
    for (const { node, depth } of edge)
      for (const step of graph[direction][node]!) {
        const other = direction === 'up' ? step.parent : step.child;
        if (seen[other]) continue;
        seen[other] = 1;
        found.push({ node: other, depth: depth + 1, edge: step });
        next.push({ node: other, depth: depth + 1 });
      }
    edge = next;
  }
  return found;
}

/** What a person may mean by a name, best first: the id, `SOURCE.FIELD`, a bare name. */
export function findAssets(graph: LineageGraph, wanted: string): readonly number[] {
  const exact = graph.index.get(wanted);
  if (exact !== undefined) return [exact];
  const folded = wanted.toLowerCase();
  const found: number[] = [];
  for (const [id, index] of graph.index) {
    const rest = id.slice(id.indexOf('.') + 1);
    if (rest === wanted || rest.toLowerCase() === folded || id.toLowerCase() === folded) found.push(index);
  }
  if (found.length > 0) return found;
  for (const [id, index] of graph.index) if (id.toLowerCase().endsWith(`.${folded}`)) found.push(index);
  return found;
}

/** A source or dataset stands for itself and its fields. */
export function withFields(graph: LineageGraph, node: number): readonly number[] {
  const { kind, name, field } = graph.nodes[node]!;
  if (field !== null || (kind !== 'source' && kind !== 'dataset')) return [node];
  const fields: number[] = [];
  for (const [i, other] of graph.nodes.entries())
    if (other.kind === kind && other.name === name && other.field !== null) fields.push(i);
  return [node, ...fields];
}
