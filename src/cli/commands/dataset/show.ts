import { MillraceError } from '../../../core/base/error.js';
import { printInstant } from '../../../core/base/time.js';
import type { DatasetManifest } from '../../../core/dataset/manifest.js';
import { findDatasetVersion, rejectedVersion } from '../../../services/dataset-versions.js';
import type { Project } from '../../../services/project.js';
import { inProject } from '../../in-project.js';
import type { Io } from '../../io.js';
import { versioned } from '../../parse.js';
import { printManifest, printPartitions } from '../../print/dataset.js';

async function showRejected(io: Io, project: Project, name: string): Promise<number> {
  const rejected = await rejectedVersion(project, name);
  if (rejected === undefined)
    throw new MillraceError(
      'UNKNOWN_NAME',
      `no version of ${name} has been rejected since the last good one`,
      {
        hint: `See \`millrace dataset show ${name}\`.`,
      },
    );
  printManifest(io, name, 'rejected', rejected.manifest);
  for (const { check, message } of rejected.broken) io.warn(`[${check}] ${message}`);
  printPartitions(io, rejected.manifest);
  io.result({
    dataset: name,
    version: 'rejected',
    rejected_at: printInstant(rejected.at),
    broken: rejected.broken,
    folder: rejected.folder,
    manifest: rejected.manifest,
  });
  return 0;
}

export const command = inProject(async (project, io, args) => {
  const asked = /^(.+)@rejected$/.exec(args[0]!)?.[1];
  if (asked !== undefined) return showRejected(io, project, asked);
  const version = await findDatasetVersion(project, versioned(args[0]!));
  const manifest = version.manifest as unknown as DatasetManifest;
  printManifest(io, version.name, version.version, manifest);
  printPartitions(io, manifest);
  io.result({ dataset: version.name, version: version.version, folder: version.folder, manifest });
  return 0;
});
