import { openProject } from '../open.js';
import type { Project } from '../services/project.js';
import type { Command, Options } from './command.js';
import type { Io } from './io.js';

/** A command over the project: opened before, closed whatever happens. */
export const inProject =
  (work: (project: Project, io: Io, args: readonly string[], options: Options) => Promise<number>): Command =>
  async (io, args, options) => {
    const project = await openProject(io.projectFolder, {
      ...io,
      ignoreAvailability: options['ignoreAvailability'] === true,
    });
    try {
      return await work(project, io, args, options);
    } finally {
      await project.close();
    }
  };
