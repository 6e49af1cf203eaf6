import { type LineageNode, lineageOf } from '../../services/lineage.js';
import type { Io } from '../io.js';
import { within } from '../within.js';

export async function lineage(io: Io, args: readonly string[]): Promise<number> {
  return within(io, async (project) => {
    const result = await lineageOf(project, args[0]!);
    const show = (node: LineageNode, depth: number): void => {
      io.print(
        `${'  '.repeat(depth)}${node.id}${node.owner ? ` (${node.owner})` : ''}${node.updated ? `  updated ${node.updated}` : ''}`,
      );
    };
    io.print(result.asset.id);
    io.print('comes from:');
    for (const item of result.up) show(item.node, item.depth);
    io.print('feeds:');
    for (const item of result.down) show(item.node, item.depth);
    io.result(result);
    return 0;
  });
}
