import { type OpenOptions, openProject } from '../open.js';
import type { Project } from '../services/project.js';
import type { Io } from './io.js';

/** Opens the command's project for a piece of work and closes it whatever happens. */
export async function within(
  io: Io,
  work: (project: Project) => Promise<number>,
  options: Pick<OpenOptions, 'ignoreAvailability'> = {},
): Promise<number> {
  const project = await openProject(io.projectFolder, { ...io, ...options });
  try {
    return await work(project);
  } finally {
    await project.close();
  }
}
