import { printInstant } from '../../../core/base/time.js';
import { versionTitle } from '../../../core/dataset/retention.js';
import { manifestOf } from '../../../services/model-manifest.js';
import { subjectOf } from '../../edit-notes.js';
import { inProject } from '../../in-project.js';
import { table } from '../../print/table.js';

export const command = inProject(async (project, io, args) => {
  const { model, version } = await subjectOf(project, args[0]!);
  const registry = await project.registry();
  const changes = [
    ...registry.versions('model', model).map((each) => ({
      at: each.createdAt,
      version: each.version as number | null,
      what: manifestOf(each).imported ? 'imported' : 'trained',
      from: null as string | null,
      to: `${model}@${each.version}` as string | null,
      actor: manifestOf(each).imported?.actor ?? manifestOf(each).actor ?? '',
      reason: manifestOf(each).imported?.reason ?? `on ${versionTitle(manifestOf(each).dataset)}`,
    })),
    ...registry.aliasHistory(model).map(({ alias: what, previous, ...change }) => ({
      ...change,
      version: change.version as number | null,
      what: `alias ${what}`,
      from: previous === null ? null : `${model}@${previous}`,
      to: `${model}@${change.version}` as string | null,
    })),
    ...registry.noteHistory(model).map(({ field: what, previous, value, ...change }) => ({
      ...change,
      what,
      from: previous,
      to: value,
    })),
  ]
    .filter((change) => version === null || change.version === version)
    .sort((a, b) => a.at - b.at)
    .map(({ at, version: of, what, from, to, actor, reason }) => ({
      at: printInstant(at),
      version: of,
      what,
      from,
      to,
      actor,
      reason,
    }));
  io.print(
    table(
      ['when', 'version', 'what', 'from', 'to', 'who', 'why'],
      changes.map((change) => [
        change.at,
        change.version ?? '',
        change.what,
        change.from ?? '',
        change.to ?? '',
        change.actor,
        change.reason,
      ]),
    ),
  );
  io.result({ model, version, changes });
  return 0;
});
