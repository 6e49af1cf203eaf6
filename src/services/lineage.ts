/** Where an asset or a field comes from and what it feeds, with what is known of how far each can be trusted. */
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { type Instant, printOptionalInstant } from '../core/base/time.js';
import type { Definitions } from '../core/define/types.js';
import {
  type EdgeRole,
  findAssets,
  type LineageNode as GraphNode,
  type LineageGraph,
  lineageGraph,
  type Reached,
  reach,
  withFields,
} from '../core/lineage/graph.js';
import type { BatchRecord } from '../ports/record-log.js';
import type { Registry } from '../ports/registry.js';
import { CHAMPION } from './model-manifest.js';
import type { Project } from './project.js';
import { transformLineages } from './transform-sql.js';

/** From best to worst. A node is as good as the worst source above it. */
export const TRUST = ['accepted', 'warned', 'quarantine', 'no_data', 'refused'] as const;

export interface Trust {
  readonly state: (typeof TRUST)[number];
  /** In words, naming the source. */
  readonly detail: string;
  /** Share of the last batch's rows that went to quarantine, 0..1; null without a batch. */
  readonly quarantined: number | null;
}

export interface LineageNode {
  /** `feature.user_count_30d`, `source.purchases.amount`. */
  readonly id: string;
  readonly kind: GraphNode['kind'];
  readonly owner: string | null;
  /** When it last changed: a batch was accepted, a version made, a champion chosen. */
  readonly updated: string | null;
  /** The greatest available_at of its source, or the oldest of those above it: how fresh it can be. */
  readonly known_through: string | null;
  /** Null where nothing is read from a source. */
  readonly trust: Trust | null;
  /** What could not be followed here. */
  readonly unresolved: readonly string[];
}

export interface LineageStep {
  readonly depth: number;
  readonly node: LineageNode;
  /** The neighbour, nearer to the asset, over which it is reached. */
  readonly through: string;
  /** How the parent counts for the child. */
  readonly roles: readonly EdgeRole[];
}

export interface Lineage {
  readonly asset: LineageNode;
  /** Other assets of the same name. */
  readonly also: readonly string[];
  readonly up: readonly LineageStep[];
  readonly down: readonly LineageStep[];
}

/** Order in which kinds that share a name are preferred. */
const PREFERRED: readonly GraphNode['kind'][] = [
  'source',
  'feature',
  'feature_set',
  'label',
  'dataset',
  'model',
  'service',
  'monitor',
  'request',
];

export const projectGraph = async (project: Project): Promise<LineageGraph> =>
  lineageGraph(project.definitions, await transformLineages(project));

/** The node that a name means. UNKNOWN_NAME with the nearest; USAGE where fields of several sources have it. */
export function namedAsset(graph: LineageGraph, wanted: string): { node: number; also: readonly string[] } {
  const found = findAssets(graph, wanted);
  if (found.length === 0) {
    const names: string[] = [];
    for (const id of graph.index.keys()) names.push(id, id.slice(id.indexOf('.') + 1));
    const near = nearest(wanted, names);
    throw new MillraceError('UNKNOWN_NAME', `there is no asset named "${wanted}"`, {
      hint: near
        ? `Did you mean "${near}"?`
        : 'Name a source, SOURCE.FIELD, feature, label, dataset, DATASET.COLUMN, model, service or monitor.',
    });
  }
  const node = (at: number): GraphNode => graph.nodes[at]!;
  const whole = found.filter((at) => node(at).field === null);
  const fields = found.filter((at) => node(at).field !== null && node(at).kind === 'source');
  if (whole.length === 0 && fields.length > 1)
    throw new MillraceError('USAGE', `"${wanted}" is a field of ${fields.length} sources`, {
      hint: `Name one: ${fields.map((at) => `${node(at).name}.${node(at).field}`).join(', ')}.`,
    });
  const candidates = whole.length > 0 ? whole : fields.length > 0 ? fields : found;
  const sorted = [...candidates].sort(
    (a, b) => PREFERRED.indexOf(node(a).kind) - PREFERRED.indexOf(node(b).kind),
  );
  return { node: sorted[0]!, also: sorted.slice(1).map((at) => node(at).id) };
}

interface SourceState {
  readonly updated: Instant | null;
  readonly knownThrough: Instant | null;
  readonly trust: Trust;
}

const percent = (share: number): string => `${(share * 100).toFixed(share < 0.1 ? 2 : 1)} %`;

function trustOf(source: string, last: BatchRecord | undefined, open: number): Trust {
  if (!last) return { state: 'no_data', detail: `${source} has no batch yet`, quarantined: null };
  const share = last.rows === 0 ? 0 : last.quarantined / last.rows;
  if (last.status === 'refused')
    return {
      state: 'refused',
      detail: `the last batch of ${source} was refused${last.reason === null ? '' : `: ${last.reason}`}`,
      quarantined: share,
    };
  if (last.quarantined > 0 || open > 0)
    return {
      state: 'quarantine',
      detail:
        last.quarantined > 0
          ? `${percent(share)} of the last batch of ${source} in quarantine`
          : `${open} earlier rows of ${source} in quarantine`,
      quarantined: share,
    };
  const warned = last.warnings.length > 0;
  return {
    state: warned ? 'warned' : 'accepted',
    detail: warned
      ? `the last batch of ${source} was accepted with warnings: ${last.warnings.map((item) => item.rule).join(', ')}`
      : `the last batch of ${source} was accepted`,
    quarantined: 0,
  };
}

