import { type OpenOptions, openProject } from '../open.js';
import type { Project } from '../services/project.js';
import type { Command, Options } from './command.js';
import type { Io } from './io.js';

type Work = (project: Project, io: Io, args: readonly string[], options: Options) => Promise<number>;

const opening =
  (how: Pick<OpenOptions, 'evenInvalid'>) =>
  (work: Work): Command =>
  async (io, args, options) => {
    const project = await openProject(io.projectFolder, {
      ...io,
      ...how,
      ignoreAvailability: options['ignoreAvailability'] === true,
    });
    try {
      return await work(project, io, args, options);
    } finally {
      await project.close();
    }
  };

/** A command over the project: opened before, closed whatever happens. */
export const inProject = opening({});

/** The same where definitions with errors are no obstacle: what ran is known, and can be stopped, without them. */
export const inAnyProject = opening({ evenInvalid: true });
