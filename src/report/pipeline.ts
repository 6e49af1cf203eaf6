/** The pipeline graph drawn left to right: columns by depth, rows ordered so that few edges cross. */
import { type Content, clip, html, type Markup } from './html.js';
import type { PipelineGraph, PipelineNode } from './pipeline-graph.js';

const BOX = { width: 124, height: 42 };
const GAP = { x: 34, y: 12 };
const TOP = 26;
/** More nodes in one column are named as one. */
const COLUMN_LIMIT = 14;

/** A graph whose columns are not longer than the limit: the last node of a full column stands for all the rest. */
function folded(graph: PipelineGraph): PipelineGraph {
  const columns = groupByColumn(graph.nodes);
  const standIn = new Map<string, string>();
  const nodes: PipelineNode[] = [];
  for (const [column, all] of columns) {
    nodes.push(...(all.length > COLUMN_LIMIT ? all.slice(0, COLUMN_LIMIT - 1) : all));
    if (all.length <= COLUMN_LIMIT) continue;
    const rest = all.slice(COLUMN_LIMIT - 1);
    const id = `rest:${column}`;
    for (const node of rest) standIn.set(node.id, id);
    nodes.push({
      id,
      kind: rest[0].kind,
      name: `${rest.length} more`,
      detail: rest
        .slice(0, 3)
        .map((node) => node.name)
        .join(', '),
      column,
    });
  }
  const edges = new Map(
    graph.edges.map((edge) => {
      const renamed = {
        ...edge,
        from: standIn.get(edge.from) ?? edge.from,
        to: standIn.get(edge.to) ?? edge.to,
      };
      return [`${renamed.from} ${renamed.to} ${renamed.role}`, renamed] as const;
    }),
  );
  return { nodes, edges: [...edges.values()].filter((edge) => edge.from !== edge.to) };
}

function groupByColumn(nodes: readonly PipelineNode[]): Map<number, PipelineNode[]> {
  const columns = new Map<number, PipelineNode[]>();
  for (const node of nodes) columns.set(node.column, [...(columns.get(node.column) ?? []), node]);
  return columns;
}

/** A place in a column: a node, or a waypoint where edges pass between nodes. */
interface Slot {
  readonly id: string;
  readonly column: number;
  readonly node: PipelineNode | null;
}

interface Link {
  readonly from: string;
  readonly to: string;
}

interface Route {
  readonly edge: PipelineGraph['edges'][number];
  /** Slots from the first node to the last. */
  readonly through: readonly string[];
}

/** Edges that pass over columns go through waypoints in them; edges to one target share theirs. */
function routed(graph: PipelineGraph): {
  readonly slots: readonly Slot[];
  readonly routes: readonly Route[];
} {
  const slots = new Map<string, Slot>(
    graph.nodes.map((node) => [node.id, { id: node.id, column: node.column, node }]),
  );
  const routes: Route[] = [];
  for (const edge of graph.edges) {
    const [from, to] = [slots.get(edge.from), slots.get(edge.to)];
    if (!from || !to) continue;
    const through = [from.id];
    for (let column = from.column + 1; column < to.column; column++) {
      const id = `way:${column}:${edge.role}:${to.id}`;
      if (!slots.has(id)) slots.set(id, { id, column, node: null });
      through.push(id);
    }
    routes.push({ edge, through: [...through, to.id] });
  }
  return { slots: [...slots.values()], routes };
}

/** Orders every column by the mean place of its neighbours, forth and back. */
function arrange(slots: readonly Slot[], links: readonly Link[]): readonly (readonly Slot[])[] {
  const byColumn = new Map<number, Slot[]>();
  for (const slot of slots) byColumn.set(slot.column, [...(byColumn.get(slot.column) ?? []), slot]);
  const columns = [...byColumn].sort(([a], [b]) => a - b).map(([, own]) => own);
  const place = new Map<string, number>();
  const settle = (column: readonly Slot[]): void =>
    column.forEach((slot, i) => void place.set(slot.id, i - (column.length - 1) / 2));
  for (const column of columns) settle(column);
  const near = { from: new Map<string, string[]>(), to: new Map<string, string[]>() };
  for (const link of links) {
    near.from.set(link.to, [...(near.from.get(link.to) ?? []), link.from]);
    near.to.set(link.from, [...(near.to.get(link.from) ?? []), link.to]);
  }
  const sweep = (order: readonly number[], side: 'from' | 'to'): void => {
    for (const i of order) {
      const weight = new Map(
        columns[i].map((slot) => {
          const others = near[side].get(slot.id) ?? [];
          return [
            slot.id,
            others.length === 0
              ? place.get(slot.id)!
              : others.reduce((sum, id) => sum + place.get(id)!, 0) / others.length,
          ];
        }),
      );
      columns[i] = [...columns[i]].sort(
        (a, b) => weight.get(a.id)! - weight.get(b.id)! || place.get(a.id)! - place.get(b.id)!,
      );
      settle(columns[i]);
    }
  };
  const forth = columns.map((_, i) => i);
  for (let round = 0; round < 6; round++) {
    sweep(forth.slice(1), 'from');
    sweep([...forth].reverse().slice(1), 'to');
  }
  return columns;
}

