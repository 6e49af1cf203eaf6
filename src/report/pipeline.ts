/** The pipeline graph drawn left to right: columns by depth, rows ordered so that few edges cross. */
import { clip, type Content, html, type Markup } from './html.js';
import type { PipelineGraph, PipelineNode } from './pipeline-graph.js';

const BOX = { width: 124, height: 42 };
const GAP = { x: 34, y: 12 };
const TOP = 26;
/** More nodes in one column are named as one. */
const COLUMN_LIMIT = 14;

interface Placed extends PipelineNode {
  readonly x: number;
  readonly y: number;
}

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
    nodes.push({ id, kind: rest[0].kind, name: `${rest.length} more`, detail: rest.slice(0, 3).map((node) => node.name).join(', '), column });
  }
  const edges = new Map(
    graph.edges.map((edge) => {
      const renamed = { ...edge, from: standIn.get(edge.from) ?? edge.from, to: standIn.get(edge.to) ?? edge.to };
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

/** Orders every column by the mean place of its neighbours, forth and back. */
function arrange(graph: PipelineGraph): readonly PipelineNode[][] {
  const columns = [...groupByColumn(graph.nodes)].sort(([a], [b]) => a - b).map(([, nodes]) => nodes);
  const place = new Map<string, number>();
  const settle = (column: readonly PipelineNode[]): void => column.forEach((node, i) => void place.set(node.id, i - (column.length - 1) / 2));
  for (const column of columns) settle(column);
  const neighbours = (id: string, side: 'from' | 'to'): string[] =>
    graph.edges.filter((edge) => (side === 'from' ? edge.to : edge.from) === id).map((edge) => edge[side]);
  const sweep = (order: readonly number[], side: 'from' | 'to'): void => {
    for (const i of order) {
      const weight = new Map(
        columns[i].map((node) => {
          const near = neighbours(node.id, side);
          return [node.id, near.length === 0 ? place.get(node.id)! : near.reduce((sum, id) => sum + place.get(id)!, 0) / near.length];
        }),
      );
      columns[i] = [...columns[i]].sort((a, b) => weight.get(a.id)! - weight.get(b.id)! || place.get(a.id)! - place.get(b.id)!);
      settle(columns[i]);
    }
  };
  const forth = columns.map((_, i) => i);
  for (let round = 0; round < 4; round++) {
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

export function pipelinePicture(given: PipelineGraph): Markup {
  const graph = folded(given);
  const columns = arrange(graph);
  const rows = Math.max(1, ...columns.map((column) => column.length));
  const height = TOP + rows * (BOX.height + GAP.y) + 4;
  const width = columns.length * (BOX.width + GAP.x) - GAP.x + 4;
  const placed = new Map<string, Placed>();
  columns.forEach((column, i) => {
    const used = column.length * (BOX.height + GAP.y) - GAP.y;
    const start = TOP + (height - TOP - used) / 2;
    column.forEach((node, j) => void placed.set(node.id, { ...node, x: 2 + i * (BOX.width + GAP.x), y: start + j * (BOX.height + GAP.y) }));
  });
  const edges: Content = graph.edges.map((edge) => {
    const [from, to] = [placed.get(edge.from), placed.get(edge.to)];
    if (!from || !to) return null;
    const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + BOX.height / 2, to.x, to.y + BOX.height / 2];
    const bend = Math.max(16, Math.min(90, (x2 - x1) * 0.45));
    const what = edge.role === 'data' ? '' : edge.role === 'label' ? ' (label)' : ' (observations)';
    return html`<path class="edge ${edge.role}" d="M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}"><title>${`${from.name} → ${to.name}${what}`}</title></path>`;
  });
  const boxes: Content = [...placed.values()].map(
    (node) =>
      html`<g class="node ${node.kind}"><title>${`${node.kind} ${node.name}: ${node.detail}`}</title><rect x="${node.x}" y="${node.y}" width="${BOX.width}" height="${BOX.height}" rx="5"/><rect class="stripe" x="${node.x}" y="${node.y}" width="4" height="${BOX.height}" rx="2"/><text x="${node.x + 12}" y="${node.y + 17.5}">${clip(node.name, 17)}</text><text class="muted" x="${node.x + 12}" y="${node.y + 32.5}">${clip(node.detail, 20)}</text></g>`,
  );
  const headings: Content = columns.map((column, i) => {
    const kinds = [...new Set(column.map((node) => HEADINGS[node.kind]))];
    return html`<text class="heading" x="${2 + i * (BOX.width + GAP.x)}" y="13">${kinds.join(', ')}</text>`;
  });
  const title = `The pipeline from ${columns[0]?.map((node) => node.name).join(', ') ?? 'nothing'} to ${columns.at(-1)?.map((node) => node.name).join(', ') ?? 'nothing'}`;
  return html`<svg class="pipeline" viewBox="0 0 ${width} ${height}" style="min-width:${Math.round(width * 0.82)}px;max-width:${Math.round(width * 1.15)}px" role="img" aria-label="${title}"><title>${title}</title>${edges}${boxes}${headings}</svg>`;
}
