/** Versions of training sets by name. */
import { MillraceError } from '../core/base/error.js';
import type { Instant } from '../core/base/time.js';
import type { BrokenCheck } from '../core/dataset/checks.js';
import type { DatasetManifest } from '../core/dataset/manifest.js';
import type { VersionRecord } from '../ports/registry.js';
import { findDataset } from './dataset-recipe.js';
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

/** What was built last and is not what the checks say. Its rows are kept until a version is published. */
export interface RejectedVersion {
  readonly key: string;
  readonly folder: string;
  readonly at: Instant;
  readonly broken: readonly BrokenCheck[];
  readonly manifest: DatasetManifest;
}

const rejectedFact = (name: string): string => `dataset-rejected:${name}`;

export const rejectedVersion = async (project: Project, name: string): Promise<RejectedVersion | undefined> =>
  ((await project.registry()).getFact(rejectedFact(name)) as RejectedVersion | null | undefined) ?? undefined;

export const rejectVersion = async (
  project: Project,
  name: string,
  rejected: RejectedVersion | null,
): Promise<void> => (await project.registry()).setFact(rejectedFact(name), rejected);
