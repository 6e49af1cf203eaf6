import { MillraceError } from '../core/base/error.js';
import type { Source } from '../core/define/types.js';
import type { VersionRecord } from '../ports/registry.js';
import type { RunDetail } from '../ports/run-store.js';
import type { Project } from '../services/project.js';
import { integer, known, versioned } from './parse.js';

export const sourceOf = (project: Project, name: string): Source =>
  project.definitions.sources.get(known(name, project.definitions.sources.keys(), 'source'))!;

export function modelVersion(project: Project, text: string): Promise<VersionRecord> {
  const { name, version } = versioned(text);
  return project.registry().then((registry) => {
    const found = registry.version('model', name, version);
    if (!found && registry.versions('model', name).length === 0)
      known(name, project.definitions.models.keys(), 'model');
    if (!found)
      throw new MillraceError('MODEL_MISSING', `there is no model version ${text}`, {
        hint: 'See `millrace models list`.',
      });
    return found;
  });
}

export async function runOf(project: Project, text: string | undefined): Promise<RunDetail> {
  const store = await project.runs();
  const id =
    text === undefined || text === 'last' ? store.list(1, project.now())[0]?.id : integer(text, 'RUN');
  const run = id === undefined ? undefined : store.detail(id, project.now());
  if (run === undefined)
    throw new MillraceError(
      'UNKNOWN_NAME',
      id === undefined ? 'there is no run yet' : `there is no run ${id}`,
      {
        hint: 'See `millrace runs list`.',
      },
    );
  return run;
}