const HEADINGS: Readonly<Record<PipelineNode['kind'], string>> = {
  source: 'Sources',
  transform: 'Transforms',
  features: 'Features',
  dataset: 'Datasets',
  model: 'Models',
  service: 'Services',
  monitor: 'Monitors',
};

const WAY_HEIGHT = 8;
const heightOf = (slot: Slot): number => (slot.node ? BOX.height : WAY_HEIGHT);
const at = (n: number): number => Math.round(n * 10) / 10;

export function pipelinePicture(given: PipelineGraph): Markup {
  const graph = folded(given);
  const { slots, routes } = routed(graph);
  const links = new Map(
    routes.flatMap(({ through }) =>
      through.slice(1).map((to, i) => [`${through[i]} ${to}`, { from: through[i], to }] as const),
    ),
  );
  const columns = arrange(slots, [...links.values()]);
  const used = (column: readonly Slot[]): number =>
    column.reduce((sum, slot) => sum + heightOf(slot) + GAP.y, 0) - GAP.y;
  const tallest = Math.max(BOX.height, ...columns.map(used));
  const height = TOP + tallest + 6;
  const width = columns.length * (BOX.width + GAP.x) - GAP.x + 4;
  const placed = new Map<
    string,
    { readonly slot: Slot; readonly x: number; readonly y: number; readonly middle: number }
  >();
  for (const [i, column] of columns.entries()) {
    let y = TOP + (tallest - used(column)) / 2;
    for (const slot of column) {
      placed.set(slot.id, {
        slot,
        x: 2 + i * (BOX.width + GAP.x),
        y: at(y),
        middle: at(y + heightOf(slot) / 2),
      });
      y += heightOf(slot) + GAP.y;
    }
  }
  const bend = GAP.x * 0.55;
  const edges: Content = routes.map(({ edge, through }) => {
    const path = through
      .map((id, i) => {
        const here = placed.get(id)!;
        if (i === 0) return `M${here.x + BOX.width} ${here.middle}`;
        const before = placed.get(through[i - 1])!;
        const start = before.x + BOX.width;
        return `C${at(start + bend)} ${before.middle} ${at(here.x - bend)} ${here.middle} ${here.x} ${here.middle}${here.slot.node ? '' : `h${BOX.width}`}`;
      })
      .join('');
    const what = edge.role === 'data' ? '' : edge.role === 'label' ? ' (label)' : ' (observations)';
    return html`<path class="edge ${edge.role}" d="${path}"><title>${`${placed.get(edge.from)!.slot.node!.name} → ${placed.get(edge.to)!.slot.node!.name}${what}`}</title></path>`;
  });
  const boxes: Content = [...placed.values()].map(
    ({ slot: { node }, x, y }) =>
      node &&
      html`<g class="node ${node.kind}"><title>${`${node.kind} ${node.name}: ${node.detail}`}</title><rect x="${x}" y="${y}" width="${BOX.width}" height="${BOX.height}" rx="5"/><rect class="stripe" x="${x}" y="${y}" width="4" height="${BOX.height}" rx="2"/><text x="${x + 12}" y="${at(y + 17.5)}">${clip(node.name, 16)}</text><text class="muted" x="${x + 12}" y="${at(y + 32.5)}">${clip(node.detail, 19)}</text></g>`,
  );
  const nodesOf = (column: readonly Slot[] | undefined): string =>
    (column ?? []).flatMap((slot) => slot.node?.name ?? []).join(', ') || 'nothing';
  const headings: Content = columns.map((column, i) => {
    const kinds = [...new Set(column.flatMap((slot) => (slot.node ? [HEADINGS[slot.node.kind]] : [])))];
    return html`<text class="heading" x="${2 + i * (BOX.width + GAP.x)}" y="13">${kinds.join(', ')}</text>`;
  });
  const title = `The pipeline from ${nodesOf(columns[0])} to ${nodesOf(columns.at(-1))}`;
  return html`<svg class="pipeline" viewBox="0 0 ${width} ${height}" style="min-width:${Math.round(width * 0.82)}px;max-width:${Math.round(width * 1.15)}px" role="img" aria-label="${title}"><title>${title}</title>${edges}${boxes}${headings}</svg>`;
}
