import { MillraceError } from '../../core/base/error.js';
import { type LineageNode, type LineageStep, lineageOf } from '../../services/lineage.js';
import { inProject } from '../in-project.js';
import type { Io } from '../io.js';

function describe(node: LineageNode): string {
  const facts = [
    ...(node.owner === null ? [] : [`owner ${node.owner}`]),
    ...(node.updated === null ? [] : [`updated ${node.updated}`]),
    ...(node.trust === null || node.trust.state === 'accepted' ? [] : [node.trust.detail]),
    ...node.unresolved.map((what) => `unresolved: ${what}`),
  ];
  return `${node.id}${facts.length > 0 ? `  (${facts.join('; ')})` : ''}`;
}

/** Each asset once, below the one over which it is nearest. */
function printTree(io: Io, root: string, steps: readonly LineageStep[]): void {
  const children = new Map<string, LineageStep[]>();
  for (const step of steps) {
    const list = children.get(step.through) ?? [];
    list.push(step);
    children.set(step.through, list);
  }
  const print = (id: string, depth: number): void => {
    for (const step of children.get(id) ?? []) {
      io.print(`${'  '.repeat(depth)}${step.roles.join('+')} ${describe(step.node)}`);
      print(step.node.id, depth + 1);
    }
  };
  const reached = new Set(steps.map((step) => step.node.id));
  const roots = new Set([root, ...steps.map((step) => step.through).filter((id) => !reached.has(id))]);
  for (const id of roots) {
    if (id === root) print(id, 1);
    else if (children.has(id)) {
      io.print(`  ${id}`);
      print(id, 2);
    }
  }
}

export const command = inProject(async (project, io, args, options) => {
  const { up, down } = options;
  if (up === true && down === true)
    throw new MillraceError('USAGE', '--up and --down together', {
      hint: 'Leave both out to see both directions.',
    });
  const direction = up === true ? 'up' : down === true ? 'down' : undefined;
  const result = await lineageOf(project, args[0]!, direction ? { direction } : {});
  io.print(describe(result.asset));
  if (result.also.length > 0) io.print(`also of this name: ${result.also.join(', ')}`);
  if (direction !== 'down') {
    io.print(result.up.length === 0 ? 'comes from nothing defined here' : 'comes from:');
    printTree(io, result.asset.id, result.up);
  }
  if (direction !== 'up') {
    io.print(result.down.length === 0 ? 'feeds nothing' : 'feeds:');
    printTree(io, result.asset.id, result.down);
  }
  io.result(result);
  return 0;
});
