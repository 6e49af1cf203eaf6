import { findDatasetVersion } from '../services/dataset-versions.js';
import type { Command } from './command.js';
import { inProject } from './in-project.js';
import { versioned } from './parse.js';

export const pinning = (pinned: boolean): Command =>
  inProject(async (project, io, args) => {
    const version = await findDatasetVersion(project, versioned(args[0]!));
    const { pinDataset } = await import('../services/collect-garbage.js');
    await pinDataset(project, version, pinned);
    io.print(`${version.name}@${version.version} is ${pinned ? 'pinned: gc keeps it' : 'not pinned'}`);
    io.result({ dataset: version.name, version: version.version, pinned });
    return 0;
  });
