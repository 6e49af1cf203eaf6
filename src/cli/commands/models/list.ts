import { printInstant } from '../../../core/base/time.js';
import { CHAMPION, manifestOf } from '../../../services/model-manifest.js';
import { knownVersions } from '../../../services/model-registry.js';
import { inProject } from '../../in-project.js';
import { known } from '../../parse.js';
import { mainMetric, tagsText } from '../../print/model.js';
import { table } from '../../print/table.js';

export const command = inProject(async (project, io, args) => {
  const registry = await project.registry();
  if (args[0] !== undefined)
    known(
      args[0],
      new Set([...project.definitions.models.keys(), ...registry.versions('model').map((item) => item.name)]),
      'model',
    );
  const versions = await knownVersions(project, args[0]);
  io.print(
    table(
      ['model', 'version', 'stage', 'aliases', 'owner', 'tags', 'trainer', 'test', 'trained'],
      versions.map(({ version, aliases, stage, notes }) => {
        const manifest = manifestOf(version);
        return [
          version.name,
          version.version,
          stage,
          aliases.join(' '),
          notes.owner ?? '',
          tagsText(notes),
          manifest.imported ? `imported (${manifest.imported.format})` : manifest.trainer.kind,
          mainMetric(manifest),
          printInstant(version.createdAt),
        ];
      }),
    ),
  );
  io.result({
    models: versions.map((found) => ({
      name: found.version.name,
      version: found.version.version,
      champion: found.aliases.includes(CHAMPION),
      stage: found.stage,
      aliases: found.aliases,
      ...found.notes,
      metrics: manifestOf(found.version).metrics,
      created_at: printInstant(found.version.createdAt),
    })),
    history: registry.aliasHistory(args[0]).map((change) => ({ ...change, at: printInstant(change.at) })),
  });
  return 0;
});
