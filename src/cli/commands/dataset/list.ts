import { printInstant } from '../../../core/base/time.js';
import type { DatasetManifest } from '../../../core/dataset/manifest.js';
import { inProject } from '../../in-project.js';
import { table } from '../../print/table.js';

export const command = inProject(async (project, io) => {
  const versions = (await project.registry()).versions('dataset');
  io.print(
    table(
      ['dataset', 'version', 'rows', 'built', 'logical hash'],
      versions.map((item) => {
        const manifest = item.manifest as unknown as DatasetManifest;
        return [
          item.name,
          item.version,
          manifest.counts.rows,
          printInstant(item.createdAt),
          manifest.logical_sha256.slice(0, 16),
        ];
      }),
    ),
  );
  io.result({
    datasets: versions.map(({ name, version, folder, createdAt }) => ({
      name,
      version,
      folder,
      created_at: printInstant(createdAt),
    })),
  });
  return 0;
});