async function sourceState(project: Project, name: string): Promise<SourceState> {
  const log = await project.log();
  const source = project.definitions.sources.get(name)!;
  const batches = await log.batches(name);
  const open = await log.quarantineCount({ source: name, status: 'open' });
  const state = await log.state(source);
  const changed = batches.findLast((batch) => batch.status === 'committed' && batch.accepted > 0);
  return {
    updated: changed?.at ?? null,
    knownThrough: state.maxAvailableAt,
    trust: trustOf(
      name,
      batches.findLast((batch) => batch.rows > 0),
      open,
    ),
  };
}

const COLLECTIONS: Readonly<
  Record<Exclude<GraphNode['kind'], 'request'>, keyof Omit<Definitions, 'settings' | 'entities' | 'steps'>>
> = {
  source: 'sources',
  feature: 'features',
  feature_set: 'featureSets',
  label: 'labels',
  dataset: 'datasets',
  model: 'models',
  service: 'services',
  monitor: 'monitors',
};

const ownerOf = (definitions: Definitions, node: GraphNode): string | null =>
  node.kind === 'request' ? null : (definitions[COLLECTIONS[node.kind]].get(node.name)?.owner ?? null);

function changedAt(definitions: Definitions, registry: Registry, node: GraphNode): Instant | null {
  if (node.kind === 'dataset' || node.kind === 'model')
    return registry.version(node.kind, node.name)?.createdAt ?? null;
  if (node.kind !== 'service') return null;
  const { model } = definitions.services.get(node.name)!;
  return registry.aliasHistory(model).findLast((change) => change.alias === CHAMPION)?.at ?? null;
}

/** Sources above each of some nodes (itself, if it is one), in one pass over the part of the graph above them. */
function sourcesAbove(
  graph: LineageGraph,
  nodes: readonly number[],
): ReadonlyMap<number, ReadonlySet<string>> {
  const found = new Map<number, Set<string>>();
  const open = new Set<number>();
  const visit = (at: number): ReadonlySet<string> => {
    const held = found.get(at);
    if (held) return held;
    const node = graph.nodes[at]!;
    const sources = new Set<string>(node.kind === 'source' ? [node.name] : []);
    // A circle (two sources that refer to each other) ends where it began.
    if (open.has(at)) return sources;
    open.add(at);
    for (const edge of graph.up[at]!) for (const source of visit(edge.parent)) sources.add(source);
    open.delete(at);
    found.set(at, sources);
    return sources;
  };
  for (const node of nodes) visit(node);
  return found;
}

export interface LineageOptions {
  /** One direction only. */
  readonly direction?: 'up' | 'down';
}

export async function lineageOf(
  project: Project,
  wanted: string,
  options: LineageOptions = {},
): Promise<Lineage> {
  const { definitions } = project;
  const graph = await projectGraph(project);
  const { node: asset, also } = namedAsset(graph, wanted);
  const from = withFields(graph, asset);
  const walk = (direction: 'up' | 'down'): readonly Reached[] =>
    options.direction && options.direction !== direction ? [] : reach(graph, from, direction);
  const [up, down] = [walk('up'), walk('down')];
  const shown = [...new Set([asset, ...up.map((step) => step.node), ...down.map((step) => step.node)])];
  const above = sourcesAbove(graph, shown);
  const registry = await project.registry();
  const states = new Map<string, SourceState>();
  for (const sources of above.values())
    for (const name of sources) if (!states.has(name)) states.set(name, await sourceState(project, name));

  const view = (at: number): LineageNode => {
    const node = graph.nodes[at]!;
    const sources = [...(above.get(at) ?? [])].map((name) => states.get(name)!);
    const own = node.kind === 'source' ? states.get(node.name)! : null;
    const worst = sources.reduce<Trust | null>(
      (trust, state) =>
        trust === null || TRUST.indexOf(state.trust.state) > TRUST.indexOf(trust.state) ? state.trust : trust,
      null,
    );
    const known = own ? [own.knownThrough] : sources.map((state) => state.knownThrough);
    const oldest =
      known.length === 0 || known.includes(null) ? null : Math.min(...known.map((instant) => instant!));
    const latest = Math.max(...sources.map((state) => state.updated ?? Number.NEGATIVE_INFINITY));
    const updated = own
      ? own.updated
      : node.kind === 'feature' || node.kind === 'label' || node.kind === 'feature_set'
        ? Number.isFinite(latest)
          ? latest
          : null
        : changedAt(definitions, registry, node);
    return {
      id: node.id,
      kind: node.kind,
      owner: ownerOf(definitions, node),
      updated: printOptionalInstant(updated),
      known_through: printOptionalInstant(oldest),
      trust: worst,
      unresolved: node.unresolved,
    };
  };
  const views = new Map(shown.map((at) => [at, view(at)]));
  const steps = (reached: readonly Reached[], direction: 'up' | 'down'): LineageStep[] =>
    reached.map(({ node, depth, edge }) => ({
      depth,
      node: views.get(node)!,
      through: graph.nodes[direction === 'up' ? edge.child : edge.parent]!.id,
      roles: edge.roles,
    }));
  return { asset: views.get(asset)!, also, up: steps(up, 'up'), down: steps(down, 'down') };
}
