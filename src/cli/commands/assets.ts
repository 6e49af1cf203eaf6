import { assetVersions } from '../../services/export.js';
import { inProject } from '../in-project.js';
import { count, table } from '../print/table.js';

export const command = inProject(async (project, io, args) => {
  const versions = await assetVersions(project, args);
  io.print(
    table(
      ['asset', 'parents', 'version', 'rows', 'data version'],
      versions.map((item) => [
        item.asset,
        item.parents.join(', ') || '-',
        item.version === null ? '-' : String(item.version),
        item.rows === null ? '-' : count(item.rows),
        item.data_version?.slice(0, 16) ?? 'none yet',
      ]),
    ),
  );
  io.result({ assets: versions });
  return 0;
});
