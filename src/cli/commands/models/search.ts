import { printInstant } from '../../../core/base/time.js';
import { manifestOf } from '../../../services/model-manifest.js';
import { searchModels } from '../../../services/model-registry.js';
import { inProject } from '../../in-project.js';
import { tagsText } from '../../print/model.js';
import { table } from '../../print/table.js';

export const command = inProject(async (project, io, args) => {
  const found = await searchModels(project, args);
  io.print(
    table(
      ['model', 'version', 'stage', 'aliases', 'owner', 'tags', 'trainer', 'trained'],
      found.map(({ version, aliases, stage, notes }) => [
        version.name,
        version.version,
        stage,
        aliases.join(' '),
        notes.owner ?? '',
        tagsText(notes),
        manifestOf(version).trainer.kind,
        printInstant(version.createdAt),
      ]),
    ),
  );
  io.result({
    models: found.map(({ version, aliases, stage, notes }) => ({
      name: version.name,
      version: version.version,
      stage,
      aliases,
      ...notes,
      metrics: manifestOf(version).metrics,
      created_at: printInstant(version.createdAt),
    })),
  });
  return 0;
});
