import { writeFile } from 'node:fs/promises';
import { inProject } from '../../in-project.js';
import { versioned } from '../../parse.js';

export const command = inProject(async (project, io, args, options) => {
  const { diffDatasets } = await import('../../../services/diff-datasets.js');
  const { diff: found, samples } = await diffDatasets(project, versioned(args[0]!), versioned(args[1]!));
  for (const line of found.lines) io.print(line);
  if (options['html'] !== undefined) {
    const { renderDatasetDiff } = await import('../../../report/dataset-diff.js');
    await writeFile(String(options['html']), renderDatasetDiff(found, samples));
    io.print(`page in ${String(options['html'])}`);
  }
  io.result(found);
  return 0;
});
