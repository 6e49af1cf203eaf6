/** Versions of training sets by name. */
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import type { DatasetManifest } from '../core/dataset/manifest.js';
import type { VersionRecord } from '../ports/registry.js';
import { findDataset } from './build-dataset.js';
import type { Project } from './project.js';

export interface VersionName {
  readonly name: string;
  readonly version: number | undefined;
}

export async function findDatasetVersion(
  project: Project,
  { name, version }: VersionName,
): Promise<VersionRecord> {
  const registry = await project.registry();
  const found = registry.version('dataset', name, version);
  if (found) return found;
  const known = registry.versions('dataset', name);
  if (known.length === 0) findDataset(project, name);
  throw new MillraceError(
    'UNKNOWN_NAME',
    `there is no version ${name}${version === undefined ? '' : `@${version}`} of a dataset`,
    {
      hint:
        known.length > 0
          ? `${name} has versions 1 to ${known.length}.`
          : `Run \`millrace dataset build ${name}\`.`,
    },
  );
}

export const manifestOfDataset = (version: VersionRecord): DatasetManifest =>
  version.manifest as unknown as DatasetManifest;

/** The rows of a version. */
export const datasetFile = (version: VersionRecord): string => path.join(version.folder, 'data.parquet');
