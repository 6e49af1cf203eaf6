import { MillraceError } from '../../../core/base/error.js';
import type { BuiltDataset } from '../../../services/build-dataset.js';
import { inProject } from '../../in-project.js';
import { list as items, knowledge as knowledgeOf, known } from '../../parse.js';
import { printManifest } from '../../print/dataset.js';

const summary = (built: BuiltDataset): Record<string, unknown> => ({
  dataset: built.version.name,
  version: built.version.version,
  built: built.built,
  partitions: built.partitions,
  folder: built.version.folder,
  manifest: built.manifest,
});

export const command = inProject(async (project, io, args, options) => {
  const knowledge = knowledgeOf(options['knowledge']);
  const horizons = new Map<string, number>();
  for (const item of items(options['horizon'])) {
    const [source, seq] = item.includes('=') ? item.split('=') : [undefined, item];
    const position = Number(seq);
    if (!Number.isSafeInteger(position) || position < 0)
      throw new MillraceError('USAGE', `--horizon "${item}" is not SOURCE=SEQ or SEQ`);
    const sources = [...project.definitions.sources.keys()];
    for (const name of source === undefined ? sources : [known(source, sources, 'source')])
      horizons.set(name, position);
  }
  await project.lockForWriting(io.command);
  const { buildDataset } = await import('../../../services/build-dataset.js');
  const built = await buildDataset(project, args[0]!, {
    horizons,
    ...(options['out'] === undefined ? {} : { out: String(options['out']) }),
    ...(knowledge === undefined ? {} : { knowledge }),
  });
  printManifest(io, built.version.name, built.version.version, built.manifest);
  if (built.partitions.total > 1)
    io.print(`${built.partitions.computed} of ${built.partitions.total} partitions computed`);
  io.print(built.built ? `built in ${built.version.folder}` : `unchanged: ${built.version.folder}`);
  io.result(summary(built));
  return 0;
});
